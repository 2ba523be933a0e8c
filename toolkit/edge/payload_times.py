"""The time of a sample, as sources write it, in whole microseconds since 1970 UTC.

Whole numbers are exact; nanoseconds lose their last three digits, and a number with decimals is rounded to the nearest
microsecond, which is the one that was meant wherever a source writes no more than six decimals of a second. Times
outside of 1980 to 2200 are no times: beyond lie milliseconds that are read as seconds, before it, in the first weeks of
1970, seconds that are read as milliseconds and the clocks of machines that were not set.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from toolkit.edge.settings import TimeFormat

ReadTime = Callable[[object], int | None]
"""From what JSON gave to microseconds, or to None where it is no time."""

EARLIEST_US = 315_532_800_000_000
"""1980-01-01T00:00:00Z, the first moment that is taken. Seconds read as milliseconds reach it in the year 11968."""
LATEST_US = 7_258_118_400_000_000
"""2200-01-01T00:00:00Z, the first moment that is too late."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_WITHOUT_ZONE = datetime(1970, 1, 1)
_SCALES = {
    "seconds": (1_000_000, 1),
    "milliseconds": (1_000, 1),
    "microseconds": (1, 1),
    "nanoseconds": (1, 1_000),
}
"""For each format by what a number is multiplied and divided."""


def time_reader(time_format: TimeFormat) -> ReadTime:
    """How times of a format are read."""
    return iso8601 if time_format == "iso8601" else _number_reader(*_SCALES[time_format])


def iso8601(value: object) -> int | None:
    """A text as `datetime.fromisoformat` takes it; without a zone it is UTC. Digits beyond the sixth are cut off."""
    if type(value) is not str:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    passed = moment - (_EPOCH_WITHOUT_ZONE if moment.tzinfo is None else _EPOCH)
    time_us = (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds
    return time_us if EARLIEST_US <= time_us < LATEST_US else None


def _number_reader(multiplied: int, divided: int) -> ReadTime:
    def read(value: object) -> int | None:
        if type(value) is int:
            time_us = value * multiplied // divided
        elif type(value) is float and 0 <= value <= LATEST_US * 1e3:
            time_us = round(value * multiplied / divided)
        else:
            return None
        return time_us if EARLIEST_US <= time_us < LATEST_US else None

    return read
