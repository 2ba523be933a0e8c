"""The profile of one call as a picture: its parts on one bar beside the floor, operators and gates below, as SVG."""

import html
import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from toolkit.cli.profile_tables import floor_line, percent, profile_title
from toolkit.contract.profile_reports import LayerWork, Profile

WIDTH, MARGIN, LABEL, LINE = 760, 16, 130, 20
VALUES = 130
"""To the right of the bars: microseconds and share."""
BARS = WIDTH - 2 * MARGIN - LABEL - VALUES
TALL = 26
"""The two bars that are compared."""
SHOWN_OPERATORS, SHOWN_LAYERS = 8, 6
NOTE_WIDTH = 100
"""Letters in a line of small print."""
GAP = 60
"""Least distance of two labels of the axis."""

INK, PALE, FLOOR = "#1a1a1a", "#6b7280", "#2e8b57"
PYTHON, OVERHEAD, OTHERS = "#e0a030", "#c0603a", "#9aa5b1"
INPUT, RECURRENT, ELEMENTWISE = "#7fb3c8", "#1f6f8b", "#8e6fb0"
WORK = (
    ("input projection", "input_us", INPUT),
    ("recurrent projection", "recurrent_us", RECURRENT),
    ("elementwise", "elementwise_us", ELEMENTWISE),
)


@dataclass(frozen=True)
class Part:
    """A piece of a bar: what it is, how long it takes, its colour."""

    name: str
    time_us: float
    fill: str


@dataclass
class _Page:
    """Lines of SVG, how far down they reach, and the microseconds that a whole bar stands for."""

    parts: list[str]
    full_us: float
    y: float = MARGIN

    def text(
        self, x: float, words: str, size: int = 12, *, end: bool = False, bold: bool = False, down: float = 0
    ) -> None:
        anchor = ' text-anchor="end"' if end else ""
        weight = "bold" if bold else "normal"
        self.parts.append(
            f'<text x="{x:.1f}" y="{self.y + down:.1f}" font-size="{size}" font-weight="{weight}" fill="{INK}"{anchor}>'
            f"{html.escape(words)}</text>"
        )

    def box(self, x: float, up: float, size: tuple[float, float], fill: str, told: str) -> None:
        self.parts.append(
            f'<rect x="{x:.2f}" y="{self.y - up:.1f}" width="{size[0]:.2f}" height="{size[1]:.1f}" fill="{fill}">'
            f"<title>{html.escape(told)}</title></rect>"
        )

    def down(self, lines: float = 1.0) -> None:
        self.y += LINE * lines

    def bar(self, label: str, parts: Sequence[Part], value: str, height: float = 12) -> None:
        """One line: label, pieces end to end, value."""
        self.down((height + 8) / LINE)
        self.text(MARGIN + LABEL - 8, label, end=True)
        x = float(MARGIN + LABEL)
        for part in parts:
            width = self.length(part.time_us)
            self.box(x, 4 + height / 2, (width, height), part.fill, f"{part.name}: {part.time_us:.1f} us")
            x += width
        self.text(WIDTH - MARGIN, value, end=True)

    def length(self, time_us: float) -> float:
        """Of a piece, in pixels."""
        return time_us / self.full_us * BARS if self.full_us > 0 else 0.0


def profile_svg(profile: Profile) -> str:
    """An SVG that needs nothing else: text is text, and every piece has its figure in a tooltip."""
    call = list(_call_parts(profile))
    page = _Page([], max(sum(part.time_us for part in call), profile.floor_us or 0.0))
    page.down()
    page.text(MARGIN, "Where the time of one call goes", 16, bold=True)
    page.down()
    page.text(MARGIN, profile_title(profile))
    page.down()
    page.text(MARGIN, floor_line(profile))
    page.down(0.5)
    page.bar("one call", call, f"{sum(part.time_us for part in call):.1f} us", TALL)
    _layer_marks(page, profile)
    if profile.floor_us is not None:
        value = f"{profile.floor_us:.1f} us"
        page.bar("floor", [Part("products at this machine's peak", profile.floor_us, FLOOR)], value, TALL)
    _axis(page)
    _legend(page, profile)
    _operators(page, profile)
    for layer in profile.layers[:SHOWN_LAYERS]:
        _gates(page, layer)
    _small_print(page, profile)
    return _document(page)


def _call_parts(profile: Profile) -> Iterator[Part]:
    """The bar from left to right: Python, onnxruntime, each layer's products and gates, other operators."""
    yield Part("Python, guards, copies", profile.python_us, PYTHON)
    yield Part("onnxruntime's overhead", profile.overhead_us, OVERHEAD)
    for layer in profile.layers:
        for name, key, fill in WORK[:2]:
            yield Part(f"layer {layer.layer}, {name}", sum(getattr(gate, key) for gate in layer.gates), fill)
        for gate in layer.gates:
            yield Part(f"layer {layer.layer}, elementwise, gate {gate.gate}", gate.elementwise_us, ELEMENTWISE)
    others: dict[str, float] = {}
    for node in profile.nodes:
        if node.layer is None:
            others[node.operator] = others.get(node.operator, 0.0) + node.time_us
    for name, time_us in others.items():
        yield Part(name, time_us, OTHERS)


