"""The golden vectors of a graph in another precision: how far it is off, and how far it may be elsewhere."""

from collections.abc import Sequence

import numpy as np

from toolkit.contract.manifest import GraphEntry
from toolkit.release.golden_vectors import variant_tolerances
from toolkit.runtime.golden import GoldenCase
from toolkit.runtime.predictors import GuardedGraph


def golden_error(graph: GuardedGraph, cases: Sequence[GoldenCase]) -> float | None:
    """The largest error of an answer on the golden vectors, in standard deviations of what is answered there.

    For each figure of the last axis where that is fixed: targets have units of their own. None where no answer varies.
    """
    pairs = [(case.outputs, graph.run(case.inputs)) for case in cases]
    worst: list[float] = []
    for tensor in graph.tensors.answers if pairs else ():
        width = tensor.axes[-1] if tensor.axes and isinstance(tensor.axes[-1], int) else 1
        both = [[side[tensor.name].astype(np.float64).reshape(-1, width) for side in pair] for pair in pairs]
        wanted, got = (np.concatenate(side) for side in zip(*both, strict=True))
        spread, error = wanted.std(axis=0), np.abs(got - wanted).max(axis=0)
        worst += [float(part) for part in error[spread > 0] / spread[spread > 0]]
    return max(worst, default=None)


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
