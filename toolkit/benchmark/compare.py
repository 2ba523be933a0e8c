"""Two latency reports of one machine: what changed beyond noise.

Milliseconds of two runs are compared, so that the machine has to be the same and as quiet. Other runtimes in the
reports are the control: where torch changed too, it was the machine, and a note says so.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TypeVar

from toolkit.benchmark.own_contenders import TUNED
from toolkit.benchmark.scenarios import ONNXRUNTIME, PLAIN
from toolkit.benchmark.statistics import LEAST_ROUNDS, MOST_VARIATION, change_interval, variation_of
from toolkit.contract.comparison_reports import Change, ComparisonReport, Verdict
from toolkit.contract.latency_reports import AssetCapacity, ColdStart, Interval, LatencyReport, LatencyRow
from toolkit.errors import ConfigError, RegressionError, ReportError

LEAST_PERCENT = 5.0
"""What a ratio is good for on a machine that is not alone; see `statistics.MOST_VARIATION`."""
MOST_PERCENT = 1000.0
LEAST_CPU_PERCENT = 25.0
"""Of processor time at a rate, which is one sum without rounds: a few system ticks in a second move it so far."""
LEAST_ASSETS_PERCENT = 50.0
"""Of assets on a core: a search may end a quarter below what fits, and follows the few longest ticks."""

T = TypeVar("T")
Rows = Sequence[T]


@dataclass(frozen=True)
class _Whose:
    """Of whom a figure is, as `Change` names it."""

    scenario: str
    contender: str
    graph: str
    provider: str
    precision: str
    predictor: str = ""
    batch: int | None = None
    sequence: int | None = None
    threads: int | None = None
    rate_hz: float | None = None


@dataclass(frozen=True)
class _Figure:
    """What is judged: its two values, the rounds behind them, and whether more of it is better."""

    name: str
    before: float
    after: float
    rounds: tuple[Sequence[float], Sequence[float]] | None = None
    more_is_better: bool = False
    least_percent: float = 0.0


def compare_reports(
    before: LatencyReport, after: LatencyReport, *, least_percent: float = LEAST_PERCENT, across: bool = False
) -> ComparisonReport:
    """What changed from one report to the other.

    Args:
        before: the first.
        after: the second.
        least_percent: the smallest change that matters.
        across: whether another machine or model is allowed; a note then says so.

    Raises:
        ReportError: they cannot be compared, and why.
        ConfigError: `least_percent` is no share.
    """
    if not 0 <= least_percent <= MOST_PERCENT:
        raise ConfigError("--least", got=least_percent, allowed=f"0 to {MOST_PERCENT:g} per cent")
    notes = [*_differences(before, after, across=across)]
    changes = [
        *_changes(before.rows, after.rows, _row_key, lambda a, b: _row_changes(a, b, least_percent), notes),
        *_changes(before.cold, after.cold, _cold_key, lambda a, b: _cold_changes(a, b, least_percent), notes),
        *_changes(
            before.capacities, after.capacities, _asset_key, lambda a, b: _asset_changes(a, b, least_percent), notes
        ),
    ]
    if not changes:
        raise ReportError("the two reports have no row in common", got=notes[-1] if notes else "no rows")
    notes += _control(changes)
    regressions = sum(change.verdict == "worse" and not change.reference for change in changes)
    return ComparisonReport(tuple(changes), tuple(notes), least_percent, regressions)


def raise_if_worse(report: ComparisonReport) -> None:
    """Ends a command whose second report is worse.

    Raises:
        RegressionError: with the figure that is worst.
    """
    worse = [change for change in report.changes if change.verdict == "worse" and not change.reference]
    if worse:
        worst = max(worse, key=lambda change: max(change.ratio, 1 / max(change.ratio, 1e-9)))
        counted = "1 figure is" if len(worse) == 1 else f"{len(worse)} figures are"
        raise RegressionError(
            f"{counted} worse beyond noise; the worst: {change_label(worst)}",
            got=f"{worst.figure} {worst.after:.4g} where it was {worst.before:.4g}",
        )


def change_label(change: Change) -> str:
    """Whose figure it is."""
    provider = "" if change.provider == "cpu" else change.provider.removesuffix("ExecutionProvider")
    precision = "" if change.precision == "fp32" else change.precision
    plain = change.predictor in PLAIN
    who = [change.contender, provider, precision, "" if plain else change.predictor]
    size = [] if change.batch is None else [f"{change.batch} x {change.sequence}"]
    rate = [] if change.rate_hz is None else [f"at {change.rate_hz:g} Hz"]
    graph = [] if change.batch is not None else [change.graph]
    return " ".join(part for part in [change.scenario, *who, *graph, *size, *rate] if part)


def _differences(before: LatencyReport, after: LatencyReport, *, across: bool) -> Iterator[str]:
    machines = [str(report.environment.get("cpu", "unknown")) for report in (before, after)]
    models = [report.bundle.get("model", "unknown") for report in (before, after)]
    for what, (first, second) in (("machines", machines), ("models", models)):
        if first == second:
            continue
        if not across:
            raise ReportError(
                f"the two reports are of different {what}", got=f"{first} and {second}", fix="--across compares them"
            )
        yield f"different {what}: {first} and {second}"
    digests = {report.bundle.get("manifest_sha256") for report in (before, after)}
    if len(digests) > 1:
        yield "the two bundles are not the same"
    packages = [report.environment.get("packages") for report in (before, after)]
    versions = [one.get("onnxruntime") if isinstance(one, dict) else None for one in packages]
    if versions[0] != versions[1]:
        yield f"onnxruntime {versions[0]} and {versions[1]}"


def _changes(
    before: Rows[T],
    after: Rows[T],
    key: Callable[[T], tuple[Hashable, ...]],
    changes: Callable[[T, T], Iterable[Change]],
    notes: list[str],
) -> Iterator[Change]:
    """Of the pairs that both have; the others are noted."""
    first, second = _by_key(before, key), _by_key(after, key)
    for found in first:
        if found in second:
            yield from changes(first[found], second[found])
    for which, own, other in (("first", first, second), ("second", second, first)):
        alone = [found for found in own if found not in other]
        if alone:
            shown = " ".join(str(part) for part in alone[0][0] if part not in (None, ""))
            notes.append(f"{len(alone)} row{'s' * (len(alone) > 1)} in the {which} report alone, such as {shown}")


def _by_key(rows: Rows[T], key: Callable[[T], tuple[Hashable, ...]]) -> dict[tuple[tuple[Hashable, ...], int], T]:
    """Rows that share a key are told apart by their order."""
    found: dict[tuple[tuple[Hashable, ...], int], T] = {}
    for row in rows:
        place = 0
        while (key(row), place) in found:
            place += 1
        found[key(row), place] = row
    return found


def _row_key(row: LatencyRow) -> tuple[Hashable, ...]:
    who = (row.scenario, row.contender, row.graph, row.provider, row.precision)
    return (*who, row.options.get("predictor", ""), row.batch, row.sequence, row.threads, row.rate_hz)


def _cold_key(cold: ColdStart) -> tuple[Hashable, ...]:
    return "cold", cold.contender, cold.graph, cold.provider, cold.precision


def _asset_key(capacity: AssetCapacity) -> tuple[Hashable, ...]:
    return "assets", capacity.contender, capacity.graph, capacity.precision, capacity.rate_hz


def _row_changes(before: LatencyRow, after: LatencyRow, least: float) -> Iterator[Change]:
    own = _Whose(before.scenario, before.contender, before.graph, before.provider, before.precision)
    own = replace(own, predictor=before.options.get("predictor", ""), batch=before.batch, sequence=before.sequence)
    own = replace(own, threads=before.threads, rate_hz=before.rate_hz)
    return (_change(own, figure, least) for figure in _row_figures(before, after))


def _row_figures(before: LatencyRow, after: LatencyRow) -> Iterator[_Figure]:
    if before.p50_ms is not None and after.p50_ms is not None:
        yield _Figure("p50_ms", before.p50_ms, after.p50_ms, (before.block_medians_ms, after.block_medians_ms))
    used = before.cpu_s_per_1000, after.cpu_s_per_1000
    if before.scenario == "paced" and used[0] and used[1]:  # only at a rate does it say more than the time
        yield _Figure("cpu_s_per_1000", used[0], used[1], least_percent=LEAST_CPU_PERCENT)


def _cold_changes(before: ColdStart, after: ColdStart, least: float) -> Iterator[Change]:
    figures = [_Figure("total_ms", before.total_ms, after.total_ms, (before.totals_ms, after.totals_ms))]
    if before.rss_mb is not None and after.rss_mb is not None:
        figures.append(_Figure("rss_mb", before.rss_mb, after.rss_mb))
    own = _Whose("cold", before.contender, before.graph, before.provider, before.precision)
    return (_change(own, figure, least) for figure in figures)


def _asset_changes(before: AssetCapacity, after: AssetCapacity, least: float) -> Iterator[Change]:
    own = _Whose("assets", before.contender, before.graph, "", before.precision, rate_hz=before.rate_hz)
    figure = _Figure("assets", before.assets, after.assets, more_is_better=True, least_percent=LEAST_ASSETS_PERCENT)
    yield _change(own, figure, least)


def _change(whose: _Whose, figure: _Figure, least: float) -> Change:
    interval = None
    if figure.rounds is not None and min(map(len, figure.rounds)) > 0:
        interval = change_interval(*figure.rounds)
        ratio = _ratio(*map(median, figure.rounds))
        verdict = _by_rounds(figure.rounds, ratio, interval, least)
    else:
        ratio = _ratio(figure.before, figure.after)
        verdict = _verdict(ratio, max(least, figure.least_percent), more_is_better=figure.more_is_better)
    return Change(
        **vars(whose),
        figure=figure.name,
        before=figure.before,
        after=figure.after,
        ratio=ratio,
        interval=interval,
        verdict=verdict,
        reference=whose.contender not in (ONNXRUNTIME, TUNED),
    )


def _by_rounds(
    rounds: tuple[Sequence[float], Sequence[float]], ratio: float, interval: Interval, least: float
) -> Verdict:
    noisy = any(variation_of(one) > MOST_VARIATION or len(one) < LEAST_ROUNDS for one in rounds)
    low, high = interval
    found = _verdict(ratio, least)
    if found == "same":
        return "same"
    return "too noisy to tell" if noisy or low <= 1.0 <= high else found


def _verdict(ratio: float, least: float, *, more_is_better: bool = False) -> Verdict:
    if more_is_better:
        ratio = _ratio(ratio, 1.0)
    if ratio >= 1 + least / 100 and ratio > 1:
        return "worse"
    return "better" if ratio <= 1 / (1 + least / 100) and ratio < 1 else "same"


def _ratio(before: float, after: float) -> float:
    """0 assets before and after are the same."""
    return 1.0 if before == after else after / max(before, 1e-9)


def _control(changes: Sequence[Change]) -> Iterator[str]:
    """Runtimes that no change of ours can have touched."""
    for change in changes:
        if change.reference and change.verdict in ("worse", "better"):
            times = f"{change.ratio:.2f} times its {change.figure}"
            yield f"{change_label(change)} changed too, to {times}: the machine was not as it was"
