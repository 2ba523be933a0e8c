"""Plots of recorded results as SVG that needs nothing else: every figure stands beside its mark."""

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, MARGIN, LABEL, LINE, FIGURE = 760, 16, 300, 26, 70
INK, OURS, GREY, MUST, AIM = "#1a1a1a", "#1f6f8b", "#9aa5b1", "#c0392b", "#2e7d32"


@dataclass(frozen=True)
class Mark:
    """One line of a plot.

    Attributes:
        name: what stands to the left.
        value: where the mark lies.
        low: lower end of its interval.
        high: upper end.
        must: a red line, or None.
        aim: a green line, or None.
    """

    name: str
    value: float
    low: float
    high: float
    must: float | None = None
    aim: float | None = None


def ratio_plot(title: str, told: str, marks: Sequence[Mark]) -> str:
    """Ratios on a logarithmic axis with their 95 % intervals; 1 is a line through all."""
    ends = [end for m in marks for end in (m.low, m.high, m.must, m.aim, 1.0) if end is not None]
    low, high = math.log(min(ends) / 1.08), math.log(max(ends) * 1.08)
    room = WIDTH - 2 * MARGIN - LABEL - FIGURE

    def place(value: float) -> float:
        return MARGIN + LABEL + room * (math.log(value) - low) / (high - low)

    top, bottom = 64, 64 + LINE * len(marks)
    parts = [_text(MARGIN, 24, title, 16, bold=True), _text(MARGIN, 44, told, 12)]
    parts += [_line((place(tick), top - 6), (place(tick), bottom), GREY, 1) for tick in ticks(min(ends), max(ends))]
    parts += [_text(place(tick), bottom + 16, f"{tick:g}", 11, "middle") for tick in ticks(min(ends), max(ends))]
    for number, mark in enumerate(marks):
        parts += _marked(mark, top + LINE * number + LINE / 2, place)
    height = bottom + 28
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" role="img"><title>{html.escape(title)}</title>'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>' + "".join(parts) + "</svg>\n"
    )


def ticks(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis: at least two, always 1."""
    steps = (1.0, 2.0, 5.0) if high / low > 4 else (1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 7.0)
    found = [step * 10.0**power for power in range(-3, 5) for step in steps]
    return [tick for tick in found if low / 1.08 <= tick <= high * 1.08]


def _marked(mark: Mark, y: float, at: Callable[[float], float]) -> list[str]:
    parts = [_text(MARGIN + LABEL - 10, y + 4, mark.name, 12, "end")]
    for value, colour in ((mark.must, MUST), (mark.aim, AIM)):
        if value is not None:
            parts.append(_line((at(value), y - 8), (at(value), y + 8), colour, 2))
    parts.append(_line((at(mark.low), y), (at(mark.high), y), OURS, 3))
    told = f"{mark.name}: {mark.value:.2f} ({mark.low:.2f} to {mark.high:.2f})"
    dot = f'<circle cx="{at(mark.value):.1f}" cy="{y:.1f}" r="5" fill="{OURS}">'
    parts.append(f"{dot}<title>{html.escape(told)}</title></circle>")
    parts.append(_text(WIDTH - MARGIN, y + 4, f"{mark.value:.2f}", 12, "end", bold=True))
    return parts


def _text(x: float, y: float, words: str, size: int, anchor: str = "start", *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{INK}"{weight}>'
        f"{html.escape(words)}</text>"
    )


def _line(start: tuple[float, float], end: tuple[float, float], colour: str, width: int) -> str:
    (x1, y1), (x2, y2) = start, end
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'
