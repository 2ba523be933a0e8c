"""Local times of a plant's clock to UTC, without a guess in the hour that comes twice."""

import zoneinfo
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from toolkit.contract.records import nearest
from toolkit.data.row_places import RowPlaces
from toolkit.errors import ConfigError, DataError

Whole = NDArray[np.int64]

MISSING = np.iinfo(np.int64).min


def check_zone(name: str) -> None:
    """Refuses a zone that the time zone database does not hold.

    Raises:
        ConfigError: the nearest zone is named.
    """
    try:  # polars brings its own database: Python has none on some machines
        pl.Series([0]).cast(pl.Datetime("us")).dt.replace_time_zone(name or "?")
    except (pl.exceptions.PolarsError, ValueError) as error:
        near = nearest(name, zoneinfo.available_timezones())
        fix = f"did you mean {near!r}?" if near else None
        raise ConfigError(
            "data.timezone", got=repr(name), allowed="a zone as 'Europe/Berlin', 'UTC'", fix=fix
        ) from error


@dataclass(frozen=True)
class LocalTimes:
    """Times as clocks showed them, in the order of the files.

    Attributes:
        us: microseconds since 1970 of the clock, int64 `[rows]`.
        clocks: rows of one clock have one number, int64 `[rows]`.
        zone: an IANA name.
        names: what messages call the files.
        places: where the rows stand.
    """

    us: Whole
    clocks: Whole
    zone: str
    names: str
    places: RowPlaces

    def shown(self, row: int) -> str:
        """A time and its place in words."""
        return f"{np.datetime64(int(self.us[row]), 'us')} in {self.places.row(row)}"


def to_utc(times: LocalTimes) -> Whole:
    """Turns times of a plant's clock into UTC.

    The hour that comes twice in autumn is told apart by the order of the rows: where the clock goes back, the second
    pass begins. A clock whose rows mostly fall is read from its end. A file that holds that hour once could mean either
    pass; it is refused unless it ends there.

    Raises:
        DataError: a time that the clock skipped in spring, or one whose pass cannot be told; with its row.
    """
    first, second = (_utc(times, which) for which in ("earliest", "latest"))
    skipped = np.flatnonzero(first == MISSING)
    if skipped.size:
        raise DataError(
            f"{times.names}: a time that no clock in {times.zone} showed",
            got=f"{times.shown(int(skipped[0]))}, when summer time began",
            fix="correct it, or name another data.timezone",
        )
    later = np.zeros(len(first), np.bool_)
    order = _clock_order(times)
    for rows, ends in _twofold_runs(times.clocks, order, first != second):
        later[rows] = _second_pass(times, rows, ends)
    return np.where(later, second, first)


def _utc(times: LocalTimes, ambiguous: Literal["earliest", "latest"]) -> Whole:
    moments = pl.Series(times.us).cast(pl.Datetime("us"))
    moments = moments.dt.replace_time_zone(times.zone, ambiguous=ambiguous, non_existent="null")
    return moments.cast(pl.Int64).fill_null(MISSING).to_numpy().astype(np.int64)


def _clock_order(times: LocalTimes) -> NDArray[np.intp]:
    """Rows of one clock together in the order in which it showed them: from the end where the newest stand first.

    Two hourly rows of 02:00 would otherwise change places without a word once the rows are sorted.
    """
    order = np.argsort(times.clocks, kind="stable")
    same_clock = np.diff(times.clocks[order]) == 0
    forward = np.where(same_clock, np.sign(np.diff(times.us[order])), 0).astype(np.int64)
    _, clock = np.unique(times.clocks[order], return_inverse=True)
    falls = np.bincount(clock[1:], weights=forward, minlength=int(clock[-1]) + 1) < 0
    place = np.arange(order.size)
    return order[np.lexsort((np.where(falls[clock], -place, place), clock))]


def _twofold_runs(
    clocks: Whole, order: NDArray[np.intp], twofold: NDArray[np.bool_]
) -> list[tuple[NDArray[np.intp], bool]]:
    """Rows of each unbroken stretch, within one clock, of times that could be either pass; and whether it ends it."""
    sorted_clocks = clocks[order]
    places = np.flatnonzero(twofold[order])
    if not places.size:
        return []
    breaks = np.flatnonzero((np.diff(places) > 1) | (np.diff(sorted_clocks[places]) != 0)) + 1
    last = np.append(np.diff(sorted_clocks) != 0, True)
    return [(order[run], bool(last[run[-1]])) for run in np.split(places, breaks)]


def _second_pass(times: LocalTimes, rows: NDArray[np.intp], ends: bool) -> NDArray[np.bool_]:
    backward = np.flatnonzero(np.diff(times.us[rows]) <= 0) + 1
    if backward.size == 1:
        return np.arange(len(rows), dtype=np.int64) >= int(backward[0])
    if not backward.size and ends:
        return np.zeros(len(rows), np.bool_)
    raise DataError(
        f"{times.names}: the hour that comes twice when summer time ends cannot be told apart",
        got=f"{times.shown(int(rows[0]))}, {times.zone}; from there the clock goes back {backward.size} times",
        allowed="both passes in the order of the clock, one step back between them",
        fix="export the times in UTC, or leave that hour out of the file",
    )
