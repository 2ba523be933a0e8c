"""Tables and sentences for a terminal of 80 columns, plain text that is the same in a log."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

WIDTH = 80
GAP = "  "
NARROWEST = 10
"""What a column of words is left with, before the columns of figures are shown in parts."""

WIDEST_HEADING = 16
"""Of a word above figures, unless they are wider."""

_BREAKS = re.compile(r"(?<=[._/ -])")
"""After these marks a name may go on in the next line: names of sensors are long and have no blanks."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1, width: int = WIDTH) -> str:
    """Columns aligned with blanks: the first `left` hold words and stand to the left, the others to the right.

    What does not fit is wrapped, first the headings of figures, then the columns of words, widest first. Figures are
    never cut: where they do not fit either, the table comes in parts, each with its columns of words. A row with fewer
    cells than the header is a heading for those below it.

    Args:
        header: a text for each column.
        rows: cells, as text; marks that would steer a terminal are shown as `?`.
        left: how many columns hold words.
        width: the most columns of the terminal that are used.
    """
    named = [_printable(cell) for cell in header]
    lines = [[_printable(cell) for cell in row] for row in rows]
    whole = [line for line in lines if len(line) == len(named)]
    widths = [max(map(len, column)) for column in zip(named, *whole, strict=True)]
    if _total(widths) > width:
        for place in range(left, len(named)):
            cells = max((len(line[place]) for line in whole), default=0)
            words = max(len(piece.rstrip()) for piece in _BREAKS.split(named[place]))
            widths[place] = max(cells, min(words, WIDEST_HEADING))
        widths[:left] = _narrowed(widths[:left], width - _total(widths[left:]) - len(GAP))
    layout = _Layout(widths, left, width)
    return "\n\n".join(_part(named, lines, layout, chosen) for chosen in _chosen_columns(layout))


def wrapped(text: str) -> str:
    """A sentence over as many lines as it takes; the later ones are indented."""
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


class _Layout(NamedTuple):
    """Columns' widths, how many of them hold words, and the most columns of the terminal."""

    widths: Sequence[int]
    left: int
    width: int


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * max(len(widths) - 1, 0)


def _narrowed(widths: Sequence[int], room: int) -> list[int]:
    """The columns of words in that room, the widest first; none below the narrowest that can be read."""
    narrowed = list(widths)
    while _total(narrowed) > room and max(narrowed, default=0) > NARROWEST:
        narrowed[narrowed.index(max(narrowed))] -= 1
    return narrowed


def _chosen_columns(layout: _Layout) -> Iterator[list[int]]:
    """The columns of each part of the table: one part, wherever that fits."""
    words = list(range(layout.left))
    chosen = list(words)
    for place in range(layout.left, len(layout.widths)):
        wide = _total([layout.widths[p] for p in (*chosen, place)])
        if len(chosen) > layout.left and wide > layout.width:
            yield chosen
            chosen = list(words)
        chosen.append(place)
    yield chosen


def _part(header: Sequence[str], rows: Sequence[Sequence[str]], layout: _Layout, chosen: Sequence[int]) -> str:
    widths, left, width = layout
    own = [widths[place] for place in chosen]
    head = [_pieces(header[place], widths[place]) for place in chosen]
    tall = max(map(len, head))
    lines = [*_lines([[""] * (tall - len(cell)) + cell for cell in head], own, left)]
    lines.append(GAP.join("-" * size for size in own))
    for row in rows:
        if len(row) < len(header):
            lines += textwrap.wrap(" ".join(row), width, subsequent_indent="  ")
        else:
            lines += _lines([_pieces(row[place], widths[place]) for place in chosen], own, left)
    return "\n".join(lines)


def _lines(cells: Sequence[Sequence[str]], widths: Sequence[int], left: int) -> Iterator[str]:
    """A row: as many lines as its tallest cell has."""
    for number in range(max(map(len, cells))):
        texts = (cell[number] if number < len(cell) else "" for cell in cells)
        aligned = (
            text.ljust(size) if place < left else text.rjust(size)
            for place, (text, size) in enumerate(zip(texts, widths, strict=True))
        )
        yield GAP.join(aligned).rstrip()


def _pieces(text: str, width: int) -> list[str]:
    """A cell's lines, none wider than that; later ones are indented as the first is."""
    if len(text) <= width:
        return [text]
    indent = text[: len(text) - len(text.lstrip())]
    lines, line = [], indent
    for word in _BREAKS.split(text.lstrip()):
        rest = word
        if len((line + rest).rstrip()) > width and line != indent:
            lines.append(line.rstrip())
            line = indent
        while len((line + rest).rstrip()) > width:
            room = max(width - len(indent), 1)
            lines.append(indent + rest[:room])
            rest = rest[room:]
        line += rest
    return [*lines, line.rstrip()]


def _printable(text: str) -> str:
    """A name from somebody's file must not steer the terminal that it is shown on."""
    return "".join(mark if mark.isprintable() else "?" for mark in text)
