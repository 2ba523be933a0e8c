"""Cells to numbers inside a plan: a cell that is none is noticed there and looked for afterwards."""

from collections.abc import Sequence

import polars as pl

from toolkit.data.config import DataConfig
from toolkit.data.text_files import NULL_WORDS
from toolkit.errors import DataError


def number(name: str, kind: pl.DataType, config: DataConfig) -> pl.Expr:
    """A column as Float64, null where nothing stands, where a sentinel stands, or where the cell is no number."""
    value = _value(name, kind, config.decimal)
    if not config.sentinels:
        return value
    return pl.when(value.is_in(list(config.sentinels)).not_()).then(value)


def no_number(name: str, kind: pl.DataType, config: DataConfig) -> pl.Expr:
    """Whether a cell holds something that is no number."""
    return _value(name, kind, config.decimal).is_null() & _cell(name, kind).is_not_null()


def check_kind(name: str, kind: pl.DataType, file_name: str) -> None:
    """Refuses a column of a kind that holds no numbers.

    Raises:
        DataError: dates, lists or bytes.
    """
    if not (_is_text(kind) or kind.is_numeric() or kind in (pl.Boolean, pl.Null)):
        raise DataError(f"{file_name}: the column {name!r} holds no numbers", got=str(kind), fix=leave_out(name))


def text_among_numbers(file_name: str, cell: str, place: str, name: str, config: DataConfig) -> DataError:
    """The refusal of a cell that is no number."""
    fix = f"correct it, or {leave_out(name)}; a column that tells machines apart goes to --asset"
    comma = config.decimal == "." and "," in cell and cell.replace(",", "").strip("+- ").isdigit()
    return DataError(
        f"{file_name}: text in a numeric column",
        got=f"{cell[:40]!r} in {place}",
        allowed="numbers" if config.decimal == "." else "numbers with a decimal comma and no mark of thousands",
        fix=f"--set data.decimal=, for decimal commas, or {fix}" if comma else fix,
    )


def leave_out(column: str) -> str:
    """The advice of messages about one column."""
    return f"leave the column out with --exclude {column}"


def nothing_stands_in(names: Sequence[str], kinds: pl.Schema) -> pl.Expr:
    """Whether a row is empty, as those are that spreadsheets add at the end."""
    return pl.all_horizontal(_cell(name, kinds[name]).is_null() for name in names)


def _is_text(kind: pl.DataType) -> bool:
    return isinstance(kind, (pl.String, pl.Categorical, pl.Enum))


def _cell(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if not _is_text(kind):
        return column
    text = column.cast(pl.String).str.strip_chars()
    return pl.when(text.is_in(NULL_WORDS).not_()).then(text)


def _value(name: str, kind: pl.DataType, decimal: str) -> pl.Expr:
    text = _cell(name, kind)
    if _is_text(kind) and decimal == ",":
        # A point beside decimal commas would be a mark of thousands: "1.234" must not become 1.234.
        text = pl.when(text.str.contains(".", literal=True).not_()).then(text.str.replace(",", ".", literal=True))
    return text.cast(pl.Float64, strict=False)
