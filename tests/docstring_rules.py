"""What the docstring of a public function owes its caller: shapes and units of arrays, arguments, errors.

ruff's rules look at a docstring's form; these hold it against the signature and the `raise` statements.
"""

import ast
import builtins
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from toolkit import errors

SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):$")
ENTRY = re.compile(r"^    (\*{0,2}[A-Za-z_][\w.]*)(?: \([^)]*\))?:", re.M)

ARRAY = re.compile(r"\b(?:\w*Array|NDArray|ndarray|ArrayLike|Tensor|Feed|State)\b")
"""In an annotation: the argument or the result holds arrays."""
SHAPE = re.compile(r"\[[^\[\]]*\]|\b(?:shape|scalar|axes)\b")
"""A shape, `[batch, sequence]`, or words for one."""
UNIT = re.compile(
    r"\b(?:raw|units?|unit's|standard deviations?|standardised|micro\w+|milli\w+|seconds?|bytes|logits|probabilit\w+"
    r"|fractions?|states?|weights|true|false|whether|index|indices|numbers of|places|the numbers)\b",
    re.I,
)
"""What the numbers are in, or of what kind those without a unit are."""

MANY = 3
"""Arguments that a sentence can tell of; more need a section."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Problem(NamedTuple):
    """Where a docstring falls short, and of what."""

    where: str
    what: str


def problems(source: str, name: str) -> list[Problem]:
    """Of every public function, method and class of a module.

    Args:
        source: its text.
        name: of the module, for messages.
    """
    module = _Module(ast.parse(source))
    return [Problem(f"{name}.{where}", what) for where, what in module.problems()]


def sections(docstring: str) -> dict[str, str]:
    """The text of each section of a Google docstring; what stands before them is named ""."""
    found, current = {"": ""}, ""
    for line in docstring.splitlines():
        match = SECTION.match(line)
        if match is not None:
            current = match[1]
            found[current] = ""
        else:
            found[current] += line + "\n"
    return found


class _Module:
    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.functions = {node.name: node for node in ast.walk(tree) if isinstance(node, Function)}
        self.classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}

    def problems(self) -> Iterator[tuple[str, str]]:
        for node in self.tree.body:
            if isinstance(node, Function) and not node.name.startswith("_"):
                yield from self._of_function(node, node.name, "")
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield from self._of_class(node)

    def _of_class(self, node: ast.ClassDef) -> Iterator[tuple[str, str]]:
        text = ast.get_docstring(node) or ""
        if not text:
            yield node.name, "no docstring"
        told = sections(text)
        made = next((each for each in node.body if isinstance(each, Function) and each.name == "__init__"), None)
        if made is not None:
            own = ast.get_docstring(made) or ""
            named = all(re.search(rf"\b{name}\b", own) for name in _parameters(made))
            yield from self._arguments(made, node.name, told, needed=not named)
            yield from self._errors(made, node.name, told)
        if "Attributes" in told and _is_dataclass(node):
            fields = [each.target.id for each in node.body if _is_field(each)]  # type: ignore[attr-defined]
            yield from _differences(node.name, "Attributes", ENTRY.findall(told["Attributes"]), fields)
        for each in node.body:
            if isinstance(each, Function) and not each.name.startswith("_") and not _is_overload(each):
                yield from self._of_function(each, f"{node.name}.{each.name}", text)

    def _of_function(self, node: Function, where: str, about: str) -> Iterator[tuple[str, str]]:
        text = ast.get_docstring(node) or ""
        if not text:
            yield where, "no docstring"
        told = sections(text)
        yield from self._arguments(node, where, told, needed=len(_parameters(node)) > MANY)
        yield from self._errors(node, where, told)
        arrays = [word for annotation in _annotations(node) for word in ARRAY.findall(ast.unparse(annotation))]
        if arrays and not SHAPE.search(text + about):
            yield where, "takes or gives an array, and tells no shape"
        if arrays and not UNIT.search(text + about):
            yield where, "takes or gives an array, and tells no unit"
        gives = node.returns is not None and ARRAY.search(ast.unparse(node.returns))
        if gives and "Args" in told and not {"Returns", "Yields"} & set(told):
            yield where, "has the section Args, gives an array, and has no section Returns"

    def _arguments(
        self, node: Function, where: str, told: dict[str, str], *, needed: bool
    ) -> Iterator[tuple[str, str]]:
        names = _parameters(node)
        if "Args" in told:
            listed = [name.lstrip("*") for name in ENTRY.findall(told["Args"])]
            yield from _differences(where, "Args", listed, names)
        elif needed:
            yield where, f"takes {', '.join(names)}, and has no section Args"

    def _errors(self, node: Function, where: str, told: dict[str, str]) -> Iterator[tuple[str, str]]:
        listed = ENTRY.findall(told.get("Raises", ""))
        for name in listed:
            if name not in self.classes and _error(name) is None:
                yield where, f"Raises names {name}, which is no error"
        for raised in sorted(self._raised(node, set())):
            if not any(self._covers(name, raised) for name in listed):
                yield where, f"raises {raised}, and Raises does not say so"

    def _covers(self, listed: str, raised: str) -> bool:
        general, special = _error(listed), _error(raised)
        if general is None or special is None:
            return listed == raised
        return issubclass(special, general)

    def _raised(self, node: Function, seen: set[str]) -> set[str]:
        """Errors that leave a function, those of the module's private functions that it calls among them."""
        found: set[str] = set()
        for each in _own_nodes(node):
            if isinstance(each, ast.Raise) and each.exc is not None:
                found |= self._named(each.exc)
            if isinstance(each, ast.Call):
                called = each.func.id if isinstance(each.func, ast.Name) else getattr(each.func, "attr", "")
                own = self.functions.get(called)
                on_self = isinstance(each.func, ast.Attribute) and ast.unparse(each.func.value) not in ("self", "cls")
                if own is not None and called.startswith("_") and called not in seen and not on_self:
                    found |= self._raised(own, seen | {called})
        return found

    def _named(self, raised: ast.expr) -> set[str]:
        """The class of what stands behind `raise`; of a function that makes it, what the function gives."""
        target = raised.func if isinstance(raised, ast.Call) else raised
        name = target.id if isinstance(target, ast.Name) else getattr(target, "attr", "")
        maker = self.functions.get(name)
        if maker is not None and maker.returns is not None:
            name = ast.unparse(maker.returns).strip("\"'")
        if name == "error" and isinstance(raised, ast.Call):
            return {"RequestError"}  # the caller names its class
        return {name} if name in self.classes or _error(name) is not None else set()


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a function but those of functions within it, and of `try` bodies whose errors are all caught."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            continue
        if isinstance(child, ast.Try):
            parts: list[ast.AST] = [*child.handlers, *child.orelse, *child.finalbody]
            parts += [] if child.handlers else child.body
            for part in parts:
                yield part
                yield from _own_nodes(part)
            continue
        yield child
        yield from _own_nodes(child)


