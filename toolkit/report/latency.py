"""How long calls take and what they cost: distributions, sizes, processor time, memory, cold start, capacity."""

from collections.abc import Iterator, Sequence

from toolkit.contract.latency_reports import LatencyReport, LatencyRow
from toolkit.report.figures import counted, listed, number, short, with_interval
from toolkit.report.latency_costs import capacity_chart, cold_chart, cpu_chart, crossover_chart
from toolkit.report.latency_spread import contender_name, request_name, size_charts, spread_chart
from toolkit.report.material import Material, label
from toolkit.report.page import Block, Chart, Charts, Heading, Missing, Section, Table, Words, table
from toolkit.report.verdict import LATENCY_COMMAND

MOST_REQUESTS = 10
"""Requests with a distribution of their own; all stand in the table."""


def latency_section(material: Material) -> Section:
    """A part for each latency report."""
    blocks: list[Block] = []
    for place, one in enumerate(material.latency):
        name = label(material.latency, one)
        blocks += [Heading(name)] if name else []
        blocks += _blocks(one.report, f"latency{place}")
    for ready in material.readiness:
        rows = [
            (
                *(f"{one.graph} {one.precision}", "-" if one.samples is None else str(one.samples)),
                *(f"{one.calls:,}", number(one.p50_ms, 3), number(one.p99_ms, 3)),
            )
            for one in ready.report.trial.latency
        ]
        header = ("graph", "samples", "calls", "p50 ms", "p99 ms")
        blocks += [table(f"{ready.name}: one series a call on this machine", header, rows)] if rows else []
    if not material.latency:
        blocks.append(Missing("distributions, processor time, memory, other runtimes beside", LATENCY_COMMAND))
    return Section("latency", "Latency", tuple(blocks))


def _blocks(report: LatencyReport, key: str) -> Iterator[Block]:
    cpu, cores = report.environment.get("cpu"), report.environment.get("cores")
    if cpu:
        threads = report.environment.get("threads")
        one = f", {counted(threads, 'thread')} in an operator" if isinstance(threads, int) else ""
        yield Words(f"Measured on {short(str(cpu), 80)}, {short(str(cores), 10)} cores{one}.")
    if report.rows:
        yield Words(
            "Each dot is the median call of one round; contenders take turns within a round. The box holds the middle "
            "half of the rounds, the mark is the median of all calls, and the other marks are percentiles of all calls."
        )
    yield Charts(tuple(_charts(report, key)))
    noisy = [row for row in report.rows if row.noisy]
    for row in noisy[:6]:
        yield Words(f"{contender_name(row)}, {request_name(row)}: {row.noisy}.", "open")
    if report.rows:
        yield _row_table(report.rows)
    yield from (Missing(what, command) for what, command in _not_measured(report))
    yield from (Words(f"Note: {note}.") for note in report.notes)


def requests(rows: Sequence[LatencyRow]) -> dict[tuple[str, str, int, int, float], list[LatencyRow]]:
    """Rows that answer the same request, which may be compared, in the report's order."""
    found: dict[tuple[str, str, int, int, float], list[LatencyRow]] = {}
    for row in rows:
        key = (row.scenario, row.graph, row.batch, row.sequence, row.rate_hz or 0.0)
        found.setdefault(key, []).append(row)
    return found


def _charts(report: LatencyReport, key: str) -> Iterator[Chart]:
    timed = [row for row in report.rows if row.p50_ms is not None and row.p50_ms > 0]
    for place, rows in enumerate(list(requests(timed).values())[:MOST_REQUESTS]):
        yield spread_chart(rows, f"{key}-request{place}")
    yield from size_charts(timed, key)
    if any(row.cpu_s_per_1000 for row in timed):
        yield cpu_chart(timed, f"{key}-cpu")
    if report.cold:
        yield cold_chart(report.cold, f"{key}-cold")
    if any(one.assets > 0 for one in report.capacities):
        yield capacity_chart(report.capacities, f"{key}-capacity")
    for place, one in enumerate(report.crossovers[:4]):
        if one.batches and min(one.batches) > 0 and all(ratio > 0 for ratio in one.ratios):
            yield crossover_chart(one, f"{key}-crossover{place}")


def _row_table(rows: Sequence[LatencyRow]) -> Table:
    cells = [
        (
            *(request_name(row), contender_name(row), with_interval(row.p50_ms, row.intervals_ms.get("p50"))),
            *(number(row.p90_ms, 3), with_interval(row.p99_ms, row.intervals_ms.get("p99")), number(row.p999_ms, 3)),
            *(number(row.max_ms, 3), number(row.throughput_per_s, 3), number(row.cpu_s_per_1000, 3)),
            *(number(row.peak_rss_mb, 3), with_interval(row.ratio_to_torch, row.ratio_interval)),
        )
        for row in rows
    ]
    header = (
        *(
            "request",
            "contender",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "p99.9 ms",
            "max ms",
            "per s",
            "CPU s / 1,000",
            "peak MB",
        ),
        "torch / this",
    )
    return table("Every row, with 95 % intervals", header, cells, left=2)


def _not_measured(report: LatencyReport) -> Iterator[tuple[str, str]]:
    scenarios = {row.scenario for row in report.rows}
    absent = [
        name
        for name, there in (
            ("calls at a rate", "paced" in scenarios),
            ("memory and cold start", bool(report.cold)),
            ("how many assets one core serves", bool(report.capacities)),
        )
        if not there
    ]
    if absent:
        yield listed(absent), "lstm-edge benchmark BUNDLE --scenario all --json latency.json"
    if not report.crossovers:
        yield (
            "from which batch on CUDA is faster",
            "lstm-edge benchmark BUNDLE --provider cpu --provider cuda --json latency.json",
        )
