import dataclasses
import json

import pytest

from toolkit.contract.graph_entry import GraphEntry
from toolkit.contract.graph_io import TensorSpec, shape_from_spec, signature
from toolkit.contract.manifest import SCHEMA, BundleManifest, FileEntry, StatePolicy, manifest_from_json
from toolkit.contract.model_spec import ModelSpec
from toolkit.contract.signals import SignalSpec, channel_from_name
from toolkit.errors import BundleError, RequestError

SIGNAL = SignalSpec(tuple(map(channel_from_name, ("t.mean", "t.std"))), ("t.mean",), 60.0)
MODEL = ModelSpec(2, 8, 1, horizon=3, targets=1, window_length=12)


def entry(name, **options):
    tensors = signature(name, shape_from_spec(MODEL))
    tolerances = {"windowed": {"forecast": (0.1,)}, "streaming": {"forecast": (0.1,), "hn": (1e-6,), "cn": (1e-5,)}}[
        name
    ]
    return GraphEntry(
        name, f"{name}.onnx", "fp32", tolerances, tensors.inputs, tensors.outputs, tensors.states, **options
    )


GRAPHS = (entry("windowed"), entry("streaming"))
FILES = {"windowed.onnx": FileEntry("ab" * 32, 1234)}
MANIFEST = BundleManifest(
    SCHEMA, "pump", SIGNAL, MODEL, GRAPHS, 18, "1.14", FILES, 12, None, {"test": {"mse": 1.5}}, {}, {"a": 1}
)


def changed(**changes):
    return json.dumps({**json.loads(MANIFEST.to_json()), **changes})


def test_what_was_written_is_read():
    assert manifest_from_json(MANIFEST.to_json(), "manifest.json") == MANIFEST


def test_keys_are_these():
    manifest = json.loads(MANIFEST.to_json())
    fixed = {"schema", "name", "signal", "model", "graphs", "opset", "minimum_onnxruntime", "files"}
    assert manifest.keys() == fixed | {"window_length", "precision", "accuracy", "parity", "provenance", "state"}
    assert manifest["schema"] == "bundle/2"
    assert manifest["files"]["windowed.onnx"] == {"sha256": "ab" * 32, "bytes": 1234}


def test_graphs_are_found_by_name():
    assert MANIFEST.graph("streaming") is GRAPHS[1]
    alone = BundleManifest(SCHEMA, "pump", SIGNAL, MODEL, GRAPHS[:1], 18, "1.14", FILES, 12)
    with pytest.raises(BundleError, match="pump has no streaming graph; allowed: windowed"):
        alone.graph("streaming")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        (MANIFEST.to_json()[:200], "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "schema None; allowed: 'bundle/2'"),
        ("{}", "schema None"),
        (changed(schema="bundle/9"), "schema 'bundle/9'"),
        (changed(nmae="x"), "unknown key; got 'nmae'.*did you mean 'name'"),
        (changed(opset="18"), "opset; got '18'; allowed: a whole number"),
        (changed(files={"a": {"sha256": "x"}}), "files.a lacks the key 'bytes'"),
        (changed(graphs=[{"name": "bulk"}]), r"graphs\[0\]"),
        (changed(model={"input_size": 0}), "model lacks the key"),
        (changed(signal=None), "a model without its signal"),
        (changed(signal=3), "signal; got 3"),
        (changed(graphs=[]), "graphs"),
        (changed(window_length=0), "window_length"),
    ],
)
def test_a_manifest_that_cannot_be_trusted_is_refused(text, words):
    with pytest.raises(BundleError, match=words) as refusal:
        manifest_from_json(text, "manifest.json")
    assert str(refusal.value).startswith("manifest.json")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_tolerance_that_lets_everything_pass_is_refused(number):
    text = MANIFEST.to_json().replace("1e-06", number)
    with pytest.raises(RequestError, match=r"golden_atol.hn\[0\].*a finite number"):
        manifest_from_json(text, "manifest.json")


