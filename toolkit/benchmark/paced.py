"""Scenario `paced`: requests at a rate, to contenders that have a process each.

What threads do between two requests shows here and nowhere else: onnxruntime's own default session spins, and burns
most of a core for nothing. Such a contender cannot share a process, nor work beside another. So one of them works at a
time, in turns, in an order that is shuffled anew in each round. The processes stay alive, for starting torch anew for
each turn would take longer than the turn, and each would begin cold. Idle ones do not disturb: threads stop spinning
some milliseconds after a call, and there is a pause before each turn.
"""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolkit.benchmark.scenarios import TORCH
from toolkit.benchmark.statistics import (
    LEAST_ROUNDS,
    figure_intervals,
    median_ratio,
    noise_verdict,
    percentiles,
    ratio_interval,
    summarise,
    variation_of,
)
from toolkit.benchmark.worker_protocol import Memory, PacedTurn, Worker, WorkerProcess
from toolkit.benchmark.workers import asked_sizes
from toolkit.contract.latency_reports import LatencyRow
from toolkit.errors import ConfigError
from toolkit.runtime.bundle import load_bundle

TURN_S = 1.0
PAUSE_S = 0.1
"""Before a turn, for the threads of the one before to go to sleep."""


@dataclass(frozen=True)
class PacedMeasurement:
    """What one contender's process did.

    Attributes:
        worker: the contender.
        turns: one for each round.
        memory: after the last.
    """

    worker: Worker
    turns: tuple[PacedTurn, ...]
    memory: Memory

    @property
    def service_ns(self) -> NDArray[np.int64]:
        """int64 [rounds, requests of a turn]: what each call took."""
        return np.array([turn.service_ns for turn in self.turns], dtype=np.int64)

    @property
    def cpu_s_per_1000(self) -> tuple[float, ...]:
        """Processor seconds for 1,000 requests, the waiting between them included, of each round."""
        return tuple(turn.cpu_ns / len(turn.service_ns) * 1000 / 1e9 for turn in self.turns)


def paced_rows(folder: Path, workers: Sequence[Worker], rate_hz: float, seconds: float) -> list[LatencyRow]:
    """Measures and sums up, see `measure_paced` and `paced_row`.

    Args:
        folder: of the bundle that the workers run.
        workers: the contenders.
        rate_hz: requests per second.
        seconds: of requests for each contender.
    """
    sizes = asked_sizes(load_bundle(folder))
    measured = measure_paced(workers, rate_hz, seconds)
    return [paced_row(one, _torch(one, measured), sizes, rate_hz) for one in measured]


def measure_paced(
    workers: Sequence[Worker],
    rate_hz: float,
    seconds: float,
    *,
    seed: int = 0,
    pause: Callable[[float], None] = time.sleep,
) -> tuple[PacedMeasurement, ...]:
    """Starts all of them, and lets them work in turns.

    Args:
        workers: the contenders.
        rate_hz: requests per second.
        seconds: of requests for each contender, in turns of about a second, as many at least as an interval needs.
        seed: of the order within each round.
        pause: waits before a turn.

    Returns:
        In the contenders' order; turn r of each is of the same round.

    Raises:
        ConfigError: a rate or a time that is not above 0.
        BundleError: a process refuses the bundle.
        RequestError: a process dies or hangs.
    """
    if not (rate_hz > 0 and seconds > 0):
        raise ConfigError("paced requests", got=f"{rate_hz:g} per second for {seconds:g} s", allowed="above 0")
    rounds = max(LEAST_ROUNDS, round(seconds / TURN_S))
    order, shuffler = list(range(len(workers))), random.Random(seed)
    turns: list[list[PacedTurn]] = [[] for _ in workers]
    with ExitStack() as alive:
        processes = [alive.enter_context(WorkerProcess(worker)) for worker in workers]
        for _ in range(rounds):
            shuffler.shuffle(order)
            for place in order:
                pause(PAUSE_S)
                turns[place].append(processes[place].paced(rate_hz, seconds / rounds))
        memories = [process.calls(1) for process in processes]
    return tuple(
        PacedMeasurement(worker, tuple(own), memory)
        for worker, own, memory in zip(workers, turns, memories, strict=True)
    )


def paced_row(
    own: PacedMeasurement, torch: PacedMeasurement | None, sizes: tuple[int, int], rate_hz: float
) -> LatencyRow:
    """The report's line of one contender.

    Percentiles are of what calls took. How late answers came, after the moment when they were due, is in the options:
    beside the call it holds what a system's timer adds, which is the same for all.

    Args:
        own: what was measured.
        torch: to hold it against, or None.
        sizes: batch and sequence of a request.
        rate_hz: requests per second.
    """
    worker, service = own.worker, own.service_ns
    summary, medians = summarise(service), np.median(service, axis=1)
    variation = variation_of(medians)
    reference = None if torch is None else np.median(torch.service_ns, axis=1)
    ratio = None if reference is None else ratio_interval(reference, medians)
    (late_p99,) = percentiles([late for turn in own.turns for late in turn.late_ns], (99,))
    return LatencyRow(
        scenario="paced",
        contender=worker.contender,
        graph=worker.graph,
        provider=worker.provider,
        precision=worker.precision,
        batch=sizes[0],
        sequence=sizes[1],
        threads=worker.threads,
        count=summary.count,
        p50_ms=summary.p50_ns / 1e6,
        p90_ms=summary.p90_ns / 1e6,
        p99_ms=summary.p99_ns / 1e6,
        max_ms=summary.max_ns / 1e6,
        throughput_per_s=None,  # it is the rate that was asked for
        cpu_s_per_1000=float(np.mean(own.cpu_s_per_1000)),
        rss_mb=own.memory.rss_mb,
        ratio_to_torch=None if reference is None else median_ratio(reference, medians),
        p999_ms=summary.p999_ns / 1e6,
        mean_ms=summary.mean_ns / 1e6,
        intervals_ms={name: (low / 1e6, high / 1e6) for name, (low, high) in figure_intervals(service).items()},
        ratio_interval=ratio,
        variation=variation,
        noisy=noise_verdict(len(medians), variation, None if torch is own else ratio),
        block_medians_ms=tuple((medians / 1e6).tolist()),
        rate_hz=rate_hz,
        peak_rss_mb=own.memory.peak_rss_mb,
        options={**worker.options, "late_p99_ms": f"{late_p99 / 1e6:.3f}"},
    )


def _torch(own: PacedMeasurement, measured: Sequence[PacedMeasurement]) -> PacedMeasurement | None:
    same = (one for one in measured if one.worker.contender == TORCH and one.worker.graph == own.worker.graph)
    return next(same, None)
