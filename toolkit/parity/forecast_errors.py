"""The error of a graph's forecasts on held-out windows, fed as a gateway feeds it."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import GraphSignature
from toolkit.parity.held_out import HeldOut
from toolkit.parity.inputs import Feed
from toolkit.runtime.guarded_graph import GuardedGraph
from toolkit.runtime.stream import run_in_pieces

MAX_STREAM_CALLS = 8192
"""For a streaming graph in one precision: about half a second for a model of two layers of 64 units."""

LEAST_STREAM_WINDOWS = 64
"""However long a window: on 32 windows the same int8 graph seemed to lose 1.7 % that loses 0.1 % on 256."""

Errors = NDArray[np.float64]


@dataclass(frozen=True)
class Loss:
    """How much an error grew, as a part of fp32's; infinite where that is 0 or an answer is no number.

    Attributes:
        target: of the target that suffers most, its mean over the horizon. This decides: a single step's is a smaller
            number with as much noise, and the largest of many noisy ones is above any limit by chance.
        step: of the one target and step of the horizon that suffers most. This is told.
        where: the name of that target, and how many samples ahead the step is.
    """

    target: float
    step: float
    where: tuple[str, int]


def scored_windows(graph: GuardedGraph, held_out: HeldOut) -> HeldOut:
    """The windows that a graph is scored on: all of them, or fewer, spread alike, where every sample is a call."""
    if not graph.tensors.states:
        return held_out
    calls = max(1, held_out.x.shape[1] // graph.limits.at_least(graph.tensors.sequence_axis))
    count = min(len(held_out.x), max(LEAST_STREAM_WINDOWS, MAX_STREAM_CALLS // calls))
    chosen = np.linspace(0, len(held_out.x) - 1, count).astype(np.int64)
    return dataclasses.replace(held_out, x=held_out.x[chosen], y=held_out.y[chosen])


def mean_errors(graph: GuardedGraph, held_out: HeldOut) -> Errors:
    """Mean absolute error of the forecast after a window's last sample, `[horizon, targets]`, in the targets' units.

    A streaming graph gets as few samples a call as it takes, its state carried over: in int8 a call has one scale for
    all its samples, so that a window in one call is answered otherwise than the stream that a gateway runs.
    """
    errors = np.zeros(held_out.y.shape[1:])
    for x, y in zip(held_out.x, held_out.y, strict=True):
        forecast = _forecast(graph, x).reshape(y.shape)
        errors += np.abs(forecast.astype(np.float64) - y)
    return np.asarray(errors / len(held_out.x))


def growth(errors: Errors, reference: Errors, targets: tuple[str, ...]) -> Loss:
    """How much larger errors are than fp32's.

    Args:
        errors: `[horizon, targets]`.
        reference: the same of fp32.
        targets: their names.
    """
    if not (np.isfinite(errors).all() and np.isfinite(reference).all()):
        return Loss(np.inf, np.inf, (targets[0], 1))
    steps = _parts(errors, reference)
    step, target = np.unravel_index(int(np.argmax(steps)), steps.shape)
    by_target = _parts(errors.mean(axis=0), reference.mean(axis=0))
    return Loss(float(by_target.max()), float(steps.max()), (targets[int(target)], int(step) + 1))


def _parts(errors: Errors, reference: Errors) -> Errors:
    grown = errors - reference
    return np.asarray(np.divide(grown, reference, out=np.where(grown > 0, np.inf, 0.0), where=reference > 0))


def _forecast(graph: GuardedGraph, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The forecast after the last sample of one window `[samples, channels]`."""
    tensors, limits = graph.tensors, graph.limits
    if not tensors.states:
        feed = _feed(graph, x[-limits.clipped(tensors.sequence_axis, len(x)) :])
        return _last_answer(graph.run(feed), tensors)
    step = min(limits.at_least(tensors.sequence_axis), len(x))
    cuts = [step] * (len(x) // step)
    feed = _feed(graph, x[-sum(cuts) :])  # the last sample ends a call
    return _last_answer(run_in_pieces(graph.run, tensors, feed, cuts), tensors)


def _feed(graph: GuardedGraph, x: NDArray[np.float32]) -> Feed:
    """One window, as often as the smallest batch has series; its states zero."""
    tensors = graph.tensors
    readings, series = tensors.data[0], graph.limits.at_least(tensors.batch_axis)
    place = 0 if readings.axes[0] == tensors.batch_axis else 1
    states = {
        name: np.zeros([series if isinstance(axis, str) else axis for axis in tensors.input(name).axes], np.float32)
        for name in tensors.states
    }
    return {readings.name: np.repeat(np.expand_dims(x, place), series, axis=place), **states}


def _last_answer(outputs: Feed, tensors: GraphSignature) -> NDArray[np.float32]:
    """The forecast of the last series, after its last step where there is one after each."""
    answer = tensors.answers[0]
    symbolic = sum(isinstance(axis, str) for axis in answer.axes)  # they stand in front: see `horizon_of`
    last: NDArray[np.float32] = outputs[answer.name][(-1,) * symbolic]
    return last
