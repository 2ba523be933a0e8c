import contextlib
import io
import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from toolkit.contract.graph_io import GraphSignature, TensorSpec, signature
from toolkit.errors import BundleError
from toolkit.export import export_graph, lower
from toolkit.model.lstm import StreamingForecaster
from toolkit.parity.graph_trace import trace_graph
from toolkit.parity.parting import first_parting
from toolkit.parity.torch_trace import trace_module

BATCH, SEQUENCE, CHANNELS, HIDDEN = 7, 13, 3, 8
TOLERANCE = 1e-7
PLAIN = GraphSignature((TensorSpec("x", ("batch", "sequence", CHANNELS)),), (TensorSpec("y", ("batch", 2)),))


class Foreign(nn.Module):
    """Somebody's module: scaling in code, a recurrent layer, its last step, a norm and a head."""

    def __init__(self, kind, num_layers=1, *, bidirectional=False):
        super().__init__()
        self.layer = kind(CHANNELS, HIDDEN, num_layers, bidirectional=bidirectional, batch_first=True)
        width = HIDDEN * (2 if bidirectional else 1)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 2)

    def forward(self, x):
        hidden, _ = self.layer(x * 2.0 - 1.0)
        return self.head(torch.relu(self.norm(hidden[:, -1])))


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


def made(kind, *args, seed=0, **options):
    torch.manual_seed(seed)
    return kind(*args, **options).eval()


def export(module, *, dynamo, length=29, further=()):
    """What torch's exporters make of a module, the old one and the new one."""
    names = {"input_names": ["x"], "output_names": ["y"], "opset_version": 18, "verbose": False}
    file, axes = io.BytesIO(), ("batch", "sequence")
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        x = torch.ones(3, length, CHANNELS)
        if not dynamo:
            dynamic = {"x": dict(enumerate(axes)), "y": {0: "batch"}}
            names["input_names"] = ["x", *further]
            dynamic |= {name: {1: "batch"} for name in further}
            states = [torch.ones(2, 3, HIDDEN) for _ in further]
            torch.onnx.export(module, (x, *states), file, dynamic_axes=dynamic, dynamo=False, **names)
            return onnx.load_model_from_string(file.getvalue())
        shapes = ({place: torch.export.Dim(name) for place, name in enumerate(axes)},)
        return torch.onnx.export(module, (x,), dynamic_shapes=shapes, dynamo=True, **names).model_proto


def random_x(batch=BATCH, sequence=SEQUENCE):
    return {"x": np.random.default_rng(0).standard_normal((batch, sequence, CHANNELS)).astype(np.float32)}


def find(module, proto, feed=None, tensors=PLAIN):
    return first_parting(module, tensors, proto.SerializeToString(), feed or random_x(), TOLERANCE)


def copy_of(proto):
    return onnx.ModelProto.FromString(proto.SerializeToString())


def change(name, function):
    """A fault in a weight whose name ends in `name`."""

    def fault(proto):
        found = next(tensor for tensor in proto.graph.initializer if tensor.name.endswith(name))
        array = np.array(function(numpy_helper.to_array(found).copy()), np.float32)
        found.CopyFrom(numpy_helper.from_array(array, found.name))

    return fault


def nodes(proto, *operators):
    return [node for node in proto.graph.node if node.op_type in operators]


def behind(proto, node, operator, *arrays):
    """Puts a node of `operator` between `node` and whoever reads it."""
    wire, names = node.output[0], [f"given_{number}" for number in range(len(arrays))]
    node.output[0] = "loose"
    proto.graph.initializer.extend(numpy_helper.from_array(a, n) for a, n in zip(arrays, names, strict=True))
    place = list(proto.graph.node).index(node) + 1
    proto.graph.node.insert(place, helper.make_node(operator, ["loose", *names], [wire], name="put_in"))


# --- the torch side


class WithStates(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, *state):
        if not state:
            return self.layer(x)
        return self.layer(x, state if isinstance(self.layer, nn.LSTM) else state[0])


