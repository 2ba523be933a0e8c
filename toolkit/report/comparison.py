"""What changed between two benchmark reports, beyond noise."""

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes

from toolkit.contract.comparison_reports import Change, ComparisonReport
from toolkit.report.drawing import chart, colour, log_axis, name_axes, name_rows
from toolkit.report.figures import counted, number, short, with_interval
from toolkit.report.material import Material, label
from toolkit.report.page import Block, Chart, Charts, Heading, Section, Words, table

MOST_CHANGES = 30
TONES = {"worse": "c4", "better": "c3", "same": "c1", "too noisy to tell": "c8"}


def comparison_section(material: Material) -> Section | None:
    """A part for each comparison; no section where none was given."""
    blocks: list[Block] = []
    for place, one in enumerate(material.comparisons):
        name = label(material.comparisons, one)
        blocks += [Heading(name)] if name else []
        blocks += _blocks(one.report, f"comparison{place}")
    return Section("comparison", "Comparison", tuple(blocks)) if blocks else None


def _blocks(report: ComparisonReport, key: str) -> Iterator[Block]:
    worse = counted(report.regressions, "figure")
    told = f"{counted(len(report.changes), 'figure')} compared; {worse} of ours worse beyond noise and "
    yield Words(f"{told}{report.least_percent:g} %.", "bad" if report.regressions else "good")
    drawable = [change for change in report.changes if change.ratio > 0]
    if drawable:
        yield Charts((_forest(_notable(drawable), key),))
    yield from (Words(f"Note: {note}.") for note in report.notes)


def _notable(changes: Sequence[Change]) -> list[Change]:
    """What changed first, then what did not."""
    order = list(TONES)
    return sorted(changes, key=lambda change: order.index(change.verdict))[:MOST_CHANGES]


def _name(change: Change) -> str:
    size = "" if change.batch is None else f" {change.batch} x {change.sequence}"
    figure = change.figure.replace("cpu_s_per_1000", "CPU").replace("_", " ")
    parts = (change.contender, change.predictor, "" if change.precision == "fp32" else change.precision)
    return f"{figure}, {change.scenario}{size}, {' '.join(filter(None, parts))}"


def _verdict(change: Change) -> str:
    return f"{change.verdict} (control)" if change.reference else change.verdict


def _forest(changes: Sequence[Change], key: str) -> Chart:
    def paint(axes: Axes) -> None:
        ends = [1.0]
        for place, change in enumerate(changes):
            tone, interval = colour(TONES[change.verdict]), change.interval or ()
            if len(interval) == 2 and min(interval) > 0:
                axes.plot(interval, [place, place], color=tone, linewidth=2)
                ends += interval
            axes.plot([change.ratio], [place], "D" if change.reference else "o", color=tone, markersize=5)
            ends.append(change.ratio)
        axes.axvline(1, color=colour("ink"), linewidth=0.9, linestyle=(0, (3, 2)))
        log_axis(axes, "x", ends)
        name_rows(axes, [_name(change) for change in changes])
        name_axes(axes, "after / before, logarithmic")

    told = "Each figure after over before, with its 95 % interval: " + ", ".join(
        f"{sum(change.verdict == verdict for change in changes)} {verdict}" for verdict in TONES
    )
    rows = [
        (
            *(short(_name(change), 80), number(change.before), number(change.after)),
            *(
                with_interval(change.ratio, change.interval),
                change.verdict + (" (control)" if change.reference else ""),
            ),
        )
        for change in changes
    ]
    behind = table("Figures of both reports", ("figure", "before", "after", "after / before", "verdict"), rows)
    legend = [(tone, verdict) for verdict, tone in TONES.items()]
    height = 62 + 18 * len(changes)
    return chart(
        key, "After beside before", f"{told}.", paint, behind, legend=legend, lines="down", height=height, left=215
    )
