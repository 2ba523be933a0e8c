"""Single faults in fp16 and int8 graphs, for the mutation score: each gives the name that has to be told."""

from collections.abc import Callable

import numpy as np
import onnx
from mutations import Fault, nudged
from onnx import helper, numpy_helper
from wrong_exports import GRUS, LSTMS, WINDOWED, attribute, change


def whole_numbers(number: int, weight: str, how: Callable[[np.ndarray], np.ndarray]) -> Callable:
    """Of an int8 layer: the numbers, scale or zero point of W or R changed; gives the constant's name."""
    place = {"W": 1, "R": 2, "scale of W": 8, "scale of R": 10, "zero point of W": 9, "zero point of R": 11}[weight]

    def fault(proto: onnx.ModelProto) -> str:
        node = [node for node in proto.graph.node if node.op_type == "DynamicQuantizeLSTM"][number]
        change(proto, node.input[place], how)
        return str(node.input[1 if "W" in weight else 2])

    return fault


def one_step(array: np.ndarray) -> np.ndarray:
    array.flat[array.size // 2] += 1
    return array


def one_half(number: int) -> Callable:
    """Of an fp16 graph: one number of the n-th half, to the next half there is."""

    def fault(proto: onnx.ModelProto) -> str:
        stored = [t for t in proto.graph.initializer if t.data_type == onnx.TensorProto.FLOAT16][number]
        values = numpy_helper.to_array(stored).copy()
        values.flat[values.size // 2] = np.nextafter(values.flat[values.size // 2], np.float16(np.inf))
        stored.CopyFrom(numpy_helper.from_array(values, stored.name))
        return str(stored.name)

    return fault


def named_constant(ending: str, how: Callable[[np.ndarray], np.ndarray]) -> Callable:
    def fault(proto: onnx.ModelProto) -> str:
        change(proto, ending, how)
        return ending

    return fault


def named_node(fault: Fault, operator: str, number: int) -> Callable:
    def damage(proto: onnx.ModelProto) -> str:
        node = [node for node in proto.graph.node if node.op_type == operator][number]
        fault(proto)
        return str(node.name)

    return damage


def quantised_attribute(name: str, value: object) -> Fault:
    def fault(proto: onnx.ModelProto) -> None:
        node = next(node for node in proto.graph.node if node.op_type == "DynamicQuantizeLSTM")
        kept = [entry for entry in node.attribute if entry.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return fault


PRECISION: dict[str, tuple[str, Callable[[onnx.ModelProto], str], tuple[str, ...]]] = {
    **{
        f"int8: {weight} of layer {layer} {told}": ("int8", whole_numbers(layer, weight, how), LSTMS[:3])
        for layer in (0, 1)
        for weight, told, how in (
            ("scale of W", "1 % larger", lambda array: array * np.float32(1.01)),
            ("scale of R", "1 % smaller", lambda array: array * np.float32(0.99)),
            ("W", "one number by a step", one_step),
            ("R", "one number by a step", one_step),
            ("zero point of R", "by a step", lambda array: array + np.ones_like(array)),
        )
    },
    "int8: the head's bias nudged": ("int8", named_constant("head.bias", nudged), LSTMS[:3]),
    "int8: a layer reversed": (
        "int8",
        named_node(quantised_attribute("direction", "reverse"), "DynamicQuantizeLSTM", 0),
        ("own lstm",),
    ),
    **{f"fp16: half {number} not the nearest": ("fp16", one_half(number), WINDOWED) for number in (0, 1, 2)},
    "fp16: an offset nudged": ("fp16", named_constant("input_offset", nudged), WINDOWED),
    "fp16: linear_before_reset": ("fp16", named_node(attribute("linear_before_reset", 0), "GRU", 0), GRUS),
}
"""The precision, what is done, which gives the name to be told, and the graphs."""
