"""Answers on bound buffers are those of `session.run`, and stay with whoever asked."""

import pickle
import threading
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from toolkit.contract.graph_io import GraphSignature, TensorSpec
from toolkit.errors import InputError
from toolkit.export import export_graph
from toolkit.model import MultivariateLSTM
from toolkit.model.torch_graph import torch_graphs
from toolkit.runtime.bound_calls import LARGEST, SHAPES_KEPT
from toolkit.runtime.guarded_graph import GuardedGraph
from toolkit.runtime.live_stream import LiveStream
from toolkit.runtime.predictors import StreamingPredictor, WindowedPredictor
from toolkit.runtime.session import create_session

CENTRE, SPREAD = np.float32([60, 101_325]), np.float32([5, 50])


def readings(batch, sequence, seed=0):
    noise = np.random.default_rng(seed).standard_normal((batch, sequence, 2))
    return (CENTRE + SPREAD * noise).astype(np.float32)


@pytest.fixture(scope="module")
def exported():
    torch.manual_seed(3)
    model = MultivariateLSTM(2, 8, 2, horizon=3, targets=2, batch_first=True).eval()
    model.set_scaling(torch.tensor(CENTRE), torch.tensor(SPREAD), range(2))
    graphs = torch_graphs(model)
    return {name: (export_graph(model, name).SerializeToString(), graph.tensors) for name, graph in graphs.items()}


@pytest.fixture
def windowed(exported):
    content, tensors = exported["windowed"]
    return WindowedPredictor(create_session(content), tensors)


@pytest.fixture
def streaming(exported):
    content, tensors = exported["streaming"]
    return StreamingPredictor(create_session(content), tensors)


def plainly(predictor, x):
    return predictor.graph.session.run(None, {"x": x})[0]


def same_bits(got, wanted):
    assert got.shape == wanted.shape
    assert got.tobytes() == wanted.tobytes()


def test_a_shape_is_bound_when_it_comes_again(windowed):
    x = readings(1, 12)
    for bound in ((), (((1, 12, 2),),), (((1, 12, 2),),)):
        same_bits(windowed.predict(x), plainly(windowed, x))
        assert windowed.graph.bound.shapes == bound


def test_an_answer_that_is_kept_is_not_overwritten(windowed, streaming):
    kept = [(windowed.predict(readings(1, 12, seed)), readings(1, 12, seed)) for seed in range(6)]
    for answer, x in kept:
        same_bits(answer, plainly(windowed, x))
    state = streaming.zero_state(1)
    states = [(state, {name: array.copy() for name, array in state.items()})]
    for seed in range(6):
        _, state = streaming.advance(readings(1, 1, seed), state)
        states.append((state, {name: array.copy() for name, array in state.items()}))
    for given, copied in states:
        for name in given:
            same_bits(given[name], copied[name])


def test_an_input_that_changes_afterwards_changes_no_answer(windowed):
    x = readings(1, 12)
    wanted = plainly(windowed, x)
    answers = [windowed.predict(x) for _ in range(3)]
    x[...] = 0
    for answer in answers:
        same_bits(answer, wanted)
    same_bits(windowed.predict(x), plainly(windowed, x))


def test_shapes_in_turns(windowed):
    """More of them than are kept, each often enough to be bound and to be dropped."""
    shapes = [(batch, sequence) for batch in (1, 2, 3) for sequence in (5, 12, 20, 31)]
    for turn in range(4):
        for batch, sequence in shapes:
            for seed in range(3):
                x = readings(batch, sequence, 10 * turn + seed)
                same_bits(windowed.predict(x), plainly(windowed, x))
    assert len(windowed.graph.bound.shapes) == SHAPES_KEPT


def test_readings_from_another_process_are_bound_as_well(windowed):
    """Their float32 is equal to numpy's own, but another object."""
    x = pickle.loads(pickle.dumps(readings(1, 12)))
    for _ in range(3):
        same_bits(windowed.predict(x), plainly(windowed, x))
    assert windowed.graph.bound.shapes == (((1, 12, 2),),)
    same_bits(windowed.graph.bound.answer(x), plainly(windowed, x))


