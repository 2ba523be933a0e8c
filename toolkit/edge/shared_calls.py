"""One call of a graph for many assets, none of whose answers depends on who else is in it.

Which assets are due together is chance: after a restart it is another company, and the forecasts must be the same to
the bit. A library of matrix products may take other ways for other sizes, each of which rounds differently. So it is
tried out before anything is forecast, on drawn numbers: series alone and the same series in company. Where that gives
other bits, every call is filled up to one size, at which each place of the batch is tried; where even that does not
help, every series runs alone.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import GraphSignature, SizeLimits, TensorSpec
from toolkit.errors import BundleError, InputError
from toolkit.runtime.chunks import chunk_bounds, series_in_a_call

Array = NDArray[np.float32]
Bools = NDArray[np.bool_]
Company = Literal["any", "padded", "alone"]

LARGEST = 128
"""Series in a call at most, so that no call is larger than those that were tried: a larger one saves a tenth."""
TRIED = (2, 3, 17, 33)
"""Sizes around those at which products of matrices take another way, beside 1 and the largest of all."""
BLOCK = 16
"""Series in a call that is filled up."""


class Graph(Protocol):
    """What is needed of a graph behind its guards."""

    @property
    def tensors(self) -> GraphSignature:
        """Its inputs and outputs."""

    @property
    def limits(self) -> SizeLimits:
        """Which sizes it takes."""

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name; InputError where a number is not finite."""


class Results(NamedTuple):
    """What came of some series.

    Attributes:
        answers: by name, `[series, ...]`: of an answer after each sample the last. Zeros where a series was refused;
            none at all where all were.
        states: float32 `[series, state_size]`, zeros where a series was refused.
        refused: `[series]`, whether the guards refused what was given, or what would be given next time.
    """

    answers: dict[str, Array]
    states: Array
    refused: Bools

    def part(self, place: int) -> "Results":
        """Those of one series."""
        one = slice(place, place + 1)
        return Results({name: a[one] for name, a in self.answers.items()}, self.states[one], self.refused[one])

    @classmethod
    def joined(cls, parts: Sequence["Results"]) -> "Results":
        """The results of several calls in one."""
        if len(parts) == 1:
            return parts[0]
        shapes = {name: array.shape[1:] for part in parts for name, array in part.answers.items()}
        answers = {
            name: np.concatenate([p.answers.get(name, np.zeros((len(p.refused), *shape), np.float32)) for p in parts])
            for name, shape in shapes.items()
        }
        states, refused = (np.concatenate([part[kind] for part in parts]) for kind in (1, 2))
        return cls(answers, states, refused)


