"""What is durable: one SQLite file, one transaction for everything that a batch of messages brought about.

    samples   accepted and still in an open interval: one record for each commit, see `pending_samples`
    asset     one record for each asset: what is known of it, and the streaming state behind its last row
    kept      the last rows of each asset, a ring: see `row_key`
    outbox    forecasts that wait for the broker: see `outbox`
    about     whose all this is

Every transaction is on the disk when `commit` returns (write-ahead log, `synchronous=FULL`). One that fails leaves no
trace: not in memory, which is told after the fact, and not in the file. Where a log was written to its end but could
not be synced, SQLite may find that transaction whole when it opens the file again; all that such a ghost can have
added has a number from which memory would go on counting, and the next transaction begins with its removal.
"""

import hashlib
import json
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable
from operator import itemgetter
from pathlib import Path
from typing import Any

from toolkit.contract.signals import CALENDAR, SignalSpec
from toolkit.edge.changes import AssetRecord, Changes, Restored, Row, Sample
from toolkit.edge.journal_file import SCHEMA, JournalFile
from toolkit.edge.journal_records import (
    SealError,
    pack_record,
    pack_row,
    pack_samples,
    row_key,
    seal,
    unpack_record,
    unpack_row,
    unpack_samples,
    unseal,
)
from toolkit.edge.outbox import Clock, Outbox
from toolkit.edge.pending_samples import FirstUs, PendingSamples
from toolkit.edge.settings import OutputSettings

BATCHES_REMOVED_TOGETHER = 64
"""Batches of samples that are done with stay that many: one by one, their removal would cost more than they did."""


def signal_key(signal: SignalSpec) -> str:
    """Equal where the numbers of a journal mean the same: the same channels and units, at the same places in time."""
    channels = [(channel.name, channel.variable, channel.feature, channel.unit) for channel in signal.channels]
    zone = signal.timezone if any(channel.variable == CALENDAR for channel in signal.channels) else ""
    meaning = json.dumps([channels, signal.interval_s, signal.sampling, signal.min_samples, zone])
    return hashlib.sha256(meaning.encode()).hexdigest()


def _wall_us() -> int:
    return time.time_ns() // 1000


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1000


