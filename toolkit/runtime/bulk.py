"""Many windows at once: in chunks, on one single-threaded session for each core.

No threads have to meet at every step: each takes the next chunk when it has done its last.
"""

import itertools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import TensorSpec
from toolkit.errors import ConfigError, InputError
from toolkit.runtime.chunks import WORTH_SHARING, chunk_bounds, series_in_a_call
from toolkit.runtime.guarded_graph import Array, GuardedGraph, check_feed, refuse_masked
from toolkit.runtime.session import SessionPolicy
from toolkit.runtime.stream import part_of

BULK_POLICY = SessionPolicy(arena=True)
"""Chunk after chunk needs the same few megabytes, which without the arena may go back to the system each time."""

Part = Callable[[int, int], Array]
"""The windows from one number to another."""


class BulkPredictor:
    """Windows in, answers out, as `WindowedPredictor`; any number of them.

    Args:
        graphs: the same windowed graph in a session of its own for each core.
        chunk: series in a call; None means what `series_in_a_call` says.
        window_length: of `predict_windows` where it is not told.

    Raises:
        InputError: a graph with further inputs, or without a batch axis, which cannot be cut into chunks.
        ConfigError: a chunk that is not 1 or more.
    """

    def __init__(
        self, graphs: Sequence[GuardedGraph], chunk: int | None = None, window_length: int | None = None
    ) -> None:
        tensors, limits = graphs[0].tensors, graphs[0].limits
        if len(tensors.inputs) != 1 or tensors.batch_axis is None:
            got = ", ".join(f"{tensor.name} [{', '.join(map(str, tensor.axes))}]" for tensor in tensors.inputs)
            raise InputError("a graph for bulk", got=got, allowed="one input, with a batch axis")
        if chunk is not None and chunk < 1:
            raise ConfigError("chunk", got=chunk, allowed="1 or more")
        self._graphs, self._window_length = tuple(graphs), window_length
        self._tensor, self._tensors, self._batch = tensors.inputs[0], tensors, tensors.batch_axis
        self._axis = self._tensor.axes.index(self._batch)
        self._chunk, self._limits = chunk, limits
        self._begin()

    @property
    def cores(self) -> int:
        """Sessions that work at the same time."""
        return len(self._graphs)

    def predict(self, x: Array) -> Array:
        """Answers a batch of windows of any size.

        Args:
            x: raw readings, float32 `[batch, sequence, channels]` (or time-major, as the graph was exported).

        Returns:
            The first answer: raw forecasts, float32 `[batch, horizon, targets]`, or logits `[batch, classes]`.

        Raises:
            InputError: a wrong type, shape or a value that is not finite; nothing is answered then.
        """
        return self.run(x)[self._tensors.answers[0].name]

    def predict_windows(self, readings: Array, starts: NDArray[np.integer[Any]], length: int | None = None) -> Array:
        """Answers windows of a table, each cut out only when it is its turn.

        Args:
            readings: raw, float32 `[rows, channels]`.
            starts: the first row of each window.
            length: rows of each window; None means the model's own.

        Returns:
            As `predict`.

        Raises:
            InputError: as `predict`, or a window that does not lie within the rows.
        """
        return self.run_windows(readings, starts, length)[self._tensors.answers[0].name]

    def run(self, x: Array) -> dict[str, Array]:
        """All answers by name; otherwise as `predict`."""
        if not isinstance(x, np.ndarray) or x.ndim < 2 or 0 in x.shape or x.shape[self._axis] < WORTH_SHARING:
            return self._graphs[0].run({self._tensor.name: x})  # a small one, or one that the guards refuse
        refuse_masked(x, self._tensor.name)
        series, samples = x.shape[self._axis], x.shape[1 - self._axis]
        try:
            return self._answers(
                series, samples, lambda start, stop: part_of(x, self._tensor, self._batch, start, stop)
            )
        except InputError:
            check_feed({self._tensor.name: x}, self._tensors, self._limits)  # tells the place in all, not in a chunk
            raise

    def run_windows(
        self, readings: Array, starts: NDArray[np.integer[Any]], length: int | None = None
    ) -> dict[str, Array]:
        """All answers by name; otherwise as `predict_windows`."""
        length = length or self._window_length or 0
        _check_windows(readings, starts, length, self._tensor.axes[-1])
        starts = starts.astype(np.int64)  # to be added to signed numbers
        rows = np.arange(length)

        def windows(start: int, stop: int) -> Array:
            places = starts[start:stop, np.newaxis] + rows  # [batch, sequence]
            return readings[places if self._axis == 0 else np.ascontiguousarray(places.T)]

        try:
            return self._answers(starts.size, length, windows)
        except InputError:
            _tell_row(readings, starts, length)
            raise

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._pool = ThreadPoolExecutor(max(1, len(self._graphs) - 1), "bulk")  # made when first needed
        self._one_at_a_time = threading.Lock()

    def _answers(self, series: int, samples: int, part: Part) -> dict[str, Array]:
        """All chunks; each core, of which the caller's thread is one, takes the next when it has done its last."""
        if self._process != os.getpid():  # a fork takes no threads along, and would wait for them for ever
            self._begin()
        with self._one_at_a_time:
            bounds = self._bounds(series, samples)
            gathered = _Gathered(self._tensors.outputs, self._batch, bounds)
            first, *others = self._graphs
            futures = [self._pool.submit(self._work, graph, gathered, part) for graph in others]
            try:
                self._work(first, gathered, part)
            finally:
                gathered.stop()
                wait(futures)  # nothing goes on once this has ended, however it ended
            for future in futures:
                future.result()
            return gathered.whole

    def _bounds(self, series: int, samples: int) -> list[int]:
        chunk = self._limits.clipped(self._batch, self._chunk or series_in_a_call(samples))
        return chunk_bounds(series, chunk, self._limits.at_least(self._batch), self.cores)

    def _work(self, graph: GuardedGraph, gathered: "_Gathered", part: Part) -> None:
        try:
            for start, stop in gathered.open_chunks():
                gathered.put(start, stop, graph.run({self._tensor.name: part(start, stop)}))
        except BaseException:
            gathered.stop()
            raise


