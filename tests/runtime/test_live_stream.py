"""The quick way of a live stream: that it is taken, by whom, and what is left to the long one."""

import dataclasses
import threading

import numpy as np
import pytest
from onnx import TensorProto, helper

from toolkit.contract.graph_io import GraphSignature, TensorSpec
from toolkit.errors import InputError
from toolkit.runtime.bound_calls import direct_call
from toolkit.runtime.layer_states import LayerSession
from toolkit.runtime.live_stream import LiveStream
from toolkit.runtime.predictors import StreamingPredictor
from toolkit.runtime.session import create_session

READINGS, STATE = ("batch", "sequence", 2), (1, "batch", 2)


def value(name, axes):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, axes)


def stream_of(*outputs, grows="Add"):
    """`forecast` is the readings plus both states; `an` is twice the first state, `bn` the second one plus one."""
    nodes = [
        helper.make_node("Add", ["a", "b"], ["both"]),
        helper.make_node("Transpose", ["both"], ["turned"], perm=[1, 0, 2]),
        helper.make_node("Add", ["x", "turned"], ["forecast"]),
        helper.make_node(grows, ["a", "a"], ["an"]),
        helper.make_node("Add", ["b", "one"], ["bn"]),
    ]
    axes = {"x": READINGS, "a": STATE, "b": STATE, "forecast": READINGS, "an": STATE, "bn": STATE}
    ends = [[value(name, axes[name]) for name in side] for side in (("x", "a", "b"), outputs)]
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    graph = helper.make_graph(nodes, "stream", *ends, initializer=[one])
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    sides = [tuple(TensorSpec(name, axes[name]) for name in side) for side in (("x", "a", "b"), outputs)]
    signature = GraphSignature(*sides, {"a": "an", "b": "bn"})
    return StreamingPredictor(create_session(content.SerializeToString()), signature)


@pytest.fixture
def predictor():
    return stream_of("forecast", "an", "bn")


def state(first=1.0, second=0.0):
    return {name: np.full((1, 1, 2), number, np.float32) for name, number in (("a", first), ("b", second))}


def sample(number=0.0):
    return np.full((1, 1, 2), number, np.float32)


def begun(predictor, steps=4):
    live = LiveStream(predictor, state())
    for _ in range(steps):
        live.step(sample())
    return live


def test_the_quick_way_is_taken_once_a_shape_came_twice_running(predictor, monkeypatch):
    live = begun(predictor)
    monkeypatch.setattr(predictor, "advance", None)
    assert live.step(sample(0.5)).tolist() == [[[20.5, 20.5]]]  # 2 to the fourth, plus four
    assert live.state["a"].tolist() == [[[32, 32]]]
    assert live.state["b"].tolist() == [[[5, 5]]]


def test_only_who_asks_for_it_gets_memory_that_is_used_again(predictor):
    live = begun(predictor)
    assert live.step(sample()) is not live.step(sample())
    reused = live.step(sample(), reuse=True)
    assert live.step(sample(1), reuse=True) is reused
    assert reused.tolist() == [[[136, 136]]]  # of the last step: 2 to the seventh, plus seven, plus the new reading


def test_the_state_to_begin_with_is_copied_at_once(predictor):
    begin = state()
    live = LiveStream(predictor, begin)
    begin["a"][...] = 7
    assert live.step(sample()).tolist() == [[[1, 1]]]


@pytest.mark.parametrize(
    ("wrong", "others", "words"),
    [
        (sample().astype(np.float64), {}, "x has the wrong type; got float64"),
        (sample().tolist(), {}, "x has the wrong type; got list"),
        (sample(), {"h9": sample()}, "the inputs hold h9"),
        (np.zeros((1, 1, 3), np.float32), {}, "x has the wrong shape"),
    ],
)
def test_what_the_quick_way_does_not_know_goes_the_long_one(predictor, wrong, others, words):
    live = begun(predictor)
    with pytest.raises(InputError, match=words):
        live.step(wrong, **others)
    assert live.step(sample()).tolist() == [[[20, 20]]]


def test_an_array_of_a_class_of_its_own_goes_the_long_way(predictor):
    live = begun(predictor)
    assert live.step(sample().view(np.recarray)).tolist() == [[[20, 20]]]


@pytest.mark.parametrize("steps", [4, 5])  # each of the two turns
def test_a_state_that_is_no_longer_finite_is_refused_before_it_answers(predictor, steps):
    live = begun(predictor, steps)
    live._turns[0].state[0][...] = np.inf
    with pytest.raises(InputError, match="a holds a value that is not finite"):
        live.step(sample())


def test_finite_numbers_whose_squares_are_not_are_answered(predictor):
    assert begun(predictor).step(sample(3e38)).tolist() == sample(3e38).tolist()


def test_a_call_that_fails_on_buffers_is_made_without(predictor):
    live = begun(predictor)
    live._turns[0] = live._turns[0]._replace(binding=None)
    assert live.step(sample()).tolist() == [[[20, 20]]]
    assert live.step(sample()).tolist() == [[[37, 37]]]


def test_new_states_that_come_in_another_order_are_not_mixed_up():
    live = begun(stream_of("forecast", "bn", "an"))
    assert live.step(sample()).tolist() == [[[20, 20]]]
    assert {name: array.max() for name, array in live.state.items()} == {"a": 32, "b": 5}


def test_a_graph_that_is_never_bound_has_no_turns(predictor):
    predictor.graph.bound._open = False
    live = begun(predictor)
    assert live._turns == []
    assert live.step(sample()).tolist() == [[[20, 20]]]


@pytest.mark.parametrize("ask", [lambda live: live.step(sample()), lambda live: live.state])
def test_threads_wait_for_a_step_that_is_taken(predictor, ask):
    live, answers = begun(predictor), []
    thread = threading.Thread(target=lambda: answers.append(ask(live)))
    with live._one_at_a_time:
        thread.start()
        thread.join(0.05)
        assert answers == []
    thread.join()
    assert len(answers) == 1


def test_a_session_that_hides_its_inner_call_is_called_by_its_public_one():
    class Session:
        def run_with_iobinding(self, binding, options):
            return binding, options

    session, binding = Session(), object()
    run, given = direct_call(session, binding)
    assert run(given, None) == (binding, None)


def test_a_rewritten_graph_that_differs_only_where_no_zeros_are_is_not_taken(predictor):
    """The first state of this stream is zero for ever, and twice zero is its square."""
    other = stream_of("forecast", "an", "bn", grows="Mul").graph.session
    graph = dataclasses.replace(predictor.graph, layers=lambda one_sample: LayerSession(other, {}))
    stream = StreamingPredictor.of(graph)
    live = LiveStream(stream, stream.zero_state(1))
    for _ in range(4):
        live.step(sample())
    assert live._turns[0].run.__self__ is graph.session._sess
