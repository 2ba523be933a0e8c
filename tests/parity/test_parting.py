import numpy as np
import pytest
from onnx import helper
from parted_graphs import BATCH, CHANNELS, HIDDEN, SEQUENCE, behind, change, copy_of, find, nodes, swap_gates

from toolkit.contract.graph_io import signature
from toolkit.export import export_graph
from toolkit.model.lstm import StreamingForecaster


def ours(model, graph):
    return model if graph == "windowed" else StreamingForecaster(model)


def raw_feed(model, graph):
    random = np.random.default_rng(0)
    x = random.standard_normal((BATCH, SEQUENCE, CHANNELS)) * [50.0, 2.0, 0.1] + [101_325.0, 20.0, -3.0]
    feed = {"x": x.astype(np.float32)}
    shape = (model.lstm.num_layers, BATCH, HIDDEN)
    states = {name: np.tanh(random.standard_normal(shape)).astype(np.float32) for name in ("h0", "c0")}
    return feed | (states if graph == "streaming" else {})


@pytest.fixture(scope="module")
def two_layers(forecaster):
    return forecaster(num_layers=2)


@pytest.fixture(scope="module")
def our_graphs(two_layers):
    return {graph: export_graph(two_layers, graph) for graph in ("windowed", "streaming")}


def find_ours(model, graph, proto):
    return find(ours(model, graph), proto, raw_feed(model, graph), signature(graph, model.shape))


@pytest.mark.parametrize("graph", ["windowed", "streaming"])
def test_our_own_graphs_do_not_part(two_layers, our_graphs, forecaster, graph):
    assert find_ours(two_layers, graph, our_graphs[graph]) is None
    three = forecaster(seed=3, num_layers=3)
    assert find_ours(three, graph, export_graph(three, graph)) is None


def gates_swapped(layer):
    def fault(proto):
        for name in "WRB":
            change(f"lstm.{name}_l{layer}", swap_gates)(proto)

    return fault


def one_weight_off(array):
    array[0, 3, 1] += np.float32(1e-2 * np.linalg.norm(array[0, 3]))
    return array


def reversed_direction(proto):
    nodes(proto, "LSTM")[1].attribute.append(helper.make_attribute("direction", "reverse"))


def unscaled_twice(proto):
    multiply = next(node for node in proto.graph.node if "forecast_standardised" in node.input)
    behind(proto, multiply, "Mul", np.array([0.1, 50.0], np.float32))


def crossed(first, second):
    def fault(proto):
        other = {first: second, second: first}
        for node in proto.graph.node:
            for names in (node.input, node.output):
                names[:] = [other.get(name, name) for name in names]

    return fault


def shortened(proto):
    """The first ten samples alone: right for every series of ten and less."""
    behind(proto, nodes(proto, "Transpose")[0], "Slice", np.array([0]), np.array([10]))


def baked(proto):
    behind(proto, nodes(proto, "Transpose")[0], "Reshape", np.array([29, -1, CHANNELS]))


def axes_mixed_up(proto):
    transpose = nodes(proto, "Transpose")[0]
    transpose.op_type = "Identity"
    del transpose.attribute[:]


def weakened(proto):
    """Half of what the head reads."""
    behind(
        proto, next(node for node in proto.graph.node if nodes(proto, "Gemm")[0].input[0] in node.output), "Mul", HALF
    )


def state_dropped(layer):
    """The layer starts from zeros, whatever is given."""

    def fault(proto):
        del nodes(proto, "LSTM")[layer].input[4:]

    return fault


HALF = np.array([0.5], np.float32)
reverse = change("input_offset", lambda array: array[::-1])
GATES = "gates are swapped in W, R and B: they stand in the order i, f, o, c where ONNX wants i, o, f, c"
BOTH = ("windowed", "streaming")
FAULTS = {
    "gates of the first layer swapped": (BOTH, gates_swapped(0), ("LSTM", 0), "lstm layer 0", GATES),
    "gates of the second layer swapped": (BOTH, gates_swapped(1), ("LSTM", 1), "lstm layer 1", GATES),
    "a bias dropped": (BOTH, change("lstm.B_l1", np.zeros_like), ("LSTM", 1), "lstm layer 1", "the bias is dropped"),
    "one weight a hundredth off": (
        BOTH,
        change("lstm.R_l1", one_weight_off),
        ("LSTM", 1),
        "lstm layer 1",
        "R is not the module's weights",
    ),
    "read from the end": (BOTH, reversed_direction, ("LSTM", 1), "lstm layer 1", "direction is reverse where"),
    "axes mixed up": (BOTH[:1], axes_mixed_up, ("LSTM", 0), "lstm layer 0", "batch and sequence axes"),
    "axes mixed up, given a state": (BOTH[1:], axes_mixed_up, ("LSTM", 0), "lstm layer 0", "batch and sequence axes"),
    "the head's bias dropped": (
        BOTH[:1],
        change("head.bias", np.zeros_like),
        ("Gemm", 0),
        "head",
        "its bias is missing",
    ),
    "the head's bias dropped from its sum": (BOTH[1:], change("head.bias", np.zeros_like), ("Add", 0), "head", ""),
    "offsets swapped": (BOTH, reverse, ("Sub", 0), "sub", ""),
    "scales swapped": (BOTH, change("input_scale", lambda array: array[::-1]), ("Mul", 0), "mul", ""),
    "un-scaling's offsets swapped": (BOTH, change("output_offset", lambda array: array[::-1]), ("Add", -1), "add", ""),
    "un-scaled twice": (BOTH, unscaled_twice, ("Mul", -1), "add", ""),
    "offsets dropped": (BOTH, change("input_offset", np.zeros_like), ("Sub", 0), "sub", ""),
    "un-scaling dropped": (BOTH, change("output_scale", np.ones_like), ("Mul", -1), "mul", ""),
    "half of what the head reads": (BOTH[:1], weakened, ("Mul", 1), "getitem", ""),
    "cut short": (BOTH, shortened, ("Slice", 0), "transpose", "it gives [10, 7, 3] where the module gives [13, 7, 3]"),
    "baked": (BOTH, baked, ("Reshape", 0), "lstm", "onnxruntime cannot run the graph"),
    "hn and cn crossed": (
        BOTH[1:],
        crossed("hn", "cn"),
        ("Concat", 1),
        "answer hn",
        "hn holds what the module gives as cn",
    ),
    "h0 and c0 crossed": (
        BOTH[1:],
        crossed("h0", "c0"),
        ("LSTM", 0),
        "lstm layer 0",
        "initial_h and initial_c are crossed",
    ),
    "the first state dropped": (BOTH[1:], state_dropped(0), ("LSTM", 0), "lstm layer 0", "the initial state that is"),
    "the second state dropped": (BOTH[1:], state_dropped(1), ("LSTM", 1), "lstm layer 1", "the initial state that is"),
}
"""For each fault the graphs that can have it, the node (which one of its operator), the module's part and the cause."""


@pytest.mark.parametrize(("name", "graph"), [(name, graph) for name, row in FAULTS.items() for graph in row[0]])
def test_the_node_of_a_fault_is_named(two_layers, our_graphs, name, graph):
    _, fault, (operator, number), module, cause = FAULTS[name]
    proto = copy_of(our_graphs[graph])
    fault(proto)
    found = find_ours(two_layers, graph, proto)
    node = nodes(proto, operator)[number]
    assert (found.operator, found.node) == (operator, node.name or node.output[0])
    assert module in found.module
    assert found.cause.startswith(cause)
    assert bool(found.cause) == bool(cause)
    assert "\n" not in found.cause
