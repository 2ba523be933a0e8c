"""What is to be known of the rows that a forecast rests on: flags stay for as long as a window is."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.edge.series_rows import grown, slots_for

Ints = NDArray[np.int64]


class RecentFlags:
    """The flags of the last rows of each asset. An asset is its number in the journal.

    Args:
        rows: that a forecast rests on, 1 or more.
    """

    def __init__(self, rows: int) -> None:
        self._ring: NDArray[np.uint8] = np.zeros((0, rows), np.uint8)
        self._next: Ints = np.zeros(0, np.int64)

    def add(self, assets: Ints, flags: Ints, starts_series: NDArray[np.bool_]) -> Ints:
        """One new row of some assets.

        Args:
            assets: numbers, int64 `[n]`, each once.
            flags: bits of `Flag`, int64 `[n]`.
            starts_series: bool `[n]`, whether nothing before the row counts any more.

        Returns:
            int64 `[n]`: the flags of all rows that a forecast behind this one rests on.
        """
        self._reserve(int(assets.max(initial=-1)) + 1)
        self._ring[assets[starts_series]] = 0
        self._ring[assets, self._next[assets]] = flags
        self._next[assets] = (self._next[assets] + 1) % self._ring.shape[1]
        together: Ints = np.bitwise_or.reduce(self._ring[assets], axis=1).astype(np.int64)
        return together

    def restore(self, asset: int, flags: Sequence[int]) -> None:
        """Puts back the flags of an asset's last rows of one series, oldest first."""
        self._reserve(asset + 1)
        rows = self._ring.shape[1]
        last = list(flags)[-rows:]
        self._ring[asset] = 0
        self._ring[asset, : len(last)] = last
        self._next[asset] = len(last) % rows

    def _reserve(self, assets: int) -> None:
        slots = slots_for(assets, len(self._next))
        if slots > len(self._next):
            self._ring, self._next = grown(self._ring, slots), grown(self._next, slots)  # type: ignore[assignment]
