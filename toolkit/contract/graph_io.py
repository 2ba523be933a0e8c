"""The graph contract: names, axes and types of every tensor that goes into or comes out of an exported graph.

`windowed` takes a window and gives an answer; `streaming` takes new samples and a state and gives an answer
after each sample and the new state. Raw engineering units on both sides. A foreign module brings names and axes of its
own; what holds for every graph is that it says which of its inputs are states, and which output feeds each of them.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Literal

from toolkit.contract.frozen import dataclass
from toolkit.contract.model_spec import Cell, Head, Layout, ModelSpec
from toolkit.errors import ModelError

GraphName = Literal["windowed", "streaming"]
GRAPHS: tuple[GraphName, ...] = ("windowed", "streaming")

BATCH = "batch"
SEQUENCE = "sequence"
TIME_NAMES = frozenset([SEQUENCE, "seq", "time", "t", "step", "steps", "length", "l"])
"""What people call the axis that holds the samples, in lower case."""

INPUT = "x"
FORECAST = "forecast"
LOGITS = "logits"
QUANTILES = "quantiles"
STATE_PAIRS = {"h0": "hn", "c0": "cn"}
"""Each state input of an LSTM and the output to be fed back into it; a GRU has the first pair alone."""

STANDARDISED = "forecast_standardised"
UNSCALED_FROM = {FORECAST: STANDARDISED, QUANTILES: "quantiles_standardised"}
"""For each answer in raw units the inner tensor that holds it in standard deviations of the target, before un-scaling.

Parity is judged here: one float32 step of a target at 101 325 +- 50 is already 1.6e-4 standard deviations.
"""

METADATA_PREFIX = "lstm_edge."
"""Of the keys under which a graph says what it is: `signal`, `model`, `provenance`, `graph`."""

Axis = str | int


@dataclass(frozen=True)
class TensorSpec:
    """One input or output: its name and, for each axis, a symbolic name or a fixed size. Always float32."""

    name: str
    axes: tuple[Axis, ...]


@dataclass(frozen=True)
class SizeLimits:
    """Which sizes of its symbolic axes a graph takes.

    Attributes:
        least: the smallest size of an axis, where that is above 1.
        most: the largest size of an axis, where there is one.
    """

    least: Mapping[str, int] = field(default_factory=dict)
    most: Mapping[str, int] = field(default_factory=dict)

    def at_least(self, axis: str | None) -> int:
        """The smallest size of that axis; 1 of one that does not exist."""
        return self.least.get(axis or "", 1)

    def clipped(self, axis: str | None, size: int) -> int:
        """The size nearest to this one that the graph takes."""
        enough = max(size, self.at_least(axis))
        return min(enough, self.most.get(axis or "", enough))


ANY_SIZE = SizeLimits()


@dataclass(frozen=True)
class GraphSignature:
    """Inputs and outputs of one graph, in their order.

    Attributes:
        inputs: what has to be fed.
        outputs: what comes back.
        states: for each input that is a state, the output to be fed back into it.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    states: dict[str, str] = field(default_factory=dict)

    def input(self, name: str) -> TensorSpec:
        """The input of that name."""
        return next(tensor for tensor in self.inputs if tensor.name == name)

    def output(self, name: str) -> TensorSpec:
        """The output of that name."""
        return next(tensor for tensor in self.outputs if tensor.name == name)

    @functools.cached_property
    def input_names(self) -> frozenset[str]:
        """Names of the inputs."""
        return frozenset(tensor.name for tensor in self.inputs)

    @functools.cached_property
    def data(self) -> tuple[TensorSpec, ...]:
        """The inputs that are no states, the readings first."""
        return tuple(tensor for tensor in self.inputs if tensor.name not in self.states)

    @functools.cached_property
    def answers(self) -> tuple[TensorSpec, ...]:
        """The outputs that are no states."""
        return tuple(tensor for tensor in self.outputs if tensor.name not in self.states.values())

    @functools.cached_property
    def symbolic_axes(self) -> tuple[str, ...]:
        """Names of the axes that may have any size, in the order in which they appear among the inputs."""
        return tuple(dict.fromkeys(axis for tensor in self.inputs for axis in tensor.axes if isinstance(axis, str)))

    @functools.cached_property
    def batch_axis(self) -> str | None:
        """The axis that holds the series: `batch`, or one that a state has, or the first that is no name for time."""
        states = [axis for name in self.states for axis in self.input(name).axes if isinstance(axis, str)]
        others = [axis for axis in self.symbolic_axes if axis.lower() not in TIME_NAMES]
        return next((axis for axis in (BATCH, *states, *others) if axis in self.symbolic_axes), None)

    @functools.cached_property
    def sequence_axis(self) -> str | None:
        """The axis that holds the samples: `sequence`, or another symbolic axis of the readings, time's names first."""
        readings = self.data[0].axes if self.data else ()
        names = [axis for axis in readings if isinstance(axis, str) and axis != self.batch_axis]
        return next(iter(sorted(names, key=lambda axis: (axis != SEQUENCE, axis.lower() not in TIME_NAMES))), None)