def test_readings_that_are_not_contiguous(windowed):
    x = readings(1, 24)[:, ::2]
    for _ in range(4):
        same_bits(windowed.predict(x), plainly(windowed, np.ascontiguousarray(x)))


def test_threads_do_not_share_buffers(windowed):
    feeds = [[readings(1, 12, 100 * thread + n) for n in range(40)] for thread in range(4)]
    wanted = [[plainly(windowed, x) for x in feed] for feed in feeds]
    got = [[] for _ in feeds]
    start = threading.Barrier(len(feeds))

    def work(place):
        start.wait()
        got[place] += [windowed.predict(feeds[place][n % 40]) for n in range(200)]

    threads = [threading.Thread(target=work, args=(place,)) for place in range(len(feeds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answers, exact in zip(got, wanted, strict=True):
        assert len(answers) == 200
        for n, answer in enumerate(answers):
            same_bits(answer, exact[n % 40])


def test_buffers_in_use_are_nobody_elses(windowed):
    x, other = readings(1, 12), readings(1, 12, 1)
    for _ in range(2):
        windowed.predict(x)
    (free,) = windowed.graph.bound._free.values()
    taken = free.pop()
    assert windowed.graph.bound.answer(other) is None
    same_bits(windowed.predict(other), plainly(windowed, other))
    free.append(taken)
    same_bits(windowed.predict(other), plainly(windowed, other))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_on_bound_buffers_too(value, windowed, streaming):
    x, good = readings(1, 12), readings(1, 12)
    x[0, 7, 1] = value
    for _ in range(3):
        wanted = windowed.predict(good)
    with pytest.raises(InputError, match=r"x holds a value that is not finite; got -?(nan|inf) at \[0, 7, 1\]"):
        windowed.predict(x)
    same_bits(windowed.predict(good), wanted)
    state = streaming.zero_state(1)
    for _ in range(3):
        streaming.advance(good, state)
    state["c0"][0, 0, 3] = value
    with pytest.raises(InputError, match=r"c0 holds a value that is not finite; got -?(nan|inf) at \[0, 0, 3\]"):
        streaming.advance(good, state)


def test_finite_numbers_whose_squares_are_not(windowed):
    x = readings(1, 12)
    for _ in range(3):
        windowed.predict(x)
    x[0, 3] = 3e38
    same_bits(windowed.predict(x), plainly(windowed, x))


@pytest.mark.parametrize("wrong", [np.float64, np.int32])
def test_another_type_of_a_bound_shape(wrong, windowed):
    for _ in range(3):
        windowed.predict(readings(1, 12))
    with pytest.raises(InputError, match="x has the wrong type"):
        windowed.predict(readings(1, 12).astype(wrong))
    with pytest.raises(InputError, match="x has the wrong type"):
        windowed.predict(readings(1, 12).tolist())


def test_a_call_too_large_to_gain_is_not_bound(windowed):
    x = readings(1, LARGEST // 2 + 1)
    for _ in range(3):
        same_bits(windowed.predict(x), plainly(windowed, x))
    assert windowed.graph.bound.shapes == ()


def small_graph(*nodes, output=("n",), session=create_session):
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "y")]
    opset = [helper.make_opsetid("", 18)]
    content = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:]), opset_imports=opset, ir_version=8)
    tensors = GraphSignature((TensorSpec("x", ("n",)),), (TensorSpec("y", output),))
    return GuardedGraph(session(content.SerializeToString()), tensors)


def test_a_graph_whose_answer_is_not_repeatable_is_never_bound():
    graph = small_graph(helper.make_node("RandomUniformLike", ["x"], ["y"]))
    answers = [graph.run({"x": np.zeros(4, np.float32)})["y"] for _ in range(4)]
    assert len({answer.tobytes() for answer in answers}) == 4
    assert graph.bound.shapes == ()


