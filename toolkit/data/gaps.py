"""Gap policies: rows on a grid of equal intervals, and what stands there where a reading is missing.

Only as many missing places become rows as a policy can fill: a table may hold years between two rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.signals import BREAK, GapPolicy, channel_from_name

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EVERY = "*"
"""The key of `data.gaps` that stands for all channels that no other key names."""


@dataclass(frozen=True)
class GridRows:
    """Rows by their places on a grid; all rows of one asset stand together.

    Attributes:
        assets: int64 `[rows]`.
        places: intervals since the grid's origin, int64 `[rows]`, rising within each asset.
        values: float64 `[rows, channels]`, NaN where a reading is missing.
    """

    assets: Ints
    places: Ints
    values: Floats


@dataclass(frozen=True)
class WholeRows:
    """Rows that have every reading.

    Attributes:
        rows: where no value is NaN.
        filled: for each channel how many of its readings here were made up, int64 `[channels]`.
        dropped: rows of the source that still lacked a reading and were left out.
    """

    rows: GridRows
    filled: Ints
    dropped: int


def policy_of(channel: str, gaps: dict[str, str]) -> str | None:
    """What `data.gaps` says of a channel: by its name, its variable or "*", or None where it says nothing."""
    keys = (channel, channel_from_name(channel).variable, EVERY)
    return next((gaps[key] for key in keys if key in gaps), None)


def policies_of(channels: Sequence[str], gaps: dict[str, str]) -> tuple[str, ...]:
    """The gap policy of each channel."""
    return tuple(policy_of(channel, gaps) or BREAK for channel in channels)


def grid_origins(assets: Ints, times_us: Ints, count: int) -> Ints:
    """The time of each asset's first row, int64 `[assets]`, from which the places of its grid are counted.

    Not UTC: an asset that reports at half past would jump between two places with every jitter.
    """
    first = np.concatenate([[True], np.diff(assets) != 0])
    origins = np.zeros(count, np.int64)
    origins[assets[first]] = times_us[first]
    return origins


def nearest_places(elapsed_us: Ints, interval_us: float) -> Ints:
    """The nearest place of each time since its origin; halves go to the later one."""
    return np.floor(elapsed_us / interval_us + 0.5).astype(np.int64)


def merge_places(rows: GridRows) -> tuple[GridRows, int]:
    """One row for each place: of several, the latest reading of each channel. Also gives how many gave way.

    Not the latest row as it stands: where that row lacks a reading, an earlier one of the same place would be lost,
    and with tags that report some milliseconds apart all tags but one.
    """
    last = np.append((np.diff(rows.assets) != 0) | (np.diff(rows.places) != 0), True)
    if not last.all() and np.isnan(rows.values).any():
        rows = GridRows(rows.assets, rows.places, _latest_of_place(rows.values, last))
    return _part(rows, last), int(last.size - last.sum())


def _latest_of_place(values: Floats, last: NDArray[np.bool_]) -> Floats:
    """Each reading, or where there is none the one before it at the same place; `last` ends a place."""
    row = np.arange(last.size)
    first = np.maximum.accumulate(np.where(np.append(True, last[:-1]), row, 0))
    found = np.maximum.accumulate(np.where(np.isnan(values), -1, row[:, None]), axis=0)
    known = found >= first[:, None]
    return np.where(known, np.take_along_axis(values, np.maximum(found, 0), axis=0), np.nan)


def whole_rows(rows: GridRows, policies: Sequence[GapPolicy]) -> WholeRows:
    """Fills gaps as each channel's policy says and leaves out what still lacks a reading."""
    spread, known = _with_missing_places(rows, max((policy.limit for policy in policies), default=0))
    missing = np.isnan(spread.values)
    columns = [
        _filled(spread, column, policy) if missing[:, column].any() else spread.values[:, column]
        for column, policy in enumerate(policies)
    ]
    values = np.column_stack(columns)
    whole = np.logical_not(np.isnan(values).any(axis=1))
    filled = missing[whole].sum(axis=0).astype(np.int64)
    complete = _part(GridRows(spread.assets, spread.places, values), whole)
    return WholeRows(complete, filled, int((known & ~whole).sum()))


def _with_missing_places(rows: GridRows, limit: int) -> tuple[GridRows, NDArray[np.bool_]]:
    """Adds up to `limit` empty rows behind each row before which places are missing; also which rows are no such."""
    absent = np.where(np.diff(rows.assets) == 0, np.diff(rows.places) - 1, 0)
    counts = 1 + np.append(np.minimum(absent, limit), 0)
    source = np.repeat(np.arange(counts.size), counts)
    behind = np.arange(source.size) - np.repeat(np.cumsum(counts) - counts, counts)
    known = behind == 0
    values = np.where(known[:, None], rows.values[source], np.nan)
    return GridRows(rows.assets[source], rows.places[source] + behind, values), known


def _filled(rows: GridRows, column: int, policy: GapPolicy) -> Floats:
    """One channel, with what the policy puts into its gaps."""
    values = rows.values[:, column]
    if policy.kind == "break":
        return values
    before, after = _neighbours(rows.assets, np.isfinite(values))
    since = rows.places - rows.places[before]
    if policy.kind == "hold":
        return np.where((before >= 0) & (since <= policy.limit), values[before], values)
    gap = rows.places[after] - rows.places[before]
    usable = np.isnan(values) & (before >= 0) & (after >= 0) & (gap <= policy.limit + 1)
    with np.errstate(invalid="ignore", divide="ignore"):  # where it is not used
        line = values[before] + (values[after] - values[before]) * (since / gap)
    return np.where(usable, line, values)


def _neighbours(assets: Ints, finite: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """For each row the nearest row of its asset with a reading, not after it and not before it; -1 for none."""
    places = np.arange(finite.size)
    before = np.maximum.accumulate(np.where(finite, places, -1))
    after = np.minimum.accumulate(np.where(finite, places, finite.size)[::-1])[::-1]
    after = np.where(after == finite.size, -1, after)
    return tuple(np.where((found >= 0) & (assets[found] == assets), found, -1) for found in (before, after))  # type: ignore[return-value]


def _part(rows: GridRows, chosen: NDArray[np.bool_]) -> GridRows:
    return GridRows(rows.assets[chosen], rows.places[chosen], rows.values[chosen])
