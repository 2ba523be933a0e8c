"""Inputs to compare on: families of raw readings in the model's own range.

`data` and `noisy` are what a deployed model meets: readings of the test part, and the same with noise of half a
standard deviation on every channel. A model without a sample of its data gets `normal` (white) and `walk` (slow).
White noise is not used where data is at hand: a well-trained LSTM fed 240 steps of readings that no machine gives can
amplify rounding ten thousand times, in torch as in any other runtime, and then says nothing about the graph.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import GraphName, GraphSignature, TensorSpec
from toolkit.errors import ConfigError
from toolkit.model.torch_graph import TorchGraph, TorchGraphs

Feed = dict[str, NDArray[np.float32]]
Floats = NDArray[np.floating[Any]]

NOISE = 0.5
"""Standard deviations of a channel."""

INERTIA = 0.95
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
        return ("normal", "walk") if self.samples is None else ("data", "noisy")

    def feed(self, graph: GraphName, family: str, batch: int, sequence: int) -> Feed:
        """Inputs of a graph by name.

        Raises:
            ConfigError: an unknown family, or one that needs readings where there are none.
        """
        if family not in _FAMILIES or (self.samples is None and family in ("data", "noisy")):
            raise ConfigError("inputs", got=repr(family), allowed=", ".join(self.families))
        random = np.random.default_rng([self.seed, sorted(_FAMILIES).index(family), batch, sequence])
        tensors = self.graphs[graph].tensors
        sizes = sizes_of(tensors, batch, sequence)
        draw = _Draw(self.graphs[graph], self.samples, random)
        feed = {tensor.name: draw.data(tensor, family, sizes, place) for place, tensor in enumerate(tensors.data)}
        feed |= {name: draw.state(tensors.input(name), sizes) for name in tensors.states}
        return {tensor.name: feed[tensor.name] for tensor in tensors.inputs}


def sizes_of(tensors: GraphSignature, batch: int, sequence: int) -> dict[str, int]:
    """The size of every symbolic axis, where the batch's and the sequence's are these."""
    sizes: dict[str, int] = {}
    for axis in tensors.symbolic_axes:
        known = {tensors.batch_axis: batch, tensors.sequence_axis: sequence}
        sizes[axis] = known[axis] if axis in known else OTHER_SIZES[(batch + sequence + len(sizes)) % len(OTHER_SIZES)]
    return sizes


@dataclass(frozen=True)
class _Draw:
    """Draws the inputs of one call."""

    graph: TorchGraph
    samples: NDArray[np.float32] | None
    random: np.random.Generator
    scaling: tuple[Floats, Floats] = field(init=False)

    def __post_init__(self) -> None:
        readings = self.graph.readings
        known = (np.zeros(1), np.ones(1)) if readings is None else tuple(t.double().numpy() for t in readings)
        object.__setattr__(self, "scaling", known)

    def data(self, tensor: TensorSpec, family: str, sizes: Mapping[str, int], place: int) -> NDArray[np.float32]:
        """Readings; of an input whose axes are not batch, sequence and channels, standard normal numbers."""
        tensors = self.graph.tensors
        shape = [sizes[axis] if isinstance(axis, str) else axis for axis in tensor.axes]
        axes = (tensors.batch_axis, tensors.sequence_axis)
        if place > 0 or len(shape) != 3 or None in axes or set(axes) != set(tensor.axes[:2]):
            return self.random.standard_normal(shape).astype(np.float32)
        batch_first = tensor.axes[0] == axes[0]
        batch, sequence = shape[:2] if batch_first else shape[1::-1]
        x = _FAMILIES[family](self, batch, sequence, shape[2]).astype(np.float32)  # [batch, sequence, channels]
        return x if batch_first else np.ascontiguousarray(x.swapaxes(0, 1))

    def state(self, tensor: TensorSpec, sizes: Mapping[str, int]) -> NDArray[np.float32]:
        shape = [sizes[axis] if isinstance(axis, str) else axis for axis in tensor.axes]
        state = self.random.normal(0, STATE_SPREAD, shape).astype(np.float32)
        return np.tanh(state) if tensor.name.startswith("h") else state

    def raw(self, standardised: Floats) -> Floats:
        """Raw units from standard deviations of each channel."""
        offset, scale = self.scaling
        return standardised * scale + offset


def _data(draw: _Draw, batch: int, sequence: int, channels: int) -> Floats:
    """Pieces of the stretches, mirrored at their ends where they are too short."""
    samples = draw.samples
    assert samples is not None  # checked by the caller
    stretches, length, _ = samples.shape
    first = draw.random.integers(0, max(length - sequence, 0) + 1, batch)
    steps = first[:, None] + np.arange(sequence)
    period = max(2 * (length - 1), 1)
    steps = np.abs((steps + length - 1) % period - (length - 1))  # 0 1 2 1 0 1 2 ...
    chosen: Floats = samples[draw.random.integers(0, stretches, batch)[:, None], steps]
    return chosen


def _noisy(draw: _Draw, batch: int, sequence: int, channels: int) -> Floats:
    readings = _data(draw, batch, sequence, channels)
    return readings + NOISE * draw.random.standard_normal(readings.shape) * draw.scaling[1]


def _normal(draw: _Draw, batch: int, sequence: int, channels: int) -> Floats:
    return draw.raw(draw.random.standard_normal((batch, sequence, channels)))


def _walk(draw: _Draw, batch: int, sequence: int, channels: int) -> Floats:
    """A slow signal: an autoregression of first order, standard normal at every step."""
    noise = draw.random.standard_normal((batch, sequence, channels))
    walk = np.empty_like(noise)
    walk[:, 0] = noise[:, 0]
    for step in range(1, sequence):
        walk[:, step] = INERTIA * walk[:, step - 1] + np.sqrt(1.0 - INERTIA**2) * noise[:, step]
    return draw.raw(walk)


_FAMILIES: dict[str, Callable[[_Draw, int, int, int], Floats]] = {
    "data": _data,
    "noisy": _noisy,
    "normal": _normal,
    "walk": _walk,
}