def test_a_graph_that_answers_in_another_shape_than_it_says_is_never_bound():
    graph = small_graph(
        helper.make_node("Greater", ["x", "x"], ["none"]), helper.make_node("Compress", ["x", "none"], ["y"], axis=0)
    )
    for _ in range(4):
        assert graph.run({"x": np.ones(4, np.float32)})["y"].shape == (0,)
    assert graph.bound.shapes == ()


def test_a_graph_whose_inputs_do_not_tell_the_shape_of_its_answer_is_never_bound():
    graph = small_graph(helper.make_node("Neg", ["x"], ["y"]), output=("m",))
    for _ in range(4):
        np.testing.assert_array_equal(graph.run({"x": np.ones(4, np.float32)})["y"], -np.ones(4))
    assert graph.bound.shapes == ()


def test_a_shape_that_changes_with_the_numbers_goes_the_plain_way():
    """The same shape in, other values: onnxruntime refuses the bound buffer, and nobody gets what was left in it."""
    graph = small_graph(
        helper.make_node("Sign", ["x"], ["sign"]),
        helper.make_node("Cast", ["sign"], ["some"], to=TensorProto.BOOL),
        helper.make_node("Compress", ["x", "some"], ["y"], axis=0),
    )
    for _ in range(3):
        np.testing.assert_array_equal(graph.run({"x": np.ones(4, np.float32)})["y"], np.ones(4))
    assert graph.bound.shapes == (((4,),),)
    np.testing.assert_array_equal(graph.run({"x": np.array([0, 2, 0, 3], np.float32)})["y"], [2, 3])


def negating(**session):
    return small_graph(helper.make_node("Neg", ["x"], ["y"]), **session)


def test_readings_of_a_class_of_its_own_are_answered_and_never_bound():
    graph = negating()
    for _ in range(4):
        answer = graph.run({"x": np.ones(4, np.float32).view(np.recarray)})["y"]
        np.testing.assert_array_equal(answer, -np.ones(4))
    assert graph.bound.shapes == ()


def test_numbers_whose_squares_are_not_finite_do_not_close_the_quick_way():
    graph = negating()
    for number in (3e38, 3e38, 1.0, 1.0):
        np.testing.assert_array_equal(graph.run({"x": np.full(4, number, np.float32)})["y"], [-np.float32(number)] * 4)
    assert graph.bound.shapes == (((4,),),)


