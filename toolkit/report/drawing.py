"""Draws charts with matplotlib as SVG that lives within the page: text is text, colours are the style sheet's.

matplotlib knows no colour that changes with the reader's light or dark screen. Each role is drawn in a colour that
means nothing, and the picture's text is searched for it afterwards. A chart is 460 units wide and as wide as its
column: on a telephone its letters are still 8 points high.
"""

import io
import math
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from html import escape
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, LogLocator, MaxNLocator
from matplotlib.transforms import Affine2D, Transform

from toolkit.report.figures import EARLIEST_S, LATEST_S, number, short
from toolkit.report.page import Chart, Table

WIDTH = 460
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 20, 36
LETTERS = 11
LETTER_WIDTH = 6.3
"""Of an ordinary name in most fonts that a page is read in."""

COLOURS = {
    "ink": "#fe0001",
    "muted": "#fe0002",
    "grid": "#fe0003",
    **{f"c{place}": f"#fe001{place}" for place in range(1, 9)},
}
"""For each role the colour that stands for it until the picture is drawn; `c1` to `c8` tell series apart."""

SERIES = tuple(f"c{place}" for place in range(1, 9))

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "text.parse_math": False,  # a channel's name may hold a dollar sign
    "font.size": LETTERS,
    "text.color": COLOURS["ink"],
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-4, 6),
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
}

_STEPS_S = (1, 5, 15, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 21600, 43200)
_STEPS_DAYS = (1, 2, 5, 7, 14, 30, 61, 91, 182, 365, 730, 1826, 3652, 36525, 365250)
MONTH_DAYS, YEAR_DAYS = 28, 300

Place = tuple[float, float]
Align = Literal["left", "center", "right"]
Paint = Callable[[Axes], None]
Lines = Literal["across", "down", "none"]
"""Which way the faint lines through an axis' marks go; with none there are no axes but names."""


@contextmanager
def drawing() -> Iterator[None]:
    """Everything that is drawn within looks the same on every machine, whatever its own settings of matplotlib are.

    A letter that matplotlib's font lacks is warned of; the reader's own font draws it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with mpl.rc_context(mpl.rcParamsDefault):
            mpl.rcParams.update(_STYLE)
            yield


def chart(
    key: str,
    title: str,
    told: str,
    paint: Paint,
    table: Table,
    *,
    legend: Sequence[tuple[str, str]] = (),
    lines: Lines = "across",
    height: float = 200,
    left: float = LEFT,
) -> Chart:
    """One picture with one pair of axes.

    Args:
        key: unlike that of any other chart.
        title: what is seen.
        told: what it shows, in words.
        paint: draws into the axes; must be called within `drawing()`.
        table: the numbers behind it.
        legend: for each role of `COLOURS` what it stands for.
        lines: at the marks of the vertical axis, of the horizontal one, or none.
        height: in units of which the picture is `WIDTH` wide.
        left: room for the names beside the vertical axis.
    """
    figure = Figure(figsize=(WIDTH / 72, height / 72))
    canvas = FigureCanvasSVG(figure)
    box = (left / WIDTH, BOTTOM / height, (WIDTH - left - RIGHT) / WIDTH, (height - BOTTOM - TOP) / height)
    axes = figure.add_axes(box)
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    paint(axes)
    _mark_axes(axes, lines)
    drawn = io.StringIO()
    # Not `savefig`, which for each picture reads and sets matplotlib's settings again.
    write: Callable[..., None] = canvas.print_svg
    write(drawn, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = _inline(drawn.getvalue(), key, title, told, height)
    return Chart(key, title, told, svg, tuple(legend), table)


def colour(role: str) -> str:
    """What matplotlib is told for a role."""
    return COLOURS[role]


def series_colour(place: int) -> str:
    """The role of the series at that place; the ninth looks like the first."""
    return SERIES[place % len(SERIES)]


def name_axes(axes: Axes, across: str, up: str = "") -> None:
    """What the axes count; the vertical one's name lies flat above it, where it can be read."""
    _note(axes, short(across, 70), (0.5, 0.0), (0, -32), axes.transAxes, align="center")
    _note(axes, short(up, 70), (0.0, 1.0), (0, 7), axes.transAxes, align="left")


