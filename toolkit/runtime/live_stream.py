"""A stream that keeps its own state, in two buffers that are read and written in turns.

`advance` gives the state out and takes it back, so that it is copied both ways, which costs a small model a third of a
step. Here it stays where the graph wrote it.
"""

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from toolkit.runtime.bound_calls import FLOAT32, Array, Buffers, direct_call
from toolkit.runtime.guarded_graph import GuardedGraph


class Streaming(Protocol):
    """What a stream needs of the predictor of its graph."""

    graph: GuardedGraph

    @property
    def ordered(self) -> bool:
        """Whether readings and answer come first and the states after them, in one order."""

    def zero_state(self, batch: int) -> dict[str, Array]:
        """The state before the first sample."""

    def advance(self, x: Array, state: Mapping[str, Array], **others: Array) -> tuple[Array, dict[str, Array]]:
        """Takes new samples."""


@dataclass(frozen=True, eq=False)
class Turn:
    """One of two bound calls on the same readings, whose states change places.

    Attributes:
        run: see `direct_call`.
        binding: of all the arrays below.
        flat: readings and state in one piece, for one look at whether all numbers are finite.
        readings: where new samples go.
        state: where the state is read.
        answer: where the answer is written; both turns have the same.
    """

    run: Any
    binding: Any
    flat: Array
    readings: Array
    state: list[Array]
    answer: Array


class LiveStream:
    """Series that run on sample by sample.

    Steps of several threads come one after the other, as a state must.

    Args:
        predictor: of a streaming graph.
        state: to begin with; it is copied.
    """

    def __init__(self, predictor: Streaming, state: Mapping[str, Array]) -> None:
        self._predictor = predictor
        self._state = {name: np.array(array) for name, array in state.items()}
        self._turns: list[Turn] = []
        self._last_shape: tuple[int, ...] = ()
        self._one_at_a_time = threading.Lock()

    @property
    def state(self) -> dict[str, Array]:
        """A copy of the state after the last step, as `advance` takes it."""
        with self._one_at_a_time:
            return self._current()

    def step(self, x: Array, *, reuse: bool = False, **others: Array) -> Array:
        """Takes new samples.

        Args:
            x: raw readings, float32 `[batch, sequence, channels]` (or time-major, as the graph was exported).
            reuse: give the answer in memory that the next step overwrites, so that nothing is allocated.
            others: further inputs by name, where the graph has any.

        Returns:
            Raw forecasts, float32 `[batch, sequence, horizon, targets]`.

        Raises:
            InputError: a wrong type, shape or a value that is not finite, in the samples or in the state, which stays
                as it was.
        """
        with self._one_at_a_time:
            turns = self._turns
            if not turns or others or type(x) is not np.ndarray or x.dtype != FLOAT32:
                return self._advance(x, others)
            turn = turns[0]
            if x.shape != turn.readings.shape:
                return self._advance(x, others)
            turn.readings[...] = x
            try:
                done = math.isfinite(turn.flat.dot(turn.flat))  # a warning where squares of finite numbers are not
                if done:
                    turn.run(turn.binding, None)
            except Exception:  # the long way says what is wrong, or has no such trouble
                done = False
            if not done:
                return self._advance(x, others)
            turns.reverse()
            return turn.answer if reuse else turn.answer.copy()

    def _current(self) -> dict[str, Array]:
        if not self._turns:
            return {name: array.copy() for name, array in self._state.items()}
        arrays = self._turns[0].state
        return {name: array.copy() for name, array in zip(self._predictor.graph.tensors.states, arrays, strict=True)}

    def _advance(self, x: Array, others: Mapping[str, Array]) -> Array:
        """The long way, behind all guards; buffers for a shape that comes twice running."""
        answer, self._state = self._predictor.advance(x, self._current(), **others)
        self._turns = []
        shapes = (x.shape, *(array.shape for array in self._state.values()))
        graph = self._predictor.graph
        if x.shape == self._last_shape and self._predictor.ordered and shapes in graph.bound.shapes:
            self._turns = turns_of(graph, x.shape, [*self._state.values()], answer.shape)
        self._last_shape = x.shape
        return answer


def turns_of(graph: GuardedGraph, readings: tuple[int, ...], state: list[Array], answer: tuple[int, ...]) -> list[Turn]:
    """Two calls on one block of memory, `[a state | the readings | the other state]`.

    Args:
        graph: whose inputs are the readings and the states, and whose outputs the answer and the new states.
        readings: their shape.
        state: to begin with.
        answer: its shape.
    """
    shapes = [array.shape for array in state]
    block = Buffers([*shapes, readings, *shapes])
    first, x, second = block.arrays[: len(state)], block.arrays[len(state)], block.arrays[len(state) + 1 :]
    for buffer, array in zip(first, state, strict=True):
        buffer[...] = array
    written = np.empty(answer, np.float32)
    middle, end = block.starts[len(state)], block.starts[len(state) + 1]
    turns = []
    for flat, old, new in ((block.flat[:end], first, second), (block.flat[middle:], second, first)):
        binding = graph.session.io_binding()
        for tensor, array in zip(graph.tensors.inputs, [x, *old], strict=True):
            binding.bind_input(tensor.name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        for tensor, array in zip(graph.tensors.outputs, [written, *new], strict=True):
            binding.bind_output(tensor.name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        turns.append(Turn(*direct_call(graph.session, binding), flat, x, old, written))
    return turns
