"""Readings of a table that a model was not trained on, in the order of its signal."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.signals import SignalSpec
from toolkit.data.tables import read_channels
from toolkit.errors import DataError

STRETCHES, STRETCH_WINDOWS = 4, 8

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Readings:
    """Raw readings of a table in a signal's order.

    Attributes:
        values: float32 `[rows, channels]`, assets one after another.
        segments: number of each row's unbroken series, int64 `[rows]`.
    """

    values: Floats
    segments: NDArray[np.int64]

    def stretches(self, window_length: int) -> Floats:
        """Unbroken pieces of up to eight windows, `[stretches, samples, channels]`, spread over the table.

        Raises:
            DataError: no unbroken series is as long as a window.
        """
        lengths = np.bincount(self.segments)
        length = int(min(STRETCH_WINDOWS * window_length, lengths.max()))
        if length < window_length:
            raise DataError("--data: no unbroken series holds a window", got=f"{length} rows", allowed=window_length)
        starts = np.flatnonzero(self._left() >= length)
        chosen = starts[np.linspace(0, len(starts) - 1, STRETCHES).astype(np.int64)]
        pieces: Floats = self.values[chosen[:, None] + np.arange(length)]
        return pieces

    def _left(self) -> NDArray[np.int64]:
        """Rows from each row to the end of its series."""
        return np.searchsorted(self.segments, self.segments, side="right") - np.arange(len(self.segments))


def read_readings(
    file: Path, timestamp: str, signal: SignalSpec, asset: str | None = None, reading: Mapping[str, Any] | None = None
) -> Readings:
    """Reads a table's columns in the order of a signal's channels.

    Args:
        file: CSV or Parquet.
        timestamp: the column of the times.
        signal: names, order and units of the channels.
        asset: the column of the machines' names; None where the table is of one.
        reading: the settings of `[data]` that say how the file is read.

    Returns:
        Readings, float32 `[rows, channels]`, in the signal's units, and the unbroken series of each row.

    Raises:
        DataError: the table cannot be used as it is.
    """
    table = read_channels(file, timestamp, signal, asset, reading=reading)
    return Readings(table.values.astype(np.float32), table.segments)
