"""Times in a table: ISO 8601 text, numbers since 1970, or Parquet's own types."""

import re
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from toolkit.errors import DataError

ISO_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f%z",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M%z",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
)
# Below this many of a unit since 1970 the year would be before 2100 in the next smaller unit's reading:
# seconds stay under 1e11 until the year 5138, milliseconds of today lie above 1e12, and so on.
EPOCH_UNITS = ((1e11, 1_000_000.0), (1e14, 1_000.0), (1e17, 1.0), (float("inf"), 0.001))
LARGEST = 2.0**63
"""Nanoseconds since 1970 that int64 holds: until the year 2262."""


NUMBERS = "numbers"
"""The form of times that are numbers since 1970."""


@dataclass(frozen=True)
class Times:
    """Moments of a column.

    Attributes:
        us: microseconds since 1970, int64 `[rows]`.
        zoned: whether they are UTC because the column says so; else they are what a clock showed.
    """

    us: NDArray[np.int64]
    zoned: bool


def read_times(column: pl.Series, file_name: str, form: str | None = None, first_row: int = 0) -> Times:
    """Microseconds since 1970 for every row.

    Times with a zone are turned into UTC; times without one are taken as they stand.

    Args:
        column: text, numbers, or Parquet's own times.
        file_name: for messages.
        form: as `strptime` takes it; None tries ISO 8601 and numbers since 1970.
        first_row: rows of the file before the first one here, for messages.

    Raises:
        DataError: a time that is missing or cannot be read; the message names its row and shows it.
    """
    if column.null_count():
        row = int(column.is_null().arg_max() or 0)
        raise _unreadable(column, first_row + row, file_name, "nothing", form)
    if form is not None and not column.dtype.is_temporal():
        column = column.cast(pl.String)
    if column.dtype == pl.String:
        return _from_text(column.str.strip_chars(), file_name, form, first_row)
    if column.dtype.is_numeric():
        return _from_numbers(column, column.cast(pl.Float64), file_name, first_row)
    if column.dtype in (pl.Datetime, pl.Date):
        zoned = getattr(column.dtype, "time_zone", None) is not None
        return Times(column.cast(pl.Datetime("us")).cast(pl.Int64).to_numpy().astype(np.int64), zoned)
    raise DataError(
        f"{file_name}: the timestamp column {column.name!r} holds no times",
        got=str(column.dtype),
        allowed="ISO 8601 text, numbers since 1970, or dates",
    )


def likely_form(head: pl.Series) -> str:
    """The form that reads most of the first rows: one of `ISO_FORMATS`, or `NUMBERS`."""
    forms = {form: head.to_frame().select(parsed(pl.first(), form)).to_series() for form in (NUMBERS, *ISO_FORMATS)}
    return min(forms, key=lambda form: forms[form].null_count())


def parsed(column: pl.Expr, form: str) -> pl.Expr:
    """A column of text read in one form inside a plan; null where it is of another."""
    text = column.str.strip_chars()
    if form == NUMBERS:
        return text.cast(pl.Float64, strict=False)
    if form in ISO_FORMATS:
        text = text.str.replace(r"^(\d{4}.\d\d.\d\d)[Tt]", "${1} ").str.replace(r"[Zz]$", "+00:00")
    return text.str.to_datetime(form, time_unit="us", strict=False)


def _from_numbers(column: pl.Series, numbers: pl.Series, file_name: str, first_row: int) -> Times:
    values = numbers.to_numpy()
    usable = np.abs(values) < LARGEST  # NaN is not: it compares false
    if not usable.all():
        row = int(np.argmin(usable))
        raise _unreadable(column, first_row + row, file_name, repr(str(column[row])), None, text=str(column[row]))
    _check_no_calendar(column, values, file_name, first_row)
    largest = float(np.abs(values).max())
    factor = next(factor for limit, factor in EPOCH_UNITS if largest < limit)
    return Times(np.round(values * factor).astype(np.int64), zoned=True)


def _check_no_calendar(column: pl.Series, values: NDArray[np.float64], file_name: str, first_row: int) -> None:
    """Refuses 20260128, 2026012820 or 20260128203000: as seconds or milliseconds they would all be wrong."""
    for digits in (8, 10, 12, 14):
        head = values // 10.0 ** (digits - 8)
        month, day = head // 100 % 100, head % 100
        dates = (head >= 1900e4) & (head < 2101e4) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
        if dates.all():
            raise DataError(
                f"{file_name}: timestamps without separators could be dates or numbers since 1970",
                got=f"{int(values[0])} in row {first_row + 1}, column {column.name!r}",
                allowed="ISO 8601 with separators (2026-01-05T13:45:00Z)",
                fix="write them with separators, or say how they are written: --set data.timestamp_format=%Y%m%d",
            )


def _from_text(column: pl.Series, file_name: str, form: str | None, first_row: int) -> Times:
    """In the form given, or in the one that reads most rows: it tells which row is the odd one."""
    chosen = form or likely_form(column)
    times = column.to_frame().select(parsed(pl.first(), chosen)).to_series()
    if times.null_count():
        row = int(times.is_null().arg_max() or 0)
        raise _unreadable(column, first_row + row, file_name, repr(str(column[row])[:40]), form, text=str(column[row]))
    if chosen == NUMBERS and form is None:
        return _from_numbers(column, times, file_name, first_row)
    return Times(times.cast(pl.Int64).to_numpy().astype(np.int64), "%z" in chosen)


def _unreadable(
    column: pl.Series, row: int, file_name: str, got: str, form: str | None, *, text: str = "None"
) -> DataError:
    return DataError(
        f"{file_name}: a timestamp cannot be read",
        got=f"{got} in row {row + 1}, column {column.name!r}",
        allowed=f"data.timestamp_format, {form!r}, in every row"
        if form
        else "ISO 8601 (2026-01-05T13:45:00Z) or a number since 1970, the same form in every row",
        fix=None if form else _format_for(text),
    )


def _format_for(text: str) -> str | None:
    """How to read a time whose day and month could stand either way round: only its owner knows."""
    found = re.match(r"^\s*(\d{1,2})([./-])\d{1,2}[./-](\d{4}|\d\d)(.*)$", text)
    if found is None:
        return "say how they are written with --set data.timestamp_format=..." if re.search(r"\d", text) else None
    mark, year = found[2], "%Y" if len(found[3]) == 4 else "%y"
    clock = iter(("%H", "%M", "%S"))
    time = re.sub(r"\d+", lambda _: next(clock, ""), found[4])
    day_first, month_first = (f"{mark.join((*order, year))}{time}" for order in (("%d", "%m"), ("%m", "%d")))
    return (
        f"day and month could stand either way round: --set data.timestamp_format={day_first!r} "
        f"or --set data.timestamp_format={month_first!r}"
    )
