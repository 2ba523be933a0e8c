"""Log lines as JSON, one object each, for journald and for whatever reads it.

    log.warning("a reading was refused", extra={"asset": "pump-3", "reason": "too_late", "repeat": "late pump-3"})

`time`, `level`, `logger` and `message` are always there; what stands in `extra` becomes further keys. The key `repeat`
is no field: lines with the same one are written once a minute at most, and the next one says how many were left out.
"""

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any, TextIO

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
REPEAT = "repeat"
LEFT_OUT = "left_out"
PAUSE_S = 60.0
MOST_KEYS = 1000
SHORTEST_SECRET = 4
"""A shorter one would be found in every other word, and is none."""

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", REPEAT}
_LONGEST_TEXT = 8192
_SYSLOG = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON in which nothing can steer a terminal or begin a new line.

    Args:
        secrets: texts that never appear, whatever is logged.
        syslog_levels: whether a line begins with `<N>`, by which journald knows its priority.
    """

    def __init__(self, secrets: Collection[str] = (), *, syslog_levels: bool = False) -> None:
        super().__init__()
        # Longer ones first: one may be part of another.
        self._secrets = sorted({text for text in secrets if len(text) >= SHORTEST_SECRET}, key=len, reverse=True)
        self._syslog_levels = syslog_levels

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        fields: dict[str, Any] = {
            "time": _stamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._told(record.getMessage()),
        }
        for key, value in vars(record).items():
            if key not in _OWN and key not in fields:
                fields[self._told(key)] = self._plain(value)
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = self._told(self.formatException(record.exc_info))
        if record.stack_info:
            fields["stack"] = self._told(record.stack_info)
        prefix = f"<{_syslog_level(record.levelno)}>" if self._syslog_levels else ""
        return prefix + _printable(json.dumps(fields, ensure_ascii=False, allow_nan=False))

    def _plain(self, value: object) -> Any:
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, float) and abs(value) < float("inf"):
            return value
        return self._told(str(value))

    def _told(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + " ..."


class RepeatFilter(logging.Filter):
    """Lets one line of each `repeat` through, and no other before a pause has passed.

    Args:
        pause_s: seconds.
        clock: seconds, monotonic.
    """

    def __init__(self, pause_s: float = PAUSE_S, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._pause_s, self._clock = pause_s, clock
        self._written: dict[str, tuple[float, int]] = {}  # when the last one was, and how many were left out since
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written; one that is learns how many were not."""
        key = getattr(record, REPEAT, None)
        if key is None:
            return True
        with self._lock:
            return self._passes(str(key), record)

    def _passes(self, key: str, record: logging.LogRecord) -> bool:
        now = self._clock()
        since, left_out = self._written.get(key, (float("-inf"), 0))
        if now - since < self._pause_s:
            self._written[key] = (since, left_out + 1)
            return False
        self._written.pop(key, None)
        if len(self._written) >= MOST_KEYS:
            del self._written[next(iter(self._written))]  # the one that was written longest ago
        self._written[key] = (now, 0)
        if left_out:
            setattr(record, LEFT_OUT, left_out)
        return True


def configure(level: str, *, secrets: Collection[str] = (), stream: TextIO | None = None) -> None:
    """Has every logger of the process, and Python's warnings, write JSON lines; a second call replaces the first.

    Args:
        level: a key of `LEVELS`.
        secrets: see `JsonFormatter`.
        stream: None means standard error.
    """
    stream = stream or sys.stderr
    handler = _JsonHandler(stream)
    handler.setFormatter(JsonFormatter(secrets, syslog_levels=_is_journal(stream)))
    handler.addFilter(RepeatFilter())
    root = logging.getLogger()
    for former in [former for former in root.handlers if isinstance(former, _JsonHandler)]:
        root.removeHandler(former)
    root.addHandler(handler)
    logging.captureWarnings(True)
    set_level(level)


def set_level(level: str) -> None:
    """Changes what is written from now on; `level` is a key of `LEVELS`."""
    logging.getLogger().setLevel(LEVELS[level])


class _JsonHandler(logging.StreamHandler[TextIO]):
    """Told apart from the handlers of others, which `configure` leaves alone."""


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _syslog_level(level: int) -> int:
    return next((number for least, number in _SYSLOG if level >= least), 7)


def _printable(text: str) -> str:
    """JSON leaves DEL, the controls above it, marks that reverse the direction and half surrogate pairs as they are."""
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() else json.dumps(mark)[1:-1].replace("\x7f", "\\u007f") for mark in text)


def _is_journal(stream: TextIO) -> bool:
    """Whether the stream leads to journald: `$JOURNAL_STREAM` holds its device and inode, see systemd.exec(5)."""
    try:
        about = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{about.st_dev}:{about.st_ino}"
