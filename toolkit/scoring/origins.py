"""Windows that end at rows of a table: what a forecast is made from, and when."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.signal.windows import window_starts

Whole = NDArray[np.int64]
Readings = NDArray[np.float32]


@dataclass(frozen=True)
class Origins:
    """Windows of rows.

    Attributes:
        rows: readings, float32 `[rows, channels]`.
        starts: the first row of each window, int64 `[windows]`.
        times_us: the time of the last row of each, int64 `[windows]`.
        assets: the number of the asset of each, int64 `[windows]`.
    """

    rows: Readings
    starts: Whole
    times_us: Whole
    assets: Whole

    def part(self, first: int, last: int) -> "Origins":
        """The windows from `first` to before `last`."""
        chosen = slice(first, last)
        return Origins(self.rows, self.starts[chosen], self.times_us[chosen], self.assets[chosen])


def ends_of_windows(segments: Whole, window: int) -> Whole:
    """The last row of every window within one unbroken series; a forecast needs no row behind it."""
    everywhere = np.zeros(segments.size, np.int64)
    return window_starts(segments, everywhere, 0, window_length=window - 1, horizon=1) + window - 1


def segment_firsts(segments: Whole) -> Whole:
    """For each row the first row of its unbroken series, int64 `[rows]`."""
    first = np.append(True, np.diff(segments) != 0)[: segments.size]
    return np.maximum.accumulate(np.where(first, np.arange(segments.size), 0))


def newest(origins: Iterable[Origins], window: int) -> Iterator[Origins]:
    """The last window of each asset, all at the end, in the order in which the assets appeared."""
    found: dict[int, tuple[Readings, int]] = {}
    for each in origins:
        assets, from_end = np.unique(each.assets[::-1], return_index=True)
        for asset, place in zip(assets.tolist(), (each.assets.size - 1 - from_end).tolist(), strict=True):
            start = int(each.starts[place])
            found[asset] = each.rows[start : start + window].copy(), int(each.times_us[place])
    if found:
        order = sorted(found)
        rows = np.concatenate([found[asset][0] for asset in order])
        times = np.array([found[asset][1] for asset in order])
        yield Origins(rows, np.arange(len(order)) * window, times, np.array(order))
