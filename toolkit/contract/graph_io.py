"""The graph contract: names, axes and types of every tensor that goes into or comes out of an exported graph.

`windowed` takes a window and gives a forecast; `streaming` takes new samples and a state and gives a forecast
after each sample and the new state. Raw engineering units on both sides.
"""

from dataclasses import dataclass
from typing import Literal

from toolkit.contract.model_spec import Layout, ModelSpec

GraphName = Literal["windowed", "streaming"]
GRAPHS: tuple[GraphName, ...] = ("windowed", "streaming")

BATCH = "batch"
SEQUENCE = "sequence"
INPUT = "x"
FORECAST = "forecast"
STATE_PAIRS = {"h0": "hn", "c0": "cn"}
"""Each state input and the output to be fed back into it."""

STANDARDISED = "forecast_standardised"
"""The inner tensor that holds the forecast in standard deviations of the target, before un-scaling.

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
class GraphSignature:
    """Inputs and outputs of one graph, in their order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def input(self, name: str) -> TensorSpec:
        """The input of that name."""
        return next(tensor for tensor in self.inputs if tensor.name == name)


@dataclass(frozen=True)
class ForecasterShape:
    """What the contract needs to know of a forecaster to name every axis of its graphs.

    Attributes:
        input_size: channels.
        hidden_size: units of each layer, the last axis of a state.
        num_layers: layers, the first axis of a state.
        forecast_shape: axes of a forecast after `batch`: `(horizon, targets)`, or `(output_size,)`.
        layout: order of the first two axes of `x`.
    """

    input_size: int
    hidden_size: int
    num_layers: int
    forecast_shape: tuple[int, ...]
    layout: Layout = "batch-major"


def shape_from_spec(spec: ModelSpec) -> ForecasterShape:
    """The shape of the forecaster that `spec` describes."""
    return ForecasterShape(
        spec.input_size, spec.hidden_size, spec.num_layers, (spec.horizon, spec.targets), spec.layout
    )


def signature(graph: GraphName, shape: ForecasterShape) -> GraphSignature:
    """What the contract says of `graph` for a forecaster of this shape."""
    x = TensorSpec(INPUT, (*leading_axes(shape.layout), shape.input_size))
    if graph == "windowed":
        return GraphSignature((x,), (TensorSpec(FORECAST, (BATCH, *shape.forecast_shape)),))
    state = (shape.num_layers, BATCH, shape.hidden_size)
    forecast = TensorSpec(FORECAST, (*leading_axes(shape.layout), *shape.forecast_shape))
    return GraphSignature(
        (x, *(TensorSpec(name, state) for name in STATE_PAIRS)),
        (forecast, *(TensorSpec(name, state) for name in STATE_PAIRS.values())),
    )


def leading_axes(layout: Layout) -> tuple[str, str]:
    """Names of the first two axes of `x`."""
    return (BATCH, SEQUENCE) if layout == "batch-major" else (SEQUENCE, BATCH)