def time_axis(axes: Axes, first_s: float, last_s: float) -> None:
    """Marks at round hours or days of UTC across an axis that counts seconds since 1970."""
    ticks, labels = time_marks(first_s, last_s)
    axes.set_xlim(first_s, last_s if last_s > first_s else first_s + 1)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FixedFormatter(labels))


def whole_marks(axes: Axes) -> None:
    """Marks across at whole numbers alone."""
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def mark_sizes(axes: Axes, sizes: Iterable[float]) -> None:
    """Marks at the sizes that there are, on a logarithmic axis across, where they do not crowd each other."""
    ordered = sorted(set(sizes))
    chosen = ordered[:1]
    for size in ordered[1:]:
        if size >= chosen[-1] * (ordered[-1] / ordered[0]) ** (1 / 12):
            chosen.append(size)
    axes.xaxis.set_major_locator(FixedLocator(chosen))


def time_marks(first_s: float, last_s: float, most: int = 5) -> tuple[list[float], list[str]]:
    """At most `most` and one round times, and how each is written."""
    length = last_s - first_s
    steps = (*_STEPS_S, *(86400 * days for days in _STEPS_DAYS))
    step = next((step for step in steps if length / step <= most), steps[-1])
    ticks = [step * place for place in range(math.ceil(first_s / step), math.floor(last_s / step) + 1)]
    return [float(tick) for tick in ticks[: most + 1]], [_time_label(tick, step) for tick in ticks[: most + 1]]


def _time_label(time_s: float, step_s: float) -> str:
    if not EARLIEST_S < time_s < LATEST_S:
        return number(time_s)
    when = datetime.fromtimestamp(time_s, UTC)
    days = step_s / 86400
    if days >= MONTH_DAYS:
        return when.strftime("%Y" if days >= YEAR_DAYS else "%b %Y")
    if days >= 1 or (when.hour, when.minute, when.second) == (0, 0, 0):
        return f"{when.day} {when:%b}"
    return when.strftime("%H:%M:%S" if when.second else "%H:%M")