def _layer_marks(page: _Page, profile: Profile) -> None:
    """A line under each layer's pieces, with its number where there is room for it."""
    page.down()
    x = MARGIN + LABEL + page.length(profile.python_us + profile.overhead_us)
    for layer in profile.layers:
        width = page.length(layer.time_us)
        page.box(x + 1, 10, (max(width - 2, 0.5), 2), PALE, f"layer {layer.layer}: {layer.time_us:.1f} us")
        if width > GAP:
            page.text(x + 2, f"layer {layer.layer}", 11, down=5)
        x += width


def _axis(page: _Page) -> None:
    """Marks at round numbers of microseconds under both bars."""
    page.down(1.5)
    step = _round_step(page.full_us * GAP / BARS)
    if not step > 0:
        return
    for place in range(int(page.full_us / step) + 1):
        x = MARGIN + LABEL + place * step / page.full_us * BARS
        page.box(x - 0.5, 16, (1, 5), PALE, f"{place * step:g} us")
        page.text(x + 4 if place == 0 else x, f"{place * step:g}" + (" us" if place == 0 else ""), 11, end=place > 0)


def _round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten, no less than that."""
    if not least > 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _legend(page: _Page, profile: Profile) -> None:
    """Every colour with its time and its share, so that pieces too thin to see are still told."""
    page.down(0.6)
    whole = sum(part.time_us for part in _call_parts(profile))
    sums: dict[str, float] = {}
    for part in _call_parts(profile):
        sums[part.fill] = sums.get(part.fill, 0.0) + part.time_us
    names = {PYTHON: "Python, guards, copies", OVERHEAD: "onnxruntime's overhead", OTHERS: "other operators"}
    names |= {fill: f"{name}, all layers" for name, _, fill in WORK}
    for fill in (PYTHON, OVERHEAD, INPUT, RECURRENT, ELEMENTWISE, OTHERS):
        if fill in sums:
            _legend_line(page, fill, names[fill], sums[fill], whole)
    if profile.floor_us is not None:
        _legend_line(page, FLOOR, "floor: all products at this machine's peak", profile.floor_us, whole)


def _legend_line(page: _Page, fill: str, name: str, time_us: float, whole: float) -> None:
    page.down()
    page.box(MARGIN + LABEL, 10, (11, 11), fill, name)
    page.text(MARGIN + LABEL + 18, name)
    page.text(WIDTH - MARGIN, _value(time_us, whole), end=True)


def _value(time_us: float, whole: float) -> str:
    return f"{time_us:.1f} us, {percent(time_us / whole if whole > 0 else 0.0)}"


def _operators(page: _Page, profile: Profile) -> None:
    page.down(2)
    page.text(MARGIN, "By operator", 13, bold=True)
    page.down(0.3)
    shown, rest = profile.operators[:SHOWN_OPERATORS], profile.operators[SHOWN_OPERATORS:]
    recurrent = {layer.operator for layer in profile.layers}
    for one in shown:
        label = one.operator if one.nodes == 1 else f"{one.nodes} x {one.operator}"
        part = Part(label, one.time_us, RECURRENT if one.operator in recurrent else OTHERS)
        page.bar(_short(label), [part], f"{one.time_us:.1f} us, {percent(one.share)}")
    if rest:
        time_us, share = sum(one.time_us for one in rest), sum(one.share for one in rest)
        page.bar(f"{len(rest)} others", [Part("others", time_us, OTHERS)], f"{time_us:.1f} us, {percent(share)}")


def _short(label: str) -> str:
    return label if len(label) <= 19 else f"{label[:18]}…"


def _gates(page: _Page, layer: LayerWork) -> None:
    """A bar for each gate, on a scale of its own: a gate is a sliver of the call."""
    page.down(2)
    ways = ", both directions" if layer.directions == 2 else ""
    title = f"Layer {layer.layer}, {layer.operator} {layer.input_size} to {layer.hidden_size}{ways}: gates by work"
    page.text(MARGIN, title, 13, bold=True)
    page.text(WIDTH - MARGIN, _scale_words(layer), 11, end=True)
    page.down(0.3)
    own = _Page(page.parts, max((gate.time_us for gate in layer.gates), default=0.0), page.y)
    for gate in layer.gates:
        parts = [Part(f"{gate.gate}, {name}", getattr(gate, key), fill) for name, key, fill in WORK]
        share = layer.share * gate.time_us / layer.time_us if layer.time_us > 0 else 0.0
        own.bar(gate.gate, parts, f"{gate.time_us:.1f} us, {percent(share)}")
    page.y = own.y


def _small_print(page: _Page, profile: Profile) -> None:
    """What is not shown, and what has to be known."""
    hidden = len(profile.layers) - SHOWN_LAYERS
    told = [f"{hidden} more layers are not shown"] if hidden > 0 else []
    page.down()
    for note in (*told, *profile.notes):
        for line in textwrap.wrap(f"Note: {note}.", NOTE_WIDTH):
            page.down(0.8)
            page.text(MARGIN, line, 11)


def _scale_words(layer: LayerWork) -> str:
    return f"{layer.time_us:.1f} us in all; bars on a scale of their own"


def _document(page: _Page) -> str:
    height = f"{page.y + MARGIN:.0f}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" role="img"><title>Where the time of one call goes</title>'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>' + "".join(page.parts) + "</svg>\n"
    )
