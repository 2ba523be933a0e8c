"""Scenario `assets`: how many assets one core serves, all of them in one batched call a tick.

A tick is what a gateway does whenever its sensors were read: one forecast for each asset. The windowed graph reads each
asset's whole window again, in chunks of `WINDOWS`; the streaming graph takes one sample of each asset, in chunks of
`STREAMS`, and carries their states. Everything runs in one thread.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.benchmark.bundle import bundle_feed
from toolkit.benchmark.statistics import percentiles
from toolkit.benchmark.timing import Call, Clock, SystemClock, collector_held_off
from toolkit.contract.graph_entry import GraphEntry
from toolkit.contract.latency_reports import AssetCapacity
from toolkit.errors import ConfigError
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.session import SessionPolicy
from toolkit.runtime.stream import part_of

RATES = (1.0, 10.0, 100.0)
LARGEST_RATE = 1e6

STREAMS = 512
"""Series in a step. One step is short and its call is not: steps of 32 took twice as long for an asset as those of 512,
and one step of 16,000 half as long again."""

LARGEST_BATCH, LARGEST_BYTES = 1_000_000, 512 << 20
"""The search ends at so many assets, or where their inputs take so much memory."""

CLOSE = 1.05
"""The search ends when what fits and what does not lie this close together."""
LONG_SEARCH, WIDE = 5, 1.25
"""After so many times `seconds`, or ticks where they are longer, one rate's search is content with this instead: each
trial of a slow rate takes four ticks, and a machine that is not quiet has no 5 % to be found."""
LEAST_CALLS, MOST_CALLS = 3, 2000
CLEAR, CLEAR_CALLS = 4, 10
"""So many calls are enough to see that a tick fits which never took more than this part of its time."""
LINEAR = 1.15
"""How far the time for one asset may vary over three sizes for growth to count as linear."""
SHORT_OF_GUESS, STEP = 0.9, 1.1


@dataclass(frozen=True, eq=False)
class Tick:
    """Calls with one number of assets, in nanoseconds each."""

    assets: int
    calls_ns: NDArray[np.int64]

    @property
    def median_ns(self) -> int:
        """The median call."""
        return percentiles(self.calls_ns, (50,))[0]

    @property
    def p99_ns(self) -> int:
        """The 99th percentile, which is the longest of fewer than 100 calls."""
        return percentiles(self.calls_ns, (99,))[0]


def asset_capacities(
    bundle: Bundle, rates: Sequence[float] = RATES, seconds: float = 2.0, clock: Clock | None = None
) -> tuple[AssetCapacity, ...]:
    """The most assets that fit into a tick, for each graph in its deployed precision and each rate.

    A number of assets fits where the 99th percentile of its ticks (the longest, of fewer than 100) is within
    1 / rate. The number is doubled until it no longer fits, then the gap is halved until it is below 5 %. Ticks follow
    each other without a pause: nobody else's work has pushed the weights out of the cache in between, nor has the
    processor gone to sleep.

    Time is bounded: no number of assets is called for longer than `seconds`, or `LEAST_CALLS` times where that takes
    longer; a number that is clearly too large or too small is left after few calls, and a search that takes long ends
    at a gap of 25 %. What fits at one rate fits at a
    slower one, whose search begins there; and where the time of an asset was seen to be the same over three sizes, the
    search goes to nine tenths of what that growth foretells instead of doubling on. Growth only says where to look:
    each answer was measured.

    Args:
        bundle: whose graphs to run.
        rates: ticks per second.
        seconds: for one number of assets.
        clock: where time comes from; None means the system's.

    Returns:
        By graph, then by rate. A graph that takes one series only, mixes those of a call, or has several inputs of
        readings cannot serve assets in a batch, and is left out.

    Raises:
        ConfigError: a rate or `seconds` that is not above 0.
    """
    wrong = [rate for rate in rates if not 0 < rate <= LARGEST_RATE]
    if wrong:
        raise ConfigError("ticks per second", got=wrong[0], allowed=f"above 0, at most {LARGEST_RATE:g}")
    if not 0 < seconds < math.inf:
        raise ConfigError("seconds of a benchmark", got=seconds, allowed="above 0")
    clock = clock or SystemClock()
    found: list[AssetCapacity] = []
    for entry in (bundle.manifest.graph(name) for name in bundle.manifest.names):
        if _serves_assets(entry):
            with _caller(bundle, entry) as call_for:
                ticks = capacities(call_for, rates, seconds, clock, _limit(bundle, entry))
            found += [_capacity(entry, *tick) for tick in ticks]
    return tuple(found)


def capacities(
    call_for: Callable[[int], Call], rates: Sequence[float], seconds: float, clock: Clock, limit: int = LARGEST_BATCH
) -> list[tuple[float, Tick | None, bool]]:
    """The search of `asset_capacities` for anything that can be called.

    Args:
        call_for: gives the call that does one tick for so many assets.
        rates: ticks per second.
        seconds: for one number of assets.
        clock: where time comes from.
        limit: the most assets that are tried.

    Returns:
        For each rate, in the order given: the tick of the most assets that fit, or None where not even one does, and
        whether the search ended at its limit.
    """
    found: dict[float, tuple[Tick | None, bool]] = {}
    fitting: list[Tick] = []
    for rate in sorted(set(rates), reverse=True):
        budget_ns = 1e9 / rate

        def measure(assets: int, budget_ns: float = budget_ns) -> Tick:
            return Tick(assets, _calls_ns(call_for(assets), clock, budget_ns, seconds * 1e9))

        end_ns = clock.now_ns() + LONG_SEARCH * max(seconds * 1e9, budget_ns)

        def close(end_ns: float = end_ns) -> float:
            return WIDE if clock.now_ns() > end_ns else CLOSE

        _search(measure, budget_ns, limit, fitting, close)
        largest = fitting[-1] if fitting else None
        found[rate] = largest, largest is not None and largest.assets == limit
    return [(rate, *found[rate]) for rate in rates]


def _search(
    measure: Callable[[int], Tick], budget_ns: float, limit: int, fitting: list[Tick], close: Callable[[], float]
) -> None:
    """Adds to those that fit, in rising order, up to the largest; `close` says at which gap to end by now."""
    low = fitting[-1].assets if fitting else 0
    high = limit + 1
    while low < limit and high > limit:
        assets = _next_size(fitting, budget_ns, limit)
        tick = measure(assets)
        if tick.p99_ns <= budget_ns:
            fitting.append(tick)
            low = assets
        else:
            high = assets
    while high <= limit and high - low > 1 and high > low * close():
        tick = measure((low + high) // 2)
        if tick.p99_ns <= budget_ns:
            fitting.append(tick)
            low = tick.assets
        else:
            high = tick.assets


def _next_size(fitting: Sequence[Tick], budget_ns: float, limit: int) -> int:
    """Twice the last; where growth is linear, a little less than what it foretells."""
    if not fitting:
        return 1
    last = fitting[-1]
    wanted = last.assets * 2
    each = [max(tick.median_ns, 1) / tick.assets for tick in fitting[-3:]]
    if len(each) == 3 and max(each) <= LINEAR * min(each):
        wanted = max(int(SHORT_OF_GUESS * budget_ns / each[-1]), int(STEP * last.assets))
    return min(max(wanted, last.assets + 1), limit)


def _calls_ns(call: Call, clock: Clock, budget_ns: float, time_ns: float) -> NDArray[np.int64]:
    """Times of one tick after the other, until they tell whether it fits.

    How many late ones are borne hangs on how many there would be in the time at the best pace seen: one stall among the
    first calls must not decide.
    """
    call()  # the first one allocates
    times: list[int] = []
    late, borne = 0, 0
    start = before = clock.now_ns()
    with collector_held_off():
        while len(times) < LEAST_CALLS or (before - start < time_ns and len(times) < MOST_CALLS):
            call()
            now = clock.now_ns()
            times.append(now - before)
            late += times[-1] > budget_ns
            before = now
            if len(times) <= CLEAR_CALLS:
                borne = min(int(time_ns / max(min(times), 1)), MOST_CALLS) // 100
            if late > borne and (len(times) >= LEAST_CALLS or late == len(times) > 1):
                break  # no stall: not one of them was in time
            if len(times) == CLEAR_CALLS and max(times) * CLEAR <= budget_ns:
                break
    return np.asarray(times, dtype=np.int64)


def _capacity(entry: GraphEntry, rate: float, tick: Tick | None, at_limit: bool) -> AssetCapacity:
    return AssetCapacity(
        contender="onnxruntime",
        graph=entry.name,
        precision=entry.precision,
        rate_hz=rate,
        assets=0 if tick is None else tick.assets,
        tick_ms=None if tick is None else tick.median_ns / 1e6,
        p99_ms=None if tick is None else tick.p99_ns / 1e6,
        at_limit=at_limit,
    )


def _serves_assets(entry: GraphEntry) -> bool:
    batch = entry.signature.batch_axis
    return (
        batch is not None
        and not entry.mixes_series
        and entry.limits.at_least(batch) == 1
        and len(entry.signature.data) == 1
    )


def _limit(bundle: Bundle, entry: GraphEntry) -> int:
    one = bundle_feed(bundle, entry.name, 1, _samples(bundle, entry))
    return max(1, min(LARGEST_BATCH, LARGEST_BYTES // sum(array.nbytes for array in one.values())))


def _samples(bundle: Bundle, entry: GraphEntry) -> int:
    """Of each asset in a tick: a window, or one sample."""
    axis = entry.signature.sequence_axis
    least = entry.limits.at_least(axis)
    return least if entry.name == "streaming" else entry.limits.clipped(axis, bundle.manifest.window_length)


@contextmanager
def _caller(bundle: Bundle, entry: GraphEntry) -> Iterator[Callable[[int], Call]]:
    """Gives the call that does one tick for a number of assets, as they are deployed."""
    if entry.name == "streaming":
        yield functools.partial(_streaming_tick, bundle, entry)
        return
    with bundle.bulk(SessionPolicy(), cores=1) as bulk:
        yield lambda assets: functools.partial(bulk.predict, _readings(bundle, entry, assets))


def _readings(bundle: Bundle, entry: GraphEntry, assets: int) -> NDArray[np.float32]:
    readings = entry.signature.data[0].name
    return bundle_feed(bundle, entry.name, assets, _samples(bundle, entry), only=(readings,))[readings]


def _streaming_tick(bundle: Bundle, entry: GraphEntry, assets: int) -> Call:
    readings, tensor, axis = _readings(bundle, entry, assets), entry.signature.data[0], entry.signature.batch_axis
    streaming = bundle.streaming(SessionPolicy())
    bounds = [*range(0, assets, entry.limits.clipped(axis, STREAMS)), assets]
    chunks = [(start, stop, tuple(range(start, stop))) for start, stop in itertools.pairwise(bounds)]

    def tick() -> None:
        for start, stop, names in chunks:
            streaming.step(part_of(readings, tensor, axis, start, stop), names, reuse=True)

    return tick
