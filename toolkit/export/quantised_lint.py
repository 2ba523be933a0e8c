"""Proof that a smaller graph holds the numbers of the float32 graph it was made from, and nothing else of its own.

Whether its answers are still good enough is another question, for held-out data to decide. This one is cheap, is
asked of every graph, and finds what an error measured on data may hide: a layer left as it was, a scale beside the
weights that is a little off, a bias lost on the way.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from toolkit.runtime.onnx_compatibility import QUANTISED_LSTM
from toolkit.runtime.operators import INT8_DOMAIN

INT8_LIMIT = 64
"""Whole numbers in an int8 graph go from -64 to 64, one bit less than int8 holds.

x86 processors without VNNI add two products of uint8 and int8 in 16 bits: 2 x 255 x 64 fits, 2 x 255 x 127 saturates.
"""

HALF_LIMIT = 65504.0
HALF_PRECISION = 2.0**-11
"""Largest number of IEEE 754 half precision, and its rounding error relative to a number that is not subnormal."""

LEAST_HALVED = 64
"""Elements. Halving fewer saves no more bytes than the Cast that goes with it takes."""

# Half a step, and what float32 adds to it when w / scale is rounded near 64.
_HALF_A_STEP = 0.5 + 1e-4
_MATRIX_INPUTS = {"LSTM": (1, 2), "GRU": (1, 2), "RNN": (1, 2), "MatMul": (0, 1), "Gemm": (0, 1)}
# W with its scale and zero point, then R; in ONNX's LSTM they are inputs 1 and 2.
_QUANTISED_INPUTS = ((1, (1, 8, 9)), (2, (2, 10, 11)))
_KEPT_INPUTS = (0, 3, 4, 5, 6, 7)

Tensors = dict[str, onnx.TensorProto]
Layer = tuple[onnx.NodeProto, onnx.NodeProto]
FloatArray = NDArray[np.float64]


def halvable(proto: onnx.ModelProto) -> tuple[str, ...]:
    """The initializers that can be stored in half precision, in their order.

    Matrices alone: W and R of recurrent layers, and the factors of MatMul and Gemm. Biases, scaling constants and
    whatever else is added or multiplied elementwise stay: they are few, and an offset of 101 325 does not fit into
    half. A tensor that is also used otherwise, or that a caller may feed, stays as well. See `survives_half` for the
    numbers themselves.
    """
    uses = [(name, place, node) for node in proto.graph.node for place, name in enumerate(node.input)]
    matrices = {name for name, place, node in uses if _is_matrix(place, node)}
    others = {name for name, place, node in uses if not _is_matrix(place, node)}
    others |= {value.name for value in (*proto.graph.input, *proto.graph.output)}
    return tuple(
        tensor.name
        for tensor in proto.graph.initializer
        if tensor.name in matrices - others
        and tensor.data_type == onnx.TensorProto.FLOAT
        and int(np.prod(tensor.dims)) >= LEAST_HALVED
        and survives_half(numpy_helper.to_array(tensor))
    )


def survives_half(values: NDArray[Any]) -> bool:
    """Whether a matrix keeps 11 bits when it is rounded to half precision.

    Judged by row and by column, not by number: among thousands of weights some are tiny by chance, and what half
    takes from those is nothing beside their neighbours. A row or column that is tiny as a whole may stand against an
    input in pascal or an output in microns, and would lose its bits.

    Args:
        values: `[..., rows, columns]`.
    """
    wide = np.atleast_2d(values).astype(np.float64)
    size = np.abs(wide)
    if not size.size or not size.max() <= HALF_LIMIT:
        return False
    error = np.abs(wide.astype(np.float16).astype(np.float64) - wide)
    beside = np.minimum(size.max(axis=-1, keepdims=True), size.max(axis=-2, keepdims=True))
    return bool((error <= HALF_PRECISION * beside).all())


def fp16_problems(fp32: onnx.ModelProto, fp16: onnx.ModelProto) -> tuple[str, ...]:
    """Every way in which a graph with weights in half precision departs from its original, in words.

    Each stored half must be the half nearest to the number in `fp32`, of a matrix that may be halved, and go through
    a Cast to float32 under the name of the original; everything else must be identical to the bit.
    """
    before, after = _initializers(fp32), _initializers(fp16)
    halves = {n for n, tensor in after.items() if tensor.data_type == onnx.TensorProto.FLOAT16 and n not in before}
    casts = {node.output[0]: node.input[0] for node in fp16.graph.node if _is_cast_of(node, halves)}
    nodes = [node for node in fp16.graph.node if not _is_cast_of(node, halves)]
    stored_whole = {name: tensor for name, tensor in before.items() if name not in casts}
    return (
        *([] if casts else ["no weight is stored in half precision"]),
        *_half_problems(fp32, after, casts),
        *_node_problems(fp32.graph.node, nodes),
        *_initializer_problems(stored_whole, {n: t for n, t in after.items() if n not in casts.values()}),
        *_surrounding_problems(fp32, fp16),
    )


def quantisation_problems(fp32: onnx.ModelProto, int8: onnx.ModelProto) -> tuple[str, ...]:
    """Every way in which an int8 graph departs from its original beyond quantisation, in words.

    Each W and R times its scale must lie within half a step of the number in `fp32`, with steps no coarser than
    the largest weight asks for and no whole number beyond `INT8_LIMIT`; no LSTM may be left as it was; everything
    else must be identical to the bit.
    """
    pairs = list(zip(fp32.graph.node, int8.graph.node, strict=False))
    layers = [pair for pair in pairs if _is_quantised(*pair)]
    nodes = [before if _is_quantised(before, after) else after for before, after in pairs]
    nodes += int8.graph.node[len(pairs) :]
    return (
        *(f"{_label(node)} is still in floating point" for node in int8.graph.node if node.op_type == "LSTM"),
        *_layer_problems(fp32, int8, layers),
        *_node_problems(fp32.graph.node, nodes),
        *_unquantised_problems(fp32, int8, layers),
        *_surrounding_problems(fp32, int8),
    )


def _is_matrix(place: int, node: onnx.NodeProto) -> bool:
    return place in _MATRIX_INPUTS.get(node.op_type, ())


def _is_cast_of(node: onnx.NodeProto, names: Iterable[str]) -> bool:
    return node.op_type == "Cast" and node.input[0] in names and _attributes(node).get("to") == onnx.TensorProto.FLOAT


def _is_quantised(before: onnx.NodeProto, after: onnx.NodeProto) -> bool:
    """Whether `after` is the LSTM `before` in int8: the same wires and attributes, other weights."""
    return (
        (before.op_type, after.op_type, after.domain) == ("LSTM", QUANTISED_LSTM, INT8_DOMAIN)
        and [_input(before, place) for place in _KEPT_INPUTS] == [_input(after, place) for place in _KEPT_INPUTS]
        and list(before.output) == list(after.output)
        and {"layout": 0} | _attributes(before) == {"layout": 0} | _attributes(after)
    )


def _half_problems(fp32: onnx.ModelProto, stored: Tensors, casts: dict[str, str]) -> Iterator[str]:
    before, allowed = _initializers(fp32), halvable(fp32)
    for name, half in casts.items():
        if name not in allowed:
            yield f"{name} must not be stored in half precision"
            continue
        wanted = numpy_helper.to_array(before[name]).astype(np.float16)
        found = numpy_helper.to_array(stored[half])
        if wanted.shape != found.shape:
            yield f"{half} has the shape {list(found.shape)} instead of {list(wanted.shape)}"
        elif wanted.tobytes() != found.tobytes():
            count = np.count_nonzero(wanted.view(np.uint16) != found.view(np.uint16))
            yield f"{half}: {count} of {wanted.size} numbers are not the nearest half of {name}"


def _layer_problems(fp32: onnx.ModelProto, int8: onnx.ModelProto, layers: Sequence[Layer]) -> Iterator[str]:
    before, after = _initializers(fp32), _initializers(int8)
    for lstm, quantised in layers:
        for place, places in _QUANTISED_INPUTS:
            name, names = lstm.input[place], [_input(quantised, place) for place in places]
            missing = [n for n, tensors in ((name, before), *((n, after) for n in names)) if n not in tensors]
            if missing:
                yield f"{_label(quantised)}: input {missing[0] or '(empty)'} is no weight of the graph"
                continue
            numbers, scale, zero = (numpy_helper.to_array(after[n]) for n in names)
            problems = _weight_problems(numpy_helper.to_array(before[name]), numbers, scale, zero)
            yield from (f"{names[0]}: {problem}" for problem in problems)


def _weight_problems(
    wanted: NDArray[Any], numbers: NDArray[Any], scale: NDArray[Any], zero: NDArray[Any]
) -> Iterator[str]:
    directions, gates, width = wanted.shape  # gates: 4 x hidden_size; the operator wants it as the last axis
    shapes = [(directions,), (directions, gates)]
    if numbers.dtype != np.int8 or numbers.shape != (directions, width, gates):
        yield f"{numbers.dtype} {list(numbers.shape)} instead of int8 {[directions, width, gates]}"
        return
    if scale.shape not in shapes or zero.shape != scale.shape or not (np.isfinite(scale) & (scale > 0)).all():
        yield f"scale {list(scale.shape)} and zero point {list(zero.shape)} are no positive numbers for each direction"
        return
    step = scale.astype(np.float64).reshape(directions, -1, 1)  # [directions, 1 or gates, 1]
    steps = numbers.transpose(0, 2, 1).astype(np.float64) - zero.astype(np.float64).reshape(step.shape)
    yield from _step_problems(wanted.astype(np.float64), steps, step)
    if np.abs(numbers.astype(np.int64)).max() > INT8_LIMIT:
        yield f"numbers beyond {INT8_LIMIT}, whose products saturate on processors without VNNI"


def _step_problems(wanted: FloatArray, steps: FloatArray, step: FloatArray) -> Iterator[str]:
    """Steps that do not lead to the weights (`[directions, gates, width]`), or that are needlessly long."""
    off = np.abs(steps - wanted / step)
    wrong = ~(off <= _HALF_A_STEP)  # NaN is wrong too
    if wrong.any():
        yield f"{wrong.sum()} of {wrong.size} weights are more than half a step off, the worst {off.max():.2f} steps"
    largest = np.abs(wanted).max(axis=2 if step.shape[1] > 1 else (1, 2), keepdims=True)
    if ((largest > 0) & (step * INT8_LIMIT > largest * 1.001)).any():
        yield f"its steps are longer than a {INT8_LIMIT}th of the largest weight"


def _unquantised_problems(fp32: onnx.ModelProto, int8: onnx.ModelProto, layers: Sequence[Layer]) -> Iterator[str]:
    """Initializers that are neither weights that went nor weights that came, compared to the bit."""
    used = {name for node in int8.graph.node for name in node.input}
    gone = {_input(lstm, place) for lstm, _ in layers for place in (1, 2)} - used
    come = {_input(node, place) for _, node in layers for _, places in _QUANTISED_INPUTS for place in places}
    before = {name: tensor for name, tensor in _initializers(fp32).items() if name not in gone}
    after = {name: tensor for name, tensor in _initializers(int8).items() if name in before or name not in come}
    yield from _initializer_problems(before, after)


def _initializer_problems(before: Tensors, after: Tensors) -> Iterator[str]:
    for name in dict.fromkeys((*before, *after)):
        if name not in after:
            yield f"{name} is missing"
        elif name not in before:
            yield f"{name} is not in the float32 graph"
        elif before[name] != after[name]:
            yield f"{name} is not the float32 graph's"


def _node_problems(before: Sequence[onnx.NodeProto], after: Sequence[onnx.NodeProto]) -> Iterator[str]:
    if len(before) != len(after):
        yield f"it has {len(after)} nodes where the float32 graph has {len(before)}"
        return
    for wanted, found in zip(before, after, strict=True):
        if wanted != found:
            yield f"{_label(found)} is not the float32 graph's {_label(wanted)}"


def _surrounding_problems(fp32: onnx.ModelProto, variant: onnx.ModelProto) -> Iterator[str]:
    """Everything but nodes and numbers: inputs, outputs, axes, metadata, versions."""
    for before, after, apart in (
        (fp32, variant, ("graph", "opset_import")),
        (fp32.graph, variant.graph, ("node", "initializer")),
    ):
        fields = (field.name for field in before.DESCRIPTOR.fields if field.name not in apart)
        yield from (f"{name} is not the float32 graph's" for name in fields if _field(before, name, after))
    opsets = [(entry.domain, entry.version) for entry in fp32.opset_import]
    found = [(entry.domain, entry.version) for entry in variant.opset_import]
    if [entry for entry in found if entry in opsets or entry[0] != INT8_DOMAIN] != opsets:
        yield "opset_import is not the float32 graph's"


def _field(before: Any, name: str, after: Any) -> bool:
    return bool(getattr(before, name) != getattr(after, name))


def _initializers(proto: onnx.ModelProto) -> Tensors:
    return {tensor.name: tensor for tensor in proto.graph.initializer}


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _input(node: onnx.NodeProto, place: int) -> str:
    return node.input[place] if place < len(node.input) else ""


def _label(node: onnx.NodeProto) -> str:
    return f"{node.op_type} {node.name or (node.output[0] if node.output else '')}".strip()
