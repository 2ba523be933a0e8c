"""Twenty exports in one process, of mixed modules and shapes: as right as the first one.

torch 2.13 alone bakes the example's sequence into every `nn.LSTM` after the first that a process exports.
"""

import pytest
import torch
import verdicts
from torch import nn

from toolkit.export.graphs import example_sizes, export_torch_graph
from toolkit.export.lint import check_same
from toolkit.model import MultivariateLSTM
from toolkit.model.torch_graph import torch_graphs
from toolkit.parity import ParityGrid

GRID = ParityGrid((1, 4), (1, 2, 17), (5,))


def own(graph="windowed", *sizes, **options):
    """Input size, hidden size, layers; scaling far from the identity."""
    channels = sizes[0]
    answer = {} if "classes" in options else {"horizon": 3, "targets": channels}
    model = MultivariateLSTM(*sizes, **answer, **options)
    model.set_scaling(torch.linspace(-5, 101_325, channels), torch.linspace(0.1, 50, channels), range(channels))
    return torch_graphs(model.eval())[graph]


class Answering(nn.Module):
    """A layer and a head for every step; where states are given, they come back."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.head = layer, nn.Linear(layer.hidden_size * (2 if layer.bidirectional else 1), 2)

    def forward(self, x, *given):
        steps, last = self.layer(x, *given)
        return (self.head(steps), last) if given else self.head(steps)


def foreign(layer, states=()):
    order = "batch, sequence" if layer.batch_first else "sequence, batch"
    rows = f"{layer.num_layers}, batch, {layer.hidden_size}"
    pairs = dict(zip(states, ("hn", "cn"), strict=False))
    inputs = [f"x: {order}, {layer.input_size}", *(f"{name}: {rows}" for name in pairs)]
    return verdicts.as_graph(Answering(layer), inputs, ("y", *pairs.values()), pairs)


EXPORTS = {
    "lstm of the toolkit": lambda: own("windowed", 3, 8, 2, batch_first=True),
    "its streaming graph": lambda: own("streaming", 3, 8, 2, batch_first=True),
    "lstm": lambda: foreign(nn.LSTM(4, 6)),
    "the same again": lambda: foreign(nn.LSTM(4, 6)),
    "lstm, batch first": lambda: foreign(nn.LSTM(4, 6, batch_first=True)),
    "wide lstm of the toolkit": lambda: own("windowed", 9, 33, 1),
    "its streaming graph, time-major": lambda: own("streaming", 9, 33, 1),
    "lstm with states": lambda: foreign(nn.LSTM(2, 5, 2, batch_first=True), ("h0", "c0")),
    "gru": lambda: foreign(nn.GRU(4, 6)),
    "gru of the toolkit": lambda: own("windowed", 2, 5, 2, cell="gru"),
    "its streaming graph of a gru": lambda: own("streaming", 2, 5, 2, cell="gru"),
    "gru with a state": lambda: foreign(nn.GRU(3, 7, batch_first=True), ("h0",)),
    "both directions": lambda: foreign(nn.LSTM(3, 4, bidirectional=True, batch_first=True)),
    "both directions of the toolkit": lambda: own("windowed", 4, 6, 1, bidirectional=True),
    "tanh": lambda: foreign(nn.RNN(3, 4)),
    "relu": lambda: foreign(nn.RNN(3, 4, nonlinearity="relu", batch_first=True)),
    "a classifier": lambda: own("windowed", 3, 8, 1, classes=5, head="every"),
    "without bias": lambda: own("streaming", 3, 8, 1, bias=False),
    "lstm, one unit": lambda: foreign(nn.LSTM(1, 1)),
    "lstm of the toolkit, once more": lambda: own("windowed", 3, 8, 2, batch_first=True),
}


@pytest.fixture(scope="module")
def exports():
    """Each graph and its proto, all made before any is looked at, in one process and in this order."""
    made = {}
    for number, (name, make) in enumerate(EXPORTS.items()):
        torch.manual_seed(0)
        graph = make()
        made[name] = graph, export_torch_graph(graph, sizes=example_sizes(graph, number % 2))
    return made


def test_there_are_twenty(exports):
    assert len(exports) == 20
    assert {graph.name for graph, _ in exports.values()} == {"windowed", "streaming"}


@pytest.mark.parametrize("name", EXPORTS)
def test_each_passes_the_gate_and_parity(name, exports):
    graph, proto = exports[name]
    result = verdicts.judged(graph, proto, grid=GRID)
    assert result.passed, result.reason


def test_the_first_export_is_the_last_one_too(exports):
    (_, first), (_, last) = exports["lstm of the toolkit"], exports["lstm of the toolkit, once more"]
    check_same(first, last, "windowed")  # from examples of other sizes as well: 3 x 29 and 5 x 31
