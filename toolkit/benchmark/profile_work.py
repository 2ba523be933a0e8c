"""How much arithmetic a graph has to do in a call, from the shapes in its file and in onnxruntime's profile.

An addition and a multiplication are one FLOP each. Products are counted of recurrent layers, MatMul, Gemm and Conv and
what onnxruntime makes of them. Activations count as the rational approximations that onnxruntime computes
(onnxruntime/core/mlas/lib/logistic.cpp and tanh.cpp), a division or a clamp as one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toolkit.benchmark.profile_events import NodeRun
from toolkit.runtime.onnx_compatibility import QUANTISED_LSTM
from toolkit.runtime.onnx_file import Node, OnnxFile
from toolkit.runtime.recurrent_warnings import carries_state, integer

SIGMOID, TANH = 26, 23

GATES: Mapping[str, Mapping[str, int]] = {
    # Sums of products and bias are 2; then the activation and the gate's part in the new state.
    "LSTM": {"input": 2 + SIGMOID + 1, "output": 2 + SIGMOID + TANH + 1, "forget": 2 + SIGMOID + 1, "cell": 3 + TANH},
    "GRU": {"update": 2 + SIGMOID + 4, "reset": 2 + SIGMOID + 1, "hidden": 2 + TANH},
    "RNN": {"hidden": 2 + TANH},
}
"""By operator and gate, in ONNX's order: FLOPs for one unit and sample that are no matrix product."""

_FLAT = frozenset([
    "MatMul", "Gemm", "FusedMatMul", "FusedGemm", "TransposeMatMul", "MatMulInteger", "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul", "QLinearMatMul",
])  # fmt: skip
_CONVOLUTIONS = frozenset(["Conv", "FusedConv", "NhwcFusedConv", "ConvInteger", "QLinearConv"])


@dataclass(frozen=True)
class Product:
    """A matrix of weights times `columns` vectors, `times` over in a call.

    Attributes:
        rows: numbers that come out of a vector.
        inner: numbers in a vector.
        columns: vectors that go through the weights at once.
        times: how often in a call; each time the weights are read anew.
    """

    rows: int
    inner: int
    columns: int
    times: int = 1

    @property
    def flops(self) -> int:
        """In a call."""
        return 2 * self.rows * self.inner * self.columns * self.times

    @property
    def weight_bytes(self) -> int:
        """Of the weights in float32, once."""
        return 4 * self.rows * self.inner


@dataclass(frozen=True)
class Recurrence:
    """A recurrent operator at the sizes of a call.

    Attributes:
        run: the node.
        gates: by name the FLOPs that are no product, for one unit and sample.
        directions: 1 or 2.
        steps: samples.
        batch: series.
        input_size: numbers in a sample.
        hidden_size: units.
        number_bytes: of one weight.
    """

    run: NodeRun
    gates: Mapping[str, int]
    directions: int
    steps: int
    batch: int
    input_size: int
    hidden_size: int
    number_bytes: int

    @property
    def inputs(self) -> Product:
        """Weights times inputs: all samples at once, for they do not wait for one another."""
        columns = self.steps * self.batch
        return Product(len(self.gates) * self.hidden_size, self.input_size, columns, self.directions * self.run.runs)

    @property
    def recurrent(self) -> Product:
        """Weights times state: one sample after the other."""
        times = self.steps * self.directions * self.run.runs
        return Product(len(self.gates) * self.hidden_size, self.hidden_size, self.batch, times)

    @property
    def weight_count(self) -> int:
        """Numbers in both matrices, both directions."""
        return self.directions * len(self.gates) * self.hidden_size * (self.input_size + self.hidden_size)

    def elementwise_flops(self, gate: str) -> int:
        """Of one gate in a call."""
        return self.gates[gate] * self.hidden_size * self.steps * self.batch * self.directions * self.run.runs


