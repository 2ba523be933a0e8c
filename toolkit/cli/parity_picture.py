"""The parity report as one picture: where in the grid, at which target, step and place the error lies, as SVG."""

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from toolkit.contract.parity_reports import ErrorProfile, ParityCase, ParityReport, PlacedError

WIDTH, MARGIN, LABEL, LINE = 760, 16, 190, 20
BARS = WIDTH - 2 * MARGIN - LABEL - 80
DECADES = (-9, -3)
"""Of the bars' scale, which is logarithmic; what is larger reaches the end."""

TORCH, ORT, INK = "#9aa5b1", "#1f6f8b", "#1a1a1a"
ORDINARY = ("data", "noisy", "normal", "walk")


@dataclass
class _Page:
    """Lines of SVG, and how far down they reach."""

    parts: list[str]
    y: float = MARGIN

    def text(self, x: float, words: str, size: int = 12, *, end: bool = False, weight: str = "normal") -> None:
        anchor = ' text-anchor="end"' if end else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{self.y:.1f}" font-size="{size}" font-weight="{weight}" fill="{INK}"{anchor}>'
            f"{html.escape(words)}</text>"
        )

    def box(self, x: float, up: float, size: tuple[float, float], fill: str, told: str) -> None:
        width, height = max(size[0], 0.5), size[1]
        self.parts.append(
            f'<rect x="{x:.1f}" y="{self.y - up:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}">'
            f"<title>{html.escape(told)}</title></rect>"
        )

    def down(self, lines: float = 1.0) -> None:
        self.y += LINE * lines


def parity_picture(report: ParityReport) -> str:
    """An SVG that needs nothing else: text is text, every figure stands beside its bar and in a tooltip.

    Args:
        report: of a full check; a quick one has no profiles, and then the grid is shown alone.
    """
    page = _Page([])
    page.down()
    verdict = "passed" if report.passed else "FAILED"
    page.text(MARGIN, f"Parity {verdict}: {report.summary.cases} cases", 16, weight="bold")
    page.down()
    unit = f", {report.unit}" if report.unit else ""
    page.text(MARGIN, f"errors against torch float64{unit}; bars from 1e-9 to 1e-3")
    page.box(MARGIN + 450, 9, (10, 10), ORT, "onnxruntime")
    page.text(MARGIN + 465, "onnxruntime")
    page.box(MARGIN + 550, 9, (10, 10), TORCH, "torch float32")
    page.text(MARGIN + 565, "torch float32")
    for graph in dict.fromkeys(case.graph for case in report.cases):
        _grid(page, graph, [case for case in report.cases if case.graph == graph and case.pool in ORDINARY])
    for profile in report.profiles:
        for title, points in _sections(profile):
            _bars(page, f"{profile.graph}: by {title}", points)
    page.down(0.5)
    height = f"{page.y + MARGIN:.0f}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" role="img"><title>Parity {verdict}</title>'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>' + "".join(page.parts) + "</svg>\n"
    )


def _sections(profile: ErrorProfile) -> Iterator[tuple[str, Sequence[PlacedError]]]:
    named = (
        ("target", profile.by_target),
        ("step of the horizon", profile.by_horizon),
        ("place in the sequence", profile.by_position),
        ("step of a long stream", profile.along_stream),
    )
    return ((title, points) for title, points in named if points)


def _grid(page: _Page, graph: str, cases: Sequence[ParityCase]) -> None:
    """Batch by sequence, darker where more of the tolerance was used."""
    if not cases:
        return
    batches, sequences = (sorted({getattr(case, axis) for case in cases}) for axis in ("batch", "sequence"))
    page.down(2)
    page.text(MARGIN, f"{graph}: share of the tolerance, by batch and sequence", 13, weight="bold")
    page.down(1.2)
    cell = min(70.0, (WIDTH - 2 * MARGIN - LABEL) / max(len(batches), 1))
    for place, batch in enumerate(batches):
        page.text(MARGIN + LABEL + (place + 0.9) * cell, f"batch {batch}", 11, end=True)
    for sequence in sequences:
        page.down()
        page.text(MARGIN + LABEL - 8, f"sequence {sequence}", 11, end=True)
        for place, batch in enumerate(batches):
            shares = [case.used for case in cases if (case.batch, case.sequence) == (batch, sequence)]
            if shares:
                _cell(page, MARGIN + LABEL + place * cell, cell, max(shares), f"batch {batch}, sequence {sequence}")


def _cell(page: _Page, x: float, width: float, share: float, where: str) -> None:
    shown = f"{100 * share:.0f} %" if share < 100 else "off"
    fill = "#c0392b" if share > 1 else f"rgba(31,111,139,{0.08 + 0.9 * share:.2f})"
    page.box(x, 14, (width - 2, LINE - 2), fill, f"{where}: {shown}")
    page.text(x + width - 8, shown, 11, end=True)


def _bars(page: _Page, title: str, points: Sequence[PlacedError]) -> None:
    """One line for each place, on a logarithmic scale."""
    page.down(2)
    page.text(MARGIN, title, 13, weight="bold")
    page.down(0.3)
    for point in points:
        page.down()
        page.text(MARGIN + LABEL - 8, point.place, 11, end=True)
        told = f"{point.place}: onnxruntime {point.ort_error:.2g}, torch {point.torch_error:.2g}"
        page.box(MARGIN + LABEL, 12, (_length(point.torch_error), 6), TORCH, told)
        page.box(MARGIN + LABEL, 5, (_length(point.ort_error), 6), ORT, told)
        page.text(WIDTH - MARGIN, f"{point.ort_error:.2g}", 11, end=True)


def _length(error: float) -> float:
    low, high = DECADES
    if not error > 0:
        return 0.0
    return BARS * min(max((math.log10(min(error, 10.0**high)) - low) / (high - low), 0.0), 1.0)