def _parameters(node: Function) -> list[str]:
    spec = node.args
    named = [*spec.posonlyargs, *spec.args, *([spec.vararg] if spec.vararg else []), *spec.kwonlyargs]
    named += [spec.kwarg] if spec.kwarg else []
    return [each.arg for each in named if each.arg not in ("self", "cls")]


def _annotations(node: Function) -> list[ast.expr]:
    spec = node.args
    named = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg]
    found = [each.annotation for each in named if each is not None]
    return [each for each in (*found, node.returns) if each is not None]


def _differences(where: str, section: str, listed: list[str], wanted: list[str]) -> Iterator[tuple[str, str]]:
    missing = [name for name in wanted if name not in listed]
    surplus = [name for name in listed if name not in wanted]
    if missing:
        yield where, f"{section} lacks {', '.join(missing)}"
    if surplus and section == "Args":
        yield where, f"{section} names {', '.join(surplus)}, which it does not take"


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(each) for each in node.decorator_list)


def _is_field(node: ast.stmt) -> bool:
    """A field that a caller reads; `schema` is the version of a report's format, which its class tells."""
    return (
        isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and not node.target.id.startswith("_")
        and node.target.id != "schema"
        and "ClassVar" not in ast.unparse(node.annotation)
    )


def _is_overload(node: Function) -> bool:
    return any("overload" in ast.unparse(each) or ".setter" in ast.unparse(each) for each in node.decorator_list)


def _error(name: str) -> type[BaseException] | None:
    found = getattr(errors, name, None) or getattr(builtins, name, None)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def source_of(module: str, root: Path) -> str:
    """The text of a module of the toolkit.

    Args:
        module: with dots.
        root: of the repository.
    """
    place = root.joinpath(*module.split("."))
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return file.read_text(encoding="utf-8")
