"""The table of waiting forecasts: what one transaction adds to it and takes away.

Each entry has two checksums, so that all heads can be checked at the start without a look at the payloads, which may be
many and large; a payload is checked when it is read.
"""

import sqlite3
import zlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from toolkit.edge.changes import OutgoingForecast
from toolkit.edge.journal_records import SEAL_BYTES, SealError, seal
from toolkit.edge.settings import OutputSettings

Asset = bytes


class DropReason(StrEnum):
    """Why a forecast never reached the broker; the label under which it is counted."""

    OLDEST = "drop_oldest"
    """It was the oldest when the outbox was full."""
    NEWEST = "drop_newest"
    """It came when the outbox was full."""
    TOO_OLD = "too_old"
    TOO_LARGE = "too_large"
    """It alone is larger than all of the outbox may be."""
    DAMAGED = "damaged"
    """Its bytes are not those that were written."""
    REPEATED = "repeated"
    """One of the same key waits already."""


@dataclass(slots=True)
class Tally:
    """What is in the table.

    Attributes:
        count: entries.
        size: bytes of their payloads.
        next_number: of the next entry.
        oldest_us: when the first entry was made, or None where there is none.
    """

    count: int = 0
    size: int = 0
    next_number: int = 1
    oldest_us: int | None = None


@dataclass(slots=True)
class OutboxTransaction:
    """The changes to the table within one transaction, and what they would leave.

    Attributes:
        connection: on which a transaction has begun.
        bounds: and what gives way at them.
        in_flight: entries that are never dropped.
        newest: for each asset the latest interval end that was ever added here.
        tally: before; and then as the transaction leaves it.
        added: what `newest` is to be updated by.
        dropped: reasons, one for each forecast that is lost.
    """

    connection: sqlite3.Connection
    bounds: OutputSettings
    in_flight: Collection[int]
    newest: dict[Asset, int]
    tally: Tally
    added: dict[Asset, int] = field(default_factory=dict)
    dropped: list[DropReason] = field(default_factory=list)

    def remove(self, numbers: Iterable[int]) -> None:
        """Takes out entries; those that are gone already are no matter."""
        for number in numbers:
            found = self.connection.execute("SELECT length(content) FROM outbox WHERE number = ?", (number,)).fetchone()
            if found is not None:
                self.connection.execute("DELETE FROM outbox WHERE number = ?", (number,))
                self.tally.count -= 1
                self.tally.size -= found[0] - SEAL_BYTES

    def drop_older(self, than_us: int) -> None:
        """Takes out what was made before that moment, from the front."""
        self._drop_first(lambda created_us, _: created_us < than_us, DropReason.TOO_OLD)

    def add(self, forecast: OutgoingForecast, now_us: int) -> None:
        """Puts one at the end, unless its key is there or there is no room for it."""
        reason = self._refusal(forecast)
        if reason is not None:
            self.dropped.append(reason)
            return
        number, asset, bundle = self.tally.next_number, forecast.asset.encode(), forecast.bundle.encode()
        size, end_us = len(forecast.payload), forecast.interval_end_us
        checksum = _checksum((number, now_us, asset, end_us, bundle, size))
        self.connection.execute(
            "INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?)",
            (number, checksum, now_us, asset, end_us, bundle, seal(number, forecast.payload)),
        )
        self.added[asset] = max(end_us, self._newest(asset, end_us))
        self.tally.next_number += 1
        self.tally.count += 1
        self.tally.size += size

    def make_room(self) -> None:
        """Takes out the oldest until the bounds hold, where that is the policy."""
        if self.bounds.when_full == "drop_oldest" and over(self.tally, self.bounds):
            self._drop_first(lambda _, tally: over(tally, self.bounds), DropReason.OLDEST)

    def finish(self) -> None:
        """Looks up what the sums do not tell."""
        first = self.connection.execute("SELECT created_us FROM outbox ORDER BY number LIMIT 1").fetchone()
        self.tally.oldest_us = None if first is None else first[0]

    def _refusal(self, forecast: OutgoingForecast) -> DropReason | None:
        if self._waits(forecast):
            return DropReason.REPEATED
        if self.bounds.when_full != "block" and len(forecast.payload) > self.bounds.max_bytes:
            return DropReason.TOO_LARGE
        if self.bounds.when_full == "drop_newest":
            after = Tally(self.tally.count + 1, self.tally.size + len(forecast.payload))
            return DropReason.NEWEST if over(after, self.bounds) else None
        return None

    def _waits(self, forecast: OutgoingForecast) -> bool:
        """Intervals of an asset end one after the other: the table is searched only where that does not hold."""
        asset = forecast.asset.encode()
        if forecast.interval_end_us > self._newest(asset, forecast.interval_end_us - 1):
            return False
        key = (forecast.interval_end_us, asset, forecast.bundle.encode())
        search = "SELECT 1 FROM outbox WHERE interval_end_us = ? AND asset = ? AND bundle = ?"
        return self.connection.execute(search, key).fetchone() is not None

    def _newest(self, asset: Asset, otherwise: int) -> int:
        return self.added.get(asset, self.newest.get(asset, otherwise))

    def _drop_first(self, while_true: Callable[[int, Tally], bool], reason: DropReason) -> None:
        """Drops from the front for as long as the condition on an entry's age and the tally holds."""
        gone = []
        rows = self.connection.execute("SELECT number, created_us, length(content) FROM outbox ORDER BY number")
        for number, created_us, size in rows:
            if number in self.in_flight:
                continue
            if not while_true(created_us, self.tally):
                break
            gone.append((number,))
            self.tally.count -= 1
            self.tally.size -= size - SEAL_BYTES
        rows.close()
        self.connection.executemany("DELETE FROM outbox WHERE number = ?", gone)
        self.dropped += [reason] * len(gone)


def over(tally: Tally, bounds: OutputSettings) -> bool:
    """Whether there is more than there may be."""
    return tally.count > bounds.max_messages or tally.size > bounds.max_bytes


def read_table(connection: sqlite3.Connection) -> tuple[Tally, dict[Asset, int]]:
    """What is in the table, every head checked; and for each asset its latest interval end.

    Raises:
        SealError: a head is damaged.
    """
    tally = Tally()
    newest: dict[Asset, int] = {}
    heads = connection.execute(
        "SELECT number, created_us, asset, interval_end_us, bundle, length(content), checksum FROM outbox"
        " ORDER BY number"
    )
    for number, created_us, asset, end_us, bundle, length, checksum in heads:
        size = length - SEAL_BYTES if isinstance(length, int) else -1
        if size < 0 or checksum != _checksum((number, created_us, asset, end_us, bundle, size)):
            raise SealError(f"the checksum of waiting forecast {number} is wrong")
        if tally.oldest_us is None:
            tally.oldest_us = created_us
        tally.count += 1
        tally.size += size
        tally.next_number = number + 1
        newest[asset] = max(end_us, newest.get(asset, end_us))
    return tally, newest


def latest_us(connection: sqlite3.Connection) -> int:
    """When the last entry was made; 0 where there is none."""
    found = connection.execute("SELECT created_us FROM outbox ORDER BY number DESC LIMIT 1").fetchone()
    return 0 if found is None else int(found[0])


def _checksum(head: tuple[object, ...]) -> int:
    # repr tells a number from the same digits as text, whatever stands in a damaged table.
    return zlib.crc32(repr(head).encode())
