"""Readings that a model was not trained on, cut into windows with what came next."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import Axis
from toolkit.contract.signals import SignalSpec
from toolkit.data.config import DataConfig
from toolkit.data.tables import read_table
from toolkit.errors import DataError

MAX_WINDOWS = 256
"""Enough to see a growth of the mean error of a per cent, few enough to be quick one series at a time."""

STRETCHES, STRETCH_WINDOWS = 4, 8

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class HeldOut:
    """Windows with what came next, raw.

    Attributes:
        x: float32 `[windows, window_length, channels]`.
        y: float32 `[windows, horizon, targets]`.
        targets: names, for reports.
    """

    x: Floats
    y: Floats
    targets: tuple[str, ...]


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


def read_readings(file: Path, timestamp: str, signal: SignalSpec, asset: str | None = None) -> Readings:
    """Reads a table's columns in the order of a signal's channels.

    Raises:
        DataError: the table cannot be used as it is.
    """
    names = signal.channel_names
    config = DataConfig(
        str(file),
        timestamp,
        signal.targets or names[:1],
        asset=asset,
        channels=names,
        interval_s=signal.interval_s,
        missing="break",
    )
    table = read_table(config)
    order = [table.channel_names.index(name) for name in names]
    return Readings(table.values[:, order].astype(np.float32), table.segments)


def horizon_of(axes: Sequence[Axis], targets: int) -> int | None:
    """How many samples ahead an answer of these axes forecasts; None where it is no forecast of so many targets.

    The sizes that are fixed tell: `(horizon, targets)`; `(targets,)`, one sample ahead; `(horizon,)` of one target.
    """
    fixed = [axis for axis in axes if isinstance(axis, int)]
    if not targets or not 1 <= len(fixed) <= 2 or list(axes[-len(fixed) :]) != fixed:
        return None
    if fixed[-1] == targets:
        return fixed[0] if len(fixed) == 2 else 1
    return fixed[0] if targets == len(fixed) == 1 else None


def held_out_of(samples: Floats, window_length: int, horizon: int, signal: SignalSpec) -> HeldOut | None:
    """Windows of stretches of readings; None where no stretch is long enough.

    Args:
        samples: float32 `[stretches, samples, channels]`.
        window_length: samples of input.
        horizon: samples of forecast.
        signal: which channels are the targets.
    """
    stretches, length, _ = samples.shape
    count = length - window_length - horizon + 1
    if count < 1:
        return None
    per_stretch = max(1, min(count, MAX_WINDOWS // stretches))
    starts = np.linspace(0, count - 1, per_stretch).astype(np.int64)
    steps = starts[:, None] + np.arange(window_length + horizon)
    both = samples[:, steps].reshape(-1, window_length + horizon, samples.shape[2])
    return HeldOut(
        np.ascontiguousarray(both[:, :window_length]),
        np.ascontiguousarray(both[:, window_length:][..., list(signal.target_indices)]),
        signal.targets,
    )
