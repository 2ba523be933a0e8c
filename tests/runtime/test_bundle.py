import dataclasses
import hashlib
import json
import os
import shutil
import signal

import numpy as np
import onnx
import pytest
import tiny_bundles

from toolkit.contract.manifest import FileEntry
from toolkit.errors import BundleError
from toolkit.runtime.bundle import MAX_MANIFEST_BYTES, load_bundle

FILES = (
    "README.md",
    "golden.npz",
    "samples.safetensors",
    "streaming.onnx",
    "weights.safetensors",
    "windowed.onnx",
)
X = np.full((2, 12, 2), (60.0, 101_325.0), np.float32)


@pytest.fixture
def alarm():
    """Ends a test that waits for ever."""

    def hang(*_):
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def refused(folder, *words):
    """Loading says in one line why not."""
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    assert caught.value.exit_status == 2


def edit_manifest(folder, change):
    value = json.loads((folder / "manifest.json").read_bytes())
    change(value)
    (folder / "manifest.json").write_text(json.dumps(value))


def test_a_whole_bundle(whole):
    bundle = load_bundle(whole)
    assert set(FILES) == set(bundle.manifest.files)
    assert bundle.windowed().predict(X).shape == (2, 3, 2)
    forecast, state = bundle.streaming().advance(X, bundle.streaming().zero_state(2))
    assert forecast.shape == (2, 12, 3, 2)
    assert state["h0"].shape == (1, 2, 8)


def test_no_folder(tmp_path):
    refused(tmp_path / "nowhere", "there is no bundle", "lstm-edge export")


def test_a_file_instead_of_a_folder(tmp_path):
    (tmp_path / "bundle").write_text("{}")
    refused(tmp_path / "bundle", "there is no bundle")


def test_no_manifest(folder):
    (folder / "manifest.json").unlink()
    refused(folder, "is no bundle", "no manifest.json")


NO_MANIFESTS = {
    "empty": b"",
    "text": b"hello",
    "half": b'{"schema": "bundle/1", "name": ',
    "other bytes": b"\xff\xfe\x00\xd8",
    "deep lists": b"[" * 500_000,
    "deep tables": b'{"schema":' * 90_000,
    "deep within": b'{"schema": "bundle/1", "accuracy": ' + b"[" * 500_000 + b"]" * 500_000 + b"}",
    "a list": b"[]",
    "a number": b"7",
    "a huge number": b'{"schema": ' + b"9" * 10_000 + b"}",
    "nothing": b"null",
    "another schema": b'{"schema": "bundle/2"}',
    "no schema": b'{"name": "tiny"}',
    "a schema that is a list": b'{"schema": ["bundle/1"]}',
}


@pytest.mark.parametrize("name", NO_MANIFESTS)
def test_what_is_no_manifest(folder, name):
    (folder / "manifest.json").write_bytes(NO_MANIFESTS[name])
    refused(folder, "manifest.json")


def test_a_manifest_that_is_too_large(folder):
    os.truncate(folder / "manifest.json", MAX_MANIFEST_BYTES + 1)
    refused(folder, "manifest.json is too large", str(MAX_MANIFEST_BYTES))


def put(*path, value):
    def change(manifest):
        for key in path[:-1]:
            manifest = manifest[key]
        manifest[path[-1]] = value

    return change


def drop(key):
    return lambda manifest: manifest.pop(key)


WRONG_MANIFESTS = {
    "an unknown key": (put("signature", value="x"), "signature"),
    "no files": (drop("files"), "files"),
    "no model": (drop("model"), "model"),
    "a name that is a number": (put("name", value=3), "name"),
    "files that are a list": (put("files", value=[]), "files"),
    "a hash that is a number": (put("files", "README.md", "sha256", value=5), "sha256"),
    "a size that is text": (put("files", "README.md", "bytes", value="5"), "bytes"),
    "a size that is true": (put("files", "README.md", "bytes", value=True), "bytes"),
    "a negative size": (put("files", "README.md", "bytes", value=-5), "README.md"),
    "a size beyond all memory": (put("files", "README.md", "bytes", value=10**30), "README.md"),
    "hidden size 0": (put("model", "hidden_size", value=0), "hidden_size"),
    "another hidden size": (put("model", "hidden_size", value=9), "the streaming graph is not that of the model"),
    "a layout that there is not": (put("model", "layout", value="sideways"), "layout"),
    "another layout": (put("model", "layout", value="time-major"), "the windowed graph is not that of the model"),
    "more targets than channels": (put("signal", "targets", value=["a", "b", "c"]), "target"),
    "a target that is no channel": (put("signal", "targets", value=["temperature", "flow"]), "flow"),
    "an interval of 0": (put("signal", "interval_s", value=0), "interval"),
    "an interval without end": (put("signal", "interval_s", value=10**400), "interval_s"),
    "a graph that there is not": (put("graphs", 0, "name", value="sideways"), "name"),
    "a graph without a file": (put("graphs", 0, "file", value="none.onnx"), "none.onnx"),
    "no graphs": (put("graphs", value=[]), r"manifest\.json: graphs; got \[\]"),
    "a graph that stands twice": (put("graphs", 1, "name", value="windowed"), r"manifest\.json: graphs; got"),
    "a tolerance that is NaN": (put("graphs", 0, "golden_atol", value={"forecast": [float("nan")]}), "golden_atol"),
}


