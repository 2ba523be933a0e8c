"""The file of the journal: opened by one gateway alone, checked before it is trusted, opened again after a fault."""

import contextlib
import fcntl
import os
import sqlite3
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from toolkit import atomic_files
from toolkit.edge.journal_records import SealError
from toolkit.errors import OutputError, RequestError, ToolkitError

NAME = "journal.sqlite"
SCHEMA = "gateway/1"
_VERSION = 1
_APPLICATION = 0x4C454757  # "LEGW"
_TABLES = {
    "about": "CREATE TABLE about(id INTEGER PRIMARY KEY, content BLOB)",
    "asset": "CREATE TABLE asset(number INTEGER PRIMARY KEY, content BLOB)",
    "samples": "CREATE TABLE samples(id INTEGER PRIMARY KEY, content BLOB)",
    "kept": "CREATE TABLE kept(id INTEGER PRIMARY KEY, content BLOB)",
    "outbox": (
        "CREATE TABLE outbox(number INTEGER PRIMARY KEY, checksum INTEGER, created_us INTEGER, asset BLOB,"
        " interval_end_us INTEGER, bundle BLOB, content BLOB)"
    ),
}
PAGE_BYTES = 1024
"""A commit changes few bytes in many places, and each costs a page of the log. Where every message closes an interval,
10 messages per second write 3.5 GB a day with these pages and 4.5 GB with pages of 4 KB (5.3 and 8.7 GB where assets
come in another order than they were numbered in), for a fifth more processor time.
"""
CHECKPOINT_PAGES = 8000
"""Pages of the log, 8 MB, after which they are carried into the main file: a page that many commits changed is carried
once. With 1000 pages half as much again is written; with twice as many hardly less.
"""
CHECK_LIMIT_S = 1.0
_LEAST_BYTES = 512
_FRAME_BYTES = 24
_LOG_HEADER_BYTES = 32
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR}
_REASONS = {
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_READONLY: "read_only",
    sqlite3.SQLITE_IOERR: "io_error",
    sqlite3.SQLITE_CANTOPEN: "cannot_open",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
}


class JournalDamagedError(RequestError):
    """The journal's file is not what a gateway wrote, or not any more. It is left as it is."""


class JournalWriteError(ToolkitError):
    """A transaction could not be made durable, and has left no trace: the same changes may be committed again.

    Attributes:
        reason: in one word, for a metric: `full`, `read_only`, `io_error`, `cannot_open`, `damaged` or `other`.
    """

    def __init__(self, path: Path, reason: str, got: object) -> None:
        fix = "free space or repair the disk; the gateway tries again by itself"
        super().__init__(f"the journal {path} cannot be written", got=got, fix=fix)
        self.reason = reason


