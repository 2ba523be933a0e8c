"""The calendar as channels: where a moment stands in its day, its week and its year, by the clock of the plant.

Each is a sine and a cosine, so that 23:59 lies beside 00:00: the first pair of a Fourier series over the period
(Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, section 7.4). The hour moves on within
the day; the weekday and the day of the year are whole days, because a shift or a weekend begins at midnight.

Training and the gateway call the same function. It gives the same bits for one row and for a million: sine and cosine
are taken number by number by the C library, never by numpy's vectorised ones, which may round otherwise.
"""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.signals import CALENDAR
from toolkit.errors import DataError

MINUTE_US, DAY_US = 60_000_000, 86_400_000_000
MONDAY = 3
"""Days since a Monday on 1970-01-01, a Thursday."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def calendar_names(features: Sequence[str]) -> tuple[str, ...]:
    """The channels of `hour`, `weekday` or `yearday`: `calendar.hour_sin`, `calendar.hour_cos`, ..."""
    return tuple(f"{CALENDAR}.{feature}_{wave}" for feature in features for wave in ("sin", "cos"))


def calendar_features(names: Sequence[str], where: str) -> tuple[str, ...]:
    """The features that these channels are of, each once.

    Raises:
        DataError: a name that `calendar_names` never gives.
    """
    known = {name: feature for feature in PHASES for name in calendar_names([feature])}
    for name in names:
        if name not in known:
            raise DataError(f"{where}: a channel of the calendar", got=repr(name), allowed=", ".join(known))
    return tuple(dict.fromkeys(known[name] for name in names))


def calendar_channels(times_us: Ints, features: Sequence[str], timezone: str = "UTC") -> Floats:
    """Computes channels from the time alone.

    Args:
        times_us: microseconds since 1970 UTC, int64 `[rows]`.
        features: of `hour`, `weekday`, `yearday`.
        timezone: IANA name of the plant's zone; summer time counts where it has one.

    Returns:
        float64 `[rows, 2 x features]` in the order of `calendar_names`, each from -1 to 1.

    Raises:
        DataError: a zone that this machine does not know.
    """
    local = times_us + _offsets_us(times_us, zone_of(timezone))
    columns = [wave for feature in features for wave in _waves(PHASES[feature](local))]
    return np.stack(columns, axis=1) if columns else np.empty((times_us.size, 0))


def zone_of(name: str) -> tzinfo:
    """The zone of that name; UTC needs no database.

    Raises:
        DataError: there is none.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise DataError(
            "a time zone that this machine does not know",
            got=repr(name),
            allowed="an IANA name such as Europe/Berlin",
            fix="correct it, or install the system's time zones",
        ) from error


def _offsets_us(times_us: Ints, zone: tzinfo) -> Ints:
    """What to add to UTC. Asked for once a minute: no zone has changed its clock within one since 1972."""
    if zone is UTC:
        return np.zeros_like(times_us)
    minutes, place = np.unique(times_us // MINUTE_US, return_inverse=True)
    offsets = [datetime.fromtimestamp(minute * 60, zone).utcoffset() for minute in minutes.tolist()]
    seconds = [offset.total_seconds() if offset is not None else 0.0 for offset in offsets]
    return (np.array(seconds, np.float64) * 1e6).astype(np.int64)[place.reshape(-1)]


def _of_day(local_us: Ints) -> Floats:
    return (local_us % DAY_US) / DAY_US


def _of_week(local_us: Ints) -> Floats:
    return ((local_us // DAY_US + MONDAY) % 7) / 7


def _of_year(local_us: Ints) -> Floats:
    days = (local_us // DAY_US).astype("datetime64[D]")
    years = days.astype("datetime64[Y]")
    first, next_first = (year.astype("datetime64[D]").astype(np.int64) for year in (years, years + 1))
    return (days.astype(np.int64) - first) / (next_first - first)


PHASES: dict[str, Callable[[Ints], Floats]] = {"hour": _of_day, "weekday": _of_week, "yearday": _of_year}
"""From local microseconds to the part of the period that has passed, from 0 to below 1."""


def _waves(phases: Floats) -> tuple[Floats, Floats]:
    distinct, place = np.unique(phases, return_inverse=True)
    angles = [2.0 * math.pi * phase for phase in distinct.tolist()]
    sine, cosine = (np.array([wave(angle) for angle in angles], np.float64) for wave in (math.sin, math.cos))
    return sine[place.reshape(-1)], cosine[place.reshape(-1)]
