"""How the tensors of an ONNX graph hang together: what makes each, which are constant, which input one comes from."""

from dataclasses import replace

import numpy as np

from toolkit.contract.frozen import dataclass
from toolkit.errors import BundleError
from toolkit.runtime.onnx_file import Graph, Node, Value, with_bodies
from toolkit.runtime.onnx_tensor import Tensor, values

RECURRENT = ("LSTM", "GRU", "RNN")

_ELEMENTWISE = ("Identity", "Cast", "Add", "Sub", "Mul", "Div", "Pow", "Where", "Relu", "Tanh", "Sigmoid", "Clip")
_PARTS = ("Dropout", "MatMul", "Slice", "Split", "LayerNormalization", "QuantizeLinear", "DequantizeLinear")
_KEEP_AXES = frozenset((*_ELEMENTWISE, *_PARTS))
"""Operators whose output has the axes of their input, as far as which is which goes."""

_NEVER_CONSTANT = frozenset(["RandomNormal", "RandomUniform", "If", "Loop", "Scan"])
_MAX_STEPS = 1000
_MAX_SHAPE = 64


@dataclass(frozen=True)
class Origin:
    """A graph's input, and for each axis of the tensor that comes from it the input's axis."""

    value: Value
    axes: tuple[int, ...]


class Wiring:
    """Names of a graph's tensors, looked up; they are unique within it, bodies of control flow included."""

    def __init__(self, root: Graph) -> None:
        self.root = root
        self.constants = _stored(root)
        self.inputs = {value.name: value for value in root.inputs if value.name not in self.constants}
        self.producers: dict[str, Node] = {}
        self._constant = set(self.constants)
        for graph in with_bodies(root):
            self._add(graph.nodes)

    def is_constant(self, name: str) -> bool:
        """Whether the tensor is the same in every call: stored, or computed from nothing but what is stored."""
        return name in self._constant

    def whole_numbers(self, name: str) -> tuple[int, ...] | None:
        """The numbers of a small stored tensor, such as a shape; None where there is none of that name."""
        tensor = self.constants.get(name)
        if tensor is None or tensor.dtype != "int64" or tensor.elements > _MAX_SHAPE:
            return None
        try:
            return tuple(int(number) for number in values(tensor).astype(np.int64).ravel())
        except BundleError:
            return None

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The dims of a tensor that is stored or expanded from a stored shape; None where they are not known."""
        for _ in range(_MAX_STEPS):
            tensor, node = self.constants.get(name), self.producers.get(name)
            if tensor is not None:
                return tensor.dims
            if node is None or node.op_type not in ("Identity", "Cast"):
                return self._declared_shape(node)
            name = node.input(0)
        return None

    def origin(self, name: str, rank: int = 3) -> Origin | None:
        """The graph's input that the tensor comes from, axes kept or transposed on the way; None where it is unclear.

        Args:
            name: of the tensor.
            rank: of the tensor; an input of another rank is none.
        """
        axes = tuple(range(rank))
        for _ in range(_MAX_STEPS):
            value, node = self.inputs.get(name), self.producers.get(name)
            if value is not None:
                return Origin(value, axes) if value.axes is not None and len(value.axes) == rank else None
            if node is None:
                return None
            if node.op_type == "Transpose":
                order = _order(node, rank)
                if sorted(order) != list(range(rank)):
                    return None
                axes = tuple(order[axis] for axis in axes)
            elif node.op_type not in _KEEP_AXES:
                return None
            name = next((source for source in node.inputs if not self.is_constant(source)), "")
        return None

    def _add(self, nodes: tuple[Node, ...]) -> None:
        for node in nodes:
            self.producers.update(dict.fromkeys(filter(None, node.outputs), node))
            if node.op_type not in _NEVER_CONSTANT and all(map(self.is_constant, filter(None, node.inputs))):
                self._constant.update(filter(None, node.outputs))

    def _declared_shape(self, node: Node | None) -> tuple[int, ...] | None:
        """The dims that `ConstantOfShape`, `Expand` or `Reshape` is told."""
        place = {"ConstantOfShape": 0, "Expand": 1, "Reshape": 1}.get(node.op_type) if node is not None else None
        dims = self.whole_numbers(node.input(place)) if node is not None and place is not None else None
        return dims if dims is not None and all(size > 0 for size in dims) else None


def _stored(root: Graph) -> dict[str, Tensor]:
    """Initializers and the tensors of `Constant` nodes, by name."""
    found: dict[str, Tensor] = {}
    for graph in with_bodies(root):
        found.update({tensor.name: tensor for tensor in graph.initializers})
        found.update({part.values.name: replace(part.values, dims=part.dims) for part in graph.sparse_initializers})
        for node in graph.nodes:
            value = node.attribute("value") if node.op_type == "Constant" else None
            if value is not None and value.tensors and node.outputs:
                found[node.outputs[0]] = value.tensors[0]
    return found


def _order(node: Node, rank: int) -> tuple[int, ...]:
    order = node.attribute("perm")
    return order.ints if order is not None and order.ints else tuple(reversed(range(rank)))
