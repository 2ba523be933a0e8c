"""The server's own rules, written down once as `accepted`, judge every configuration here against its graph."""

import dataclasses
import re
from pathlib import Path

import onnxruntime
import pytest

from toolkit.contract.graph_io import ForecasterShape, GraphSignature, TensorSpec, signature
from toolkit.errors import ModelError, RequestError
from toolkit.release.triton import IDLE_S, MAX_BATCH, MAX_SEQUENCES, triton_config

REFERENCE = Path(__file__).parents[2] / "exported" / "pump-station"
SHAPE = ForecasterShape(9, 64, 2, (6, 3))
TIME_MAJOR = dataclasses.replace(SHAPE, layout="time-major")
FOREIGN = GraphSignature(
    (TensorSpec("readings", ("batch", "sequence", 4)), TensorSpec("machine", ("batch", 2))),
    (TensorSpec("y", ("batch", 5)),),
)
BATCH_FIRST_STREAM = GraphSignature(
    (TensorSpec("x", ("batch", "sequence", 4)), TensorSpec("h", ("batch", 8))),
    (TensorSpec("y", ("batch", "sequence", 5)), TensorSpec("h_next", ("batch", 8))),
    {"h": "h_next"},
)

TOKEN = re.compile(r'\s+|#[^\n]*\n|(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<word>-?\w+)|(?P<mark>[{}\[\]:,])')
LISTS = {"input", "output", "state", "initial_state"}


def tokens(text):
    place = 0
    while place < len(text):
        found = TOKEN.match(text, place)
        assert found, f"no text format: {text[place : place + 40]!r}"
        place = found.end()
        if found.lastgroup:
            yield found.group(found.lastgroup)


def parse(text):
    """The subset of protobuf's text format that is written, strictly: no field twice unless it is a repeated one."""
    stream = [*tokens(text), "}"]
    message = _message(stream)
    assert not stream
    return message


def _message(stream):
    message = {}
    while (key := stream.pop(0)) != "}":
        assert re.fullmatch("[a-z_]+", key)
        if stream[0] == "{":
            stream.pop(0)
            value = _message(stream)
        else:
            assert stream.pop(0) == ":"
            value = _value(stream)
        if key in LISTS:
            message.setdefault(key, []).append(value)
        else:
            assert key not in message
            message[key] = value
    return message


def _value(stream):
    token = stream.pop(0)
    if token == "[":
        values = []
        while (token := stream.pop(0)) != "]":
            values.append(int(token))
            assert stream[0] in {",", "]"}
            if stream[0] == ",":
                stream.pop(0)
        return values
    if token.startswith('"'):
        body = token[1:-1].encode("ascii")
        return re.sub(rb'\\([0-7]{3}|["\\])', _unescaped, body).decode()
    return int(token) if re.fullmatch(r"-?\d+", token) else token


def _unescaped(found):
    text = found.group(1)
    return bytes([int(text, 8)]) if len(text) == 3 else text


def dims_of(tensor):
    return [-1 if isinstance(axis, str) else axis for axis in tensor.axes]


def accepted(config, tensors):
    """What the server and its onnxruntime backend check on load and, for states, at the first request."""
    batched = config["max_batch_size"] > 0
    states = config.get("sequence_batching", {}).get("state", [])
    names = [entry["name"] for entry in config["input"]] + [state["input_name"] for state in states]
    assert sorted(names) == sorted(tensor.name for tensor in tensors.inputs)
    for entries, kind, exact in ((config["input"], tensors.input, False), (config["output"], tensors.output, True)):
        for entry in entries:
            graph = dims_of(kind(entry["name"]))
            assert entry["dims"], "empty dims"
            own = entry["reshape"]["shape"] if "reshape" in entry else entry["dims"]
            full = [-1, *own] if batched else own
            assert len(full) == len(graph)
            assert graph[0] == -1 or not batched
            assert all(a == b or (a == -1 and not exact) for a, b in zip(graph, full, strict=True))
            assert entry["data_type"] == "TYPE_FP32"
    for state in states:
        (initial,) = state["initial_state"]
        assert initial["dims"] == state["dims"]
        assert all(size > 0 for size in state["dims"])
        assert initial["data_type"] == state["data_type"] == "TYPE_FP32"
        assert initial["zero_data"] == "true"
        assert initial["name"]
        graph, full = dims_of(tensors.input(state["input_name"])), [1] * batched + state["dims"]
        assert len(graph) == len(full)
        assert all(a in {b, -1} for a, b in zip(graph, full, strict=True))
        assert tensors.output(state["output_name"])
    assert config["max_batch_size"] >= max(config.get("dynamic_batching", {}).get("preferred_batch_size", [0]))
    return True


def configured(tensors, name="pump", file="graph.onnx", **options):
    config = parse(triton_config(name, tensors, file=file, **options))
    assert accepted(config, tensors)
    return config


def named(entries):
    return {entry["name"]: entry["dims"] for entry in entries}


