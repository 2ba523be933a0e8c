"""Reads a table of sensor readings from CSV or Parquet, and refuses what it would have to guess."""

import csv
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from toolkit.contract.records import nearest
from toolkit.contract.signals import SignalSpec, channel_from_name, variable_major
from toolkit.data.config import DataConfig
from toolkit.data.timestamps import epoch_microseconds
from toolkit.errors import DataError
from toolkit.signal.windows import GAP_INTERVALS, segment_ids

NULL_WORDS = ["", "NA", "N/A", "n/a", "null", "NULL", "None", "-"]
LARGEST = float(np.finfo(np.float32).max)
"""The model reads float32: a reading beyond this would be infinite there."""
LONGEST_HEADER = 1 << 20


@dataclass(frozen=True)
class SensorTable:
    """Readings in order: all rows of one asset stand together, in time order.

    Attributes:
        file_name: without its folder.
        sha256: of the file, hexadecimal.
        channel_names: in the order of the columns of `values`, variable-major.
        asset_names: in order of appearance; one empty name where the table has no asset column.
        assets: for each row its asset's place in `asset_names`, int64 `[rows]`.
        times_us: microseconds since 1970, UTC where the file states a zone, int64 `[rows]`.
        values: raw readings, float64 `[rows, channels]`, all finite.
        segments: for each row the number of its unbroken series, int64 `[rows]`.
        interval_s: seconds between rows.
        dropped_rows: rows left out because a reading was missing.
    """

    file_name: str
    sha256: str
    channel_names: tuple[str, ...]
    asset_names: tuple[str, ...]
    assets: NDArray[np.int64]
    times_us: NDArray[np.int64]
    values: NDArray[np.float64]
    segments: NDArray[np.int64]
    interval_s: float
    dropped_rows: int


def read_table(config: DataConfig) -> SensorTable:
    """Reads and checks the table that `config` names.

    Raises:
        DataError: no such file, not a table, a column that is not there, text among numbers, times that do not
            rise, or a missing reading while `config.missing` is `error`. The message names file, row and column.
    """
    path = Path(config.file)
    frame = _read_frame(path)
    names = _channel_names(frame, config, path.name)
    times = epoch_microseconds(frame[config.timestamp], path.name)
    assets, asset_names = _asset_codes(frame, config)
    values = np.column_stack([_numbers(frame[name], path.name) for name in names])
    keep = _rows_to_keep(values, names, config, path.name)
    # Stable: rows of one asset keep the file's order, so that times which do not rise are still seen.
    order = np.argsort(assets, kind="stable")
    dropped = np.cumsum(~keep[order])[keep[order]]  # rows left out before each kept one
    rows = order[keep[order]]
    assets, times, values = assets[rows], times[rows], values[rows]
    _check_order(times, assets, rows, path.name, asset_names)
    interval_us = _interval_us(config, times, assets, path.name)
    # A row that was left out breaks its series as another asset would, however short the step across it is.
    segments = segment_ids(assets + dropped, times, int(GAP_INTERVALS * interval_us))
    return SensorTable(
        path.name,
        _sha256(path),
        names,
        asset_names,
        assets,
        times,
        values,
        segments,
        interval_us / 1e6,
        int(keep.size - keep.sum()),
    )


def read_channels(file: Path, timestamp: str, signal: SignalSpec, asset: str | None = None) -> SensorTable:
    """A table's columns in the order of a signal's channels; where a reading is missing the series breaks.

    Raises:
        DataError: as `read_table`.
    """
    names = signal.channel_names
    targets = signal.targets or names[:1]
    config = DataConfig(
        str(file), timestamp, targets, asset=asset, channels=names, interval_s=signal.interval_s, missing="break"
    )
    table = read_table(config)
    order = [table.channel_names.index(name) for name in names]
    return replace(table, values=table.values[:, order], channel_names=names)


