"""What each column of a sample is: a channel, a machine's name, a label, a tag and its value, or nothing to learn from.

Names count, and so do the cells; where neither tells, a column stays a channel or is left out in plain sight.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from toolkit.errors import DataError
from toolkit.guessing.text import EMPTY_WORDS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ASSET_NAME = re.compile(
    r"asset|machine|unit|pump|device|station|engine|equipment|plant|turbine|node|serial|aggregat|maschine|anlage|"
    r"(^|_| )(id|line)$",
    re.IGNORECASE,
)
LABEL_NAME = re.compile(
    r"anomal|fault|label|change_?point|alarm|failure|attack|outlier|class|defect|event|störung", re.IGNORECASE
)
TAG_NAME = re.compile(
    r"tag|point|signal|variable|sensor|channel|parameter|measurement|item|messstelle|^name$", re.IGNORECASE
)
VALUE_NAME = re.compile(r"^(value|val|reading|wert|messwert|v|pv)([ _.\[(].*)?$|value$", re.IGNORECASE)
QUALITY_NAME = re.compile(r"quality|^q$|^qc$|status|qual|qualität|^state$|good", re.IGNORECASE)
GOOD_WORDS = frozenset({"good", "ok", "192", "0x000000c0", "valid", "true", "gut"})
SENTINELS = (
    -99,
    -99.9,
    -200,
    -999,
    -999.9,
    -9999,
    -9999.9,
    -99999,
    999,
    999.9,
    9999,
    99999,
    999999,
    -32768,
    32767,
    65535,
)
"""What loggers are known to write for no reading; taken as such only where all other readings lie far away."""
MOST_MISSING = 0.5
FEW_VALUES = 10
MOSTLY = 0.95
"""Of a machine's rows: some stand twice or out of place, and it is a machine all the same."""


@dataclass(frozen=True)
class LongForm:
    """The columns of a table that holds one reading a row.

    Attributes:
        tag: which channel it is of.
        value: the reading.
        quality: how good it is, or None.
        good: what stands there for a good one; empty where nobody can tell.
        reason: why it was taken for one.
    """

    tag: str
    value: str
    quality: str | None
    good: tuple[str, ...]
    reason: str


def numbers_of(column: pl.Series, decimal: str) -> tuple[Floats, str | None]:
    """A column as float64, NaN where a cell is empty, and the first cell that is text, None where none is."""
    if column.dtype == pl.String:
        column = column.replace(sorted(EMPTY_WORDS), None)
        column = column.str.replace(",", ".", literal=True) if decimal == "," else column
    elif not (column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null)):
        column = column.cast(pl.String)
    numbers = column.cast(pl.Float64, strict=False)
    broken = numbers.is_null() & column.is_not_null()
    text = str(column.filter(broken)[0]) if broken.any() else None
    return numbers.fill_null(float("nan")).to_numpy().astype(np.float64), text


def is_text(column: pl.Series, decimal: str) -> bool:
    """Whether most cells are no numbers."""
    numbers, text = numbers_of(column, decimal)
    return text is not None and bool(np.isfinite(numbers).sum() < 0.5 * column.drop_nulls().len())


def is_label(name: str, column: pl.Series) -> bool:
    """Named like an alarm or a fault, with few distinct values."""
    return LABEL_NAME.search(name) is not None and column.drop_nulls().n_unique() <= 2 * FEW_VALUES


def is_counter(values: Floats) -> bool:
    """Whether a column numbers the rows: a model would learn from it which row it is in."""
    steps = np.diff(values)
    return bool(steps.size > 10 and (steps == 1).mean() > 0.99)


def is_discrete(values: Floats) -> bool:
    """A switch or a mode: a few whole numbers. Something to learn from, and nothing to forecast as a number."""
    present = values[np.isfinite(values)]
    return bool(present.size > 20 and (present % 1 == 0).all() and np.unique(present).size <= FEW_VALUES)


def find_long_form(frame: pl.DataFrame, names: Sequence[str], decimal: str) -> LongForm | None:
    """Tells one reading a row from a table of one machine a row, by names, and by how unlike the groups are."""
    text = [name for name in names if is_text(frame[name], decimal)]
    quality = next(
        (n for n in names if QUALITY_NAME.search(n) and frame[n].n_unique() <= 20 and not TAG_NAME.search(n)), None
    )
    numbers = [name for name in names if name not in text and name != quality]
    tags = [name for name in text if name != quality and 2 <= frame[name].n_unique() <= frame.height / 2]
    tag = next((name for name in tags if TAG_NAME.search(name) and not ASSET_NAME.search(name)), None)
    value = next((name for name in numbers if VALUE_NAME.search(name)), None)
    if value is None and len(numbers) == 1:
        value = numbers[0]
    if tag is None and len(tags) == 1 and not ASSET_NAME.search(tags[0]):
        tag = tags[0]
    if tag is None or value is None or len([n for n in numbers if not ASSET_NAME.search(n)]) > 1:
        return None
    named = TAG_NAME.search(tag) is not None or VALUE_NAME.search(value) is not None
    if not named and not _groups_differ(frame[tag], numbers_of(frame[value], decimal)[0]):
        return None
    why = f"{tag!r} names {frame[tag].n_unique()} channels, {value!r} is the only reading in a row"
    return LongForm(tag, value, quality, _good(frame, quality), why)


