"""Exports known to be wrong: faults put into clean graphs, and what torch's own exporters make of modules.

Each fault changes the proto it is given. Two families of modules have it: the toolkit's own, and one that somebody
else might have written, whose scaling goes by the same names.
"""

import functools

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from verdicts import as_graph

from toolkit.contract.graph_io import STANDARDISED
from toolkit.export.graphs import example_sizes, export_torch_graph
from toolkit.model import MultivariateLSTM
from toolkit.model.torch_graph import torch_graphs

CHANNELS, HIDDEN = 3, 8
EXAMPLE = (3, 29)
"""Batch and sequence that a baked graph holds."""


class Meter(nn.Module):
    """Somebody's module: scaling, a layer before and behind the recurrent ones, every step's answer from the state."""

    def __init__(self, cell="lstm", *, streaming=False):
        super().__init__()
        self.streaming = streaming
        self.register_buffer("input_offset", torch.tensor([0.5, -1.0, 0.25]))
        self.register_buffer("input_scale", torch.tensor([2.0, 0.5, 1.5]))
        self.front = nn.Linear(CHANNELS, CHANNELS)
        self.recurrent = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](CHANNELS, HIDDEN, 2, batch_first=True)
        self.head = nn.Linear(HIDDEN, 2)
        self.register_buffer("output_scale", torch.tensor([3.0, 7.0]))
        self.register_buffer("output_offset", torch.tensor([20.0, -5.0]))

    def forward(self, x, *state):
        inner = torch.tanh(self.front((x - self.input_offset) * self.input_scale))
        steps, last = self.recurrent(inner, *((state,) if state else ()))
        answer = self.head(steps if self.streaming else steps[:, -1]) * self.output_scale + self.output_offset
        return (answer, last) if self.streaming else answer


def own(graph="windowed", **options):
    model = MultivariateLSTM(CHANNELS, HIDDEN, 2, horizon=2, targets=2, batch_first=True, **options)
    model.set_scaling(torch.tensor([101_325.0, 20.0, -3.0]), torch.tensor([50.0, 2.0, 0.1]), [0, 2])
    return torch_graphs(model.eval())[graph]


def foreign(cell="lstm", *, streaming=False):
    states = {"h0": "hn", "c0": "cn"} if streaming else {}
    inputs = [f"x: batch, sequence, {CHANNELS}", *(f"{name}: 2, batch, {HIDDEN}" for name in states)]
    return as_graph(Meter(cell, streaming=streaming), inputs, ("y", *states.values()), states)


SUBJECTS = {
    "own lstm": own,
    "own gru": functools.partial(own, cell="gru"),
    "own bidirectional": functools.partial(own, bidirectional=True),
    "own streaming": functools.partial(own, "streaming"),
    "foreign lstm": foreign,
    "foreign gru": functools.partial(foreign, "gru"),
    "foreign streaming": functools.partial(foreign, streaming=True),
}
ALL = tuple(SUBJECTS)
OWN = tuple(name for name in ALL if name.startswith("own"))
WINDOWED = tuple(name for name in ALL if "streaming" not in name)
STREAMING = tuple(name for name in ALL if "streaming" in name)
LSTMS = ("own lstm", "own streaming", "foreign lstm", "foreign streaming")
GRUS = ("own gru", "foreign gru")
BOTH = ("own lstm", "foreign gru")


@functools.cache
def subject(name):
    """One graph's torch side, exported."""
    torch.manual_seed(sorted(SUBJECTS).index(name))
    graph = SUBJECTS[name]()
    return graph, export_torch_graph(graph, sizes=example_sizes(graph)).SerializeToString()


def clean(name):
    """The torch side and the graph, anew each time, to be damaged."""
    graph, content = subject(name)
    return graph, onnx.load_model_from_string(content)


# Finding and changing parts of a graph.


def recurrent(proto):
    return [node for node in proto.graph.node if node.op_type in ("LSTM", "GRU")]


def producer(proto, wire):
    return next(node for node in proto.graph.node if wire in node.output)


def change(proto, name, how):
    """Puts `how(array)` in place of the weights whose name ends so."""
    stored = next(stored for stored in proto.graph.initializer if stored.name.endswith(name))
    stored.CopyFrom(numpy_helper.from_array(np.asarray(how(numpy_helper.to_array(stored).copy())), stored.name))


