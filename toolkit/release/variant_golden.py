"""The golden vectors of a graph in another precision: how far it is off, and how far it may be elsewhere."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_entry import GraphEntry
from toolkit.contract.graph_io import figure_axis
from toolkit.release.golden_vectors import variant_tolerances
from toolkit.runtime.golden_case import GoldenCase
from toolkit.runtime.guarded_graph import GuardedGraph


def golden_error(graph: GuardedGraph, cases: Sequence[GoldenCase]) -> float | None:
    """The largest error of an answer on the golden vectors, in standard deviations of what is answered there.

    For each target where their number is fixed: they have units of their own. None where no answer varies.
    """
    pairs = [(case.outputs, graph.run(case.inputs)) for case in cases]
    worst: list[float] = []
    for tensor in graph.tensors.answers if pairs else ():
        axis = figure_axis(tensor)
        targets = tensor.axes[axis] if tensor.axes else 1
        width = targets if isinstance(targets, int) else 1
        both = [[_by_target(side[tensor.name], axis).reshape(-1, width) for side in pair] for pair in pairs]
        wanted, got = (np.concatenate(side) for side in zip(*both, strict=True))
        spread, error = wanted.std(axis=0), np.abs(got - wanted).max(axis=0)
        worst += [float(part) for part in error[spread > 0] / spread[spread > 0]]
    return max(worst, default=None)


def _by_target(answer: NDArray[np.float32], axis: int) -> NDArray[np.float64]:
    exact = answer.astype(np.float64)
    return np.moveaxis(exact, axis, -1) if exact.ndim else exact


def tolerances_of(fp32: GraphEntry, graph: GuardedGraph, cases: Sequence[GoldenCase]) -> dict[str, tuple[float, ...]]:
    """Golden tolerances of a variant: what its own errors ask for, and no less than fp32's.

    Weights that fit into half exactly leave an error of float32 rounding, of which a multiple says nothing about
    another processor's. One figure where the last axis may have any size: the cases have as many as they have.
    """
    found = [fp32.golden_atol, *(variant_tolerances(graph, [case]) for case in cases)]
    result: dict[str, tuple[float, ...]] = {}
    for tensor in fp32.outputs:
        own = [each[tensor.name] for each in found if tensor.name in each]
        if not tensor.axes or isinstance(tensor.axes[-1], str):
            own = [(max(each),) for each in own]
        result[tensor.name] = tuple(map(float, np.maximum.reduce(np.broadcast_arrays(*own)))) if own else ()
    return result
