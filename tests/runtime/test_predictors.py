import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.contract.graph_io import ForecasterShape, GraphSignature, SizeLimits, TensorSpec, signature
from toolkit.errors import InputError
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.guarded_graph import GuardedGraph
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
    return WindowedPredictor(session, tensors("windowed"), SizeLimits({"sequence": 4}, {"sequence": 50}))


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


def test_a_window_longer_than_the_model_takes(windowed, session):
    refused(lambda: windowed.predict(readings(1, 51, CHANNELS)), "x is too long; got sequence 51; allowed: at most 50")
    assert session.calls == []
    assert windowed.predict(readings(1, 50, CHANNELS)) == "forecast"


def test_the_shortest_window_that_the_model_takes(windowed, session):
    assert windowed.predict(readings(1, 4, CHANNELS)) == "forecast"
    ((outputs, feed),) = session.calls
    assert outputs == ["forecast"]
    np.testing.assert_array_equal(feed["x"], readings(1, 4, CHANNELS))


def test_in_a_time_major_graph_the_first_axis_is_the_sequence(session):
    predictor = WindowedPredictor(
        session, tensors("windowed", "time-major"), SizeLimits({"sequence": 4}, {"sequence": 50})
    )
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


FURTHER = GraphSignature(
    (
        TensorSpec("x", ("time", "N", 2)),
        TensorSpec("static", ("N", 3)),
        TensorSpec("table", (4, "ahead")),
        TensorSpec("h0", (1, "N", 6)),
    ),
    (TensorSpec("y", ("time", "N")), TensorSpec("hn", (1, "N", 6)), TensorSpec("sums", ("ahead",))),
    {"h0": "hn"},
)


class Batchy:
    """Answers that depend on everyone in the call, as those of an int8 graph do."""

    def __init__(self):
        self.batches = []

    def run(self, outputs, feed):
        assert list(feed) == [tensor.name for tensor in FURTHER.inputs]
        assert outputs == [tensor.name for tensor in FURTHER.outputs]
        self.batches.append(feed["x"].shape[1])
        scale = max(np.abs(feed["x"]).max(), np.abs(feed["static"]).max())
        return [feed["x"].sum(-1) + scale, feed["h0"] + scale, feed["table"].sum(0)]


def further(batch, seed=0):
    random = np.random.default_rng(seed)
    shapes = {"x": (5, batch, 2), "static": (batch, 3), "table": (4, 7), "h0": (1, batch, 6)}
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def test_one_series_at_a_time_no_answer_depends_on_the_others():
    session = Batchy()
    graph = GuardedGraph(session, FURTHER, one_series=True)
    feed = further(3)
    wild = {name: array.copy() for name, array in feed.items()}
    wild["x"][:, 1:] = 1e6
    wild["static"][1:] = -1e6
    plain, beside = graph.run(feed), graph.run(wild)
    alone = graph.run({**further(3), "x": feed["x"][:, :1], "static": feed["static"][:1], "h0": feed["h0"][:, :1]})
    assert session.batches == [1] * 7
    for answers in (plain, beside):
        np.testing.assert_array_equal(answers["y"][:, :1], alone["y"])
        np.testing.assert_array_equal(answers["hn"][:, :1], alone["hn"])
    assert [plain[name].shape for name in ("y", "hn", "sums")] == [(5, 3), (1, 3, 6), (7,)]
    np.testing.assert_array_equal(plain["sums"], feed["table"].sum(0))


def test_all_series_in_one_call_where_nothing_forbids_it():
    session = Batchy()
    answers = GuardedGraph(session, FURTHER).run(further(3))
    assert session.batches == [3]
    assert answers["y"].shape == (5, 3)


def test_the_order_in_which_inputs_are_given_does_not_matter():
    feed = further(2)
    turned = dict(reversed(feed.items()))
    first, second = (GuardedGraph(Batchy(), FURTHER).run(each) for each in (feed, turned))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def without(feed, name):
    return {key: array for key, array in feed.items() if key != name}


WRONG_FEEDS = {
    "no further input": (lambda feed: without(feed, "static"), "the inputs lack static; allowed: x, static, table, h0"),
    "no state": (lambda feed: without(feed, "h0"), "the inputs lack h0"),
    "nothing": (lambda feed: {}, "the inputs lack x"),
    "an unknown input": (lambda feed: {**feed, "c0": feed["h0"]}, "the inputs hold c0; allowed: x, static, table, h0"),
    "a misspelt input": (lambda feed: {**without(feed, "static"), "statics": feed["static"]}, "the inputs lack static"),
    "another batch": (
        lambda feed: {**feed, "static": readings(3, 3)},
        "the inputs hold different sizes of N; got 2 and 3",
    ),
    "no series": (lambda feed: {**feed, "static": readings(0, 3)}, "static is empty; got N 0"),
    "a further input that is no number": (
        lambda feed: {**feed, "table": with_value(feed["table"], np.nan)},
        "table holds a value that is not finite; got nan at [3, 6]",
    ),
    "a further input of doubles": (
        lambda feed: {**feed, "table": feed["table"].astype(float)},
        "table has the wrong type",
    ),
    "a further input too short": (
        lambda feed: {**feed, "table": readings(4, 2)},
        "table is too short; got ahead 2; allowed: 3 or more",
    ),
}


@pytest.mark.parametrize("one_series", [False, True])
@pytest.mark.parametrize("name", WRONG_FEEDS)
def test_a_wrong_feed_never_reaches_the_session(name, one_series):
    change, message = WRONG_FEEDS[name]
    session = Batchy()
    graph = GuardedGraph(session, FURTHER, SizeLimits({"ahead": 3}), one_series)
    refused(lambda: graph.run(change(further(2))), message)
    assert session.batches == []


def test_predictors_take_further_inputs_by_name():
    session = Batchy()
    feed = further(2)
    predictor = StreamingPredictor(session, FURTHER, one_series=True)
    state = predictor.zero_state(2)
    assert set(state) == {"h0"}
    answer, new = predictor.advance(feed["x"], state, static=feed["static"], table=feed["table"])
    assert answer.shape == (5, 2)
    assert set(new) == {"h0"}
    assert session.batches == [1, 1]
    refused(lambda: predictor.advance(feed["x"], state, static=feed["static"]), "the inputs lack table")
    tensors = GraphSignature(FURTHER.inputs[:2], (TensorSpec("y", ("time", "N")),))
    windowed = WindowedPredictor(Recorder("answer"), tensors)
    assert windowed.predict(feed["x"], static=feed["static"]) == "answer"
    refused(lambda: windowed.predict(feed["x"]), "the inputs lack static; allowed: x, static")


def test_what_a_mask_hides_never_reaches_the_session(windowed, session):
    x = np.ma.masked_invalid(with_value(readings(2, 9, 2), np.nan))
    refused(lambda: windowed.predict(x), "x holds masked values; got 1")
    x.mask = np.ma.nomask
    refused(lambda: windowed.predict(x), "x holds a value that is not finite")
    assert session.calls == []