def test_a_signal_that_does_not_fit_the_model_is_refused():
    with pytest.raises(BundleError, match="2 channels and 1 targets for a model of 3 and 1"):
        manifest_from_json(changed(model={**json.loads(MANIFEST.to_json())["model"], "input_size": 3}), "manifest.json")


def inputs(*axes):
    return [{"name": "x", "axes": axes}, *json.loads(MANIFEST.to_json())["graphs"][1]["inputs"][1:]]


def tolerances(**changes):
    return {"forecast": [0.1], "hn": [1e-6], "cn": [1e-5]} | changes


def graph_with(**changes):
    graphs = json.loads(MANIFEST.to_json())["graphs"]
    graphs[1] |= changes
    return changed(graphs=graphs, model=None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (graph_with(preferred=False), "one preferred"),
        (graph_with(name="windowed"), "each once"),
        (graph_with(states={"h0": "cn", "c0": "hm"}), "state c0=hm"),
        (graph_with(states={"h9": "hn"}), "state h9=hn"),
        (graph_with(states={"x": "forecast"}), "state x=forecast"),
        (graph_with(inputs=[]), "tensors"),
        (graph_with(inputs=[{"name": "x", "axes": ["batch", "sequence", 0]}], states={}), "size of an axis"),
        (graph_with(inputs=inputs("batch", 2)), "no gateway can feed"),
        (graph_with(inputs=inputs("batch", "sequence", 5)), "names other channels"),
        (graph_with(min_sizes={"sequence": 0}), "min_sizes"),
        (graph_with(min_sizes={"time": 2}), "min_sizes"),
        (graph_with(precision="int8"), "in int8: one_series; got false"),
        (graph_with(one_series=True), "in fp32: one_series; got true"),
        (graph_with(golden_atol={}), r"golden_atol; got \[\]; allowed: each of"),
        (graph_with(golden_atol=tolerances(noise=[0.1])), "golden_atol; got"),
        (graph_with(golden_atol=tolerances(hn=[])), r"golden_atol of hn; got \[\]"),
        (graph_with(golden_atol=tolerances(hn=[0.1, 0.1])), "golden_atol of hn"),
        (graph_with(golden_atol=tolerances(forecast=[0.1, 0.1])), "golden_atol of forecast"),
        (graph_with(golden_atol=tolerances(forecast=[0.0])), "golden_atol of forecast"),
        (graph_with(golden_atol=tolerances(forecast=[-1.0])), "golden_atol of forecast"),
        (graph_with(file="streaming.bin"), r"file; got 'streaming\.bin'; allowed: a name with \.onnx"),
        (graph_with(file="s" * 300 + ".onnx"), "file; got 's+'; allowed"),
        (graph_with(file="windowed.onnx"), r"of the same file; got windowed\.onnx"),
        (graph_with(name="windowed", precision="fp16", preferred=False, states={}), "in fp16; got other tensors"),
        (graph_with(states={}), "states of the streaming graph"),
        (changed(minimum_onnxruntime="abc"), "minimum_onnxruntime; got 'abc'; allowed: a version"),
        (changed(minimum_onnxruntime=""), "minimum_onnxruntime"),
        (changed(minimum_onnxruntime="1." + "9" * 5000), "minimum_onnxruntime"),
        (changed(minimum_onnxruntime="1.\u0661"), "minimum_onnxruntime"),
        (changed(files={"bulk.onnx": {"sha256": "", "bytes": 0}}), r"lists bulk\.onnx, which is no graph's"),
        (changed(files={"notes.txt": {"sha256": "", "bytes": 0}}), r"lists notes\.txt"),
        (MANIFEST.to_json().replace('"opset": 18', '"opset": 17, "opset": 18'), "the key 'opset' twice"),
        (changed(provenance={"a": float("nan")}), "provenance; got nan"),
        (changed(accuracy={"a": [float("inf")]}), "accuracy; got inf"),
    ],
)
def test_a_graph_that_contradicts_itself_is_refused(text, words):
    with pytest.raises(BundleError, match=words):
        manifest_from_json(text, "manifest.json")