def _read_frame(path: Path) -> pl.DataFrame:
    # os.path, because in Python 3.11 Path's methods raise on a name that is too long or may not be looked up.
    if not os.path.exists(path):
        raise DataError(f"there is no file {path}", fix=_similar_file(path))
    if not os.path.isfile(path):
        raise DataError(f"{path} is no file", allowed="a CSV or Parquet file")
    try:
        with path.open("rb") as file:
            head = file.readline(LONGEST_HEADER)
        if not head:
            raise DataError(f"{path.name} is empty", allowed="a CSV or Parquet file with a header")
        frame = pl.read_parquet(path) if head.startswith(b"PAR1") else _read_csv(path, head)
    except OSError as error:
        raise DataError(f"cannot read {path}", got=error.strerror or str(error)) from error
    except (pl.exceptions.PolarsError, csv.Error) as error:
        raise DataError(
            f"{path.name} is not a table", got=_first_line(error), allowed="CSV (UTF-8) or Parquet"
        ) from error
    if frame.is_empty():
        raise DataError(f"{path.name} has a header and no rows", fix="give a file with readings in it")
    return frame


def _read_csv(path: Path, head: bytes) -> pl.DataFrame:
    names = _header(path.name, head)
    try:
        # Everything as text first: a type guessed from the head of a file fails deep inside it, without a place.
        frame = pl.read_csv(path, infer_schema=False, null_values=NULL_WORDS)
    except pl.exceptions.ComputeError:
        _check_no_row_is_longer(path, len(names))
        raise
    return frame.rename({name: name.strip() for name in frame.columns})


def _header(file_name: str, head: bytes) -> list[str]:
    """The names in a CSV's first line; polars would make names of any bytes, and rename those that stand twice."""
    try:
        line = head.decode("utf-8-sig")
    except UnicodeDecodeError:
        line = "\0"
    if "\0" in line:
        raise DataError(f"{file_name} is not a table", got="binary content", allowed="CSV (UTF-8) or Parquet")
    names = [name.strip() for name in next(csv.reader([line.strip()]), [])]
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise DataError(
            f"{file_name}: its columns are not separated by commas",
            got=repr(names[0][:40]),
            fix="save it with commas, and with points in decimals",
        )
    if repeated := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{file_name} has two columns of one name", got=repr(repeated[0]), fix="rename one of them")
    return names


def _check_no_row_is_longer(path: Path, width: int) -> None:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for row, cells in enumerate(csv.reader(file)):  # row 0 is the header
            if len(cells) > width:
                raise DataError(
                    f"{path.name}: a row is longer than the header",
                    got=f"{len(cells)} cells in row {row}",
                    allowed=f"{width}, one for each column",
                    fix="correct it; a cell that holds a comma must stand in quotes",
                )


def _similar_file(path: Path) -> str:
    names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = nearest(path.name, names)
    return f"did you mean {path.parent / near}?" if near else "give the path of a CSV or Parquet file"


def _channel_names(frame: pl.DataFrame, config: DataConfig, file_name: str) -> tuple[str, ...]:
    """The channels in their order; every column that the configuration names must be there."""
    roles = [config.timestamp] + ([config.asset] if config.asset else [])
    for name in (*roles, *config.targets, *config.channels, *config.exclude):
        if name not in frame.columns:
            raise _no_such_column(name, frame.columns, file_name)
    measured = dict.fromkeys([*frame.columns, *(channel_from_name(name).variable for name in frame.columns)])
    for name in config.units:
        if name not in measured:
            raise _no_such_column(name, [*measured], file_name)
    chosen = config.channels or tuple(name for name in frame.columns if name not in roles)
    names = tuple(name for name in chosen if name not in config.exclude)
    for name in config.targets:
        if name not in names:
            raise DataError(f"the target {name!r} is no channel", allowed=", ".join(names))
    if overlap := [name for name in names if name in roles]:
        raise DataError(
            f"{overlap[0]!r} is the timestamp or asset column and cannot be a channel too",
            fix="take it out of data.channels",
        )
    return variable_major(names)


def _no_such_column(name: str, columns: Sequence[str], file_name: str) -> DataError:
    near = nearest(name, columns)
    return DataError(
        f"{file_name} has no column {name!r}",
        allowed=", ".join(columns[:30]),
        fix=f"did you mean {near!r}?" if near else None,
    )


def _asset_codes(frame: pl.DataFrame, config: DataConfig) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    if config.asset is None:
        return np.zeros(frame.height, np.int64), ("",)
    column = frame[config.asset].cast(pl.String)
    if column.null_count():
        row = int(column.is_null().arg_max() or 0)
        raise DataError(
            f"{Path(config.file).name}: the asset is missing",
            got=f"nothing in {_place(row, config.asset)}",
            allowed="a name or number in every row",
        )
    names = column.unique(maintain_order=True).to_list()
    codes = {name: code for code, name in enumerate(names)}
    return column.replace_strict(codes, return_dtype=pl.Int64).to_numpy().astype(np.int64), tuple(names)


