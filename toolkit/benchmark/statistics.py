"""What is said of raw samples: percentiles of calls, ratios between contenders, intervals, and a verdict on noise.

A percentile is the nearest rank (numpy's `inverted_cdf`, type 1 of Hyndman and Fan, 1996): the smallest sample that
at least that share of all samples does not exceed. It is always a call that was really measured, so that a budget
on p99 is never met or broken by a figure between two calls. The median is the headline: one stall of the scheduler
moves the mean further than any change that is worth measuring.

Intervals resample rounds and not calls: calls of a block ran within milliseconds of each other and are slow
together, so that a hundred of them say little more than one.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import InputError

DRAWS = 2000
CONFIDENCE = 0.95
LEAST_ROUNDS = 6
"""The range of n rounds holds their true median with a chance of 1 - 2 / 2^n: below 6 that is less than 95 %."""
MOST_VARIATION = 0.25
"""Of the rounds' medians. The median of n of them is known to 1.25 x variation / sqrt(n): above a quarter the forty
rounds of a short run leave it open by 5 %, which is the least difference that is worth a verdict."""

_DRAWN_AT_ONCE = 1 << 22
_BUCKETS = 512


@dataclass(frozen=True)
class Summary:
    """Calls of one contender, in nanoseconds."""

    count: int
    p50_ns: int
    p90_ns: int
    p99_ns: int
    p999_ns: int
    max_ns: int
    mean_ns: float


def percentiles(samples_ns: ArrayLike, shares: Sequence[float]) -> tuple[int, ...]:
    """The nearest-rank percentiles of the samples.

    Args:
        samples_ns: times of single calls, in nanoseconds.
        shares: in per cent, 0 to 100; 0 gives the smallest sample.

    Returns:
        One sample for each share.

    Raises:
        InputError: there is no sample.
    """
    samples = _samples(samples_ns)
    places = [_rank(samples.size, share) - 1 for share in shares]
    ordered = np.partition(samples, places)
    return tuple(int(ordered[place]) for place in places)


def summarise(samples_ns: ArrayLike) -> Summary:
    """Count, percentiles, maximum and mean of the samples.

    Raises:
        InputError: there is no sample.
    """
    samples = _samples(samples_ns)
    p50, p90, p99, p999 = percentiles(samples, (50, 90, 99, 99.9))
    return Summary(samples.size, p50, p90, p99, p999, int(samples.max()), float(samples.mean()))


def median_ratio(reference_ns: ArrayLike, own_ns: ArrayLike) -> float:
    """The median over rounds of `reference / own` within a round: above 1 where `own` is the faster.

    A ratio within a round compares what ran within milliseconds of each other. Other programs slow both halves of
    it; the ratio of two medians over the whole run would take the difference between a quiet and a busy minute for
    a difference between the contenders.

    Args:
        reference_ns: one figure for each round.
        own_ns: one figure for each round, the same rounds in the same order.

    Raises:
        InputError: there is no round, or the two have different numbers of them.
    """
    reference, own = _samples(reference_ns), _samples(own_ns)
    if reference.shape != own.shape:
        raise InputError(
            "ratio of contenders", got=f"{reference.size} and {own.size} rounds", allowed="the same rounds"
        )
    return float(np.median(reference / np.maximum(own, 1)))  # a clock may be too coarse to see a call


def ratio_interval(
    reference_ns: ArrayLike, own_ns: ArrayLike, *, confidence: float = CONFIDENCE, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """The interval of `median_ratio` by the percentile bootstrap over rounds (Efron, 1979).

    Args:
        reference_ns: one figure for each round.
        own_ns: one figure for each round, the same rounds in the same order.
        confidence: of the interval, between 0 and 1.
        draws: resamples.
        seed: of the resampling, so that the same samples give the same interval.

    Raises:
        InputError: as `median_ratio`.
    """
    median_ratio(reference_ns, own_ns)  # checks them
    ratios = _samples(reference_ns) / np.maximum(_samples(own_ns), 1)
    return _ends(_drawn_medians(ratios, draws, seed), confidence)


def change_interval(
    before_ns: ArrayLike, after_ns: ArrayLike, *, confidence: float = CONFIDENCE, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """The interval of `median(after) / median(before)` over the rounds of two runs, which have no round in common.

    Args:
        before_ns: one figure for each round.
        after_ns: one figure for each round of the other run, be they more or fewer.
        confidence: of the interval, between 0 and 1.
        draws: resamples.
        seed: of the resampling.

    Raises:
        InputError: a run without rounds.
    """
    before, after = _samples(before_ns), _samples(after_ns)
    drawn = _drawn_medians(after, draws, seed) / np.maximum(_drawn_medians(before, draws, seed + 1), 1e-9)
    return _ends(drawn, confidence)


def figure_intervals(
    blocks_ns: ArrayLike, *, confidence: float = CONFIDENCE, draws: int = DRAWS // 2, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """The intervals of p50, p90, p99 and the mean by the bootstrap over rounds.

    A resample is a number of times that each round occurs. Its percentile is a weighted nearest rank of all samples,
    sorted once for all resamples; sums over buckets of sorted samples say in which of them it lies.

    Args:
        blocks_ns: [rounds, calls in a block].
        confidence: of the intervals, between 0 and 1.
        draws: resamples.
        seed: of the resampling.

    Raises:
        InputError: there is no sample.
    """
    blocks = np.asarray(blocks_ns, dtype=np.float64)
    blocks = _samples(blocks).reshape(blocks.shape if blocks.ndim == 2 else (-1, 1))
    ranked = _ranked(blocks)
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in ("p50", "p90", "p99", "mean")}
    for places in _resamples(len(blocks), draws, seed):
        weights = _weights(places)
        for name, share in (("p50", 50), ("p90", 90), ("p99", 99)):
            drawn[name].append(_weighted_rank(ranked, weights, share))
        drawn["mean"].append(weights @ blocks.mean(axis=1) / len(blocks))
    return {name: _ends(np.concatenate(parts), confidence) for name, parts in drawn.items()}


def variation_of(block_medians_ns: ArrayLike) -> float:
    """Coefficient of variation: the sample standard deviation over the mean; 0 of a single round."""
    medians = _samples(block_medians_ns)
    return float(medians.std(ddof=1) / max(medians.mean(), 1e-9)) if medians.size > 1 else 0.0


def noise_verdict(rounds: int, variation: float, ratio: tuple[float, float] | None = None) -> str:
    """Why samples are too noisy to tell; empty where they are not.

    Args:
        rounds: that were measured.
        variation: of their medians.
        ratio: the interval of the ratio to another contender, where there is one.
    """
    if rounds < LEAST_ROUNDS:
        plural = "" if rounds == 1 else "s"
        return f"too noisy to tell: {rounds} round{plural}, and an interval needs {LEAST_ROUNDS}"
    if variation > MOST_VARIATION:
        return f"too noisy to tell: rounds vary by {variation:.0%}, and {MOST_VARIATION:.0%} is the most"
    if ratio is not None and ratio[0] <= 1.0 <= ratio[1]:
        return f"too noisy to tell which is faster: the ratio is {ratio[0]:.3g} to {ratio[1]:.3g}"
    return ""


@dataclass(frozen=True, eq=False)
class _Ranked:
    """All samples in order, in buckets of equal size but for the last.

    Attributes:
        samples: sorted.
        rounds: the round that each belongs to.
        starts: of the buckets.
        counts: [rounds, buckets], samples of each round in each bucket.
    """

    samples: NDArray[np.float64]
    rounds: NDArray[np.int64]
    starts: NDArray[np.int64]
    counts: NDArray[np.float64]


def _ranked(blocks: NDArray[np.float64]) -> _Ranked:
    order = np.argsort(blocks, axis=None, kind="stable")
    rounds = order // blocks.shape[1]
    size = -(-order.size // _BUCKETS)
    buckets = np.arange(order.size) // size
    starts = np.arange(0, order.size, size)
    counts = np.bincount(rounds * len(starts) + buckets, minlength=len(blocks) * len(starts))
    return _Ranked(blocks.ravel()[order], rounds, starts, counts.reshape(len(blocks), -1).astype(np.float64))


def _rank(count: int, share: float) -> int:
    """From 1. numpy's own takes 99.9 % of 1,000 for a little more than 999, and gives the maximum."""
    return max(math.ceil(count * share / 100 - 1e-9), 1)


