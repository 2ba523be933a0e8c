"""From a model to a bundle that proves itself: export -> gate -> parity -> precision -> golden vectors -> manifest.

The folder appears whole, or not at all.
"""

import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnx
from torch import nn

from toolkit import atomic_files
from toolkit.contract.graph_io import GraphName, TensorSpec
from toolkit.contract.manifest import (
    GOLDEN,
    MANIFEST,
    MODEL_CARD,
    OPSET,
    SAMPLES,
    SCHEMA,
    WEIGHTS,
    BundleManifest,
    FileEntry,
    StatePolicy,
)
from toolkit.contract.model_spec import Layout
from toolkit.contract.parity_reports import ParityReport
from toolkit.contract.records import encode
from toolkit.contract.signals import SignalSpec
from toolkit.export.graphs import example_sizes, export_torch_graph, operators_read_once
from toolkit.export.input_spec import parse_tensor
from toolkit.export.lint import check_graph, check_same
from toolkit.export.opsets import check_opset, oldest_onnxruntime
from toolkit.model.torch_graph import TorchGraphs
from toolkit.parity.check import check_parity
from toolkit.parity.grid import standard_grid
from toolkit.parity.inputs import InputSource
from toolkit.parity.reference import one_torch_thread
from toolkit.parity.told import raise_if_failed
from toolkit.release.golden_vectors import golden_cases, golden_tolerances
from toolkit.release.held_out import Readings
from toolkit.release.material import Material, entry_of, material_of_module, material_of_run
from toolkit.release.model_card import model_card
from toolkit.release.precision_choice import MAX_ACCURACY_LOSS
from toolkit.release.servers import server_files
from toolkit.release.variants import Chosen, choose_precision, refuse_what_cannot_be_made
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.golden import check_golden, pack_golden
from toolkit.training.run import Run
from toolkit.training.weights import samples_bytes, weights_bytes

OnStage = Callable[[str, float], None]
"""Called after each stage with its name and its seconds."""

Requested = Literal["fp32", "fp16", "int8", "auto"]


@dataclass(frozen=True)
class Options:
    """How a bundle is made.

    Attributes:
        weights: whether torch's weights and a sample of the test readings go into the bundle, so that `parity`
            needs nothing else.
        overwrite: whether a folder that stands in the way may be replaced.
        opset: of the graphs.
        precision: of the graphs that are run; fp32 ones are always there.
        max_accuracy_loss: how much the forecast's error may grow by a precision, as a part of fp32's.
        servers: what else is written beside the graphs: `triton`, `ort`.
        on_stage: told of each stage.
    """

    weights: bool = True
    overwrite: bool = False
    opset: int = OPSET
    precision: Requested = "fp32"
    max_accuracy_loss: float = MAX_ACCURACY_LOSS
    servers: tuple[str, ...] = ()
    on_stage: OnStage = lambda name, seconds: None


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


def build_bundle(run: Run, out: Path, options: Options | None = None, *, layout: Layout = "batch-major") -> BuiltBundle:
    """Exports a run's graphs and leaves a bundle, or nothing.

    Args:
        run: a finished run.
        out: the folder to write.
        options: how it is made.
        layout: order of the first two axes of `x` in the graphs.

    Raises:
        OutputError: `out` exists and is not to be overwritten, or cannot be written.
        GateError: a graph breaks the contract, or depends on the sizes of the example that it was exported from.
        ParityError: a graph does not compute what torch computes.
        GoldenError: the written bundle does not answer its own golden vectors.
    """
    return build_material(lambda: material_of_run(run, layout), out, options or Options())


def export_module(
    module: nn.Module,
    inputs: Sequence[str | TensorSpec],
    out: Path,
    *,
    outputs: Sequence[str] = (),
    states: Mapping[str, str] | None = None,
    signal: SignalSpec | None = None,
    readings: Readings | None = None,
    window_length: int = 60,
    options: Options | None = None,
) -> BuiltBundle:
    """Exports anyone's module and leaves a bundle, or nothing: what `lstm-edge export --module` does.

    Args:
        module: called with the inputs in their order, or with the states among them in one tuple at the end; gives
            float32 tensors. It is put into evaluation mode, and copied to be changed.
        inputs: `"x: float32[batch, sequence, 9]"`: a name, and for each axis a size or, where any will do, a name.
        out: the folder to write.
        outputs: names, in the order in which the module gives them; default `y`, or `y0`, `y1`, ...
        states: for each input that is a state, the output to be fed back into it.
        signal: what the channels mean, so that a gateway can run the bundle.
        readings: held-out readings in the signal's order, to check and to measure on.
        window_length: samples of an ordinary input.
        options: how the bundle is made.

    Raises:
        RequestError: as `build_bundle`, and a module that cannot be exported, with the reason.
        CheckFailedError: as `build_bundle`.
    """
    specs = [parse_tensor(each) if isinstance(each, str) else each for each in inputs]
    return build_material(
        lambda: material_of_module(
            module,
            specs,
            outputs,
            dict(states or {}),
            signal=signal,
            readings=readings,
            window_length=window_length,
        ),
        Path(out),
        options or Options(),
    )