@pytest.mark.parametrize("name", WRONG_MANIFESTS)
def test_a_manifest_that_is_wrong_within(folder, name):
    change, word = WRONG_MANIFESTS[name]
    edit_manifest(folder, change)
    with pytest.raises(BundleError, match=word) as caught:
        bundle = load_bundle(folder)
        bundle.windowed(), bundle.streaming()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_byte(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    refused(folder, name, "SHA-256", "copy the bundle again")


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short(folder, name):
    os.truncate(folder / name, (folder / name).stat().st_size - 1)
    refused(folder, name)


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_more_behind_it(folder, name):
    with (folder / name).open("ab") as file:
        file.write(b"\0")
    refused(folder, name, "too large")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(folder, name):
    (folder / name).unlink()
    refused(folder, name, "No such file")


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_link_is_never_followed(folder, tmp_path, name):
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    refused(folder, name, "a link")


@pytest.mark.parametrize("name", ["windowed.onnx", "manifest.json"])
@pytest.mark.usefixtures("alarm")
def test_a_pipe_does_not_hang(folder, name):
    (folder / name).unlink()
    os.mkfifo(folder / name)
    refused(folder, f"{name} is no plain file")


def test_a_folder_in_a_files_place(folder):
    (folder / "windowed.onnx").unlink()
    (folder / "windowed.onnx").mkdir()
    refused(folder, "windowed.onnx is no plain file")


@pytest.mark.parametrize("name", [".hidden", "windowed.int8.onnx", "weights.bin"])
def test_a_foreign_file(folder, name):
    (folder / name).write_bytes(b"")
    refused(folder, "does not list", name, "remove it")


def test_a_foreign_folder(folder):
    (folder / "more").mkdir()
    refused(folder, "does not list", "more")


ELSEWHERE = ["../secret", "/etc/hostname", "..", ".", "", "sub/file", "a\0b", "a\nb", "\ud800", "x" * 300]


@pytest.mark.parametrize("name", ELSEWHERE, ids=ascii)
@pytest.mark.parametrize("as_graph", [False, True], ids=["file", "graph"])
def test_a_name_that_leads_elsewhere(folder, name, as_graph):
    content = b"secret"
    (folder.parent / "secret").write_bytes(content)
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}

    def change(manifest):
        manifest["files"][name] = entry
        if as_graph:
            manifest["graphs"][0]["file"] = name

    edit_manifest(folder, change)
    refused(folder)


def test_two_files_that_changed_places(folder):
    (folder / "windowed.onnx").rename(folder / "between")
    (folder / "streaming.onnx").rename(folder / "windowed.onnx")
    (folder / "between").rename(folder / "streaming.onnx")
    refused(folder, ".onnx")


def test_a_graph_under_the_other_ones_name(folder):
    tiny_bundles.put(folder, "windowed.onnx", (folder / "streaming.onnx").read_bytes())
    with pytest.raises(BundleError, match=r"windowed\.onnx: inputs do not fit the manifest"):
        load_bundle(folder)


def test_a_graph_that_is_none(folder):
    tiny_bundles.put(folder, "windowed.onnx", b"not a graph")
    with pytest.raises(BundleError, match=r"windowed\.onnx is no ONNX file"):
        load_bundle(folder).windowed()