class Journal:
    """The journal in a folder, which no other gateway may use meanwhile.

    Args:
        folder: is made where it is missing.
        kept_rows: places of each asset whose rows are kept, 1 or more.
        digest: of the bundle.
        signal: the bundle's.
        first_us: where an asset's open intervals begin: `Timing.first_us`.
        output: the outbox's bounds.
        wall_us: microseconds since 1970; see `Outbox`.
        monotonic_us: microseconds since any moment.

    Attributes:
        outbox: waiting forecasts.

    Raises:
        OutputError: the folder cannot be written, or another gateway runs there.
        JournalDamagedError: the file is no journal, a damaged one, or one of another version.
    """

    def __init__(
        self,
        folder: Path,
        *,
        kept_rows: int,
        digest: str,
        signal: SignalSpec,
        first_us: FirstUs,
        output: OutputSettings | None = None,
        wall_us: Clock = _wall_us,
        monotonic_us: Clock = _monotonic_us,
    ) -> None:
        self._kept_rows = kept_rows
        self._about = {"schema": SCHEMA, "signal": signal_key(signal), "digest": digest, "kept_rows": kept_rows}
        self._pending = PendingSamples(first_us)
        self._known: set[int] = set()
        self._restored = False
        self._in_doubt = False
        self._file = JournalFile(folder)
        try:
            self.outbox = Outbox(self._file, output or OutputSettings(), wall_us, monotonic_us)
        except BaseException:
            self._file.close()
            raise

    @property
    def path(self) -> Path:
        """The main file."""
        return self._file.path

    @property
    def failing(self) -> bool:
        """Whether the last commit failed. Nothing is to be acknowledged; nothing is given out to be published."""
        return not self._file.working

    def restore(self) -> Restored:
        """Reads everything, and makes the journal this bundle's. To be called once, before the first `commit`.

        Raises:
            JournalDamagedError: a record is not what was written.
            OutputError: the file cannot be read or written.
        """
        file = self._file
        with file.reading():
            connection = file.connection
            about = _about(connection)
            found = Restored(clean=file.clean, checked=file.checked, cut_frames=file.cut_frames)
            found.other_bundle = about.get("digest", self._about["digest"]) != self._about["digest"]
            found.other_signal = about.get("signal", self._about["signal"]) != self._about["signal"]
            found.assets = {n: unpack_record(n, unseal(n, c)) for n, c in connection.execute("SELECT * FROM asset")}
            if not found.other_signal:
                self._read_samples(connection, found)
                self._read_rows(connection, found)
            self._adopt(connection, found, about)
        self._known = set(found.assets)
        self._restored = True
        return found

    def commit(self, changes: Changes) -> None:
        """Makes changes durable; they are on the disk when this returns.

        Empty changes are no transaction; where a look at the outbox is all that failed, the file is opened again.

        Raises:
            JournalWriteError: they are not, and nothing of them is. The same changes, or they and more behind them,
                may be committed later; until that succeeds, `failing` is true.
            ValueError: a sample or a row of an asset that has no record, or a close by time alone without the record
                that says so: an interval would be lost, or close twice.
        """
        if not changes:
            if self.failing and not self._in_doubt:
                self._file.open_again()
            return
        self._check(changes)
        samples = self._pending.still_open(changes.samples, changes.assets)
        batch, done = self._pending.next_batch, self._removable()
        batches = [(batch, seal(batch, pack_samples(samples)))] if samples else []
        assets, rows = _asset_records(changes.assets.values()), _row_records(changes.rows, self._kept_rows)
        with self._file.writing():
            connection = self._file.connection
            connection.execute("BEGIN IMMEDIATE")
            afresh, self._in_doubt = self._in_doubt, True
            if afresh:
                connection.execute("DELETE FROM samples WHERE id >= ?", (batch,))
            connection.executemany("INSERT INTO samples VALUES (?, ?)", batches)
            connection.executemany("DELETE FROM samples WHERE id = ?", [(number,) for number in done])
            connection.executemany("INSERT OR REPLACE INTO asset VALUES (?, ?)", assets)
            connection.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", rows)
            step = self.outbox.write(connection, changes, afresh=afresh)
            connection.execute("COMMIT")
        self._in_doubt = False
        self.outbox.committed(step, changes)
        self._committed(changes, samples, done)

    def close(self) -> None:
        """Carries the log into the main file and lets the folder go. What was not committed is not kept."""
        self._file.close()

    def _check(self, changes: Changes) -> None:
        if not self._restored:
            raise RuntimeError("a journal is restored before anything is committed")
        named = {sample.asset for sample in changes.samples} | {row.asset for row in changes.rows}
        unknown = named - changes.assets.keys() - self._known
        if unknown:
            raise ValueError(f"a sample or a row of asset {min(unknown)}, of which there is no record")
        for asset, place in changes.closed_by_timeout:
            record = changes.assets.get(asset)
            if record is None or record.open_place is None or record.open_place < place:
                raise ValueError(f"intervals of asset {asset} closed by time alone, and its record does not say so")

    def _removable(self) -> list[int]:
        done = self._pending.done
        return done if len(done) >= BATCHES_REMOVED_TOGETHER else []

    def _committed(self, changes: Changes, samples: list[Sample], removed: list[int]) -> None:
        """Brings memory up to what is durable now."""
        self._pending.removed(removed)
        for record in changes.assets.values():
            self._pending.close(record)
        if samples:
            self._pending.add(self._pending.next_batch, samples)
        self._known.update(changes.assets)

    def _read_samples(self, connection: sqlite3.Connection, found: Restored) -> None:
        for batch, content in connection.execute("SELECT * FROM samples ORDER BY id"):
            samples = unpack_samples(unseal(batch, content))
            if not found.assets.keys() >= {sample.asset for sample in samples}:
                raise SealError("a sample of an asset that is missing")
            waiting = self._pending.still_open(samples, found.assets)
            self._pending.add(batch, waiting)
            for sample in waiting:
                found.samples.setdefault(sample.asset, []).append(sample)

    def _read_rows(self, connection: sqlite3.Connection, found: Restored) -> None:
        by_asset: defaultdict[int, list[Row]] = defaultdict(list)
        for key, content in connection.execute("SELECT * FROM kept"):
            row = unpack_row(key, unseal(key, content))
            by_asset[row.asset].append(row)
        for asset, rows in by_asset.items():
            rows.sort(key=itemgetter(1))  # by place
            # What lies further back was not written over, because places between were left out.
            found.rows[asset] = [row for row in rows if row.place > rows[-1].place - self._kept_rows]

    def _adopt(self, connection: sqlite3.Connection, found: Restored, about: dict[str, Any]) -> None:
        """Writes in any case: a file that can be read only is better found out now than with the first message."""
        connection.execute("BEGIN IMMEDIATE")
        if found.other_signal:
            found.assets = {number: AssetRecord(number, record.name) for number, record in found.assets.items()}
            connection.execute("DELETE FROM samples")
            records = _asset_records(found.assets.values())
            connection.executemany("INSERT OR REPLACE INTO asset VALUES (?, ?)", records)
        if found.other_signal or about.get("kept_rows") != self._kept_rows:
            connection.execute("DELETE FROM kept")
            rows = _row_records([row for rows in found.rows.values() for row in rows], self._kept_rows)
            connection.executemany("INSERT INTO kept VALUES (?, ?)", rows)
        body = json.dumps(self._about).encode()
        connection.execute("INSERT OR REPLACE INTO about VALUES (1, ?)", (seal(1, body),))
        connection.execute("COMMIT")


def _about(connection: sqlite3.Connection) -> dict[str, Any]:
    """Whose the journal is; nothing where it is new."""
    rows = connection.execute("SELECT * FROM about").fetchall()
    return dict(json.loads(unseal(*rows[0]))) if rows else {}


def _asset_records(records: Iterable[AssetRecord]) -> list[tuple[int, bytes]]:
    return [(record.number, seal(record.number, pack_record(record))) for record in records]


def _row_records(rows: Iterable[Row], kept_rows: int) -> list[tuple[int, bytes]]:
    """By key; of several at one place of the ring the last."""
    latest = {row_key(row.asset, row.place, kept_rows): row for row in rows}
    return [(key, seal(key, pack_row(row))) for key, row in latest.items()]
