"""The table that the model was trained on: channels over time, gaps, splits, and whether the test part is another."""

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes

from toolkit.contract.picture_reports import ChannelTrace, DataReport, Distribution, Gap
from toolkit.report.drawing import chart, colour, name_axes, series_colour, time_axis
from toolkit.report.figures import counted, listed, moment, number, short, span, with_unit
from toolkit.report.material import Material, label
from toolkit.report.page import Block, Chart, Charts, Facts, Heading, Missing, Section, Table, Words, table
from toolkit.report.verdict import TRAIN_COMMAND

MOST_CHANNELS = 16
"""With charts of their own; all stand in the table of shifts."""
SHIFTED = 0.3
"""Kolmogorov-Smirnov distance from which on a test part is told to be another one: above what a season apart gives."""
PART_COLOURS = {"train": "c1", "validation": "c2", "test": "c3"}
GAP_COLOUR = "c4"


def data_section(material: Material) -> Section:
    """A part for each data report."""
    blocks: list[Block] = []
    for place, one in enumerate(material.data):
        name = label(material.data, one)
        blocks += [Heading(name)] if name else []
        blocks += _blocks(one.report, f"data{place}")
    if not blocks and material.run is not None:
        facts = material.run.facts.data
        pairs = (("Table", short(facts.file_name, 80)), ("Rows", f"{facts.rows:,}"), ("Assets", f"{facts.assets:,}"))
        blocks.append(Facts(pairs))
    if not material.data:
        blocks.append(Missing("the channels over time, gaps, splits and distributions", TRAIN_COMMAND))
    return Section("data", "Data", tuple(blocks))


def _blocks(report: DataReport, key: str) -> Iterator[Block]:
    yield Facts(tuple(_facts(report)))
    yield from (Words(f"Note: {note}.") for note in report.notes)
    yield _shift_words(report)
    channels = _shown(report)
    if len(channels) < len(report.channels):
        left = len(report.channels) - len(channels)
        yield Words(f"Targets and the channels that shift most are drawn; {counted(left, 'channel')} more are not.")
    charts = [drawn for place, name in enumerate(channels) for drawn in _charts(report, name, f"{key}-{place}")]
    if charts:
        yield Charts(tuple(charts))
    if report.distributions:
        yield _shift_table(report)
    if report.gaps:
        yield _gap_table(report.gaps, report.gaps_in_all)


def _facts(report: DataReport) -> Iterator[tuple[str, str]]:
    yield "Table", short(report.file, 80)
    assets = f" of {counted(report.assets_in_all, 'asset')}: {listed(report.assets)}" if report.assets else ""
    yield "Rows", f"{report.rows:,}{assets}"
    yield "Interval", span(report.interval_s)
    yield "Channels", counted(len(report.channels), "channel")
    yield "Gaps", f"{report.gaps_in_all:,}" if report.gaps_in_all else "none"
    for name, border in zip(("Validation from", "Test from"), report.borders_s, strict=False):
        yield name, f"{moment(border)} UTC"
    yield "Until", f"{moment(report.end_s)} UTC"


def _shift_words(report: DataReport) -> Words:
    shifted = sorted((one for one in report.distributions if one.shift >= SHIFTED), key=lambda one: -one.shift)
    if not report.distributions:
        return Words("No distributions stand in the report.", "open")
    if not shifted:
        return Words("No channel's test part is spread much otherwise than its training part.", "good")
    names = listed([one.channel for one in shifted])
    least = f"Kolmogorov-Smirnov distance {SHIFTED:g} or more"
    return Words(f"The test part is another than the training part in {names}: {least}.", "warn")


def _shown(report: DataReport) -> list[str]:
    """In the input's order: targets, and of the others those that shift most."""
    shifts = {one.channel: one.shift for one in report.distributions}
    ranked = sorted(report.channels, key=lambda name: (name not in report.targets, -shifts.get(name, 0.0)))
    chosen = set(ranked[:MOST_CHANNELS])
    return [name for name in dict.fromkeys(report.channels) if name in chosen]


def _charts(report: DataReport, channel: str, key: str) -> Iterator[Chart]:
    unit = dict(zip(report.channels, report.units, strict=True))[channel]
    traces = [one for one in report.traces if one.channel == channel and one.times_s][:3]
    if traces:
        yield _trace_chart(report, traces, with_unit(channel, unit), f"{key}-time")
    for one in report.distributions:
        if one.channel == channel and one.edges[-1] > one.edges[0]:
            yield _distribution_chart(one, with_unit(channel, unit), f"{key}-spread")
            return


