"""What cannot be exported is told by torch's name, by the line of somebody's code, and with what to write instead."""

import inspect

import pytest
import torch
from torch import nn

from toolkit.errors import ModelError
from toolkit.export.foreign_graph import foreign_graph
from toolkit.export.graphs import export_torch_graph
from toolkit.export.input_spec import parse_tensor
from toolkit.export.lint import check_graph


class Cummax(nn.Module):
    def forward(self, x):
        return torch.cummax(x, 1)[0]


class Cumprod(nn.Module):
    def forward(self, x):
        return torch.cumprod(x, 1)


class Masked(nn.Module):
    def forward(self, x):
        y = x.clone()
        y[x > 1] = 0
        return y


class Random(nn.Module):
    def forward(self, x):
        return x + 0 * torch.rand_like(x)  # the same answer each time, so that the export sees it


class Pooled(nn.Module):
    def forward(self, x):
        return nn.functional.max_pool1d(x.transpose(1, 2), 2)


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else x * 2


def graph_of(module):
    return foreign_graph(module, [parse_tensor("x: float32[batch, sequence, 4]")])


REFUSED = {
    Cummax: ("torch cannot export torch.cummax at ", "torch.cummax(x, 1)", "nn.MaxPool1d(n, stride=1)"),
    Cumprod: ("torch cannot export torch.prod at ", "torch.cumprod(x, 1)", "torch.exp(torch.cumsum(torch.log(x), 1))"),
    Masked: ("the operator NonZero at ", "y[x > 1] = 0", "y = torch.where(mask, 0, y)"),
    Random: ("the operator RandomUniformLike at ", "torch.rand_like", "leave chance out"),
    Pooled: ("F.max_pool1d at ", "nn.functional.max_pool1d", "use nn.MaxPool1d"),
    Branching: ("depends on the numbers that are fed at ", "x if x.sum() > 0", "torch.where"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_no_graph_is_told_with_its_line_and_what_to_do(kind):
    what, code, fix = REFUSED[kind]
    lines, first = inspect.getsourcelines(kind)
    line = first + next(place for place, text in enumerate(lines) if code in text)
    with pytest.raises(ModelError) as caught:
        export_torch_graph(graph_of(kind()))
    message = str(caught.value)
    told, _, advice = message.partition("; fix: ")
    assert what in told
    assert f"test_refusals.py:{line} (" in told
    assert code in told
    assert fix in advice
    assert "\n" not in message
    assert "issue" not in message


class Plain(nn.Module):
    def forward(self, x):
        spectrum = torch.fft.rfft(x, dim=1).abs().mean((1, 2))
        twice = nn.functional.interpolate(x.transpose(1, 2), scale_factor=2.0)
        return torch.asinh(x) + torch.atanh(x.tanh() * 0.9) + torch.acosh(x.abs() + 1), spectrum, twice


def test_plain_arithmetic_that_onnxruntime_runs_is_exported(run_graph):
    graph = graph_of(Plain())
    proto = export_torch_graph(graph)
    check_graph(proto, graph.tensors, "windowed")
    assert {node.op_type for node in proto.graph.node} >= {"Asinh", "Atanh", "Acosh", "DFT", "Resize"}
    x = torch.randn(2, 7, 4)
    for got, wanted in zip(run_graph(proto, x), graph.module(x), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


class Cut(nn.Module):
    def __init__(self, samples):
        super().__init__()
        self.samples = samples

    def forward(self, x):
        return x[:, -self.samples :]


def test_a_slice_longer_than_the_example_is_an_axis_of_its_own(run_graph):
    graph = graph_of(Cut(300))
    assert graph.tensors.outputs[0].axes == ("batch", "y_axis_1", 4)
    proto = export_torch_graph(graph)
    check_graph(proto, graph.tensors, "windowed")
    assert [run_graph(proto, torch.zeros(1, n, 4))[0].shape[1] for n in (7, 300, 400)] == [7, 300, 300]


def test_a_slice_longer_than_what_was_tried_is_told_with_its_length():
    with pytest.raises(ModelError, match=r"an axis of y is as long as sequence in every run, .* from 3000 samples on"):
        export_torch_graph(graph_of(Cut(3000)))
