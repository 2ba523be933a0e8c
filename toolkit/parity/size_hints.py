"""Whole numbers in a graph that may decide by a size: sizes near them are worth a case."""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import numpy_helper

DECIDING = frozenset(
    ("Slice", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal", "Min", "Max", "Clip", "Mod", "Div", "Range")
)
"""Operators with which a graph can do one thing at one size and another at another."""

FEW = 4
"""Numbers of a constant that is a bound, not a weight."""


def size_hints(proto: onnx.ModelProto) -> tuple[int, ...]:
    """The whole numbers that operators of that kind read, their signs left out."""
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type == "Constant":
            constants.update((node.output[0], each.t) for each in node.attribute if each.name == "value")
    read = {name for node in proto.graph.node if node.op_type in DECIDING for name in node.input}
    return tuple(number for name in sorted(read & constants.keys()) for number in _whole(constants[name]))


def _whole(tensor: onnx.TensorProto) -> Iterator[int]:
    values = numpy_helper.to_array(tensor).ravel()
    if values.size <= FEW and values.dtype.kind in "iuf":
        exact = values.astype(np.float64)
        yield from (abs(int(number)) for number in exact[np.isfinite(exact)] if number == np.rint(number))
