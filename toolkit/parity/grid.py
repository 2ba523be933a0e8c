"""The shapes of a parity check."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from toolkit.contract.graph_io import GraphSignature, SizeLimits

STREAM_BATCH = 3


@dataclass(frozen=True)
class ParityGrid:
    """Which shapes and inputs are compared.

    Attributes:
        batches: series in a call.
        sequences: samples of each.
        chunks: for the streaming graph, sizes of the pieces in which the longest sequence is fed; 0 means pieces of
            random size.
        families: kinds of inputs; empty means the ordinary ones: see `toolkit.parity.inputs`.
        seed: of everything random.
        hard: (batch, sequence) of the hard families' inputs; none means that they are left out.
    """

    batches: tuple[int, ...]
    sequences: tuple[int, ...]
    chunks: tuple[int, ...] = (1, 7, 0)
    families: tuple[str, ...] = ()
    seed: int = 0
    hard: tuple[tuple[int, int], ...] = ()

    def shapes(self) -> Iterator[tuple[int, int]]:
        """Every (batch, sequence)."""
        return ((batch, sequence) for sequence in self.sequences for batch in self.batches)

    def shapes_of(self, tensors: GraphSignature, limits: SizeLimits) -> list[tuple[int, int]]:
        """Every (batch, sequence) that a graph takes: others moved to its nearest, a fixed axis told as 1."""
        return _taken(self.shapes(), tensors, limits)

    def hard_shapes_of(self, tensors: GraphSignature, limits: SizeLimits) -> list[tuple[int, int]]:
        """The same for the hard families."""
        return _taken(self.hard, tensors, limits)

    def cuts(self, chunk: int, sequence: int | None = None) -> list[int]:
        """Sizes of the pieces of a sequence, by default the longest."""
        rest, pieces = sequence or max(self.sequences), []
        generator = np.random.default_rng(self.seed)
        while rest:
            size = min(rest, chunk or int(generator.integers(1, 12)))
            pieces.append(size)
            rest -= size
        return pieces


def _taken(shapes: Iterable[tuple[int, int]], tensors: GraphSignature, limits: SizeLimits) -> list[tuple[int, int]]:
    axes = (tensors.batch_axis, tensors.sequence_axis)
    pairs = (
        tuple(1 if axis is None else limits.clipped(axis, size) for size, axis in zip(shape, axes, strict=True))
        for shape in shapes
    )
    return [(batch, sequence) for batch, sequence in dict.fromkeys(pairs)]


def standard_grid(window_length: int, seed: int = 0) -> ParityGrid:
    """The grid around a window: one series to a batch of 64, one sample to four windows."""
    sequences = {1, 2, 5, window_length, window_length + 1, 4 * window_length}
    return ParityGrid((1, 2, 3, 7, 64), tuple(sorted(sequences)), seed=seed, hard=((2, 3), (3, window_length)))


def quick_grid(window_length: int, seed: int = 0) -> ParityGrid:
    """A few shapes, for a look while working; `standard_grid` is what a verdict rests on."""
    return ParityGrid((1, 3, 7), tuple(sorted({1, 5, window_length + 1})), (1, 7), seed=seed, hard=((2, 3),))
