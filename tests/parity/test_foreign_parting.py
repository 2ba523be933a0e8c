import numpy as np
import pytest
import torch
from onnx import numpy_helper
from parted_graphs import (
    BATCH,
    CHANNELS,
    HIDDEN,
    PLAIN,
    SEQUENCE,
    TOLERANCE,
    Foreign,
    behind,
    change,
    copy_of,
    export,
    find,
    legacy_lstm,
    made,
    nodes,
    random_x,
    swap_gates,
)
from torch import nn

from toolkit.contract.graph_io import GraphSignature, TensorSpec
from toolkit.errors import BundleError
from toolkit.parity.parting import first_parting


@pytest.fixture(scope="module")
def lstm():
    return legacy_lstm()[0]


@pytest.fixture(scope="module")
def legacy():
    return legacy_lstm()[1]


def test_no_onnx_file(lstm):
    with pytest.raises(BundleError, match="not an ONNX file"):
        first_parting(lstm, PLAIN, b"no graph", random_x(), TOLERANCE)


@pytest.mark.parametrize(
    ("kind", "num_layers", "bidirectional"), [(nn.LSTM, 2, False), (nn.GRU, 1, True), (nn.RNN, 2, True)]
)
def test_a_graph_of_torchs_old_exporter_does_not_part(kind, num_layers, bidirectional):
    module = made(Foreign, kind, num_layers, bidirectional=bidirectional)
    proto = export(module, dynamo=False)
    for batch, sequence in ((BATCH, SEQUENCE), (1, 1), (2, 60)):
        assert find(module, proto, random_x(batch, sequence)) is None


def test_a_graph_of_torchs_new_exporter_does_not_part_at_its_examples_length():
    module = made(Foreign, nn.LSTM)
    assert find(module, export(module, dynamo=True), random_x(BATCH, 29)) is None


def test_a_size_that_is_declared_and_nowhere_used_is_told_as_such(lstm, legacy):
    proto = copy_of(legacy)
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 29
    found = find(lstm, proto)
    assert (found.node, found.cause) == ("x", "x is declared as [batch, 29, 3] and given as [7, 13, 3]")


def test_the_first_step_series_and_unit_are_told(lstm, legacy):
    feed = random_x()
    feed["x"][:5] = 0.0  # units that the weight does not reach until the sixth series has something to say
    proto = copy_of(legacy)
    weights = nodes(proto, "LSTM")[0].input[1]

    def off(array):
        array[0, 3, :] += [0.5, 0.0, 0.0]
        return array

    change(weights, off)(proto)
    x = feed["x"]
    x[:, :, 0] = 0.5  # 2 x - 1 = 0: the first channel says nothing
    x[5, 4, 0] = 2.0
    found = find(lstm, proto, feed)
    assert (found.operator, found.module) == ("LSTM", "layer layer 0")
    assert (found.step, found.series, found.unit) == (4, 5, "unit 3")


def test_a_fault_in_a_graph_of_the_old_exporter(lstm, legacy):
    for layer, node in enumerate(nodes(legacy, "LSTM")):
        proto = copy_of(legacy)
        change(node.input[2], swap_gates)(proto)
        found = find(lstm, proto)
        assert (found.node, found.module) == (node.name, f"layer layer {layer}")
        assert found.cause.startswith("gates are swapped in R")


def test_the_last_step_off_by_one(lstm, legacy):
    proto = copy_of(legacy)
    gather = nodes(proto, "Gather")[-1]
    proto.graph.initializer.append(numpy_helper.from_array(np.array(-2), "last_but_one"))
    gather.input[1] = "last_but_one"
    found = find(lstm, proto)
    assert (found.node, found.module) == (gather.name, "Foreign: getitem")


def test_a_module_that_raises_on_the_inputs_has_nothing_to_part_from(legacy):
    assert find(nn.Linear(CHANNELS + 1, 2), legacy) is None


def test_axes_of_one_size_are_not_told_apart(lstm, legacy):
    proto = copy_of(legacy)
    change(nodes(proto, "LSTM")[0].input[1], np.zeros_like)(proto)
    found = find(lstm, proto, random_x(9, 9))
    assert (found.step, found.series) == (None, None)
    assert found.unit == "unit [0, 0, 0]"


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(CHANNELS, HIDDEN, batch_first=True), nn.Linear(HIDDEN, 2)

    def forward(self, x):
        return self.head(self.read(x * 2.0 - 1.0)[:, -1])

    def read(self, x):
        return self.lstm(x)[0]


