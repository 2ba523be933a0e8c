import json

import pytest

from toolkit.contract.manifest import SCHEMA, BundleManifest, FileEntry, GraphEntry, manifest_from_json
from toolkit.contract.model_spec import ModelSpec
from toolkit.contract.signals import SignalSpec, channel_from_name
from toolkit.errors import BundleError, RequestError

SIGNAL = SignalSpec(tuple(map(channel_from_name, ("t.mean", "t.std"))), ("t.mean",), 60.0)
MODEL = ModelSpec(2, 8, 1, horizon=3, targets=1, window_length=12)
GRAPHS = (
    GraphEntry("windowed", "windowed.onnx", "fp32", {"forecast": (0.1,)}),
    GraphEntry("streaming", "streaming.onnx", "fp32", {"forecast": (0.1,), "hn": (1e-6,)}),
)
FILES = {"windowed.onnx": FileEntry("ab" * 32, 1234)}
MANIFEST = BundleManifest(
    SCHEMA, "pump", SIGNAL, MODEL, GRAPHS, 18, "1.14", FILES, {"test": {"mse": 1.5}}, {}, {"a": 1}
)


def changed(**changes):
    return json.dumps({**json.loads(MANIFEST.to_json()), **changes})


def test_what_was_written_is_read():
    assert manifest_from_json(MANIFEST.to_json(), "manifest.json") == MANIFEST


def test_keys_are_these():
    manifest = json.loads(MANIFEST.to_json())
    fixed = {"schema", "name", "signal", "model", "graphs", "opset", "minimum_onnxruntime", "files"}
    assert manifest.keys() == fixed | {"accuracy", "parity", "provenance"}
    assert manifest["schema"] == "bundle/1"
    assert manifest["files"]["windowed.onnx"] == {"sha256": "ab" * 32, "bytes": 1234}


def test_graphs_are_found_by_name():
    assert MANIFEST.graph("streaming") is GRAPHS[1]
    alone = BundleManifest(SCHEMA, "pump", SIGNAL, MODEL, GRAPHS[:1], 18, "1.14", FILES)
    with pytest.raises(BundleError, match="pump has no streaming graph; allowed: windowed"):
        alone.graph("streaming")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        (MANIFEST.to_json()[:200], "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "schema None; allowed: 'bundle/1'"),
        ("{}", "schema None"),
        (changed(schema="bundle/2"), "schema 'bundle/2'"),
        (changed(nmae="x"), "unknown key; got 'nmae'.*did you mean 'name'"),
        (changed(opset="18"), "opset; got '18'; allowed: a whole number"),
        (changed(files={"a": {"sha256": "x"}}), "files.a lacks the key 'bytes'"),
        (changed(graphs=[{"name": "bulk"}]), r"graphs\[0\]"),
        (changed(model={"input_size": 0}), "model lacks the key"),
        (changed(signal=None), "signal; got None"),
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
