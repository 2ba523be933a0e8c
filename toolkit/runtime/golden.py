"""Golden vectors: inputs and expected answers that travel in the bundle and are re-run wherever it arrives."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_entry import GraphEntry
from toolkit.contract.graph_io import ANY_SIZE, GraphName, figure_axis
from toolkit.contract.manifest import GOLDEN
from toolkit.errors import BundleError, GoldenError, InputError
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.golden_case import GoldenCase
from toolkit.runtime.golden_manifest import allowed_of, check_series, check_sizes, check_states, check_tolerances
from toolkit.runtime.guarded_graph import GuardedGraph, check_feed
from toolkit.runtime.session import SessionPolicy

Array = NDArray[np.float32]


@dataclass(frozen=True)
class GoldenResult:
    """The largest part of its tolerance that any value of a case used; above 1 it fails."""

    graph: GraphName
    case: str
    output: str
    worst: float
    precision: str = "fp32"

    @property
    def shown_precision(self) -> str:
        """Told where it is not the ordinary one."""
        return "" if self.precision == "fp32" else f" in {self.precision}"


def pack_golden(cases: list[GoldenCase]) -> bytes:
    """The contents of `golden.npz`: arrays named `graph/case/in|out/tensor`."""
    arrays: dict[str, Array] = {}
    for case in cases:
        arrays |= {f"{case.graph}/{case.name}/in/{name}": array for name, array in case.inputs.items()}
        arrays |= {f"{case.graph}/{case.name}/out/{name}": array for name, array in case.outputs.items()}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def unpack_golden(content: bytes) -> list[GoldenCase]:
    """Reads `golden.npz`; nothing in it is executed.

    Raises:
        BundleError: not such a file.
    """
    cases: dict[tuple[str, str], GoldenCase] = {}
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            _refuse_swelling(arrays.zip.infolist(), len(content))
            for key in arrays.files:
                graph, name, side, tensor = key.split("/")
                case = cases.setdefault((graph, name), GoldenCase(graph, name, {}, {}))
                (case.inputs if side == "in" else case.outputs)[tensor] = arrays[key]
    except Exception as error:  # zipfile, zlib and numpy's parser raise a dozen unrelated types
        raise BundleError(f"{GOLDEN} is damaged", got=str(error)[:100]) from error
    return list(cases.values())


def _refuse_swelling(members: Sequence[Any], size: int) -> None:
    """Golden vectors are stored as they are: an archive that holds more than itself is a bomb."""
    if sum(member.file_size for member in members) > size:
        raise BundleError(f"{GOLDEN} would swell when it is read")


def check_golden(bundle: Bundle, policy: SessionPolicy | None = None) -> list[GoldenResult]:
    """Re-runs every golden case on this machine, and holds the manifest against them.

    Raises:
        GoldenError: an answer lies outside its tolerance.
        BundleError: a case does not fit its graph, or the manifest is another than the bundle was exported with.
    """
    own = golden_cases(bundle)
    graphs = [(entry, bundle.guarded(entry, policy)) for entry in bundle.manifest.graphs]
    results = [
        result
        for entry, graph in graphs
        for result in run_cases(graph, entry, own[entry.name], bundle.manifest.window_length)
    ]
    refuse_beyond(results)
    for entry, graph in graphs:
        check_manifest(graph, entry, own[entry.name])
    return results


def golden_cases(bundle: Bundle) -> dict[GraphName, list[GoldenCase]]:
    """The golden cases of each graph.

    Raises:
        BundleError: the file is damaged.
    """
    cases = unpack_golden(bundle.read(GOLDEN))
    return {name: [case for case in cases if case.graph == name] for name in bundle.manifest.names}


def refuse_beyond(results: Sequence[GoldenResult]) -> None:
    """Ends at an answer outside its tolerance.

    Raises:
        GoldenError: names the worst of them.
    """
    worst = max(results, key=lambda result: result.worst)
    if not worst.worst <= 1.0:
        raise GoldenError(
            f"the {worst.graph} graph{worst.shown_precision} answers otherwise than where it was made",
            got=f"{worst.worst:.3g} times the tolerance in {worst.output}, case {worst.case}",
            fix="do not use this bundle on this machine",
        )


def check_manifest(graph: GuardedGraph, entry: GraphEntry, cases: Sequence[GoldenCase]) -> None:
    """Holds the manifest's line of a graph against its golden cases, whose answers are right.

    Raises:
        BundleError: tolerances, states or `mixes_series` are others than the bundle was exported with.
    """
    check_tolerances(entry, cases)
    check_states(graph, entry, cases)
    check_series(graph, entry, cases)


def run_cases(
    graph: GuardedGraph, entry: GraphEntry, cases: Sequence[GoldenCase], window_length: int
) -> list[GoldenResult]:
    """How far each output of each case of one graph is off.

    Args:
        graph: behind its guards.
        entry: its line in the manifest.
        cases: of that graph.
        window_length: of the manifest, which the sizes of the cases follow from.

    Raises:
        BundleError: there is no case, or one does not fit the graph.
    """
    if not cases:
        raise BundleError(f"{GOLDEN} holds no case for the {entry.name} graph")
    results: list[GoldenResult] = []
    for case in cases:
        _check_case(case, entry, window_length)
        results += [judge(entry, case, name, got) for name, got in graph.run(case.inputs).items()]
    return results


def _check_case(case: GoldenCase, entry: GraphEntry, window_length: int) -> None:
    """Guards a case as any other input is guarded: a batch of 0 would abort the process."""
    tensors = entry.signature
    names = [tensor.name for tensor in tensors.inputs], [tensor.name for tensor in tensors.outputs]
    if set(names[0]) != set(case.inputs) or set(names[1]) != set(case.outputs):
        got, allowed = (", ".join((*a, *b)) for a, b in ((case.inputs, case.outputs), names))
        raise BundleError(f"{GOLDEN}: case {case.name!r} does not fit the {case.graph} graph", got=got, allowed=allowed)
    try:
        check_feed(case.inputs, tensors, ANY_SIZE)
        check_sizes(case, entry, window_length)
        check_feed(case.inputs, tensors, entry.limits)
    except InputError as error:
        raise BundleError(f"{GOLDEN}: case {case.name!r}: {error}") from error


def judge(entry: GraphEntry, case: GoldenCase, output: str, got: Array) -> GoldenResult:
    """How far one answer is off.

    Args:
        entry: of the graph.
        case: what was fed, and what is expected.
        output: the answer's name.
        got: float32, of the shape of what is expected, in its units.

    Raises:
        BundleError: it has another shape than the case's, or the manifest has another number of tolerances.
    """
    expected = case.outputs[output]
    if got.shape != expected.shape:
        raise BundleError(f"{GOLDEN}: case {case.name!r} does not fit the {entry.name} graph", got=list(got.shape))
    figures = len(entry.golden_atol[output])
    targets = got.shape[figure_axis(entry.signature.output(output))] if got.shape else 1
    if figures not in (1, targets):  # an axis of any size is beyond the manifest's own check
        allowed = f"1, or {targets}"
        raise BundleError(
            f"manifest.json: golden_atol of {output} of the {entry.name} graph", got=figures, allowed=allowed
        )
    difference = np.abs(got.astype(np.float64) - expected.astype(np.float64))
    # NaN must not slip through a comparison that is false either way.
    worst = float(np.max(np.where(np.isfinite(difference), difference, np.inf) / allowed_of(entry, output)))
    return GoldenResult(entry.name, case.name, output, worst, entry.precision)
