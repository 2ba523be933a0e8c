"""Bundles that are whole by every hash, and whose files or graphs are not to be trusted all the same."""

import dataclasses
import hashlib
import os
import platform
import shutil
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny_bundles
from onnx import TensorProto, helper, numpy_helper

from toolkit.errors import BundleError
from toolkit.runtime import bundle_files
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.golden import check_golden
from toolkit.runtime.onnx_compatibility import blocked

X = np.full((2, 12, 2), (60.0, 101_325.0), np.float32)


def refused(folder, *words):
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("name", ["manifest.json", "windowed.onnx", "golden.npz", "weights.safetensors"])
def test_a_file_of_two_names_is_refused(folder, tmp_path, name):
    os.link(folder / name, tmp_path / "elsewhere")
    refused(folder, name, "2 hard links", "cp -r")
    shutil.copytree(folder, tmp_path / "copy")
    load_bundle(tmp_path / "copy")


def test_a_file_of_two_names_is_taken_where_nobody_can_write(folder, tmp_path, monkeypatch):
    os.link(folder / "windowed.onnx", tmp_path / "elsewhere")
    real = os.fstatvfs

    def read_only(descriptor):
        found = real(descriptor)
        flags = found.f_flag | os.ST_RDONLY
        return os.statvfs_result((*found[:8], flags, found[9]))

    monkeypatch.setattr(bundle_files.os, "fstatvfs", read_only)
    load_bundle(folder)


def test_every_file_of_the_bundle_is_opened_once_and_none_afterwards(folder, monkeypatch):
    opened = []
    real = os.open

    def counted(path, flags, mode=0o777, *, dir_fd=None):
        if dir_fd is not None:
            opened.append(path)
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(bundle_files.os, "open", counted)
    bundle = load_bundle(folder)
    assert sorted(opened) == sorted([*bundle.manifest.files, "manifest.json"])
    shutil.rmtree(folder)
    check_golden(bundle)
    assert bundle.windowed().predict(X).shape == (2, 3, 2)
    assert bundle.streaming().advance(X, bundle.streaming().zero_state(2))[0].shape == (2, 12, 3, 2)
    assert len(opened) == len(bundle.manifest.files) + 1


def test_a_folder_that_is_exchanged_on_the_way_mixes_no_two_bundles(folder, tmp_path, monkeypatch):
    """All names are looked up in the one folder that was opened."""
    other = shutil.copytree(folder, tmp_path / "other")
    (other / "windowed.onnx").write_bytes(b"another")
    current = tmp_path / "current"
    current.symlink_to(folder)
    real = bundle_files.BundleFolder.read

    def exchanging(self, name, limit):
        content = real(self, name, limit)
        if name == "manifest.json":
            current.unlink()
            current.symlink_to(other)
        return content

    monkeypatch.setattr(bundle_files.BundleFolder, "read", exchanging)
    assert load_bundle(current).windowed().predict(X).shape == (2, 3, 2)


def test_the_digest_is_that_of_the_manifest(whole):
    bundle = load_bundle(str(whole))
    assert bundle.digest == hashlib.sha256((whole / "manifest.json").read_bytes()).hexdigest()
    assert bundle.folder == whole


def test_what_is_kept_is_what_runs_and_nothing_else(whole):
    assert set(load_bundle(whole).contents) == {"windowed.onnx", "streaming.onnx", "golden.npz"}


def test_descriptors_are_closed(folder, whole):
    before = len(os.listdir("/proc/self/fd"))
    load_bundle(whole)
    os.link(folder / "windowed.onnx", folder.parent / "elsewhere")
    refused(folder, "hard links")
    refused(folder / "manifest.json", "there is no bundle")
    assert len(os.listdir("/proc/self/fd")) == before


def with_loop(proto):
    counter = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    going = helper.make_tensor_value_info("going", TensorProto.BOOL, [])
    body = helper.make_graph([helper.make_node("Identity", ["going"], ["on"])], "body", [counter, going], [])
    body.output.append(helper.make_tensor_value_info("on", TensorProto.BOOL, []))
    proto.graph.initializer.append(numpy_helper.from_array(np.array(2**62, np.int64), "trips"))
    proto.graph.node.append(helper.make_node("Loop", ["trips", ""], [], name="endless", body=body))


def with_body(proto):
    """An operator of the list that carries a graph: no operator of the list has one."""
    body = helper.make_graph([], "body", [], [])
    proto.graph.node[0].attribute.append(helper.make_attribute("then_branch", body))


def with_operator(op_type, domain=""):
    def fault(proto):
        proto.graph.node.append(helper.make_node(op_type, ["x"], ["more"], domain=domain))

    return fault


def with_function(proto):
    node = helper.make_node("Identity", ["a"], ["b"])
    opset = helper.make_opsetid("", 18)
    proto.functions.append(helper.make_function("own.domain", "Double", ["a"], ["b"], [node], [opset]))


def with_layout(proto):
    lstm = next(node for node in proto.graph.node if node.op_type == "LSTM")
    lstm.attribute.append(helper.make_attribute("layout", 1))


def with_constant(values):
    def fault(proto):
        tensor = numpy_helper.from_array(np.array(values, np.float32))
        proto.graph.node.insert(0, helper.make_node("Constant", [], ["more"], value=tensor))

    return fault


