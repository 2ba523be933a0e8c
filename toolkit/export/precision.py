"""Smaller graphs from a float32 one: weights in half precision, or LSTMs in int8.

Both keep names, axes, metadata and everything else of the original, and neither leaves unproven
(`toolkit.export.quantised_lint`). Whether they are worth it is for measurements to say.

fp16 is a matter of size alone: weights lie in the file as halves, onnxruntime makes them float32 when it loads the
graph, and from there on the work is the same. Arithmetic in half would overflow on an input of 101 325.

int8 computes an LSTM's matrix products in whole numbers. Their input has one scale for all series of a batch and all
samples of a call, and the hidden state one for all series: an answer depends on its neighbours in the batch, so these
graphs are to be run one series at a time, and on how a stream is cut into calls, so that chunks and the whole agree
only as closely as int8 and float32 do.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from toolkit.errors import GateError, ModelError
from toolkit.export.quantised_lint import LEAST_HALVED, fp16_problems, halvable, quantisation_problems
from toolkit.runtime.operators import INT8_DOMAIN, INT8_OPERATORS

__all__ = ["FP16_OPERATORS", "INT8_DOMAIN", "INT8_OPERATORS", "to_fp16", "to_int8"]

FP16_OPERATORS = frozenset({"Cast"})
"""Operators that a graph with weights in half precision holds besides those of its float32 graph."""

HALF_SUFFIX = "_half"

# The quantiser advises pre-processing, on the root logger, unless the graph says that it has been.
_QUANTISER_HUSH = {"onnx.quant.pre_process": "onnxruntime.quant"}


def to_fp16(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Stores the weights in half precision, with a Cast to float32 before their use.

    The half is named like the weight with `_half` behind it, and the Cast gives the weight its old name back, so that
    no other node changes. onnxruntime folds the Cast when it loads the graph (its `basic` optimisation).

    Args:
        proto: a float32 graph; it is not changed. What is stored in half and what is not: `halvable`.

    Raises:
        ModelError: no weight can be stored in half, or a name that is needed is taken.
        GateError: the result is not what it must be.
    """
    names = halvable(proto)
    if not names:
        allowed = f"a matrix of {LEAST_HALVED} or more weights, in float32 and within the range of half precision"
        raise ModelError("no weight of the graph can be stored in half precision", allowed=allowed)
    _refuse_taken(proto, [name + HALF_SUFFIX for name in names])
    result = _copy(proto)
    for tensor in result.graph.initializer:
        if tensor.name in names:
            tensor.CopyFrom(_half(tensor))
    casts = [
        helper.make_node("Cast", [name + HALF_SUFFIX], [name], f"{name}_to_float", to=TensorProto.FLOAT)
        for name in names
    ]
    _replace(result.graph.node, [*casts, *proto.graph.node])
    _check(fp16_problems(proto, result), "fp16 graph")
    return result


