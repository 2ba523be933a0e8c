"""Forecasts that wait until the broker has acknowledged them: a table of the journal, within bounds.

Whatever adds or removes an entry is part of the journal's transaction. Payloads lie in the table alone; memory holds
sums, and which entries have been handed to the transport.

An output's key is (asset, interval end, bundle). Two waiting entries never have the same one. Nor does one return
after it was delivered and removed, though no list of delivered keys is kept: a forecast is made where its asset's
`open_place` rises past the interval, `open_place` is committed together with the forecast and never falls, and a
reading of a closed interval is refused as late, so that no interval of an asset closes twice, unless its owner has had
the asset forgotten in between (`journal_assets`).
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from toolkit.edge.changes import Changes
from toolkit.edge.journal_file import JournalFile, JournalWriteError
from toolkit.edge.journal_records import SealError, unseal
from toolkit.edge.outbox_table import DropReason, OutboxTransaction, Tally, latest_us, read_table
from toolkit.edge.settings import OutputSettings

Clock = Callable[[], int]


class Entry(NamedTuple):
    """A forecast that is to be published.

    Attributes:
        number: rises with every entry; what the broker's acknowledgement is told by.
        asset: the asset's name.
        payload: the message.
        age_s: since it was committed.
    """

    number: int
    asset: str
    payload: bytes
    age_s: float


class Outbox:
    """See the module.

    Ages are told by a clock of the journal's own: the wall clock once, at the start, and from then on the monotonic
    one; it never runs back, over restarts neither. A wall clock that jumps (a small machine has none until the network
    gives it one) makes no forecast old.

    Args:
        file: of the journal.
        bounds: and what gives way at them.
        wall_us: microseconds since 1970.
        monotonic_us: microseconds since any moment.

    Attributes:
        dropped: how many forecasts never reached the broker, by reason, since the start.

    Raises:
        JournalDamagedError: the table is not what was written.
    """

    def __init__(self, file: JournalFile, bounds: OutputSettings, wall_us: Clock, monotonic_us: Clock) -> None:
        self._file = file
        self._bounds = bounds
        self._monotonic_us = monotonic_us
        self._in_flight: set[int] = set()
        self._damaged: set[int] = set()
        self._passed = 0  # every entry up to this number is under way, damaged or gone
        self.dropped = dict.fromkeys(DropReason, 0)
        with file.reading():
            self._tally, self._newest = read_table(file.connection)
            self._base_us = max(wall_us(), latest_us(file.connection)) - monotonic_us()

    @property
    def depth(self) -> int:
        """Forecasts that wait, those under way included."""
        return self._tally.count

    @property
    def size_bytes(self) -> int:
        """Bytes of their payloads."""
        return self._tally.size

    @property
    def in_flight(self) -> int:
        """Forecasts that were handed to the transport and are not known to have arrived."""
        return len(self._in_flight)

    @property
    def oldest_age_s(self) -> float:
        """Seconds since the first that waits was made; 0 where none does."""
        return 0.0 if self._tally.oldest_us is None else (self._now_us() - self._tally.oldest_us) / 1e6

    @property
    def blocked(self) -> bool:
        """Whether no message may be taken before forecasts are delivered: it is full, and the policy is `block`."""
        full = self._tally.count >= self._bounds.max_messages or self._tally.size >= self._bounds.max_bytes
        return full and self._bounds.when_full == "block"

    def pending(self, limit: int) -> list[Entry]:
        """The first entries that are not under way, in order; none while the journal does not work.

        A table that cannot be read raises nothing: the journal is failing then, and its next commit tries again.
        """
        if not self._file.working or self._tally.count == len(self._in_flight):
            return []
        with contextlib.suppress(JournalWriteError), self._file.writing():
            return list(islice(self._readable(self._file.connection), limit))
        return []

    def sent(self, number: int) -> None:
        """Notes that the transport has taken an entry: it is neither pending nor dropped from now on."""
        self._in_flight.add(number)

    def returned(self, number: int) -> None:
        """Notes that the transport gave an entry back undelivered: it is pending again."""
        self._in_flight.discard(number)
        self._passed = min(self._passed, number - 1)

    def link_lost(self) -> None:
        """Notes that nothing is under way any more: what was, is pending again."""
        self._in_flight.clear()
        self._passed = 0

    def write(self, connection: sqlite3.Connection, changes: Changes, *, afresh: bool) -> OutboxTransaction:
        """Brings the table up to date within the journal's transaction.

        Args:
            connection: on which it has begun.
            changes: their forecasts and deliveries.
            afresh: whether the table may hold what a transaction left that failed; memory holds none of that.

        Returns:
            What is to be noted by `committed` once the transaction is durable.
        """
        now_us = self._now_us()
        begun = self._counted_again(connection) if afresh else self._tally
        tally = Tally(begun.count, begun.size, begun.next_number)
        step = OutboxTransaction(connection, self._bounds, self._in_flight, self._newest, tally)
        step.remove(changes.delivered)
        step.remove(self._damaged)
        step.drop_older(now_us - round(self._bounds.max_age_s * 1e6))
        for forecast in changes.forecasts:
            step.add(forecast, now_us)
        step.make_room()
        step.finish()
        return step

    def committed(self, step: OutboxTransaction, changes: Changes) -> None:
        """Notes what a transaction has made durable."""
        self._tally = step.tally
        self._newest.update(step.added)
        self._in_flight.difference_update(changes.delivered)
        for reason in step.dropped:
            self.dropped[reason] += 1
        self.dropped[DropReason.DAMAGED] += len(self._damaged)
        self._damaged.clear()

    def _counted_again(self, connection: sqlite3.Connection) -> Tally:
        connection.execute("DELETE FROM outbox WHERE number >= ?", (self._tally.next_number,))
        count, size = connection.execute("SELECT count(*), total(length(content) - 4) FROM outbox").fetchone()
        return Tally(count, int(size), self._tally.next_number)

    def _readable(self, connection: sqlite3.Connection) -> Iterator[Entry]:
        numbers = connection.execute("SELECT number FROM outbox WHERE number > ? ORDER BY number", (self._passed,))
        leading = True
        for (number,) in numbers:
            if number in self._in_flight or number in self._damaged:
                self._passed = number if leading else self._passed
                continue
            leading = False
            entry = self._entry(connection, number)
            if entry is not None:
                yield entry
        numbers.close()

    def _entry(self, connection: sqlite3.Connection, number: int) -> Entry | None:
        """None where its payload is damaged: it goes with the next transaction."""
        select = "SELECT asset, created_us, content FROM outbox WHERE number = ?"
        asset, created_us, content = connection.execute(select, (number,)).fetchone()
        try:
            return Entry(number, asset.decode(), unseal(number, content), (self._now_us() - created_us) / 1e6)
        except SealError:
            self._damaged.add(number)
            return None

    def _now_us(self) -> int:
        return self._base_us + self._monotonic_us()
