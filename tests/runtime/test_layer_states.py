"""Graphs rewritten in memory: the same answers to the bit, or the graph itself."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from toolkit.contract.graph_io import GraphSignature, TensorSpec
from toolkit.runtime import layer_states
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.guarded_graph import GuardedGraph
from toolkit.runtime.layer_states import open_layers, rewritten, with_layer_states
from toolkit.runtime.live_stream import LiveStream
from toolkit.runtime.one_sample import for_one_sample
from toolkit.runtime.predictors import StreamingPredictor
from toolkit.runtime.protobuf_wire import BYTES, VARINT, Budget, Entry, read_message, write_message
from toolkit.runtime.session import create_session

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bundle():
    """Two layers, as the reference bundle has them."""
    return load_bundle(ROOT / "exported" / "pump-station")


@pytest.fixture(scope="module")
def content(bundle):
    return bundle.read("streaming.onnx")


@pytest.fixture(scope="module")
def tensors(bundle):
    return bundle.signature("streaming")


def readings(batch, sequence, seed=0):
    values = np.random.default_rng(seed).standard_normal((batch, sequence, 9)).astype(np.float32)
    return values + np.float32(20)


def state_of(batch, seed=0):
    values = np.random.default_rng(seed).uniform(-1, 1, (2, 2, batch, 64)).astype(np.float32)
    return {"h0": values[0], "c0": values[1]}


def by_parts(session, parts, x, state):
    """Runs the rewritten graph; its states put together again."""
    feed = {"x": x} | {part: state[name][n : n + 1] for name in state for n, part in enumerate(parts[name])}
    names = [output.name for output in session.get_outputs()]
    got = dict(zip(names, session.run(None, feed), strict=True))
    stacked = {name: np.concatenate([got[part] for part in parts[name]]) for name in ("hn", "cn")}
    return {"forecast": got["forecast"], **stacked}


@pytest.mark.parametrize(("batch", "sequence"), [(1, 1), (1, 7), (5, 1), (3, 4)])
def test_states_apart_give_the_same_to_the_bit(bundle, content, tensors, batch, sequence):
    x, state = readings(batch, sequence), state_of(batch)
    names = [output.name for output in bundle.session("streaming").get_outputs()]
    expected = dict(zip(names, bundle.session("streaming").run(None, {"x": x, **state}), strict=True))
    rewritten = with_layer_states(content, tensors)
    got = by_parts(create_session(rewritten.content), rewritten.parts, x, state)
    assert all(np.array_equal(got[name], expected[name]) for name in expected)


def test_a_graph_for_one_sample_gives_the_same_to_the_bit(bundle, content, tensors):
    x, state = readings(1, 1), state_of(1)
    layers = open_layers(content, tensors, None, one_sample=True)
    got = by_parts(layers.session, layers.parts, x, state)
    forecast, hn, cn = bundle.session("streaming").run(["forecast", "hn", "cn"], {"x": x, **state})
    assert np.array_equal(got["forecast"], forecast)
    assert np.array_equal(got["hn"], hn)
    assert np.array_equal(got["cn"], cn)


def operators(content):
    return [node.op_type for node in onnx.load_from_string(content).graph.node]


def test_what_is_saved(content, tensors):
    apart = with_layer_states(content, tensors).content
    assert set(operators(content)) - set(operators(apart)) == {"Split", "Concat"}
    single = for_one_sample(apart)
    assert set(operators(apart)) - set(operators(single)) == {"Transpose", "Squeeze"}
    onnx.checker.check_model(single, full_check=True)
    onnx.checker.check_model(apart, full_check=True)


def test_a_live_stream_takes_it(bundle):
    predictor = bundle.streaming()
    live, state = LiveStream(predictor, state_of(1)), state_of(1)
    for seed in range(8):
        expected, state = predictor.advance(readings(1, 1, seed), state)
        assert np.array_equal(live.step(readings(1, 1, seed)), expected)
    assert all(np.array_equal(live.state[name], state[name]) for name in state)


def test_a_live_stream_runs_on_the_rewritten_graph(bundle, content, tensors):
    """Told by its session, which is closed to no one else: it fails once that session is made to."""
    layers = open_layers(content, tensors, None, one_sample=True)
    graph = dataclasses.replace(bundle.guarded(bundle.manifest.graph("streaming")), layers=lambda one_sample: layers)
    live = LiveStream(StreamingPredictor.of(graph), state_of(1))
    for seed in range(4):
        live.step(readings(1, 1, seed))
    assert live._turns[0].run.__self__ is layers.session._sess


def steps(predictor, count=8):
    live = LiveStream(predictor, state_of(1))
    return [live.step(readings(1, 1, seed)).copy() for seed in range(count)]


def test_a_rewritten_graph_that_answers_otherwise_is_not_taken(bundle, content, tensors):
    model = onnx.load_from_string(content)
    next(i for i in model.graph.initializer if i.name.endswith("head.bias")).raw_data = bytes(4 * 36)
    other = model.SerializeToString()
    graph = bundle.guarded(bundle.manifest.graph("streaming"))
    wrong = functools.partial(open_layers, other, tensors, None)
    assert wrong(True) is not None
    predictor = StreamingPredictor.of(dataclasses.replace(graph, layers=wrong))
    plain = StreamingPredictor.of(dataclasses.replace(graph, layers=None))
    assert all(np.array_equal(*pair) for pair in zip(steps(predictor), steps(plain), strict=True))


def test_a_graph_that_cannot_be_opened_is_done_without(bundle, content, tensors, monkeypatch):
    monkeypatch.setattr(layer_states, "for_one_sample", lambda content: content[:-40])
    assert open_layers(content, tensors, None, one_sample=True) is None


def value(name, axes):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, axes)


STATE = (2, "batch", 3)
TWO = GraphSignature(
    (TensorSpec("x", ("batch", 3)), TensorSpec("s", STATE)),
    (TensorSpec("y", ("batch", 3)), TensorSpec("t", STATE)),
    {"s": "t"},
)


def two_layers(*, split=None, join=None, more=(), outputs=()):
    nodes = [
        split or helper.make_node("Split", ["s"], ["a", "b"], axis=0, num_outputs=2),
        helper.make_node("Add", ["a", "x"], ["c"]),
        helper.make_node("Add", ["b", "c"], ["d"]),
        helper.make_node("Squeeze", ["d", "zero"], ["y"]),
        join or helper.make_node("Concat", ["c", "d"], ["t"], axis=0),
        *more,
    ]
    zero = helper.make_tensor("zero", TensorProto.INT64, [1], [0])
    axes = {tensor.name: list(tensor.axes) for tensor in (*TWO.inputs, *TWO.outputs)}
    ends = [[value(name, axes[name]) for name in names] for names in ("xs", "yt")]
    ends[1] += outputs
    graph = helper.make_graph(nodes, "two", *ends, initializer=[zero])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString()


def test_somebodys_graph_of_two_layers():
    layers = open_layers(two_layers(), TWO, None, one_sample=False)
    assert layers.parts == {"s": ("a", "b"), "t": ("c", "d")}
    x, state = np.ones((2, 3), np.float32), np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    feed = {"x": x, "a": state[:1], "b": state[1:]}
    y, c, d = layers.session.run(["y", "c", "d"], feed)
    expected = create_session(two_layers()).run(["y", "t"], {"x": x, "s": state})
    assert np.array_equal(y, expected[0])
    assert np.array_equal(np.concatenate([c, d]), expected[1])


OTHERS = {
    "another axis": two_layers(split=helper.make_node("Split", ["s"], ["a", "b"], axis=1, num_outputs=2)),
    "a state read twice": two_layers(more=[helper.make_node("Neg", ["s"], ["n"])]),
    "a stack read within": two_layers(more=[helper.make_node("Neg", ["t"], ["n"])]),
    "the same part twice": two_layers(join=helper.make_node("Concat", ["c", "c"], ["t"], axis=0)),
    "no stack": two_layers(join=helper.make_node("Identity", ["s"], ["t"])),
    "a part that goes straight through": two_layers(join=helper.make_node("Concat", ["c", "x"], ["t"], axis=0)),
}


@pytest.mark.parametrize("content", OTHERS.values(), ids=OTHERS.keys())
def test_what_is_no_stack_is_left_alone(content):
    assert with_layer_states(content, TWO) is None


def test_a_large_graph_is_left_alone(monkeypatch):
    monkeypatch.setattr(layer_states, "LARGEST", 100)
    assert rewritten(two_layers(), TWO, one_sample=False) is None


def test_a_graph_without_states_is_left_alone(bundle):
    assert with_layer_states(bundle.read("windowed.onnx"), bundle.signature("windowed")) is None


def moved(*nodes):
    graph = helper.make_graph(
        nodes, "moved", [value("x", ["s", "b", 3])], [value("y", None)],
        initializer=[helper.make_tensor("one", TensorProto.INT64, [1], [1])],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString()


KEPT = {
    "other axes": moved(helper.make_node("Transpose", ["x"], ["a"], perm=[2, 1, 0]), helper.make_node("Neg", "a", "y")),
    "two swaps at once": moved(
        helper.make_node("Unsqueeze", ["x", "one"], ["u"]),
        helper.make_node("Transpose", ["u"], ["a"], perm=[1, 0, 3, 2]),
        helper.make_node("Neg", "a", "y"),
    ),
    "a transpose that answers": moved(
        helper.make_node("Neg", "x", "a"), helper.make_node("Transpose", ["a"], ["y"], perm=[1, 0, 2])
    ),
    "a squeeze of one of two parts": moved(
        helper.make_node("Split", ["x"], ["u", "v"], axis=1, num_outputs=2),
        helper.make_node("Squeeze", ["u", "one"], ["a"]),
        helper.make_node("Neg", "a", "y"),
    ),
    "a squeeze of something else": moved(
        helper.make_node("Unsqueeze", ["x", "one"], ["u"]),
        helper.make_node("Squeeze", ["u", "one"], ["a"]),
        helper.make_node("Neg", "a", "y"),
    ),
}


@pytest.mark.parametrize("content", KEPT.values(), ids=KEPT.keys())
def test_what_does_move_numbers_stays(content):
    assert for_one_sample(content) == content


def test_a_square_matrix_that_is_transposed_stays():
    """Its shape is the same before and after, and so are all its orders while it holds zeros."""
    nodes = [helper.make_node("Transpose", ["x"], ["a"], perm=[1, 0]), helper.make_node("Neg", ["a"], ["y"])]
    graph = helper.make_graph(nodes, "square", [value("x", [3, 3])], [value("y", [3, 3])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    assert for_one_sample(model.SerializeToString()) == model.SerializeToString()


def test_a_swap_of_axes_that_only_the_file_calls_one_stays():
    nodes = [
        helper.make_node("Cast", ["n"], ["sizes"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["x", "sizes"], ["b"]),
        helper.make_node("Transpose", ["b"], ["a"], perm=[1, 0]),
        helper.make_node("Neg", ["a"], ["y"]),
    ]
    inner = [value("b", [1, 1]), value("a", [1, 1])]
    ends = [value("x", [9]), value("n", [2])], [value("y", None)]
    graph = helper.make_graph(nodes, "told", *ends, value_info=inner)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    assert for_one_sample(model.SerializeToString()) == model.SerializeToString()


def test_a_swap_that_is_swapped_again():
    content = moved(
        helper.make_node("Transpose", ["x"], ["a"], perm=[1, 0, 2]),
        helper.make_node("Transpose", ["a"], ["b"], perm=[1, 0, 2]),
        helper.make_node("Neg", ["b"], ["y"]),
    )
    assert operators(for_one_sample(content)) == ["Neg"]
    x = np.ones((1, 1, 3), np.float32)
    assert np.array_equal(create_session(for_one_sample(content)).run(None, {"x": x})[0], -x)


@given(
    st.dictionaries(
        st.integers(1, 3000),
        st.lists(
            st.one_of(
                st.integers(0, 2**64 - 1).map(lambda number: Entry(VARINT, number)),
                st.binary().map(lambda blob: Entry(BYTES, memoryview(blob))),
            ),
            min_size=1,
        ),
    )
)
def test_what_is_written_is_read_again(entries):
    assert read_message(memoryview(write_message(entries)), Budget()).entries == entries


def test_a_whole_graph_is_written_as_it_was(content):
    again = write_message(read_message(memoryview(content), Budget()).entries)
    assert onnx.load_from_string(again) == onnx.load_from_string(content)


@pytest.mark.parametrize(("shape", "one_sample"), [((1, 1), True), ((1, 2), False), ((2, 1), False)])
def test_only_one_sample_of_one_series_gets_the_shorter_graph(bundle, shape, one_sample):
    asked = []

    def layers(one):
        asked.append(one)

    graph = dataclasses.replace(bundle.guarded(bundle.manifest.graph("streaming")), layers=layers)
    live = LiveStream(StreamingPredictor.of(graph), state_of(shape[0]))
    for seed in range(4):
        live.step(readings(*shape, seed))
    assert asked == [one_sample]


def test_a_guarded_graph_opens_it_once(content, tensors):
    opened = []

    def layers(one_sample):
        opened.append(one_sample)

    graph = GuardedGraph(create_session(content), tensors, layers=layers)
    for _ in range(3):
        graph.by_layer(one_sample=True)
    graph.by_layer(one_sample=False)
    assert opened == [True, False]
