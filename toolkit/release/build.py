"""The story of a bundle: export, gate, parity, golden vectors, manifest, and a last check of what was written."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx

from toolkit import atomic_files
from toolkit.contract.graph_io import GRAPHS, GraphName, signature
from toolkit.contract.manifest import (
    GOLDEN,
    MANIFEST,
    MINIMUM_ONNXRUNTIME,
    MODEL_CARD,
    OPSET,
    SAMPLES,
    SCHEMA,
    WEIGHTS,
    BundleManifest,
    FileEntry,
    GraphEntry,
)
from toolkit.contract.model_spec import Layout, ModelSpec
from toolkit.contract.records import encode
from toolkit.contract.reports import ParityReport
from toolkit.export.graphs import SECOND_SIZES, export_graph
from toolkit.export.lint import check_graph, check_same
from toolkit.model.lstm import MultivariateLSTM, model_from_spec
from toolkit.parity.bundle import raise_if_failed
from toolkit.parity.check import check_parity
from toolkit.parity.grid import standard_grid
from toolkit.parity.inputs import InputSource
from toolkit.release.golden_vectors import golden_cases, golden_tolerances
from toolkit.release.model_card import model_card
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.environment import package_versions
from toolkit.runtime.golden import check_golden, pack_golden
from toolkit.training.run import Run
from toolkit.training.weights import samples_bytes, weights_bytes

OnStage = Callable[[str, float], None]
"""Called after each stage with its name and its seconds."""

VERSIONS = ("lstm-edge-toolkit", "torch", "onnx", "onnxscript", "onnxruntime", "numpy")


@dataclass(frozen=True)
class BuiltBundle:
    """A bundle that was written.

    Attributes:
        folder: where it lies.
        manifest: its manifest.
        parity: the report behind the manifest's summary.
    """

    folder: Path
    manifest: BundleManifest
    parity: ParityReport


def build_bundle(
    run: Run,
    out: Path,
    *,
    layout: Layout = "batch-major",
    weights: bool = True,
    overwrite: bool = False,
    on_stage: OnStage = lambda name, seconds: None,
) -> BuiltBundle:
    """Exports a run's graphs and leaves a bundle, or nothing.

    Args:
        run: a finished run.
        out: the folder to write.
        layout: order of the first two axes of `x` in the graphs.
        weights: whether torch's weights and a sample of the test readings go into the bundle, so that `parity`
            needs nothing else.
        overwrite: whether a folder at `out` may be replaced.
        on_stage: told of each stage.

    Raises:
        OutputError: `out` exists and `overwrite` is off, or cannot be written.
        GateError: a graph breaks the contract, or depends on the sizes of the example that it was exported from.
        ParityError: a graph does not compute what torch computes.
        GoldenError: the written bundle does not answer its own golden vectors.
    """
    atomic_files.check_free(out, overwrite=overwrite, marker=MANIFEST)
    stages = _Stages(on_stage)
    spec = dataclasses.replace(run.record.model, layout=layout)
    model = _with_layout(run.model, spec)
    protos = {graph: export_graph(model, graph, _metadata(run, spec, graph)) for graph in GRAPHS}
    stages.done("export")
    gate(model, protos)
    for graph, proto in protos.items():
        check_same(proto, export_graph(model, graph, _metadata(run, spec, graph), SECOND_SIZES), graph)
    graphs = {graph: proto.SerializeToString() for graph, proto in protos.items()}
    stages.done("gate")
    source = InputSource(model, run.samples.numpy(), seed=1)
    parity = check_parity(model, graphs, standard_grid(spec.window_length), source.samples)
    raise_if_failed(parity)
    stages.done("parity")
    files = {f"{graph}.onnx": content for graph, content in graphs.items()}
    cases = golden_cases(source, spec)
    files[GOLDEN] = pack_golden(cases)
    if weights:
        files |= {WEIGHTS: weights_bytes(model), SAMPLES: samples_bytes(run.samples)}
    entries = tuple(
        GraphEntry(graph, f"{graph}.onnx", "fp32", golden_tolerances(graph, cases, model, parity)) for graph in GRAPHS
    )
    manifest = _manifest(out.name, run, spec, entries, parity)
    files[MODEL_CARD] = model_card(manifest).encode()
    manifest = dataclasses.replace(manifest, files={name: _file_entry(files[name]) for name in sorted(files)})
    with atomic_files.new_folder(out, overwrite=overwrite, marker=MANIFEST) as partial:
        for name, content in files.items():
            (partial / name).write_bytes(content)
        (partial / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        check_golden(load_bundle(partial))
    stages.done("golden check")
    return BuiltBundle(out, manifest, parity)


def gate(model: MultivariateLSTM, protos: dict[GraphName, onnx.ModelProto]) -> None:
    """Refuses graphs that break the contract, before they are run.

    Raises:
        GateError: with the first problem of the first such graph.
    """
    for graph, proto in protos.items():
        check_graph(proto, signature(graph, model.shape), graph)


class _Stages:
    def __init__(self, on_stage: OnStage) -> None:
        self._on_stage = on_stage
        self._start = time.monotonic()

    def done(self, name: str) -> None:
        now = time.monotonic()
        self._on_stage(name, now - self._start)
        self._start = now


def _with_layout(model: MultivariateLSTM, spec: ModelSpec) -> MultivariateLSTM:
    """The same weights behind inputs of the wanted layout."""
    same = model_from_spec(spec)
    same.load_state_dict(model.state_dict())
    return same.eval()


def _provenance(run: Run) -> dict[str, object]:
    return {
        "run": run.record.name,
        "versions": package_versions(VERSIONS),
        "data": encode(run.record.data),
        "config_sha256": hashlib.sha256(run.config_toml.encode()).hexdigest(),
    }


def _metadata(run: Run, spec: ModelSpec, graph: GraphName) -> dict[str, str]:
    """What a graph says of itself when it is found without its manifest."""
    return {
        "graph": graph,
        "signal": json.dumps(encode(run.record.signal)),
        "model": json.dumps(encode(spec)),
        "provenance": json.dumps(_provenance(run)),
    }


def _manifest(
    name: str,
    run: Run,
    spec: ModelSpec,
    graphs: tuple[GraphEntry, ...],
    parity: ParityReport,
) -> BundleManifest:
    accuracy = {key: run.report[key] for key in ("test", "test_standardised", "per_target", "baselines", "verdict")}
    summary = encode(parity.summary) | {
        "worst_share_of_tolerance": max(c.ort_error / c.tolerance for c in parity.cases)
    }
    return BundleManifest(
        SCHEMA,
        name,
        run.record.signal,
        spec,
        graphs,
        OPSET,
        MINIMUM_ONNXRUNTIME,
        {},
        accuracy,
        summary,
        _provenance(run),
    )


def _file_entry(content: bytes) -> FileEntry:
    return FileEntry(hashlib.sha256(content).hexdigest(), len(content))
