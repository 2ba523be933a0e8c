"""The last rows of each asset's unbroken series, of which windows are made."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Ints = NDArray[np.int64]

FIRST_SLOTS = 64


def slots_for(assets: int, slots: int) -> int:
    """How many slots to have where an asset needs the last of `assets`: twice as many as before at least."""
    return slots if assets <= slots else max(assets, 2 * slots, FIRST_SLOTS)


def grown(array: NDArray[np.generic], slots: int) -> NDArray[np.generic]:
    """The array with more slots along its first axis, zeros in the new ones."""
    larger = np.zeros((slots, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


class SeriesRows:
    """A ring of rows for each asset.

    Args:
        kept: rows that are kept of a series; 0 keeps none, and counts alone.
        channels: of a row.
    """

    def __init__(self, kept: int, channels: int) -> None:
        self._kept = kept
        self._rows: Array = np.zeros((0, kept, channels), np.float32)
        self._counts: Ints = np.zeros(0, np.int64)

    def reserve(self, assets: int) -> None:
        """Makes room for assets of numbers below that."""
        slots = slots_for(assets, len(self._counts))
        if slots > len(self._counts):
            self._rows, self._counts = grown(self._rows, slots), grown(self._counts, slots)  # type: ignore[assignment]

    def counts(self, assets: Ints) -> Ints:
        """Rows of each asset's series so far; after `put` those that were put."""
        return self._counts[assets]

    def windows(self, assets: Ints, rows: Array, length: int) -> Array:
        """The last `length - 1` rows that are kept, and a new one behind them.

        Args:
            assets: numbers, `[n]`, each of a series of `length - 1` rows or more.
            rows: float32 `[n, channels]`.
            length: at most one more than is kept.

        Returns:
            float32 `[n, length, channels]`.
        """
        channels = self._rows.shape[2]
        whole = np.empty((len(assets), length, channels), np.float32)
        if length > 1:
            ring = (self._counts[assets, None] + np.arange(1 - length, 0)) % self._kept  # [n, length - 1]
            flat = self._rows.reshape(-1, channels)
            whole[:, :-1] = flat[assets[:, None] * self._kept + ring]
        whole[:, -1] = rows
        return whole

    def append(self, assets: Ints, rows: Array) -> None:
        """A new row of each asset.

        Args:
            assets: numbers, `[n]`, each once.
            rows: float32 `[n, channels]`.
        """
        if self._kept:
            self._rows[assets, self._counts[assets] % self._kept] = rows
        self._counts[assets] += 1

    def put(self, asset: int, rows: Array) -> None:
        """Has an asset's series consist of these rows, oldest first, float32 `[count, channels]`."""
        last = rows[len(rows) - min(len(rows), self._kept) :]
        self._rows[asset, : len(last)] = last
        self._counts[asset] = len(last) if self._kept else len(rows)

    def clear(self, assets: Ints) -> None:
        """Ends the series of these: the next row of each is its first."""
        self._counts[assets] = 0