def _groups_differ(groups: pl.Series, values: Floats) -> bool:
    """Whether medians differ much more than the readings of one group do: other quantities, not other machines."""
    frame = pl.DataFrame({"group": groups, "value": values}).filter(pl.col("value").is_finite()).group_by("group")
    found = frame.agg(pl.col("value").median().alias("middle"), pl.col("value").std().alias("spread"))
    middles, spread = found["middle"].to_numpy(), found["spread"].drop_nulls().to_numpy()
    return bool(spread.size and np.ptp(middles) > 10 * np.median(spread))


def _good(frame: pl.DataFrame, quality: str | None) -> tuple[str, ...]:
    found = frame[quality].drop_nulls().cast(pl.String).unique(maintain_order=True).to_list() if quality else []
    return tuple(sorted(word for word in found if word.lower() in GOOD_WORDS))


def find_asset(frame: pl.DataFrame, names: Sequence[str], times_us: Ints | None) -> tuple[str, str] | None:
    """The column that tells machines apart, and why."""
    for name in sorted(names, key=lambda name: ASSET_NAME.search(name) is None):
        column = frame[name]
        count = column.n_unique()
        if (
            column.null_count()
            or column.dtype.is_float()
            or is_label(name, column)
            or count > max(frame.height // 4, 1)
        ):
            continue
        if not _is_a_name(column):
            continue
        rising = 1.0 if times_us is None else _share_rising_within(column, times_us)
        if ASSET_NAME.search(name) and rising > MOSTLY:
            return name, f"named like a machine, {count} distinct, time rises within each"
        if not ASSET_NAME.search(name) and times_us is not None and rising == 1 and (np.diff(times_us) <= 0).any():
            return name, f"time rises within each of its {count} values, and not over the whole file"
    return None


def _is_a_name(column: pl.Series) -> bool:
    """Text, or whole numbers."""
    numbers, text = numbers_of(column, ".")
    return text is not None or bool((numbers % 1 == 0).all())


def _share_rising_within(column: pl.Series, times_us: Ints) -> float:
    """Of the steps within a group those that go the groups' way, on or back; a row may stand twice."""
    codes = column.cast(pl.String).rank("dense").to_numpy()
    order = np.argsort(codes, kind="stable")
    steps = np.diff(times_us[order])[np.diff(codes[order]) == 0]
    return float(max((steps > 0).mean(), (steps < 0).mean())) if steps.size else 1.0


def find_sentinels(values: Floats) -> dict[float, list[int]]:
    """Numbers that stand for no reading, with the columns that show it."""
    found: dict[float, list[int]] = {}
    for column in range(values.shape[1]):
        present = values[:, column][np.isfinite(values[:, column])]
        for candidate in SENTINELS:
            rest = present[~np.isin(present, SENTINELS)]
            if (present == candidate).sum() >= 2 and rest.size > 1 and _far_from(candidate, rest):
                found.setdefault(float(candidate), []).append(column)
    return found


def readings_too(values: Floats, candidates: Sequence[float]) -> dict[float, list[int]]:
    """Those of the candidates that lie in the middle of another column's readings, with these columns."""
    found: dict[float, list[int]] = {}
    for column, candidate in itertools.product(range(values.shape[1]), candidates):
        present = values[:, column][np.isfinite(values[:, column])]
        rest = present[~np.isin(present, SENTINELS)]
        if (present == candidate).any() and rest.size and rest.min() <= candidate <= rest.max():
            found.setdefault(candidate, []).append(column)
    return found


def _far_from(candidate: float, rest: Floats) -> bool:
    """Outside the other readings by more than half of their span."""
    low, high = float(rest.min()), float(rest.max())
    return max(low - candidate, candidate - high) > 0.5 * max(high - low, 1e-9)


def check_numbers(frame: pl.DataFrame, names: Sequence[str], decimal: str, file_name: str) -> Floats:
    """The channels as float64 `[rows, channels]`.

    Raises:
        DataError: text among a channel's numbers.
    """
    columns = []
    for name in names:
        values, text = numbers_of(frame[name], decimal)
        if text is not None:
            raise DataError(
                f"{file_name}: text in the numeric column {name!r}",
                got=repr(text[:40]),
                allowed="numbers",
                fix=f"correct it, or leave the column out with --exclude {name}",
            )
        columns.append(values)
    return np.column_stack(columns) if columns else np.empty((frame.height, 0))


def pivot(times_us: Ints, assets: Ints, tags: pl.Series, values: Floats) -> tuple[Ints, Ints, list[str], Floats]:
    """One row for each moment of each asset, one column for each tag; of two readings of one moment the first."""
    names = sorted(tags.unique().to_list())
    codes = tags.replace_strict({name: code for code, name in enumerate(names)}, return_dtype=pl.Int64).to_numpy()
    rows, places = np.unique(np.stack([assets, times_us], axis=1), axis=0, return_inverse=True)
    wide = np.full((len(rows), len(names)), np.nan)
    backwards = slice(None, None, -1)  # so that the first of several is written last
    wide[places.ravel()[backwards], codes[backwards]] = values[backwards]
    return rows[:, 1].astype(np.int64), rows[:, 0].astype(np.int64), names, wide