def test_a_graph_of_another_model_is_refused():
    graphs = json.loads(MANIFEST.to_json())["graphs"]
    graphs[1]["outputs"][0]["axes"][2] = 4
    with pytest.raises(BundleError, match="the streaming graph is not that of the model"):
        manifest_from_json(changed(graphs=graphs), "manifest.json")


@pytest.mark.parametrize(
    "changes", [{"min_sizes": {"sequence": 5}}, {"max_sizes": {"sequence": 60}}, {"mixes_series": True}]
)
def test_sizes_that_are_not_those_of_the_model_are_refused(changes):
    graphs = json.loads(MANIFEST.to_json())["graphs"]
    graphs[1] |= changes
    with pytest.raises(BundleError, match="min_sizes, max_sizes and mixes_series of the streaming graph; got"):
        manifest_from_json(changed(graphs=graphs), "manifest.json")


def test_another_window_length_than_the_models_is_refused():
    with pytest.raises(BundleError, match="window_length; got 13; allowed: the model's, 12"):
        manifest_from_json(changed(window_length=13), "manifest.json")


def test_every_file_that_an_export_writes_may_be_listed():
    names = ("README.md", "golden.npz", "weights.safetensors", "samples.safetensors", "streaming.onnx", "streaming.ort")
    files = dict.fromkeys((*names, "windowed.required_operators.config", "windowed.config.pbtxt"), FileEntry("", 1))
    assert dataclasses.replace(MANIFEST, files=files).files == files


def test_a_precision_is_found_by_name_and_the_preferred_one_otherwise():
    fp32 = dataclasses.replace(GRAPHS[0], preferred=False)
    int8 = dataclasses.replace(GRAPHS[0], file="windowed.int8.onnx", precision="int8", one_series=True)
    both = dataclasses.replace(MANIFEST, graphs=(fp32, int8, GRAPHS[1]))
    assert both.graph("windowed") is int8
    assert both.graph("windowed", "fp32") is fp32
    assert both.names == ("windowed", "streaming")
    with pytest.raises(BundleError, match="has no streaming int8 graph; allowed: windowed fp32, windowed int8"):
        both.graph("streaming", "int8")


def test_a_foreign_module_needs_neither_model_nor_signal():
    tensors = (TensorSpec("a", ("n", 3)),), (TensorSpec("y", ("n", 1)),)
    graph = GraphEntry("windowed", "windowed.onnx", "fp32", {"y": (0.1,)}, *tensors)
    foreign = BundleManifest(SCHEMA, "net", None, None, (graph,), 18, "1.14", FILES, 60)
    assert manifest_from_json(foreign.to_json(), "manifest.json") == foreign


def test_a_state_policy_needs_a_streaming_graph_and_sane_numbers():
    policy = StatePolicy(warm_up=12, max_age=24)
    assert dataclasses.replace(MANIFEST, state=policy).state == policy
    alone = BundleManifest(SCHEMA, "pump", SIGNAL, MODEL, GRAPHS[:1], 18, "1.14", FILES, 12)
    with pytest.raises(BundleError, match=r"state; got a policy; allowed: nothing without a streaming graph"):
        dataclasses.replace(alone, state=policy)
    for wrong, name in ((StatePolicy(-1), "warm_up"), (StatePolicy(0, 10**7), "max_age")):
        with pytest.raises(BundleError, match=f"state: {name}"):
            dataclasses.replace(MANIFEST, state=wrong)


def test_model_and_signal_agree_on_what_the_calendar_tells():
    with pytest.raises(BundleError, match="signal and model do not fit; got 0 channels of the calendar; allowed: 1"):
        dataclasses.replace(MANIFEST, model=dataclasses.replace(MODEL, calendar_channels=1))
