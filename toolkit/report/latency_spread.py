"""Times of calls as they are spread, contenders beside each other, and how they grow with the size of a call."""

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from toolkit.contract.latency_reports import LatencyRow
from toolkit.report.drawing import chart, colour, log_axis, mark_sizes, name_axes, name_rows, series_colour
from toolkit.report.figures import counted, number, short, with_interval
from toolkit.report.page import Chart, table

MOST_CONTENDERS = 16
MOST_ROUNDS = 200
MOST_GRAPHS = 8
PLAIN = ("predict", "advance", "")
LEGEND = (("c1", "rounds, their middle half"), ("c2", "median"), ("c3", "90th percentile"), ("c4", "99th percentile"))


def contender_name(row: LatencyRow) -> str:
    """Who did it: runtime, provider, precision, and the predictor where it is not the plain one."""
    provider = "" if row.provider == "cpu" else row.provider.removesuffix("ExecutionProvider")
    predictor = row.options.get("predictor", "")
    precision = "" if row.precision == "fp32" else row.precision
    parts = (row.contender, provider, precision, "" if predictor in PLAIN else predictor)
    return short(" ".join(part for part in parts if part), 40)


def request_name(row: LatencyRow) -> str:
    """What was asked: scenario, series, samples."""
    rate = "" if row.rate_hz is None else f" at {row.rate_hz:g} per s"
    return f"{short(row.scenario, 20)} {row.batch} x {row.sequence}{rate}"


def spread_chart(rows: Sequence[LatencyRow], key: str) -> Chart:
    """One request: for each contender its rounds, the middle half of them, and percentiles of its calls.

    Args:
        rows: of the same request, each with a median above 0.
        key: of the chart.
    """
    shown = rows[:MOST_CONTENDERS]
    what = request_name(rows[0])

    def paint(axes: Axes) -> None:
        ends = [time for row in shown for time in (row.p50_ms, row.p90_ms, row.p99_ms, *_rounds(row)) if time]
        log_axis(axes, "x", ends)
        for place, row in enumerate(shown):
            _paint_row(axes, row, place)
        name_rows(axes, [contender_name(row) for row in shown])
        name_axes(axes, "ms a call, logarithmic")

    best = min(shown, key=lambda row: row.p50_ms or 0.0)
    told = f"{what}: {contender_name(best)} has the smallest median, {number(best.p50_ms, 3)} ms, "
    told += f"and {number(best.p99_ms, 3)} ms at the 99th percentile."
    told += " Some of these times are too noisy to tell." if any(row.noisy for row in shown) else ""
    cells = [
        (
            *(contender_name(row), f"{row.count:,}", with_interval(row.p50_ms, row.intervals_ms.get("p50"))),
            *(number(row.p90_ms, 3), number(row.p99_ms, 3), _middle_half(row)),
        )
        for row in rows
    ]
    header = ("contender", "calls", "p50 ms (95 % interval)", "p90 ms", "p99 ms", "middle half of the rounds, ms")
    behind = table(what, header, cells)
    return chart(key, what, told, paint, behind, legend=LEGEND, lines="down", height=64 + 28 * len(shown), left=146)


def _rounds(row: LatencyRow) -> list[float]:
    return [time for time in row.block_medians_ms if time > 0]


