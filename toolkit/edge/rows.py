"""Closed places of many assets become whole rows of channels: the same bits, and the same series, as in training.

Features of raw samples are computed for all assets in one call for each variable: the interval of each is shifted to a
slot of its own on a common axis of time. No sum of `toolkit.signal.features` reaches beyond its interval, and times
count from an interval's first sample, so that this changes no bit. Readings are float64 until the row is whole, and
float32 from then on, as in training.

What has to be known of an asset between two calls stands in its `AssetRecord`: `series`, `last_place`, and in `held`,
where a channel is held at all, the last reading of each channel (see `toolkit.edge.fillings.LastReadings`). Nothing
else is kept, so that a restart changes nothing.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.frozen import dataclass
from toolkit.contract.signals import SignalSpec
from toolkit.edge.changes import AssetRecord
from toolkit.edge.columns import Column, columns_of
from toolkit.edge.fillings import NEVER, Fillings, LastReadings
from toolkit.edge.intervals import LARGEST, ClosedPlace
from toolkit.edge.settings import ColumnLimits, SignalSettings
from toolkit.edge.timing import timing_of
from toolkit.signal.calendar import calendar_channels, calendar_features, calendar_names
from toolkit.signal.features import interval_features

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class RowRound:
    """Whole rows, in the order of the closed places; an asset stands at most once.

    Attributes:
        assets: numbers, int64 `[rows]`.
        places: int64 `[rows]`.
        stamps_us: microseconds since 1970 UTC, int64 `[rows]`: the start of an interval, or the row's own time.
        values: float32 `[rows, channels]`, all finite, the calendar's channels among them.
        flags: bits of `Flag`, int64 `[rows]`.
        series: the number of each row's unbroken series, int64 `[rows]`.
        starts_series: bool `[rows]`, whether the row is its first.
    """

    assets: Ints
    places: Ints
    stamps_us: Ints
    values: NDArray[np.float32]
    flags: Ints
    series: Ints
    starts_series: Bools


@dataclass(frozen=True, eq=False)
class RowBatch:
    """What became of closed places.

    Attributes:
        rounds: rows of one asset follow each other in successive rounds: places that were skipped and filled come
            before the one that was closed.
        left_out: numbers of the assets whose closed place lacks a channel, int64: it gave no row.
    """

    rounds: tuple[RowRound, ...]
    left_out: Ints


class RowMaker:
    """Makes the rows of one bundle's signal.

    Args:
        signal: of the bundle.
        limits: by the names of columns: what stands where one has no reading.

    Raises:
        ConfigError: a policy for missing readings that is none.
        DataError: a channel of the calendar that does not exist.
    """

    def __init__(self, signal: SignalSpec, limits: Mapping[str, ColumnLimits]) -> None:
        self._timing = timing_of(signal, SignalSettings())
        self._columns = columns_of(signal)
        self._fillings = Fillings(signal, self._columns, limits)
        self._sent = len(signal.channels) - signal.calendar_channels
        self._min_samples = signal.min_samples
        self._timezone = signal.timezone
        names = signal.channel_names[self._sent :]
        self._calendar = calendar_features(names, "the bundle's signal")
        self._calendar_order = [calendar_names(self._calendar).index(name) for name in names]

    def make(self, closed: Sequence[ClosedPlace], records: Mapping[int, AssetRecord]) -> RowBatch:
        """Makes rows, and brings the records up to date with them.

        Args:
            closed: at most one place of each asset; those of one asset come in their order from call to call.
            records: by the assets' numbers. `series`, `last_place` and `held` change.
        """
        if not closed:
            return RowBatch((), np.empty(0, np.int64))
        own = [records[each.asset] for each in closed]
        places = np.array([each.place for each in closed], np.int64)
        readings = self._readings(closed)  # [closed, sent]
        last = LastReadings.read([record.held for record in own], self._sent)
        rows = self._filled_rows(closed, places, readings, last, _last_places(own))
        for record, held in zip(own, self._held(last, places, readings), strict=True):
            record.held = held
        return rows.numbered(own)

    def _held(self, last: LastReadings, places: Ints, readings: Floats) -> list[list[int]]:
        if not self._fillings.holds:
            return [[] for _ in places]
        return last.after(places, readings).written()

    def _filled_rows(
        self, closed: Sequence[ClosedPlace], places: Ints, readings: Floats, last: LastReadings, last_places: Ints
    ) -> "_Rows":
        """A row for each closed place, and before it those of skipped places that are filled."""
        counts = 1 + self._fillings.empty_places(last, last_places, places)
        source = np.repeat(np.arange(len(closed)), counts)
        number = np.arange(source.size) - np.repeat(np.cumsum(counts) - counts, counts)
        is_closed = number == counts[source] - 1
        at = np.where(is_closed, places[source], last_places[source] + 1 + number)
        values = np.where(is_closed[:, None], readings[source], np.nan)
        values, flags = self._fillings.filled(at, values, last.taken(source))
        flags |= np.where(is_closed, np.array([each.flags for each in closed], np.int64)[source], 0)
        stamps = self._stamps(closed, source, at)
        return _Rows(source, number, is_closed, at, stamps, self._with_calendar(values, stamps), flags)

    def _stamps(self, closed: Sequence[ClosedPlace], source: Ints, places: Ints) -> Ints:
        origins = np.array([each.origin_us for each in closed], np.int64)[source]
        stamps: Ints = origins + np.rint(places * self._timing.interval_us).astype(np.int64)
        return stamps

    def _with_calendar(self, values: Floats, stamps: Ints) -> Floats:
        if not self._calendar:
            return values
        computed = calendar_channels(stamps, self._calendar, self._timezone)
        return np.hstack([values, computed[:, self._calendar_order]])

    def _readings(self, closed: Sequence[ClosedPlace]) -> Floats:
        """The channels that are sent, float64 `[closed, sent]`, NaN where a place gave none."""
        readings = np.full((len(closed), self._sent), np.nan)
        if self._timing.sampling == "rows":
            for number, column in enumerate(self._columns):
                readings[:, column.channels[0]] = _latest(closed, number)
            return readings
        at_a_time = max((1 << 62) // int(self._timing.interval_us), 1)  # slots whose times fit into 64 bits
        for first in range(0, len(closed), at_a_time):
            part = closed[first : first + at_a_time]
            for number, column in enumerate(self._columns):
                readings[first : first + at_a_time, list(column.channels)] = self._features(part, number, column)
        return readings

    def _features(self, closed: Sequence[ClosedPlace], number: int, column: Column) -> Floats:
        """Features of one variable, `[closed, features]`; NaN as in `toolkit.data.interval_table`."""
        found = [each.columns[number] for each in closed]
        counts = np.array([len(readings.times_us) if readings else 0 for readings in found])
        times = _joined([readings.times_us for readings in found if readings], np.int64)
        samples = _joined([readings.values for readings in found if readings], np.float64)
        interval_us = int(self._timing.interval_us)
        slots = np.arange(len(closed) + 1) * interval_us
        starts = np.array([each.place for each in closed], np.int64) * interval_us
        times += np.repeat(slots[:-1] - starts, counts)
        if (np.diff(times) < 0).any():
            order = np.argsort(times, kind="stable")
            times, samples = times[order], samples[order]
        table = interval_features(times, samples, slots, (*column.features, "count"))
        values, taken = table[:, :-1], table[:, -1:]
        return np.where((taken >= self._min_samples) & (np.abs(values) <= LARGEST), values, np.nan)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows that may lack a channel, those of one asset one after the other.

    Attributes:
        source: of each the number of its closed place, int64 `[rows]`.
        number: of each among those of its asset, int64 `[rows]`.
        is_closed: bool `[rows]`, not where a skipped place was filled.
        places: int64 `[rows]`.
        stamps: microseconds, int64 `[rows]`.
        values: float64 `[rows, channels]`, NaN where one is missing.
        flags: int64 `[rows]`.
    """

    source: Ints
    number: Ints
    is_closed: Bools
    places: Ints
    stamps: Ints
    values: Floats
    flags: Ints

    def numbered(self, records: Sequence[AssetRecord]) -> RowBatch:
        """Leaves out what is not whole, and numbers the series: a place that gave no row ends one."""
        assets = np.array([record.number for record in records], np.int64)
        series = np.array([record.series for record in records], np.int64)
        last_places = _last_places(records)
        whole = np.isfinite(self.values).all(axis=1)
        rounds = []
        for rows in _of_each_number(self.number, np.flatnonzero(whole)):
            source, places = self.source[rows], self.places[rows]
            before = last_places[source]
            starts = places != before + 1
            series[source] += starts & (before != NEVER)  # the first row of all begins the series that is counted
            last_places[source] = places
            values = self.values[rows].astype(np.float32)
            stamps, flags = self.stamps[rows], self.flags[rows]
            rounds.append(RowRound(assets[source], places, stamps, values, flags, series[source], starts))
        for record, number, place in zip(records, series.tolist(), last_places.tolist(), strict=True):
            record.series, record.last_place = number, None if place == NEVER else place
        return RowBatch(tuple(rounds), assets[self.source[self.is_closed & ~whole]])


def _of_each_number(numbers: Ints, rows: Ints) -> list[Ints]:
    """The rows of the lowest number, of the next, and so on, each in their order."""
    ordered = rows[np.argsort(numbers[rows], kind="stable")]
    borders = np.flatnonzero(np.diff(numbers[ordered])) + 1
    return [part for part in np.split(ordered, borders) if part.size]


def _last_places(records: Sequence[AssetRecord]) -> Ints:
    """Of the last whole row of each, `NEVER` where there was none."""
    return np.array([NEVER if record.last_place is None else record.last_place for record in records], np.int64)


def _latest(closed: Sequence[ClosedPlace], column: int) -> list[float]:
    """A column's reading in each place, the latest by time; NaN where there is none."""
    found = [each.columns[column] for each in closed]
    return [readings.values[readings.newest()] if readings else math.nan for readings in found]


def _joined(lists: list[list[Any]], kind: type[np.generic]) -> NDArray[Any]:
    return np.array(list(itertools.chain.from_iterable(lists)), kind)
