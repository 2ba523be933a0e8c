"""The first place at which two tensors part."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import GraphSignature, TensorSpec
from toolkit.contract.parity_reports import Divergence


def locate(
    tensor: TensorSpec,
    got: NDArray[np.float64],
    exact: NDArray[np.float64],
    tolerance: float | NDArray[np.float64],
    tensors: GraphSignature,
) -> Divergence | None:
    """The earliest step, then the lowest series and channel, that differs by more than `tolerance`.

    Args:
        tensor: which output of the graph.
        got: onnxruntime's values.
        exact: the truth.
        tolerance: in the tensor's unit; one for all, or one for each place of its last axis.
        tensors: the graph's signature, for the names of the axes.

    Returns:
        None where nothing differs that much.
    """
    if got.shape != exact.shape or got.ndim != len(tensor.axes):
        return Divergence(tensor.name, None, None, None)
    places = np.argwhere(~(np.abs(got - exact) <= tolerance))  # NaN counts as different
    if not places.size:
        return None
    roles = {tensors.sequence_axis: 0, tensors.batch_axis: 1}
    order = sorted(range(got.ndim), key=lambda place: roles.get(str(tensor.axes[place]), 2))
    first = places[np.lexsort([places[:, place] for place in reversed(order)])][0]
    found = dict(zip(tensor.axes, map(int, first), strict=False))
    rest = [int(first[p]) for p in range(got.ndim) if tensor.axes[p] not in (tensors.sequence_axis, tensors.batch_axis)]
    is_state = tensor.name in tensors.states.values()
    return Divergence(
        tensor.name,
        found.get(tensors.sequence_axis or ""),
        found.get(tensors.batch_axis or ""),
        _entry(rest, is_state=is_state),
    )


def _entry(place: Sequence[int], *, is_state: bool) -> str | None:
    """Layer and unit of a state; horizon step and target, or the plain output, of an answer."""
    if is_state and len(place) == 2:
        return f"layer {place[0]}, unit {place[1]}"
    if len(place) == 2:
        return f"horizon step {place[0]}, target {place[1]}"
    return f"output {', '.join(map(str, place))}" if place else None
