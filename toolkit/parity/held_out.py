"""Windows of readings that a model was not trained on, with what came next."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.signals import SignalSpec

MAX_WINDOWS = 256
"""Enough to see a growth of the mean error of a per cent, few enough to be quick one series at a time."""

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