def build_material(material_of: Callable[[], Material], out: Path, options: Options) -> BuiltBundle:
    """The same of anything: `material_of` is called when the place is known to be free.

    Raises:
        RequestError: as `build_bundle`, and what `material_of` raises.
    """
    atomic_files.check_free(out, overwrite=options.overwrite, marker=MANIFEST)
    check_opset(options.opset)
    # A second torch thread was seen to take the golden cases of a small model from a tenth of a second to ten.
    with one_torch_thread(), operators_read_once():
        return _built(material_of, out, options)


def _built(material_of: Callable[[], Material], out: Path, options: Options) -> BuiltBundle:
    stages = _Stages(options.on_stage)
    material = material_of()
    protos = export_all(material, options.opset)
    refuse_what_cannot_be_made(material, protos, options.precision)
    stages.done("export")
    gate(material.graphs, protos, options.opset)
    _check_independent(material, protos, options.opset)
    stages.done("gate")
    contents = {name: proto.SerializeToString() for name, proto in protos.items()}
    parity = check_parity(material.graphs, contents, standard_grid(material.window_length), material.samples)
    raise_if_failed(parity)
    stages.done("parity")
    source = InputSource(material.graphs, material.samples, seed=1)
    cases = golden_cases(source, parity)
    entries = [
        dataclasses.replace(entry_of(graph), golden_atol=golden_tolerances(graph, cases, parity))
        for graph in material.graphs.values()
    ]
    chosen = choose_precision(
        entries,
        protos,
        material,
        cases,
        requested=options.precision,
        max_accuracy_loss=options.max_accuracy_loss,
    )
    if options.precision != "fp32":
        stages.done("precision")
    files = {
        GOLDEN: pack_golden(cases),
        **chosen.files,
        **server_files(out.name, chosen.entries, chosen.files, options.servers),
    }
    if options.weights:
        files |= _weights(material)
    manifest = _manifest(out.name, material, chosen, parity, protos)
    _write(out, files, manifest, overwrite=options.overwrite)
    stages.done("golden check")
    return BuiltBundle(out, load_bundle(out).manifest, parity)


def export_all(material: Material, opset: int) -> dict[GraphName, onnx.ModelProto]:
    """Every graph of a model, exported from the first example."""
    return {
        name: export_torch_graph(graph, material.metadata(name), example_sizes(graph), opset)
        for name, graph in material.graphs.items()
    }


def gate(graphs: TorchGraphs, protos: dict[GraphName, onnx.ModelProto], opset: int = OPSET) -> None:
    """Refuses graphs that break the contract, before they are run.

    Raises:
        GateError: with the first problem of the first such graph.
    """
    for name, proto in protos.items():
        check_graph(proto, graphs[name].tensors, name, opset)


def _check_independent(material: Material, protos: dict[GraphName, onnx.ModelProto], opset: int) -> None:
    """Exports again from an example of other sizes: what is not baked comes out the same."""
    for name, proto in protos.items():
        graph = material.graphs[name]
        again = export_torch_graph(graph, material.metadata(name), example_sizes(graph, 1), opset)
        check_same(proto, again, name)


def _weights(material: Material) -> dict[str, bytes]:
    files = {WEIGHTS: weights_bytes(material.module)}
    return files if material.samples is None else {**files, SAMPLES: samples_bytes(material.samples)}


def _write(out: Path, files: dict[str, bytes], manifest: BundleManifest, *, overwrite: bool) -> None:
    files = {**files, MODEL_CARD: model_card(manifest).encode()}
    manifest = dataclasses.replace(manifest, files={name: _file_entry(files[name]) for name in sorted(files)})
    with atomic_files.new_folder(out, overwrite=overwrite, marker=MANIFEST) as partial:
        for name, content in files.items():
            (partial / name).write_bytes(content)
        (partial / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        check_golden(load_bundle(partial))


class _Stages:
    def __init__(self, on_stage: OnStage) -> None:
        self._on_stage = on_stage
        self._start = time.monotonic()

    def done(self, name: str) -> None:
        now = time.monotonic()
        self._on_stage(name, now - self._start)
        self._start = now


def _manifest(
    name: str,
    material: Material,
    chosen: Chosen,
    parity: ParityReport,
    protos: dict[GraphName, onnx.ModelProto],
) -> BundleManifest:
    summary = encode(parity.summary) | {
        "worst_share_of_tolerance": max(c.ort_error / c.tolerance for c in parity.cases)
    }
    proto = next(iter(protos.values()))
    return BundleManifest(
        SCHEMA,
        name,
        material.signal,
        material.model,
        tuple(chosen.entries),
        next(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")),
        oldest_onnxruntime(proto),
        {},
        material.window_length,
        chosen.decision,
        material.accuracy,
        summary,
        material.provenance,
        _state_policy(material, [entry.name for entry in chosen.entries]),
    )


def _state_policy(material: Material, graphs: Sequence[str]) -> StatePolicy | None:
    """A state that is carried further than the model was trained with is one that nobody has measured."""
    if "streaming" not in graphs or material.model is None:
        return None
    window = material.model.window_length
    return StatePolicy(window, None if material.model.streaming else window)


def _file_entry(content: bytes) -> FileEntry:
    return FileEntry(hashlib.sha256(content).hexdigest(), len(content))
