"""Readings of one asset, one after the other, become closed places; see `toolkit.edge.timing` for what a place is.

What is accepted and when a place closes depends on the accepted readings and their order alone, and on silence, which
is an event of its own (`AssetIntervals.close_all`). No clock is asked.

When a place closes. The *watermark* is the newest time of that column which lies furthest behind, or the newest time of
any column less the patience, whichever is later: a silent column must not stop the others. A place closes when the
watermark less the lateness lies in a later place. Places close in order, and whatever lies before the first open place
comes too late, whether or not anything was ever read there.

For raw samples that is all. Of rows, a place also closes at once, and all before it, when every column has a reading of
it and the lateness is 0: nothing is then to be expected but a second reading of the same place, which comes too late.
A row that lacks a column waits for the patience; with a patience of 0 it closes as soon as a reading of the next row is
there. Of several readings of one column in one place all are handed over; a row takes the latest by time, as
`toolkit.data.gaps.merge_places` does.

Until its first place closes, the grid of an asset's rows begins with the earliest reading that was accepted: rows that
overtook the first one move it back.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from toolkit.edge.changes import AssetRecord, Flag, Sample
from toolkit.edge.readings import Reading, Reason
from toolkit.edge.timing import Timing, timing_of

__all__ = ["AssetIntervals", "ClosedPlace", "ColumnReadings", "Timing", "timing_of"]

LARGEST = 3.4028234663852886e38
"""The model reads float32. A reading beyond this is none."""
NEVER, ALWAYS = -(1 << 62), 1 << 62
"""Before and behind every time."""


class ColumnReadings(NamedTuple):
    """What a column gave in one place, in the order in which it was accepted.

    Attributes:
        times_us: microseconds since 1970 UTC.
        values: in the unit of the column.
        sequences: the source's own numbers, None where it sent none.
    """

    times_us: list[int]
    values: list[float]
    sequences: list[int | None]

    def newest(self) -> int:
        """The number of the latest by time, of several at one moment the last that was accepted."""
        times = self.times_us
        return 0 if len(times) == 1 else max(range(len(times)), key=lambda number: (times[number], number))


class ClosedPlace(NamedTuple):
    """A place that is done with; at least one column has a reading.

    Attributes:
        asset: the asset's number.
        place: which.
        origin_us: the grid's when it closed: `Timing.stamp_of(origin_us, place)` is its stamp.
        columns: for each column its readings, or None where it gave none.
        flags: bits of `Flag`: TIMEOUT or PARTIAL.
    """

    asset: int
    place: int
    origin_us: int
    columns: list[ColumnReadings | None]
    flags: int


class AssetIntervals:
    """The open places of one asset.

    Args:
        timing: of all assets of the bundle.
        record: what the journal knows, or a new one. It is kept up to date: `newest_us` and `sequences` tell of closed
            places alone, the rest is as it is now.
        closed: places are appended to it as they close.

    Attributes:
        record: see above.
        changed: whether the record must be made durable although no place may have closed. Whoever has done so resets
            it.
        open_readings: how many are in open places.
        sequence_restarts: how often the source's own numbers began anew.
        out_of_order: accepted readings that lay behind one of their column.
        last_flagged: the last place that was closed with a flag, or None.
    """

    __slots__ = (
        "_at_once", "_by_sequence", "_by_time", "_closed", "_closes_at_us", "_earliest_us", "_furthest_us",
        "_last_sequences", "_newest_us", "_open", "_open_place", "_timing", "_whole_us", "changed", "last_flagged",
        "open_readings", "out_of_order", "record", "sequence_restarts",
    )  # fmt: skip

    def __init__(self, timing: Timing, record: AssetRecord, closed: list[ClosedPlace]) -> None:
        record.newest_us = record.newest_us or [None] * timing.columns
        record.sequences = record.sequences or [None] * timing.columns
        self.record = record
        self.changed = False
        self.open_readings = self.sequence_restarts = self.out_of_order = 0
        self.last_flagged: int | None = None
        self._timing = timing
        self._closed = closed
        self._at_once = timing.sampling == "rows" and timing.lateness_us == 0
        self._whole_us = int(timing.interval_us) if timing.sampling == "samples" else 0
        self._open: dict[int, list[ColumnReadings | None]] = {}
        self._by_time: list[dict[int, float]] = [{} for _ in range(timing.columns)]
        self._by_sequence: list[dict[int, float]] = [{} for _ in range(timing.columns)]
        self._newest_us = [NEVER if newest is None else newest for newest in record.newest_us]
        self._last_sequences = list(record.sequences)
        newest = max(self._newest_us)
        self._furthest_us = newest + timing.max_ahead_us if newest > NEVER else ALWAYS
        moves = timing.follows or (newest == NEVER and not self._whole_us)
        self._earliest_us = ALWAYS if moves else NEVER  # of the open readings, while the grid depends on it
        self._open_place = NEVER if record.open_place is None else record.open_place
        self._closes_at_us = NEVER
        self._watch()

    def take(self, reading: Reading) -> Reason | None:
        """Accepts a reading, or says why not. What it closes has been appended to `closed` when this returns.

        Returns:
            None where it was accepted. A refused reading changes nothing, but that one too far ahead is remembered.
        """
        column, time, value, sequence = reading
        if not -LARGEST <= value <= LARGEST:  # NaN as well: it compares false
            return Reason.INFINITE
        if time > self._furthest_us and not self._is_confirmed(time):
            return Reason.FUTURE
        timing, record, whole_us = self._timing, self.record, self._whole_us
        # as `Timing.place_of`, without a call
        place = time // whole_us if whole_us else math.floor((time - record.origin_us) / timing.interval_us + 0.5)
        if place < self._open_place:
            return Reason.LATE
        known = self._by_time[column].get(time) if sequence is None else self._by_sequence[column].get(sequence)
        if known is not None:
            return Reason.DUPLICATE if known == value else Reason.CONFLICT
        if self.open_readings >= timing.max_open_readings:
            return Reason.TOO_MANY_READINGS
        if record.suspect_us is not None:
            record.suspect_us, self.changed = None, True
        if time < self._earliest_us:
            self._lay_grid(time)
            place = timing.place_of(record.origin_us, time)
        columns = self._keep(reading, place)
        if self._at_once and None not in columns:
            self._close_through(time)
        elif time >= self._closes_at_us and self._watermark() >= self._closes_at_us:
            self._close_due()
        return None

    def close_all(self) -> bool:
        """Closes all places that hold readings, because nothing came for so long.

        Returns:
            Whether there were any. `record.open_place` then is the first place left open.
        """
        if not self._open:
            return False
        while self._open:
            self._close(min(self._open), int(Flag.TIMEOUT))
        self._watch()
        return True

    def restore(self, samples: Iterable[Sample]) -> None:
        """Puts back what was accepted and is in no closed place, in the order in which it was accepted.

        Nothing closes and nothing is counted: afterwards all is as it was when the last of them had been taken.
        """
        for _, column, time, value, sequence in samples:
            if time < self._earliest_us:
                self._lay_grid(time)
            place = self._timing.place_of(self.record.origin_us, time)
            self._keep(Reading(column, time, value, sequence), place)
        self.sequence_restarts = self.out_of_order = 0
        self._watch()

    def _is_confirmed(self, time: int) -> bool:
        """Whether a reading far ahead is not alone; if it is, it is the one that the next may confirm.

        The readings of one row have one time, and a message may come twice: only another time confirms.
        """
        suspect = self.record.suspect_us
        if suspect == time:
            return False
        if suspect is not None and abs(time - suspect) <= self._timing.max_ahead_us:
            return True
        self.record.suspect_us, self.changed = time, True
        return False

    def _keep(self, reading: Reading, place: int) -> list[ColumnReadings | None]:
        """Puts an accepted reading into its place and notes its key and time; gives the columns of that place."""
        column, time, value, sequence = reading
        columns = self._put(reading, place)
        self.open_readings += 1
        if sequence is None:
            self._by_time[column][time] = value
        else:
            self._by_sequence[column][sequence] = value
        newest = self._newest_us[column]
        if time < newest:
            self.out_of_order += 1
            return columns
        if sequence is not None:
            last = self._last_sequences[column]
            if last is not None and sequence <= last and time > newest:
                self.sequence_restarts += 1
            self._last_sequences[column] = sequence
        self._newest_us[column] = time
        furthest = time + self._timing.max_ahead_us
        if furthest > self._furthest_us or self._furthest_us == ALWAYS:
            self._furthest_us = furthest
        return columns

    def _put(self, reading: Reading, place: int) -> list[ColumnReadings | None]:
        column, time, value, sequence = reading
        columns = self._open.get(place)
        if columns is None:
            columns = self._open[place] = [None] * self._timing.columns
        found = columns[column]
        if found is None:
            columns[column] = ColumnReadings([time], [value], [sequence])
        else:
            found.times_us.append(time)
            found.values.append(value)
            found.sequences.append(sequence)
        return columns

    def _lay_grid(self, earliest_us: int) -> None:
        """Lays the grid of rows anew, where the open reading that is the earliest, or the last closed row, moves it."""
        record = self.record
        self._earliest_us = earliest_us
        self._closes_at_us = NEVER  # of the grid as it was: `_watch` sets it, and what is open already
        closed = None
        if record.open_place is not None:
            closed = record.open_place - 1, max(newest for newest in record.newest_us if newest is not None)
        self._open_place = NEVER if record.open_place is None else record.open_place
        origin_us = self._timing.origin_of(closed, earliest_us if earliest_us < ALWAYS else None)
        if origin_us != record.origin_us:
            record.origin_us, self.changed = origin_us, True
            self._sort_anew()

    def _sort_anew(self) -> None:
        """Puts all open readings into the places of the grid as it is now."""
        before, self._open = self._open, {}
        for column, readings in ((column, found) for each in before.values() for column, found in enumerate(each)):
            for reading in zip(*readings, strict=True) if readings else ():
                self._put(Reading(column, *reading), self._timing.place_of(self.record.origin_us, reading[0]))

    def _watermark(self) -> int:
        return max(min(self._newest_us), max(self._newest_us) - self._timing.patience_us)

    def _due(self) -> int:
        """The first place that the watermark leaves open."""
        return self._timing.place_of(self.record.origin_us, self._watermark() - self._timing.lateness_us)

    def _watch(self) -> None:
        """Sets from which time on something comes too late, and from which watermark on something is due."""
        if max(self._newest_us) > NEVER:
            self._open_place = max(self._open_place, self._due())
            first_us = self._timing.first_us(self.record.origin_us, self._open_place + 1)
            self._closes_at_us = first_us + self._timing.lateness_us

    def _close_due(self) -> None:
        while (first := min(self._open, default=ALWAYS)) < self._due():
            self._close(first)
        self._watch()

    def _close_through(self, time: int) -> None:
        """Closes the place of a time and all before it; where the grid follows the rows, that place may move."""
        while (first := min(self._open, default=ALWAYS)) <= self._timing.place_of(self.record.origin_us, time):
            self._close(first)
        self._watch()

    def _close(self, place: int, flags: int = 0) -> None:
        columns, record = self._open.pop(place), self.record
        if not flags and self._is_partial(columns, place):
            flags = int(Flag.PARTIAL)
        latest = NEVER
        for column, readings in enumerate(columns):
            if readings is not None:
                self._forget(column, readings)
                newest = readings.newest()
                record.newest_us[column] = readings.times_us[newest]
                if readings.sequences[newest] is not None:
                    record.sequences[column] = readings.sequences[newest]
                latest = max(latest, readings.times_us[newest])
        record.open_place = self._open_place = place + 1
        self._earliest_us = NEVER
        origin_us = record.origin_us
        if self._timing.follows:
            origin_us = self._timing.origin_of((place, latest), None)
            self._lay_grid(
                min((min(found.times_us) for each in self._open.values() for found in each if found), default=ALWAYS)
            )
        if flags:
            self.last_flagged = place
        self._closed.append(ClosedPlace(record.number, place, origin_us, columns, flags))

    def _is_partial(self, columns: list[ColumnReadings | None], place: int) -> bool:
        """Whether a column's readings had stopped before the place was over; a row that has all columns is over."""
        stopped = self._newest_us
        if not self._whole_us:
            stopped = [newest for newest, found in zip(stopped, columns, strict=True) if found is None]
        over_us = self._timing.first_us(self.record.origin_us, place + 1) + self._timing.lateness_us if stopped else 0
        return min(stopped, default=0) < over_us

    def _forget(self, column: int, readings: ColumnReadings) -> None:
        """The keys of a closed place: what comes of them again comes too late."""
        self.open_readings -= len(readings.times_us)
        for time, sequence in zip(readings.times_us, readings.sequences, strict=True):
            if sequence is None:
                del self._by_time[column][time]
            else:
                del self._by_sequence[column][sequence]
