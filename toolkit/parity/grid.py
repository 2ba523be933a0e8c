"""The cases of a parity check: shapes and families of inputs.

Inputs are drawn in standard deviations and brought into the model's raw units, so that every channel is exercised in
its own range whatever its offset.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Family = Callable[[np.random.Generator, int, int, int], Array]

STREAM_BATCH = 3


@dataclass(frozen=True)
class ParityGrid:
    """Which shapes and inputs are compared.

    Attributes:
        batches: series in a call.
        sequences: samples of each.
        families: names out of `FAMILIES`.
        chunks: for the streaming graph, sizes of the pieces in which the longest sequence is fed; 0 means pieces of
            random size.
        seed: of the inputs.
    """

    batches: tuple[int, ...]
    sequences: tuple[int, ...]
    families: tuple[str, ...] = ("normal", "constant", "ramp", "step")
    chunks: tuple[int, ...] = (1, 7, 0)
    seed: int = 0

    def shapes(self) -> Iterator[tuple[int, int]]:
        """Every (batch, sequence)."""
        return ((batch, sequence) for sequence in self.sequences for batch in self.batches)

    def cuts(self, chunk: int) -> list[int]:
        """Sizes of the pieces of the longest sequence."""
        rest, pieces = max(self.sequences), []
        generator = np.random.default_rng(self.seed)
        while rest:
            size = min(rest, chunk or int(generator.integers(1, 12)))
            pieces.append(size)
            rest -= size
        return pieces


def standard_grid(window_length: int, seed: int = 0) -> ParityGrid:
    """The grid around a window: one series to a batch of 64, one sample to four windows."""
    sequences = {1, 2, 5, window_length, window_length + 1, 4 * window_length}
    return ParityGrid((1, 2, 3, 7, 64), tuple(sorted(sequences)), seed=seed)


def quick_grid(window_length: int, seed: int = 0) -> ParityGrid:
    """A few shapes, for a look while working; `standard_grid` is what a verdict rests on."""
    return ParityGrid((1, 3, 7), tuple(sorted({1, 5, window_length + 1})), ("normal", "step"), (1, 7), seed)


def _normal(random: np.random.Generator, batch: int, sequence: int, channels: int) -> Array:
    return np.asarray(random.standard_normal((batch, sequence, channels)))


def _constant(random: np.random.Generator, batch: int, sequence: int, channels: int) -> Array:
    return np.asarray(np.repeat(random.uniform(-3, 3, (batch, 1, channels)), sequence, axis=1))


def _ramp(random: np.random.Generator, batch: int, sequence: int, channels: int) -> Array:
    ends = random.uniform(-4, 4, (2, batch, 1, channels))
    way = np.linspace(0, 1, sequence)[None, :, None]
    return np.asarray(ends[0] + (ends[1] - ends[0]) * way, np.float64)


def _step(random: np.random.Generator, batch: int, sequence: int, channels: int) -> Array:
    levels = random.uniform(-5, 5, (2, batch, 1, channels))
    moment = random.integers(0, sequence + 1, (batch, 1, channels))
    return np.asarray(np.where(np.arange(sequence)[None, :, None] < moment, levels[0], levels[1]))


FAMILIES: dict[str, Family] = {"normal": _normal, "constant": _constant, "ramp": _ramp, "step": _step}
"""Ordinary inputs, all within 10 standard deviations: float64 `[batch, sequence, channels]`."""