class _Gathered:
    """Chunks that are still to be done, and the answers of those that are."""

    def __init__(self, outputs: Sequence[TensorSpec], batch: str, bounds: Sequence[int]) -> None:
        self._axes = {tensor.name: tensor.axes.index(batch) for tensor in outputs if batch in tensor.axes}
        self._waiting = itertools.pairwise(bounds)
        self._series = bounds[-1]
        self._lock = threading.Lock()
        self.whole: dict[str, Array] = {}

    def open_chunks(self) -> Iterator[tuple[int, int]]:
        while True:
            with self._lock:
                chunk = next(self._waiting, None)
            if chunk is None:
                return
            yield chunk

    def stop(self) -> None:
        """No further chunk is begun."""
        with self._lock:
            self._waiting = itertools.pairwise(())

    def put(self, start: int, stop: int, answers: dict[str, Array]) -> None:
        with self._lock:
            for name, answer in answers.items():
                if name not in self.whole:
                    self.whole[name] = self._room(name, answer)
        for name, answer in answers.items():
            if name in self._axes:
                self.whole[name][(slice(None),) * self._axes[name] + (slice(start, stop),)] = answer

    def _room(self, name: str, answer: Array) -> Array:
        if name not in self._axes:
            return answer
        axis = self._axes[name]
        return np.empty((*answer.shape[:axis], self._series, *answer.shape[axis + 1 :]), answer.dtype)


def _check_windows(readings: Array, starts: NDArray[np.integer[Any]], length: int, channels: str | int) -> None:
    whole = isinstance(starts, np.ndarray) and starts.dtype.kind in "iu"
    for array, name, fits, allowed in (
        (readings, "the table", isinstance(readings, np.ndarray) and readings.dtype == np.float32, "a float32 array"),
        (starts, "the array of starts", whole, "an array of whole numbers"),
    ):
        if not fits:
            got = getattr(array, "dtype", type(array).__name__)
            raise InputError(f"{name} has the wrong type", got=got, allowed=allowed)
        refuse_masked(array, name)
    if readings.ndim != 2 or starts.ndim != 1 or not starts.size or length < 1:
        got = f"{starts.size} windows of {length} rows of {list(readings.shape)}"
        raise InputError("windows of a table", got=got, allowed="1 or more of 1 or more, of [rows, channels]")
    if isinstance(channels, int) and readings.shape[1] != channels:
        raise InputError("the table has the wrong shape", got=list(readings.shape), allowed=f"[rows, {channels}]")
    first, last = int(starts.min()), int(starts.max()) + length
    if first < 0 or last > len(readings):
        raise InputError("a window leaves the table", got=f"rows {first} to {last}", allowed=f"0 to {len(readings)}")


def _tell_row(readings: Array, starts: NDArray[np.integer[Any]], length: int) -> None:
    """Where in the table a value is not finite that lies within a window.

    Raises:
        InputError: there is one.
    """
    changes = np.bincount(starts, minlength=len(readings) + 1) - np.bincount(
        starts + length, minlength=len(readings) + 1
    )
    wrong = np.argwhere(~np.isfinite(readings) & (np.cumsum(changes)[:-1] > 0)[:, np.newaxis])
    if len(wrong):
        row, column = wrong[0].tolist()
        got = f"{readings[row, column]} in row {row}, column {column}"
        raise InputError("the table holds a value that is not finite", got=got, allowed="finite numbers")
