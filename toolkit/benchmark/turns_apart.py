"""Contenders in turns with a pause after each block: for those whose threads are still busy when their call is done.

A thread that waits by spinning runs on for tens of milliseconds after its call: without the pause it would slow whoever
comes next, and there would be no idle time whose cost could be told.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.benchmark.statistics import LEAST_ROUNDS
from toolkit.benchmark.timing import BLOCK_NS, Call, Clock, Measurement, Plan, measure_in_turns, warm_up

PAUSE_S = 0.1
"""onnxruntime's threads were seen to spin for up to 100 ms where the cores were busy."""
WARM_UP_PART = 0.3

Pause = Callable[[float], object]


@dataclass(frozen=True, eq=False)
class Apart:
    """The samples of one contender.

    Attributes:
        measurement: of its blocks.
        idle_cpu: part of a core that the process used in the pauses after them.
    """

    measurement: Measurement
    idle_cpu: float


def measure_apart(
    calls: Sequence[Call], clock: Clock, seconds: float, pause: Pause = time.sleep, seed: int = 0
) -> tuple[Apart, ...]:
    """Times the contenders in turns, each block followed by a pause of `PAUSE_S`.

    Args:
        calls: the contenders.
        clock: where time comes from.
        seconds: for warm-up and measurement; at least `LEAST_ROUNDS` rounds are made, whatever they take.
        pause: lets so many seconds pass.
        seed: of the order within each round.

    Returns:
        One for each contender, in their order. Row r of each was taken in the same round.

    Raises:
        InputError: there is no contender.
        ConfigError: `seconds` is not above 0.
    """
    plan = warm_up(calls, clock, seconds * WARM_UP_PART)
    turn_s = PAUSE_S + BLOCK_NS / 1e9
    rounds = max(LEAST_ROUNDS, min(plan.rounds, int(seconds * (1 - WARM_UP_PART) / (len(calls) * turn_s))))
    order, shuffler = list(range(len(calls))), random.Random(seed)
    parts: list[list[Measurement]] = [[] for _ in calls]
    idle: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        shuffler.shuffle(order)
        for place in order:
            one = Plan(1, (plan.calls[place],), (plan.lead_in[place],))
            parts[place] += measure_in_turns([calls[place]], clock, one)
            idle[place].append(_idle_cpu(clock, pause))
    return tuple(Apart(_joined(own), float(np.median(shares))) for own, shares in zip(parts, idle, strict=True))


def _idle_cpu(clock: Clock, pause: Pause) -> float:
    start, used = clock.now_ns(), clock.cpu_ns()
    pause(PAUSE_S)
    return (clock.cpu_ns() - used) / max(clock.now_ns() - start, 1)


def _joined(parts: Sequence[Measurement]) -> Measurement:
    return Measurement(
        np.concatenate([part.calls_ns for part in parts]), np.concatenate([part.cpu_ns for part in parts])
    )