GRAPHS_THAT_DIFFER = {
    "inputs in another order": (lambda manifest: manifest["graphs"][1]["inputs"].reverse(), "streaming"),
    "the opset": (put("opset", value=17), r"opset; got 17; allowed: that of \w+\.onnx, 18"),
    "a release that is too old": (put("minimum_onnxruntime", value="1.2"), r"got 1\.2; allowed: 1\.14 or newer"),
    "a release that there is not": (put("minimum_onnxruntime", value="9.9"), r"needs onnxruntime 9\.9.*; got .*; fix"),
    "units": (put("signal", "channels", 0, "unit", value="K"), "another signal"),
    "channels": (lambda manifest: manifest["signal"]["channels"].reverse(), "another signal"),
    "the model": (put("model", "dropout", value=0.5), "another model"),
    "where it came from": (put("provenance", "run", value="x"), "another provenance"),
    "the precision": (put("graphs", 0, "precision", value="fp16"), r"windowed\.onnx is not in the precision.*got fp16"),
    "int8": (lambda m: m["graphs"][0].update(precision="int8", one_series=True), "not in the precision.*got int8"),
    "a graph without its entry": (lambda manifest: manifest["graphs"].pop(), r"lists streaming\.onnx, which is no"),
}


@pytest.mark.parametrize("name", GRAPHS_THAT_DIFFER)
def test_a_manifest_that_says_another_thing_than_its_graphs(folder, name):
    change, words = GRAPHS_THAT_DIFFER[name]
    edit_manifest(folder, change)
    with pytest.raises(BundleError, match=words) as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)


def no_metadata(proto):
    del proto.metadata_props[:]


def numbers_outside(proto):
    onnx.external_data_helper.set_external_data(tiny_bundles.initializer(proto, "lstm.R_l0"), "/etc/passwd")


def another_type(proto):
    proto.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (no_metadata, "contradict each other"),
        (numbers_outside, "keeps numbers outside itself; got /etc/passwd"),
        (another_type, "the type of x; got tensor float64"),
    ],
)
def test_a_graph_that_is_another_is_refused_before_onnxruntime_sees_it(folder, fault, words):
    tiny_bundles.damage_graph(folder, "windowed", fault)
    with pytest.raises(BundleError, match=words):
        load_bundle(folder)


def test_a_file_that_the_manifest_does_not_list(whole):
    with pytest.raises(BundleError, match=r"lists no secrets\.txt; allowed: README\.md, golden\.npz"):
        load_bundle(whole).read("secrets.txt")


def test_a_graph_that_the_bundle_does_not_have(folder):
    manifest = tiny_bundles.manifest_of(folder)
    (folder / "streaming.onnx").unlink()
    (folder / "golden.npz").unlink()
    kept = {name: entry for name, entry in manifest.files.items() if (folder / name).exists()}
    manifest = dataclasses.replace(manifest, graphs=manifest.graphs[:1], files=kept, state=None)
    (folder / "manifest.json").write_text(manifest.to_json())
    bundle = load_bundle(folder)
    assert bundle.windowed().predict(X).shape == (2, 3, 2)
    with pytest.raises(BundleError, match="has no streaming graph; allowed: windowed"):
        bundle.streaming()


def test_a_session_runs_from_memory(folder):
    """A file that is rewritten under a running gateway changes nothing."""
    bundle = load_bundle(folder)
    predictor = bundle.windowed()
    before = predictor.predict(X)
    with (folder / "windowed.onnx").open("r+b") as file:
        file.write(b"\0" * (folder / "windowed.onnx").stat().st_size)
    np.testing.assert_array_equal(predictor.predict(X), before)
    os.truncate(folder / "windowed.onnx", 0)
    np.testing.assert_array_equal(predictor.predict(X), before)
    shutil.rmtree(folder)
    np.testing.assert_array_equal(predictor.predict(X), before)


@pytest.mark.parametrize("name", ["README.md", "weights.safetensors"])
def test_a_file_that_was_not_kept_is_checked_again(folder, name):
    bundle = load_bundle(folder)
    assert bundle.read(name) == (folder / name).read_bytes()
    (folder / name).write_bytes(b"\0" * bundle.manifest.files[name].bytes)
    with pytest.raises(BundleError, match=f"{name} is not the file"):
        bundle.read(name)


def test_what_was_read_is_what_the_manifest_describes(whole):
    bundle = load_bundle(whole)
    for name, entry in bundle.manifest.files.items():
        content = bundle.read(name)
        assert entry == FileEntry(hashlib.sha256(content).hexdigest(), len(content))
