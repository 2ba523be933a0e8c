"""Graphs in ONNX's text form, and what must hold of each after it is simplified."""

import copy

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from toolkit.export.simplify import simplify

CHANNELS, HIDDEN = 3, 4
SHAPES = ((1, 1), (2, 5), (7, 40))
"""(batch, sequence); the graphs are dynamic in both."""
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
CONSTANTS = """
    float zero = {0}, float[1, 3, 4] zeros3 = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    int64 last = {-1}, int64 minus2 = {-2}, int64 third = {2}, int64[1] minus1 = {-1}, int64[1] minus2s = {-2},
    int64[1] end = {9223372036854775807}, int64[1] axis0 = {0}, int64[1] axis1 = {1}, int64[1] axis2 = {2},
    int64[1] two = {2}, int64[1] four = {4}, int64[3] merged = {0, 0, -1},
    int64[4] viewed = {2, 1, -1, 4}, int64[4] viewed2 = {1, 2, -1, 4}
"""


def parse(body, outputs="y", inputs="float[sequence, batch, 3] x"):
    """A graph of ONNX's text form; W, R and B of any recurrent node are named after its operator and directions.

    `W_LSTM1` has one direction, `W_LSTM2` two; `V` instead of `W` reads what one hidden layer gives.
    """
    names = ", ".join(f"float {name}" for name in outputs.split())
    text = f'<ir_version: 8, opset_import: ["" : 18]> g ({inputs}) => ({names}) <{CONSTANTS}> {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    generator = np.random.default_rng(0)
    used = sorted({name for node in proto.graph.node for name in node.input if name[:2] in ("W_", "V_", "R_", "B_")})
    for name in used:
        directions, rows = int(name[-1]), GATES[name[2:-1]] * HIDDEN
        width = {"W": CHANNELS, "V": HIDDEN, "R": HIDDEN, "B": 0}[name[0]]
        shape = (directions, rows, width) if width else (directions, 2 * rows)
        proto.graph.initializer.append(numpy_helper.from_array(generator.normal(size=shape).astype(np.float32), name))
    return with_output_shapes(proto)


def with_output_shapes(proto):
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph.output
    for output, known in zip(proto.graph.output, inferred, strict=True):
        output.CopyFrom(known)
    return proto


def layer(outputs, x="x", more="", kind="LSTM", directions=1, weights="W"):
    """The text of one recurrent node."""
    direction = {1: "", 2: ', direction="bidirectional"'}[directions]
    reset = ", linear_before_reset=1" if kind == "GRU" else ""
    tensors = f"{weights}_{kind}{directions}, R_{kind}{directions}, B_{kind}{directions}"
    return f"{outputs} = {kind} <hidden_size=4{direction}{reset}> ({x}, {tensors}{more})\n"


def feeds(proto, batch, sequence):
    generator = np.random.default_rng(batch + sequence)
    sizes = {"batch": batch, "sequence": sequence}
    for value in proto.graph.input:
        shape = [sizes[dim.dim_param] if dim.dim_param else dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if value.type.tensor_type.elem_type == onnx.TensorProto.INT32:
            yield value.name, np.arange(1, batch + 1, dtype=np.int32).clip(max=sequence)
        else:
            yield value.name, generator.normal(size=shape).astype(np.float32)


def session(proto):
    return onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])


def simplified(proto, shapes=SHAPES):
    """The simplified graph, after all that must hold of every one of them."""
    before = copy.deepcopy(proto)
    simplify(proto)
    proto.ir_version = 8
    onnx.checker.check_model(proto, full_check=True)
    onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    assert [value.name for value in proto.graph.input] == [value.name for value in before.graph.input]
    assert [value.name for value in proto.graph.output] == [value.name for value in before.graph.output]
    again = copy.deepcopy(proto)
    simplify(again)
    assert again == proto
    sessions = session(before), session(proto)
    for batch, sequence in shapes:
        feed = dict(feeds(before, batch, sequence))
        for exact, got in zip(*(one.run(None, feed) for one in sessions), strict=True):
            np.testing.assert_array_equal(got, exact, strict=True)
    return proto


def operators(proto):
    return [node.op_type for node in proto.graph.node]


def initializers(proto):
    return {tensor.name for tensor in proto.graph.initializer}