def _trace_chart(report: DataReport, traces: Sequence[ChannelTrace], name: str, key: str) -> Chart:
    first, last = min(one.times_s[0] for one in traces), max(one.times_s[-1] for one in traces)
    gaps = [gap for gap in report.gaps if gap.asset in {one.asset for one in traces}]

    def paint(axes: Axes) -> None:
        for place, one in enumerate(traces):
            tone = colour(series_colour(place))
            axes.fill_between(one.times_s, one.low, one.high, color=tone, alpha=0.2, linewidth=0)
            axes.plot(one.times_s, one.mean, color=tone, linewidth=1)
        for border, what in zip(report.borders_s, ("validation", "test"), strict=False):
            axes.axvline(border, color=colour("ink"), linewidth=0.9, linestyle=(0, (3, 2)))
            axes.text(border, 0.99, f" {what}", transform=axes.get_xaxis_transform(), va="top", fontsize=10)
        for gap in gaps:
            axes.axvspan(gap.start_s, gap.end_s, 0, 0.05, color=colour(GAP_COLOUR), linewidth=1)
        time_axis(axes, first, last)
        name_axes(axes, "UTC", name)

    legend = [
        (series_colour(place), one.asset or "mean; band: smallest to largest") for place, one in enumerate(traces)
    ]
    if gaps:
        legend.append((GAP_COLOUR, "gaps"))
    readings = [value for one in traces for value in (*one.low, *one.high)]
    told = (
        f"{name} from {moment(first)} to {moment(last)} UTC, "
        f"between {number(min(readings))} and {number(max(readings))}, "
        f"for {counted(len(traces), 'asset')}; {counted(len(gaps), 'gap')}."
    )
    return chart(
        key, f"{short(name, 60)} over time", told, paint, _trace_table(traces, name), legend=legend, height=190
    )


def _trace_table(traces: Sequence[ChannelTrace], name: str) -> Table:
    rows = [
        (short(one.asset, 30), moment(time), number(low), number(mean), number(high))
        for one in traces
        for time, low, mean, high in zip(one.times_s, one.low, one.mean, one.high, strict=True)
    ]
    return table(
        f"{short(name, 60)}, thinned", ("asset", "UTC", "smallest", "mean", "largest"), rows, left=2, thinned=True
    )


def _distribution_chart(one: Distribution, name: str, key: str) -> Chart:
    parts = list(one.shares)

    def paint(axes: Axes) -> None:
        for part in parts:
            tone = colour(PART_COLOURS.get(part, "c5"))
            axes.stairs([100 * share for share in one.shares[part]], one.edges, color=tone, linewidth=1.5)
        axes.set_xlim(one.edges[0], one.edges[-1])
        axes.set_ylim(bottom=0)
        name_axes(axes, name, "% of the readings")

    told = (
        f"How {name} is spread in {listed(parts)}. The largest distance between the distribution functions of training "
        f"and test is {number(one.shift, 3)}."
    )
    rows = [
        (f"{number(low)} to {number(high)}", *(f"{100 * one.shares[part][place]:.2f}" for part in parts))
        for place, (low, high) in enumerate(zip(one.edges, one.edges[1:], strict=False))
    ]
    behind = table(f"{short(name, 60)}: % of the readings in each bin", ("bin", *parts), rows, thinned=True)
    legend = [(PART_COLOURS.get(part, "c5"), part) for part in parts]
    title = f"{short(name, 60)} by part, shift {number(one.shift, 2)}"
    return chart(key, title, told, paint, behind, legend=legend, height=190)


def _shift_table(report: DataReport) -> Table:
    rows = [
        (short(one.channel, 60), number(one.shift, 3), "yes" if one.shift >= SHIFTED else "no")
        for one in sorted(report.distributions, key=lambda one: -one.shift)
    ]
    caption = "Distance between the distributions of training and test (Kolmogorov-Smirnov), the largest first"
    return table(caption, ("channel", "distance", "another"), rows)


def _gap_table(gaps: Sequence[Gap], in_all: int) -> Table:
    longest = sorted(gaps, key=lambda gap: gap.start_s - gap.end_s)
    rows = [
        (short(gap.asset, 40), moment(gap.start_s), moment(gap.end_s), span(gap.end_s - gap.start_s)) for gap in longest
    ]
    return table(
        f"Gaps, the longest first, of {in_all:,} in all", ("asset", "from, UTC", "to, UTC", "for"), rows[:20], left=3
    )
