"""Interval features from raw samples: one arithmetic for whole arrays and for the gateway's buffered interval.

Training computes features over months of samples in one call; the gateway computes them over the samples that it
buffered for one interval. Both call `interval_features`, and both get the same bits: every sum runs over one
interval's samples alone, so nothing that stands before or after them in the array can change its rounding. (Running
sums over the whole array, the usual short cut, would.) For the same reason a long array may be worked through in
blocks of whole intervals, so that intermediate arrays stay in the processor's cache. numpy only: this file runs on
the gateway.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import ConfigError, InputError

Number = TypeVar("Number", np.float64, np.int64)
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

BLOCK_SAMPLES = 1 << 16
"""Samples that are worked on at a time, or one interval where that is longer: half a MB an array."""
NORMAL_KURTOSIS = 3.0


@dataclass(frozen=True)
class IntervalSamples:
    """The samples of all intervals that have any, one interval after the other.

    Intervals without a sample are left out: `reduceat` would answer for two equal consecutive starts with the
    element that stands there instead of an empty sum.

    Attributes:
        values: float64 `[samples]`, in order of time.
        times_us: int64 `[samples]`, microseconds.
        starts: for each interval the place of its first sample, strictly increasing, from 0.
        counts: for each interval its number of samples, at least 1.
    """

    values: FloatArray
    times_us: IntArray
    starts: IntArray
    counts: IntArray

    def total(self, samples: FloatArray) -> FloatArray:
        """Sum over each interval of one number per sample: `[samples]` -> `[intervals]`."""
        total: FloatArray = np.add.reduceat(samples, self.starts)
        return total

    def per_sample(self, of_interval: NDArray[Number]) -> NDArray[Number]:
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

    @cached_property
    def _squared_deviations(self) -> FloatArray:
        return self.deviations * self.deviations

    @cached_property
    def variance(self) -> FloatArray:
        """Population variance of each interval, in two passes."""
        return self.total(self._squared_deviations) / self.counts

    @cached_property
    def kurtosis(self) -> FloatArray:
        """Fourth central moment over the squared variance, both of the population: Pearson's, 3 for normal samples.

        Not the excess over 3: in vibration monitoring 3 is the healthy bearing. A constant interval has 3 as well,
        what normal noise keeps however small it becomes: a machine that stands still is no finding.
        Powers by multiplication: a vectorised `pow` may round the last few samples of an array otherwise.
        """
        fourth = self.total(self._squared_deviations * self._squared_deviations) / self.counts
        squared = self.variance * self.variance
        return np.divide(fourth, squared, out=np.full_like(fourth, NORMAL_KURTOSIS), where=squared != 0)

    @cached_property
    def rms(self) -> FloatArray:
        """Root of the mean square of each interval."""
        root: FloatArray = np.sqrt(self.total(self.values * self.values) / self.counts)
        return root

    @cached_property
    def peak(self) -> FloatArray:
        """Largest absolute sample of each interval."""
        return self.largest(np.abs(self.values))

    @cached_property
    def crest_factor(self) -> FloatArray:
        """Peak over root mean square; 1 where all samples are 0, as in every other constant interval."""
        return np.divide(self.peak, self.rms, out=np.ones_like(self.peak), where=self.rms != 0)

    @cached_property
    def slope(self) -> FloatArray:
        """Least squares against time, unit per second; 0 where all samples are of one moment, as a single one is.

        Times count from the interval's first sample: exact, where microseconds since 1970 squared are not.
        """
        elapsed = (self.times_us - self.per_sample(self.times_us[self.starts])).astype(np.float64)
        elapsed -= self.per_sample(self.total(elapsed) / self.counts)
        along = self.total(elapsed * self.deviations) + 0.0
        spread = self.total(elapsed * elapsed)
        # A broken sample stays one: where the spread is 0, `along` is 0 or NaN.
        return np.divide(along * 1e6, spread, out=along, where=spread > 0)

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
        unit: the `variable`'s own, `none` for a pure number, or the variable's `per second`.
    """

    meaning: str
    compute: Callable[[IntervalSamples], FloatArray]
    empty: float = np.nan
    unit: Literal["variable", "none", "per second"] = "variable"


