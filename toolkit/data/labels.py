"""The column that a classifier learns: text or whole numbers, one class for each row, or none where it is empty."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from toolkit.data.row_places import RowPlaces
from toolkit.errors import DataError

MISSING = -1
EMPTY = ("", "NA", "N/A", "n/a", "null", "NULL", "None", "-", "nan", "NaN", "NAN")
LARGEST_WHOLE = 2.0**53
MOST_CLASSES = 1000
"""Distinct values beyond which a column is a measurement and no label."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """What each row is called.

    Attributes:
        column: where it stands in the file.
        names: the distinct values, sorted: whole numbers by size, text by its letters.
        codes: for each row the place of its value in `names`, `MISSING` where it has none, int64 `[rows]`.
        places: where each row stands in the files, for messages.
    """

    column: str
    names: tuple[str, ...]
    codes: Ints
    places: RowPlaces

    def of_rows(self, rows: Ints) -> "Labels":
        """The labels of these rows; for a row of `MISSING` there is none."""
        codes = np.where(rows == MISSING, MISSING, self.codes[rows])
        return replace(self, codes=codes, places=self.places.taken(rows))


def read_labels(column: pl.Series, places: RowPlaces, file_name: str) -> Labels:
    """Reads a column of text as it came from the files.

    Raises:
        DataError: it holds numbers that are not whole, far too many values, or none at all.
    """
    texts = column.cast(pl.String).str.strip_chars().replace(list(EMPTY), None)
    distinct = [text for text in texts.unique().to_list() if text is not None]
    names = _classes(distinct, column.name, file_name)
    if not names or len(set(names.values())) > MOST_CLASSES:
        raise DataError(
            f"{file_name}: the label {column.name!r} tells no classes apart",
            got=f"{len(set(names.values()))} distinct values",
            allowed=f"1 to {MOST_CLASSES}",
            fix="name a column of classes with data.label",
        )
    ordered = sorted(set(names.values()), key=_order)
    codes = {text: ordered.index(name) for text, name in names.items()}
    known = texts.replace_strict(codes, default=MISSING, return_dtype=pl.Int64).fill_null(MISSING)
    return Labels(column.name, tuple(ordered), known.to_numpy().astype(np.int64), places)


def _classes(distinct: Sequence[str], column: str, file_name: str) -> dict[str, str]:
    """Each value's class: `1`, `1.0` and `01` are the same whole number, where all are numbers."""
    numbers = [_number(text) for text in distinct]
    if any(number is None for number in numbers):
        return {text: text for text in distinct}
    for text, number in zip(distinct, numbers, strict=True):
        if number is None or not number.is_integer() or abs(number) > LARGEST_WHOLE:
            fix = "name another column with data.label, or turn it into classes first"
            what = f"{file_name}: the label {column!r} is a measurement"
            raise DataError(what, got=text, allowed="text, or whole numbers", fix=fix)
    return {text: str(int(number or 0.0)) for text, number in zip(distinct, numbers, strict=True)}


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _order(name: str) -> tuple[int, int, str]:
    return (0, int(name), "") if name.lstrip("-").isdecimal() and name.isascii() else (1, 0, name)


def placed(labels: Labels, assets: Ints, times_us: Ints, rows: tuple[Ints, Ints], reach_us: tuple[int, int]) -> Labels:
    """For each row of a finished table the last label of its asset within reach of its time.

    Rows that a gap policy made up have none: nobody said what they are.

    Args:
        labels: as they stand in the file.
        assets: of the file's rows, all rows of one asset together.
        times_us: of the file's rows, rising within an asset.
        rows: assets and times of the table's rows, ordered likewise.
        reach_us: how long before a row's time, and up to how long after it, a label may stand.
    """
    early, late = reach_us
    known = labels.codes != MISSING
    places = np.full(rows[0].size, MISSING, np.int64)
    for asset in np.unique(rows[0]):
        own = np.flatnonzero((assets == asset) & known)
        wanted = rows[0] == asset
        last = np.searchsorted(times_us[own], rows[1][wanted] + late, side="left") - 1
        if own.size:
            near = (last >= 0) & (times_us[own][last] >= rows[1][wanted] - early)
            places[wanted] = np.where(near, own[last], MISSING)
    return labels.of_rows(places)


def classes_of(labels: Labels, train: NDArray[np.bool_], file_name: str) -> tuple[str, ...]:
    """The classes that stand in the training rows.

    Raises:
        DataError: fewer than two.
    """
    found = np.unique(labels.codes[train & (labels.codes != MISSING)])
    names = tuple(labels.names[code] for code in found)
    if len(names) < 2:
        raise DataError(
            f"{file_name}: the label {labels.column!r} has one class in the training rows",
            got=", ".join(names) or "none at all",
            allowed="two or more",
            fix="give more rows, or cut them otherwise with data.split or data.borders",
        )
    return names


def class_codes(labels: Labels, class_names: Sequence[str], used: NDArray[np.bool_], file_name: str) -> Ints:
    """For each row the place of its class in `class_names`, `MISSING` where it has none.

    Raises:
        DataError: a row that is used has a value that is no class.
    """
    places = {name: place for place, name in enumerate(class_names)}
    by_code = np.array([*(places.get(name, MISSING) for name in labels.names), MISSING])
    codes: Ints = by_code[labels.codes]  # the last one is for MISSING
    unknown = np.flatnonzero(used & (codes == MISSING) & (labels.codes != MISSING))
    if unknown.size:
        row = int(unknown[0])
        raise DataError(
            f"{file_name}: a class that was not learned",
            got=f"{labels.names[labels.codes[row]]!r} in {labels.places.row(row)}, column {labels.column!r}",
            allowed=", ".join(class_names),
            fix="empty that cell, or cut the rows otherwise with data.split or data.borders, so that training sees it",
        )
    return codes
