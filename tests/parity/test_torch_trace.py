import numpy as np
import pytest
import torch
from parted_graphs import CHANNELS, HIDDEN, Foreign, made, random_x
from torch import nn

from toolkit.parity.torch_trace import trace_module


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
