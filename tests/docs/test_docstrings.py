"""Every public function of the modules that the documentation shows says what its caller must know."""

import importlib
import re
from pathlib import Path

import docs_pages
import docstring_rules
import pytest

SHOWN = [
    module
    for page in sorted((docs_pages.DOCS / "python").glob("*.md"))
    for module in re.findall(r"^\.\. automodule:: (\S+)", page.read_text(encoding="utf-8"), re.M)
]


def problems(module: str, root: Path) -> list[docstring_rules.Problem]:
    """Of a module; of a package that gathers names of others, of what is behind these names."""
    exported = getattr(importlib.import_module(module), "__all__", None)
    if exported is None or not (root.joinpath(*module.split(".")) / "__init__.py").exists():
        return docstring_rules.problems(docstring_rules.source_of(module, root), module)
    values = [getattr(importlib.import_module(module), name) for name in exported]
    homes = {(value.__module__, value.__qualname__) for value in values if value.__module__.startswith("toolkit.")}
    return [
        problem
        for home in sorted({home for home, _ in homes})
        for problem in docstring_rules.problems(docstring_rules.source_of(home, root), home)
        if any(f"{problem.where}.".startswith(f"{home}.{name}.") for own, name in homes if own == home)
    ]


def test_the_modules_that_matter_are_shown() -> None:
    wanted = {"runtime.bundle", "runtime.predictors", "runtime.session", "signal.features", "release", "edge.core"}
    assert {f"toolkit.{name}" for name in wanted} <= set(SHOWN)
    assert len(SHOWN) == len(set(SHOWN))


def test_every_module_of_the_contract_is_shown(root: Path) -> None:
    names = {path.stem for path in (root / "toolkit" / "contract").glob("*.py")} - {"__init__", "frozen"}
    assert {f"toolkit.contract.{name}" for name in names} <= set(SHOWN)


@pytest.mark.parametrize("module", SHOWN)
def test_docstrings_tell_shapes_units_arguments_and_errors(module: str, root: Path) -> None:
    assert problems(module, root) == []


HEAD = """
from toolkit.errors import DataError, InputError, RequestError

class ParseError(ValueError):
    "One of this module."
"""

GOOD = '''
def scaled(x: Array, factor: float) -> Array:
    """Scales.

    Args:
        x: raw readings, `[batch, channels]`.
        factor: times.

    Returns:
        `[batch, channels]`, raw.

    Raises:
        InputError: not finite.
    """
    if factor < 0:
        raise InputError("factor")
    return _checked(x) * factor


def _checked(x: Array) -> Array:
    raise InputError("x")
'''


def told(source: str) -> str:
    return "\n".join(what for _, what in docstring_rules.problems(HEAD + source, "m"))


def test_a_docstring_that_tells_everything_passes() -> None:
    assert told(GOOD) == ""


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ('    """Scales.\n', '    x = """Scales.\n', "no docstring"),
        ("        factor: times.\n", "", "Args lacks factor"),
        ("        factor: times.\n", "        factor: times.\n        shift: none.\n", "Args names shift"),
        ("    Returns:\n        `[batch, channels]`, raw.\n\n", "", "no section Returns"),
        ("        InputError: not finite.\n", "        DataError: not finite.\n", "raises InputError"),
        ("        InputError: not finite.\n", "        InputErorr: not finite.\n", "which is no error"),
        ("[batch, channels]", "the batch", "tells no shape"),
    ],
)
def test_a_docstring_that_falls_short_is_told(before: str, after: str, what: str) -> None:
    assert before in GOOD
    assert what in told(GOOD.replace(before, after))


def test_an_array_without_a_unit_is_told() -> None:
    assert "no unit" in told('def mean(x: Array) -> float:\n    """Of `[samples]`."""\n')


def test_an_error_of_a_private_function_counts_and_one_that_is_caught_does_not() -> None:
    private = 'def read() -> None:\n    """Reads."""\n    _read()\n\ndef _read() -> None:\n    raise DataError("x")\n'
    assert "raises DataError" in told(private)
    caught = '    try:\n        raise DataError("x")\n    except DataError:\n        pass\n'
    assert told('def read() -> None:\n    """Reads."""\n' + caught) == ""


def test_a_general_error_covers_a_special_one() -> None:
    text = '"""Reads.\n\n    Raises:\n        RequestError: of the class `error`.\n    """'
    assert told(f'def read() -> None:\n    {text}\n    raise DataError("x")\n') == ""


def test_an_error_that_a_function_makes_is_one_that_is_raised() -> None:
    makes = (
        'def read() -> None:\n    """Reads."""\n    raise _wrong("x")\n\ndef _wrong(x: str) -> ParseError:\n    ...\n'
    )
    assert "raises ParseError" in told(makes)


def test_many_arguments_need_a_section() -> None:
    assert "no section Args" in told('def made(a: int, b: int, c: int, d: int) -> None:\n    """Makes."""\n')
    assert told('def made(a: int, b: int) -> None:\n    """Makes."""\n') == ""


def test_a_field_that_a_dataclass_does_not_tell_is_told() -> None:
    source = '@dataclass\nclass Shape:\n    """Of a thing.\n\n    Attributes:\n        width: m.\n    """\n\n'
    assert "Attributes lacks height" in told(f"{source}    width: float\n    height: float\n")
    assert told(f"{source}    width: float\n") == ""


def test_a_constructor_is_told_by_its_class_or_by_itself() -> None:
    bare = 'class Reader:\n    """Reads."""\n\n    def __init__(self, path: str) -> None:\n        pass\n'
    assert "takes path" in told(bare)
    assert told(bare.replace("        pass\n", '        """Of the `path`."""\n')) == ""
