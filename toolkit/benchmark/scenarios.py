"""A scenario: contenders that do the same work, and the rows of the report that come of timing them.

What a contender is inside is none of this room's business: a callable is passed in, be it torch or onnxruntime.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from toolkit.benchmark.statistics import (
    figure_intervals,
    median_ratio,
    noise_verdict,
    ratio_interval,
    summarise,
    variation_of,
)
from toolkit.benchmark.timing import Clock, Measurement, measure_in_turns, warm_up
from toolkit.contract.latency_reports import LatencyRow
from toolkit.errors import InputError

ONNXRUNTIME = "onnxruntime"
"""The toolkit's own way of running a graph."""
TORCH = "torch"
"""The contender whose time the others are held against."""

PLAIN = ("predict", "advance")
"""Predictors that a row is not named after: one call of the graph."""


@dataclass(frozen=True)
class Contender:
    """Something that can be called and timed.

    Attributes:
        name: `torch`, `onnxruntime`.
        graph: `windowed` or `streaming`.
        provider: execution provider, `cpu` for torch.
        precision: of the weights.
        threads: within one operator.
        call: does the work of one request; inputs are ready before, and what it returns is dropped.
        options: what else tells it from others, such as the predictor or the session's policy.
    """

    name: str
    graph: str
    provider: str
    precision: str
    threads: int
    call: Callable[[], object]
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """Contenders in turns on the same request: `batch` series of `sequence` samples."""

    name: str
    batch: int
    sequence: int
    contenders: tuple[Contender, ...]


def run_scenario(
    scenario: Scenario, clock: Clock, seconds: float, seed: int = 0
) -> tuple[list[LatencyRow], tuple[Measurement, ...]]:
    """Times the contenders in turns.

    Args:
        scenario: what is called.
        clock: where time comes from.
        seconds: for the whole scenario, warm-up included.
        seed: of the order of turns.

    Returns:
        One row for each contender, and the raw samples behind it, in the contenders' order. `ratio_to_torch` is
        held against the first contender `torch` with the same graph, and None where there is none.

    Raises:
        InputError: a scenario without contenders.
        ConfigError: `seconds` is not above 0.
    """
    if not scenario.contenders:
        raise InputError(f"the scenario {scenario.name} has nothing to measure", got="no contenders")
    calls = [contender.call for contender in scenario.contenders]
    plan = warm_up(calls, clock, seconds)
    raw = measure_in_turns(calls, clock, plan, seed)
    measurements = tuple(replace(one, settled=place not in plan.unsettled) for place, one in enumerate(raw))
    pairs = list(zip(scenario.contenders, measurements, strict=True))
    rows = [_row(scenario, contender, own, _reference(contender, pairs)) for contender, own in pairs]
    return rows, measurements


def row_label(row: LatencyRow) -> str:
    """One row in words: who did what."""
    provider = row.provider.removesuffix("ExecutionProvider")
    precision = "" if row.precision == "fp32" else row.precision
    predictor = row.options.get("predictor", "")
    own = "" if predictor in PLAIN else predictor
    who = [row.contender, "" if row.provider == "cpu" else provider, precision, own]
    return " ".join(part for part in who if part)


def request_label(row: LatencyRow) -> str:
    """One row in words: who did what in which scenario."""
    return f"{row_label(row)} in {row.scenario} {row.batch} x {row.sequence}"


def _reference(contender: Contender, pairs: Sequence[tuple[Contender, Measurement]]) -> Measurement | None:
    same = (own for other, own in pairs if other.name == TORCH and other.graph == contender.graph)
    return next(same, None)


def _row(scenario: Scenario, contender: Contender, own: Measurement, torch: Measurement | None) -> LatencyRow:
    summary, medians = summarise(own.calls_ns), own.block_medians_ns
    variation = variation_of(medians)
    ratio = None if torch is None else ratio_interval(torch.block_medians_ns, medians)
    intervals = figure_intervals(own.calls_ns)
    return LatencyRow(
        scenario=scenario.name,
        contender=contender.name,
        graph=contender.graph,
        provider=contender.provider,
        precision=contender.precision,
        batch=scenario.batch,
        sequence=scenario.sequence,
        threads=contender.threads,
        count=summary.count,
        p50_ms=summary.p50_ns / 1e6,
        p90_ms=summary.p90_ns / 1e6,
        p99_ms=summary.p99_ns / 1e6,
        p999_ms=summary.p999_ns / 1e6,
        max_ms=summary.max_ns / 1e6,
        mean_ms=summary.mean_ns / 1e6,
        intervals_ms={name: (low / 1e6, high / 1e6) for name, (low, high) in intervals.items()},
        throughput_per_s=_items(scenario, contender) * 1e9 / max(summary.p50_ns, 1),
        cpu_s_per_1000=own.cpu_s_per_1000,
        rss_mb=None,
        ratio_to_torch=None if torch is None else median_ratio(torch.block_medians_ns, medians),
        ratio_interval=ratio,
        variation=variation,
        noisy=noise_verdict(len(medians), variation, None if torch is own else ratio),
        block_medians_ms=tuple((medians / 1e6).tolist()),
        options=dict(contender.options),
    )


def _items(scenario: Scenario, contender: Contender) -> int:
    """What one call gets done: series of a windowed graph, samples of a streaming one."""
    return scenario.batch * (scenario.sequence if contender.graph == "streaming" else 1)
