"""What tests of finished bundles share: the smallest run that is worth a bundle, and ways to damage what came of it."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

import onnx
import sensor_tables

from toolkit.contract.graph_io import GRAPHS
from toolkit.contract.manifest import MANIFEST, BundleManifest, FileEntry, manifest_from_json
from toolkit.release import build_bundle
from toolkit.training import Run, load_run, train

Fault = Callable[[onnx.ModelProto], None]


def tiny_run(folder: Path) -> Run:
    """One layer of 8 units, two channels (one at 101 325 +- 50), both forecast in the other order, three epochs."""
    table = sensor_tables.write(folder, sensor_tables.plain_csv())
    targets = {"targets": ("pressure", "temperature"), "units": {"pressure": "Pa"}}
    train(sensor_tables.run_config(table, data=targets), folder / "tiny", sensor_tables.Silent())
    return load_run(folder / "tiny")


@functools.cache
def shared_run(scratch: Path) -> Run:
    """`tiny_run`, trained once for all tests of a process; `scratch` is pytest's base folder."""
    (scratch / "tiny-run").mkdir()
    return tiny_run(scratch / "tiny-run")


@functools.cache
def shared_bundle(scratch: Path) -> Path:
    """The bundle of `shared_run`, to be read and not changed."""
    return build_bundle(shared_run(scratch), scratch / "tiny-bundle" / "tiny").folder


def manifest_of(folder: Path) -> BundleManifest:
    """The manifest of a bundle, read without any check of its files."""
    return manifest_from_json((folder / MANIFEST).read_bytes(), MANIFEST)


def put(folder: Path, name: str, content: bytes) -> None:
    """Replaces a file and its hash in the manifest: a forger's work, which no hash can tell."""
    (folder / name).write_bytes(content)
    manifest = manifest_of(folder)
    entry = FileEntry(hashlib.sha256(content).hexdigest(), len(content))
    forged = dataclasses.replace(manifest, files={**manifest.files, name: entry})
    (folder / MANIFEST).write_text(forged.to_json(), encoding="utf-8")


def leave_out(folder: Path, *names: str) -> None:
    """Removes files and their lines in the manifest."""
    for name in names:
        (folder / name).unlink()
    manifest = manifest_of(folder)
    files = {name: entry for name, entry in manifest.files.items() if name not in names}
    (folder / MANIFEST).write_text(dataclasses.replace(manifest, files=files).to_json(), encoding="utf-8")


def damage_graph(folder: Path, graph: str, fault: Fault) -> None:
    """Edits a graph of a bundle and forges its hash."""
    name = f"{graph}.onnx"
    proto = onnx.load_model_from_string((folder / name).read_bytes())
    fault(proto)
    put(folder, name, proto.SerializeToString())


def initializer(proto: onnx.ModelProto, ending: str) -> onnx.TensorProto:
    """The weights whose name ends so."""
    return next(tensor for tensor in proto.graph.initializer if tensor.name.endswith(ending))


def change_weights(ending: str, change: Callable) -> Fault:
    """A fault that puts `change(array)` in place of the weights whose name ends so."""

    def fault(proto: onnx.ModelProto) -> None:
        tensor = initializer(proto, ending)
        array = onnx.numpy_helper.to_array(tensor)
        tensor.CopyFrom(onnx.numpy_helper.from_array(change(array.copy()), tensor.name))

    return fault


def graphs_of(folder: Path) -> dict[str, onnx.ModelProto]:
    """The graphs of a bundle."""
    return {name: onnx.load_model_from_string((folder / f"{name}.onnx").read_bytes()) for name in GRAPHS}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, byte for byte."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
