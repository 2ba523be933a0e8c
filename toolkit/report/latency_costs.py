"""What calls cost beside their time: processor seconds, memory, the way from nothing to an answer, assets served."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from toolkit.contract.latency_reports import AssetCapacity, ColdStart, Crossover, LatencyRow
from toolkit.report.drawing import chart, colour, log_axis, mark_sizes, name_axes, name_rows, series_colour
from toolkit.report.figures import number, short
from toolkit.report.latency_spread import contender_name
from toolkit.report.page import Chart, table

MOST_BARS = 20
STAGES = (("import_ms", "import", "c1"), ("session_ms", "session", "c2"), ("first_answer_ms", "first answer", "c3"))


def cpu_chart(rows: Sequence[LatencyRow], key: str) -> Chart:
    """Processor seconds per 1,000 calls, of the smallest calls first."""
    costly = [row for row in rows if row.cpu_s_per_1000 is not None and row.cpu_s_per_1000 > 0]
    shown = sorted(costly, key=lambda row: (row.batch, row.scenario, row.sequence))[:MOST_BARS]
    names = [f"{contender_name(row)}, {short(row.scenario, 12)} {row.batch} x {row.sequence}" for row in shown]

    def paint(axes: Axes) -> None:
        for place, row in enumerate(shown):
            tone = colour("c2" if row.contender == "onnxruntime" else "c1")
            axes.plot([row.cpu_s_per_1000 or 0.0], [place], "o", color=tone, markersize=6)
        log_axis(axes, "x", [row.cpu_s_per_1000 or 1.0 for row in shown])
        name_rows(axes, names)
        name_axes(axes, "processor seconds per 1,000 calls, logarithmic")

    told = f"Between {number(min(_cpu(shown)), 3)} and {number(max(_cpu(shown)), 3)} processor seconds per 1,000 calls."
    cells = [(name, number(row.cpu_s_per_1000, 3)) for name, row in zip(names, shown, strict=True)]
    behind = table("Processor seconds per 1,000 calls", ("who and what", "seconds"), cells)
    legend = (("c2", "onnxruntime"), ("c1", "others"))
    height = 62 + 18 * len(shown)
    return chart(key, "Processor time", told, paint, behind, legend=legend, lines="down", height=height, left=215)


def _cpu(rows: Sequence[LatencyRow]) -> list[float]:
    return [row.cpu_s_per_1000 for row in rows if row.cpu_s_per_1000 is not None]


def cold_chart(starts: Sequence[ColdStart], key: str) -> Chart:
    """From nothing to the first answer, in its stages; a dot for each process; memory beside the name."""
    shown = starts[:MOST_BARS]
    names = [_start_name(start) for start in shown]

    def paint(axes: Axes) -> None:
        for place, start in enumerate(shown):
            left = 0.0
            for field, _, tone in STAGES:
                axes.barh(place, getattr(start, field), 0.5, left, color=colour(tone), alpha=0.8)
                left += getattr(start, field)
            totals = start.totals_ms[:100]
            axes.plot(totals, [place] * len(totals), "o", color=colour("ink"), markersize=2.5)
        axes.set_xlim(left=0)
        memory = ["" if start.rss_mb is None else f", {number(start.rss_mb, 3)} MB" for start in shown]
        name_rows(axes, [f"{short(name, 17)}{used}" for name, used in zip(names, memory, strict=True)])
        name_axes(axes, "ms from the start of the process to the first answer")

    best = min(shown, key=lambda start: start.total_ms)
    told = f"{_start_name(best)} is the first to answer, after {number(best.total_ms, 3)} ms."
    cells = [
        (
            *(name, *(number(getattr(start, field), 3) for field, _, _ in STAGES), number(start.total_ms, 3)),
            *(number(start.rss_mb, 3), number(start.peak_rss_mb, 3), number(start.ratio_to_torch, 3)),
        )
        for name, start in zip(names, shown, strict=True)
    ]
    header = ("", "import ms", "session ms", "first answer ms", "total ms", "MB", "peak MB", "torch / this")
    behind = table("Cold start and memory: medians over fresh processes", header, cells)
    legend = [*((tone, name) for _, name, tone in STAGES), ("ink", "single processes")]
    height = 62 + 28 * len(shown)
    return chart(
        key, "Cold start and memory", told, paint, behind, legend=legend, lines="down", height=height, left=165
    )


def _start_name(start: ColdStart) -> str:
    provider = "" if start.provider.startswith(("cpu", "CPU")) else start.provider.removesuffix("ExecutionProvider")
    parts = (start.contender, provider, "" if start.precision == "fp32" else start.precision)
    return short(" ".join(part for part in parts if part), 30)


def capacity_chart(capacities: Sequence[AssetCapacity], key: str) -> Chart:
    """How many assets one core serves, by the rate of ticks."""
    found = [one for one in capacities if one.assets > 0 and one.rate_hz > 0][:60]
    names = list(dict.fromkeys(_server_name(one) for one in found))[:8]

    def paint(axes: Axes) -> None:
        for place, name in enumerate(names):
            own = sorted((one for one in found if _server_name(one) == name), key=lambda one: one.rate_hz)
            marks = "os^Dvp*h"[place % 8]
            tone = colour(series_colour(place))
            axes.plot([one.rate_hz for one in own], [one.assets for one in own], marks, linestyle="-", color=tone)
        log_axis(axes, "x", [one.rate_hz for one in found])
        log_axis(axes, "y", [one.assets for one in found])
        mark_sizes(axes, (one.rate_hz for one in found))
        name_axes(axes, "ticks per second", "assets on one core")

    most = max(capacities, key=lambda one: one.assets)
    told = f"At most {most.assets:,} assets, by {_server_name(most)} at {number(most.rate_hz)} ticks per second."
    cells = [
        (
            *(_server_name(one), number(one.rate_hz), f"{one.assets:,}{' or more' if one.at_limit else ''}"),
            *(number(one.tick_ms, 3), number(one.p99_ms, 3)),
        )
        for one in capacities
    ]
    header = ("", "ticks per s", "assets", "tick ms", "p99 ms")
    behind = table("Assets on one core in one batched call a tick", header, cells)
    legend = [(series_colour(place), name) for place, name in enumerate(names)]
    return chart(key, "Assets that one core serves", told, paint, behind, legend=legend, height=220, left=66)


def _server_name(one: AssetCapacity) -> str:
    precision = "" if one.precision == "fp32" else f" {one.precision}"
    return short(f"{one.contender} {one.graph}{precision}", 40)


def crossover_chart(one: Crossover, key: str) -> Chart:
    """The CPU's time over another provider's, by batch: above 1 the other is faster."""
    provider = short(one.provider.removesuffix("ExecutionProvider"), 30)

    def paint(axes: Axes) -> None:
        axes.plot(one.batches, one.ratios, "o", linestyle="-", color=colour("c1"))
        axes.axhline(1, color=colour("ink"), linewidth=0.9, linestyle=(0, (3, 2)))
        log_axis(axes, "x", one.batches)
        log_axis(axes, "y", [*one.ratios, 1.0])
        mark_sizes(axes, one.batches)
        name_axes(axes, "batch", f"time of the CPU / time of {provider}")

    where = "at no batch that was measured" if one.batch is None else f"from batch {one.batch} on"
    told = f"{provider} is faster than the CPU {where}, on the {short(one.graph, 20)} graph."
    cells = [(str(batch), number(ratio, 3)) for batch, ratio in zip(one.batches, one.ratios, strict=True)]
    behind = table(f"Time of the CPU over that of {provider}", ("batch", "ratio"), cells)
    legend = (("c1", f"above 1 {provider} is faster"),)
    return chart(key, f"{short(one.graph, 20)}: {provider} beside the CPU", told, paint, behind, legend=legend)
