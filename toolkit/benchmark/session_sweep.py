"""Which settings of a session are the fastest, by measurement in turns.

One setting is varied after the other, each time with the one in force and all that could take its place in turns. What
is faster beyond noise takes over, and a last comparison holds the winner against the default anew: the best of many
was in part only the luckiest. What a shared gateway pays for is not free: a further thread has to earn its keep, and
spinning is taken only where it was allowed.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from toolkit.benchmark.statistics import LEAST_ROUNDS, median_ratio, percentiles, ratio_interval
from toolkit.benchmark.timing import Call, Clock, Measurement, SystemClock, measure_in_turns, warm_up
from toolkit.benchmark.turns_apart import Apart, Pause, measure_apart
from toolkit.contract.graph_entry import Precision
from toolkit.contract.graph_io import GraphName
from toolkit.contract.session_reports import SessionSetting, SessionTrial, SessionWinner
from toolkit.runtime.session import LEVELS

LEAST_GAIN = 1.02
"""A setting that gains less than a fiftieth is not worth being another than the default."""
GAIN_BY_THREAD = 0.25
"""What each further thread has to bring, as a part of what one does: a gateway has other work for its cores."""
WINNER = "winner"

Opener = Callable[[SessionSetting], Call]
"""Opens a session of a setting, and gives the call that is timed."""


@dataclass(frozen=True)
class Space:
    """What may be tried.

    Attributes:
        graph: whose calls these are.
        precisions: of the graph that keep its accuracy.
        cores: that this process may use.
        allow_spinning: whether spinning may win.
    """

    graph: GraphName
    precisions: tuple[Precision, ...]
    cores: int
    allow_spinning: bool = False


@dataclass(frozen=True)
class Instrument:
    """What measures.

    Attributes:
        seconds: for each comparison.
        clock: where time comes from.
        pause: lets so many seconds pass.
    """

    seconds: float = 2.0
    clock: Clock = field(default_factory=SystemClock)
    pause: Pause = time.sleep


def sweep(
    default: SessionSetting, space: Space, open_call: Opener, instrument: Instrument
) -> tuple[tuple[SessionTrial, ...], SessionWinner]:
    """Tries one setting after the other.

    Args:
        default: the setting in force at the beginning.
        space: what may be tried.
        open_call: opens a session of a setting.
        instrument: what measures.

    Returns:
        Every trial in its order, and the winner, which is the default unless another is faster than it beyond noise.
    """
    current, trials = default, []
    for step, choose in STEPS.items():
        others = choose(current, space)
        if others:
            found = _trials(step, [current, *others], space, open_call, instrument)
            trials += found
            current = next((trial.setting for trial in found if trial.kept), current)
    if current == default:
        return tuple(trials), SessionWinner(space.graph, default, default=True)
    [last] = _trials(WINNER, [default, current], space, open_call, instrument)
    trials.append(last)
    if not last.kept:
        return tuple(trials), SessionWinner(space.graph, default, default=True)
    return tuple(trials), SessionWinner(space.graph, current, False, last.ratio, last.ratio_interval)


def thread_counts(cores: int) -> tuple[int, ...]:
    """All up to four, then powers of two, and every core."""
    return tuple(sorted({n for n in range(1, cores + 1) if n <= 4 or n & (n - 1) == 0} | {max(cores, 1)}))


def needed_gain(own: SessionSetting, reference: SessionSetting) -> float:
    """What the lower end of the interval of a setting's ratio has to be above."""
    return max(LEAST_GAIN, 1.0 + GAIN_BY_THREAD * (own.threads - reference.threads))


def _precisions(current: SessionSetting, space: Space) -> list[SessionSetting]:
    return [replace(current, precision=name) for name in space.precisions if name != current.precision]


def _levels(current: SessionSetting, _: Space) -> list[SessionSetting]:
    return [replace(current, optimisation=level) for level in LEVELS if level != current.optimisation]


def _arena(current: SessionSetting, _: Space) -> list[SessionSetting]:
    return [replace(current, arena=not current.arena)]


def _memory_pattern(current: SessionSetting, _: Space) -> list[SessionSetting]:
    return [replace(current, memory_pattern=not current.memory_pattern)]


