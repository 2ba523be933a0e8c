"""Families of inputs: what a deployed model meets, and what shows where two runtimes go apart.

`data` and `noisy` are readings of the test part, and the same with noise of half a standard deviation on every
channel. A model without a sample of its data gets `normal` (white) and `walk` (slow). White noise is not used where
data is at hand: a well-trained LSTM fed 240 steps of readings that no machine gives can amplify rounding ten thousand
times, in torch as in any other runtime, and then says nothing about the graph.

The others are hard on purpose and short: a sensor that stands still, ramps, steps, exact zeros (0/0, atan2), whole
numbers (floor and remainder meet their multiples), numbers too small for float32's full precision, all channels or one
alone a thousand standard deviations away (where a logarithm of a sigmoid overflows in one runtime and not in another).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

NOISE = 0.5
"""Standard deviations of a channel."""

INERTIA = 0.95
FAR = 1e3
"""Standard deviations."""

ENORMOUS = 1e7
"""Standard deviations: a counter that ran over, a sensor in another unit."""

WITHIN = 4.0
"""Standard deviations that ordinary readings reach."""

DENORMAL = 1e-39
"""Below float32's smallest normal number, 1.2e-38."""


@dataclass(frozen=True)
class Draw:
    """Draws readings `[batch, sequence, channels]` in raw units.

    Attributes:
        random: where chance comes from.
        offset: of each channel.
        scale: of each channel; a standardised number times scale plus offset is a reading.
        samples: stretches of readings `[stretches, samples, channels]`, or None.
    """

    random: np.random.Generator
    offset: Floats
    scale: Floats
    samples: NDArray[np.float32] | None

    def raw(self, standardised: Floats) -> Floats:
        """Raw units from standard deviations of each channel."""
        return standardised * self.scale + self.offset


Family = Callable[[Draw, int, int, int], Floats]


def _data(draw: Draw, batch: int, sequence: int, channels: int) -> Floats:
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


def _noisy(draw: Draw, batch: int, sequence: int, channels: int) -> Floats:
    readings = _data(draw, batch, sequence, channels)
    return readings + NOISE * draw.random.standard_normal(readings.shape) * draw.scale


def _normal(draw: Draw, batch: int, sequence: int, channels: int) -> Floats:
    return draw.raw(draw.random.standard_normal((batch, sequence, channels)))


def _walk(draw: Draw, batch: int, sequence: int, channels: int) -> Floats:
    """A slow signal: an autoregression of first order, standard normal at every step."""
    noise = draw.random.standard_normal((batch, sequence, channels))
    walk = np.empty_like(noise)
    walk[:, 0] = noise[:, 0]
    for step in range(1, sequence):
        walk[:, step] = INERTIA * walk[:, step - 1] + np.sqrt(1.0 - INERTIA**2) * noise[:, step]
    return draw.raw(walk)


def _constant(draw: Draw, batch: int, sequence: int, channels: int) -> Floats:
    level = draw.random.standard_normal((batch, 1, channels))
    return draw.raw(np.repeat(level, sequence, axis=1))


def _ramps(draw: Draw, batch: int, sequence: int, channels: int) -> Floats:
    ends = draw.random.uniform(-WITHIN, WITHIN, (2, batch, 1, channels))
    way = np.linspace(0.0, 1.0, sequence)[:, None]  # [sequence, 1]
    return draw.raw(ends[0] + (ends[1] - ends[0]) * way)


def _steps(draw: Draw, batch: int, sequence: int, channels: int) -> Floats:
    levels = draw.random.uniform(-WITHIN, WITHIN, (2, batch, 1, channels))
    after = np.arange(sequence)[:, None] >= draw.random.integers(0, sequence + 1, (batch, 1, channels))
    return draw.raw(np.where(after, levels[1], levels[0]))


def _zeros(draw: Draw, batch: int, sequence: int, channels: int) -> Floats:
    return np.zeros((batch, sequence, channels))


def _sparse(draw: Draw, batch: int, sequence: int, channels: int) -> Floats:
    readings = _normal(draw, batch, sequence, channels)
    return np.where(draw.random.random(readings.shape) < 0.5, readings, 0.0)


def _whole(draw: Draw, batch: int, sequence: int, channels: int) -> Floats:
    return np.rint(draw.raw(draw.random.uniform(-WITHIN, WITHIN, (batch, sequence, channels))))


def _denormal(draw: Draw, batch: int, sequence: int, channels: int) -> Floats:
    return DENORMAL * draw.random.standard_normal((batch, sequence, channels))


def _far(draw: Draw, batch: int, sequence: int, channels: int) -> Floats:
    return draw.raw(FAR * draw.random.choice([-1.0, 1.0], (batch, sequence, channels)))


def _enormous(draw: Draw, batch: int, sequence: int, channels: int) -> Floats:
    return draw.raw(ENORMOUS * draw.random.choice([-1.0, 1.0], (batch, sequence, channels)))


def _one_far(draw: Draw, batch: int, sequence: int, channels: int) -> Floats:
    """Each series has another channel out of range, so that as many series as channels show each alone."""
    readings = draw.random.standard_normal((batch, sequence, channels))
    series = np.arange(batch)
    signs = draw.random.choice([-1.0, 1.0], (batch, sequence))
    readings[series, :, series % channels] = FAR * signs
    return draw.raw(readings)


FROM_SAMPLES: dict[str, Family] = {"data": _data, "noisy": _noisy}
MADE_UP: dict[str, Family] = {"normal": _normal, "walk": _walk}
HARD: dict[str, Family] = {
    "constant": _constant,
    "ramps": _ramps,
    "steps": _steps,
    "zeros": _zeros,
    "sparse": _sparse,
    "whole": _whole,
    "denormal": _denormal,
    "far": _far,
    "enormous": _enormous,
    "one channel far": _one_far,
}
FAMILIES = FROM_SAMPLES | MADE_UP | HARD
