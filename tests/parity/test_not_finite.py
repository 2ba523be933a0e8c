"""NaN and infinity: where torch and onnxruntime part by design, and that neither is ever asked by a predictor.

torch computes a gate of NaN as NaN, and through the state every later answer is NaN. onnxruntime's LSTM and GRU clip
what enters a gate, by a minimum that gives its bound for a NaN: sigmoid and tanh are 1. An LSTM's cell then grows by
1, a GRU keeps its state; the forecast is finite and wrong, and right again once that is forgotten.
"""

import numpy as np
import pytest
import torch

from toolkit.errors import InputError
from toolkit.export import export_graph
from toolkit.model import MultivariateLSTM
from toolkit.model.torch_graph import torch_graphs
from toolkit.runtime.predictors import StreamingPredictor, WindowedPredictor
from toolkit.runtime.session import create_session, run_session

STEPS, BAD = 80, 20
MEAN, STD = np.float32([101_325, 20, -3]), np.float32([50, 2, 0.1])
TARGETS = [2, 0]


class Both:
    """A forecaster in torch and in onnxruntime, one series, without the guards."""

    def __init__(self, cell):
        torch.manual_seed(0)
        self.model = MultivariateLSTM(3, 8, horizon=2, targets=2, batch_first=True, cell=cell).eval()
        self.model.set_scaling(torch.from_numpy(MEAN), torch.from_numpy(STD), TARGETS)
        self.tensors = torch_graphs(self.model)["streaming"].tensors
        self.states = self.tensors.states
        self.session = create_session(export_graph(self.model, "streaming").SerializeToString())

    def zero_state(self):
        return {name: np.zeros((1, 1, 8), np.float32) for name in self.states}

    def in_torch(self, x, state):
        """Forecasts in standard deviations `[steps, horizon, targets]`, and the states."""
        with torch.no_grad():
            forecast, *states = self.model.stream(*map(torch.from_numpy, (x, *state.values())))
        return self.standardised(forecast.numpy()), [array.numpy() for array in states]

    def in_onnxruntime(self, x, state):
        forecast, *states = run_session(self.session, {"x": x, **state})
        return self.standardised(forecast), states

    def standardised(self, forecast):
        return (forecast[0] - MEAN[TARGETS]) / STD[TARGETS]


@pytest.fixture(scope="module", params=["lstm", "gru"])
def both(request):
    return Both(request.param)


@pytest.fixture(scope="module")
def samples():
    noise = np.random.default_rng(2).standard_normal((1, STEPS, 3))
    return (MEAN + STD * noise).astype(np.float32)


def spoilt(samples, *values):
    """With these values in the first channels of one sample."""
    samples = samples.copy()
    samples[0, BAD, : len(values)] = values
    return samples


def finite_steps(forecast):
    return np.isfinite(forecast).all((1, 2)).tolist()


LOST = {"a NaN": (np.nan,), "two infinite channels": (np.inf, np.inf), "both infinities": (np.inf, -np.inf)}
"""Infinity minus infinity is NaN in some gate."""


@pytest.mark.parametrize("values", LOST.values(), ids=LOST)
def test_torch_answers_nan_for_ever(values, both, samples):
    forecast, states = both.in_torch(spoilt(samples, *values), both.zero_state())
    assert finite_steps(forecast) == [True] * BAD + [False] * (STEPS - BAD)
    assert all(np.isnan(state).all() for state in states)


@pytest.mark.parametrize("values", LOST.values(), ids=LOST)
def test_onnxruntime_answers_a_finite_wrong_number_and_forgets(values, both, samples):
    clean, _ = both.in_onnxruntime(samples, both.zero_state())
    forecast, states = both.in_onnxruntime(spoilt(samples, *values), both.zero_state())
    assert all(finite_steps(forecast))
    assert all(np.isfinite(state).all() for state in states)
    np.testing.assert_array_equal(forecast[:BAD], clean[:BAD])
    error = np.abs(forecast - clean).max((1, 2))
    assert error[BAD] > 0.01
    assert error[-1] < 1e-3


def test_a_nan_opens_every_gate(both, samples):
    """The cell of an LSTM grows by 1; a GRU stays where it is. Which channel it was, and how many, is all the same."""
    state = {name: np.full((1, 1, 8), 0.3, np.float32) for name in both.states}
    for values in [(np.nan,), (np.nan,) * 3]:
        _, states = both.in_onnxruntime(spoilt(samples, *values)[:, BAD : BAD + 1], state)
        wanted = [np.tanh(1.3), 1.3] if len(states) == 2 else [0.3]
        for array, value in zip(states, wanted, strict=True):
            np.testing.assert_allclose(array, value, rtol=1e-6)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_on_one_infinite_channel_both_agree_and_both_are_wrong(value, both, samples):
    """Its gates are exactly 0 or 1, in either: nothing in the answer tells."""
    x, state = spoilt(samples, value), both.zero_state()
    (first, _), (second, _) = both.in_torch(x, state), both.in_onnxruntime(x, state)
    assert all(finite_steps(first))
    np.testing.assert_allclose(second, first, atol=1e-3)
    assert np.abs(second - both.in_onnxruntime(samples, state)[0])[BAD].max() > 0.01


def test_neither_forgets_a_nan_in_the_state_that_is_carried(both, samples):
    """The cell of an LSTM, the state of a GRU: onnxruntime loses one unit for ever, torch all."""
    carried = list(both.states)[-1]
    state = both.zero_state()
    state[carried][0, 0, 0] = np.nan
    for run, lost in ((both.in_torch, 8), (both.in_onnxruntime, 1)):
        forecast, states = run(samples, state)
        assert not any(finite_steps(forecast))
        assert np.isnan(states[-1]).sum() >= lost


@pytest.fixture(scope="module")
def streaming(both):
    return StreamingPredictor(both.session, both.tensors)


def refused(call, name, value, place):
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value).startswith(f"{name} holds a value that is not finite; got {value} at {place}")
    assert "\n" not in str(caught.value)


VALUES = [np.nan, np.inf, -np.inf]


@pytest.mark.parametrize("value", VALUES)
def test_no_stream_takes_such_a_sample(value, streaming, samples):
    x = spoilt(samples, 0, value)
    refused(lambda: streaming.advance(x, streaming.zero_state(1)), "x", value, [0, BAD, 1])


@pytest.mark.parametrize("value", VALUES)
def test_no_window_may_hold_it(value, model, graphs, samples):
    predictor = WindowedPredictor(create_session(graphs["windowed"]), torch_graphs(model)["windowed"].tensors)
    assert np.isfinite(predictor.predict(samples)).all()
    refused(lambda: predictor.predict(spoilt(samples, 0, value)), "x", value, [0, BAD, 1])


@pytest.mark.parametrize("value", VALUES)
def test_no_stream_takes_such_a_state(value, streaming, samples):
    for name in streaming.zero_state(1):
        state = streaming.zero_state(1)
        state[name][0, 0, 5] = value
        refused(lambda state=state: streaming.advance(samples, state), name, value, [0, 0, 5])


def test_after_a_refusal_the_stream_goes_on_as_if_nothing_had_come(streaming, samples):
    _, state = streaming.advance(samples[:, :BAD], streaming.zero_state(1))
    wanted, _ = streaming.advance(samples[:, BAD:], state)
    for value in VALUES:
        with pytest.raises(InputError):
            streaming.advance(spoilt(samples, value)[:, BAD:], state)
    np.testing.assert_array_equal(streaming.advance(samples[:, BAD:], state)[0], wanted)