def _threads(current: SessionSetting, space: Space) -> list[SessionSetting]:
    return [replace(current, threads=count) for count in thread_counts(space.cores) if count != current.threads]


def _spinning(current: SessionSetting, space: Space) -> list[SessionSetting]:
    """A single thread has nothing to wait for; threads that did not pay may do so where they spin."""
    counts = [current.threads] if current.threads > 1 else thread_counts(space.cores)[1:] * space.allow_spinning
    return [replace(current, threads=count, spinning=True) for count in counts]


STEPS: dict[str, Callable[[SessionSetting, Space], list[SessionSetting]]] = {
    "precision": _precisions,
    "optimisation": _levels,
    "arena": _arena,
    "memory pattern": _memory_pattern,
    "threads": _threads,
    "spinning": _spinning,
}
"""By the name of what is varied, what could take the place of the setting in force. Spinning is the last: whoever spins
has to be measured with pauses."""


def _trials(
    step: str, settings: Sequence[SessionSetting], space: Space, open_call: Opener, instrument: Instrument
) -> list[SessionTrial]:
    """All but the first beside the first; at most one is kept, the one that exceeds what it needs by most."""
    reference, *others = _measured(settings, open_call, instrument)
    found = [
        _trial(step, (settings[0], setting), (reference, own), space)
        for setting, own in zip(settings[1:], others, strict=True)
    ]
    best = max((t for t in found if t.kept), key=lambda t: t.ratio_interval[0] / t.needed, default=None)
    return [
        replace(trial, kept=False, reason="faster, but another gains more for what it takes")
        if trial.kept and trial is not best
        else trial
        for trial in found
    ]


@dataclass(frozen=True, eq=False)
class _Measured:
    samples: Measurement
    idle_cpu: float | None


def _measured(settings: Sequence[SessionSetting], open_call: Opener, instrument: Instrument) -> list[_Measured]:
    calls = [open_call(setting) for setting in settings]
    if any(setting.spinning for setting in settings):
        apart: tuple[Apart, ...] = measure_apart(calls, instrument.clock, instrument.seconds, instrument.pause)
        return [_Measured(each.measurement, each.idle_cpu) for each in apart]
    plan = warm_up(calls, instrument.clock, instrument.seconds)
    plan = replace(plan, rounds=max(plan.rounds, LEAST_ROUNDS))  # fewer say nothing, however slow the call
    return [_Measured(samples, None) for samples in measure_in_turns(calls, instrument.clock, plan)]


def _trial(
    step: str,
    settings: tuple[SessionSetting, SessionSetting],
    measured: tuple[_Measured, _Measured],
    space: Space,
) -> SessionTrial:
    (reference, own), (before, after) = settings, measured
    rounds = before.samples.block_medians_ns, after.samples.block_medians_ns
    interval, needed = ratio_interval(*rounds), needed_gain(own, reference)
    against = _against(own, interval, needed, allowed=space.allow_spinning)
    return SessionTrial(
        graph=space.graph,
        step=step,
        setting=own,
        p50_ms=_p50_ms(after),
        reference_p50_ms=_p50_ms(before),
        cpu_s_per_1000=after.samples.cpu_s_per_1000,
        reference_cpu_s_per_1000=before.samples.cpu_s_per_1000,
        ratio=median_ratio(*rounds),
        ratio_interval=interval,
        needed=needed,
        kept=not against,
        reason=against or "faster beyond noise",
        idle_cpu=after.idle_cpu,
        reference_idle_cpu=before.idle_cpu,
        block_medians_ms=_in_ms(rounds[1]),
        reference_block_medians_ms=_in_ms(rounds[0]),
    )


def _against(own: SessionSetting, interval: tuple[float, float], needed: float, *, allowed: bool) -> str:
    """Why a setting is not taken; empty where it is."""
    low, high = interval
    if high < 1.0:
        return "slower"
    if low <= 1.0:
        return "not faster beyond noise"
    if low <= needed:
        return f"gains less than the {needed - 1:.0%} that it has to"
    if own.spinning and not allowed:
        return "faster, but it burns idle time; --allow-spinning takes it"
    return ""


def _p50_ms(measured: _Measured) -> float:
    return percentiles(measured.samples.calls_ns, (50,))[0] / 1e6


def _in_ms(medians_ns: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(value) / 1e6 for value in medians_ns)