FEATURES: Mapping[str, Feature] = MappingProxyType(
    {
        "mean": Feature("arithmetic mean", lambda s: s.mean),
        "std": Feature("population standard deviation", lambda s: np.sqrt(s.variance)),
        "min": Feature("smallest sample", lambda s: s.smallest(s.values)),
        "max": Feature("largest sample", lambda s: s.largest(s.values)),
        "peak": Feature("largest absolute sample", lambda s: s.peak),
        "rms": Feature("root of the mean square", lambda s: s.rms),
        "peak_to_peak": Feature("largest minus smallest", lambda s: s.largest(s.values) - s.smallest(s.values)),
        "count": Feature("number of samples", lambda s: s.counts.astype(np.float64), empty=0.0, unit="none"),
        "last": Feature("latest sample", lambda s: s.values[s.starts + s.counts - 1]),
        "crest_factor": Feature("peak over root mean square", lambda s: s.crest_factor, unit="none"),
        "kurtosis": Feature("Pearson's kurtosis, normal = 3", lambda s: s.kurtosis, unit="none"),
        "slope": Feature("least squares against time", lambda s: s.slope, unit="per second"),
    }
)
"""Every feature by its name: a new one is one line here."""


def feature_unit(feature: str, unit: str) -> str:
    """The unit of a feature of a variable in `unit`: "1" for a pure number, "" where nothing was stated.

    A feature that is none of `FEATURES` is taken for a reading in the variable's unit.
    """
    kind = FEATURES[feature].unit if feature in FEATURES else "variable"
    if kind == "none":
        return "1"
    if kind == "per second" and unit:
        return f"({unit})/s" if "/" in unit else f"{unit}/s"
    return unit if kind == "variable" else ""


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
    times, edges, samples = _microseconds("times", times_us), _microseconds("edges", edges_us), np.asarray(values)
    _check(times, samples, edges)
    bounds = np.searchsorted(times, edges, side="left")  # [intervals + 1]
    table = np.tile([feature.empty for feature in chosen], (len(edges) - 1, 1))  # [intervals, features]
    with np.errstate(invalid="ignore", over="ignore"):
        for block in _blocks(bounds):
            grouped = _grouped(samples, times, bounds[block], bounds[block + 1])
            for column, feature in enumerate(chosen):
                table[block, column] = feature.compute(grouped)
    return table


def _blocks(bounds: IntArray) -> list[IntArray]:
    """The numbers of the intervals that have samples, in pieces of about `BLOCK_SAMPLES` samples."""
    filled = np.flatnonzero(np.diff(bounds))
    borders = np.flatnonzero(np.diff(bounds[filled] // BLOCK_SAMPLES)) + 1
    return [block for block in np.split(filled, borders) if block.size]


def _grouped(samples: NDArray[np.generic], times: IntArray, starts: IntArray, ends: IntArray) -> IntervalSamples:
    """The samples of some intervals; between these lie none, so that they stand together."""
    first, last = starts[0], ends[-1]
    # Adding 0 makes -0 a 0: which of the two a maximum returns would depend on where they stand.
    values = np.add(samples[first:last], 0.0, dtype=np.float64)
    return IntervalSamples(values, times[first:last], starts - first, ends - starts)


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


def _check(times: IntArray, samples: NDArray[np.generic], edges: IntArray) -> None:
    if times.ndim != 1 or times.shape != samples.shape:
        raise InputError("each sample needs one time", got=f"times {times.shape}, values {samples.shape}")
    if edges.ndim != 1 or not edges.size or np.any(edges[1:] <= edges[:-1]):
        raise InputError("edges must increase", got=f"edges of shape {edges.shape}", fix="use interval_edges")
    backwards = np.flatnonzero(times[1:] < times[:-1])
    if backwards.size:
        place = int(backwards[0]) + 1
        raise InputError("samples must be in order of time", got=f"an earlier time at sample {place}", fix="sort them")