def to_int8(proto: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Quantises the weights of every LSTM with onnxruntime's dynamic quantisation.

    One scale for each direction, and whole numbers from -64 to 64 (`reduce_range`): with the full range, 16-bit sums
    saturate on x86 processors without VNNI, and the largest error was 12 to 22 times as large there. A scale for
    each row took 7-13 % longer for a window and was no more accurate on the whole; uint8 weights are right
    everywhere as well, and took 6-43 % longer.

    Only the LSTMs come from the quantiser, one at a time: given a whole graph it rewrites the head, renames the
    producer, and reads weights that two layers share in the wrong order.

    Args:
        proto: a float32 graph; it is not changed.
        name: what to call the graph in messages.

    Raises:
        ModelError: there is a GRU or RNN, or no LSTM, weights that are not finite, or a name that is taken.
        GateError: an LSTM is still in floating point, or the result is not what it must be.
    """
    _refuse_unquantisable(proto, name)
    layers = [_quantised(node, proto) for node in proto.graph.node]
    added = {tensor.name: tensor for layer in layers if layer for tensor in layer.initializer}
    _refuse_taken(proto, added)
    nodes = [layer.node[0] if layer else node for layer, node in zip(layers, proto.graph.node, strict=True)]
    gone = {source for layer, node in zip(layers, proto.graph.node, strict=True) if layer for source in node.input[1:3]}
    gone -= {source for node in nodes for source in node.input}
    kept = [tensor for tensor in proto.graph.initializer if tensor.name not in gone]
    result = _copy(proto)
    _replace(result.graph.node, nodes)
    _replace(result.graph.initializer, [*kept, *added.values()])
    if not any(entry.domain == INT8_DOMAIN for entry in result.opset_import):
        result.opset_import.append(helper.make_opsetid(INT8_DOMAIN, 1))
    _check(quantisation_problems(proto, result), f"int8 {name} graph")
    return result


def _refuse_unquantisable(proto: onnx.ModelProto, name: str) -> None:
    operators = {node.op_type for node in proto.graph.node}
    for operator, article in (("GRU", "a"), ("RNN", "an")):
        if operator in operators:
            what = f"int8 of {article} {operator} is refused: onnxruntime leaves it in floating point"
            raise ModelError(what, allowed="LSTM", fix="--precision fp16")
    if "LSTM" not in operators:
        raise ModelError(f"int8 of the {name} graph is refused", got="no LSTM", allowed="a graph with an LSTM")


def _refuse_taken(proto: onnx.ModelProto, names: Iterable[str]) -> None:
    """Two tensors of one name would be a wrong graph, and a name found anew would depend on what else is there."""
    taken = {tensor.name for tensor in (*proto.graph.initializer, *proto.graph.input)}
    taken |= {output for node in proto.graph.node for output in node.output}
    clash = next((name for name in names if name in taken), None)
    if clash is not None:
        raise ModelError("a name that the smaller graph needs is taken", got=clash, fix="rename that tensor")


def _quantised(node: onnx.NodeProto, proto: onnx.ModelProto) -> onnx.GraphProto | None:
    """A graph of one quantised layer; None where there is nothing to quantise."""
    fed = {value.name for value in proto.graph.input}
    constants = {t.name: t for t in proto.graph.initializer if t.data_type == TensorProto.FLOAT and t.name not in fed}
    if node.op_type != "LSTM" or not all(source in constants for source in node.input[1:3]):
        return None
    for source in node.input[1:3]:
        if not np.isfinite(numpy_helper.to_array(constants[source])).all():
            raise ModelError(f"the weights {source} hold NaN or infinity", allowed="finite weights: int8 has no others")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.onnx"
        quantize_dynamic(
            _alone(node, [constants[source] for source in dict.fromkeys(node.input[1:3])], proto),
            path,
            op_types_to_quantize=["LSTM"],
            per_channel=False,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(path).graph


def _alone(node: onnx.NodeProto, weights: list[TensorProto], proto: onnx.ModelProto) -> onnx.ModelProto:
    """A graph of one node, whose other inputs are fed."""
    names = {weight.name for weight in weights}
    inputs = [
        helper.make_tensor_value_info(source, TensorProto.INT32 if place == 4 else TensorProto.FLOAT, None)
        for place, source in enumerate(node.input)
        if source and source not in names
    ]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None) for output in node.output if output]
    graph = helper.make_graph([node], "layer", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=proto.opset_import, ir_version=proto.ir_version)
    helper.set_model_props(model, _QUANTISER_HUSH)
    return model


def _half(tensor: TensorProto) -> TensorProto:
    values = numpy_helper.to_array(tensor).astype(np.float16)  # rounds to the nearest, ties to even
    return numpy_helper.from_array(values, tensor.name + HALF_SUFFIX)


def _copy(proto: onnx.ModelProto) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    return result


def _replace(field: Any, items: Iterable[Any]) -> None:
    """Fills a repeated field of a protobuf message anew."""
    del field[:]
    field.extend(items)


def _check(problems: tuple[str, ...], name: str) -> None:
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise GateError(f"the {name} does not hold what its float32 graph does: {problems[0]}{more}")