@dataclass(frozen=True)
class ForecasterShape:
    """What the contract needs to know of a model to name every axis of its graphs.

    Attributes:
        input_size: channels.
        hidden_size: units of each layer, the last axis of a state.
        num_layers: layers, the first axis of a state.
        answer_axes: axes of an answer after `batch`: `(horizon, targets)`, `(output_size,)` or `(classes,)`.
        layout: order of the first two axes of `x`.
        cell: `lstm` or `gru`.
        bidirectional: whether the sequence is read both ways, which needs all of it.
        head: whether the windowed graph answers after the last step or after every one.
        answer: name of the answer: `forecast` or `logits`.
        needs_window: whether window normalisation or patches make an answer one about a whole window.
        independent: whether each channel runs by itself.
        quantiles: how many quantiles stand beside the forecast, as a second answer.
    """

    input_size: int
    hidden_size: int
    num_layers: int
    answer_axes: tuple[int, ...]
    layout: Layout = "batch-major"
    cell: Cell = "lstm"
    bidirectional: bool = False
    head: Head = "last"
    answer: str = FORECAST
    needs_window: bool = False
    independent: bool = False
    quantiles: int = 0

    @property
    def state_size(self) -> int:
        """The last axis of a state: `hidden_size`, times the channels where each runs by itself."""
        return self.hidden_size * (self.input_size if self.independent else 1)


def shape_from_spec(spec: ModelSpec) -> ForecasterShape:
    """The shape of the model that `spec` describes."""
    return ForecasterShape(
        spec.input_size,
        spec.hidden_size,
        spec.num_layers,
        spec.answer_axes,
        spec.layout,
        spec.cell,
        spec.bidirectional,
        spec.head,
        LOGITS if spec.classes else FORECAST,
        spec.needs_window,
        spec.channel_mixing == "independent",
        len(spec.quantiles),
    )


def graphs_of(shape: ForecasterShape) -> tuple[GraphName, ...]:
    """The graphs that a model of this shape has: one that needs its whole window cannot stream."""
    return ("windowed",) if shape.bidirectional or shape.needs_window else GRAPHS


def signature(graph: GraphName, shape: ForecasterShape) -> GraphSignature:
    """What the contract says of `graph` for a model of this shape.

    Raises:
        ModelError: the model has no such graph.
    """
    if graph not in graphs_of(shape):
        reason, fix = (
            ("a bidirectional model", "model.bidirectional = false")
            if shape.bidirectional
            else ("a model with window normalisation or patches", "model.normalisation = 'none', patch_length = 1")
        )
        raise ModelError(
            f"{reason} has no {graph} graph: it needs its whole window", allowed=", ".join(graphs_of(shape)), fix=fix
        )
    x = TensorSpec(INPUT, (*leading_axes(shape.layout), shape.input_size))
    every = graph == "streaming" or shape.head == "every"
    leading = leading_axes(shape.layout) if every else (BATCH,)
    answers = answers_of(shape, leading)
    if graph == "windowed":
        return GraphSignature((x,), answers)
    pairs = state_pairs(shape.cell)
    state = (shape.num_layers, BATCH, shape.state_size)
    return GraphSignature(
        (x, *(TensorSpec(name, state) for name in pairs)),
        (*answers, *(TensorSpec(name, state) for name in pairs.values())),
        pairs,
    )


def answers_of(shape: ForecasterShape, leading: tuple[Axis, ...]) -> tuple[TensorSpec, ...]:
    """The forecast or the logits, and after a forecast its quantiles, with one more axis, where it has any."""
    answer = TensorSpec(shape.answer, (*leading, *shape.answer_axes))
    further = TensorSpec(QUANTILES, (*answer.axes, shape.quantiles))
    return (answer, further) if shape.quantiles else (answer,)


def figure_axis(tensor: TensorSpec) -> int:
    """The place, counted from the end, of the axis whose places may have units of their own: the targets.

    It is the last one, or of quantiles the one before: all quantiles of a target are in its unit.
    """
    fixed = all(isinstance(axis, int) for axis in tensor.axes[-2:]) and len(tensor.axes) > 1
    return -2 if tensor.name == QUANTILES and fixed else -1


def state_pairs(cell: Cell) -> dict[str, str]:
    """Each state input and the output to be fed back into it."""
    return dict(STATE_PAIRS) if cell == "lstm" else {"h0": STATE_PAIRS["h0"]}


def leading_axes(layout: Layout) -> tuple[str, str]:
    """Names of the first two axes of `x`."""
    return (BATCH, SEQUENCE) if layout == "batch-major" else (SEQUENCE, BATCH)


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
