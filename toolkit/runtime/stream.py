"""Parts of arrays along an axis that a graph names; a streaming graph fed piece by piece, its state carried over."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import GraphSignature, TensorSpec

Feed = dict[str, NDArray[np.float32]]
Arrays = dict[str, NDArray[np.floating[Any]]]


def part_of(array: NDArray[Any], tensor: TensorSpec, axis: str | None, start: int, stop: int | None) -> NDArray[Any]:
    """A part of an axis, contiguous as onnxruntime wants it; the whole array where the tensor has no such axis."""
    if axis not in tensor.axes:
        return array
    place = tensor.axes.index(axis)
    return np.ascontiguousarray(array[(slice(None),) * place + (slice(start, stop),)])


def run_in_pieces(
    run: Callable[[Feed], Mapping[str, Any]], tensors: GraphSignature, feed: Feed, cuts: Sequence[int]
) -> Arrays:
    """Runs a whole sequence in pieces of the sizes `cuts` and joins the answers.

    Args:
        run: one call; outputs by name.
        tensors: the graph's signature.
        feed: inputs of the whole sequence.
        cuts: samples of each piece.

    Returns:
        Outputs by name: those with a sequence axis joined along it, of the others the last.

    Raises:
        BundleError: onnxruntime cannot run the graph on these inputs.
    """
    axis = tensors.sequence_axis
    states = {name: feed[name] for name in tensors.states}
    answers: list[Mapping[str, Any]] = []
    for start, size in zip(np.cumsum([0, *cuts[:-1]]), cuts, strict=True):
        piece = {t.name: part_of(feed[t.name], t, axis, int(start), int(start) + size) for t in tensors.data}
        answers.append(run({**piece, **states}))
        states = {given: answers[-1][new] for given, new in tensors.states.items()}
    return {
        tensor.name: np.concatenate([answer[tensor.name] for answer in answers], axis=tensor.axes.index(axis))
        if axis in tensor.axes
        else answers[-1][tensor.name]
        for tensor in tensors.outputs
    }
