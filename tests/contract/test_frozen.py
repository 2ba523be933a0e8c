import copy
import dataclasses
import inspect
import pickle
from dataclasses import field

import pytest

from toolkit.contract.frozen import dataclass


@dataclass(frozen=True)
class Point:
    """Two numbers and a name."""

    x: int
    y: int = 2
    names: dict[str, str] = field(default_factory=dict)
    note: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "y", abs(self.y))


@dataclasses.dataclass(frozen=True)
class Usual:
    x: int
    y: int = 2


@dataclass(frozen=True)
class Short:
    x: int
    y: int = 2


@dataclass(frozen=True, eq=False)
class Unequal:
    x: int


@dataclass(frozen=True)
class Told:
    x: int

    def __repr__(self) -> str:
        return "told"


def test_what_is_set_stays() -> None:
    point = Point(1)
    for name in ("x", "y", "other"):
        with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot assign to field '{name}'"):
            setattr(point, name, 5)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'x'"):
        del point.x
    assert point == Point(1, 2)


def test_defaults_factories_and_post_init() -> None:
    first, second = Point(1, -3), Point(1, y=3)
    assert first == second
    assert first.names is not second.names


def test_equality_looks_at_the_class_and_at_compared_fields() -> None:
    assert Point(1, note="a") == Point(1, note="b")
    assert Point(1) != Point(2)
    assert Short(1) != Usual(1)
    assert Short(1).__eq__(Usual(1)) is NotImplemented
    assert Unequal(1) != Unequal(1)


def test_equal_ones_have_one_hash() -> None:
    assert len({Short(1), Short(1, 2), Short(2)}) == 2
    assert hash(Short(1)) == hash(Usual(1))
    with pytest.raises(TypeError, match="unhashable"):
        hash(Point(1))  # its dictionary, as in the standard library


def test_it_is_shown_as_the_standard_library_does() -> None:
    assert repr(Short(1)) == repr(Usual(1)).replace("Usual", "Short")
    assert "note" not in repr(Point(1))
    assert repr(Told(1)) == "told"


def test_the_tools_of_dataclasses_know_it() -> None:
    assert [each.name for each in dataclasses.fields(Short)] == ["x", "y"]
    assert dataclasses.replace(Short(1), y=5) == Short(1, 5)
    assert dataclasses.asdict(Short(1)) == {"x": 1, "y": 2}
    match Short(7):
        case Short(x, _):
            assert x == 7


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_are_equal_and_frozen(copied) -> None:
    again = copied(Short(1, 9))
    assert again == Short(1, 9)
    with pytest.raises(dataclasses.FrozenInstanceError):
        again.x = 2


@pytest.mark.parametrize("arguments", [(), (1, 2, 3)])
def test_wrong_arguments_are_type_errors(arguments: tuple[int, ...]) -> None:
    with pytest.raises(TypeError):
        Short(*arguments)


@pytest.mark.parametrize(
    ("given", "named", "words"),
    [
        ((), {}, "missing 1 required arguments: x"),
        ((1, 2, 3), {}, "takes 2 arguments but 3 were given"),
        ((1,), {"x": 2}, "got multiple values for argument 'x'"),
        ((1,), {"z": 2}, "got an unexpected keyword argument 'z'"),
        ((), {"y": 1, "z": 2}, "got an unexpected keyword argument 'z'"),
    ],
)
def test_a_type_error_says_what_is_wrong(given, named, words) -> None:
    with pytest.raises(TypeError, match=words):
        Short(*given, **named)


def test_it_is_made_once() -> None:
    short = Short(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        short.__init__(2)
    assert short == Short(1)


def test_its_signature_is_that_of_the_fields() -> None:
    assert list(inspect.signature(Point).parameters) == ["x", "y", "names", "note"]
    assert inspect.signature(Short).parameters == inspect.signature(Usual).parameters


def test_fields_are_in_their_order_however_they_were_given() -> None:
    assert repr(Short(y=3, x=1)) == repr(Short(1, 3))
    assert pickle.loads(pickle.dumps(Short(y=3, x=1))) == Short(1, 3)


def test_the_standard_librarys_subclass_is_a_frozen_dataclass_too():
    @dataclass(frozen=True)
    class Own:
        a: int

    @dataclasses.dataclass(frozen=True)
    class Sub(Own):
        b: int = 2

    sub = Sub(1)
    assert (sub.a, sub.b) == (1, 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        sub.b = 3