KINDS = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "rnn": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
}


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(
    ("num_layers", "bidirectional", "batch_first", "bias"),
    [(1, True, True, True), (3, False, False, False), (3, True, True, True)],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_of_single_layers_is_the_layer(kind, num_layers, bidirectional, batch_first, bias, given):
    options = {"bidirectional": bidirectional, "batch_first": batch_first, "bias": bias}
    module = made(WithStates, KINDS[kind](CHANNELS, HIDDEN, num_layers, **options))
    x = torch.randn(5, 2, CHANNELS) if not batch_first else torch.randn(2, 5, CHANNELS)
    shape = (num_layers * (1 + bidirectional), 2, HIDDEN)
    states = [torch.randn(shape) for _ in range(1 + (kind == "lstm"))] if given else []
    found = trace_module(module, [tensor.numpy() for tensor in (x, *states)])
    with torch.no_grad():
        hidden, last = module.double()(x.double(), *[state.double() for state in states])
    wanted = [hidden, *(last if kind == "lstm" else (last,))]
    for got, exact in zip(found.answers, wanted, strict=True):
        np.testing.assert_allclose(got, exact.numpy(), rtol=0, atol=1e-12)
    layers = [step.module for step in found.steps if step.what == "hn"]
    assert layers == [f"layer layer {number}" for number in range(num_layers)]


def test_every_function_is_seen_and_where_it_was_called():
    found = trace_module(made(Foreign, nn.GRU, 2), [random_x()["x"]])
    seen = [(step.module, step.what) for step in found.steps]
    assert seen[:3] == [("input 0", "input"), ("Foreign: mul", "mul"), ("Foreign: sub", "sub")]
    assert ("layer layer 1", "sequence") in seen
    assert seen[-3:] == [("norm", "layer_norm"), ("Foreign: relu", "relu"), ("head", "linear")]
    assert found.answered_by == (len(seen) - 1,)
    assert all(0.0 <= step.rounding.max() < 1e-5 for step in found.steps)


def test_what_does_not_come_from_the_inputs_is_no_step():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(CHANNELS, 2))

        def forward(self, x):
            return x @ (self.weight.tanh() * torch.ones(CHANNELS, 2))

    assert [step.what for step in trace_module(made(Masked), [random_x()["x"]]).steps] == ["input", "matmul"]


def test_values_are_as_they_were_before_they_were_changed_in_place():
    class InPlace(nn.Module):
        def forward(self, x):
            x = x * 2.0
            x += 1.0
            x[:, 0] = 5.0
            return x

    x = random_x()["x"]
    _, product, total, put = trace_module(InPlace(), [x]).steps
    np.testing.assert_array_equal(product.values, 2.0 * x.astype(np.float64))
    np.testing.assert_array_equal(total.values, product.values + 1.0)
    assert put.what == "setitem"
    assert (put.values[:, 0] == 5.0).all()


