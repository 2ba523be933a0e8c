"""Inputs to compare on: families of raw readings in the model's own range, see `toolkit.parity.families`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import GraphName, GraphSignature, TensorSpec
from toolkit.errors import ConfigError
from toolkit.model.torch_graph import TorchGraph, TorchGraphs
from toolkit.parity.families import FAMILIES, FROM_SAMPLES, HARD, MADE_UP, Draw

Feed = dict[str, NDArray[np.float32]]
STATE_SPREAD = 0.5
"""Standard deviation of the states that streaming cases start from; an LSTM's `h` lies within +-1."""

OTHER_SIZES = (2, 1, 5)
"""Sizes of axes that are neither batch nor sequence, in turns."""


@dataclass(frozen=True)
class InputSource:
    """Draws inputs; the same ones for the same seed, family and shape.

    Attributes:
        graphs: tell names, axes and scaling.
        samples: stretches of raw readings of the test part, float32 `[stretches, samples, channels]`, or None.
        seed: of everything random.
    """

    graphs: TorchGraphs
    samples: NDArray[np.float32] | None
    seed: int = 0

    @property
    def families(self) -> tuple[str, ...]:
        """The ordinary families, all within 10 standard deviations."""
        return tuple(MADE_UP if self.samples is None else FROM_SAMPLES)

    def feed(
        self, graph: GraphName, family: str, batch: int, sequence: int, others: Mapping[str, int] | None = None
    ) -> Feed:
        """Inputs of a graph by name.

        Args:
            graph: which.
            family: of `families`.
            batch: series.
            sequence: samples of each.
            others: sizes of further axes; None means small ones in turns.

        Raises:
            ConfigError: an unknown family, or one that needs readings where there are none.
        """
        if family not in FAMILIES or (self.samples is None and family in FROM_SAMPLES):
            raise ConfigError("inputs", got=repr(family), allowed=", ".join((*self.families, *HARD)))
        # A word as a number: the draws of one family must not change when another one is added.
        random = np.random.default_rng([self.seed, *family.encode(), batch, sequence])
        own = self.graphs[graph]
        known = (np.zeros(1), np.ones(1)) if own.readings is None else [t.double().numpy() for t in own.readings]
        sizes = sizes_of(own.tensors, batch, sequence) | dict(others or {})
        call = _Call(own, sizes, Draw(random, known[0], known[1], self.samples))
        feed = {tensor.name: call.data(tensor, family) for tensor in own.tensors.data}
        feed |= {name: call.state(own.tensors.input(name)) for name in own.tensors.states}
        return {tensor.name: feed[tensor.name] for tensor in own.tensors.inputs}


def sizes_of(tensors: GraphSignature, batch: int, sequence: int) -> dict[str, int]:
    """The size of every symbolic axis, where the batch's and the sequence's are these."""
    sizes: dict[str, int] = {}
    for axis in tensors.symbolic_axes:
        known = {tensors.batch_axis: batch, tensors.sequence_axis: sequence}
        sizes[axis] = known[axis] if axis in known else OTHER_SIZES[(batch + sequence + len(sizes)) % len(OTHER_SIZES)]
    return sizes


@dataclass(frozen=True)
class _Call:
    """The sizes of one call, and where its numbers come from."""

    graph: TorchGraph
    sizes: Mapping[str, int]
    draw: Draw

    def shape(self, tensor: TensorSpec) -> list[int]:
        return [self.sizes[axis] if isinstance(axis, str) else axis for axis in tensor.axes]

    def data(self, tensor: TensorSpec, family: str) -> NDArray[np.float32]:
        """Readings of the first input whose axes are batch, sequence and channels; others are drawn without scaling."""
        axes = (self.graph.tensors.batch_axis, self.graph.tensors.sequence_axis)
        shape = self.shape(tensor)
        first = tensor == self.graph.tensors.data[0]
        if not first or len(shape) != 3 or None in axes or set(axes) != set(tensor.axes[:2]):
            return self._other(shape, family)
        batch_first = tensor.axes[0] == axes[0]
        batch, sequence = shape[:2] if batch_first else shape[1::-1]
        x = FAMILIES[family](self.draw, batch, sequence, shape[2]).astype(np.float32)  # [batch, sequence, channels]
        return x if batch_first else np.ascontiguousarray(x.swapaxes(0, 1))

    def _other(self, shape: list[int], family: str) -> NDArray[np.float32]:
        """Its last axis as channels, the others as series."""
        if family not in HARD:
            return self.draw.random.standard_normal(shape).astype(np.float32)
        unscaled = replace(self.draw, offset=np.zeros(1), scale=np.ones(1), samples=None)
        channels = shape[-1] if shape else 1
        numbers = FAMILIES[family](unscaled, math.prod(shape) // channels, 1, channels)
        return numbers.reshape(shape).astype(np.float32)

    def state(self, tensor: TensorSpec) -> NDArray[np.float32]:
        state = self.draw.random.normal(0, STATE_SPREAD, self.shape(tensor)).astype(np.float32)
        return np.tanh(state) if tensor.name.startswith("h") else state