def _numbers(column: pl.Series, file_name: str) -> NDArray[np.float64]:
    """One column as float64, NaN where a reading is missing."""
    if isinstance(column.dtype, (pl.Categorical, pl.Enum)):
        column = column.cast(pl.String)
    if column.dtype == pl.String:
        column = column.str.strip_chars().replace(NULL_WORDS, None)
    elif not (column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null)):
        raise DataError(
            f"{file_name}: the column {column.name!r} holds no numbers",
            got=str(column.dtype),
            fix=_leave_out(column.name),
        )
    numbers = column.cast(pl.Float64, strict=False)
    broken = (numbers.is_null() & column.is_not_null()).to_numpy()
    if broken.any():
        row = int(np.argmax(broken))
        raise DataError(
            f"{file_name}: text in a numeric column",
            got=f"{str(column[row])[:40]!r} in {_place(row, column.name)}",
            allowed="numbers",
            fix=f"correct it, or {_leave_out(column.name)}; a column that tells machines apart goes to --asset",
        )
    return numbers.fill_null(float("nan")).to_numpy().astype(np.float64)


def _rows_to_keep(
    values: NDArray[np.float64], names: Sequence[str], config: DataConfig, file_name: str
) -> NDArray[np.bool_]:
    bad = ~(np.abs(values) <= LARGEST)  # NaN as well: it compares false
    empty = np.flatnonzero(bad.all(axis=0))
    if empty.size:
        name = names[int(empty[0])]
        raise DataError(f"{file_name}: the column {name!r} holds no reading at all", fix=_leave_out(name))
    if bad.any() and config.missing == "error":
        row, column = (int(place) for place in np.argwhere(bad)[0])
        reading = values[row, column]
        raise DataError(
            f"{file_name}: a missing or infinite reading in {int(bad.any(axis=1).sum())} of {len(bad)} rows",
            got=f"{'no number' if np.isnan(reading) else f'{reading:.3g}'} in {_place(row, names[column])}",
            allowed=f"finite numbers, in float32: up to {LARGEST:.2g}",
            fix="correct them, or break the series there with --set data.missing=break",
        )
    keep = np.logical_not(bad.any(axis=1))
    if not keep.any():
        raise DataError(
            f"{file_name}: every row holds a missing reading", fix="leave out the emptiest column with --exclude"
        )
    return keep


def _check_order(
    times: NDArray[np.int64], assets: NDArray[np.int64], rows: NDArray[np.intp], file_name: str, names: Sequence[str]
) -> None:
    wrong = (np.diff(times) <= 0) & (np.diff(assets) == 0)
    if not wrong.any():
        return
    at = int(np.argmax(wrong)) + 1
    asset = f" of asset {names[int(assets[at])]!r}" if len(names) > 1 else ""
    same = times[at] == times[at - 1]
    moment = str(np.datetime64(int(times[at]), "us"))
    raise DataError(
        f"{file_name}: {'duplicate timestamps' if same else 'timestamps that do not rise'}{asset}",
        got=f"{moment} in row {int(rows[at]) + 1} {'again' if same else 'after a later one'}",
        allowed="rising times within each asset",
        fix="name the asset column with --asset if there are several machines, else sort or clean the file",
    )


def _interval_us(config: DataConfig, times: NDArray[np.int64], assets: NDArray[np.int64], file_name: str) -> float:
    if config.interval_s is not None:
        return config.interval_s * 1e6
    steps = np.diff(times)[np.diff(assets) == 0]
    if not steps.size:
        raise DataError(f"{file_name}: a single row per asset has no interval", fix="give more rows")
    return float(np.median(steps))


def _place(row: int, column: str) -> str:
    return f"row {row + 1}, column {column!r}"


def _leave_out(column: str) -> str:
    return f"leave the column out with --exclude {column}"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def units_of(names: Sequence[str], units: dict[str, str]) -> tuple[str, ...]:
    """The unit of each channel: stated for the channel itself, or else for its variable, or else ""."""
    return tuple(units.get(name, units.get(channel_from_name(name).variable, "")) for name in names)