class JournalFile:
    """The one connection to a journal's file, and the lock on its folder.

    Args:
        folder: is made where it is missing.
        check_limit_s: after that long the check of the file's structure is given up, and the file taken as it is.

    Attributes:
        path: of the main file; SQLite keeps its log beside it.
        clean: whether the gateway before this one was closed in order; True where there was none.
        checked: whether the structure was checked to the end.
        cut_frames: pages that were found in the log behind its last whole transaction, and left out: what a write
            that was cut off leaves behind, or more where the log is damaged.

    Raises:
        OutputError: the folder cannot be written, or another gateway has it.
        JournalDamagedError: the file is no journal, or a damaged one.
    """

    def __init__(self, folder: Path, check_limit_s: float = CHECK_LIMIT_S) -> None:
        self.path = folder / NAME
        atomic_files.make_folder(folder)
        self._lock: int | None = _locked(folder)
        self._connection: sqlite3.Connection | None = None
        self.checked = False
        try:
            self._open(check_limit_s)
        except BaseException:
            self.close()
            raise

    @property
    def working(self) -> bool:
        """Whether the last transaction succeeded, or none has been tried."""
        return self._connection is not None

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, which is made anew where the last one was given up.

        Raises:
            JournalWriteError: the file that was opened at first is not to be had.
            RuntimeError: the journal was closed, and another gateway may have it.
        """
        if self._lock is None:
            raise RuntimeError("the journal is closed")
        return self._connection or self.open_again()

    def open_again(self) -> sqlite3.Connection:
        """Makes the connection anew.

        Raises:
            JournalWriteError: as `connection` does.
        """
        with self.writing():
            # Never a new file in the place of one that was moved or deleted: nobody would miss what it held.
            if _identity(self.path) != self._identity:
                raise OSError("another file than the one that was opened")
            self._connection = _connected(self.path, "rw")
        return self._connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Turns what SQLite or a seal says of a file at its opening into one line."""
        try:
            yield
        except (sqlite3.Error, SealError) as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
            if code in _DAMAGE or not isinstance(error, sqlite3.OperationalError):
                raise self.damaged(str(error)) from error
            fix = "name another folder, or make room in this one"
            raise OutputError(f"cannot use the journal {self.path}", got=str(error), fix=fix) from error

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Gives the connection up after any exception; what SQLite says becomes one line."""
        try:
            yield
        except BaseException as error:
            self._give_up()
            if not isinstance(error, (sqlite3.Error, MemoryError, OSError)):
                raise
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            raise JournalWriteError(self.path, _REASONS.get(code, "other"), str(error) or "no memory") from error

    def damaged(self, got: str) -> JournalDamagedError:
        """The error that refuses the file."""
        fix = (
            f"move {self.path}* elsewhere and start again (what was open or waiting in it is lost), "
            "or name another folder"
        )
        return JournalDamagedError(f"the journal {self.path} is damaged or none; it is kept as it is", got=got, fix=fix)

    def close(self) -> None:
        """Carries the log into the main file, and lets another gateway have the folder."""
        self._give_up()
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _open(self, check_limit_s: float) -> None:
        log_bytes = _size(_log_of(self.path))
        self.clean = log_bytes == 0
        if log_bytes > _LOG_HEADER_BYTES and _size(self.path) == 0:
            # SQLite would take such a log for a leftover and delete it, with all that it holds.
            raise self.damaged("a log whose main file is empty or missing")
        written = _frames_of(_log_of(self.path))
        if 0 < _size(self.path) < _LEAST_BYTES:
            raise self.damaged(f"{_size(self.path)} bytes")  # SQLite would begin a new file in its place
        with self.reading():
            self._connection = _connected(self.path, "rwc")
            if self._is_new(self._connection):
                _create(self._connection)
            self._check(self._connection, check_limit_s)
            whole = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
        self.cut_frames = max(0, written - max(0, whole))
        atomic_files.sync_folder(self.path.parent)
        self._identity = _identity(self.path)

    def _is_new(self, connection: sqlite3.Connection) -> bool:
        found = _pragma(connection, "application_id"), _pragma(connection, "user_version")
        names = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if found == (0, 0) and names == 0:
            return True
        if found[0] != _APPLICATION:
            raise self.damaged("a file that no gateway wrote")
        if found[1] != _VERSION:
            fix = "use the version of the toolkit that wrote it, or name another folder"
            got = f"version {found[1]}"
            raise JournalDamagedError(
                f"the journal {self.path} is of another version", got=got, allowed=_VERSION, fix=fix
            )
        return False

    def _check(self, connection: sqlite3.Connection, limit_s: float) -> None:
        """The tables must be ours to the letter (a trigger would run with each commit), and every page in its place."""
        tables = dict(connection.execute("SELECT name, sql FROM sqlite_schema").fetchall())
        if tables != {name.encode(): statement.encode() for name, statement in _TABLES.items()}:
            raise self.damaged("other tables than a gateway's")
        patience = threading.Timer(limit_s, connection.interrupt)
        patience.start()
        try:
            said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            return
        finally:
            patience.cancel()
            patience.join()
        if said != b"ok":
            raise self.damaged(said.decode(errors="replace"))
        self.checked = True

    def _give_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.rollback()
            with contextlib.suppress(sqlite3.Error):
                connection.close()


def _locked(folder: Path) -> int:
    """A descriptor that holds the folder's lock, which ends with the process, however that ends."""
    path = folder / "journal.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        fix = "name a folder that can be written"
        raise OutputError(f"cannot write the journal's folder {folder}", got=error.strerror, fix=fix) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        what = f"the journal's folder {folder} is in use"
        raise OutputError(what, got="another gateway that runs there", fix="stop it, or name another folder") from error
    return descriptor


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    place = f"file:{urllib.parse.quote(os.path.abspath(path))}?mode={mode}"
    connection = sqlite3.connect(place, uri=True, isolation_level=None, timeout=0)
    connection.text_factory = bytes  # what was garbled need not be UTF-8
    try:
        for pragma in (
            "locking_mode=EXCLUSIVE",  # the index of the log in memory: no mapped file to break on a full disk
            f"page_size={PAGE_BYTES}",
            "auto_vacuum=NONE",
            "journal_mode=WAL",
            "synchronous=FULL",
            f"wal_autocheckpoint={CHECKPOINT_PAGES}",
            f"journal_size_limit={4 * CHECKPOINT_PAGES * PAGE_BYTES}",
            "temp_store=MEMORY",  # a hardened service has no other place that it may write
            "secure_delete=OFF",  # on in Debian: each deletion would write zeros
            "cell_size_check=ON",
            "trusted_schema=OFF",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def _create(connection: sqlite3.Connection) -> None:
    """All tables in one transaction: a process that dies here leaves a file that is still new."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in _TABLES.values():
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id={_APPLICATION}")
    connection.execute(f"PRAGMA user_version={_VERSION}")
    connection.execute("COMMIT")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _frames_of(log: Path) -> int:
    """Pages of the log that were written since it was last begun anew: those that carry its present salt.

    Either half of the salt tells them, and the first page's where the log's own header is damaged: one wrong bit must
    not hide how much is lost.

    Source: "WAL File Format" in SQLite's file format document, sections 4.1 and 4.2.
    """
    try:
        with log.open("rb") as file:
            header = file.read(_LOG_HEADER_BYTES)
            whole = len(header) == _LOG_HEADER_BYTES and _log_checksum(header[:24]) == header[24:]
            frame_bytes = _FRAME_BYTES + (int.from_bytes(header[8:12], "big") if whole else PAGE_BYTES)
            starts = range(_LOG_HEADER_BYTES, _size(log) - frame_bytes + 1, frame_bytes)
            salts = [_salt_at(file, start) for start in starts]
    except OSError:
        return 0
    own = header[16:24] if whole else salts[0] if salts else b""
    return sum(salt[:4] == own[:4] or salt[4:] == own[4:] for salt in salts)


def _salt_at(file: BinaryIO, start: int) -> bytes:
    file.seek(start + 8)
    return file.read(8)


def _log_checksum(content: bytes) -> bytes:
    order: Literal["big", "little"] = "big" if content[3] & 1 else "little"
    words = [int.from_bytes(content[at : at + 4], order) for at in range(0, len(content), 4)]
    first = second = 0
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first.to_bytes(4, "big") + second.to_bytes(4, "big")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
