"""What is said of raw samples: percentiles of calls, and ratios between contenders.

A percentile is the nearest rank (numpy's `inverted_cdf`, type 1 of Hyndman and Fan, 1996): the smallest sample that
at least that share of all samples does not exceed. It is always a call that was really measured, so that a budget
on p99 is never met or broken by a figure between two calls. The mean is left out: one stall of the scheduler moves
it further than any change that is worth measuring.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import InputError


@dataclass(frozen=True)
class Summary:
    """Calls of one contender, in nanoseconds."""

    count: int
    p50_ns: int
    p90_ns: int
    p99_ns: int
    max_ns: int


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
    return tuple(int(value) for value in np.percentile(samples, list(shares), method="inverted_cdf"))


def summarise(samples_ns: ArrayLike) -> Summary:
    """Count, percentiles and maximum of the samples.

    Raises:
        InputError: there is no sample.
    """
    samples = _samples(samples_ns)
    p50, p90, p99 = percentiles(samples, (50, 90, 99))
    return Summary(count=samples.size, p50_ns=p50, p90_ns=p90, p99_ns=p99, max_ns=int(samples.max()))


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
    reference_ns: ArrayLike, own_ns: ArrayLike, *, confidence: float = 0.95, draws: int = 2000, seed: int = 0
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
    places = np.random.default_rng(seed).integers(0, ratios.size, (draws, ratios.size))
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(np.median(ratios[places], axis=1), [tail, 1.0 - tail])
    return float(low), float(high)


def _samples(values: ArrayLike) -> NDArray[np.float64]:
    samples = np.asarray(values, dtype=np.float64).ravel()
    if samples.size == 0:
        raise InputError("statistics need at least one sample", got="none")
    return samples
