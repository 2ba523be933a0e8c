"""Docstrings as they are written reach Sphinx as it reads them."""

import importlib.util
from types import ModuleType

import docs_pages
import pytest


@pytest.fixture(scope="module")
def rewriting() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "plain_docstrings", docs_pages.DOCS / "extensions" / "plain_docstrings.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("float32 `[batch, channels]`.", "float32 ``[batch, channels]``."),
        ("`h0`/`hn`, then `c0`", "``h0``/``hn``, then ``c0``"),
        ("two `graph`s", "two ``graph``\\ s"),
        ("``as it is`` stays", "``as it is`` stays"),
        (":func:`left` alone", ":func:`left` alone"),
    ],
)
def test_code_stands_between_double_marks(written: str, read: str, rewriting: ModuleType) -> None:
    assert rewriting.doubled(written) == read


def test_a_drawing_is_shown_as_it_stands(rewriting: ModuleType) -> None:
    lines = ["Every error.", "", "    Root", "    ├── `Leaf`", "", "After."]
    assert rewriting.as_read_by_sphinx(lines) == [
        "Every error.",
        "",
        "::",
        "",
        "    Root",
        "    ├── `Leaf`",
        "",
        "After.",
    ]


def test_entries_of_a_section_are_no_drawing(rewriting: ModuleType) -> None:
    lines = ["Reads.", "", "Args:", "    x: raw, `[batch]`.", "", "    y: another.", ""]
    assert "::" not in rewriting.as_read_by_sphinx(lines)