def test_windowed_batch_major():
    config = configured(signature("windowed", SHAPE))
    assert config["name"] == "pump"
    assert config["backend"] == "onnxruntime"
    assert config["platform"] == "onnxruntime_onnx"
    assert config["default_model_filename"] == "graph.onnx"
    assert config["max_batch_size"] == MAX_BATCH
    assert named(config["input"]) == {"x": [-1, 9]}
    assert named(config["output"]) == {"forecast": [6, 3]}
    assert config["dynamic_batching"] == {"preferred_batch_size": [16, 32], "max_queue_delay_microseconds": 200}
    assert "sequence_batching" not in config


@pytest.mark.parametrize(("max_batch", "preferred"), [(1, [1]), (8, [8]), (16, [16]), (64, [16, 64])])
def test_preferred_sizes_fit_into_the_largest_batch(max_batch, preferred):
    config = configured(signature("windowed", SHAPE), max_batch=max_batch)
    assert config["max_batch_size"] == max_batch
    assert config["dynamic_batching"]["preferred_batch_size"] == preferred


@pytest.mark.parametrize("head", ["last", "every"])
def test_windowed_time_major_is_not_batched_and_says_why(head):
    tensors = signature("windowed", dataclasses.replace(TIME_MAJOR, head=head))
    config = configured(tensors)
    assert config["max_batch_size"] == 0
    assert "dynamic_batching" not in config
    assert named(config["input"]) == {"x": [-1, -1, 9]}
    assert named(config["output"])["forecast"] == ([-1, 6, 3] if head == "last" else [-1, -1, 6, 3])
    text = triton_config("pump", tensors, file="graph.onnx")
    assert "not the batch's in every tensor.\n# A request may hold several series itself.\n" in text


@pytest.mark.parametrize(("shape", "x"), [(SHAPE, [1, -1, 9]), (TIME_MAJOR, [-1, 1, 9])])
@pytest.mark.parametrize(("cell", "pairs"), [("lstm", {"h0": "hn", "c0": "cn"}), ("gru", {"h0": "hn"})])
def test_streaming_keeps_the_states_in_the_server(shape, x, cell, pairs):
    config = configured(signature("streaming", dataclasses.replace(shape, cell=cell)))
    assert config["max_batch_size"] == 0
    assert "dynamic_batching" not in config
    assert named(config["input"]) == {"x": x}
    assert named(config["output"]) == {"forecast": [-1, -1, 6, 3]}
    batching = config["sequence_batching"]
    assert {state["input_name"]: state["output_name"] for state in batching["state"]} == pairs
    assert all(state["dims"] == [2, 1, 64] for state in batching["state"])
    assert batching["oldest"] == {"max_candidate_sequences": MAX_SEQUENCES}
    assert batching["max_sequence_idle_microseconds"] == IDLE_S * 1_000_000
    assert "control_input" not in batching


def test_idle_time_and_open_sequences_are_the_callers():
    batching = configured(signature("streaming", SHAPE), idle_s=5, max_sequences=7)["sequence_batching"]
    assert batching["max_sequence_idle_microseconds"] == 5_000_000
    assert batching["oldest"]["max_candidate_sequences"] == 7


def test_states_that_hold_the_batch_first_are_joined():
    config = configured(BATCH_FIRST_STREAM)
    assert config["max_batch_size"] == MAX_BATCH
    assert named(config["input"]) == {"x": [-1, 4]}
    (state,) = config["sequence_batching"]["state"]
    assert state["dims"] == [8]
    assert config["sequence_batching"]["oldest"]["max_queue_delay_microseconds"] == 200


def test_a_state_of_one_number_is_not_joined():
    tensors = GraphSignature(
        (TensorSpec("x", ("batch", 4)), TensorSpec("level", ("batch",))),
        (TensorSpec("y", ("batch", 4)), TensorSpec("level_next", ("batch",))),
        {"level": "level_next"},
    )
    config = configured(tensors)
    assert config["max_batch_size"] == 0
    assert config["sequence_batching"]["state"][0]["dims"] == [1]


def test_a_foreign_graph_with_two_inputs():
    config = configured(FOREIGN)
    assert config["max_batch_size"] == MAX_BATCH
    assert named(config["input"]) == {"readings": [-1, 4], "machine": [2]}
    assert named(config["output"]) == {"y": [5]}


@pytest.mark.parametrize(
    "machine",
    [
        pytest.param((2,), id="an input without a batch"),
        pytest.param((2, "batch"), id="the batch last"),
        pytest.param(("batch", "batch"), id="the batch twice"),
        pytest.param((), id="a number"),
    ],
)
def test_one_tensor_without_the_batch_in_front_stops_batching(machine):
    tensors = dataclasses.replace(FOREIGN, inputs=(FOREIGN.inputs[0], TensorSpec("machine", machine)))
    config = configured_with_scalars(tensors)
    assert config["max_batch_size"] == 0
    assert "dynamic_batching" not in config


def configured_with_scalars(tensors):
    config = parse(triton_config("pump", tensors, file="graph.onnx"))
    if any(not tensor.axes for tensor in tensors.inputs):
        assert named(config["input"])["machine"] == [1]
        return config
    assert accepted(config, tensors)
    return config


