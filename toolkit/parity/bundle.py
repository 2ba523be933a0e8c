"""Parity of a finished bundle, from what lies in the bundle alone."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import nn

from toolkit.contract.graph_entry import GraphEntry
from toolkit.contract.graph_io import GraphName
from toolkit.contract.manifest import SAMPLES, WEIGHTS, BundleManifest
from toolkit.contract.parity_reports import ParityReport
from toolkit.errors import BundleError, ModelError
from toolkit.export.foreign_graph import foreign_graph
from toolkit.export.lint import check_graph
from toolkit.export.turns import probed
from toolkit.model.lstm import MultivariateLSTM
from toolkit.model.torch_graph import TorchGraph, torch_graphs
from toolkit.parity.check import OnCase, check_parity
from toolkit.parity.grid import ParityGrid, quick_grid, standard_grid
from toolkit.parity.variants import check_variants
from toolkit.parity.verdict import Allowed
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.session import CPU, SessionPolicy
from toolkit.training.weights import fill, load_model, load_samples


def model_of(bundle: Bundle) -> MultivariateLSTM:
    """The torch module that a bundle was exported from, in evaluation mode.

    Raises:
        BundleError: the bundle was written without its weights, they are damaged, or it is somebody else's module.
    """
    if bundle.manifest.model is None:
        fix = "name what builds it: --module package.module:factory"
        raise BundleError(f"{bundle.folder} was made from a module of somebody's own, which is not in it", fix=fix)
    return load_model(bundle.manifest.model, _weights(bundle), str(bundle.folder / WEIGHTS))


def graphs_of_bundle(bundle: Bundle, module: nn.Module | None = None) -> dict[GraphName, TorchGraph]:
    """The torch side of a bundle's graphs.

    Args:
        bundle: with its weights.
        module: of a bundle that was made from somebody's own module, that module; it is filled with the bundle's
            weights.

    Raises:
        BundleError: as `model_of`.
        ModelError: a module that does not fit the bundle.
    """
    window_length = bundle.manifest.window_length
    if bundle.manifest.model is not None:
        if module is not None:
            raise ModelError(f"{bundle.folder} holds its own module", fix="leave --module out")
        return torch_graphs(model_of(bundle), window_length, bundle.manifest.model.min_sequence)
    if module is None:
        model_of(bundle)  # says what is missing
    assert module is not None  # for the type checker
    fill(module, _weights(bundle), str(bundle.folder / WEIGHTS))
    entry = bundle.manifest.graphs[0]
    names = [tensor.name for tensor in entry.outputs]
    graph = foreign_graph(module.float(), entry.inputs, names, entry.states, window_length=window_length)
    if graph.tensors != entry.signature:
        raise ModelError("the module does not fit the bundle", got=graph.tensors.outputs, allowed=entry.outputs)
    return {entry.name: probed(graph)}


def _weights(bundle: Bundle) -> bytes:
    if WEIGHTS not in bundle.manifest.files:
        raise BundleError(f"{bundle.folder} holds no {WEIGHTS}", fix="export it again with its weights")
    return bundle.read(WEIGHTS)


def grid_of(bundle: Bundle, *, quick: bool = False) -> ParityGrid:
    """The shapes and inputs on which a bundle is judged; `quick` looks at a few of them."""
    window_length = bundle.manifest.window_length
    return quick_grid(window_length) if quick else standard_grid(window_length)


def policies_of(providers: Sequence[str], *, quick: bool = False) -> tuple[SessionPolicy, ...]:
    """Sessions to compare in: each provider as it is deployed, and on the CPU two threads and lower optimisation."""
    policies = [SessionPolicy(provider=provider) for provider in providers]
    if not quick and CPU in providers:
        policies += [SessionPolicy(threads=2), SessionPolicy(optimisation="basic"), SessionPolicy(optimisation="none")]
    return tuple(policies)


def check_bundle(
    bundle: Bundle,
    grid: ParityGrid,
    policies: Sequence[SessionPolicy] = (SessionPolicy(),),
    on_case: OnCase = lambda done: None,
    module: nn.Module | None = None,
    *,
    allowed: Allowed | None = None,
    profiled: bool = False,
) -> ParityReport:
    """Compares every graph of a bundle with the torch module whose weights lie beside it.

    fp32 graphs are held against the truth, the others against the fp32 graph: see `check_parity`, `check_variants`.

    Args:
        bundle: with its weights.
        grid: shapes and inputs.
        policies: sessions to run the graphs in: see `policies_of`.
        on_case: told how many cases are done.
        module: see `graphs_of_bundle`.
        allowed: see `check_parity`, and so is the next.
        profiled: whether to look where the error lies.

    Raises:
        BundleError: a damaged bundle, or one without weights.
        GateError: a graph that breaks the graph contract.
    """
    graphs = {entry.name: bundle.read(entry.file) for entry in bundle.manifest.graphs if entry.precision == "fp32"}
    for entry in bundle.manifest.graphs:
        check_entry(bundle, entry)
    own = graphs_of_bundle(bundle, module)
    samples = samples_of(bundle)
    report = check_parity(
        own,
        graphs,
        grid,
        samples,
        policies=policies,
        allowed=allowed,
        profiled=profiled,
        targets=_figures(bundle.manifest),
        on_case=on_case,
    )
    variants = check_variants(bundle, samples)
    passed = report.passed and all(variant.passed for variant in variants)
    return dataclasses.replace(report, variants=variants, passed=passed)


def _figures(manifest: BundleManifest) -> tuple[str, ...]:
    """Names of an answer's last axis, for the profile."""
    if manifest.model is not None and manifest.model.class_names:
        return manifest.model.class_names
    return () if manifest.signal is None else manifest.signal.targets


def check_entry(bundle: Bundle, entry: GraphEntry) -> None:
    """Refuses a graph that does not fit the manifest, or breaks the contract."""
    bundle.open(entry)
    proto = onnx.load_model_from_string(bundle.read(entry.file))
    check_graph(proto, entry.signature, entry.name, bundle.manifest.opset, entry.precision)


def samples_of(bundle: Bundle) -> NDArray[np.float32] | None:
    """Readings of the test part that travel in the bundle, float32 `[stretches, samples, channels]`.

    Raises:
        BundleError: the file is damaged or does not fit.
    """
    if SAMPLES not in bundle.manifest.files or bundle.manifest.signal is None:
        return None
    channels = len(bundle.manifest.signal.channels)
    samples: NDArray[np.float32] = load_samples(channels, bundle.read(SAMPLES), str(bundle.folder / SAMPLES)).numpy()
    return samples
