"""From which batch on another provider beats this CPU.

A GPU pays for every call (a launch, two copies) and little for a series more; a processor pays by series. Where the two
meet is what decides whether a GPU is worth it.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.benchmark.scenarios import ONNXRUNTIME
from toolkit.benchmark.statistics import median_ratio, ratio_interval
from toolkit.contract.latency_reports import Crossover, LatencyRow
from toolkit.runtime.session import CPU

BATCHES = (1, 4, 16, 64, 256, 1024)
"""What a run on CUDA measures unless told otherwise."""

_Key = tuple[str, str, int, int, str]
"""Scenario's graph, its precision, sequence and batch, and the provider."""


def crossovers(rows: Sequence[LatencyRow]) -> tuple[Crossover, ...]:
    """The crossover of each provider beside the CPU, for each graph, precision and length that both were measured on.

    Of several rows of one provider on one request, such as `predict` and `bulk`, the quickest counts. A batch is won
    where the whole 95 % interval of the ratio lies above 1 and neither row is too noisy to tell; the crossover is the
    smallest measured batch from which on every larger one is won too.

    Args:
        rows: of a report; those without the medians of their rounds are left out.
    """
    best: dict[_Key, LatencyRow] = {}
    for row in rows:
        if row.contender == ONNXRUNTIME and row.block_medians_ms and row.rate_hz is None:
            key = (row.graph, row.precision, row.sequence, row.batch, row.provider)
            if key not in best or _median(row) < _median(best[key]):
                best[key] = row
    groups = dict.fromkeys(key[:3] + key[4:] for key in best if key[4] != CPU)
    found = [_crossover(best, graph, precision, length, provider) for graph, precision, length, provider in groups]
    return tuple(one for one in found if one.batches)


def _crossover(best: dict[_Key, LatencyRow], graph: str, precision: str, sequence: int, provider: str) -> Crossover:
    both = {
        batch: (best[graph, precision, sequence, batch, CPU], row)
        for (*where, batch, whose), row in sorted(best.items(), key=lambda item: item[0][3])
        if [*where, whose] == [graph, precision, sequence, provider]
        and (graph, precision, sequence, batch, CPU) in best
    }
    ratios = tuple(_ratio(*pair) for pair in both.values())
    return Crossover(graph, provider, _first_of_last_wins(both.items()), tuple(both), ratios)


def _first_of_last_wins(both: Iterable[tuple[int, tuple[LatencyRow, LatencyRow]]]) -> int | None:
    first = None
    for batch, pair in sorted(both, reverse=True):
        if not _is_won(*pair):
            break
        first = batch
    return first


def _is_won(cpu: LatencyRow, other: LatencyRow) -> bool:
    return not cpu.noisy and not other.noisy and _interval(cpu, other)[0] > 1.0


def _same_rounds(cpu: LatencyRow, other: LatencyRow) -> bool:
    return len(cpu.block_medians_ms) == len(other.block_medians_ms)


def _ratio(cpu: LatencyRow, other: LatencyRow) -> float:
    return median_ratio(*_nanoseconds(cpu, other)) if _same_rounds(cpu, other) else _median(cpu) / _median(other)


def _interval(cpu: LatencyRow, other: LatencyRow) -> tuple[float, float]:
    """By rounds where the two took turns; of two runs by the medians of each, resampled for itself."""
    if _same_rounds(cpu, other):
        return ratio_interval(*_nanoseconds(cpu, other))
    chance = np.random.default_rng(0)
    medians = [
        np.median(chance.choice(np.asarray(row.block_medians_ms), (2000, len(row.block_medians_ms))), axis=1)
        for row in (cpu, other)
    ]
    low, high = np.quantile(medians[0] / medians[1], [0.025, 0.975])
    return float(low), float(high)


def _nanoseconds(*rows: LatencyRow) -> list[NDArray[np.float64]]:
    return [np.asarray(row.block_medians_ms) * 1e6 for row in rows]


def _median(row: LatencyRow) -> float:
    return float(np.median(row.block_medians_ms))
