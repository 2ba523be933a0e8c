"""One file's times, assets and numbers, in a single pass that holds no text of its readings."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from toolkit.data.config import FILE_ASSET, DataConfig
from toolkit.data.number_columns import check_kind, no_number, nothing_stands_in, number, text_among_numbers
from toolkit.data.row_places import in_file
from toolkit.data.text_files import MORE, OpenFile, collected, longer_row
from toolkit.data.timestamps import Times, likely_form, parsed, read_times
from toolkit.errors import DataError

TIME, ASSET, TAG, GOOD, WRONG, EMPTY, LABEL = (
    f"\x00{name}" for name in ("time", "asset", "tag", "good", "wrong", "empty", "label")
)
"""Columns of a plan beside the channels; no name in a file begins so."""
HEAD = 1000
"""Rows that the form of the times is found on; where it does not fit all rows, all are looked at."""


@dataclass(frozen=True)
class FilePart:
    """What one file holds.

    Attributes:
        name: of the file.
        columns: Float64; of a table of one reading a row its value alone.
        times: of each row; None where there is no time column.
        assets: names, categorical; None where there is no asset column.
        tags: names, categorical; None where the columns are the channels.
        good: whether the quality of each reading is good; None where nothing says so.
        labels: text, categorical, null where a row has none; None where there is no label column.
    """

    name: str
    columns: pl.DataFrame
    times: Times | None
    assets: pl.Series | None
    tags: pl.Series | None
    good: pl.Series | None
    labels: pl.Series | None = None


def read_part(file: OpenFile, channels: Sequence[str], config: DataConfig) -> FilePart:
    """Reads the columns of a file that are wanted.

    Raises:
        DataError: text among numbers, a time that cannot be read, a name that is missing, or a row that is too long.
    """
    frame = collected(file, _plan(file, channels, config), config)
    height = _height(frame, file)
    if frame[WRONG].any():
        raise _wrong_cell(file, int(frame[WRONG].arg_max() or 0), channels, config)
    frame = frame.head(height)
    return FilePart(
        file.path.name,
        frame.select(channels),
        _times(file, frame, config) if config.timestamps else None,
        _names_in(frame, ASSET, config.asset, "asset", file),
        _names_in(frame, TAG, config.tag, "tag", file),
        frame[GOOD] if config.quality else None,
        frame[LABEL] if config.label else None,
    )


def _plan(file: OpenFile, channels: Sequence[str], config: DataConfig) -> pl.LazyFrame:
    kinds = file.rows.collect_schema()
    for name in channels:
        check_kind(name, kinds[name], file.path.name)
    beyond = [name for name in (*file.unnamed, MORE) if name in kinds]
    wrong = [no_number(name, kinds[name], config) for name in channels]
    if config.quality:  # a bad reading may be text: "I/O Timeout"
        wrong = [each & _good(config) for each in wrong]
    columns = {
        WRONG: pl.any_horizontal(*wrong, *(pl.col(name).is_not_null() for name in beyond)),
        EMPTY: nothing_stands_in((*config.roles, *channels), kinds),
        **_roles(file, kinds, config),
        **{name: number(name, kinds[name], config) for name in channels},
    }
    return file.rows.select(expression.alias(name) for name, expression in columns.items())


def _roles(file: OpenFile, kinds: pl.Schema, config: DataConfig) -> dict[str, pl.Expr]:
    roles = {}
    if config.asset and config.asset != FILE_ASSET:
        roles[ASSET] = _name(config.asset)
    if config.tag:
        roles[TAG] = _name(config.tag)
    if config.quality:
        roles[GOOD] = _good(config)
    if config.label:
        roles[LABEL] = pl.col(config.label).cast(pl.String).cast(pl.Categorical)
    if config.timestamps:
        roles[TIME] = _time(file, kinds, config)
    return roles


def _name(column: str) -> pl.Expr:
    """Blanks around a name would make another machine, or tag, of it; blanks alone are none."""
    text = pl.col(column).cast(pl.String).str.strip_chars()
    return pl.when(text != "").then(text).cast(pl.Categorical)


def _good(config: DataConfig) -> pl.Expr:
    quality = pl.col(str(config.quality)).cast(pl.String).str.strip_chars()
    return quality.is_in(list(config.good_quality)).fill_null(value=False)


def _time(file: OpenFile, kinds: pl.Schema, config: DataConfig) -> pl.Expr:
    """The time read in the form that its first rows have: the text itself never leaves the plan."""
    if not _times_are_text(kinds, config):
        return pl.col(config.timestamps[0])
    form = config.timestamp_format
    if form is None:
        head = collected(file, file.rows.head(HEAD).select(_time_text(config)), config)
        form = likely_form(head.to_series())
    return parsed(_time_text(config), form)


def _times_are_text(kinds: pl.Schema, config: DataConfig) -> bool:
    if len(config.timestamps) > 1:
        return True
    kind = kinds[config.timestamps[0]]
    text = isinstance(kind, (pl.String, pl.Categorical, pl.Enum))
    return text or (config.timestamp_format is not None and kind.is_numeric())


def _time_text(config: DataConfig) -> pl.Expr:
    parts = [pl.col(name).cast(pl.String).str.strip_chars() for name in config.timestamps]
    return pl.concat_str(parts, separator=" ").alias(" ".join(config.timestamps))


def _times(file: OpenFile, frame: pl.DataFrame, config: DataConfig) -> Times:
    kinds = file.rows.collect_schema()
    column = frame[TIME].rename(" ".join(config.timestamps))
    if not _times_are_text(kinds, config):
        return read_times(column, file.path.name, config.timestamp_format, file.first_row)
    if not column.null_count() and column.dtype.is_temporal():
        zoned = getattr(column.dtype, "time_zone", None) is not None
        return Times(column.cast(pl.Int64).to_numpy(), zoned)
    if not column.null_count():
        return read_times(column, file.path.name, first_row=file.first_row)
    # Here alone the text of the times is held: some row is of another form, or of none.
    text = collected(file, file.rows.select(_time_text(config)).head(len(column)), config).to_series()
    return read_times(text, file.path.name, config.timestamp_format, file.first_row)


def _names_in(frame: pl.DataFrame, role: str, column: str | None, word: str, file: OpenFile) -> pl.Series | None:
    if role not in frame.columns:
        return None
    names = frame[role]
    if names.null_count():
        row = int(names.is_null().arg_max() or 0)
        raise DataError(
            f"{file.path.name}: the {word} is missing",
            got=f"nothing in {in_file(file.first_row + row, str(column))}",
            allowed="a name or number in every row",
        )
    return names


def _height(frame: pl.DataFrame, file: OpenFile) -> int:
    """Rows up to the last that holds anything: spreadsheets add empty ones."""
    held = frame[EMPTY].not_().arg_true()
    if not len(held):
        raise DataError(f"{file.path.name} has a header and no rows", fix="give a file with readings in it")
    return int(held[-1]) + 1


def _wrong_cell(file: OpenFile, row: int, channels: Sequence[str], config: DataConfig) -> DataError:
    """The first cell of a row that is no number, or that stands behind the last column."""
    cells = collected(file, file.rows.slice(row, 1), config)
    kinds = cells.schema
    for name in channels:
        if cells.select(no_number(name, kinds[name], config)).item():
            place = in_file(file.first_row + row, name)
            return text_among_numbers(file.path.name, str(cells[name][0]).strip(), place, name, config)
    width = len(file.names)
    return longer_row(file.path.name, f"more than {width} cells in row {file.first_row + row + 1}", width)
