"""Parity of a finished bundle, from what lies in the bundle alone."""

from collections.abc import Sequence

import onnx

from toolkit.contract.manifest import SAMPLES, WEIGHTS
from toolkit.contract.reports import ParityReport
from toolkit.errors import BundleError, ParityError
from toolkit.export.lint import check_graph
from toolkit.model.lstm import MultivariateLSTM
from toolkit.parity.check import OnCase, check_parity
from toolkit.parity.grid import ParityGrid, quick_grid, standard_grid
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.session import CPU
from toolkit.training.weights import load_model, load_samples


def model_of(bundle: Bundle) -> MultivariateLSTM:
    """The torch module that a bundle was exported from, in evaluation mode.

    Raises:
        BundleError: the bundle was written without its weights, or they are damaged.
    """
    if WEIGHTS not in bundle.manifest.files:
        raise BundleError(f"{bundle.folder} holds no {WEIGHTS}", fix="export it again with its weights")
    return load_model(bundle.manifest.model, bundle.read(WEIGHTS), str(bundle.folder / WEIGHTS))


def grid_of(bundle: Bundle, *, quick: bool = False) -> ParityGrid:
    """The shapes and inputs on which a bundle is judged; `quick` looks at a few of them."""
    window_length = bundle.manifest.model.window_length
    return quick_grid(window_length) if quick else standard_grid(window_length)


def check_bundle(
    bundle: Bundle, grid: ParityGrid, providers: Sequence[str] = (CPU,), on_case: OnCase = lambda done: None
) -> ParityReport:
    """Compares every graph of a bundle with the torch module whose weights lie beside it.

    Raises:
        BundleError: a damaged bundle, or one without weights.
        GateError: a graph that breaks the graph contract.
    """
    graphs = {entry.name: bundle.read(entry.file) for entry in bundle.manifest.graphs}
    for name, content in graphs.items():
        bundle.session(name)  # refuses a graph that does not fit the manifest
        check_graph(onnx.load_model_from_string(content), bundle.signature(name), name)
    model = model_of(bundle)
    samples = None
    if SAMPLES in bundle.manifest.files:
        samples = load_samples(model, bundle.read(SAMPLES), str(bundle.folder / SAMPLES)).numpy()
    return check_parity(model, graphs, grid, samples, providers=providers, on_case=on_case)


def raise_if_failed(report: ParityReport) -> None:
    """Turns a failed report into an error.

    Raises:
        ParityError: says how many cases failed, the first of them, and where it parts.
    """
    if report.passed:
        return
    case = next(case for case in report.cases if not case.passed)
    where = f"{case.graph} graph on {case.provider}, batch {case.batch} x sequence {case.sequence}, input {case.input}"
    reason = case.problem or (
        f"{case.ort_error:.3g} standard deviations from the truth where {case.tolerance:.3g} are allowed "
        f"(torch itself: {case.torch_error:.3g})"
    )
    raise ParityError(
        f"parity: {report.summary.failed} of {report.summary.cases} cases failed; "
        f"first: {where}: {reason}{_place(report)}"
    )


def _place(report: ParityReport) -> str:
    found = report.divergence
    if found is None:
        return ""
    parts = {"step": found.step, "series": found.batch, "": found.channel}
    return f"; parts first in {found.tensor}" + "".join(
        f", {name} {value}".replace("  ", " ") for name, value in parts.items() if value is not None
    )
