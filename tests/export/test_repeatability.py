"""A module that keeps something between calls is told what, before anything is traced."""

import pytest
import torch
from torch import nn

from toolkit.errors import ModelError
from toolkit.export.repeatability import refuse_unrepeatable


class Keeps(nn.Module):
    """`keep` is called with the module, the input and the layer's answer; gives what is answered."""

    def __init__(self, keep, memory=None):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.memory = memory
        self.register_buffer("seen", torch.zeros(3))
        self.register_buffer("count", torch.zeros((), dtype=torch.long), persistent=False)
        self.keep = keep

    def forward(self, x):
        return self.keep(self, x, self.layer(x))


def attribute(net, x, y):
    y = y if net.memory is None else y + net.memory
    net.memory = y
    return y


def list_in_place(net, x, y):
    net.memory.append(y)
    return y * len(net.memory)


def dictionary_in_place(net, x, y):
    net.memory["h"] = y + net.memory["h"]
    return net.memory["h"]


def buffer(net, x, y):
    net.seen += 1
    return y - net.seen


def unused_buffer(net, x, y):
    net.count += 1
    return y


def weight(net, x, y):
    net.layer.bias.mul_(0.5)
    return y


def chance(net, x, y):
    return nn.functional.dropout(y, 0.5)


def refusal(module):
    module = module.eval()
    x = torch.ones(2, 3)

    def run():
        with torch.no_grad():
            return (module(x),)

    run()
    refuse_unrepeatable(module, run)


@pytest.mark.parametrize(
    ("keep", "memory", "match"),
    [
        (attribute, None, r"state between calls \(attribute 'inner.memory' changes\); fix: .*--state memory0=memoryn"),
        (list_in_place, [], r"attribute 'inner.memory' changes"),
        (dictionary_in_place, {"h": torch.ones(1)}, r"attribute 'inner.memory' changes"),
        (buffer, None, r"changes itself when it is called: 'inner.seen' .*self.training.*--state seen0=seenn"),
        (unused_buffer, None, "'inner.count' is another after it"),
        (weight, None, "'inner.layer.bias' is another after it"),
        (chance, None, "does not repeat its own answers: chance, such as dropout"),
    ],
)
def test_what_a_graph_cannot_do_is_named(keep, memory, match):
    outer = nn.Sequential()
    outer.add_module("inner", Keeps(keep, memory))
    with pytest.raises(ModelError, match=match):
        refusal(outer)


@pytest.mark.parametrize("answer", [lambda net, x, y: y, lambda net, x, y: y * float("nan")])
def test_a_module_that_repeats_itself_passes_nan_or_not(answer):
    refusal(Keeps(answer))


def test_what_is_remembered_and_never_used_does_no_harm():
    def remembered(net, x, y):
        net.memory = y
        return y

    refusal(Keeps(remembered))
