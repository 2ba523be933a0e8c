"""Where the error lies: by target, by step of the horizon, by place in the sequence, and along a stream.

A figure for a whole grid says nothing of a target that is worse than others, or of a state that drifts away over
10,000 steps of a stream that runs for months.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import GraphSignature
from toolkit.contract.parity_reports import ErrorProfile, PlacedError
from toolkit.parity.inputs import Feed, InputSource
from toolkit.parity.measure import TorchSide
from toolkit.parity.subject import Subject
from toolkit.parity.verdict import TIMES_TORCH, ULPS_OF_SCALE
from toolkit.runtime.stream import part_of

CALLS, SERIES = 4, 8
STREAM_STEPS, PIECE = 10_000, 250
POSITIONS = 8
LONG_SEED = 99

Errors = NDArray[np.float64]
Pair = tuple[Errors, Errors]
"""Absolute errors of torch float32 and of onnxruntime, in the axes of the answer."""


def error_profile(
    source: InputSource, side: TorchSide, subject: Subject, targets: Sequence[str] = (), *, steps: int = STREAM_STEPS
) -> ErrorProfile:
    """The profile of one graph on ordinary inputs.

    Args:
        source: of the inputs.
        side: torch's side.
        subject: the graph in its session.
        targets: names of the last axis' figures.
        steps: of the stream, for a graph with states.

    Raises:
        BundleError: onnxruntime cannot run the graph on ordinary inputs.
    """
    graph = side.graph
    window = graph.limits.clipped(graph.tensors.sequence_axis, graph.window_length)
    series = graph.limits.clipped(graph.tensors.batch_axis, SERIES)
    family = source.families[0]
    pairs = []
    for call in range(CALLS):
        again = InputSource(source.graphs, source.samples, source.seed + 1 + call)
        pairs.append(_errors(side, subject, again.feed(graph.name, family, series, window)))
    both = tuple(np.stack(each) for each in zip(*pairs, strict=True))  # [calls, *answer]
    axes = graph.tensors.answers[0].axes
    fixed = [1 + place for place, axis in enumerate(axes) if isinstance(axis, int)]
    sequence = 1 + axes.index(graph.tensors.sequence_axis) if graph.tensors.sequence_axis in axes else None
    names = list(targets) if fixed and len(targets) == both[0].shape[fixed[-1]] else None
    return ErrorProfile(
        graph.name,
        family,
        _along(both, fixed[-1] if fixed else None, names),
        _along(both, fixed[-2] if len(fixed) > 1 else None),
        _in_buckets(both, sequence),
        tuple(_stream(source, side, subject, steps)) if graph.tensors.states and steps else (),
    )


def drifts(profile: ErrorProfile) -> bool:
    """Whether onnxruntime leaves the truth along the stream by more than torch's own float32 does, by parity's rule."""
    if not profile.along_stream:
        return False
    torch_worst = max(point.torch_error for point in profile.along_stream)
    floor = ULPS_OF_SCALE * float(np.spacing(np.float32(max(point.scale for point in profile.along_stream))))
    return any(not point.ort_error <= TIMES_TORCH * max(torch_worst, floor) for point in profile.along_stream)


def _errors(side: TorchSide, subject: Subject, feed: Feed) -> Pair:
    exact = side.truth.run(feed)[side.answer]
    rounded, got = side.singles[0].run(feed)[side.answer], subject.run(feed)[side.answer]
    return np.abs(rounded - exact), np.abs(got.astype(np.float64) - exact)


def _along(both: tuple[Errors, ...], axis: int | None, names: Sequence[str] | None = None) -> tuple[PlacedError, ...]:
    """The largest errors at each place of an axis."""
    if axis is None:
        return ()
    others = tuple(place for place in range(both[0].ndim) if place != axis)
    torch_errors, ort_errors = (errors.max(axis=others) for errors in both)
    return tuple(
        PlacedError(names[place] if names else str(place), float(t), float(o))
        for place, (t, o) in enumerate(zip(torch_errors, ort_errors, strict=True))
    )


def _in_buckets(both: tuple[Errors, ...], axis: int | None) -> tuple[PlacedError, ...]:
    """The same along the sequence, in a few parts of equal length."""
    single = _along(both, axis)
    edges = np.unique(np.linspace(0, len(single), POSITIONS + 1).astype(int))
    return tuple(
        PlacedError(
            f"{first}-{last - 1}",
            max(point.torch_error for point in single[first:last]),
            max(point.ort_error for point in single[first:last]),
        )
        for first, last in itertools.pairwise(edges)
    )


@dataclass
class _Streamed:
    """One side of a stream, with the state that it carries."""

    run: Callable[[Feed], Mapping[str, Any]]
    tensors: GraphSignature
    state: Mapping[str, Any]
    dtype: type

    def advance(self, data: Feed) -> Errors:
        outputs = self.run({**data, **self.state})
        self.state = {given: np.asarray(outputs[new], self.dtype) for given, new in self.tensors.states.items()}
        return np.asarray(outputs[self.tensors.answers[0].name], np.float64)


def _stream(source: InputSource, side: TorchSide, subject: Subject, steps: int) -> Iterator[PlacedError]:
    """Errors along one long stream in pieces, each side carrying its own state; the parts told of double in length."""
    tensors, limits = side.graph.tensors, side.graph.limits
    axis = tensors.sequence_axis
    if axis is None:
        return
    piece = limits.clipped(axis, PIECE)
    long = InputSource(source.graphs, source.samples, source.seed + LONG_SEED)
    series, count = limits.clipped(tensors.batch_axis, 1), max(steps // piece, 1)
    feed = long.feed(side.graph.name, source.families[0], series, piece * count)
    first = {name: feed[name] for name in tensors.states}
    truth = _Streamed(side.truth.run, tensors, first, np.float64)
    others = [_Streamed(run, tensors, first, np.float32) for run in (side.singles[0].run, subject.run)]
    part: list[tuple[float, float, float]] = []
    begin = 0
    for number in range(count):
        start, end = number * piece, (number + 1) * piece
        data = {tensor.name: part_of(feed[tensor.name], tensor, axis, start, end) for tensor in tensors.data}
        exact = truth.advance(data)
        errors = [float(np.abs(other.advance(data) - exact).max()) for other in others]
        part.append((errors[0], errors[1], float(np.abs(exact).max())))
        if end >= 2 * begin or number == count - 1:
            yield PlacedError(f"{begin}-{end - 1}", *(max(values) for values in zip(*part, strict=True)))
            begin, part = end, []
