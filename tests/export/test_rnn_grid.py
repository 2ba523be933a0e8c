"""The grid of recurrent modules that PyTorch's own ONNX suite goes through: right at other shapes, or refused.

Every series of a packed sequence has its own length. Where the graph would depend on it, the reason must be told.
"""

import itertools
import warnings

import pytest
import torch
import verdicts
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

CHANNELS, HIDDEN = 4, 3
KINDS = {"lstm": nn.LSTM, "gru": nn.GRU}
CASES = list(
    itertools.product(
        KINDS,
        (1, 3),
        ("forward", "bidirectional"),
        ("zero state", "state given"),
        ("plain", "packed", "packed batch-first"),
        (0.0, 0.2),
    )
)
PLAIN = [case for case in CASES if case[4] == "plain"]
PACKED = [case for case in CASES if case[4] != "plain"]
FIXED = [5, 4, 2]
"""Lengths of a module that always has the same three series."""


def number_of(case):
    kind, layers, direction, state, packing, dropout = case
    return f"{kind}-{layers}-{direction}-{state}-{packing}-dropout {dropout}".replace(" ", "_")


class Recurrent(nn.Module):
    """One case: states as arguments of their own, all of its tensors as answers."""

    def __init__(self, case):
        super().__init__()
        kind, layers, direction, state, packing, dropout = case
        torch.manual_seed(CASES.index(case))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "dropout option adds dropout")  # a single layer has none; the suite asks
            self.layer = KINDS[kind](
                CHANNELS,
                HIDDEN,
                layers,
                bidirectional=direction == "bidirectional",
                dropout=dropout,
                batch_first=packing == "packed batch-first",
            )
        self.is_lstm = kind == "lstm"
        self.states = ("h0", "c0")[: 2 if kind == "lstm" else 1] if state == "state given" else ()

    def run(self, x, given):
        """The layer's outputs and its last states, flat."""
        state = () if not given else (given if self.is_lstm else given[0],)
        outputs, last = self.layer(x, *state)
        return outputs, *(last if self.is_lstm else (last,))

    def forward(self, x, *given):
        return self.run(x, given)

    @property
    def inputs(self):
        order = "batch, sequence" if self.layer.batch_first else "sequence, batch"
        rows = self.layer.num_layers * (2 if self.layer.bidirectional else 1)
        return [f"x: {order}, {CHANNELS}", *(f"{name}: {rows}, batch, {HIDDEN}" for name in self.states)]


class Packed(Recurrent):
    """The same, packed before and padded again behind.

    Args:
        way: how the module comes to know how long each series is.
    """

    def __init__(self, case, way):
        super().__init__(case)
        self.way = way
        self.register_buffer("lengths", torch.tensor(FIXED))

    def forward(self, x, *given):
        given, wanted = (given[:-1], given[-1]) if self.way.startswith("argument") else (given, None)
        x, lengths, is_sorted = WAYS[self.way](self, x, wanted)
        first = self.layer.batch_first
        packed = pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=is_sorted)
        outputs, *last = self.run(packed, given)
        return pad_packed_sequence(outputs, batch_first=first)[0], *last

    def steps(self, x):
        return x.shape[1 if self.layer.batch_first else 0]

    def series(self, x):
        return x.shape[0 if self.layer.batch_first else 1]

    @property
    def inputs(self):
        texts = super().inputs + (["lengths: batch"] if self.way.startswith("argument") else [])
        return [text.replace("batch", "3") for text in texts] if self.way.startswith("fixed") else texts


def as_argument(module, x, wanted):
    steps = module.steps(x)
    return x, (wanted.abs() * steps).long().clamp(1, steps).cpu(), False


def as_sorted_argument(module, x, wanted):
    lengths, order = as_argument(module, x, wanted)[1].sort(descending=True)
    return x.index_select(0 if module.layer.batch_first else 1, order), lengths, True


def by_a_mask(module, x, wanted):
    time = 1 if module.layer.batch_first else 0
    return x, (x.abs().sum(-1) > 0).sum(time).cpu(), False


def of_whole_sequences(module, x, wanted):
    return x, torch.full((module.series(x),), module.steps(x)), True


WAYS = {
    "argument": as_argument,
    "argument, sorted": as_sorted_argument,
    "mask": by_a_mask,
    "fixed list": lambda module, x, wanted: (x, FIXED, True),
    "fixed buffer": lambda module, x, wanted: (x, module.lengths, False),
    "whole sequences": of_whole_sequences,
    "whole sequences, a list": lambda module, x, wanted: (x, [module.steps(x)] * module.series(x), True),
}
"""Of `(module, x, argument)`: `x`, the lengths, and whether they are sorted."""


def way_of(case):
    """Seven ways in turns: seven divides none of the grid's sizes, so each meets every value."""
    return list(WAYS)[PACKED.index(case) % len(WAYS)]


def example_of(case):
    """One export for each case, from either example in turns: what is baked shows at other shapes."""
    return (CASES.index(case) // 2 % 2,)


def test_the_grid_is_whole():
    assert len(CASES) == len(set(map(number_of, CASES))) == 96
    assert (len(PLAIN), len(PACKED)) == (32, 64)
    assert {(way_of(case), *value) for case in PACKED for value in enumerate(case)} == {
        (way, *value) for way in WAYS for case in PACKED for value in enumerate(case)
    }


@pytest.mark.parametrize("case", PLAIN, ids=number_of)
def test_a_plain_case_is_right_at_other_shapes(case, run_graph):
    module = Recurrent(case)
    assert module.training, "what the exporter gets is not in evaluation mode by itself"
    given, new = module.states, ("hn", "cn")[: 2 if module.is_lstm else 1]
    # A backward direction begins at the end, so its states cannot be fed back: they are inputs like any other.
    states = {} if module.layer.bidirectional else dict(zip(given, new, strict=False))
    result = verdicts.verdict(module, module.inputs, ("y", *new), states, examples=example_of(case))
    assert result.passed, result.reason
    assert (1, 1) in {(done.batch, done.sequence) for done in result.report.cases}
    for batch, sequence in ((1, 1), (6, 40)):
        sizes = {"batch": batch, "sequence": sequence}
        shapes = [[sizes.get(axis, axis) for axis in verdicts.tensor(text).axes] for text in module.inputs]
        inputs = [torch.randn(shape) for shape in shapes]
        with torch.no_grad():
            wanted = module.eval()(*inputs)
        torch.testing.assert_close(tuple(run_graph(result.proto, *inputs)), wanted, rtol=0, atol=2e-6)


@pytest.mark.parametrize("case", PACKED, ids=lambda case: f"{number_of(case)}-{way_of(case).replace(' ', '_')}")
def test_a_packed_case_is_right_or_refused_with_its_reason(case):
    module = Packed(case, way_of(case))
    result = verdicts.verdict(module, module.inputs, examples=example_of(case))
    if not result.passed:
        assert result.refused_by == "export"
        assert "a packed sequence cannot be exported" in result.reason
        assert "fix: " in result.reason
        assert "\n" not in result.reason
