"""Scenario `cold`: from nothing to the first answer, and the memory that a process then holds.

Every start is a fresh process. One of each contender is thrown away first, so that all find their files in the page
cache and their modules compiled: how long a disk takes is no contender's merit. Then they start in turns, in an order
that is shuffled anew in each round, one at a time.
"""

import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from toolkit.benchmark.scenarios import TORCH
from toolkit.benchmark.statistics import median_ratio
from toolkit.benchmark.worker_protocol import Memory, Start, Worker, WorkerProcess
from toolkit.contract.latency_reports import ColdStart
from toolkit.errors import ConfigError

CALLS = 1000
"""Before memory is read: by then everything is allocated that a steady process needs."""


@dataclass(frozen=True)
class ColdSample:
    """One process.

    Attributes:
        start: its times.
        memory: after `CALLS` calls.
    """

    start: Start
    memory: Memory


def cold_starts(workers: Sequence[Worker], runs: int = 5) -> tuple[ColdStart, ...]:
    """Measures and sums up, see `measure_cold` and `sum_up`.

    Args:
        workers: the contenders.
        runs: processes of each that count.
    """
    return sum_up(workers, measure_cold(workers, runs))


def measure_cold(
    workers: Sequence[Worker], runs: int, *, seed: int = 0, sample: "Callable[[Worker], ColdSample] | None" = None
) -> tuple[tuple[ColdSample, ...], ...]:
    """Starts fresh processes in turns.

    Args:
        workers: the contenders.
        runs: processes of each that count.
        seed: of the order within each round.
        sample: makes one process; None means `one_process`.

    Returns:
        For each contender, in their order, its processes; number r of each is of the same round.

    Raises:
        ConfigError: no run.
        BundleError: a process refuses the bundle.
        RequestError: a process dies or hangs.
    """
    if runs < 1:
        raise ConfigError("runs of a cold start", got=runs, allowed="1 or more")
    taken = sample or one_process
    order, shuffler = list(range(len(workers))), random.Random(seed)
    samples: list[list[ColdSample]] = [[] for _ in workers]
    for worker in workers:
        taken(worker)
    for _ in range(runs):
        shuffler.shuffle(order)
        for place in order:
            samples[place].append(taken(workers[place]))
    return tuple(map(tuple, samples))


def one_process(worker: Worker) -> ColdSample:
    """Starts one, lets it work, and ends it."""
    with WorkerProcess(worker) as process:
        return ColdSample(process.start, process.calls(CALLS))


def sum_up(workers: Sequence[Worker], samples: Sequence[Sequence[ColdSample]]) -> tuple[ColdStart, ...]:
    """Medians over processes, and torch's figures over each contender's.

    Args:
        workers: the contenders.
        samples: for each of them its processes, in the same rounds.
    """
    measured = list(zip(workers, samples, strict=True))
    return tuple(_cold_start(worker, own, _torch(worker, measured)) for worker, own in measured)


def _cold_start(worker: Worker, own: Sequence[ColdSample], torch: Sequence[ColdSample] | None) -> ColdStart:
    starts = [sample.start for sample in own]
    rss = _rss(own)
    torch_rss = None if torch is None else _rss(torch)
    return ColdStart(
        contender=worker.contender,
        graph=worker.graph,
        provider=worker.provider,
        precision=worker.precision,
        runs=len(own),
        import_ms=statistics.median(start.import_ns for start in starts) / 1e6,
        session_ms=statistics.median(start.session_ns for start in starts) / 1e6,
        first_answer_ms=statistics.median(start.first_answer_ns for start in starts) / 1e6,
        total_ms=statistics.median(start.total_ns for start in starts) / 1e6,
        rss_mb=rss,
        peak_rss_mb=_median(sample.memory.peak_rss_mb for sample in own),
        totals_ms=tuple(start.total_ns / 1e6 for start in starts),
        ratio_to_torch=None if torch is None else median_ratio(_totals(torch), _totals(own)),
        memory_ratio_to_torch=torch_rss / rss if torch_rss and rss else None,
    )


def _torch(worker: Worker, measured: Iterable[tuple[Worker, Sequence[ColdSample]]]) -> Sequence[ColdSample] | None:
    return next((own for other, own in measured if other.contender == TORCH and other.graph == worker.graph), None)


def _totals(samples: Sequence[ColdSample]) -> list[int]:
    return [sample.start.total_ns for sample in samples]


def _rss(samples: Sequence[ColdSample]) -> float | None:
    return _median(sample.memory.rss_mb for sample in samples)


def _median(values: Iterable[float | None]) -> float | None:
    """None where the system does not tell: then it tells of no process."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