def cut_short(proto):
    tensor = tiny_bundles.initializer(proto, "lstm.W_l0")
    tensor.raw_data = tensor.raw_data[:-4]


def poisoned(value, ending="lstm.R_l0"):
    def change(array):
        array.flat[3] = value
        return array

    return tiny_bundles.change_weights(ending, change)


HOSTILE = {
    "a loop without end": (with_loop, ["not on the allow-list", "got Loop"]),
    "a graph within a node": (with_body, ["not on the allow-list"]),
    "random numbers": (with_operator("RandomNormalLike"), ["got RandomNormalLike"]),
    "a shape that depends on the data": (with_operator("NonZero"), ["got NonZero"]),
    "another domain": (with_operator("FusedGemm", "com.microsoft"), ["got com.microsoft.FusedGemm"]),
    "int8 in fp32": (with_operator("DynamicQuantizeLSTM", "com.microsoft"), ["got com.microsoft.DynamicQuantizeLSTM"]),
    "a function": (with_function, ["defines operators of its own", "Double"]),
    "NaN": (poisoned(np.nan), ["NaN or infinite", "lstm.R_l0"]),
    "infinity": (poisoned(np.inf), ["NaN or infinite", "lstm.R_l0"]),
    "NaN in a bias": (poisoned(np.nan, "lstm.B_l0"), ["NaN or infinite", "lstm.B_l0"]),
    "NaN in a constant": (with_constant([1.0, np.nan]), ["NaN or infinite"]),
    "fewer numbers than its dims": (cut_short, ["not as many as its dims ask for"]),
    "R of another shape": (
        tiny_bundles.change_weights("lstm.R_l0", lambda array: array[:, :4, :1]),
        ["weights of another shape", "got [1, 4, 1]", "[1, 32, 8]"],
    ),
    "W of another shape": (tiny_bundles.change_weights("lstm.W_l0", lambda array: array[:, :8]), ["[1, 32, 'any']"]),
    "B of another shape": (tiny_bundles.change_weights("lstm.B_l0", lambda array: array[:, :8]), ["[1, 64]"]),
    "layout 1": (with_layout, ["layout=1"]),
}


@pytest.mark.parametrize("graph", ["windowed", "streaming"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_graph_that_no_export_writes_is_refused_before_onnxruntime_sees_it(folder, monkeypatch, graph, name):
    fault, words = HOSTILE[name]
    tiny_bundles.damage_graph(folder, graph, fault)
    monkeypatch.setattr(onnxruntime, "InferenceSession", None)
    refused(folder, f"{graph}.onnx", *words)


HARMLESS = {
    "a mask": with_constant([0.0, -np.inf]),
    "a limit": with_constant(np.inf),
    "an empty tensor": lambda proto: proto.graph.initializer.append(
        numpy_helper.from_array(np.zeros((0,), np.float32), "nothing")
    ),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_exports_do_write_is_taken(folder, name):
    tiny_bundles.damage_graph(folder, "windowed", HARMLESS[name])
    load_bundle(folder)


@pytest.mark.parametrize(
    ("version", "machine", "is_blocked"),
    [
        ("1.21.0", "aarch64", True),
        ("1.21.0", "arm64", True),
        ("1.21.0+cpu", "aarch64", True),
        ("1.21.0", "x86_64", False),
        ("1.21.01", "aarch64", False),
        ("1.21.1", "aarch64", False),
        ("1.32.0", "aarch64", False),
    ],
)
def test_which_release_is_blocked_where(version, machine, is_blocked):
    assert (blocked(version, machine) is not None) == is_blocked


def test_a_blocked_release_is_refused(whole, monkeypatch):
    monkeypatch.setattr(onnxruntime, "__version__", "1.21.0")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    refused(whole, "onnxruntime 1.21.0 is blocked here", "Raspberry Pi 4", "fix: pip install")


def test_a_golden_archive_that_would_swell_is_refused(folder):
    """Compressed zeros: a thousandth of what they become."""
    import io

    from toolkit.runtime.golden import unpack_golden

    file = io.BytesIO()
    np.savez_compressed(file, **{"windowed/window/in/x": np.zeros((1000, 1000), np.float32)})
    with pytest.raises(BundleError, match=r"golden\.npz is damaged"):
        unpack_golden(file.getvalue())


def test_a_manifest_is_limited_before_it_is_read(folder):
    entry = dataclasses.replace(tiny_bundles.manifest_of(folder)).files["README.md"]
    (folder / "README.md").write_bytes(b"\0" * (entry.bytes + 1))
    refused(folder, "README.md is too large", f"allowed: {entry.bytes} bytes")


def test_loading_needs_no_paths():
    """They cost a start 3 ms."""
    import subprocess

    program = (
        f"import sys; sys.path[:] = {sys.path!r}; import toolkit.runtime.bundle; sys.exit('pathlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-S", "-c", program], check=False).returncode == 0


def test_a_whole_graph_of_the_exporter_is_within_the_list(whole):
    for name in ("windowed", "streaming"):
        operators = {node.op_type for node in onnx.load(whole / f"{name}.onnx").graph.node}
        assert "LSTM" in operators
