"""Contenders take turns in small blocks within one process, and every call is kept.

The method, and what each part is for:

- warm-up goes on until the last blocks of each contender agree: what is compiled or allocated late is not measured;
- blocks of about 10 ms, one of each contender in a round: what slows the machine for seconds slows all of them;
- the order is shuffled anew in each round: nobody always runs after the same neighbour;
- the first call of a block is not counted: the neighbour has pushed this contender's weights out of the cache;
- the garbage collector is held off within a block: it would charge one contender for another's rubbish;
- the clock is passed in, so that all of this is tested with exact figures.
"""

import gc
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import ConfigError, InputError

Call = Callable[[], object]

BLOCK_NS = 10_000_000
"""Long against a call of 20 us (500 of them), short against a change of the machine's load."""
WARMUP_SHARE, WARMUP_LIMIT = 0.1, 0.4
"""Of the time: what warm-up takes at least, and at most where the blocks of a contender never agree."""
WARMUP_CALLS = 3
"""At least: the first call allocates, the second may still optimise, the third is the first that can be timed."""
AGREEING_BLOCKS = 3
AGREEMENT = 0.05
"""How far the medians of the last blocks may lie apart: what a ratio within a round is good for on a shared machine."""
LEAST_ROUNDS = 3
LEAST_PACE_NS = 100.0
"""No call that does anything is quicker; a coarse clock may read 0, of which no block could be filled."""


class Clock(Protocol):
    """Where time comes from."""

    def now_ns(self) -> int:
        """Nanoseconds since some fixed moment; never goes backward."""

    def cpu_ns(self) -> int:
        """Processor nanoseconds that all threads of this process have used."""


class SystemClock:
    """The real one: `time.perf_counter_ns` and `time.process_time_ns`."""

    def now_ns(self) -> int:
        """The finest monotonic clock of the system."""
        return time.perf_counter_ns()

    def cpu_ns(self) -> int:
        """User and system time of the process, threads of onnxruntime and torch included, idle waiting excluded."""
        return time.process_time_ns()


@dataclass(frozen=True)
class Plan:
    """How often what is called.

    Attributes:
        rounds: turns of each contender.
        calls: counted calls in a block, for each contender.
        lead_in: uncounted calls at the start of a block, for each contender.
        unsettled: places of the contenders whose blocks did not agree by the end of the warm-up.
    """

    rounds: int
    calls: tuple[int, ...]
    lead_in: tuple[int, ...]
    unsettled: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Measurement:
    """The raw samples of one contender.

    Attributes:
        calls_ns: int64 [rounds, calls in a block], the time of each counted call.
        cpu_ns: int64 [rounds], processor time of the counted calls of each block.
        settled: whether the contender's blocks agreed when its warm-up ended.
    """

    calls_ns: NDArray[np.int64]
    cpu_ns: NDArray[np.int64]
    settled: bool = True

    @property
    def block_medians_ns(self) -> NDArray[np.float64]:
        """[rounds]: the median call of each block."""
        return np.asarray(np.median(self.calls_ns, axis=1), dtype=np.float64)

    @property
    def cpu_s_per_1000(self) -> float:
        """Processor seconds for 1,000 calls."""
        return float(self.cpu_ns.sum()) / self.calls_ns.size * 1000 / 1e9


def warm_up(calls: Sequence[Call], clock: Clock, seconds: float) -> Plan:
    """Calls each contender until it is warm, and plans blocks that fill the rest of the time.

    A contender is warm when it had its part of `WARMUP_SHARE` and the medians of its last `AGREEING_BLOCKS` blocks
    agree; it is given up at its part of `WARMUP_LIMIT`. Its pace is the median call of those blocks. A block is
    `BLOCK_NS` long, or one call where a call is longer; a contender whose call is that long has no lead-in, for a cold
    cache is nothing beside it.

    Args:
        calls: the contenders.
        clock: where time comes from.
        seconds: for warm-up and measurement. Only calls so slow that `LEAST_ROUNDS` of them do not fit take longer.

    Raises:
        InputError: there is no contender.
        ConfigError: `seconds` is not above 0.
    """
    if not calls:
        raise InputError("a measurement needs a contender", got="none")
    if not seconds > 0:
        raise ConfigError("seconds of a benchmark", got=seconds, allowed="above 0")
    budget_ns, start = seconds * 1e9, clock.now_ns()
    part_ns = budget_ns / len(calls)
    warmed = [_warm_up_one(call, clock, part_ns * WARMUP_SHARE, part_ns * WARMUP_LIMIT) for call in calls]
    rest_ns = budget_ns - (clock.now_ns() - start)
    counts = tuple(max(1, int(BLOCK_NS / pace)) for pace, _ in warmed)
    lead_in = tuple(int(count > 1) for count in counts)
    round_ns = sum(pace * (count + lead) for (pace, _), count, lead in zip(warmed, counts, lead_in, strict=True))
    unsettled = tuple(place for place, (_, agreed) in enumerate(warmed) if not agreed)
    return Plan(max(LEAST_ROUNDS, int(rest_ns / round_ns)), counts, lead_in, unsettled)