@dataclass(frozen=True)
class Work:
    """The arithmetic of a call.

    Attributes:
        layers: recurrent ones, in their order.
        products: all that are counted.
        flops: of the products, by the name of the node.
    """

    layers: tuple[Recurrence, ...]
    products: tuple[Product, ...]
    flops: Mapping[str, int]

    @property
    def numbers(self) -> dict[str, int]:
        """Of the layers, from 1, by the name of the node."""
        return {layer.run.name: number for number, layer in enumerate(self.layers, start=1)}


def recurrences(file: OnnxFile, runs: Sequence[NodeRun]) -> tuple[Recurrence, ...]:
    """The recurrent layers in the order in which they ran.

    A node is looked up in the file by its name; where it has none there, by its place among its kind.

    Args:
        file: the graph as it is stored: it knows units and directions.
        runs: from the profile: they know samples, series and inputs of the call.
    """
    stored = [node for node in file.nodes() if carries_state(node)]
    by_name = {node.name: node for node in stored if node.name}
    layers = [run for run in runs if kind_of(run.operator) in GATES and run.inputs]
    found = []
    for place, run in enumerate(layers):
        node = by_name.get(run.name) or (stored[place] if len(stored) == len(layers) else None)
        if node is not None and len(run.inputs[0]) == 3:
            found.append(_recurrence(run, node))
    return tuple(found)


def kind_of(operator: str) -> str:
    """`LSTM`, `GRU` or `RNN` of a recurrent operator, quantised or not; another operator's own name."""
    return "LSTM" if operator == QUANTISED_LSTM else operator


def product_of(run: NodeRun, file: OnnxFile) -> Product | None:
    """The product of a node that is no recurrent layer, None where it has none or one that is not counted."""
    outputs = run.outputs[0] if run.outputs else ()
    if not outputs or not run.inputs or not run.inputs[0] or 0 in outputs:
        return None
    node = next((node for node in file.nodes() if node.name == run.name), None)
    if run.operator in _CONVOLUTIONS:
        return _convolution(run, outputs, node, file)
    if run.operator not in _FLAT:
        return None
    transposed = node is not None and integer(node, "transA", 0) == 1
    inner = run.inputs[0][0 if transposed else -1]
    return Product(outputs[-1], inner, math.prod(outputs[:-1]), run.runs)


def work_of(file: OnnxFile, runs: Sequence[NodeRun]) -> Work:
    """The arithmetic of a call; see `recurrences`."""
    layers = recurrences(file, runs)
    own = {layer.run.name for layer in layers}
    others = ((run.name, product_of(run, file)) for run in runs if run.name not in own)
    counted = {name: product for name, product in others if product is not None}
    flops = {layer.run.name: layer.inputs.flops + layer.recurrent.flops for layer in layers}
    products = [product for layer in layers for product in (layer.inputs, layer.recurrent)]
    return Work(
        layers=layers,
        products=(*products, *counted.values()),
        flops=flops | {name: product.flops for name, product in counted.items()},
    )


def _recurrence(run: NodeRun, node: Node) -> Recurrence:
    direction = node.attribute("direction")
    steps, batch, input_size = run.inputs[0]
    return Recurrence(
        run=run,
        gates=GATES[kind_of(run.operator)],
        directions=2 if direction is not None and direction.strings == (b"bidirectional",) else 1,
        steps=steps,
        batch=batch,
        input_size=input_size,
        hidden_size=integer(node, "hidden_size", run.outputs[0][-1] if run.outputs else 0),
        number_bytes=1 if run.operator == QUANTISED_LSTM else 4,
    )


def _convolution(run: NodeRun, outputs: tuple[int, ...], node: Node | None, file: OnnxFile) -> Product | None:
    place = 3 if run.operator == "QLinearConv" else 1
    dims = {tensor.name: tensor.dims for graph in file.graphs() for tensor in graph.initializers}
    weights = dims.get(node.input(place)) if node is not None else None
    if not weights or len(weights) < 3 or 0 in weights:
        return None
    rows = weights[0]
    return Product(rows, math.prod(weights[1:]), math.prod(outputs) // rows, run.runs)