class SharedCalls:
    """Runs a graph for any number of series.

    A state is one row of numbers: the graph's states in the order of its signature, each without its batch axis.

    Args:
        graph: with one input of readings.
        mixes_series: whether the answer for one series depends on the others in its call, as the manifest says.

    Raises:
        BundleError: a graph that has no axis for series or samples, or a state of no fixed size.
    """

    def __init__(self, graph: Graph, *, mixes_series: bool = False) -> None:
        self._graph = graph
        tensors = graph.tensors
        self._x = tensors.data[0]
        self._batch, self._sequence = tensors.batch_axis, tensors.sequence_axis
        if self._batch not in self._x.axes or self._sequence not in self._x.axes:
            allowed = "one axis for series and one for samples"
            raise BundleError(f"no gateway can feed {self._x.name}", got=list(self._x.axes), allowed=allowed)
        self._time_major = self._x.axes.index(self._sequence) < self._x.axes.index(self._batch)
        self._shapes = {name: self._state_shape(tensors.input(name)) for name in tensors.states}
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in self._shapes.values())]).tolist()
        self._parts = dict(zip(self._shapes, itertools.pairwise(ends), strict=True))
        self.state_size: int = ends[-1]
        carried = [tensors.input(name) for name in tensors.states]
        self._single = mixes_series or any(self._batch not in tensor.axes for tensor in (*carried, *tensors.outputs))
        self.company: Company = "alone"

    def settle(self, rows: Array, states: Array) -> None:
        """Finds out in what company series may run, and how they run from then on.

        Args:
            rows: drawn readings, float32 `[series, sequence, channels]`, of `LARGEST` series or more.
            states: drawn states, float32 `[series, state_size]`.

        Raises:
            InputError, BundleError: the graph cannot be run on these.
        """
        sizes = self._tried_sizes(rows.shape[1])
        if self._single:
            self._call(rows[:1], states[:1])
            return
        company: tuple[Company, ...] = ("any", "padded", "alone")
        self.company = next(way for way in company if self._holds(way, sizes, rows, states))

    def run(self, rows: Array, states: Array) -> Results:
        """New readings of some series.

        Args:
            rows: float32 `[series, sequence, channels]`, one series or more.
            states: float32 `[series, state_size]`; not changed.

        Raises:
            BundleError: onnxruntime cannot run the graph.
        """
        bounds = self._bounds(len(rows), rows.shape[1])
        return Results.joined([self._guarded(rows[start:end], states[start:end]) for start, end in bounds])

    def run_alone(self, rows: Array, state: Array) -> Results:
        """A whole stretch of one series, however it may be cut: always the same calls for the same stretch.

        Args:
            rows: float32 `[sequence, channels]`, one row or more.
            state: float32 `[state_size]`.

        Raises:
            BundleError: onnxruntime cannot run the graph.
        """
        piece = self._graph.limits.clipped(self._sequence, len(rows))
        results = Results({}, state[None], np.array([False]))
        for start in range(0, len(rows), piece):
            results = self._guarded(rows[None, start : start + piece], results.states)
            if results.refused[0]:
                break
        return results

    def _state_shape(self, tensor: TensorSpec) -> tuple[int, ...]:
        fixed = [axis for axis in tensor.axes if axis != self._batch]
        sizes = tuple(axis for axis in fixed if isinstance(axis, int))
        if len(sizes) < len(fixed) or tensor.axes.count(self._batch or "") > 1:
            allowed = "a fixed size for each series"
            raise BundleError(f"no gateway can carry {tensor.name}", got=list(tensor.axes), allowed=allowed)
        return sizes

    def _bounds(self, series: int, sequence: int) -> Iterator[tuple[int, int]]:
        """Where the series of each call begin and end."""
        if self.company == "any":
            return itertools.pairwise(chunk_bounds(series, self._most(sequence)))
        size = self._block(sequence) if self.company == "padded" else 1
        return ((start, min(start + size, series)) for start in range(0, series, size))

    def _most(self, sequence: int) -> int:
        """Series in a call at most: of long sequences the guards would cut a larger one anyway."""
        limits = self._graph.limits
        return limits.clipped(self._batch, min(LARGEST, series_in_a_call(sequence)))

    def _block(self, sequence: int) -> int:
        return self._graph.limits.clipped(self._batch, min(BLOCK, self._most(sequence)))

    def _guarded(self, rows: Array, states: Array) -> Results:
        """One call; where the guards refuse it, each series by itself, so that one bad one costs no other anything."""
        try:
            answers, new = self._call(rows, states)
        except InputError:
            if len(rows) == 1:
                return Results({}, np.zeros_like(states), np.array([True]))
            return Results.joined([self._guarded(rows[i : i + 1], states[i : i + 1]) for i in range(len(rows))])
        refused = np.logical_not(np.isfinite(new).all(axis=1))
        if refused.any():
            new[refused] = 0.0
        return Results(answers, new, refused)

    def _call(self, rows: Array, states: Array) -> tuple[dict[str, Array], Array]:
        """One call of the graph: the answers, and the new states."""
        series = len(rows)
        size = self._graph.limits.clipped(self._batch, series)
        if self.company == "padded":
            size = self._block(rows.shape[1])
        if size > series:  # copies of the last one
            places = np.minimum(np.arange(size), series - 1)
            rows, states = rows[places], states[places]
        outputs = self._graph.run(self._feed(rows, states))
        tensors = self._graph.tensors
        new = np.empty((series, self.state_size), np.float32)
        for given, (start, end) in self._parts.items():
            name = tensors.states[given]
            new[:, start:end] = self._by_series(outputs[name], tensors.output(name))[:series].reshape(series, -1)
        answers = {t.name: self._by_series(outputs[t.name], t)[:series] for t in tensors.answers}
        return answers, new

    def _feed(self, rows: Array, states: Array) -> dict[str, Array]:
        x = rows.swapaxes(0, 1) if self._time_major else rows
        feed = {self._x.name: np.ascontiguousarray(x)}
        for name, (start, end) in self._parts.items():
            axes = self._graph.tensors.input(name).axes
            state = states[:, start:end].reshape(len(states), *self._shapes[name])  # [series, ...]
            whole = np.moveaxis(state, 0, axes.index(self._batch)) if self._batch in axes else state[0]
            feed[name] = np.ascontiguousarray(whole)
        return feed

    def _by_series(self, array: Array, tensor: TensorSpec) -> Array:
        """`[series, ...]`, of an answer after each sample the last."""
        axes = list(tensor.axes)
        if self._sequence in axes:
            array = np.take(array, -1, axis=axes.index(self._sequence))
            axes.remove(self._sequence)
        return np.moveaxis(array, axes.index(self._batch), 0) if self._batch in axes else array[None]

    def _tried_sizes(self, sequence: int) -> list[int]:
        most = self._most(sequence)
        return sorted({most, *(size for size in TRIED if size < most)})

    def _holds(self, company: Company, sizes: Sequence[int], rows: Array, states: Array) -> bool:
        """Whether each series gets the same bits alone and in every company that is tried."""
        self.company = company
        if company == "alone":
            return True
        if company == "padded":
            sizes = [self._block(rows.shape[1])]
        alone = [self._bits(rows[i : i + 1], states[i : i + 1])[0] for i in range(sizes[-1])]
        for size in sizes:
            for order in (np.arange(size), np.arange(size)[::-1]):  # each at two places
                if self._bits(rows[order], states[order]) != [alone[place] for place in order]:
                    return False
        return True

    def _bits(self, rows: Array, states: Array) -> list[bytes]:
        """What comes of each series in one call, to the bit."""
        answers, new = self._call(rows, states)
        return [b"".join([new[i].tobytes(), *(a[i].tobytes() for a in answers.values())]) for i in range(len(rows))]
