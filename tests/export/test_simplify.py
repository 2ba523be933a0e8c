import copy
import random

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from toolkit.export.graphs import export_graph
from toolkit.export.lowering import lower
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


SQUEEZED = layer("Y") + "q = Squeeze(Y, axis1)\n"
LAST_STEPS = {
    "of Y itself": (layer("Y") + "y = Gather <axis=0> (Y, last)", ["LSTM"]),
    "of a GRU": (layer("Y", kind="GRU") + "y = Gather <axis=0> (Y, last)", ["GRU"]),
    "of an RNN": (layer("Y", kind="RNN") + "y = Gather <axis=0> (Y, last)", ["RNN"]),
    "out[-1]": (SQUEEZED + "flat = Gather <axis=0> (q, last)", ["LSTM", "Squeeze"]),
    "out[-1], negative axes": (SQUEEZED + "flat = Gather <axis=-3> (q, last)", ["LSTM", "Squeeze"]),
    "out[-1:]": (SQUEEZED + "y = Slice(q, minus1, end, axis0, axis1)", ["LSTM"]),
    "out[-1:] without a step": (SQUEEZED + "y = Slice(q, minus1, end, axis0)", ["LSTM"]),
    "out[:, -1]": (
        SQUEEZED + "t = Transpose <perm=[1, 0, 2]> (q)\nflat = Gather <axis=1> (t, last)",
        ["LSTM", "Squeeze"],
    ),
    "out[:, -1:]": (
        SQUEEZED + "t = Transpose <perm=[1, 0, 2]> (q)\ny = Slice(t, minus1, end, axis1, axis1)",
        ["LSTM", "Squeeze", "Unsqueeze"],
    ),
    "out.permute(1, 2, 0)[..., -1]": (
        SQUEEZED + "t = Transpose <perm=[1, 2, 0]> (q)\nflat = Gather <axis=2> (t, last)",
        ["LSTM", "Squeeze"],
    ),
    "the state already used": (
        layer("Y, H") + "q = Squeeze(Y, axis1)\nflat = Gather <axis=0> (q, last)\nz = Add(H, H)",
        ["LSTM", "Squeeze", "Add"],
    ),
    "through a Squeeze of an axis in front": (
        layer("Y") + "t = Transpose <perm=[1, 0, 2, 3]> (Y)\nq = Squeeze(t, axis0)\nflat = Gather <axis=0> (q, last)",
        ["LSTM", "Squeeze"],
    ),
    "through Unsqueeze and Identity": (
        SQUEEZED + "i = Identity(q)\nu = Unsqueeze(i, axis0)\ny = Gather <axis=1> (u, last)",
        ["LSTM"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAST_STEPS)
def test_the_last_step_is_the_last_state(name):
    body, wanted = LAST_STEPS[name]
    outputs = ("flat" if "flat" in body else "y") + (" z" if "z =" in body else "")
    proto = simplified(parse(body, outputs))
    assert sorted(operators(proto)) == sorted(wanted)
    assert proto.graph.node[0].output[0] == ""


def test_a_bidirectional_layer_is_not_transposed_to_pick_one_step():
    body = layer("Y", directions=2) + "t = Transpose <perm=[0, 2, 1, 3]> (Y)\nm = Reshape(t, merged)\n"
    proto = simplified(parse(body + "u = Transpose <perm=[1, 0, 2]> (m)\nflat = Gather <axis=1> (u, last)", "flat"))
    assert operators(proto) == ["LSTM", "Gather", "Transpose", "Reshape"]
    assert len(proto.graph.node[0].output) == 1, "the reverse direction ends at step 0: its last state is another"


STAYS = {
    "the step before the last": SQUEEZED + "flat = Gather <axis=0> (q, minus2)",
    "a baked last step": SQUEEZED + "flat = Gather <axis=0> (q, third)",
    "last of the batch": SQUEEZED + "flat = Gather <axis=1> (q, last)",
    "the last two steps": SQUEEZED + "y = Slice(q, minus2s, end, axis0)",
    "all but the last": SQUEEZED + "y = Slice(q, axis0, minus1, axis0)",
    "last of the batch, of Y itself": layer("Y") + "y = Gather <axis=2> (Y, last)",
    "an end that is a number": SQUEEZED + "y = Slice(q, minus1, two, axis0)",
    "backwards": SQUEEZED + "y = Slice(q, minus1, end, axis0, minus1)",
    "both directions": layer("Y", directions=2) + "y = Gather <axis=0> (Y, last)",
    "lengths of its own": layer("Y", more=", lengths") + "y = Gather <axis=0> (Y, last)",
    "the reverse direction": layer("Y").replace("hidden_size=4", 'hidden_size=4, direction="reverse"')
    + "y = Gather <axis=0> (Y, last)",
}


@pytest.mark.parametrize("name", STAYS)
def test_what_is_not_the_last_state_stays(name):
    body = STAYS[name]
    inputs = "float[sequence, batch, 3] x" + (", int32[batch] lengths" if "lengths" in body else "")
    proto = parse(body, "flat" if "flat" in body else "y", inputs)
    before = operators(proto)
    shapes = ((1, 3), (2, 3), (7, 40))  # the third step has to be there
    proto = simplified(proto, shapes)
    assert operators(proto) == before
    assert list(proto.graph.node[0].output) == ["Y"]


STATES = {
    "the only direction": layer(", H") + "flat = Gather <axis=0> (H, last)",
    "the reverse direction": layer(", H", directions=2)
    + "t = Transpose <perm=[1, 0, 2]> (H)\nflat = Gather <axis=1> (t, last)",
}


@pytest.mark.parametrize("name", STATES)
def test_a_pick_from_a_state_is_no_pick_of_a_step(name):
    proto = parse(STATES[name], "flat")
    before = operators(proto)
    assert operators(simplified(proto)) == before


def test_a_reshape_that_copies_no_axes_stays():
    proto = parse(
        layer("Y", directions=2) + "m = Reshape <allowzero=1> (Y, merged)\nflat = Gather <axis=0> (m, last)", "flat"
    )
    simplify(proto)
    assert operators(proto) == ["LSTM", "Reshape", "Gather"]


def test_every_step_stays_for_others_that_use_it():
    body = SQUEEZED + "flat = Gather <axis=0> (q, last)\ny = Tanh(q)"
    proto = simplified(parse(body, "flat y"))
    assert sorted(operators(proto)) == ["LSTM", "Squeeze", "Squeeze", "Tanh"]
    assert proto.graph.node[0].output[0] == "Y"


def test_a_state_that_is_an_output_twice_keeps_both_names():
    proto = simplified(parse(layer("Y, y") + "z = Gather <axis=0> (Y, last)", "y z"))
    assert operators(proto) == ["LSTM", "Identity"]


STRETCHED = """s = Shape <start=1, end=2> (x)
    d = Concat <axis=0> (two, s, four)
    z = Expand(zero, d)
    h1, h2 = Split <axis=0, num_outputs=2> (z)
"""
ZEROS = {
    "zeros, split": STRETCHED,
    "ConstantOfShape, sliced": """s = Shape <start=1, end=2> (x)
        d = Concat <axis=0> (two, s, four)
        z = ConstantOfShape(d)
        h1 = Slice(z, axis0, axis1, axis0)
        h2 = Slice(z, axis1, two, axis0)
    """,
    "stacked and picked": """s = Shape <start=1, end=2> (x)
        d = Concat <axis=0> (s, four)
        z = Expand(zero, d)
        u = Unsqueeze(z, axis0)
        c = Concat <axis=0> (u, u)
        g = Gather <axis=0> (c, last)
        h1 = Unsqueeze(g, axis0)
        h2 = Identity(u)
    """,
}


@pytest.mark.parametrize("name", ZEROS)
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_zero_state_is_dropped_with_all_that_computes_it(name, kind):
    more = ", , h1, h2" if kind == "LSTM" else ", , h2"
    proto = simplified(parse(ZEROS[name] + layer(", y", more=more, kind=kind)))
    assert operators(proto) == [kind]
    assert len(proto.graph.node[0].input) == 4
    assert initializers(proto) == {f"{letter}_{kind}1" for letter in "WRB"}


def test_a_constant_zero_state_is_dropped():
    proto = simplified(parse(layer(", y", more=", , zeros3, zeros3")), ((3, 5),))
    assert len(proto.graph.node[0].input) == 4


@pytest.mark.parametrize(("more", "left"), [(", , h1, c0", ["", "", "c0"]), (", , c0, h1", ["", "c0"])])
def test_each_state_is_dropped_by_itself(more, left):
    inputs = "float[sequence, batch, 3] x, float[1, batch, 4] c0"
    proto = simplified(parse(STRETCHED + layer(", y", more=more), inputs=inputs))
    assert operators(proto) == ["LSTM"]
    assert list(proto.graph.node[0].input)[4:] == left


def filled(value):
    """A state that is stretched from a constant which is not zero, or from what the caller may feed."""
    proto = parse(STRETCHED + layer(", y", more=", , h1, h2"))
    zero = next(tensor for tensor in proto.graph.initializer if tensor.name == "zero")
    zero.CopyFrom(numpy_helper.from_array(np.float32(value), "zero"))
    return proto


@pytest.mark.parametrize("value", [1.0, 1e-30, float("nan")])
def test_a_state_that_is_not_zero_stays(value):
    proto = filled(value)
    before = operators(proto)
    assert operators(simplified(proto)) == before


def test_a_zero_that_the_caller_may_replace_stays():
    proto = filled(0.0)
    proto.graph.input.add(name="zero").type.CopyFrom(onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, []))
    before = operators(proto)
    assert operators(simplified(proto)) == before


def test_a_state_that_is_zero_in_part_stays():
    body = STRETCHED + "o = Exp(h1)\nc = Concat <axis=0> (h1, o)\nh = Slice(c, axis1, two, axis0)\n"
    proto = parse(body + layer(", y", more=", , h, h2"))
    assert list(simplified(proto).graph.node[-1].input)[4:] == ["", "h"]


def test_a_filled_state_stays():
    body = ZEROS["ConstantOfShape, sliced"].replace("ConstantOfShape(d)", "ConstantOfShape <value=float[1] {0.5}> (d)")
    proto = parse(body + layer(", y", more=", , h1, h2"))
    before = operators(proto)
    assert operators(simplified(proto)) == before


def two_layers(directions=1):
    first = layer("Y, H", directions=directions)
    if directions == 1:
        return first + "q = Squeeze(Y, axis1)\n" + layer("Z, G", x="q", weights="V")
    return first + layer("Z, G", directions=2)


STACKED = "s = Concat <axis=0> (H, G)\n"
PIECES = {
    "hn[-1]": (two_layers() + STACKED + "flat = Gather <axis=0> (s, last)", ["LSTM", "Squeeze", "LSTM", "Squeeze"]),
    "hn[-2]": (two_layers() + STACKED + "flat = Gather <axis=0> (s, minus2)", ["LSTM", "Squeeze"]),
    "hn[-1:]": (two_layers() + STACKED + "y = Slice(s, minus1, end, axis0)", ["LSTM", "Squeeze", "LSTM"]),
    "hn.view(...)[-1]": (
        two_layers() + STACKED + "v = Reshape(s, viewed)\ny = Gather <axis=0> (v, last)",
        ["LSTM", "Squeeze", "LSTM"],
    ),
    "both directions of the last layer": (
        two_layers(2) + STACKED + "a = Gather <axis=0> (s, minus2)\nb = Gather <axis=0> (s, last)\n"
        "flat = Concat <axis=-1> (a, b)",
        ["LSTM", "Gather", "Gather", "Concat"],
    ),
    "hn[-2:] of two directions": (two_layers(2) + STACKED + "y = Slice(s, minus2s, end, axis0)", ["LSTM"]),
    "a stack of single layers": (
        two_layers()
        + "a = Squeeze(H, axis0)\nb = Squeeze(G, axis0)\nc = Unsqueeze(a, axis0)\nd = Unsqueeze(b, axis0)\n"
        "s = Concat <axis=0> (c, d)\nflat = Gather <axis=0> (s, last)",
        ["LSTM", "Squeeze", "LSTM", "Squeeze"],
    ),
}


@pytest.mark.parametrize("name", PIECES)
def test_one_layers_state_is_not_stacked_first(name):
    body, wanted = PIECES[name]
    proto = parse(body, "flat" if "flat" in body else "y")
    assert operators(simplified(proto)) == wanted


UNCUT = {
    "half of a layer": two_layers(2) + STACKED + "y = Slice(s, minus1, end, axis0)",
    "another axis": two_layers() + "s = Concat <axis=1> (H, G)\nflat = Gather <axis=0> (s, last)",
    "pick of another axis": two_layers() + STACKED + "flat = Gather <axis=1> (s, last)",
    "all layers": two_layers() + STACKED + "y = Slice(s, minus2s, end, axis0)",
    "a slice of another axis": two_layers() + STACKED + "y = Slice(s, minus1, end, axis2)",
    "pieces of unknown size": two_layers() + "s = Concat <axis=0> (Y, Y)\ny = Gather <axis=0> (s, minus2)",
    "another view": two_layers() + STACKED + "v = Reshape(s, viewed2)\ny = Gather <axis=0> (v, last)",
}


@pytest.mark.parametrize("name", UNCUT)
def test_what_is_no_single_layers_state_stays(name):
    proto = parse(UNCUT[name], "flat" if "flat" in UNCUT[name] else "y")
    assert "Concat" in operators(simplified(proto))


def test_a_layer_that_is_not_there_is_not_found():
    proto = parse(two_layers() + STACKED + "flat = Gather <axis=0> (s, third)", "flat")
    simplify(proto)
    assert operators(proto)[-2:] == ["Concat", "Gather"]


TIDIED = {
    "inverse Transposes": (
        "t = Transpose <perm=[1, 2, 0]> (x)\nu = Transpose <perm=[2, 0, 1]> (t)\ny = Tanh(u)",
        ["Tanh"],
    ),
    "a Transpose without its order": ("t = Transpose(x)\nu = Transpose <perm=[2, 1, 0]> (t)\ny = Tanh(u)", ["Tanh"]),
    "two Transposes in a row": (
        "t = Transpose <perm=[1, 0, 2]> (x)\ny = Transpose <perm=[0, 2, 1]> (t)",
        ["Transpose"],
    ),
    "a Transpose that moves nothing": ("t = Transpose <perm=[0, 1, 2]> (x)\ny = Tanh(t)", ["Tanh"]),
    "Unsqueeze and Squeeze": ("u = Unsqueeze(x, axis1)\ns = Squeeze(u, axis1)\ny = Tanh(s)", ["Tanh"]),
    "Unsqueeze and Squeeze of others": ("u = Unsqueeze(x, axis0)\ny = Squeeze(u, axis0)\nv = Tanh(u)", ["Identity"]),
    "Identity nodes": ("i = Identity(x)\nt = Tanh(i)\ny = Identity(t)", ["Tanh"]),
    "from input to output": ("y = Identity(x)", ["Identity"]),
    "what nothing reads": ("t = Tanh(x)\nu = Exp(t)\ny = Tanh(x)", ["Tanh"]),
}  # fmt: skip


@pytest.mark.parametrize("name", TIDIED)
def test_what_moves_nothing_is_taken_out(name):
    body, wanted = TIDIED[name]
    proto = simplified(parse(body))
    assert operators(proto) == wanted
    assert not initializers(proto)


def test_transposes_that_are_no_inverses_stay_in_effect():
    proto = simplified(parse("t = Transpose <perm=[1, 2, 0]> (x)\ny = Transpose <perm=[1, 2, 0]> (t)"))
    assert [list(node.attribute[0].ints) for node in proto.graph.node] == [[2, 0, 1]]


def test_squeeze_of_another_axis_stays():
    body = (
        "u = Unsqueeze(x, axis0)\nt = Transpose <perm=[1, 0, 2, 3]> (u)\nv = Unsqueeze(t, axis0)\ny = Squeeze(v, axis2)"
    )
    assert operators(simplified(parse(body))) == ["Unsqueeze", "Transpose", "Unsqueeze", "Squeeze"]


def test_types_of_tensors_that_are_gone_are_taken_out():
    proto = parse("i = Identity(x)\nt = Tanh(i)\nu = Exp(t)\ny = Sin(t)")
    for name in ("i", "t", "u"):
        proto.graph.value_info.add(name=name)
    simplify(proto)
    assert [value.name for value in proto.graph.value_info] == ["t"]


def test_names_inside_branches_are_seen():
    body = """c = ReduceMax <keepdims=0> (x)
        b = Cast <to=9> (c)
        i = Identity(x)
        d = Tanh(x)
        y = If (b) <then_branch = one () => (p) { p = Exp(i) }, else_branch = two () => (q) { q = Sin(d) }>
    """
    proto = simplified(parse(body))
    assert operators(proto) == ["ReduceMax", "Cast", "Tanh", "If"]


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("graph", ["windowed", "streaming"])
def test_the_plain_forecaster_has_few_nodes(graph, batch_first, forecaster):
    proto = export_graph(forecaster(num_layers=2, batch_first=batch_first), graph)
    scaling = ["Sub", "Mul", "Mul", "Add"]
    kinds = operators(simplified(proto))
    for kind in scaling:
        kinds.remove(kind)
    if graph == "windowed":
        core = ["LSTM", "Squeeze", "LSTM", "Squeeze", "Gemm", "Reshape"]
        assert kinds == ["Transpose"] * batch_first + core
    else:
        assert len(kinds) == (13 if batch_first else 11)
    assert not {"Shape", "Expand"} & set(kinds)


class Branch(nn.Module):
    """One of the ways in which people write a recurrent forecaster, drawn at random."""

    def __init__(self, draw):
        super().__init__()
        self.batch_first, self.states = draw.random() < 0.5, draw.choice(["none", "zeros", "new_zeros"])
        self.pick = draw.choice(["last", "slice", "mean", "state", "both"])
        options = {"batch_first": self.batch_first, "bidirectional": draw.random() < 0.4}
        self.layer = draw.choice([nn.LSTM, nn.GRU, nn.RNN])(CHANNELS, HIDDEN, draw.randint(1, 3), **options)
        self.directions = 2 if self.layer.bidirectional else 1
        self.head = nn.Linear(HIDDEN * self.directions, 2)

    def forward(self, x):
        time = 1 if self.batch_first else 0
        x = x if self.batch_first else x.transpose(0, 1)
        out, state = self.layer(x, self.given(x)) if self.states != "none" else self.layer(x)
        hn = state[0] if isinstance(self.layer.mode, str) and self.layer.mode == "LSTM" else state
        if self.pick == "state":
            return self.head(torch.cat([hn[-2], hn[-1]], -1) if self.directions == 2 else hn[-1])
        if self.pick == "mean":
            return self.head(out.mean(time))
        if self.pick == "slice":
            return self.head(out[:, -1:] if self.batch_first else out[-1:])
        last = self.head(out.select(time, -1))
        return last + self.head(out.sum(time)) if self.pick == "both" else last

    def given(self, x):
        shape = (self.layer.num_layers * self.directions, x.size(0 if self.batch_first else 1), HIDDEN)
        state = torch.zeros(shape) if self.states == "zeros" else x.new_zeros(shape)
        return (state, state.clone()) if self.layer.mode == "LSTM" else state


class Branches(nn.Module):
    """Many of them in one graph: an export takes seconds, whatever its size."""

    def __init__(self, draw, number):
        super().__init__()
        self.branches = nn.ModuleList(Branch(draw) for _ in range(number))

    def forward(self, x):
        return tuple(branch(x) for branch in self.branches)


@pytest.mark.filterwarnings("ignore")  # torch warns of its own deprecations
def test_twenty_random_modules_give_the_same_numbers():
    torch.manual_seed(0)
    module = Branches(random.Random(4), 20).eval()
    batch, sequence = (torch.export.Dim(name, min=1) for name in ("batch", "sequence"))
    with torch.no_grad():
        program = torch.onnx.export(
            lower(module),
            (torch.randn(3, 29, CHANNELS),),
            dynamo=True,
            dynamic_shapes=({0: batch, 1: sequence},),
            input_names=["x"],
            opset_version=18,
            verbose=False,
        )
    proto = simplified(program.model_proto)
    assert not {"Shape", "Expand", "ConstantOfShape", "Split", "Identity"} & set(operators(proto))