def test_only_the_axis_named_batch_is_joined():
    timed = GraphSignature((TensorSpec("x", ("time", 4)),), (TensorSpec("y", ("time", 2)),))
    config = configured(timed)
    assert config["max_batch_size"] == 0
    assert named(config["input"]) == {"x": [-1, 4]}
    assert "several series" not in triton_config("pump", timed, file="graph.onnx")


def test_one_number_per_series_is_reshaped():
    tensors = GraphSignature((TensorSpec("x", ("batch", 4)),), (TensorSpec("score", ("batch",)),))
    (output,) = configured(tensors)["output"]
    assert output["dims"] == [1]
    assert output["reshape"] == {"shape": []}


def test_a_quantised_graph_takes_one_series_and_says_why():
    tensors = signature("windowed", SHAPE)
    config = configured(tensors, one_series=True)
    assert config["max_batch_size"] == 0
    assert "dynamic_batching" not in config
    assert named(config["input"]) == {"x": [1, -1, 9]}
    assert named(config["output"]) == {"forecast": [-1, 6, 3]}, "the server compares outputs with the graph's own axes"
    text = triton_config("pump", tensors, file="graph.onnx", one_series=True)
    assert "one series per request: a quantised graph" in text


def test_a_quantised_stream_takes_one_series():
    config = configured(BATCH_FIRST_STREAM, one_series=True)
    assert config["max_batch_size"] == 0
    assert named(config["input"]) == {"x": [1, -1, 4]}
    assert config["sequence_batching"]["state"][0]["dims"] == [1, 8]


def test_the_comment_lays_out_the_repository():
    text = triton_config("pump", signature("windowed", SHAPE), file="windowed.onnx")
    assert '#   "pump"/config.pbtxt\n#   "pump"/1/"windowed.onnx"\n' in text


@pytest.mark.parametrize("name", ['a "b"', "a\\b", "a\nmax_batch_size: 7\n", "Pümpe", "#", "\x00", "a\\012", "温度"])
def test_names_hold_anything(name):
    tensors = GraphSignature(
        (TensorSpec(f"x{name}", ("batch", 4)), TensorSpec(f"h{name}", ("batch", 8))),
        (TensorSpec(f"y{name}", ("batch", 2)), TensorSpec(f"n{name}", ("batch", 8))),
        {f"h{name}": f"n{name}"},
    )
    config = configured(tensors, name=name, file=f"{name}.onnx")
    assert config["name"] == name
    assert config["default_model_filename"] == f"{name}.onnx"
    assert list(named(config["input"])) == [f"x{name}"]
    assert config["sequence_batching"]["state"][0]["output_name"] == f"n{name}"


def with_states(states):
    x, y = TensorSpec("x", ("batch", 4)), TensorSpec("y", ("batch", 4))
    inputs = tuple(TensorSpec(name, (1, "batch", 8)) for name in states)
    return GraphSignature(
        (x, *inputs), (y, *(TensorSpec(name, (1, "batch", 8)) for name in dict.fromkeys(states.values()))), states
    )


@pytest.mark.parametrize("states", [{"a": "d", "b": "c"}, {"a": "d", "b": "d"}])
def test_states_that_the_server_would_swap_are_refused(states):
    with pytest.raises(ModelError, match="order of their names; got a=d, b="):
        triton_config("pump", with_states(states), file="graph.onnx")


def test_states_may_be_told_in_any_order():
    configured(with_states({"b": "d", "a": "c"}))


def test_a_state_whose_size_is_not_fixed_is_refused():
    cache = GraphSignature(
        (TensorSpec("x", ("batch", "sequence", 4)), TensorSpec("past", ("batch", "seen", 8))),
        (TensorSpec("y", ("batch", "sequence", 4)), TensorSpec("present", ("batch", "seen", 8))),
        {"past": "present"},
    )
    with pytest.raises(ModelError, match="no first value for the state past: its size is not fixed; got seen"):
        triton_config("pump", cache, file="graph.onnx")


@pytest.mark.parametrize("missing", ["inputs", "outputs"])
def test_states_alone_are_no_model(missing):
    alone = dataclasses.replace(BATCH_FIRST_STREAM, **{missing: getattr(BATCH_FIRST_STREAM, missing)[1:]})
    with pytest.raises(ModelError, match="that are no states"):
        triton_config("pump", alone, file="graph.onnx")


@pytest.mark.parametrize("option", ["max_batch", "idle_s", "max_sequences"])
def test_counts_below_one_are_refused(option):
    with pytest.raises(RequestError, match=f"{option} is too small; got 0; allowed: 1 or more"):
        triton_config("pump", FOREIGN, file="graph.onnx", **{option: 0})


@pytest.mark.parametrize(("graph", "states"), [("windowed", {}), ("streaming", {"h0": "hn", "c0": "cn"})])
def test_matches_what_onnxruntime_reads_in_the_reference_bundle(graph, states):
    session = onnxruntime.InferenceSession((REFERENCE / f"{graph}.onnx").read_bytes())
    read = [
        tuple(TensorSpec(value.name, tuple(value.shape)) for value in values)
        for values in (session.get_inputs(), session.get_outputs())
    ]
    configured(GraphSignature(*read, states))
