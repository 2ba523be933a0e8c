from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from toolkit.contract.records import decode, encode, nearest
from toolkit.errors import BundleError, ConfigError


@dataclass(frozen=True)
class Leaf:
    name: str
    kind: Literal["round", "long"] = "round"


@dataclass(frozen=True)
class Tree:
    height: float
    age: int
    leaves: tuple[Leaf, ...] = ()
    alive: bool = True
    owner: str | None = None
    sizes: dict[str, tuple[float, ...]] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)


FULL = Tree(1.5, 3, (Leaf("a"), Leaf("b", "long")), False, "x", {"y": (1.0, 2.0)}, {"z": [1, {"w": None}]})


def read(value, error=ConfigError):
    return decode(Tree, value, "tree.toml", error)


def test_what_was_encoded_is_decoded():
    assert read(encode(FULL)) == FULL
    assert read(encode(Tree(1.0, 2))) == Tree(1.0, 2)


def test_a_whole_number_stands_for_a_float():
    tree = read({"height": 2, "age": 1})
    assert tree.height == 2.0
    assert type(tree.height) is float


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"heigth": 1.0}, ["unknown key", "'heigth'", "height, age", "did you mean 'height'?"]),
        ({"unlike": 1.0}, ["unknown key", "'unlike'"]),
        ({"height": "tall"}, ["tree.toml: height", "got 'tall'", "a number"]),
        ({"height": True}, ["tree.toml: height", "got True", "a number"]),
        ({"height": float("nan")}, ["height", "nan", "a finite number"]),
        ({"height": float("-inf")}, ["height", "-inf", "a finite number"]),
        ({"height": 10**400}, ["height", "1000", "a finite number"]),
        ({"age": 1.0}, ["age", "1.0", "a whole number"]),
        ({"age": True}, ["age", "True", "a whole number"]),
        ({"alive": 1}, ["alive", "true or false"]),
        ({"owner": 3}, ["owner", "3", "text"]),
        ({"leaves": "a"}, ["leaves", "'a'", "a list"]),
        ({"leaves": [3]}, ["tree.toml: leaves[0]", "got 3", "name, kind"]),
        ({"leaves": [{"name": "a"}, {"name": "b", "kind": "square"}]}, ["leaves[1]: kind", "'square'", "round, long"]),
        ({"leaves": [{}]}, ["leaves[0] lacks the key 'name'"]),
        ({"sizes": {"y": ["wide"]}}, ["sizes.y[0]", "'wide'", "a number"]),
        ({"sizes": 1}, ["sizes", "a table"]),
        ({"owner": [0] * 99}, ["owner", "..."]),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_place(change, words):
    with pytest.raises(ConfigError) as refusal:
        read({"height": 1.0, "age": 2, **change})
    assert all(word in str(refusal.value) for word in words)


def test_a_missing_key_is_named():
    with pytest.raises(BundleError, match="lacks the key 'age'; allowed: all of height, age"):
        read({"height": 1.0}, BundleError)


@pytest.mark.parametrize("value", [None, 3, "text", [1, 2]])
def test_what_is_no_table_is_refused(value):
    with pytest.raises(ConfigError, match=r"tree.toml; got .*; allowed: a table of height, age"):
        read(value)


@pytest.mark.parametrize(
    ("name", "found"), [("Temprature", "temperature"), ("ot", "OT"), ("PRESSURE", "pressure"), ("zzz", None)]
)
def test_nearest_looks_past_case_and_typing_errors(name, found):
    assert nearest(name, ["temperature", "OT", "pressure"]) == found
