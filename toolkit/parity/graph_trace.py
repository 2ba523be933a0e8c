"""The graph side of a parting: every value that a graph computes, and the node at which it stops if it does."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from toolkit.errors import BundleError
from toolkit.runtime.session import SessionPolicy, create_session, run_session

RECURRENT_OPERATORS = ("LSTM", "GRU", "RNN")
OUTPUTS = {"LSTM": 3, "GRU": 2, "RNN": 2}
GRAPH_INPUT = -1
"""The place of what is no node's output."""

PLAIN = SessionPolicy(optimisation="none")
"""onnxruntime's optimisations would fuse and remove nodes, and their values with them."""


@dataclass(frozen=True)
class NodeValue:
    """One float tensor of a graph.

    Attributes:
        tensor: its name.
        place: the node that gives it, counted in the graph's order; -1 for a graph's input.
        values: in float64.
    """

    tensor: str
    place: int
    values: NDArray[np.float64]


@dataclass(frozen=True)
class GraphTrace:
    """What a graph did with its inputs.

    Attributes:
        proto: the graph, every output of its recurrent nodes named.
        values: inputs first, then every float tensor in the order of the nodes.
        failed: the node that onnxruntime could not load or run; None where all ran.
        problem: what onnxruntime says of it.
        refused: how the inputs differ from what is declared, if they do.
    """

    proto: onnx.ModelProto
    values: tuple[NodeValue, ...]
    failed: int | None = None
    problem: str = ""
    refused: str = ""

    @cached_property
    def _by_name(self) -> dict[str, NodeValue]:
        return {value.tensor: value for value in self.values}

    @cached_property
    def spare(self) -> frozenset[str]:
        """What recurrent nodes give and nobody reads."""
        graph = self.proto.graph
        read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
        recurrent = (node for node in graph.node if node.op_type in RECURRENT_OPERATORS)
        return frozenset(name for node in recurrent for name in node.output) - read

    def label(self, place: int) -> str:
        """A node's name, or its first output where it has none."""
        node = self.proto.graph.node[place]
        return str(node.name or next((name for name in node.output if name), ""))

    def producer(self, tensor: str) -> int | None:
        """The node that gives a tensor; None for inputs and weights."""
        return next((place for place, node in enumerate(self.proto.graph.node) if tensor in node.output), None)

    def value(self, tensor: str) -> NodeValue | None:
        """What a tensor held; None where it is a weight, no float, or never came to be."""
        return self._by_name.get(tensor)

    def constant(self, tensor: str) -> NDArray[Any] | None:
        """What a weight or a Constant node holds."""
        for initializer in self.proto.graph.initializer:
            if initializer.name == tensor:
                return numpy_helper.to_array(initializer)
        for node in self.proto.graph.node:
            if node.op_type == "Constant" and tensor in node.output:
                held = onnx.helper.get_attribute_value(node.attribute[0])
                return numpy_helper.to_array(held) if isinstance(held, onnx.TensorProto) else np.asarray(held)
        return None

    def downstream(self, tensors: Iterable[str]) -> set[int]:
        """The nodes that read one of `tensors`, directly or through others."""
        reached, places = set(tensors), set()
        for place, node in enumerate(self.proto.graph.node):
            if reached.intersection(node.input):
                places.add(place)
                reached.update(name for name in node.output if name)
        return places


def trace_graph(content: bytes, feed: Mapping[str, NDArray[Any]]) -> GraphTrace:
    """Runs a copy of a graph in which every tensor is an output, unoptimised.

    Its inputs may have any sizes, whatever is declared. A graph that fails is cut before the node that fails, so that
    what came before it can still be seen. Tensors inside the bodies of If, Loop and Scan stay hidden.

    Args:
        content: an `.onnx` file with its weights inside.
        feed: arrays by input, neither batch nor sequence empty (onnxruntime aborts the process on a batch of 0).

    Raises:
        BundleError: not an ONNX file.
    """
    try:
        proto = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's decoder raises its own types, none of them onnx's
        raise BundleError("the graph is not an ONNX file", got=str(error)[:100]) from error
    _name_every_output(proto)
    count = len(proto.graph.node)
    refused = _refused(proto, feed)
    try:
        return GraphTrace(proto, _values(proto, feed, count), refused=refused)
    except BundleError as error:
        place, told = _failing(proto, feed, count, error)
        return GraphTrace(proto, _values(proto, feed, place), place, str(told), refused)


def _refused(proto: onnx.ModelProto, feed: Mapping[str, NDArray[Any]]) -> str:
    """The first input whose sizes are declared otherwise than they are given; onnxruntime would not take it."""
    for given in proto.graph.input:
        sizes = [dim.dim_value or dim.dim_param or "?" for dim in given.type.tensor_type.shape.dim]
        shape = feed[given.name].shape if given.name in feed else ()
        if any(isinstance(size, int) and size != got for size, got in zip(sizes, shape, strict=False)):
            return f"{given.name} is declared as [{', '.join(map(str, sizes))}] and given as {list(shape)}"
    return ""


def _failing(
    proto: onnx.ModelProto, feed: Mapping[str, NDArray[Any]], count: int, error: BundleError
) -> tuple[int, BundleError]:
    """The node that fails, and what is said of it: a graph that runs up to a node runs up to every earlier one."""
    runs, fails = 0, count
    while fails - runs > 1:
        middle = (runs + fails) // 2
        try:
            _values(proto, feed, middle)
            runs = middle
        except BundleError as found:
            fails, error = middle, found
    return fails - 1, error


def _values(proto: onnx.ModelProto, feed: Mapping[str, NDArray[Any]], count: int) -> tuple[NodeValue, ...]:
    """The float tensors of the first `count` nodes.

    Raises:
        BundleError: onnxruntime cannot load or run them.
    """
    given = [NodeValue(name, GRAPH_INPUT, array.astype(np.float64)) for name, array in feed.items() if _is_float(array)]
    if not count:
        return tuple(given)
    places = {name: place for place, node in enumerate(proto.graph.node[:count]) for name in node.output if name}
    opened = _cut(proto, count, places)
    session = create_session(opened.SerializeToString(), PLAIN)
    wanted = {value.name for value in session.get_inputs()}
    results = run_session(session, {name: array for name, array in feed.items() if name in wanted}, list(places))
    pairs = zip(places.items(), results, strict=True)
    made = [NodeValue(name, place, array.astype(np.float64)) for (name, place), array in pairs if _is_float(array)]
    return (*given, *made)


def _cut(proto: onnx.ModelProto, count: int, outputs: Iterable[str]) -> onnx.ModelProto:
    """A copy of the first `count` nodes with `outputs` as outputs, whose types onnxruntime finds by itself."""
    copied = onnx.ModelProto()
    copied.CopyFrom(proto)
    del copied.graph.node[count:]
    del copied.graph.output[:]
    for given in copied.graph.input:  # a size that is declared where it should be free would hide where it is used
        for dim in given.type.tensor_type.shape.dim:
            dim.Clear()
    copied.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    return copied


def _name_every_output(proto: onnx.ModelProto) -> None:
    """A recurrent node need not name what nobody reads; where it parts may be seen there first."""
    for place, node in enumerate(proto.graph.node):
        if node.op_type in RECURRENT_OPERATORS and node.domain in ("", "ai.onnx"):
            names = [*node.output, *[""] * (OUTPUTS[node.op_type] - len(node.output))]
            node.output[:] = [name or f"_unnamed_{place}_{number}" for number, name in enumerate(names)]


def _is_float(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind == "f"
