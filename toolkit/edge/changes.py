"""What one transaction makes durable: everything that the messages it covers have brought about."""

import dataclasses
from dataclasses import dataclass, field
from enum import IntFlag
from typing import NamedTuple


class Flag(IntFlag):
    """What is to be known of a row, and of every forecast that rests on it."""

    HELD = 1
    """A channel's last value stands in for a missing one."""
    IMPUTED = 2
    """A configured number does."""
    TIMEOUT = 4
    """Time alone closed the interval: it may hold less than was measured."""
    PARTIAL = 8
    """A column's readings had stopped when the interval was closed."""
    RECALLED = 16
    """The state was warmed up from rows that were kept, after another bundle or a state that had grown too old."""
    CLOCK = 32
    """The source's clock is far from the gateway's."""


class Sample(NamedTuple):
    """A reading that was accepted, until the interval that holds it is closed.

    Attributes:
        asset: the asset's number in the journal.
        column: its place among the columns.
        time_us: microseconds since 1970 UTC, by the source's clock.
        value: finite, in the unit of the column.
        sequence: the source's own number of it, or None.
    """

    asset: int
    column: int
    time_us: int
    value: float
    sequence: int | None


class Row(NamedTuple):
    """The channels of one closed interval of one asset, kept to fill windows and to warm up a state.

    Attributes:
        asset: the asset's number in the journal.
        place: which interval: places follow each other by one.
        values: float32 `[channels]`, its bytes.
        flags: bits of `Flag`.
        series: rises by one where the series breaks: a window holds rows of one series only.
    """

    asset: int
    place: int
    values: bytes
    flags: int
    series: int


class OutgoingForecast(NamedTuple):
    """One message that waits until the broker has acknowledged it.

    Attributes:
        asset: the asset's name.
        interval_end_us: end of the interval that it was made behind; with asset and bundle it is the output's key.
        bundle: digest of the bundle.
        payload: the message, UTF-8 JSON.
    """

    asset: str
    interval_end_us: int
    bundle: str
    payload: bytes


@dataclass(slots=True)
class AssetRecord:
    """What is known of one asset when its closed intervals are done with: one row of the journal.

    Attributes:
        number: the asset's number in the journal, which never changes.
        name: as topics call it.
        origin_us: the time of place 0: 1970 for raw samples; of rows that of the grid as it lies now, see `timing`.
        open_place: the first place behind the last that was closed; what lies before it comes too late. Places that are
            skipped after it without a reading are told by the open readings.
        newest_us: for each column the newest time that was accepted before `open_place`, or None.
        sequences: for each column the highest sequence number of a closed interval, or None.
        series: number of the unbroken series that the last row belongs to.
        last_place: the place of the last whole row, or None before the first.
        held: where a channel may be held, for each channel that is sent the place of its last reading, and behind
            those the bits of the readings as float32; empty otherwise. See `fillings`.
        suspect_us: a time far ahead that one more like it would confirm, or None.
        state: the streaming state behind the last row, or None where there is none; see `Forecaster.state_of`.
        state_bundle: the digest that the state belongs to, or "".
        age: rows that went into the state since its series (or the state) began.
    """

    number: int
    name: str
    origin_us: int = 0
    open_place: int | None = None
    newest_us: list[int | None] = field(default_factory=list)
    sequences: list[int | None] = field(default_factory=list)
    series: int = 0
    last_place: int | None = None
    held: list[int] = field(default_factory=list)
    suspect_us: int | None = None
    state: bytes | None = None
    state_bundle: str = ""
    age: int = 0

    def copy(self) -> "AssetRecord":
        """As it is now: what a transaction holds must not change under it."""
        return dataclasses.replace(
            self, newest_us=list(self.newest_us), sequences=list(self.sequences), held=list(self.held)
        )


@dataclass(slots=True)
class Changes:
    """Everything since the last transaction, in the order in which it came about.

    Attributes:
        samples: accepted, and not yet in a closed interval.
        assets: records that are new or have changed, by number, as they are now.
        rows: of closed intervals.
        forecasts: for the outbox.
        delivered: numbers of outbox entries that the broker has acknowledged.
        closed_by_timeout: assets (number) and the first place left open, where time alone closed intervals.
    """

    samples: list[Sample] = field(default_factory=list)
    assets: dict[int, AssetRecord] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    forecasts: list[OutgoingForecast] = field(default_factory=list)
    delivered: list[int] = field(default_factory=list)
    closed_by_timeout: list[tuple[int, int]] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there is anything to make durable."""
        return bool(
            self.samples or self.assets or self.rows or self.forecasts or self.delivered or self.closed_by_timeout
        )


@dataclass(slots=True)
class Restored:
    """What the journal held when it was opened.

    Attributes:
        assets: their records, by number.
        samples: by asset the readings of open intervals, in the order in which they were accepted.
        rows: by asset the rows of its last `kept_rows` places, oldest first.
        other_signal: the journal was written for channels of another meaning: assets kept their numbers and names
            alone, and everything else but waiting forecasts is gone.
        other_bundle: it was written under another digest; states carry the digest that they belong to.
        clean: the gateway before was closed in order.
        checked: the file's structure was checked to the end.
        cut_frames: pages of unfinished transactions that were left out; see `journal_file`.
    """

    assets: dict[int, AssetRecord] = field(default_factory=dict)
    samples: dict[int, list[Sample]] = field(default_factory=dict)
    rows: dict[int, list[Row]] = field(default_factory=dict)
    other_signal: bool = False
    other_bundle: bool = False
    clean: bool = True
    checked: bool = True
    cut_frames: int = 0
