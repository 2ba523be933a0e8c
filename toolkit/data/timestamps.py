"""Times in a table: ISO 8601 text, numbers since 1970, or Parquet's own types."""

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


def epoch_microseconds(column: pl.Series, file_name: str) -> NDArray[np.int64]:
    """Microseconds since 1970 for every row, int64 `[rows]`.

    Times with a zone are turned into UTC; times without one are taken as they stand.

    Raises:
        DataError: a time that is missing or cannot be read; the message names its row and shows it.
    """
    if column.null_count():
        row = int(column.is_null().arg_max() or 0)
        raise _unreadable(column, row, file_name, "nothing")
    if column.dtype == pl.String:
        column = column.str.strip_chars()
        numbers = column.cast(pl.Float64, strict=False)
        return (
            _from_text(column, numbers, file_name)
            if numbers.null_count()
            else _from_numbers(column, numbers, file_name)
        )
    if column.dtype.is_numeric():
        return _from_numbers(column, column.cast(pl.Float64), file_name)
    if column.dtype in (pl.Datetime, pl.Date):
        return column.cast(pl.Datetime("us")).cast(pl.Int64).to_numpy().astype(np.int64)
    raise DataError(
        f"{file_name}: the timestamp column {column.name!r} holds no times",
        got=str(column.dtype),
        allowed="ISO 8601 text, numbers since 1970, or dates",
    )


def _from_numbers(column: pl.Series, numbers: pl.Series, file_name: str) -> NDArray[np.int64]:
    values = numbers.to_numpy()
    usable = np.abs(values) < LARGEST  # NaN is not: it compares false
    if not usable.all():
        row = int(np.argmin(usable))
        raise _unreadable(column, row, file_name, repr(str(column[row])))
    _check_no_calendar(column, values, file_name)
    largest = float(np.abs(values).max())
    factor = next(factor for limit, factor in EPOCH_UNITS if largest < limit)
    return np.round(values * factor).astype(np.int64)


def _check_no_calendar(column: pl.Series, values: NDArray[np.float64], file_name: str) -> None:
    """Refuses 20260128, 2026012820 or 20260128203000: as seconds or milliseconds they would all be wrong."""
    for digits in (8, 10, 12, 14):
        head = values // 10.0 ** (digits - 8)
        month, day = head // 100 % 100, head % 100
        dates = (head >= 1900e4) & (head < 2101e4) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
        if dates.all():
            raise DataError(
                f"{file_name}: timestamps without separators could be dates or numbers since 1970",
                got=f"{int(values[0])} in row 1, column {column.name!r}",
                allowed="ISO 8601 with separators (2026-01-05T13:45:00Z)",
                fix="write them with separators",
            )


def _from_text(column: pl.Series, numbers: pl.Series, file_name: str) -> NDArray[np.int64]:
    """Tries one form after the other; the form that reads most rows tells which row is the odd one."""
    text = column.str.replace(r"^(\d{4}.\d\d.\d\d)[Tt]", "${1} ").str.replace(r"[Zz]$", "+00:00")
    best = numbers
    for pattern in ISO_FORMATS:
        parsed = text.str.to_datetime(pattern, time_unit="us", strict=False)
        if parsed.null_count() < best.null_count():
            best = parsed
        if not best.null_count():
            return best.cast(pl.Int64).to_numpy().astype(np.int64)
    row = int(best.is_null().arg_max() or 0)
    raise _unreadable(column, row, file_name, repr(str(column[row])[:40]))


def _unreadable(column: pl.Series, row: int, file_name: str, got: str) -> DataError:
    return DataError(
        f"{file_name}: a timestamp cannot be read",
        got=f"{got} in row {row + 1}, column {column.name!r}",
        allowed="ISO 8601 (2026-01-05T13:45:00Z) or a number since 1970, the same form in every row",
    )