def log_axis(axes: Axes, which: str, values: Sequence[float]) -> None:
    """A logarithmic axis with plain numbers at powers of ten, or at 1, 2 and 5 of them where it is short.

    Where no value is above 0 the axis stays as it is.
    """
    ends = [value for value in values if value > 0]
    if not ends:
        return
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    decades = math.log10(max(ends)) - math.log10(min(ends))
    subs = (1.0,) if decades > 2.5 else (1.0, 2.0, 5.0) if decades > 0.5 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
    axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=6 if decades > 2.5 else 12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Names down the vertical axis, the first at the top, as long as there is room for them."""
    most = int((axes.get_position().x0 * WIDTH - 6) / LETTER_WIDTH)
    axes.yaxis.set_major_locator(FixedLocator(range(len(names))))
    axes.yaxis.set_major_formatter(FixedFormatter([short(name, most) for name in names]))
    axes.set_ylim(len(names) - 0.4, -0.6)


def _mark_axes(axes: Axes, lines: Lines) -> None:
    """Numbers and lines at the marks that the axes' locators choose: matplotlib's own take most of its time."""
    axes.set_axis_off()
    if lines != "none":
        _add_lines(axes, [[(0.0, 1.0), (0.0, 0.0), (1.0, 0.0)]], "muted", axes.transAxes)
    across = _marks(axes.xaxis, axes.get_xlim())
    up = _marks(axes.yaxis, axes.get_ylim())
    if lines == "down":
        _add_lines(axes, [[(mark, 0.0), (mark, 1.0)] for mark, _ in across], "grid", axes.get_xaxis_transform())
    if lines == "across":
        _add_lines(axes, [[(0.0, mark), (1.0, mark)] for mark, _ in up], "grid", axes.get_yaxis_transform())
    for mark, words in across:
        _note(axes, words, (mark, 0.0), (0, -14), axes.get_xaxis_transform(), align="center")
    for mark, words in up:
        _note(axes, words, (0.0, mark), (-5, -4), axes.get_yaxis_transform(), align="right")
    _note(axes, axes.xaxis.get_major_formatter().get_offset(), (1.0, 0.0), (0, -32), axes.transAxes, align="right")
    _note(axes, axes.yaxis.get_major_formatter().get_offset(), (0.0, 1.0), (-5, 7), axes.transAxes, align="right")


def _marks(axis: Axis, limits: Place) -> list[tuple[float, str]]:
    """Places within the limits, and what is written at them."""
    places = [float(place) for place in axis.get_majorticklocs()]
    words = axis.get_major_formatter().format_ticks(places)
    low, high = min(limits), max(limits)
    slack = 1e-9 * (high - low)
    return [(mark, told) for mark, told in zip(places, words, strict=True) if low - slack <= mark <= high + slack]


def _add_lines(axes: Axes, lines: "list[list[Place]]", role: str, transform: Transform) -> None:
    drawn = LineCollection(lines, colors=colour(role), linewidths=0.8, transform=transform, zorder=0.5)
    axes.add_collection(drawn, autolim=False)


def _note(axes: Axes, words: str, place: Place, shift: Place, transform: Transform, *, align: Align) -> None:
    """Words so many units beside a place; the canvas has 72 of them to the inch."""
    if words:
        axes.text(*place, words, transform=transform + Affine2D().translate(*shift), ha=align)


_HEAD = re.compile(r"<\?xml.*?<svg[^>]*>", re.DOTALL)
_GLOBAL_STYLE = re.compile(r"<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
_FONT = re.compile(r"font: (?:(\d{3}) )?([\d.]+px)[^;\"]*")
_FAMILY = re.compile(r"font-family: [^;\"]*;? ?")
_PLACES = re.compile(r'( (?:d|x|y|points|transform)=")([^"]*)(")')
_LONG = re.compile(r"(\.\d\d)\d+")
_NAMED = re.compile(r' id="([^"]*)"')
_USED = re.compile(r'(?:xlink:href="#|url\(#)([^")]*)')
_TURNED_BY_NOTHING = re.compile(r' transform="rotate\(-0 [^"]*\)"')
_COLOUR = re.compile("|".join(COLOURS.values()))
_ROLES = {code: role for role, code in COLOURS.items()}


def _inline(svg: str, key: str, title: str, told: str, height: float) -> str:
    """What matplotlib wrote, as a part of a page: no address in it, ids that are the chart's own, fewer digits."""
    svg = _GLOBAL_STYLE.sub("", _HEAD.sub("", svg, count=1), count=1)
    svg = _own_ids(_TURNED_BY_NOTHING.sub("", svg), key)
    svg = _FAMILY.sub("", _FONT.sub(_font_size, svg))
    svg = _PLACES.sub(lambda found: found[1] + _LONG.sub(r"\1", found[2].replace("\n", "")) + found[3], svg)
    svg = _COLOUR.sub(lambda found: f"var(--{_ROLES[found[0]]})", svg)
    head = (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-labelledby="{key}-title {key}-told">'
        f'<title id="{key}-title">{escape(title)}</title><desc id="{key}-told">{escape(told)}</desc>'
    )
    return head + re.sub(r">\s+<", "><", svg).strip()


def _font_size(found: "re.Match[str]") -> str:
    weight = f"font-weight: {found[1]}; " if found[1] else ""
    return f"{weight}font-size: {found[2]}"


def _own_ids(svg: str, key: str) -> str:
    """Only what is referred to keeps an id; matplotlib gives the same ones to every picture."""
    names = {name: f"{key}-{place}" for place, name in enumerate(dict.fromkeys(_USED.findall(svg)))}

    def renamed(found: "re.Match[str]") -> str:
        return f' id="{names[found[1]]}"' if found[1] in names else ""

    svg = _NAMED.sub(renamed, svg)
    svg = re.sub(r'xlink:href="#([^"]*)"', lambda found: f'href="#{names[found[1]]}"', svg)
    return re.sub(r"url\(#([^)]*)\)", lambda found: f"url(#{names[found[1]]})", svg)
