"""A streaming graph fed piece by piece, its state carried over."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import GraphSignature
from toolkit.parity.inputs import Feed

Arrays = dict[str, NDArray[np.floating[Any]]]


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
        piece = {
            tensor.name: np.ascontiguousarray(
                feed[tensor.name].take(range(start, start + size), axis=tensor.axes.index(axis))
            )
            if axis in tensor.axes
            else feed[tensor.name]
            for tensor in tensors.data
        }
        answers.append(run({**piece, **states}))
        states = {given: answers[-1][new] for given, new in tensors.states.items()}
    return {
        tensor.name: np.concatenate([answer[tensor.name] for answer in answers], axis=tensor.axes.index(axis))
        if axis in tensor.axes
        else answers[-1][tensor.name]
        for tensor in tensors.outputs
    }
