import dataclasses
import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny_bundles
from onnx import helper

from toolkit.contract.graph_entry import GraphEntry
from toolkit.contract.graph_io import TensorSpec
from toolkit.errors import BundleError, ConfigError, GateError
from toolkit.release import Options, build_bundle
from toolkit.release.servers import server_files
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.golden import check_golden

TRITONS = {"windowed.config.pbtxt", "streaming.config.pbtxt"}
ORTS = {f"{graph}.{kind}" for graph in ("windowed", "streaming") for kind in ("ort", "required_operators.config")}


@pytest.fixture(scope="module")
def served(run, whole, tmp_path_factory):
    """The run's bundle with everything for other servers, from graphs that were exported once."""
    with pytest.MonkeyPatch.context() as patch:
        protos = tiny_bundles.graphs_of(whole)
        patch.setattr("toolkit.release.build.export_torch_graph", lambda graph, *_: protos[graph.name])
        out = tmp_path_factory.mktemp("served") / "pump-7"
        return build_bundle(run, out, Options(servers=("triton", "ort"))).folder


@pytest.fixture(scope="module")
def fp32(whole):
    """Entries and contents of the bundle's graphs."""
    bundle = load_bundle(whole)
    return bundle.manifest.graphs, {entry.file: bundle.read(entry.file) for entry in bundle.manifest.graphs}


def test_the_files_are_in_the_bundle_and_in_its_manifest(served):
    listed = set(json.loads((served / "manifest.json").read_text())["files"])
    assert listed >= TRITONS | ORTS
    assert {path.name for path in served.iterdir()} == listed | {"manifest.json"}
    check_golden(load_bundle(served))


@pytest.mark.parametrize("name", ["windowed.config.pbtxt", "streaming.ort", "windowed.required_operators.config"])
def test_a_file_that_was_changed_is_noticed(name, served, tmp_path):
    folder = shutil.copytree(served, tmp_path / "pump-7")
    (folder / name).write_bytes((folder / name).read_bytes() + b"\n")
    with pytest.raises(BundleError, match=name):
        load_bundle(folder)


def test_triton_is_told_of_the_bundle_and_the_graph(served):
    text = (served / "streaming.config.pbtxt").read_text()
    assert 'name: "pump-7-streaming"' in text
    assert 'default_model_filename: "streaming.onnx"' in text
    assert "sequence_batching" in text


def test_the_converted_graph_answers_as_the_graph_does(served):
    x = (np.array([60.0, 101_325.0]) + np.random.default_rng(0).standard_normal((3, 12, 2))).astype(np.float32)
    session = onnxruntime.InferenceSession(str(served / "windowed.ort"), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], load_bundle(served).windowed().predict(x))


def test_only_what_was_asked_for_is_written(fp32):
    assert server_files("tiny", *fp32, ()) == {}
    assert set(server_files("tiny", *fp32, ("triton",))) == TRITONS
    assert set(server_files("tiny", *fp32, ("ort",))) == ORTS
    with pytest.raises(ConfigError, match="--with; got 'tritn'; allowed: triton, ort"):
        server_files("tiny", *fp32, ("tritn",))


def test_triton_runs_the_preferred_precision(fp32):
    windowed, streaming = fp32[0]
    int8 = dataclasses.replace(windowed, file="windowed.int8.onnx", precision="int8", one_series=True)
    pair = [dataclasses.replace(windowed, preferred=False), int8]
    for entries in ([*pair, streaming], [*reversed(pair), streaming]):
        found = server_files("tiny", entries, fp32[1], ("triton",))
        assert set(found) == TRITONS
        text = found["windowed.config.pbtxt"].decode()
        assert 'default_model_filename: "windowed.int8.onnx"' in text
        assert "dynamic_batching" not in text  # its series must not share a call
    assert "dynamic_batching" in server_files("tiny", *fp32, ("triton",))["windowed.config.pbtxt"].decode()


def test_triton_does_not_join_strangers_where_series_are_mixed(fp32):
    entries = [dataclasses.replace(entry, mixes_series=True) for entry in fp32[0]]
    text = server_files("tiny", entries, fp32[1], ("triton",))["windowed.config.pbtxt"].decode()
    assert "max_batch_size: 0\n" in text
    assert "# No batching: the answer for one series depends on the others in its request.\n" in text


def test_the_same_graphs_give_the_same_bytes(fp32):
    first, second = (server_files("tiny", *fp32, ("triton", "ort")) for _ in range(2))
    assert first == second


def small(operator):
    """One node, an axis of at least 3, and an output that may be no number."""
    tensors = [TensorSpec("x", ("batch", "sequence")), TensorSpec("y", ("batch", "sequence"))]
    values = [helper.make_tensor_value_info(t.name, onnx.TensorProto.FLOAT, t.axes) for t in tensors]
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"])], "small", values[:1], values[1:])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    entry = GraphEntry("windowed", "windowed.onnx", "fp32", {}, (tensors[0],), (tensors[1],), {}, {"sequence": 3})
    return entry, proto.SerializeToString()


def test_a_converted_graph_that_answers_otherwise_is_refused(monkeypatch):
    entry, graph = small("Neg")
    monkeypatch.setattr("toolkit.release.servers.ort_files", lambda graph, name: {f"{name}.ort": small("Abs")[1]})
    with pytest.raises(GateError, match=r"windowed\.onnx answers otherwise in onnxruntime's own format"):
        server_files("small", [entry], {entry.file: graph}, ("ort",))


def test_answers_that_are_no_numbers_on_both_sides_are_the_same():
    entry, graph = small("Log")
    assert set(server_files("small", [entry], {entry.file: graph}, ("ort",))) == {
        "windowed.ort",
        "windowed.required_operators.config",
    }