def constant(proto, values, name="made_up"):
    proto.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    return name


def rename_wires(proto, names):
    for node in proto.graph.node:
        for wires in (node.input, node.output):
            wires[:] = [names.get(wire, wire) for wire in wires]


def behind(proto, wire, operator, *inputs, **attributes):
    """Lets every reader of an inner tensor, or of an input, read `operator(tensor, *inputs)` instead."""
    place = next((n + 1 for n, node in enumerate(proto.graph.node) if wire in node.output), 0)
    for node in proto.graph.node:
        node.input[:] = ["changed" if name == wire else name for name in node.input]
    proto.graph.node.insert(place, helper.make_node(operator, [wire, *inputs], ["changed"], **attributes))


def change_recurrent(number, how, places=(1, 2, 3)):
    """Of one recurrent layer W, R and B, by default all of them."""

    def fault(proto):
        for place in places:
            change(proto, recurrent(proto)[number].input[place], how)

    return fault


def gate(number, array):
    """The rows of a gate, in B those of both halves: a block of every so many."""
    return [slice(start, start + HIDDEN) for start in range(number * HIDDEN, array.shape[1], _gates(array) * HIDDEN)]


def _gates(array):
    rows = array.shape[1] // HIDDEN  # of B there are twice as many: 8 or 6
    return {4: 4, 3: 3, 8: 4, 6: 3}[rows]


def swapped_gates(first, second):
    def how(array):
        for one, other in zip(gate(first, array), gate(second, array), strict=True):
            array[:, one], array[:, other] = array[:, other].copy(), array[:, one].copy()
        return array

    return how


def attribute(name, value, number=0):
    def fault(proto):
        node = recurrent(proto)[number]
        kept = [entry for entry in node.attribute if entry.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return fault


def weights(name, how):
    return lambda proto: change(proto, name, how)


# Faults of shape.


def sequence_baked(proto, sequence=EXAMPLE[1]):
    wire = recurrent(proto)[0].input[0]  # [sequence, batch, channels]
    behind(proto, wire, "Reshape", constant(proto, np.int64([sequence, -1, CHANNELS])))


def batch_baked(proto):
    behind(proto, recurrent(proto)[0].input[0], "Reshape", constant(proto, np.int64([-1, EXAMPLE[0], CHANNELS])))


def sequence_cut(proto):
    """What is sliced to the example's length is right up to it."""
    values = [constant(proto, np.int64([number]), f"cut_{number}") for number in (0, 7)]
    behind(proto, recurrent(proto)[0].input[0], "Slice", *values)  # of the first axis, the sequence


def lengths_of_the_example(proto):
    node = recurrent(proto)[0]
    node.input[:] = [*node.input, *[""] * (5 - len(node.input))]
    node.input[4] = constant(proto, np.full(EXAMPLE[0], EXAMPLE[1], np.int32))


def constant_state(proto, batch=EXAMPLE[0], *, hidden=False):
    """Zeros of the example's batch; hidden behind a node, so that nothing is seen before the graph is run."""
    node = recurrent(proto)[0]
    directions = 2 if "bidirectional" in str(node) else 1
    name = constant(proto, np.zeros((directions, batch, HIDDEN), np.float32))
    if hidden:
        proto.graph.node.insert(0, helper.make_node("Neg", [name], ["negated"]))
        name = "negated"
    states = 2 if node.op_type == "LSTM" else 1
    node.input[:] = [*node.input[:4], "", *[name] * states]


def batch_and_sequence_mixed_up(proto):
    node = next(node for node in proto.graph.node if node.op_type == "Transpose")
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("perm", [0, 1, 2]))


def last_step_but_one(proto):
    """The hidden state before the last sample in place of the last one."""
    node = recurrent(proto)[-1]
    wire = node.output[1]  # [directions, batch, hidden_size]
    place = list(proto.graph.node).index(node)
    node.output[0], node.output[1] = "every_step", ""
    step = helper.make_node("Gather", ["every_step", constant(proto, np.int64(-2))], [wire], axis=0)
    proto.graph.node.insert(place + 1, step)


