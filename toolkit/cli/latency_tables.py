"""Latency reports, budgets and comparisons as plain tables."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from toolkit.cli.text_table import table, wrapped
from toolkit.contract.comparison_reports import Change, ComparisonReport
from toolkit.contract.latency_reports import (
    AssetCapacity,
    ColdStart,
    Crossover,
    Interval,
    LatencyReport,
    LatencyRow,
)

if TYPE_CHECKING:
    from toolkit.benchmark.budget import Judged

SHOWN_NOISY = 6


def latency_table(report: LatencyReport) -> str:
    """One line for each contender in each scenario, then cold starts, capacities and crossovers where measured."""
    parts = []
    if report.rows:
        header = ["contender", "p50 ms", "p99 ms", "per s", "CPU s/1000", "torch / this"]
        parts.append(table(header, list(_grouped(report.rows))))
    if report.cold:
        parts.append(_cold_table(report.cold))
    if report.capacities:
        parts.append(_asset_table(report.capacities))
    notes = [*_noisy_lines(report.rows), *(wrapped(_crossover_line(one)) for one in report.crossovers)]
    return "\n".join(["\n\n".join(parts), *notes, *map(wrapped, report.notes)])


def budget_lines(judged: "Sequence[Judged]") -> str:
    """Each budget and whether it is kept."""
    return "".join("\n" + wrapped(f"Budget {'kept' if one.kept else 'broken'}: {one.line}") for one in judged)


def comparison_table(report: ComparisonReport) -> str:
    """One line for each figure that both reports have, then what sets the two apart."""
    from toolkit.benchmark.compare import change_label

    header = ["figure of", "figure", "before", "after", "after / before", "verdict"]
    rows = [
        [
            change_label(change),
            change.figure.replace("cpu_s_per_1000", "CPU s/1000").replace("_", " "),
            f"{change.before:.4g}",
            f"{change.after:.4g}",
            _with_interval(change.ratio, change.interval) if change.before else "-",  # no ratio to 0 assets
            _verdict(change),
        ]
        for change in report.changes
    ]
    worse = report.regressions or "none"
    noisy = sum(change.verdict == "too noisy to tell" for change in report.changes)
    told = f"{len(report.changes)} figures, {worse} of ours worse, beyond noise and {report.least_percent:g} %"
    told += f"; {noisy} too noisy to tell" if noisy else ""
    return "\n".join([table(header, rows, left=2), wrapped(told), *map(wrapped, report.notes)])


def _grouped(rows: Sequence[LatencyRow]) -> Iterator[list[str]]:
    """A heading for each scenario and size, then a row for each contender."""
    said = None
    for row in rows:
        heading = f"{row.scenario} {row.batch} x {row.sequence}"
        if heading != said:
            said = heading
            yield [heading]
        yield _row_cells(row)


def _row_cells(row: LatencyRow) -> list[str]:
    mark = " ?" if row.noisy else ""
    p50 = "-" if row.p50_ms is None else _with_spread(row.p50_ms, row.intervals_ms.get("p50"))
    ratio = "-" if row.ratio_to_torch is None else _with_interval(row.ratio_to_torch, row.ratio_interval)
    if row.contender == "torch":
        ratio = "1"
    return [
        f"  {_who(row)}",
        p50,
        _number(row.p99_ms),
        "-" if row.throughput_per_s is None else f"{row.throughput_per_s:,.0f}",
        _number(row.cpu_s_per_1000, 3),
        ratio + mark,
    ]


def _who(row: LatencyRow) -> str:
    from toolkit.benchmark.scenarios import row_label

    return row_label(row)


def _with_spread(value: float, interval: Interval | None) -> str:
    """The wider half of the interval, in per cent of the value."""
    if interval is None or not value:
        return _number(value)
    half = max(value - interval[0], interval[1] - value) / value
    return f"{_number(value)} +-{100 * half:.{0 if half >= 0.095 else 1}f}%"


def _with_interval(value: float, interval: Interval | None) -> str:
    """The wider half of the interval."""
    digits = 2 if value < 10 else 1
    if interval is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} +-{max(value - interval[0], interval[1] - value):.{digits}f}"


def _noisy_lines(rows: Sequence[LatencyRow]) -> Iterator[str]:
    noisy = [row for row in rows if row.noisy]
    for row in noisy[:SHOWN_NOISY]:
        yield wrapped(f"? {row.scenario} {_who(row)} {row.batch} x {row.sequence}: {row.noisy}")
    if len(noisy) > SHOWN_NOISY:
        yield f"? and {len(noisy) - SHOWN_NOISY} more"


def _cold_table(starts: Sequence[ColdStart]) -> str:
    header = ["cold", "import ms", "session ms", "first ms", "total ms", "MB", "peak MB", "torch / this", "in MB"]
    rows = [
        [
            _with_provider(start),
            *(f"{value:.1f}" for value in (start.import_ms, start.session_ms, start.first_answer_ms, start.total_ms)),
            *("-" if value is None else f"{value:.1f}" for value in (start.rss_mb, start.peak_rss_mb)),
            *(
                "-" if value is None else f"{value:.2f}"
                for value in (start.ratio_to_torch, start.memory_ratio_to_torch)
            ),
        ]
        for start in starts
    ]
    return table(header, rows)


def _with_provider(start: ColdStart) -> str:
    provider = "" if start.provider == "cpu" else f" {start.provider.removesuffix('ExecutionProvider')}"
    return f"{start.contender}{provider}{'' if start.precision == 'fp32' else ' ' + start.precision}"


def _asset_table(capacities: Sequence[AssetCapacity]) -> str:
    header = ["assets on one core", "ticks per s", "assets", "tick ms", "p99 ms"]
    rows = [
        [
            f"{one.contender} {one.graph}{'' if one.precision == 'fp32' else ' ' + one.precision}",
            f"{one.rate_hz:g}",
            f"{one.assets:,}{' or more' if one.at_limit else ''}",
            _number(one.tick_ms),
            _number(one.p99_ms),
        ]
        for one in capacities
    ]
    return table(header, rows)


def _crossover_line(crossover: Crossover) -> str:
    provider = crossover.provider.removesuffix("ExecutionProvider")
    tried = ", ".join(f"{ratio:.2f} at {b}" for b, ratio in zip(crossover.batches, crossover.ratios, strict=True))
    found = "at no batch" if crossover.batch is None else f"from batch {crossover.batch} on"
    return f"{crossover.graph}: {provider} beats the CPU {found} (CPU / {provider}: {tried})"


def _verdict(change: Change) -> str:
    verdict = "noisy" if change.verdict == "too noisy to tell" else change.verdict
    return f"{verdict} (control)" if change.reference and verdict != "same" else verdict


def _number(value: float | None, digits: int = 4) -> str:
    """So many significant digits, and no exponent."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 10 ** (digits - 1) else f"{value:#.{digits}g}".rstrip(".")
