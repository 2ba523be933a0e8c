"""The reference bundle as the load needs it: fed with raw samples, every ten seconds."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import onnx

from toolkit.contract.graph_io import METADATA_PREFIX
from toolkit.contract.manifest import MANIFEST, FileEntry, manifest_from_json
from toolkit.contract.records import encode
from toolkit.contract.signals import SignalSpec
from toolkit.runtime.bundle import load_bundle

REFERENCE = Path(__file__).parents[1] / "exported" / "pump-station"
LEFT_OUT = ("weights.safetensors", "samples.safetensors")
"""What a gateway never reads."""


def sample_bundle(folder: Path, interval_s: float, reference: Path = REFERENCE) -> Path:
    """Copies the reference bundle and says of it, in manifest and graphs, that it is fed with raw samples.

    What the graphs compute is the same, so that forecasts cost what they cost; what they say is of no account here.
    """
    manifest = manifest_from_json((reference / MANIFEST).read_bytes(), str(reference / MANIFEST))
    assert manifest.signal is not None
    signal = replace(manifest.signal, sampling="samples", interval_s=interval_s)
    graphs = {entry.file for entry in manifest.graphs}
    folder.mkdir(parents=True)
    files = {}
    for name in manifest.files.keys() - set(LEFT_OUT):
        if name in graphs:
            (folder / name).write_bytes(_with_signal(reference / name, signal))
        else:
            shutil.copyfile(reference / name, folder / name)
        content = (folder / name).read_bytes()
        files[name] = FileEntry(hashlib.sha256(content).hexdigest(), len(content))
    (folder / MANIFEST).write_text(replace(manifest, signal=signal, files=files).to_json())
    load_bundle(folder)
    return folder


def _with_signal(graph: Path, signal: SignalSpec) -> bytes:
    proto = onnx.load(graph)
    for entry in proto.metadata_props:
        if entry.key == METADATA_PREFIX + "signal":
            entry.value = json.dumps(encode(signal))
    return bytes(proto.SerializeToString())
