"""Reads files as they come into one frame: times, assets and channels, nothing asked of the readings themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from toolkit.data.column_choice import channels_of_files, check_roles, chosen_channels
from toolkit.data.config import FILE_ASSET, DataConfig
from toolkit.data.file_lists import file_assets, listed_files, sha256_of, shown_names
from toolkit.data.file_parts import FilePart, read_part
from toolkit.data.labels import Labels, read_labels
from toolkit.data.long_tables import pivoted, series_of
from toolkit.data.number_columns import leave_out
from toolkit.data.row_order import TimedRows, in_order
from toolkit.data.row_places import RowPlaces
from toolkit.data.text_files import open_file
from toolkit.data.text_pieces import check_quotes_of_file
from toolkit.data.time_zones import LocalTimes, to_utc
from toolkit.errors import DataError

__all__ = ["SourceFrame", "leave_out", "read_frame"]

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class SourceFrame:
    """What stands in the files: all rows of one asset together, in rising time order.

    Attributes:
        names: what messages call the file, or the files.
        sha256: over all files, hexadecimal.
        times_us: microseconds since 1970, UTC where the zone is known, int64 `[rows]`.
        assets: for each row its asset's place in `asset_names`, int64 `[rows]`.
        asset_names: in order of appearance; one empty name where the table has no asset column.
        columns: the channels, variable-major, Float64 `[rows, channels]`; null or NaN where a reading is missing.
        places: for each row where it stood.
        bad_quality: readings left out because their quality was not good.
        labels: what each row is called; None where no column says so.
    """

    names: str
    sha256: str
    times_us: Whole
    assets: Whole
    asset_names: tuple[str, ...]
    columns: pl.DataFrame
    places: RowPlaces
    bad_quality: int = 0
    labels: Labels | None = None

    @property
    def rows(self) -> Whole:
        """For each row its number in its file, from 1, int64 `[rows]`."""
        return self.places.numbers

    def place(self, index: int, column: str | None = None) -> str:
        """Where a reading stands in the file, in words."""
        return self.places.row(index) + (f", column {column!r}" if column else "")


@dataclass(frozen=True)
class _Joined:
    """The files' rows one after the other, in their order."""

    names: str
    times_us: Whole | None
    assets: Whole
    asset_names: tuple[str, ...]
    columns: pl.DataFrame
    places: RowPlaces
    zoned: bool


def read_frame(config: DataConfig) -> SourceFrame:
    """Reads the files that `config` names.

    Raises:
        DataError: no such file, not a table, a column that is not there, text among numbers, a time that cannot be
            read, or times that do not rise. The message names file, row and column.
    """
    files = listed_files(config.file)
    sha256 = _sha256(files)
    for path in files:
        check_quotes_of_file(path, config)
    if config.tag:
        return _read_long(files, sha256, config)
    opened = [open_file(path, config) for path in files]
    channels = channels_of_files(opened, config)
    parts = [read_part(file, channels, config) for file in opened]
    joined = _join(files, parts, config)
    labels = _labels(parts, joined, config)
    times = _times(joined, joined.assets, config)
    rows = in_order(
        TimedRows(joined.assets, times, joined.columns, joined.places),
        config,
        joined.names,
        lambda asset: f" of asset {joined.asset_names[asset]!r}" if len(joined.asset_names) > 1 else "",
    )
    return SourceFrame(
        joined.names,
        sha256,
        rows.times_us,
        rows.series,
        joined.asset_names,
        rows.columns,
        rows.places,
        labels=None if labels is None else labels.of_rows(joined.places.found(rows.places)),
    )