class Detour(Scaled):
    """The same, with a way past torch that nobody can follow."""

    def read(self, x):
        return torch.from_numpy(super().read(x).numpy())


@pytest.fixture(scope="module")
def folded():
    """A graph that scales in another order than its module: (x - 0.5) * 2."""
    module = made(Scaled)
    proto = export(module, dynamo=False)
    multiply, subtract = nodes(proto, "Mul", "Sub")
    multiply.op_type, subtract.op_type = "Sub", "Mul"
    proto.graph.initializer.extend(numpy_helper.from_array(np.array(n, np.float32), f"by_{n}") for n in (0.5, 2.0))
    multiply.input[1], subtract.input[1] = "by_0.5", "by_2.0"
    return module, proto


CONSTANT = {"x": np.full((BATCH, SEQUENCE, CHANNELS), 0.5, np.float32)}


@pytest.mark.parametrize("feed", [None, CONSTANT], ids=["random", "constant"])
@pytest.mark.parametrize("kind", [Scaled, Detour])
def test_what_is_merely_computed_in_another_order_is_no_parting(folded, kind, feed):
    module, clean = folded
    assert find(module, clean, feed) is None
    faulty = copy_of(clean)
    change(nodes(faulty, "LSTM")[0].input[3], np.zeros_like)(faulty)
    other = kind()
    other.load_state_dict(module.state_dict())
    found = find(other, faulty, feed)
    assert (found.operator, found.module) == ("LSTM", "lstm layer 0")