def _paint_row(axes: Axes, row: LatencyRow, place: int) -> None:
    rounds = _rounds(row)
    every = -(-len(rounds) // MOST_ROUNDS) if rounds else 1
    # Spread up and down by a fixed pattern: dots of equal times would hide each other.
    jitter = [place + 0.3 * (((at * 7) % 11) / 10 - 0.5) for at in range(len(rounds))]
    if rounds:
        low, high = _quartiles(rounds)
        axes.add_patch(
            Rectangle((low, place - 0.28), high - low, 0.56, facecolor=colour("c1"), alpha=0.25, linewidth=0)
        )
    axes.plot(rounds[::every], jitter[::every], "o", color=colour("c1"), markersize=2, alpha=0.6)
    for time, tone, mark in ((row.p50_ms, "c2", "|"), (row.p90_ms, "c3", "D"), (row.p99_ms, "c4", "s")):
        if time:
            size, width = (16, 2.5) if mark == "|" else (4, 1)
            axes.plot([time], [place], mark, color=colour(tone), markersize=size, markeredgewidth=width)


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(values)
    last = len(ordered) - 1
    return ordered[round(last * 0.25)], ordered[round(last * 0.75)]


def _middle_half(row: LatencyRow) -> str:
    rounds = _rounds(row)
    return f"{number(_quartiles(rounds)[0], 3)} to {number(_quartiles(rounds)[1], 3)}" if rounds else "-"


def size_charts(rows: Sequence[LatencyRow], key: str) -> Iterator[Chart]:
    """Medians by batch and by sequence, for each graph that was asked at several of them."""
    timed = [row for row in rows if row.rate_hz is None and row.batch > 0 and row.sequence > 0]
    for place, graph in enumerate(list(dict.fromkeys(row.graph for row in timed))[:MOST_GRAPHS]):
        own = [row for row in timed if row.graph == graph]
        for axis, other in (("batch", "sequence"), ("sequence", "batch")):
            fixed = _widest(own, axis, other)
            chosen = [row for row in own if getattr(row, other) == fixed]
            if len({getattr(row, axis) for row in chosen}) > 1:
                yield _size_chart(chosen, axis, f"{other} {fixed}", f"{key}-graph{place}-{axis}")


def _widest(rows: Sequence[LatencyRow], axis: str, other: str) -> int:
    """The size of the other axis at which this one takes most values; of equals the largest sequence, least batch."""
    found: dict[int, set[int]] = {}
    for row in rows:
        found.setdefault(getattr(row, other), set()).add(getattr(row, axis))
    sign = 1 if other == "sequence" else -1
    return max(found, key=lambda size: (len(found[size]), sign * size))


def _size_chart(rows: Sequence[LatencyRow], axis: str, fixed: str, key: str) -> Chart:
    names = list(dict.fromkeys(contender_name(row) for row in rows))[:8]
    curves = {
        name: sorted((r for r in rows if contender_name(r) == name), key=lambda r: getattr(r, axis)) for name in names
    }

    def paint(axes: Axes) -> None:
        for place, curve in enumerate(curves.values()):
            _paint_curve(axes, curve, axis, place)
        times = [time for curve in curves.values() for row in curve for time in (row.p50_ms,) if time]
        log_axis(axes, "x", [getattr(row, axis) for row in rows])
        log_axis(axes, "y", times)
        mark_sizes(axes, (getattr(row, axis) for row in rows))
        name_axes(axes, axis, f"median ms a call, {fixed}")

    graph = short(rows[0].graph, 20)
    told = f"Median time of a call of the {graph} graph by {axis}, at {fixed}, for {counted(len(names), 'contender')}."
    cells = [
        (name, str(getattr(row, axis)), with_interval(row.p50_ms, row.intervals_ms.get("p50")))
        for name, curve in curves.items()
        for row in curve
    ]
    behind = table(f"{graph}, {fixed}", ("contender", axis, "p50 ms (95 % interval)"), cells)
    legend = [(series_colour(place), name) for place, name in enumerate(names)]
    return chart(key, f"{graph}: time by {axis}", told, paint, behind, legend=legend, height=220)


def _paint_curve(axes: Axes, curve: Sequence[LatencyRow], axis: str, place: int) -> None:
    """Medians, and their intervals as bars."""
    tone, sizes = colour(series_colour(place)), [getattr(row, axis) for row in curve]
    axes.plot(sizes, [row.p50_ms or 0.0 for row in curve], "os^Dvp*h"[place % 8], linestyle="-", color=tone)
    for size, row in zip(sizes, curve, strict=True):
        interval = row.intervals_ms.get("p50", ())
        if len(interval) == 2 and min(interval) > 0:
            axes.plot([size, size], interval, color=tone, linewidth=3, alpha=0.4)
