"""Which columns hold the time, and how it is written.

A form of writing is accepted only where it reads every cell of the sample and of the file's end. Where two forms do
(3/4/2026: April or March), the file decides by a day above 12 or by even steps, or else nobody does: the caller is
told both.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from toolkit.errors import DataError
from toolkit.guessing.text import TIME_NAME

ISO = ("%Y-%m-%d", "%Y/%m/%d")
_DATES = (
    *ISO, "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%m.%d.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y.%m.%d",
    "%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%m-%y", "%m-%d-%y", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%b %d %Y",
    "%b %d, %Y", "%d %B %Y",
)  # fmt: skip
_CLOCKS = (
    "%H:%M:%S", "%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%H.%M.%S", "%H.%M", "%H:%M:%S%.f%z", "%H:%M%z",
)  # fmt: skip
_ISO_CLOCKS = ("%H:%M:%S", "%H:%M:%S%.f", "%H:%M", "%H:%M:%S%.f%z", "%H:%M%z")
_CLOCK = re.compile(r"\d{1,2}[:.]\d{2}([:.]\d{2}([.,]\d+)?)?( ?[AaPp][Mm])?")
_UNITS = {"seconds": 1e6, "milliseconds": 1e3, "microseconds": 1.0, "nanoseconds": 1e-3}
_FIRST_S, _LAST_S = 8e8, 4.1e9  # 1995 to 2099: a counter or a sensor is seldom there
_CALENDAR = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class TimeGuess:
    """How the time of a table is written.

    Attributes:
        columns: one, or a date and a time of day; none where the file has no time.
        times_us: microseconds since 1970 of the sample's rows, as they stand (UTC where a zone is written).
        format: for strptime, or None where times are ISO 8601, numbers since 1970 or Parquet's own.
        other_format: a second form that reads every cell as well, and nothing in the file speaks against it.
        reason: why, in words.
        zoned: whether the cells name their zone, or count from 1970.
        rank: 0 for a date in so many words, 1 for a number since 1970, 2 for any other number that rises.
    """

    columns: tuple[str, ...]
    times_us: NDArray[np.int64]
    format: str | None
    reason: str
    other_format: str | None = None
    zoned: bool = False
    rank: int = 0


def guess_time(
    frame: pl.DataFrame, tail: pl.DataFrame, columns: Sequence[str] = (), format_given: str | None = None
) -> TimeGuess | None:
    """Finds the time column, or reads those that are named.

    Args:
        frame: the sample.
        tail: the file's last rows, as text; may be empty.
        columns: the columns to take; empty to look for them.
        format_given: the form to read them by; None to find it.

    Raises:
        DataError: the named columns or the given form hold no times.
    """
    if columns or format_given:
        found = _read(frame, tail, tuple(columns) or tuple(_candidates(frame)[:1]), format_given)
        if found is None:
            got = repr(" ".join(str(frame[name].drop_nulls()[0]) for name in columns)[:60]) if columns else "no time"
            allowed = "ISO 8601, numbers since 1970, or what --timestamp-format says"
            raise DataError(f"no times in {' '.join(columns) or 'the file'}", got=got, allowed=allowed)
        return found
    names = _candidates(frame)
    single = [guess for name in names if (guess := _read(frame, tail, (name,), None))]
    pair = next(
        (guess for first, second in _pairs(frame, names) if (guess := _read(frame, tail, (first, second), None))), None
    )
    dates_only = [guess for guess in single if guess.format is None or "%H" in guess.format or "%I" in guess.format]
    if pair and not [guess for guess in dates_only if _has_clock(guess.times_us)]:
        return pair
    return min(dates_only or single, key=lambda guess: guess.rank, default=None)


def unread_time(frame: pl.DataFrame, excluded: Sequence[str]) -> str | None:
    """A column of text that is named like a time, for a table in which no time was found; and what stands in it."""
    for name in frame.columns:
        column = frame[name]
        if name in excluded or column.dtype != pl.String or not TIME_NAME.search(name):
            continue
        if column.drop_nulls().cast(pl.Float64, strict=False).null_count():
            odd = "an empty cell" if column.null_count() else repr(str(column[0])[:40])
            return f"{odd} in the column {name!r}"
    return None


def _has_clock(times_us: NDArray[np.int64]) -> bool:
    return bool((times_us % (24 * HOUR_US)).any())


def _candidates(frame: pl.DataFrame) -> list[str]:
    """Typed times first, then columns named like a time, then every other text column and long number."""
    typed = [name for name in frame.columns if frame[name].dtype in (pl.Datetime, pl.Date)]
    named = [name for name in frame.columns if TIME_NAME.search(name) and frame[name].null_count() == 0]
    return list(dict.fromkeys([*typed, *named, *(n for n in frame.columns if frame[n].null_count() == 0)]))


def _pairs(frame: pl.DataFrame, names: Sequence[str]) -> list[tuple[str, str]]:
    """Columns of dates with columns of times of day."""
    clocks = [n for n in names if frame[n].dtype == pl.String and all(map(_CLOCK.fullmatch, frame[n].head(200)))]
    return [(date, clock) for clock in clocks for date in names if date != clock and frame[date].dtype == pl.String]


def _read(frame: pl.DataFrame, tail: pl.DataFrame, columns: tuple[str, ...], form: str | None) -> TimeGuess | None:
    column = frame[columns[0]]
    if column.dtype in (pl.Datetime, pl.Date):
        times = column.cast(pl.Datetime("us")).cast(pl.Int64).fill_null(0).to_numpy()
        zoned = isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None
        return TimeGuess(columns, times, None, "the file's own type", zoned=zoned)
    joined = _joined(frame, columns)
    if joined is None:
        return None
    numbers = joined.cast(pl.Float64, strict=False)
    if form is None and len(columns) == 1 and not numbers.null_count():
        return _from_numbers(columns, numbers.to_numpy())
    if column.dtype != pl.String and form is None:
        return None
    end = _joined(tail, columns) if tail.height else None
    return _from_text(columns, joined, end, form)


def _joined(frame: pl.DataFrame, columns: tuple[str, ...]) -> pl.Series | None:
    """The cells as one text column; None where one is empty."""
    text = frame.select(pl.concat_str([pl.col(name).cast(pl.String) for name in columns], separator=" ").alias("t"))[
        "t"
    ]
    return None if text.null_count() else text


def _from_numbers(columns: tuple[str, ...], values: NDArray[np.float64]) -> TimeGuess | None:
    rising = bool((np.diff(values) >= 0).mean() > 0.5) if values.size > 1 else False
    if not (np.isfinite(values).all() and rising):
        return None
    calendar = _from_calendar(columns, values)
    if calendar is not None:
        return calendar
    for name, factor in _UNITS.items():
        if (values * factor / 1e6 > _FIRST_S).all() and (values * factor / 1e6 < _LAST_S).all():
            reason = f"{name} since 1970, from {np.datetime64(int(values[0] * factor), 'us').astype('M8[s]')}"
            return TimeGuess(columns, np.round(values * factor).astype(np.int64), None, reason, zoned=True, rank=1)
    if not TIME_NAME.search(columns[0]) or np.abs(values).max() > 1e9:
        return None
    if values.min() > 25_569 and values.max() < 80_000 and (np.diff(values) <= 1).all():
        day = f"{values[0]:g}"
        raise DataError(
            f"the times in {columns[0]!r} look like Excel's day numbers", got=day, fix="write them as dates"
        )
    reason = "numbers that rise, named like a time: read as seconds; if they are not, change the times, not this"
    return TimeGuess(columns, np.round(values * 1e6).astype(np.int64), None, reason, zoned=True, rank=2)


def _from_calendar(columns: tuple[str, ...], values: NDArray[np.float64]) -> TimeGuess | None:
    """Reads 20260128 and 20260128203000, which as numbers since 1970 would all be wrong."""
    digits = len(str(int(values[0]))) if (values % 1 == 0).all() else 0
    if digits not in _CALENDAR:
        return None
    times = _parsed(pl.Series(values.astype(np.int64)).cast(pl.String), _CALENDAR[digits])
    if times is None:
        return None
    return TimeGuess(columns, times, _CALENDAR[digits], f"dates without separators, such as {int(values[0])}")


def _from_text(columns: tuple[str, ...], text: pl.Series, end: pl.Series | None, form: str | None) -> TimeGuess | None:
    forms = [form] if form is not None else _forms(text)
    read = {form: times for form in forms if (times := _parsed(text, form)) is not None}
    if end is not None:
        read = {form: times for form, times in read.items() if _parsed(end, form) is not None} or read
    if not read:
        return None
    first, *others = read
    guess = TimeGuess(columns, read[first], first, f"reads every cell, such as {text[0]!r}", zoned="%z" in first)
    if form is not None:
        return replace(guess, reason="as given")
    other = next((form for form in others if not _same(read[first], read[form])), None)
    if other is not None:
        return _decided(guess, other, read[other], text)
    if _needs_no_format(first, columns):
        return replace(guess, format=None, reason=f"ISO 8601, such as {text[0]!r}")
    if _order_was_open(first):
        return replace(guess, reason=f"{guess.reason}; the other order of day and month would give a month above 12")
    return guess


def _same(first: NDArray[np.int64], second: NDArray[np.int64]) -> bool:
    return bool((first == second).all())


def _order_was_open(form: str) -> bool:
    return "%b" not in form and "%B" not in form and not form.startswith("%Y")


def _needs_no_format(form: str, columns: tuple[str, ...]) -> bool:
    date, _, clock = form.replace("T", " ").partition(" ")
    return len(columns) == 1 and date in ISO and clock in {*_ISO_CLOCKS, ""}


def _decided(guess: TimeGuess, other: str, other_times: NDArray[np.int64], text: pl.Series) -> TimeGuess:
    """Of two orders of day and month the one with much more even steps, or neither."""
    roughness = {guess.format: _longest_step(guess.times_us), other: _longest_step(other_times)}
    smooth = min(roughness, key=lambda form: roughness[form])
    rough = guess.format if smooth == other else other
    if roughness[rough] > 5 * roughness[smooth] and roughness[rough] > 20 * 24 * HOUR_US:
        days = roughness[rough] // (24 * HOUR_US)
        times = guess.times_us if smooth == guess.format else other_times
        reason = f"reads every cell in even steps; {rough} would jump by {days} days"
        return replace(guess, format=smooth, times_us=times, reason=reason)
    reason = f"{text[0]!r} can be read both ways: no day above 12, no step that only one of them explains"
    return replace(guess, other_format=other, reason=reason)


def _longest_step(times_us: NDArray[np.int64]) -> int:
    """Either way; several assets one below the other jump back, in both readings alike."""
    return int(np.abs(np.diff(times_us)).max(initial=0))


def _forms(text: pl.Series) -> list[str]:
    """The forms that read the first cells."""
    head = text.head(50)
    mark = "T" if re.match(r"\d{4}.\d\d.\d\d[Tt]", str(text[0])) else " "
    both = [f"{date}{mark}{clock}" for date in _DATES for clock in _CLOCKS] if ":" in text[0] or " " in text[0] else []
    both += [f"{date}{mark}{clock}" for date in _DATES for clock in _CLOCKS if "." in text[0]] if not both else []
    return [form for form in [*both, *_DATES] if _parsed(head, form) is not None]


def _parsed(text: pl.Series, form: str) -> NDArray[np.int64] | None:
    """Microseconds since 1970 where the form reads every cell as a time after 1970; None otherwise."""
    if form.endswith("%z"):
        text = text.str.replace(r"[Zz]$", "+00:00")
    try:
        times = text.str.to_datetime(form, time_unit="us", strict=False)
    except pl.exceptions.PolarsError:
        return None
    if times.null_count():
        return None
    numbers = times.cast(pl.Int64).to_numpy().astype(np.int64)
    return numbers if numbers.min(initial=0) >= 0 else None


def skipped_hour(times_us: NDArray[np.int64], interval_us: float) -> str | None:
    """How naive local times show that clocks were changed, in words; None where they do not.

    Args:
        times_us: of one asset, in the file's order.
        interval_us: the usual step.
    """
    steps = np.diff(times_us)
    for step, word in ((interval_us - HOUR_US, "an hour stands twice"), (interval_us + HOUR_US, "an hour is missing")):
        for place in np.flatnonzero(np.abs(steps - step) < 1e6):
            if 0 < interval_us <= HOUR_US and _on_a_night_of_change(int(times_us[place])):
                return f"{word} at {np.datetime64(int(times_us[place]), 'us').astype('M8[m]')}"
    return None


def _on_a_night_of_change(time_us: int) -> bool:
    """Sunday before 4 in March, October or November: when Europe and America change their clocks."""
    moment = np.datetime64(time_us, "us")
    month = int(str(moment)[5:7])
    weekday = (int(moment.astype("M8[D]").astype(int)) + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    return month in {3, 10, 11} and (time_us // HOUR_US) % 24 < 4 and weekday == 6
