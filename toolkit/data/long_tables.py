"""Tables of one reading a row, as historians export them: tag, time, value and quality, to one column for each tag."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from toolkit.data.row_order import TimedRows
from toolkit.data.row_places import RowPlaces


@dataclass(frozen=True)
class WideRows:
    """One row for each moment of each asset.

    Attributes:
        assets: int64 `[rows]`, rising.
        times_us: int64 `[rows]`, rising within an asset.
        columns: Float64 `[rows, channels]`, null where a tag has no reading at that moment.
        places: of the first reading of each moment.
    """

    assets: NDArray[np.int64]
    times_us: NDArray[np.int64]
    columns: pl.DataFrame
    places: RowPlaces


def series_of(assets: NDArray[np.int64], tags: NDArray[np.int64], tag_count: int) -> NDArray[np.int64]:
    """A number for each tag of each asset: its readings must rise in time, while others may stand between them."""
    return assets * tag_count + tags


def pivoted(readings: TimedRows, tag_names: tuple[str, ...]) -> WideRows:
    """Puts the readings of one moment into one row.

    Args:
        readings: one for each moment of each series of `series_of`; one column.
        tag_names: the channels, in the order of their numbers.
    """
    assets, tags = np.divmod(readings.series, len(tag_names))
    order = np.lexsort((readings.places.numbers, readings.places.file_of, readings.times_us, assets))
    sorted_assets, sorted_times = assets[order], readings.times_us[order]
    new = np.append(True, (np.diff(sorted_assets) != 0) | (np.diff(sorted_times) != 0))
    row = np.cumsum(new) - 1
    values = np.full((int(new.sum()), len(tag_names)), np.nan)
    values[row, tags[order]] = readings.columns.to_series().fill_null(float("nan")).to_numpy()[order]
    columns = pl.DataFrame({name: values[:, place] for place, name in enumerate(tag_names)}).fill_nan(None)
    firsts = order[new]
    return WideRows(assets[firsts], readings.times_us[firsts], columns, readings.places.taken(firsts))
