"""Many windows at once: in chunks, on one single-threaded session for each core.

No threads have to meet at every step: each takes the next chunk when it has done its last.
"""

import itertools
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import SizeLimits, TensorSpec
from toolkit.errors import ConfigError, InputError
from toolkit.runtime.chunks import WORTH_SHARING, chunk_bounds, series_in_a_call
from toolkit.runtime.guarded_graph import Array, GuardedGraph, check_feed, refuse_masked
from toolkit.runtime.session import SessionPolicy, run_session
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
        self._of_all = SizeLimits(
            limits.least, {axis: most for axis, most in limits.most.items() if axis != self._batch}
        )
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
            starts: the first row of each window, `[windows]`.
            length: rows of each window; None means the model's own.

        Returns:
            As `predict`.

        Raises:
            InputError: as `predict`, or a window that does not lie within the rows.
        """
        return self.run_windows(readings, starts, length)[self._tensors.answers[0].name]

    def run(self, x: Array) -> dict[str, Array]:
        """All answers of a batch of windows of any size.

        Args:
            x: raw readings, float32 `[batch, sequence, channels]` (or time-major, as the graph was exported).

        Returns:
            By the names of the outputs, axes as in the signature, forecasts raw.

        Raises:
            InputError: as `predict`.
        """
        if not isinstance(x, np.ndarray) or x.ndim < 2 or 0 in x.shape or x.shape[self._axis] < WORTH_SHARING:
            return self._graphs[0].run({self._tensor.name: x})  # a small one, or one that the guards refuse
        # Looked at once as a whole: chunk by chunk it costs 2 % of a core's throughput, in cold caches.
        check_feed({self._tensor.name: x}, self._tensors, self._of_all)
        series, samples = x.shape[self._axis], x.shape[1 - self._axis]
        if self._axis == 0:
            x = np.ascontiguousarray(x)
            return self._answers(series, samples, lambda start, stop: x[start:stop])
        return self._answers(series, samples, lambda start, stop: part_of(x, self._tensor, self._batch, start, stop))

    def run_windows(
        self, readings: Array, starts: NDArray[np.integer[Any]], length: int | None = None
    ) -> dict[str, Array]:
        """All answers of windows of a table.

        Args:
            readings: raw, float32 `[rows, channels]`.
            starts: the first row of each window, `[windows]`.
            length: rows of each window; None means the model's own.

        Returns:
            By the names of the outputs, axes as in the signature, forecasts raw.

        Raises:
            InputError: as `predict_windows`.
        """
        length = length or self._window_length or 0
        _check_windows(readings, starts, length, self._tensor.axes[-1])
        starts = starts.astype(np.int64)  # to be added to signed numbers
        rows = np.arange(length)

        def windows(start: int, stop: int) -> Array:
            places = starts[start:stop, np.newaxis] + rows  # [batch, sequence]
            return readings[places if self._axis == 0 else np.ascontiguousarray(places.T)]

        # As many windows as the graph asks for tell everything but their numbers, which the table tells of all.
        sample = windows(0, self._limits.at_least(self._batch))
        check_feed({self._tensor.name: np.zeros_like(sample)}, self._tensors, self._of_all)
        if not np.isfinite(readings).all():
            _refuse_rows(readings, starts, length)
        return self._answers(starts.size, length, windows)

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
            work = partial(self._work, gathered, part, samples)
            futures = [self._pool.submit(work, graph) for graph in others]
            try:
                work(first)
            finally:
                gathered.stop()
                wait(futures)  # nothing goes on once this has ended, however it ended
            for future in futures:
                future.result()
            return gathered.whole

    def _bounds(self, series: int, samples: int) -> list[int]:
        chunk = self._limits.clipped(self._batch, self._chunk or series_in_a_call(samples))
        return chunk_bounds(series, chunk, self._limits.at_least(self._batch), self.cores)

    def _work(self, gathered: "_Gathered", part: Part, samples: int, graph: GuardedGraph) -> None:
        """Few lines for each chunk: after millions of multiplications every one of them runs in cold caches."""
        name, session, plain = self._tensor.name, graph.session, not graph.one_series
        try:
            while (chunk := gathered.take()) is not None:
                start, stop = chunk
                feed = {name: part(start, stop)}
                if plain:
                    answers = run_session(session, feed, gathered.names)
                else:
                    sizes = {self._batch: stop - start, self._tensors.sequence_axis or "": samples}
                    answers = list(graph.run_checked(feed, sizes).values())
                gathered.put(start, stop, answers)
        except BaseException:
            gathered.stop()
            raise


class _Gathered:
    """Chunks that are still to be done, and the answers of those that are."""

    def __init__(self, outputs: Sequence[TensorSpec], batch: str, bounds: Sequence[int]) -> None:
        self.names = [tensor.name for tensor in outputs]
        self._axes = [tensor.axes.index(batch) if batch in tensor.axes else None for tensor in outputs]
        self._waiting = [*itertools.pairwise(bounds)][::-1]
        self._series = bounds[-1]
        self._lock = threading.Lock()
        self._rooms: list[tuple[Array, int | None]] = []

    @property
    def whole(self) -> dict[str, Array]:
        return {name: room for name, (room, _) in zip(self.names, self._rooms, strict=True)}

    def take(self) -> tuple[int, int] | None:
        """The next chunk, None behind the last; `pop` gives each to one thread alone."""
        try:
            return self._waiting.pop()
        except IndexError:
            return None

    def stop(self) -> None:
        """No further chunk is begun."""
        self._waiting = []

    def put(self, start: int, stop: int, answers: list[Array]) -> None:
        if not self._rooms:
            with self._lock:
                self._rooms = self._rooms or [*map(self._room, self._axes, answers)]
        for (room, axis), answer in zip(self._rooms, answers, strict=True):
            if axis is not None:
                room[(slice(None),) * axis + (slice(start, stop),)] = answer

    def _room(self, axis: int | None, answer: Array) -> tuple[Array, int | None]:
        if axis is None:
            return answer, None
        return np.empty((*answer.shape[:axis], self._series, *answer.shape[axis + 1 :]), answer.dtype), axis


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


def _refuse_rows(readings: Array, starts: NDArray[np.integer[Any]], length: int) -> None:
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
