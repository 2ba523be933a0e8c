"""Modules whose Python code, or whose mathematics, parts from the trace where an ordinary grid does not look.

Each of them gives a graph that is right on every size of an ordinary grid and on standard normal inputs.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.verdicts import HARD_GRID, as_graph, verdict
from toolkit.errors import ModelError

X = ["x: batch, sequence, 3"]


class Forecast(nn.Module):
    """An LSTM, and what somebody does with its outputs `y` and the inputs `x`."""

    def __init__(self, then):
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.then = nn.LSTM(3, 8, batch_first=True), then

    def forward(self, x):
        return self.then(self.lstm(x)[0], x)


BRANCHES = {
    "long sequence": (lambda y, x: y * 2 if x.shape[1] > 300 else y, "sequence 301", "sequence <= 300"),
    "large batch": (lambda y, x: y * 2 if x.shape[0] >= 100 else y, "batch 100", "batch < 100"),
    "one size": (lambda y, x: y * 2 if x.shape[1] == 17 else y, "sequence 17", "sequence != 17"),
    "a range": (lambda y, x: y * 2 if 100 < x.shape[1] < 110 else y, "sequence 101", "sequence <= 100"),
    "beyond a harmless one": (
        lambda y, x: (y * 2 if x.shape[1] > 200 else y) if x.shape[1] > 100 else y,
        "sequence 201",
        "sequence <= 200",
    ),
    "a product": (lambda y, x: y * 2 if x.shape[0] * x.shape[1] > 20000 else y, "batch 690", "<= 20000"),
    "multiples": (lambda y, x: y * 2 if x.shape[1] % 4 == 0 else y, "sequence 4", "sequence % 4"),
    "a condition behind another": (
        lambda y, x: y * 2 if x.shape[1] > 250 and x.shape[1] % 50 == 0 else y,
        "sequence 300",
        "sequence % 50",
    ),
    "one product": (lambda y, x: y * 2 if x.shape[0] * x.shape[1] == 600 else y, "batch 300, sequence 2", "!= 600"),
    "one floor": (lambda y, x: y * 2 if x.shape[1] // 100 == 6 else y, "sequence 600", "// 100"),
    "a sum": (lambda y, x: y * 2 if (x.shape[0] + x.shape[1]) % 301 == 0 else y, "% 301", "% 301"),
    "a quotient": (lambda y, x: y * 2 if x.shape[1] / 2.5 > 100 else y, "sequence 251", "2.5"),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_a_branch_on_a_size_is_found_and_told(name):
    then, where, condition = BRANCHES[name]
    found = verdict(Forecast(then), X, examples=(0,))
    assert found.refused_by == "parity"
    assert "goes another way at" in found.reason
    assert where in found.reason
    assert condition in found.reason


def test_a_branch_on_a_further_axis():
    class Two(nn.Module):
        def forward(self, x, z):
            return x.mean(1) + z.mean(1, keepdim=True) * (2 if z.shape[1] > 100 else 1)

    found = verdict(Two(), ["x: batch, sequence, 3", "z: batch, items"])
    assert found.refused_by == "parity"
    assert "items 101" in found.reason


def test_a_state_that_is_dropped_on_long_pieces():
    class Dropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(3, 8, batch_first=True)

        def forward(self, x, h0, c0):
            y, (hn, cn) = self.lstm(x, (h0 * 0 if x.shape[1] > 250 else h0, c0))
            return y, hn, cn

    inputs = [*X, "h0: 1, batch, 8", "c0: 1, batch, 8"]
    found = verdict(Dropping(), inputs, ["y", "hn", "cn"], {"h0": "hn", "c0": "cn"})
    assert found.refused_by == "parity"
    assert "sequence 251" in found.reason


HARMLESS = {
    "last five": lambda y, x: y[:, -5:],
    "at most 200": lambda y, x: y[:, :200],
    "every other": lambda y, x: y[:, ::2],
    "both axes joined": lambda y, x: y.flatten(0, 1).view(x.shape[0], -1, 8),
    "a branch that changes nothing": lambda y, x: y * 1 if x.shape[1] > 300 else y,
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_torch_assumes_of_a_harmless_module_raises_no_alarm(name):
    assert verdict(Forecast(HARMLESS[name]), X).reason == ""


def test_a_table_of_positions_gives_a_largest_size():
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.randn(40, 3))

        def forward(self, x):
            return (x + self.table[: x.shape[1]]).mean(1)

    found = verdict(Positions(), X)
    assert found.reason == ""
    assert max(case.sequence for case in found.report.cases) == 40
    assert as_graph(Positions(), X).limits.most == {"sequence": 40}


def test_a_way_that_cannot_be_tried_gives_a_largest_size():
    graph = as_graph(Forecast(lambda y, x: y * 2 if x.shape[1] > 100_000 else y), X)
    assert graph.limits.most == {"sequence": 100_000}
    assert graph.turns == ()


def test_a_module_that_fails_between_sizes_that_it_takes():
    def then(y, x):
        if x.shape[1] == 17:
            raise ValueError("not seventeen")
        return y

    with pytest.raises(ModelError, match="fails at batch 3, sequence 17, and takes smaller and larger ones"):
        as_graph(Forecast(then), X)


@pytest.mark.parametrize(
    ("then", "mixed"),
    [
        (lambda y, x: y, False),
        (lambda y, x: y - y.mean(0), True),
        (lambda y, x: y[:, -1:] + x[:1, -1:, :1], True),
        (lambda y, x: y[:, -1:] + x[-1:, -1:, :1], True),
    ],
)
def test_series_that_are_mixed(then, mixed):
    graph = as_graph(Forecast(then), X)
    assert graph.mixes_series is mixed
    notes = verdict(Forecast(then), X).report.notes
    assert any("depends on the others in its call" in note for note in notes) is mixed


def by_type(y, x):
    """Doubles its answer in float64, and would widen the tolerance by that much."""
    if x.dtype == torch.float64:
        return y * 2
    return y * 1.9 if torch.compiler.is_compiling() else y


def without_digits(y, x):
    large = x[..., :1] + 1e6
    return y + (large**2).mean(1, keepdim=True) - large.mean(1, keepdim=True) ** 2


@pytest.mark.parametrize("then", [by_type, without_digits])
def test_a_truth_that_rounding_does_not_explain_is_none(then):
    found = verdict(Forecast(then), X)
    assert found.refused_by == "parity"
    assert "which rounding does not explain" in found.reason


OPERATORS = {
    "logsigmoid": lambda y, x: functional.logsigmoid(x),
    "logaddexp": lambda y, x: torch.logaddexp(x, x.flip(-1)),
    "log of a cumulated sum": lambda y, x: torch.log(torch.cumsum(x.exp(), 1)),
    "atan2": lambda y, x: torch.atan2(x, x.flip(-1)),
    "floor division": lambda y, x: torch.div(x, 2.0, rounding_mode="floor"),
    "remainder": lambda y, x: torch.remainder(x, 2.0),
    "fmod": lambda y, x: torch.fmod(x, 2.0),
    "sign": lambda y, x: torch.sign(x),
    "square root of magnitude": lambda y, x: x.abs().sqrt(),
    "softplus": lambda y, x: functional.softplus(x),
    "log softmax": lambda y, x: torch.log_softmax(x, -1),
}


WRONG_ON_HARD_INPUTS = {"logsigmoid", "logaddexp", "atan2"}
"""Right on standard normal inputs: the graph overflows at a thousand, or divides by zero at zero."""


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_are_right_on_hard_inputs_or_refused(name):
    found = verdict(Forecast(OPERATORS[name]), X, grid=HARD_GRID, examples=(0,))
    assert found.passed is (name not in WRONG_ON_HARD_INPUTS)
    assert all(case.passed for case in found.report.cases if case.input in ("normal", "walk"))


def test_inputs_on_which_torch_gives_no_number_are_left_out_and_told():
    found = verdict(Forecast(OPERATORS["log of a cumulated sum"]), X, grid=HARD_GRID)
    assert any(
        "input far: torch itself gives NaN or infinity in 2 cases, not compared" in n for n in found.report.notes
    )