def measure_in_turns(calls: Sequence[Call], clock: Clock, plan: Plan, seed: int = 0) -> tuple[Measurement, ...]:
    """Times the contenders in turns.

    Args:
        calls: the contenders, warmed up.
        clock: where time comes from.
        plan: how often what is called.
        seed: of the order within each round.

    Returns:
        One measurement for each contender, in their order. Row r of each was taken in the same round.

    Raises:
        InputError: the plan is for another number of contenders, or has a block without a call.
    """
    _check(calls, plan)
    order = list(range(len(calls)))
    shuffler = random.Random(seed)
    samples = [np.empty((plan.rounds, count), dtype=np.int64) for count in plan.calls]
    cpu = [np.empty(plan.rounds, dtype=np.int64) for _ in calls]
    for turn in range(plan.rounds):
        shuffler.shuffle(order)
        for place in order:
            block = _block(calls[place], clock, plan.calls[place], plan.lead_in[place])
            samples[place][turn], cpu[place][turn] = block
    return tuple(Measurement(times, used) for times, used in zip(samples, cpu, strict=True))


@contextmanager
def collector_held_off() -> Iterator[None]:
    """No garbage collection within; afterwards the collector is as it was, whatever happened."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _block(call: Call, clock: Clock, count: int, lead_in: int) -> tuple[NDArray[np.int64], int]:
    """Times of `count` calls in a row, and the processor time of all of them.

    One reading of the clock ends a call and starts the next, so that reading it costs each call once.
    """
    stamps = [0] * (count + 1)
    now_ns = clock.now_ns
    with collector_held_off():
        for _ in range(lead_in):
            call()
        cpu_before = clock.cpu_ns()
        stamps[0] = now_ns()
        for place in range(1, count + 1):
            call()
            stamps[place] = now_ns()
        cpu_ns = clock.cpu_ns() - cpu_before
    moments = np.asarray(stamps, dtype=np.int64)
    return moments[1:] - moments[:-1], cpu_ns


def _warm_up_one(call: Call, clock: Clock, least_ns: float, most_ns: float) -> tuple[float, bool]:
    """Its pace in nanoseconds, and whether its last blocks agree."""
    blocks: list[list[int]] = []
    start = clock.now_ns()
    while True:
        blocks.append(_warm_block(call, clock))
        used, enough = clock.now_ns() - start, len(blocks) >= WARMUP_CALLS
        agreed = enough and _agree(blocks[-AGREEING_BLOCKS:])
        if enough and (used >= most_ns or (agreed and used >= least_ns)):
            last = blocks[-AGREEING_BLOCKS:] if agreed else blocks[len(blocks) // 2 :]
            return max(float(np.median(np.concatenate(last))), LEAST_PACE_NS), agreed


def _warm_block(call: Call, clock: Clock) -> list[int]:
    """Times of calls that fill a block; of no more than could, for a coarse clock may stand still."""
    times: list[int] = []
    start = before = clock.now_ns()
    while before - start < BLOCK_NS and len(times) < BLOCK_NS / LEAST_PACE_NS:
        call()
        after = clock.now_ns()
        times.append(after - before)
        before = after
    return times


def _agree(blocks: Sequence[Sequence[int]]) -> bool:
    medians = [float(np.median(block)) for block in blocks]
    return max(medians) <= min(medians) * (1 + AGREEMENT)


def _check(calls: Sequence[Call], plan: Plan) -> None:
    if not len(calls) == len(plan.calls) == len(plan.lead_in):
        raise InputError("plan of a measurement", got=f"{len(plan.calls)} blocks", allowed=f"{len(calls)} contenders")
    if plan.rounds < 1 or min(plan.calls, default=1) < 1:
        raise InputError(
            "plan of a measurement", got=f"{plan.rounds} rounds of {plan.calls} calls", allowed="1 or more"
        )
