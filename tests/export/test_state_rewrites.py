import numpy as np
import onnx
import pytest
from graph_text import initializers, layer, operators, parse, simplified
from onnx import numpy_helper

from toolkit.export.simplify import simplify

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
