"""The golden vectors of a bundle: a few inputs and the float64 module's answers to them."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import figure_axis
from toolkit.contract.parity_reports import ParityReport
from toolkit.model.torch_graph import TorchGraph
from toolkit.parity.cases import ORDINARY
from toolkit.parity.inputs import Feed, InputSource
from toolkit.parity.reference import references
from toolkit.runtime.golden_case import GoldenCase
from toolkit.runtime.guarded_graph import GuardedGraph

OTHER_CPU = 4.0
"""How much further than parity's tolerance another processor's rounding may lead."""

MOST_NUMBERS = 8192
"""In the inputs of a case that travels because of its error: 32 KiB."""

FINAL_ULPS = 4.0
STATE_ULPS = 16.0


def golden_cases(source: InputSource, parity: ParityReport | None = None) -> list[GoldenCase]:
    """Windows and streams of ordinary inputs, with and without a state to start from.

    Args:
        source: of the inputs.
        parity: where given, the case with the largest error and the one with the most typical error go along, of those
            that are small enough to travel.
    """
    plain, rough = source.families
    cases: list[GoldenCase] = []
    for graph in source.graphs.values():
        window, axes = graph.window_length, graph.tensors
        shapes = (("window", plain, 3, window), ("rough", rough, 2, window + 1), ("short", rough, 1, 2))
        for name, family, batch, sequence in shapes:
            near = graph.limits.clipped
            feed = source.feed(graph.name, family, near(axes.batch_axis, batch), near(axes.sequence_axis, sequence))
            cases.append(_case(graph, name, _from_zero(feed, graph) if name == "window" else feed))
        cases += [] if parity is None else _remarkable(source, graph, parity)
    return cases


def _remarkable(source: InputSource, graph: TorchGraph, parity: ParityReport) -> list[GoldenCase]:
    asked = InputSource(source.graphs, source.samples)  # with parity's own seed
    found = [
        (case.ort_error / case.tolerance, asked.feed(graph.name, case.input, case.batch, case.sequence))
        for case in parity.cases
        if case.graph == graph.name and case.pool in source.families
    ]
    small = [pair for pair in found if sum(array.size for array in pair[1].values()) <= MOST_NUMBERS]
    small.sort(key=lambda pair: pair[0])
    chosen = {"worst": small[-1:], "typical": small[len(small) // 2 :][:1]}
    return [_case(graph, name, feed) for name, pairs in chosen.items() for _, feed in pairs]


def golden_tolerances(graph: TorchGraph, cases: list[GoldenCase], parity: ParityReport) -> dict[str, tuple[float, ...]]:
    """For each output the largest allowed difference: by target in raw units, or one figure where nothing is un-scaled.

    Args:
        graph: whose outputs, and the scale of its targets.
        cases: the golden cases, for the size of the outputs.
        parity: its tolerances are where these start from.
    """
    standardised = OTHER_CPU * max(c.tolerance for c in parity.cases if c.graph == graph.name and c.pool in ORDINARY)
    own = [case for case in cases if case.graph == graph.name]
    largest = {
        tensor.name: max(float(np.abs(case.outputs[tensor.name]).max(initial=0.0)) for case in own)
        for tensor in graph.tensors.outputs
    }
    answer = graph.tensors.answers[0].name
    # Another output may be far larger than the answer that parity's figures are of.
    times = {name: max(1.0, size / max(largest[answer], 1e-30)) for name, size in largest.items()}
    tolerances: dict[str, tuple[float, ...]] = {
        name: (max(standardised * times[name], OTHER_CPU * STATE_ULPS * float(_ulp(np.float64(size)))),)
        for name, size in largest.items()
    }
    for name, scaling in graph.unscaling.items():
        offset, scale = (tensor.double().numpy().reshape(-1) for tensor in scaling)  # [targets]
        raw = standardised * scale + FINAL_ULPS * _ulp(np.abs(offset) + 10.0 * scale)
        tolerances[name] = tuple(float(value) for value in raw)
    return tolerances


def variant_tolerances(graph: GuardedGraph, cases: Iterable[GoldenCase]) -> dict[str, tuple[float, ...]]:
    """The same for a graph whose weights are rounded: `OTHER_CPU` times its own error on the golden cases.

    Args:
        graph: the variant.
        cases: of its graph.
    """
    worst: dict[str, NDArray[np.float64]] = {}
    axis = {tensor.name: figure_axis(tensor) for tensor in graph.tensors.outputs}
    for case in cases:
        for name, got in graph.run(case.inputs).items():
            wanted = case.outputs[name]
            error = largest_along(got.astype(np.float64) - wanted, axis[name])
            floor = OTHER_CPU * STATE_ULPS * _ulp(largest_along(wanted, axis[name]))
            worst[name] = np.maximum(np.maximum(error * OTHER_CPU, floor), worst.get(name, np.zeros(1)))
    answers = {tensor.name for tensor in graph.tensors.answers}
    return {name: tuple(map(float, each)) if name in answers else (float(each.max()),) for name, each in worst.items()}


def largest_along(values: NDArray[np.floating[Any]], axis: int) -> NDArray[np.float64]:
    """The largest magnitude at each place of that axis."""
    found: NDArray[np.float64] = np.abs(np.moveaxis(values, axis, -1)).reshape(-1, values.shape[axis]).max(axis=0)
    return found


def _ulp(size: NDArray[np.floating[Any]] | np.float64) -> NDArray[np.float64]:
    return np.asarray(np.spacing(np.asarray(size, np.float32)), np.float64)


def _from_zero(feed: Feed, graph: TorchGraph) -> Feed:
    return {name: np.zeros_like(array) if name in graph.tensors.states else array for name, array in feed.items()}


def _case(graph: TorchGraph, name: str, feed: Feed) -> GoldenCase:
    outputs: Mapping[str, NDArray[np.float64]] = references(graph, feed)[0].run_raw(feed)
    return GoldenCase(graph.name, name, dict(feed), {key: value.astype(np.float32) for key, value in outputs.items()})
