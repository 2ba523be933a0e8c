"""What the golden vectors can tell of a manifest that was changed by hand: no hash covers the manifest itself."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_entry import GraphEntry, Precision
from toolkit.contract.graph_io import GraphSignature, TensorSpec, figure_axis
from toolkit.errors import BundleError
from toolkit.runtime.golden_case import GoldenCase
from toolkit.runtime.guarded_graph import Array, Feed, GuardedGraph
from toolkit.runtime.stream import part_of, run_in_pieces

LARGEST_PART: Mapping[Precision, float] = {"fp32": 1 / 50, "fp16": 1 / 4, "int8": 1 / 2}
"""Of the range of the expected answers, the largest tolerance that still means something.

From a half on, a graph would pass that gives one answer to everything. Bundles have 1e-4 in fp32 and 0.02 in int8.
"""
ROUNDING_ULPS = 256.0
"""Of the largest expected number, what rounding alone may ask for, however narrow the range of an answer is."""

FAR_BEYOND = 10.0
"""Times the tolerance: what another pair of states does is far larger, and what another processor does is smaller."""

MIXED = 1e-2
"""Of the largest answer: ten times what an export takes for a sign that series are mixed."""

FIX = "copy the bundle again, or export it again"


def golden_sizes(window_length: int) -> dict[str, tuple[int, int]]:
    """Series and samples of each golden case, before they are clipped to what the graph takes."""
    return {"window": (3, window_length), "rough": (2, window_length + 1), "short": (1, 2)}


def check_sizes(case: GoldenCase, entry: GraphEntry, window_length: int) -> None:
    """Whether a case has the sizes that `min_sizes`, `max_sizes` and `window_length` lead to.

    Raises:
        BundleError: names the key of the manifest.
    """
    series, samples = golden_sizes(window_length).get(case.name, (None, None))
    tensors = entry.signature
    for axis, wanted in ((tensors.batch_axis, series), (tensors.sequence_axis, samples)):
        size = _size(case.inputs, tensors, axis)
        if wanted is None or size is None or size == entry.limits.clipped(axis, wanted):
            continue
        is_window = axis == tensors.sequence_axis and case.name != "short"
        key = _edited(size, wanted, entry.limits.clipped(axis, wanted), "window_length" if is_window else "")
        shown = window_length if key == "window_length" else getattr(entry, key)
        raise BundleError(
            f"manifest.json: {key} of the {entry.name} graph",
            got=f"{shown}, and the golden case {case.name!r} with {axis} {size}",
            allowed="what the bundle was exported with",
            fix=FIX,
        )


def check_tolerances(entry: GraphEntry, cases: Sequence[GoldenCase]) -> None:
    """Whether the tolerances are small enough to tell a wrong answer.

    Args:
        entry: of the graph.
        cases: all of its golden cases.

    Raises:
        BundleError: one is not.
    """
    for name, figures in entry.golden_atol.items():
        for figure, bound in zip(figures, _bounds(entry, cases, name), strict=True):
            if figure > bound:
                raise BundleError(
                    f"manifest.json: golden_atol of {name} of the {entry.name} graph",
                    got=f"{figure:.3g}, at which wrong answers pass",
                    allowed=f"at most {bound:.3g}",
                    fix=FIX,
                )


def allowed_of(entry: GraphEntry, name: str) -> NDArray[np.float64]:
    """The tolerances of an output, in axes that broadcast with it."""
    after = -1 - figure_axis(entry.signature.output(name))  # axes behind that of the targets
    return np.asarray(entry.golden_atol[name]).reshape(-1, *(1,) * after)


def check_states(graph: GuardedGraph, entry: GraphEntry, cases: Sequence[GoldenCase]) -> None:
    """Whether a stream in two calls answers as in one, with the states fed back as the manifest says.

    Asked in fp32 alone: an int8 graph rounds by the numbers of the whole call.

    Raises:
        BundleError: it does not.
    """
    axis = entry.signature.sequence_axis
    sizes = {case.name: _size(case.inputs, entry.signature, axis) or 0 for case in cases}
    long_enough = [case for case in cases if sizes[case.name] >= 2 * entry.limits.at_least(axis)]
    if not entry.states or axis is None or entry.precision != "fp32" or not long_enough:
        return
    case = min(long_enough, key=lambda each: sizes[each.name])
    first = sizes[case.name] // 2
    outputs = run_in_pieces(graph.run, entry.signature, case.inputs, (first, sizes[case.name] - first))
    wrong = _wrong(entry, outputs, case.outputs)
    if wrong:
        pairs = ", ".join(f"{given}={new}" for given, new in entry.states.items())
        raise BundleError(
            f"manifest.json: states of the {entry.name} graph",
            got=f"{pairs}, with which {wrong} is another in two calls than in one",
            fix=FIX,
        )


def check_series(graph: GuardedGraph, entry: GraphEntry, cases: Sequence[GoldenCase]) -> None:
    """Whether one series alone is answered as among others, unless the manifest says that it is not.

    Raises:
        BundleError: it is not.
    """
    axis = entry.signature.batch_axis
    case = max(cases, key=lambda each: _size(each.inputs, entry.signature, axis) or 0)
    if axis is None or entry.mixes_series or entry.precision != "fp32" or entry.limits.at_least(axis) > 1:
        return
    alone = graph.run(_taken(case.inputs, entry.inputs, axis, 0, 1))
    batched = [tensor for tensor in entry.outputs if axis in tensor.axes]
    wanted = _taken(case.outputs, batched, axis, 0, 1)
    wrong = _wrong(entry, {tensor.name: alone[tensor.name] for tensor in batched}, wanted, MIXED)
    if wrong:
        raise BundleError(
            f"manifest.json: mixes_series of the {entry.name} graph",
            got=f"false, and {wrong} of one series alone is another than among {axis} {case.name!r}",
            fix=FIX,
        )


def _bounds(entry: GraphEntry, cases: Sequence[GoldenCase], name: str) -> NDArray[np.float64]:
    """The largest tolerance for each figure of an output; NaN, which bounds nothing, where an answer is not finite."""
    width, axis = len(entry.golden_atol[name]), figure_axis(entry.signature.output(name))
    answers = (case.outputs[name].astype(np.float64) for case in cases)
    ordered = (np.moveaxis(each, axis, -1) if each.ndim else each for each in answers)  # the targets last
    columns = np.concatenate([each.reshape(-1, width) for each in ordered])
    with np.errstate(invalid="ignore"):
        spread = columns.max(axis=0) - columns.min(axis=0)
        rounding = ROUNDING_ULPS * np.spacing(np.float32(max(_largest(case.outputs) for case in cases)))
        bounds: NDArray[np.float64] = np.maximum(LARGEST_PART[entry.precision] * spread, rounding)
    return bounds


def _edited(size: int, wanted: int, clipped: int, own: str) -> str:
    """Which key of the manifest leads to another size than the case has."""
    if clipped != wanted:
        return "max_sizes" if clipped < wanted else "min_sizes"
    return own or ("min_sizes" if size > wanted else "max_sizes")


def _size(feed: Feed, tensors: GraphSignature, axis: str | None) -> int | None:
    places = [
        (tensor.name, tensor.axes.index(axis)) for tensor in tensors.inputs if axis is not None and axis in tensor.axes
    ]
    return next((feed[name].shape[place] for name, place in places), None)


def _largest(outputs: Feed) -> float:
    return max(float(np.abs(array).max(initial=0.0)) for array in outputs.values())


def _taken(feed: Feed, tensors: Sequence[TensorSpec], axis: str, start: int, stop: int) -> dict[str, Array]:
    """Those tensors, with a part of the axis where they have it."""
    return {tensor.name: part_of(feed[tensor.name], tensor, axis, start, stop) for tensor in tensors}


def _wrong(entry: GraphEntry, got: Feed, wanted: Feed, part: float = 0.0) -> str:
    """The first output that is far beyond its tolerance, and by more than a part of its largest number; or ""."""
    for name, array in got.items():
        largest = float(np.abs(wanted[name]).max(initial=0.0))
        allowed = np.maximum(FAR_BEYOND * allowed_of(entry, name), part * largest)
        if array.shape != wanted[name].shape or not (np.abs(array - wanted[name]) <= allowed).all():
            return name
    return ""
