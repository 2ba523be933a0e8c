"""How the nodes of an ONNX graph hang together at one moment, and the few edits that rewrites are made of."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

RECURRENT = ("LSTM", "GRU", "RNN")
Y, Y_H = 0, 1
"""Places of a recurrent node's outputs: every step, the last step of each direction."""


class GraphView:
    """Looks up producers and constants of a graph. It is made anew after every change of the graph.

    Args:
        graph: bodies of control flow are seen as users of the names that they take from outside, and never rewritten.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self._producers = {name: node for node in graph.node for name in node.output if name}
        # An initializer that is an input as well is only a default: the caller may feed something else.
        fed = {value.name for value in graph.input}
        self._initializers = {tensor.name: tensor for tensor in graph.initializer if tensor.name not in fed}

    def producer(self, name: str, *operators: str) -> onnx.NodeProto | None:
        """The node that computes `name`, if it is one of these operators of ONNX's own domain."""
        node = self._producers.get(name)
        return node if node is not None and node.domain == "" and node.op_type in operators else None

    def constant(self, name: str) -> NDArray[np.generic] | None:
        """The value of an initializer or of a `Constant` node; None for what is computed or fed."""
        if name in self._initializers:
            return numpy_helper.to_array(self._initializers[name])
        node = self.producer(name, "Constant")
        values = [attribute.t for attribute in node.attribute if attribute.name == "value"] if node else []
        return numpy_helper.to_array(values[0]) if values else None

    def integers(self, name: str) -> list[int] | None:
        """A constant of integers as a flat list."""
        value = self.constant(name)
        if value is None or not np.issubdtype(value.dtype, np.integer):
            return None
        return [int(number) for number in value.ravel()]

    def add_integers(self, values: int | Sequence[int]) -> str:
        """Name of an int64 initializer of this value; one that is there already is shared."""
        wanted = np.array(values, dtype=np.int64)
        for found, tensor in self._initializers.items():
            same_kind = tensor.data_type == onnx.TensorProto.INT64 and list(tensor.dims) == list(wanted.shape)
            if same_kind and np.array_equal(numpy_helper.to_array(tensor), wanted):
                return str(found)
        name = self.fresh("axes")
        self.graph.initializer.append(numpy_helper.from_array(wanted, name))
        self._initializers[name] = self.graph.initializer[-1]
        return name

    def fresh(self, stem: str) -> str:
        """A name that nothing in the graph has."""
        taken = names_in(self.graph)
        return next(name for number in range(len(taken) + 1) if (name := f"{stem}_{number}") not in taken)

    def replace(self, node: onnx.NodeProto, replacement: Iterable[onnx.NodeProto]) -> None:
        """Puts nodes in the place of one, so that the order of computation stays right."""
        place = next(number for number, other in enumerate(self.graph.node) if other.output == node.output)
        self.graph.node.pop(place)
        for offset, new in enumerate(replacement):
            self.graph.node.insert(place + offset, new)


def make_node(
    operator: str, inputs: Iterable[str], outputs: Iterable[str], **attributes: int | Sequence[int]
) -> onnx.NodeProto:
    """A node that is called after its output, as torch's are."""
    outputs = list(outputs)
    node = onnx.NodeProto(op_type=operator, input=inputs, output=outputs, name=f"node_{outputs[0]}")
    node.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in attributes.items())
    return node


def attribute(node: onnx.NodeProto, name: str, default: object = None) -> object:
    """The value of an attribute, texts decoded."""
    for found in node.attribute:
        if found.name == name:
            value = onnx.helper.get_attribute_value(found)
            return value.decode() if isinstance(value, bytes) else value
    return default


def directions(node: onnx.NodeProto) -> int:
    """2 for a bidirectional recurrent node, otherwise 1."""
    return 2 if attribute(node, "direction") == "bidirectional" else 1


def bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs inside a node: branches and loop bodies."""
    for found in node.attribute:
        if found.HasField("g"):
            yield found.g
        yield from found.graphs


def names_in(graph: onnx.GraphProto) -> set[str]:
    """Every name of a value in a graph, bodies included."""
    values = (*graph.input, *graph.output, *graph.initializer, *graph.value_info)
    names = {value.name for value in values}
    for node in graph.node:
        names.update(node.input, node.output, *(names_in(body) for body in bodies(node)))
    return names


def used_names(graph: onnx.GraphProto) -> set[str]:
    """Every name that a node of a graph reads, bodies included, and the graph's outputs."""
    names = {value.name for value in graph.output}
    for node in graph.node:
        names.update(node.input, *(used_names(body) for body in bodies(node)))
    return names - {""}


def rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Gives a value another name wherever a node reads or writes it, bodies included."""
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = new
        for body in bodies(node):
            rename(body, old, new)
