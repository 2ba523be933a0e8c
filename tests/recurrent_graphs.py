"""Forecasters as ONNX graphs, written node by node: any recurrent layer in a second's thousandth, without torch."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from toolkit.contract.graph_io import STANDARDISED

HIDDEN, CHANNELS = 16, 5
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def float_value(name, *axes):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, axes)


def recurrent(*, layers=1, directions=1, states=False, operator="LSTM", shared=False, seed=0):
    """x -> Sub, Mul -> recurrent layers -> last step -> Gemm -> Mul, Add, as `export_graph` writes them.

    With `shared`, all layers have the weights of the first; their input is widened to be as wide as their output.
    """
    generator = np.random.default_rng(seed)
    merged = HIDDEN * directions
    weights = {
        "input_offset": np.float32([101_325, 0, 1e-8, 1, 2]),
        "input_scale": np.float32([1e-3, 1, 9, 1, 1]),
        "merged": np.int64([0, 0, -1]),
        "head.weight": generator.uniform(-0.2, 0.2, (4, merged)).astype(np.float32),
        "head.bias": generator.uniform(-0.2, 0.2, 4).astype(np.float32),
        "output_scale": np.float32([50]),
        "output_offset": np.float32([101_325]),
        "last": np.int64(-1),
    }
    nodes = [node("Sub", ["x", "input_offset"], "centred"), node("Mul", ["centred", "input_scale"], "m")]
    if shared:
        weights["up"] = generator.normal(size=(CHANNELS, merged)).astype(np.float32)
        nodes.append(node("MatMul", ["m", "up"], "m_up"))
    source, width = nodes[-1].output[0], merged if shared else CHANNELS
    for layer in range(layers):
        names = [f"{name}{0 if shared else layer}" for name in "WRB"]
        weights |= dict(zip(names, layer_weights(generator, operator, directions, width), strict=True))
        state = ["", "h0", "c0"][: 3 if operator == "LSTM" else 2] if states else []
        nodes += layer_nodes(operator, f"layer{layer}", [source, *names, *state], directions)
        source, width = nodes[-1].output[0], merged
    nodes.append(node("Gather", [source, "last"], "step", axis=0))
    nodes.append(node("Gemm", ["step", "head.weight", "head.bias"], STANDARDISED, transB=1))
    nodes.append(node("Mul", [STANDARDISED, "output_scale"], "unscaled"))
    nodes.append(node("Add", ["unscaled", "output_offset"], "forecast"))
    return model(nodes, weights, [float_value(name, directions, "batch", HIDDEN) for name in state[1:]])


def node(operator, inputs, output, **attributes):
    return helper.make_node(operator, inputs, [output], **attributes)


def layer_weights(generator, operator, directions, width):
    """W, R and B."""
    rows = GATES[operator] * HIDDEN
    for size in ((directions, rows, width), (directions, rows, HIDDEN), (directions, 2 * rows)):
        yield generator.uniform(-0.25, 0.25, size).astype(np.float32)


def layer_nodes(operator, name, inputs, directions):
    """One recurrent layer, and its output with both directions side by side."""
    outputs = [f"{name}.{tensor}" for tensor in ("y", "hn", "cn")][: 3 if operator == "LSTM" else 2]
    options = {"hidden_size": HIDDEN} | ({"direction": "bidirectional"} if directions == 2 else {})
    yield helper.make_node(operator, inputs, outputs, name, **options)
    yield node("Transpose", [f"{name}.y"], f"{name}.t", perm=[0, 2, 1, 3])
    yield node("Reshape", [f"{name}.t", "merged"], f"{name}.m")


def model(nodes, weights, states):
    graph = helper.make_graph(
        nodes,
        "forecaster",
        [float_value("x", "sequence", "batch", CHANNELS), *states],
        [float_value("forecast", "batch", 4), float_value(STANDARDISED, "batch", 4)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8, producer_name="us")
    proto.metadata_props.add(key="lstm_edge.graph", value="windowed")
    return proto


def numpy_arrays(proto):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}


def changed(proto, name, change):
    """A copy of a graph in which one weight is another."""
    damaged = onnx.ModelProto.FromString(proto.SerializeToString())
    tensor = next(tensor for tensor in damaged.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor).copy()), name))
    return damaged
