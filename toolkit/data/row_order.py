"""Rows into rising order of time, and what becomes of two rows of one moment."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from toolkit.data.config import DataConfig
from toolkit.data.row_places import RowPlaces
from toolkit.errors import DataError


@dataclass(frozen=True)
class TimedRows:
    """Readings with what orders them.

    Attributes:
        series: rows of one number must rise in time: those of a machine, or of one tag of it, int64 `[rows]`.
        times_us: int64 `[rows]`.
        columns: Float64 `[rows, columns]`.
        places: where the rows stood.
    """

    series: NDArray[np.int64]
    times_us: NDArray[np.int64]
    columns: pl.DataFrame
    places: RowPlaces

    def taken(self, rows: NDArray[np.integer]) -> "TimedRows":
        """These rows, in this order."""
        return TimedRows(self.series[rows], self.times_us[rows], self.columns[rows], self.places.taken(rows))


def in_order(rows: TimedRows, config: DataConfig, names: str, of_series: Callable[[int], str]) -> TimedRows:
    """Rows of one series together, in rising time order, one for each moment.

    Args:
        rows: in the order of the files.
        config: says whether rows may be sorted, and what two rows of one moment are.
        names: what messages call the files.
        of_series: a series in words, or "".

    Raises:
        DataError: times that do not rise, or that stand twice, where the settings do not say what to do.
    """
    # Stable: rows of one series keep the file's order, so that times which do not rise are still seen.
    order = np.lexsort((rows.times_us, rows.series)) if config.sort else np.argsort(rows.series, kind="stable")
    if (np.diff(order) != 1).any():
        rows = rows.taken(order)
    same_series, steps = np.diff(rows.series) == 0, np.diff(rows.times_us)
    wrong = same_series & ((steps < 0) | ((steps == 0) & (config.duplicates == "error")))
    if wrong.any():
        raise _not_rising(rows, int(np.argmax(wrong)) + 1, names, of_series)
    again = same_series & (steps == 0)
    return _one_for_each_moment(rows, again, config) if again.any() else rows


def _not_rising(rows: TimedRows, at: int, names: str, of_series: Callable[[int], str]) -> DataError:
    same = rows.times_us[at] == rows.times_us[at - 1]
    moment = str(np.datetime64(int(rows.times_us[at]), "us"))
    setting = "--set data.duplicates=first, =last or =mean" if same else "--set data.sort=true"
    return DataError(
        f"{names}: {'duplicate timestamps' if same else 'timestamps that do not rise'}"
        f"{of_series(int(rows.series[at]))}",
        got=f"{moment} in {rows.places.row(at)} {'again' if same else 'after a later one'}",
        allowed="rising times within each asset",
        fix=f"name the asset column with --asset if there are several machines, else clean the file or add {setting}",
    )


def _one_for_each_moment(rows: TimedRows, again: NDArray[np.bool_], config: DataConfig) -> TimedRows:
    firsts = np.flatnonzero(np.append(True, np.logical_not(again)))
    if config.duplicates == "last":
        return rows.taken(np.append(firsts[1:], len(rows.times_us)) - 1)
    kept = rows.taken(firsts)
    if config.duplicates == "first":
        return kept
    moments = pl.Series("\x00moment", np.cumsum(np.append(False, np.logical_not(again))))
    means = rows.columns.fill_nan(None).with_columns(moments).group_by(moments.name, maintain_order=True).mean()
    return TimedRows(kept.series, kept.times_us, means.drop(moments.name), kept.places)