def _weighted_rank(ranked: _Ranked, weights: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """[draws]: the nearest rank of each resample; all resamples have as many samples as there are."""
    total = ranked.samples.size
    rank = _rank(total, share)
    reached = np.cumsum(weights @ ranked.counts, axis=1)  # [draws, buckets]
    bucket = (reached < rank - 0.5).sum(axis=1)
    rows = np.arange(len(weights))
    before = np.where(bucket > 0, reached[rows, bucket - 1], 0.0)
    size = ranked.starts[1] if len(ranked.starts) > 1 else total
    places = np.minimum(ranked.starts[bucket][:, np.newaxis] + np.arange(size), total - 1)  # [draws, size]
    within = before[:, np.newaxis] + np.cumsum(weights[rows[:, np.newaxis], ranked.rounds[places]], axis=1)
    first = (within < rank - 0.5).sum(axis=1)
    found: NDArray[np.float64] = ranked.samples[places[rows, first]]
    return found


def _resamples(rounds: int, draws: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """[some draws, rounds]: rounds drawn with replacement, in parts that fit the memory of a small machine."""
    random = np.random.default_rng(seed)
    part = max(1, _DRAWN_AT_ONCE // rounds)
    for start in range(0, draws, part):
        yield random.integers(0, rounds, (min(part, draws - start), rounds))


def _weights(places: NDArray[np.int64]) -> NDArray[np.float64]:
    """[draws, rounds]: how often each round was drawn."""
    draws, rounds = places.shape
    flat = (places + np.arange(draws)[:, np.newaxis] * rounds).ravel()
    return np.bincount(flat, minlength=draws * rounds).reshape(draws, rounds).astype(np.float64)


def _drawn_medians(values: NDArray[np.float64], draws: int, seed: int) -> NDArray[np.float64]:
    parts = [np.median(values[places], axis=1) for places in _resamples(values.size, draws, seed)]
    return np.concatenate(parts)


def _ends(drawn: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    return float(low), float(high)


def _samples(values: ArrayLike) -> NDArray[np.float64]:
    samples = np.asarray(values, dtype=np.float64).ravel()
    if samples.size == 0:
        raise InputError("statistics need at least one sample", got="none")
    return samples
