"""A scenario: contenders that do the same work, and the rows of the report that come of timing them.

What a contender is inside is none of this room's business: a callable is passed in, be it torch or onnxruntime.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from toolkit.benchmark.statistics import median_ratio, summarise
from toolkit.benchmark.timing import Clock, Measurement, measure_in_turns, warm_up
from toolkit.contract.latency_reports import LatencyRow
from toolkit.errors import InputError

TORCH = "torch"
"""The contender whose time the others are held against."""


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
    """

    name: str
    graph: str
    provider: str
    precision: str
    threads: int
    call: Callable[[], object]


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
    measurements = measure_in_turns(calls, clock, warm_up(calls, clock, seconds), seed)
    pairs = list(zip(scenario.contenders, measurements, strict=True))
    rows = [_row(scenario, contender, own, _reference(contender, pairs)) for contender, own in pairs]
    return rows, measurements


def _reference(contender: Contender, pairs: Sequence[tuple[Contender, Measurement]]) -> Measurement | None:
    same = (own for other, own in pairs if other.name == TORCH and other.graph == contender.graph)
    return next(same, None)


def _row(scenario: Scenario, contender: Contender, own: Measurement, torch: Measurement | None) -> LatencyRow:
    summary = summarise(own.calls_ns)
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
        max_ms=summary.max_ns / 1e6,
        throughput_per_s=_items(scenario, contender) * 1e9 / max(summary.p50_ns, 1),
        cpu_s_per_1000=own.cpu_s_per_1000,
        rss_mb=None,
        ratio_to_torch=None if torch is None else median_ratio(torch.block_medians_ns, own.block_medians_ns),
    )


def _items(scenario: Scenario, contender: Contender) -> int:
    """What one call gets done: series of a windowed graph, samples of a streaming one."""
    return scenario.batch * (scenario.sequence if contender.graph == "streaming" else 1)