def test_the_module_and_torch_are_left_as_they_were():
    module = made(Foreign, nn.LSTM, 2).train()
    before, random = {k: v.clone() for k, v in module.state_dict().items()}, torch.get_rng_state()
    trace_module(module, [random_x()["x"]])
    assert module.training
    assert "forward" not in vars(module.layer)
    torch.testing.assert_close(module.state_dict(), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_default_dtype() == torch.float32


def test_a_module_that_makes_its_first_state_itself_runs_in_float64():
    class Starting(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(CHANNELS, HIDDEN, batch_first=True)

        def forward(self, x):
            zeros = torch.zeros(1, x.shape[0], HIDDEN)
            return self.lstm(x, (zeros, zeros))[0]

    assert trace_module(made(Starting), [random_x()["x"]]).steps[-1].rounding.max() > 0


def test_a_module_that_cannot_run_in_float64_is_traced_in_float32():
    class Narrow(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(CHANNELS, 2)

        def forward(self, x):
            return self.head(x.float())

    found = trace_module(made(Narrow), [random_x()["x"]])
    assert found.steps[-1].module == "head"
    assert found.steps[-1].rounding is None


# --- the graph side


@pytest.fixture(scope="module")
def lstm():
    return made(Foreign, nn.LSTM, 2)


@pytest.fixture(scope="module")
def legacy(lstm):
    return export(lstm, dynamo=False)


def test_the_outputs_that_nobody_named_are_seen(legacy):
    proto = copy_of(legacy)
    node = nodes(proto, "LSTM")[-1]
    del node.output[1:]
    trace = trace_graph(proto.SerializeToString(), random_x())
    place = list(proto.graph.node).index(node)
    assert [v.values.shape for v in trace.values if v.place == place] == [
        (SEQUENCE, 1, BATCH, HIDDEN),
        (1, BATCH, HIDDEN),
        (1, BATCH, HIDDEN),
    ]


def test_a_graph_that_fails_is_seen_up_to_the_node_that_fails(legacy):
    proto = copy_of(legacy)
    behind(proto, nodes(proto, "LayerNormalization")[0], "Reshape", np.array([5, -1]))
    trace = trace_graph(proto.SerializeToString(), random_x())
    assert trace.label(trace.failed) == "put_in"
    assert "Reshape" in trace.problem
    assert trace.values[-1].tensor == "loose"


def test_no_onnx_file(lstm):
    with pytest.raises(BundleError, match="not an ONNX file"):
        first_parting(lstm, PLAIN, b"no graph", random_x(), TOLERANCE)


# --- graphs that are right


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


# --- graphs that are wrong


def swap_gates(array):
    """i, o, f, c becomes i, f, o, c."""
    blocks = array.reshape(-1, 4, HIDDEN, *array.shape[2:])
    return blocks[:, [0, 2, 1, 3]].reshape(array.shape)


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


def state_dropped(layer):
    """The layer starts from zeros, whatever is given."""

    def fault(proto):
        del nodes(proto, "LSTM")[layer].input[4:]

    return fault


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


@pytest.fixture(scope="module")
def gru():
    """A bidirectional GRU in ONNX's own operator, and its module."""
    module = made(Foreign, nn.GRU, 2, bidirectional=True)
    return module, export(lower(module), dynamo=True)


def attribute(node, name, value):
    kept = [given for given in node.attribute if given.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def reset_before(proto):
    attribute(nodes(proto, "GRU")[0], "linear_before_reset", 0)


def directions_swapped(proto):
    for name in nodes(proto, "GRU")[1].input[1:4]:
        change(name, lambda array: array[::-1])(proto)


def constant_state(proto):
    node = nodes(proto, "GRU")[0]
    proto.graph.initializer.append(numpy_helper.from_array(np.full((2, BATCH, HIDDEN), 0.5, np.float32), "start"))
    node.input.extend(["", "start"])


GRU_FAULTS = {
    reset_before: ("layer layer 0", 0, "linear_before_reset is 0 where the module has 1"),
    directions_swapped: ("layer layer 1", 1, "the weights of the two directions are swapped in W, R and B"),
    constant_state: ("layer layer 0", 0, "it starts from a state where the module starts from zeros"),
}


@pytest.mark.parametrize("fault", GRU_FAULTS, ids=lambda fault: fault.__name__)
def test_faults_of_a_bidirectional_gru(gru, fault):
    module, clean = gru
    assert find(module, clean) is None
    proto = copy_of(clean)
    fault(proto)
    part, number, cause = GRU_FAULTS[fault]
    found = find(module, proto)
    assert (found.node, found.module, found.cause) == (nodes(proto, "GRU")[number].name, part, cause)


def test_two_faults_in_one_node_are_named_without_a_cause(gru):
    module, clean = gru
    proto = copy_of(clean)
    reset_before(proto)
    change(nodes(proto, "GRU")[0].input[2], lambda array: array * 1.1)(proto)
    found = find(module, proto)
    assert (found.node, found.cause) == (nodes(proto, "GRU")[0].name, "")


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
