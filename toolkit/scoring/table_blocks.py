"""A table in blocks of rows in the order of its files; or whole, where its form needs that and it is small."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from toolkit.data.column_choice import channels_of_files
from toolkit.data.config import FILE_ASSET, DataConfig
from toolkit.data.file_lists import file_assets
from toolkit.data.file_parts import HEAD, FilePart, read_part
from toolkit.data.source import read_frame
from toolkit.data.text_files import OpenFile, open_file
from toolkit.errors import ConfigError, DataError
from toolkit.scoring.file_pieces import FilePiece, pieces_of

Whole = NDArray[np.int64]

HELD_WHOLE = 64 << 20
"""Bytes of files that may be held whole where their rows cannot be read as they stand."""


@dataclass(frozen=True)
class TableBlock:
    """Rows that stand one after the other.

    Attributes:
        times_us: microseconds since 1970, int64 `[rows]`.
        assets: for each row the number of its asset, int64 `[rows]`.
        values: readings, float64 `[rows, columns]`, NaN where there is none.
        numbers: where each row stands among all rows, from 0, int64 `[rows]`.
        place: of the first row of a file, in words, for messages: its name and the row's number there less one.
        end: how much of the table lies before the end of this block, from 0 to 1.
    """

    times_us: Whole
    assets: Whole
    values: NDArray[np.float64]
    numbers: Whole
    place: tuple[str, int]
    end: float


class AssetNames:
    """Numbers for assets in the order of their appearance."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        """In the order of their numbers."""
        return list(self._numbers)

    def numbers_of(self, column: pl.Series) -> Whole:
        """The number of each name of a categorical column."""
        found = column.unique(maintain_order=True)
        codes = found.to_physical().to_numpy()
        number_of = np.zeros(int(codes.max()) + 1, np.int64)
        number_of[codes] = [self.number_of(name) for name in found.cast(pl.String).to_list()]
        numbers: Whole = number_of[column.to_physical().to_numpy()]
        return numbers

    def number_of(self, name: str) -> int:
        """The number of one name."""
        return self._numbers.setdefault(name, len(self._numbers))


@dataclass(frozen=True)
class OpenTable:
    """Files whose columns have been looked at.

    Attributes:
        files: in their order.
        config: how they are read.
        zoned: whether their times are UTC.
        whole: why the rows must be held whole; empty where they are read as they stand.
    """

    files: tuple[OpenFile, ...]
    config: DataConfig
    zoned: bool
    whole: str = ""

    def blocks(self, assets: AssetNames) -> Iterator[TableBlock]:
        """All rows.

        Raises:
            DataError: as `toolkit.data.source.read_frame`.
        """
        return _whole_block(self, assets) if self.whole else _blocks(self, assets)


def open_table(files: Sequence[Path], config: DataConfig) -> OpenTable:
    """Looks at the columns and the first rows of files.

    Raises:
        ConfigError: no time column.
        DataError: no table, no such column, or files that must be held whole and are too large for that.
    """
    if not config.timestamps:
        raise ConfigError("forecasts are written beside their times", got="no time column", fix="--timestamp COLUMN")
    opened = tuple(open_file(path, config) for path in files)
    if config.tag is None:
        channels_of_files(opened, config)
    zoned = _zoned(opened[0], config)
    whole = _needs_whole(config, zoned=zoned)
    size = sum(path.stat().st_size for path in files)
    if whole and size > HELD_WHOLE:
        raise DataError(
            f"{files[0].name} is too large to be held whole, which {whole} needs",
            got=f"{size / 1e6:.0f} MB",
            allowed=f"{HELD_WHOLE / 1e6:.0f} MB",
            fix=_FIXES[whole],
        )
    return OpenTable(opened, config, zoned or config.timezone is not None, whole)


_FIXES = {
    "data.tag": "write one row for each moment, a column for each tag",
    "data.sort": "sort it by time, and leave data.sort out",
    "data.duplicates": "leave one row for each moment of an asset, and data.duplicates out",
    "data.transposed": "write one row for each moment",
    "data.timezone": "export its times in UTC, and leave data.timezone out",
}
"""For each setting under which rows cannot be read as they stand, what makes it needless."""


def _needs_whole(config: DataConfig, *, zoned: bool) -> str:
    local = config.timezone not in (None, "UTC") and not zoned  # the hour that comes twice is told by its neighbours
    needed = (config.tag is not None, config.sort, config.duplicates != "error", config.transposed, local)
    return next((name for name, does in zip(_FIXES, needed, strict=True) if does), "")


def _zoned(file: OpenFile, config: DataConfig) -> bool:
    """By the first rows of the first piece: of a large text file polars would read some 100 MB to give its head."""
    channels = [config.value] if config.value else config.channels
    first = file if config.transposed else next((piece.file for piece in pieces_of(file, len(channels), config)), None)
    if first is None:
        raise _no_rows(file)
    times = read_part(replace(first, rows=first.rows.head(HEAD)), channels, config).times
    return times is not None and times.zoned


def _no_rows(file: OpenFile) -> DataError:
    return DataError(f"{file.path.name} has a header and no rows", fix="give a file with readings in it")


def _blocks(table: OpenTable, assets: AssetNames) -> Iterator[TableBlock]:
    sizes = [file.path.stat().st_size for file in table.files]
    before, rows = np.cumsum([0, *sizes]), 0
    own_names = file_assets([file.path for file in table.files]) if table.config.asset == FILE_ASSET else ()
    for number, file in enumerate(table.files):
        height = 0
        for piece, part in _parts(file, table):
            end = float(before[number] + sizes[number] * piece.end) / max(int(before[-1]), 1)
            yield _block(
                part, rows, (file.path.name, piece.file.first_row), end, _asset(part, own_names, number, assets)
            )
            rows, height = rows + part.columns.height, height + part.columns.height
        if not height:
            raise _no_rows(file)


def _parts(file: OpenFile, table: OpenTable) -> Iterator[tuple[FilePiece, FilePart]]:
    """Pieces that hold anything; rows of nothing may stand at the end of a file and nowhere else."""
    channels, nothing_in = list(table.config.channels), None
    for piece in pieces_of(file, len(channels), table.config):
        if piece.empty:
            nothing_in = piece.file.first_row if nothing_in is None else nothing_in
            continue
        if nothing_in is not None:
            got = f"nothing in row {nothing_in + 1}"
            raise DataError(f"{file.path.name}: a timestamp cannot be read", got=got, fix="remove the empty rows")
        part = read_part(piece.file, channels, table.config)
        if part.times is not None and (part.times.zoned or table.config.timezone is not None) != table.zoned:
            raise DataError(
                f"{file.path.name}: some times state their zone and some do not",
                got=f"the other form from row {piece.file.first_row + 1} on",
                fix="write them alike",
            )
        height = part.columns.height
        short = height < piece.rows and table.config.separator != " "  # between runs of blanks empty lines are no rows
        nothing_in = piece.file.first_row + height if short else None
        yield piece, part


def _asset(part: FilePart, own_names: tuple[str, ...], number: int, assets: AssetNames) -> Whole:
    if part.assets is not None:
        return assets.numbers_of(part.assets)
    return np.full(part.columns.height, assets.number_of(own_names[number] if own_names else ""), np.int64)


def _block(part: FilePart, first: int, place: tuple[str, int], end: float, assets: Whole) -> TableBlock:
    assert part.times is not None  # `open_table` refuses a table without
    values = part.columns.fill_null(float("nan")).to_numpy()
    numbers = np.arange(first, first + part.columns.height)
    return TableBlock(part.times.us, assets, values, numbers, place, end)


def _whole_block(table: OpenTable, assets: AssetNames) -> Iterator[TableBlock]:
    source = read_frame(table.config)
    numbers = np.array([assets.number_of(name) for name in source.asset_names])
    values = source.columns.select(table.config.channels).fill_null(float("nan")).to_numpy()
    order = np.arange(len(source.times_us))
    yield TableBlock(source.times_us, numbers[source.assets], values, order, (source.names, 0), 1.0)
