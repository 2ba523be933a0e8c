import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.contract.graph_io import ForecasterShape, signature
from toolkit.errors import InputError
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.predictors import StreamingPredictor, WindowedPredictor

CHANNELS, LAYERS, HIDDEN = 2, 1, 8


class Recorder:
    """Stands in the session's place and keeps what reaches it."""

    def __init__(self, *answers):
        self.calls = []
        self.answers = list(answers)

    def run(self, outputs, feed):
        self.calls.append((outputs, feed))
        return self.answers[: len(outputs)]


@pytest.fixture
def session():
    return Recorder("forecast", "hn", "cn")


def tensors(graph, layout="batch-major"):
    return signature(graph, ForecasterShape(CHANNELS, HIDDEN, LAYERS, (3, 2), layout))


@pytest.fixture
def windowed(session):
    return WindowedPredictor(session, tensors("windowed"), {"sequence": 4})


@pytest.fixture
def streaming(session):
    return StreamingPredictor(session, tensors("streaming"))


def readings(*shape):
    return np.ones(shape, np.float32)


def with_value(array, value):
    array = array.copy()
    array.reshape(-1)[-1] = value
    return array


GOOD = readings(2, 5, CHANNELS)
BAD_INPUTS = {
    "batch 0": (readings(0, 5, CHANNELS), "x is empty; got batch 0"),
    "sequence 0": (readings(2, 0, CHANNELS), "x is empty; got sequence 0"),
    "two axes": (readings(5, CHANNELS), "x has the wrong shape; got [5, 2]; allowed: [batch, sequence, 2]"),
    "four axes": (readings(1, 2, 5, CHANNELS), "x has the wrong shape"),
    "no axes": (np.array(1.0, np.float32), "x has the wrong shape"),
    "other channels": (readings(2, 5, 3), "x has the wrong shape; got [2, 5, 3]"),
    "no channels": (readings(2, 5, 0), "x has the wrong shape"),
    "float64": (GOOD.astype(np.float64), "x has the wrong type; got float64; allowed: a float32 array"),
    "whole numbers": (GOOD.astype(np.int64), "x has the wrong type"),
    "the other byte order": (GOOD.astype(np.dtype(np.float32).newbyteorder()), "x has the wrong type"),
    "objects": (GOOD.astype(object), "x has the wrong type"),
    "a list": (GOOD.tolist(), "x has the wrong type; got list"),
    "nothing": (None, "x has the wrong type; got NoneType"),
    "NaN": (with_value(GOOD, np.nan), "x holds a value that is not finite; got nan at [1, 4, 1]"),
    "infinity": (with_value(GOOD, np.inf), "x holds a value that is not finite; got inf at [1, 4, 1]"),
    "minus infinity": (with_value(GOOD, -np.inf), "x holds a value that is not finite; got -inf"),
}


def refused(call, message):
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_a_bad_window_never_reaches_the_session(name, windowed, session):
    x, message = BAD_INPUTS[name]
    refused(lambda: windowed.predict(x), message)
    assert session.calls == []


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_samples_never_reach_the_session(name, streaming, session):
    x, message = BAD_INPUTS[name]
    refused(lambda: streaming.advance(x, streaming.zero_state(2)), message)
    assert session.calls == []


@pytest.mark.parametrize("sequence", [1, 3])
def test_a_window_shorter_than_the_model_takes(sequence, windowed, session):
    message = f"x is too short; got sequence {sequence}; allowed: 4 or more"
    refused(lambda: windowed.predict(readings(2, sequence, CHANNELS)), message)
    assert session.calls == []


def test_the_shortest_window_that_the_model_takes(windowed, session):
    assert windowed.predict(readings(1, 4, CHANNELS)) == "forecast"
    ((outputs, feed),) = session.calls
    assert outputs == ["forecast"]
    np.testing.assert_array_equal(feed["x"], readings(1, 4, CHANNELS))


def test_in_a_time_major_graph_the_first_axis_is_the_sequence(session):
    predictor = WindowedPredictor(session, tensors("windowed", "time-major"), {"sequence": 4})
    refused(lambda: predictor.predict(readings(3, 9, CHANNELS)), "x is too short; got sequence 3")
    refused(lambda: predictor.predict(readings(9, 0, CHANNELS)), "x is empty; got batch 0")
    predictor.predict(readings(9, 3, CHANNELS))
    assert len(session.calls) == 1


