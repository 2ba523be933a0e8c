"""How a table's rows follow each other: interval, gaps, rates that differ, and the windows that fit into them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import DataError
from toolkit.signal.windows import GAP_INTERVALS, PARTS, part_by_fraction, segment_ids, window_starts

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SPLIT = (0.7, 0.15, 0.15)
HOLD = 3
"""Intervals for which a last reading is worth repeating: a hiccup of the logger, and not an outage."""
ENOUGH_WINDOWS = 20
NICE_S = (
    0.001,
    0.01,
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    21_600,
    43_200,
    86_400,
)
_LENGTHS = ((20.0, 60, 10), (300.0, 60, 12), (43_200.0, 96, 24), (float("inf"), 30, 7))
"""Up to this many seconds between rows: window and horizon to begin with."""


@dataclass(frozen=True)
class SampleRows:
    """A sample's readings, all rows of one asset together in time order.

    Attributes:
        times_us: int64 `[rows]`.
        assets: int64 `[rows]`.
        values: float64 `[rows, channels]`, NaN where a reading is missing.
    """

    times_us: Ints
    assets: Ints
    values: Floats

    @property
    def steps_us(self) -> Ints:
        """Between neighbouring rows of one asset."""
        steps: Ints = np.diff(self.times_us)[np.diff(self.assets) == 0]
        return steps

    def part(self, rows: NDArray[np.bool_], columns: Sequence[int] | None = None) -> "SampleRows":
        """Some of the rows, and some of the channels."""
        values = self.values[rows] if columns is None else self.values[np.ix_(rows, np.array(columns, np.intp))]
        return SampleRows(self.times_us[rows], self.assets[rows], values)


def ordered(times_us: Ints, assets: Ints, values: Floats) -> SampleRows:
    """By asset and time; of several rows of one moment the first."""
    order = np.lexsort((times_us, assets))
    rows = SampleRows(times_us[order], assets[order], values[order])
    first = np.append(True, (np.diff(rows.times_us) != 0) | (np.diff(rows.assets) != 0))
    return rows.part(first)


def interval_us(rows: SampleRows) -> float:
    """The usual step.

    Raises:
        DataError: no asset has two rows.
    """
    if not rows.steps_us.size:
        raise DataError("no two rows of one machine", fix="give more rows, or another --asset")
    return float(np.median(rows.steps_us))


def long_steps(rows: SampleRows, interval: float) -> tuple[int, float]:
    """How many steps are gaps, and the longest one in seconds."""
    long = rows.steps_us[rows.steps_us > GAP_INTERVALS * interval]
    return int(long.size), float(long.max(initial=0)) / 1e6


def own_periods_us(rows: SampleRows) -> Floats:
    """For each channel the usual step between its own readings; infinite where it has not two."""
    periods = []
    for column in range(rows.values.shape[1]):
        steps = rows.part(np.isfinite(rows.values[:, column])).steps_us
        periods.append(float(np.median(steps)) if steps.size else float("inf"))
    return np.array(periods)


def at_own_rate(rows: SampleRows, interval: float) -> NDArray[np.bool_]:
    """Which channels are empty in most rows because they are sampled less often, and not because they failed."""
    present = np.isfinite(rows.values).sum(axis=0)
    periods = own_periods_us(rows)
    span = max(float(rows.steps_us.sum()), 1.0)
    # Tags that report in turns have steps of two lengths, of which the median is one by chance.
    interval = min(interval, span / max(rows.steps_us.size, 1))
    regular = np.where(np.isfinite(periods), present * periods, 0.0) > 0.5 * span
    slower: NDArray[np.bool_] = (periods >= 1.8 * interval) & regular
    return slower


def features_interval_s(rows: SampleRows) -> float:
    """The shortest round interval in which the slowest channel has two samples, or one where rows are few."""
    slowest = float(own_periods_us(rows).max()) / 1e6
    span = float(rows.steps_us.sum()) / 1e6
    two, one = (next((nice for nice in NICE_S if nice >= count * slowest), 2 * slowest) for count in (1.99, 0.99))
    return float(two if span / two >= 10 * ENOUGH_WINDOWS else one)


def in_intervals(rows: SampleRows, length_s: float) -> SampleRows:
    """One row for each interval, with NaN for the channels that have no sample in it."""
    places = rows.times_us // round(length_s * 1e6)
    keys, codes = np.unique(np.stack([rows.assets, places], axis=1), axis=0, return_inverse=True)
    values = np.full((len(keys), rows.values.shape[1]), np.nan)
    for column in range(values.shape[1]):
        present = np.isfinite(rows.values[:, column])
        values[codes.ravel()[present], column] = rows.values[present, column]
    return SampleRows(keys[:, 1] * round(length_s * 1e6), keys[:, 0], values)


def choose_lengths(
    rows: SampleRows, interval: float, *, hold: int, window: int | None, horizon: int | None, whole: bool
) -> tuple[int, int, dict[str, int]]:
    """Window and horizon, halved until every part has enough windows, and the windows of each part.

    Args:
        rows: the sample.
        interval: microseconds between rows.
        hold: intervals for which a last reading is repeated.
        window: as given, or None.
        horizon: as given, or None.
        whole: whether the sample is everything; otherwise there may be more windows than it shows.

    Raises:
        DataError: not even the shortest windows fit.
    """
    first, second = next((w, h) for limit, w, h in _LENGTHS if interval / 1e6 < limit)
    rows = _usable(rows, hold)
    length, ahead = window or first, horizon or second
    while True:
        counts = _windows(rows, (GAP_INTERVALS + hold) * interval, length, ahead)
        if min(counts.values()) >= ENOUGH_WINDOWS:
            return length, ahead, counts
        shorter = (window or max(length // 2, 4), horizon or max(ahead // 2, 1))
        if shorter == (length, ahead):
            break
        length, ahead = shorter
    if min(counts.values()) or not whole:
        return length, ahead, counts
    raise DataError(
        "too few unbroken rows to train on",
        got=f"{len(rows.times_us)} usable rows",
        allowed=f"windows of {length} + {ahead} rows in each of three parts",
        fix="give more rows, or leave out the emptiest columns with --exclude",
    )


def _usable(rows: SampleRows, hold: int) -> SampleRows:
    """The rows in which every channel has a reading, or had one no more than `hold` rows ago."""
    place = np.arange(len(rows.times_us))[:, None]
    last = np.maximum.accumulate(np.where(np.isfinite(rows.values), place, -(10**9)), axis=0)
    usable: NDArray[np.bool_] = np.all(place - last <= hold, axis=1)
    return rows.part(usable)


def _windows(rows: SampleRows, longest_step: float, window: int, horizon: int) -> dict[str, int]:
    if not rows.times_us.size:
        return dict.fromkeys(PARTS, 0)
    segments = segment_ids(rows.assets, rows.times_us, int(longest_step))
    parts = part_by_fraction(rows.times_us, SPLIT)
    starts = (window_starts(segments, parts, part, window_length=window, horizon=horizon) for part in range(len(PARTS)))
    return {name: int(found.size) for name, found in zip(PARTS, starts, strict=True)}


def constant_on_training(rows: SampleRows) -> NDArray[np.bool_]:
    """Which channels never change on the training rows, in float32, in which the model reads them."""
    values = rows.values[part_by_fraction(rows.times_us, SPLIT) == 0]
    low = np.nanmin(np.where(np.isfinite(values), values, np.inf), axis=0)
    high = np.nanmax(np.where(np.isfinite(values), values, -np.inf), axis=0)
    step = np.spacing(np.maximum(np.abs(low), np.abs(high)).astype(np.float32))
    same: NDArray[np.bool_] = (high - low <= step) | (high < low)
    return same
