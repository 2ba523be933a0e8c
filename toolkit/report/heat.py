"""Cells in rows and columns, darker where there is more: rectangles, so that they follow the page's colours."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedFormatter, FixedLocator

from toolkit.report.drawing import LETTERS, colour

FAINTEST, DARKEST = 0.06, 0.6
"""How opaque a cell is: the page's ink must stay readable on the darkest."""


@dataclass(frozen=True)
class Cell:
    """One cell: its column and row from the top left, its darkness from 0 to 1, and what is written in it."""

    across: int
    down: int
    share: float
    text: str
    wrong: bool = False


def paint_heat(axes: Axes, cells: Sequence[Cell], columns: Sequence[str], rows: Sequence[str]) -> None:
    """Fills the axes with cells.

    Args:
        axes: to be drawn into.
        cells: those that there are; others stay empty.
        columns: names from the left.
        rows: names from the top.
    """
    for cell in cells:
        share = min(max(cell.share, 0.0), 1.0) if cell.share == cell.share else 1.0
        tone = colour("c4" if cell.wrong else "c1")
        opaque = FAINTEST + (DARKEST - FAINTEST) * share
        place = (cell.across - 0.47, cell.down - 0.46)
        axes.add_patch(Rectangle(place, 0.94, 0.92, facecolor=tone, alpha=opaque, linewidth=0))
        axes.text(cell.across, cell.down, cell.text, ha="center", va="center", fontsize=LETTERS - 1)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.xaxis.set_major_locator(FixedLocator(range(len(columns))))
    axes.yaxis.set_major_locator(FixedLocator(range(len(rows))))
    axes.xaxis.set_major_formatter(FixedFormatter(columns))
    axes.yaxis.set_major_formatter(FixedFormatter(rows))
