"""Every text that stands in the toolkit's source, as a message shows it: what differs is a `…`."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path


def texts_of(source: str) -> Iterator[str]:
    """The texts of a module, blanks joined, its f-strings with `…` for each value."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield " ".join(node.value.split())
        if isinstance(node, ast.JoinedStr):
            text = " ".join("".join(_shown(part) for part in node.values).split())
            yield re.sub(r"…( ?…)+", "…", text)  # a word and its plural are values of their own


def texts_under(folder: Path) -> set[str]:
    """The texts of all modules under a folder."""
    return {text for file in folder.rglob("*.py") for text in texts_of(file.read_text(encoding="utf-8"))}


def _shown(part: ast.expr) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else "…"
