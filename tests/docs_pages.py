"""The pages of `docs/`, and the examples that stand in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).resolve().parent.parent / "docs"
_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)


class Example(NamedTuple):
    """A block of a page.

    Attributes:
        page: its path under `docs/`.
        line: of its fence, counted from 1.
        text: what stands between the fences.
    """

    page: str
    line: int
    text: str


def pages() -> list[Path]:
    """All pages, in the order of their names."""
    return sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)


def examples(language: str) -> list[Example]:
    """The blocks of all pages in that language."""
    return [
        Example(page.relative_to(DOCS).as_posix(), text[: match.start()].count("\n") + 1, match["text"])
        for page in pages()
        for text in [page.read_text(encoding="utf-8")]
        for match in _BLOCK.finditer(text)
        if match["language"] == language
    ]


def typed_commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a `console` block, what the shell leaves out left out."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            yield shlex.split(line[2:], comments=True)


def tables(page: str) -> dict[str, list[list[str]]]:
    """By heading the rows of the first table below it, cell by cell, without header and rule.

    Args:
        page: its path under `docs/`.
    """
    found: dict[str, list[list[str]]] = {}
    heading = ""
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("|"):
            found.setdefault(heading, []).append([cell.strip() for cell in line.strip("|").split("|")])
    return {name: rows[2:] for name, rows in found.items()}
