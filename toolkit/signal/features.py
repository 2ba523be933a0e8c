"""Interval features from raw samples: one arithmetic for whole arrays and for the gateway's buffered interval.

Training computes features over months of samples in one call; the gateway computes them over the samples that it
buffered for one interval. Both call `interval_features`, and both get the same bits: every sum runs over one
interval's samples alone, so nothing that stands before or after them in the array can change its rounding. (Running
sums over the whole array, the usual short cut, would.) numpy only: this file runs on the gateway.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import ConfigError, InputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class IntervalSamples:
    """The samples of all intervals that have any, one interval after the other.

    Intervals without a sample are left out: `reduceat` would answer for two equal consecutive starts with the
    element that stands there instead of an empty sum.

    Attributes:
        values: float64 `[samples]`, in order of time.
        starts: for each interval the place of its first sample, strictly increasing, from 0.
        counts: for each interval its number of samples, at least 1.
    """

    values: FloatArray
    starts: IntArray
    counts: IntArray

    def total(self, samples: FloatArray) -> FloatArray:
        """Sum over each interval of one number per sample: `[samples]` -> `[intervals]`."""
        total: FloatArray = np.add.reduceat(samples, self.starts)
        return total

    def per_sample(self, of_interval: FloatArray) -> FloatArray:
        """Repeats one number per interval for each of its samples: `[intervals]` -> `[samples]`."""
        return np.repeat(of_interval, self.counts)

    @cached_property
    def first(self) -> FloatArray:
        """The first sample of each interval."""
        return self.values[self.starts]

    @cached_property
    def _from_first(self) -> FloatArray:
        """Differences from the interval's first sample: small and mostly exact where the offset is large.

        Sums of 101 325 +- 50 lose digits that sums of +- 50 keep; a constant interval has a mean that is exact and
        a standard deviation of exactly 0.
        """
        return self.values - self.per_sample(self.first)

    @cached_property
    def _mean_from_first(self) -> FloatArray:
        return self.total(self._from_first) / self.counts

    @cached_property
    def mean(self) -> FloatArray:
        """Arithmetic mean of each interval."""
        return self.first + self._mean_from_first

    @cached_property
    def deviations(self) -> FloatArray:
        """Differences from the interval's mean, `[samples]`: what every central moment is made of."""
        return self._from_first - self.per_sample(self._mean_from_first)

    def central_moment(self, order: int) -> FloatArray:
        """Population moment of that order about the mean, in two passes; order 2 is the variance.

        Powers by multiplication: a vectorised `pow` may round the last few samples of an array otherwise.
        """
        return self.total(reduce(np.multiply, [self.deviations] * order)) / self.counts

    def largest(self, samples: FloatArray) -> FloatArray:
        """Maximum over each interval of one number per sample."""
        largest: FloatArray = np.maximum.reduceat(samples, self.starts)
        return largest

    def smallest(self, samples: FloatArray) -> FloatArray:
        """Minimum over each interval of one number per sample."""
        smallest: FloatArray = np.minimum.reduceat(samples, self.starts)
        return smallest


@dataclass(frozen=True)
class Feature:
    """One statistic of the samples of one interval.

    Attributes:
        meaning: what it is, in a few words.
        compute: from the samples to one number for each interval that has any.
        empty: the answer for an interval without samples.
    """

    meaning: str
    compute: Callable[[IntervalSamples], FloatArray]
    empty: float = np.nan


FEATURES: Mapping[str, Feature] = MappingProxyType(
    {
        "mean": Feature("arithmetic mean", lambda s: s.mean),
        "std": Feature("population standard deviation", lambda s: np.sqrt(s.central_moment(2))),
        "min": Feature("smallest sample", lambda s: s.smallest(s.values)),
        "max": Feature("largest sample", lambda s: s.largest(s.values)),
        "peak": Feature("largest absolute sample", lambda s: s.largest(np.abs(s.values))),
        "rms": Feature("root of the mean square", lambda s: np.sqrt(s.total(s.values**2) / s.counts)),
        "peak_to_peak": Feature("largest minus smallest", lambda s: s.largest(s.values) - s.smallest(s.values)),
        "count": Feature("number of samples", lambda s: s.counts.astype(np.float64), empty=0.0),
        "last": Feature("latest sample", lambda s: s.values[s.starts + s.counts - 1]),
    }
)
"""Every feature by its name: a new one is one line here."""