def test_a_graph_without_inputs_is_never_bound():
    constant = helper.make_node("Constant", [], ["y"], value=helper.make_tensor("c", TensorProto.FLOAT, [2], [1, 2]))
    content = helper.make_model(
        helper.make_graph([constant], "g", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    graph = GuardedGraph(create_session(content.SerializeToString()), GraphSignature((), (TensorSpec("y", (2,)),)))
    for _ in range(4):
        np.testing.assert_array_equal(graph.run({})["y"], [1, 2])


class Elsewhere(onnxruntime.InferenceSession):
    def get_providers(self):
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.mark.parametrize("session", [Elsewhere, lambda content: SimpleNamespace(run=create_session(content).run)])
def test_what_the_cpu_alone_does_not_run_is_never_bound(session):
    graph = negating(session=session)
    for _ in range(4):
        np.testing.assert_array_equal(graph.run({"x": np.ones(4, np.float32)})["y"], -np.ones(4))
    assert graph.bound.shapes == ()


class Taken(list):
    """Another thread was quicker."""

    def pop(self):
        raise IndexError


def test_a_call_that_another_thread_took_meanwhile():
    graph, x = negating(), np.ones(4, np.float32)
    for _ in range(2):
        graph.run({"x": x})
    (shapes,) = graph.bound.shapes
    graph.bound._free[shapes] = Taken([None])
    assert graph.bound.run([x]) is None
    assert graph.bound.answer(x) is None
    np.testing.assert_array_equal(graph.run({"x": x})["y"], -x)


@pytest.mark.parametrize("ask", [lambda bound, x: bound.run([x]), lambda bound, x: bound.answer(x)])
def test_a_call_is_given_back_whatever_became_of_it(ask):
    graph, x = negating(), np.ones(4, np.float32)
    for _ in range(2):
        graph.run({"x": x})
    assert ask(graph.bound, np.full(4, np.nan, np.float32)) is None
    np.testing.assert_array_equal(np.ravel(ask(graph.bound, x)), -x)
    assert [len(free) for free in graph.bound._free.values()] == [1]


def test_two_threads_do_not_learn_at_once():
    graph, x = negating(), np.ones(4, np.float32)
    with graph.bound._learning:
        for _ in range(3):
            graph.run({"x": x})
        assert graph.bound.shapes == ()
    for _ in range(2):
        graph.run({"x": x})
    assert graph.bound.shapes == (((4,),),)


def test_shapes_that_never_come_again_are_forgotten():
    graph = negating()
    for length in range(1, 3 * SHAPES_KEPT):
        graph.run({"x": np.ones(length, np.float32)})
    assert graph.bound.shapes == ()
    assert len(graph.bound._met) == SHAPES_KEPT


def test_a_call_is_bound_up_to_the_largest_side():
    graph = negating()
    for length in (LARGEST, LARGEST, LARGEST + 1, LARGEST + 1):
        graph.run({"x": np.ones(length, np.float32)})
    assert graph.bound.shapes == (((LARGEST,),),)


def test_one_series_at_a_time_on_bound_buffers(windowed):
    graph = windowed.graph
    alone = GuardedGraph(graph.session, graph.tensors, one_series=True)
    for seed in range(3):
        x = readings(3, 12, seed)
        wanted = np.concatenate([plainly(windowed, x[n : n + 1]) for n in range(3)])
        same_bits(alone.run({"x": x})["forecast"], wanted)
    assert alone.bound.shapes == (((1, 12, 2),),)


@pytest.mark.parametrize("reuse", [False, True])
def test_a_live_stream_is_the_stream(streaming, reuse):
    live, state = LiveStream(streaming, streaming.zero_state(1)), streaming.zero_state(1)
    kept = []
    for seed in range(12):
        x = readings(1, 4 if seed == 7 else 1, seed)
        wanted, state = streaming.advance(x, state)
        answer = live.step(x, reuse=reuse)
        same_bits(answer, wanted)
        for name, array in live.state.items():
            same_bits(array, state[name])
        kept.append((answer, wanted))
    if not reuse:
        for answer, wanted in kept:
            same_bits(answer, wanted)


def test_live_streams_of_several_assets_do_not_touch_each_other(streaming):
    lives = [LiveStream(streaming, streaming.zero_state(1)) for _ in range(3)]
    states = [streaming.zero_state(1) for _ in lives]
    for step in range(8):
        for asset, live in enumerate(lives):
            x = readings(1, 1, 10 * step + asset)
            wanted, states[asset] = streaming.advance(x, states[asset])
            same_bits(live.step(x), wanted)


def test_a_live_stream_gives_out_no_memory_of_its_own(streaming):
    begin = streaming.zero_state(1)
    live = LiveStream(streaming, begin)
    for seed in range(5):
        live.step(readings(1, 1, seed))
    before = live.state
    for array in (*live.state.values(), *begin.values()):
        array[...] = 7
    for name, array in live.state.items():
        same_bits(array, before[name])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_refused_sample_leaves_a_live_stream_as_it_was(streaming, value):
    live = LiveStream(streaming, streaming.zero_state(1))
    for seed in range(6):
        live.step(readings(1, 1, seed))
    before = live.state
    with pytest.raises(InputError, match="x holds a value that is not finite"):
        live.step(np.full((1, 1, 2), value, np.float32))
    with pytest.raises(InputError, match="x has the wrong shape"):
        live.step(readings(1, 1)[0])
    for name, array in live.state.items():
        same_bits(array, before[name])
    wanted, _ = streaming.advance(readings(1, 1, 9), before)
    same_bits(live.step(readings(1, 1, 9)), wanted)