def _read_long(files: Sequence[Path], sha256: str, config: DataConfig) -> SourceFrame:
    opened = [open_file(path, config) for path in files]
    check_roles(opened, config)
    parts = [read_part(file, [str(config.value)], config) for file in opened]
    joined = _join(files, parts, config)
    codes, tags = _codes([part.tags for part in parts if part.tags is not None])
    channels = chosen_channels(tags, config, joined.names)
    channel_of = np.array([channels.index(tag) if tag in channels else -1 for tag in tags])[codes]
    series = series_of(joined.assets, channel_of, len(channels))
    wanted = channel_of >= 0
    good = pl.concat([part.good for part in parts if part.good is not None]).to_numpy() if config.quality else wanted
    kept = np.flatnonzero(wanted & good)
    if not kept.size:
        raise DataError(f"{joined.names}: no reading is of good quality", allowed=", ".join(config.good_quality))
    times = _times(joined, joined.assets * len(tags) + codes, config)
    readings = in_order(
        TimedRows(series[kept], times[kept], joined.columns[kept], joined.places.taken(kept)),
        config,
        joined.names,
        lambda number: f" of tag {channels[number % len(channels)]!r}",
    )
    wide = pivoted(readings, channels)
    bad = int(wanted.sum()) - kept.size
    return SourceFrame(
        joined.names, sha256, wide.times_us, wide.assets, joined.asset_names, wide.columns, wide.places, bad
    )


def _join(files: Sequence[Path], parts: Sequence[FilePart], config: DataConfig) -> _Joined:
    heights = [part.columns.height for part in parts]
    places = RowPlaces.of_files([part.name for part in parts], heights)
    asset_names: tuple[str, ...] = ("",)
    assets = np.zeros(sum(heights), np.int64)
    if config.asset == FILE_ASSET:
        assets, asset_names = places.file_of, file_assets(files)
    elif config.asset:
        assets, asset_names = _codes([part.assets for part in parts if part.assets is not None])
    times = [part.times for part in parts if part.times is not None]
    if len({each.zoned for each in times}) > 1:
        raise _zones_differ(parts)
    return _Joined(
        shown_names(files),
        np.concatenate([each.us for each in times]) if times else None,
        assets,
        asset_names,
        pl.concat([part.columns for part in parts]),
        places,
        zoned=bool(times) and times[0].zoned,
    )


def _zones_differ(parts: Sequence[FilePart]) -> DataError:
    without = next(part.name for part in parts if part.times is not None and not part.times.zoned)
    return DataError(
        "some of the files state the zone of their times and some do not",
        got=f"times without a zone in {without}",
        allowed="files of one form",
        fix="read them in two runs, or write their times alike",
    )


def _labels(parts: Sequence[FilePart], joined: _Joined, config: DataConfig) -> Labels | None:
    """Of the joined rows, in the order of the files."""
    columns = [part.labels.cast(pl.String) for part in parts if part.labels is not None]
    return read_labels(pl.concat(columns).rename(str(config.label)), joined.places, joined.names) if columns else None


def _codes(names: Sequence[pl.Series]) -> tuple[Whole, tuple[str, ...]]:
    """Names to numbers in order of appearance."""
    column = pl.concat(names)
    found = column.unique(maintain_order=True)
    places = found.to_physical().to_numpy()
    code_of = np.zeros(int(places.max()) + 1, np.int64)
    code_of[places] = np.arange(len(places))
    return code_of[column.to_physical().to_numpy()], tuple(found.cast(pl.String).to_list())


def _times(joined: _Joined, clocks: Whole, config: DataConfig) -> Whole:
    """Times in UTC where the zone is known; rows of one clock are told by `clocks`."""
    if joined.times_us is None:
        return _evenly_apart(joined.assets, float(config.interval_s or 0.0))
    if config.timezone is None or joined.zoned:
        return joined.times_us
    return to_utc(LocalTimes(joined.times_us, clocks, config.timezone, joined.names, joined.places))


def _evenly_apart(assets: Whole, interval_s: float) -> Whole:
    """The rows of each asset `interval_s` apart, from 0 on."""
    order = np.argsort(assets, kind="stable")
    ends = np.cumsum(np.bincount(assets))
    place = np.empty_like(assets)
    place[order] = np.arange(len(assets)) - np.append(0, ends[:-1])[assets[order]]
    return np.round(place * interval_s * 1e6).astype(np.int64)


def _sha256(files: Sequence[Path]) -> str:
    try:
        return sha256_of(files)
    except OSError as error:
        raise DataError(f"cannot read {error.filename}", got=error.strerror or str(error)) from error
