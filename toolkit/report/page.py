"""What a report's page is made of. Each block has its own piece of the template, by the name of its class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Tone = Literal["", "good", "bad", "warn", "open"]
"""How a sentence is marked: plain, as it should be, not as it should be, to be looked at, or not known."""

MOST_ROWS = 60


@dataclass(frozen=True)
class Words:
    """One paragraph."""

    text: str
    tone: Tone = ""


@dataclass(frozen=True)
class Facts:
    """Names and what they are."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """Cells of text.

    Attributes:
        caption: what the figures are.
        header: a name for each column.
        rows: as many cells each as the header has.
        left: how many of the first columns are words, set to the left.
        rest: rows that are not shown.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
    rest: int = 0


@dataclass(frozen=True)
class Chart:
    """A picture, and the numbers that it was drawn from.

    Attributes:
        key: unlike that of any other chart of the page; ids in the picture begin with it.
        title: what is seen.
        told: what it shows, in words, for those who do not see it.
        svg: the picture.
        legend: for each colour its name in the style sheet and what it stands for.
        table: the numbers.
    """

    key: str
    title: str
    told: str
    svg: str
    legend: tuple[tuple[str, str], ...]
    table: Table


@dataclass(frozen=True)
class Charts:
    """Pictures side by side where there is room."""

    charts: tuple[Chart, ...]


@dataclass(frozen=True)
class Text:
    """Text as it stands, such as a configuration or commands."""

    title: str
    text: str
    folded: bool = False


@dataclass(frozen=True)
class Heading:
    """The title of what follows within a section."""

    text: str


@dataclass(frozen=True)
class Missing:
    """What is not shown because no source holds it, and the command that makes it."""

    what: str
    command: str


Block: TypeAlias = Words | Facts | Table | Charts | Text | Heading | Missing


@dataclass(frozen=True)
class Section:
    """A part of the page with a title of its own."""

    key: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """The whole report: its name, and its sections in the order in which they are read."""

    title: str
    sections: tuple[Section, ...]


def table(
    caption: str, header: tuple[str, ...], rows: Sequence[Sequence[str]], *, left: int = 1, thinned: bool = False
) -> Table:
    """At most `MOST_ROWS` rows: the first ones, or evenly thinned ones of a curve."""
    rest = max(len(rows) - MOST_ROWS, 0)
    if thinned and rest:
        places = [round(place * (len(rows) - 1) / (MOST_ROWS - 1)) for place in range(MOST_ROWS)]
        rows = [rows[place] for place in places]
    return Table(caption, header, tuple(tuple(row) for row in rows[:MOST_ROWS]), left, rest)
