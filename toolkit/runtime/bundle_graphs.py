"""What a bundle's manifest says of a graph, held against the graph's own bytes: no session is made for it."""

import json
from collections.abc import Iterable, Sequence

from toolkit.contract.graph_entry import GraphEntry
from toolkit.contract.graph_io import METADATA_PREFIX, Axis, TensorSpec
from toolkit.contract.manifest import BundleManifest
from toolkit.contract.model_spec import ModelSpec
from toolkit.contract.records import decode, encode
from toolkit.contract.signals import SignalSpec
from toolkit.errors import BundleError, RequestError
from toolkit.runtime.graph_trust import check_trust
from toolkit.runtime.onnx_compatibility import ONNX, QUANTISED_LSTM, newest_of, oldest_reader, reads
from toolkit.runtime.onnx_file import OnnxFile, Value, read_onnx, stored_tensors

FIX = "copy the bundle again, or export it again"


def check_graph_file(content: bytes, entry: GraphEntry, manifest: BundleManifest, where: str) -> None:
    """Refuses a graph that is another than the manifest says.

    Args:
        content: the bytes of the graph's file.
        entry: its line in the manifest.
        manifest: the whole of it.
        where: the bundle's folder, for messages.

    Raises:
        BundleError: no ONNX file, one that is not to be trusted (see `check_trust`), or other tensors, versions,
            precision or metadata.
    """
    file = read_onnx(content, entry.file)
    check_trust(file, entry)
    _check_values(file, entry)
    _check_versions(file, entry, manifest)
    quantised = any(node.op_type == QUANTISED_LSTM for node in file.nodes())
    halved = any(tensor.dtype == "float16" for tensor in stored_tensors(file))
    if quantised != (entry.precision == "int8") or (entry.precision == "fp16" and not halved):
        raise BundleError(f"{entry.file} is not in the precision of the manifest", got=entry.precision, fix=FIX)
    _check_metadata(file, entry, manifest, where)


def check_tensors(
    entry: GraphEntry, inputs: Iterable[tuple[str, Sequence[Axis]]], outputs: Iterable[tuple[str, Sequence[Axis]]]
) -> None:
    """Whether these are the names and axes of the manifest, in its order.

    Raises:
        BundleError: they are not.
    """
    sides: tuple[tuple[str, Iterable[tuple[str, Sequence[Axis]]], tuple[TensorSpec, ...]], ...]
    sides = ("inputs", inputs, entry.inputs), ("outputs", outputs, entry.outputs)
    for kind, found, wanted in sides:
        got = [(name, tuple(axes)) for name, axes in found]
        if got != [(tensor.name, tensor.axes) for tensor in wanted]:
            raise BundleError(f"{entry.file}: {kind} do not fit the manifest", got=got, fix=FIX)


def _check_values(file: OnnxFile, entry: GraphEntry) -> None:
    stored = {tensor.name for tensor in file.graph.initializers}
    inputs = [value for value in file.graph.inputs if value.name not in stored]
    for value in (*inputs, *file.graph.outputs):
        if (value.kind, value.element) != ("tensor", "float32"):
            got = f"{value.kind} {value.element}".strip()
            raise BundleError(f"{entry.file}: the type of {value.name}", got=got, allowed="tensor float32")
    check_tensors(entry, map(_named_axes, inputs), map(_named_axes, file.graph.outputs))


def _named_axes(value: Value) -> tuple[str, tuple[Axis, ...]]:
    return value.name, value.axes or ()


def _check_versions(file: OnnxFile, entry: GraphEntry, manifest: BundleManifest) -> None:
    opset = newest_of(each.version for each in file.opsets if each.domain in ONNX)
    if opset != manifest.opset:
        raise BundleError("manifest.json: opset", got=manifest.opset, allowed=f"that of {entry.file}, {opset}", fix=FIX)
    needed = oldest_reader(file)
    # A release that this toolkit does not know yet is left to the manifest, and to onnxruntime itself.
    if needed is not None and not reads(manifest.minimum_onnxruntime, needed):
        allowed = f"{needed} or newer, which {entry.file} needs"
        raise BundleError(
            "manifest.json: minimum_onnxruntime", got=manifest.minimum_onnxruntime, allowed=allowed, fix=FIX
        )


def _check_metadata(file: OnnxFile, entry: GraphEntry, manifest: BundleManifest, where: str) -> None:
    """What the graph says of itself must be what the manifest says: swapped channels fit every shape."""
    said = {each.key: each.value for each in file.metadata}
    wanted = {"signal": manifest.signal, "model": manifest.model, "provenance": manifest.provenance}
    other = [key for key, value in wanted.items() if not _says(said.get(METADATA_PREFIX + key, "null"), value)]
    if said.get(METADATA_PREFIX + "graph") != entry.name:
        other.append("graph")
    if other:
        what = f"{where}: {entry.file} and the manifest contradict each other"
        raise BundleError(what, got=f"another {other[0]}", fix=FIX)


def _says(text: str, wanted: object) -> bool:
    """Whether a JSON text means that; a bundle of before a setting existed means the setting's default."""
    try:
        said = json.loads(text)
        if said == encode(wanted):
            return True
        if isinstance(said, dict) and isinstance(wanted, (SignalSpec, ModelSpec)):
            return decode(type(wanted), said, "metadata", BundleError) == wanted
    except (ValueError, RecursionError, RequestError):
        pass  # no text stands for a table
    return False