def first_step(proto):
    last_step_but_one(proto)
    change(proto, "made_up", np.zeros_like)


# Faults of order.


def layers_swapped(proto):
    """Recurrent weights and biases, which have the same sizes in every layer."""
    first, second = (list(node.input) for node in recurrent(proto))
    for place in (2, 3):
        recurrent(proto)[0].input[place], recurrent(proto)[1].input[place] = second[place], first[place]


def wires_swapped(first, second):
    return lambda proto: rename_wires(proto, {first: second, second: first})


def states_of_layers_swapped(proto):
    node = producer(proto, "hn")
    node.input[:] = node.input[::-1]


def given_states_of_layers_swapped(proto):
    node = next(node for node in proto.graph.node if "h0" in node.input)
    first, second = node.output
    node.output[:] = [second, first]


def layout_1(proto):
    attribute("layout", 1)(proto)


# Faults of scaling and of what stands around the recurrent layers.


def unscaled_twice(proto):
    multiply = next(node for node in proto.graph.node if any(name.endswith("output_scale") for name in node.input))
    behind(proto, multiply.output[0], "Mul", multiply.input[1])


def bias_halves_swapped(array):
    """Of W and R: a GRU's reset gate stands between them in its new gate, so there they are not added alike."""
    first, second = np.split(array, 2, axis=1)
    return np.concatenate([second, first], axis=1)


def dropout_active(proto):
    ratio, training = constant(proto, np.float32(0.5), "ratio"), constant(proto, np.bool_(True), "training")
    behind(proto, answer_wire(proto), "Dropout", ratio, training)


def dropout_frozen(proto):
    """The example's mask as a constant."""
    behind(proto, answer_wire(proto), "Mul", constant(proto, np.float32([0, 2] * (HIDDEN // 2))))


def dropout_scale_left(proto):
    behind(proto, answer_wire(proto), "Mul", constant(proto, np.float32(0.8)))


def answer_wire(proto):
    """What the head reads: [..., hidden_size]."""
    heads = [node for node in proto.graph.node if node.op_type in ("Gemm", "MatMul")]
    return heads[-1].input[0]


def half_precision(array):
    return array.astype(np.float16).astype(np.float32)


# Faults of the file.


def axis(kind, place, **dim):
    def fault(proto):
        found = getattr(proto.graph, kind)[0].type.tensor_type.shape.dim[place]
        found.Clear()
        for name, value in dim.items():
            setattr(found, name, value)

    return fault


def no_number(proto):
    change(proto, recurrent(proto)[0].input[2], lambda array: np.where(array == array.max(), np.float32(np.nan), array))


def infinite(proto):
    change(proto, "head.bias", lambda array: np.full_like(array, np.inf))


def external_data(proto):
    name = recurrent(proto)[0].input[1]
    stored = next(stored for stored in proto.graph.initializer if stored.name == name)
    onnx.external_data_helper.set_external_data(stored, "weights.bin")


def extra(operator, outputs, domain="", **attributes):
    def fault(proto):
        name = proto.graph.output[0].name
        proto.graph.node.append(helper.make_node(operator, [name], outputs, domain=domain, **attributes))

    return fault


def other_domain(proto):
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    extra("QuickGelu", ["spare"], domain="com.microsoft")(proto)


def _branch(name):
    value = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    return helper.make_graph([helper.make_node("Identity", [name.split("_of_")[1]], [name])], name, [], [value])


def with_if(proto):
    wire = recurrent(proto)[0].input[0]
    branches = {f"{which}_branch": _branch(f"{which}_of_{wire}") for which in ("then", "else")}
    node = helper.make_node("If", [constant(proto, np.bool_(True))], ["chosen"], **branches)
    proto.graph.node.append(node)


def with_loop(proto):
    counter = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    going = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("going", "going_on")]
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["going_on"])], "body", [counter, going[0]], [going[1]]
    )
    turns, on = constant(proto, np.int64(3), "turns"), constant(proto, np.bool_(True), "on")
    proto.graph.node.append(helper.make_node("Loop", [turns, on], [], body=body))


def opset_19(proto):
    proto.opset_import[0].version = 19


def another_output(proto):
    proto.graph.output.append(helper.make_tensor_value_info(STANDARDISED, TensorProto.FLOAT, None))
