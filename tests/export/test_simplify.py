import random

import pytest
import torch
from graph_text import CHANNELS, HIDDEN, initializers, operators, parse, simplified
from torch import nn

from toolkit.export.graphs import export_graph
from toolkit.export.lowering import lower
from toolkit.export.simplify import simplify

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