def test_an_infinite_value_of_the_module_is_passed_over(lstm, legacy):
    class Inverted(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = lstm

        def forward(self, x):
            infinite = torch.where(x > 0, 1.0 / (x - x), x)
            return self.inner(x) + 0.0 * torch.atan(infinite).sum()

    proto = copy_of(legacy)
    change(nodes(proto, "LSTM")[1].input[2], swap_gates)(proto)
    assert find(Inverted(), proto).module == "inner.layer layer 1"


def test_an_infinite_answer_parts_at_the_answer(lstm, legacy):
    class Infinite(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = lstm

        def forward(self, x):
            return self.inner(x) / 0.0

    found = find(Infinite(), legacy)
    assert (found.node, found.module, found.difference) == (legacy.graph.node[-1].name, "answer y", np.inf)


def test_a_layer_that_amplifies_rounding_does_not_part():
    module = made(Foreign, nn.LSTM, 2, seed=1)
    with torch.no_grad():
        for weight in module.layer.parameters():
            weight.mul_(12.0)  # the states jump to and fro, torch float32 is 1e-5 off as well
    assert find(module, export(module, dynamo=False), random_x(5, 200)) is None


class CutState(nn.Module):
    """A layer that starts from a part of what is given."""

    def __init__(self):
        super().__init__()
        self.gru, self.head = nn.GRU(CHANNELS, HIDDEN, batch_first=True), nn.Linear(HIDDEN, 2)

    def forward(self, x, h0):
        return self.head(self.gru(x * 2.0 - 1.0, h0[1:])[0][:, -1])


def test_a_state_that_is_cut_and_then_dropped():
    module = made(CutState)
    proto = export(module, dynamo=False, further=["h0"])
    tensors = GraphSignature((*PLAIN.inputs, TensorSpec("h0", (2, "batch", HIDDEN))), PLAIN.outputs)
    feed = random_x() | {"h0": np.random.default_rng(1).standard_normal((2, BATCH, HIDDEN)).astype(np.float32)}
    assert find(module, proto, feed, tensors) is None
    node = nodes(proto, "GRU")[0]
    del node.input[4:]  # the last value before the layer that is right is now one that nobody reads
    found = find(module, proto, feed, tensors)
    assert (found.node, found.module) == (node.name, "gru layer 0")
    assert found.cause == "the initial state that is given does not reach it"


def test_a_node_that_changes_the_sizes(lstm, legacy):
    proto = copy_of(legacy)
    behind(proto, nodes(proto, "LayerNormalization")[0], "Slice", np.array([0]), np.array([5]))
    found = find(lstm, proto)
    assert (found.node, found.module, found.difference) == ("put_in", "Foreign: relu", np.inf)
    assert found.cause == "it gives [5, 8] where the module gives [7, 8]"


def test_names_do_not_matter(lstm, legacy):
    proto = copy_of(legacy)
    change(nodes(proto, "LSTM")[1].input[2], swap_gates)(proto)
    names = {name for node in proto.graph.node for name in (*node.input, *node.output) if name} - {"x", "y"}
    new = {name: f"t{number}" for number, name in enumerate(sorted(names))}
    for node in proto.graph.node:
        node.name = ""
        for given in (node.input, node.output):
            given[:] = [new.get(name, name) for name in given]
    for tensor in proto.graph.initializer:
        tensor.name = new.get(tensor.name, tensor.name)
    del proto.graph.value_info[:]
    found = find(lstm, proto)
    assert found.node == nodes(proto, "LSTM")[1].output[0]
    assert (found.operator, found.module) == ("LSTM", "layer layer 1")


class Directions(nn.Module):
    """The last states of both directions, picked one by one, or of the first alone, twice."""

    def __init__(self, second=1):
        super().__init__()
        self.gru, self.head = nn.GRU(CHANNELS, HIDDEN, batch_first=True, bidirectional=True), nn.Linear(2 * HIDDEN, 2)
        self.second = second

    def forward(self, x):
        last = self.gru(x)[1]
        return self.head(torch.cat([last[0], last[self.second]], dim=1))


def test_a_direction_that_is_picked_again():
    module = made(Directions)
    proto = export(module, dynamo=False)
    assert find(module, proto) is None
    first, second = nodes(proto, "Gather")[-2:]
    second.input[1] = first.input[1]
    found = find(module, proto)
    assert (found.node, found.module) == (second.name, "Directions: getitem")


class ScaledTwice(nn.Module):
    """A scale of 1, as one that was never set, and another behind it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("one", torch.ones(CHANNELS))
        self.register_buffer("scale", torch.tensor([2.0, 3.0, 4.0]))
        self.head = nn.Linear(CHANNELS, 2)

    def forward(self, x):
        return self.head(torch.tanh(x * self.one * self.scale)[:, -1])


def test_what_does_nothing_in_the_module_either_is_not_blamed():
    module = made(ScaledTwice)
    proto = export(module, dynamo=False)
    assert find(module, proto) is None
    change("scale", lambda array: array[::-1])(proto)
    assert find(module, proto).node == nodes(proto, "Mul")[1].name


class ScaledApart(ScaledTwice):
    """One scale before tanh and one behind it."""

    def forward(self, x):
        return self.head((torch.tanh(x * self.scale) * (self.one + self.one))[:, -1])


def test_a_node_without_effect_that_stands_elsewhere_is_not_blamed():
    module = made(ScaledApart)
    proto = export(module, dynamo=False)
    behind(proto, nodes(proto, "Mul")[0], "Mul", np.ones(1, np.float32))
    assert find(module, proto) is None
    wrong = nodes(proto, "Mul")[-1]
    proto.graph.initializer.append(numpy_helper.from_array(np.float32([3.0]), "three"))
    wrong.input[1] = "three"
    assert find(module, proto).node == wrong.name


def test_a_product_over_more_than_the_module_reads_is_named_itself():
    module = made(ScaledTwice)
    proto = export(module, dynamo=False)
    gather = nodes(proto, "Gather")[-1]
    behind(proto, gather, "Pad", np.array([0, 0, 0, 1]))
    change("head.weight", lambda array: np.pad(array, ((0, 0), (0, 1))))(proto)
    assert find(module, proto) is None
    change("head.weight", lambda array: 2 * array)(proto)
    assert find(module, proto).node == nodes(proto, "Gemm")[0].name


class Cells(nn.Module):
    """A loop over a cell, as long as the series."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.LSTMCell(CHANNELS, HIDDEN), nn.Linear(HIDDEN, 2)

    def forward(self, x):
        state = None
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
        return self.head(state[0])


@pytest.fixture(scope="module")
def cells():
    module = made(Cells)
    return module, export(module, dynamo=False, length=9)


def test_a_loop_that_was_unrolled(cells):
    module, proto = cells
    assert find(module, proto, random_x(BATCH, 9)) is None
    longer = find(module, proto, random_x(BATCH, 11))
    assert (longer.operator, longer.module) == ("Gemm", "head")
    assert longer.cause == "the graph stops after 9 samples: its loop is unrolled"
    shorter = find(module, proto, random_x(BATCH, 5))
    assert shorter.operator == "Gather"
    assert "out of data bounds" in shorter.cause


def test_an_answer_whose_axes_are_moved(lstm, legacy):
    proto = copy_of(legacy)
    last = proto.graph.node[-1]
    behind(proto, last, "Transpose")
    found = find(lstm, proto)
    assert (found.node, found.module) == ("put_in", "answer y")
    assert found.cause == "the values are right, their axes are not: [2, 7] instead of [7, 2]"