STATE = readings(LAYERS, 2, HIDDEN)
BAD_STATES = {
    "another batch": (readings(LAYERS, 3, HIDDEN), "the inputs hold different sizes of batch; got 2 and 3"),
    "batch 0": (readings(LAYERS, 0, HIDDEN), "{} is empty; got batch 0"),
    "other layers": (readings(LAYERS + 1, 2, HIDDEN), "{} has the wrong shape; got [2, 2, 8]; allowed: [1, batch, 8]"),
    "other units": (readings(LAYERS, 2, HIDDEN - 1), "{} has the wrong shape"),
    "two axes": (readings(2, HIDDEN), "{} has the wrong shape"),
    "float64": (STATE.astype(np.float64), "{} has the wrong type; got float64"),
    "a list": (STATE.tolist(), "{} has the wrong type; got list"),
    "NaN": (with_value(STATE, np.nan), "{} holds a value that is not finite; got nan at [0, 1, 7]"),
    "infinity": (with_value(STATE, np.inf), "{} holds a value that is not finite"),
}


@pytest.mark.parametrize("which", ["h0", "c0"])
@pytest.mark.parametrize("name", BAD_STATES)
def test_a_bad_state_never_reaches_the_session(name, which, streaming, session):
    array, message = BAD_STATES[name]
    refused(lambda: streaming.advance(GOOD, streaming.zero_state(2) | {which: array}), message.format(which))
    assert session.calls == []


@pytest.mark.parametrize("which", ["h0", "c0"])
def test_half_a_state_is_refused(which, streaming, session):
    state = streaming.zero_state(2)
    del state[which]
    refused(lambda: streaming.advance(GOOD, state), f"the state lacks {which}; allowed: h0, c0")
    assert session.calls == []


def test_each_new_state_comes_back_under_the_name_to_give_it_by(streaming, session):
    forecast, state = streaming.advance(GOOD, {"h0": STATE, "c0": 2 * STATE})
    assert (forecast, state) == ("forecast", {"h0": "hn", "c0": "cn"})
    ((outputs, feed),) = session.calls
    assert outputs == ["forecast", "hn", "cn"]
    np.testing.assert_array_equal(feed["h0"], STATE)
    np.testing.assert_array_equal(feed["c0"], 2 * STATE)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_state_to_begin_with(batch, streaming):
    state = streaming.zero_state(batch)
    assert set(state) == {"h0", "c0"}
    for array in state.values():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, np.zeros((LAYERS, batch, HIDDEN)))


@pytest.fixture(scope="module")
def stream(whole):
    return load_bundle(whole).streaming()


@pytest.fixture(scope="module")
def samples():
    noise = np.random.default_rng(1).standard_normal((2, 30, CHANNELS))
    return (np.array([60.0, 101_325.0]) + np.array([5.0, 50.0]) * noise).astype(np.float32)


@settings(deadline=None, max_examples=25, database=None)
@given(cuts=st.lists(st.integers(1, 29), unique=True, max_size=12).map(sorted))
def test_a_stream_in_pieces_equals_the_whole(cuts, stream, samples):
    wanted, last = stream.advance(samples, stream.zero_state(2))
    state, pieces = stream.zero_state(2), []
    for piece in np.split(samples, cuts, axis=1):
        forecast, state = stream.advance(np.ascontiguousarray(piece), state)
        pieces.append(forecast)
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), wanted, rtol=1e-6)
    for name in last:
        np.testing.assert_allclose(state[name], last[name], atol=1e-6)


def test_the_given_state_is_not_changed(stream, samples):
    state = {name: np.full((LAYERS, 2, HIDDEN), 0.3, np.float32) for name in ("h0", "c0")}
    new = stream.advance(samples, state)[1]
    again = stream.advance(samples, state)[1]
    for name, array in state.items():
        np.testing.assert_array_equal(array, np.full((LAYERS, 2, HIDDEN), np.float32(0.3)))
        assert not np.array_equal(new[name], array)
        np.testing.assert_array_equal(new[name], again[name])


def test_the_last_of_a_stream_is_the_forecast_of_the_window(whole, stream, samples):
    forecast, _ = stream.advance(samples, stream.zero_state(2))
    np.testing.assert_allclose(load_bundle(whole).windowed().predict(samples), forecast[:, -1], rtol=1e-6)


def test_series_of_a_batch_do_not_touch_each_other(stream, samples):
    alone, _ = stream.advance(samples[:1], stream.zero_state(1))
    other = samples.copy()
    other[1] = 1e6
    beside, _ = stream.advance(other, stream.zero_state(2))
    np.testing.assert_allclose(beside[:1], alone, rtol=1e-6)