def interval_start(time_us: int, interval_us: int) -> int:
    """The start of the interval that holds `time_us`: the last multiple of `interval_us` since 1970 UTC.

    Raises:
        ConfigError: the interval is not positive.
    """
    if interval_us <= 0:
        raise ConfigError("an interval must be longer than nothing", got=f"{interval_us} us", allowed="above 0")
    return time_us // interval_us * interval_us


def interval_edges(first_us: int, last_us: int, interval_us: int) -> IntArray:
    """Edges of the UTC-aligned intervals from the one that holds `first_us` to the one that holds `last_us`.

    Intervals are closed on the left: a sample that falls on an edge belongs to the interval that starts there.

    Returns:
        int64 `[intervals + 1]`, microseconds; interval `i` is `edges[i] <= time < edges[i + 1]`.

    Raises:
        ConfigError: the interval is not positive.
        InputError: `last_us` lies before `first_us`.
    """
    if last_us < first_us:
        raise InputError("the last time lies before the first", got=f"{first_us} to {last_us} us")
    start, end = interval_start(first_us, interval_us), interval_start(last_us, interval_us)
    return np.arange(start, end + 2 * interval_us, interval_us, dtype=np.int64)


def interval_features(
    times_us: ArrayLike, values: ArrayLike, edges_us: ArrayLike, features: Sequence[str]
) -> FloatArray:
    """Statistics of the samples of each interval.

    The call over all intervals and one call per interval, with that interval's samples alone, give the same bits.
    Samples outside the edges are not used. A NaN sample makes every statistic of its interval NaN but the count
    and, unless it is that sample, the last one; infinity makes the mean and the deviation NaN or infinite. Whoever
    wants to tolerate broken samples drops them before.

    Args:
        times_us: integers `[samples]`, microseconds since 1970 UTC, never decreasing.
        values: `[samples]` in the variable's unit; computed in float64.
        edges_us: integers `[intervals + 1]`, increasing, as `interval_edges` gives them.
        features: names out of `FEATURES`, in the order of the result's columns.

    Returns:
        float64 `[intervals, features]`; an interval without samples has a count of 0 and is NaN otherwise.

    Raises:
        ConfigError: a feature that does not exist.
        InputError: arrays of the wrong type, shape or order.
    """
    chosen = [_feature(name) for name in features]
    times, edges = _microseconds("times", times_us), _microseconds("edges", edges_us)
    # Adding 0 makes -0 a 0: which of the two a maximum returns would depend on where they stand.
    samples = np.add(values, 0.0, dtype=np.float64)
    _check(times, samples, edges)
    bounds = np.searchsorted(times, edges, side="left")  # [intervals + 1]
    counts = np.diff(bounds)
    filled = counts > 0
    table = np.tile([feature.empty for feature in chosen], (len(counts), 1))  # [intervals, features]
    if filled.any():
        inside = samples[bounds[0] : bounds[-1]]
        grouped = IntervalSamples(inside, bounds[:-1][filled] - bounds[0], counts[filled])
        with np.errstate(invalid="ignore", over="ignore"):
            for column, feature in enumerate(chosen):
                table[filled, column] = feature.compute(grouped)
    return table


def _feature(name: str) -> Feature:
    if name not in FEATURES:
        raise ConfigError("no such feature", got=name, allowed=", ".join(FEATURES))
    return FEATURES[name]


def _microseconds(name: str, numbers: ArrayLike) -> IntArray:
    array = np.asarray(numbers)
    if array.size and array.dtype.kind not in "iu":
        raise InputError(
            f"{name} must be whole microseconds", got=str(array.dtype), allowed="int64", fix="convert them"
        )
    return array.astype(np.int64, copy=False)


def _check(times: IntArray, samples: FloatArray, edges: IntArray) -> None:
    if times.ndim != 1 or times.shape != samples.shape:
        raise InputError("each sample needs one time", got=f"times {times.shape}, values {samples.shape}")
    if edges.ndim != 1 or not edges.size or np.any(edges[1:] <= edges[:-1]):
        raise InputError("edges must increase", got=f"edges of shape {edges.shape}", fix="use interval_edges")
    backwards = np.flatnonzero(times[1:] < times[:-1])
    if backwards.size:
        place = int(backwards[0]) + 1
        raise InputError("samples must be in order of time", got=f"an earlier time at sample {place}", fix="sort them")
