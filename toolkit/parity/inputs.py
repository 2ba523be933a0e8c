"""Inputs to compare on: families of raw readings in the model's own range.

`data` and `noisy` are what a deployed model meets: readings of the test part, and the same with noise of half a
standard deviation on every channel. A model without a sample of its data gets `normal` (white) and `walk` (slow).
White noise is not used where data is at hand: a well-trained LSTM fed 240 steps of readings that no machine gives can
amplify rounding ten thousand times, in torch as in any other runtime, and then says nothing about the graph.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import INPUT, STATE_PAIRS, GraphName
from toolkit.errors import ConfigError
from toolkit.model.lstm import MultivariateLSTM

Feed = dict[str, NDArray[np.float32]]
Floats = NDArray[np.floating[Any]]

NOISE = 0.5
"""Standard deviations of a channel."""

INERTIA = 0.95
STATE_SPREAD = 0.5
"""Standard deviation of the states that streaming cases start from; an LSTM's `h` lies within +-1."""


@dataclass(frozen=True)
class InputSource:
    """Draws inputs; the same ones for the same seed, family and shape.

    Attributes:
        model: tells sizes, scaling and layout.
        samples: stretches of raw readings of the test part, float32 `[stretches, samples, channels]`, or None.
        seed: of everything random.
    """

    model: MultivariateLSTM
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
        x = _FAMILIES[family](self, random, batch, sequence).astype(np.float32)  # [batch, sequence, channels]
        feed = {INPUT: x if self.model.batch_first else np.ascontiguousarray(x.swapaxes(0, 1))}
        return feed | self._state(random, batch) if graph == "streaming" else feed

    def _state(self, random: np.random.Generator, batch: int) -> Feed:
        shape = (self.model.lstm.num_layers, batch, self.model.lstm.hidden_size)
        states = {name: random.normal(0, STATE_SPREAD, shape).astype(np.float32) for name in STATE_PAIRS}
        states["h0"] = np.tanh(states["h0"])
        return states

    def raw(self, standardised: Floats) -> Floats:
        """Raw units from standard deviations of each channel."""
        return standardised / _array(self.model.input_scale) + _array(self.model.input_offset)


def _data(source: InputSource, random: np.random.Generator, batch: int, sequence: int) -> Floats:
    """Pieces of the stretches, mirrored at their ends where they are too short."""
    assert source.samples is not None  # checked by the caller
    stretches, length, _ = source.samples.shape
    first = random.integers(0, max(length - sequence, 0) + 1, batch)
    steps = first[:, None] + np.arange(sequence)
    period = max(2 * (length - 1), 1)
    steps = np.abs((steps + length - 1) % period - (length - 1))  # 0 1 2 1 0 1 2 ...
    chosen: Floats = source.samples[random.integers(0, stretches, batch)[:, None], steps]
    return chosen


def _noisy(source: InputSource, random: np.random.Generator, batch: int, sequence: int) -> Floats:
    readings = _data(source, random, batch, sequence)
    return readings + NOISE * random.standard_normal(readings.shape) / _array(source.model.input_scale)


def _normal(source: InputSource, random: np.random.Generator, batch: int, sequence: int) -> Floats:
    return source.raw(random.standard_normal((batch, sequence, source.model.lstm.input_size)))


def _walk(source: InputSource, random: np.random.Generator, batch: int, sequence: int) -> Floats:
    """A slow signal: an autoregression of first order, standard normal at every step."""
    noise = random.standard_normal((batch, sequence, source.model.lstm.input_size))
    walk = np.empty_like(noise)
    walk[:, 0] = noise[:, 0]
    for step in range(1, sequence):
        walk[:, step] = INERTIA * walk[:, step - 1] + np.sqrt(1.0 - INERTIA**2) * noise[:, step]
    return source.raw(walk)


_FAMILIES: dict[str, Callable[[InputSource, np.random.Generator, int, int], Floats]] = {
    "data": _data,
    "noisy": _noisy,
    "normal": _normal,
    "walk": _walk,
}


def _array(tensor: Any) -> NDArray[np.float64]:
    return np.asarray(tensor.double().numpy())
