"""A stream that keeps its own state, in two buffers that are read and written in turns.

`advance` gives the state out and takes it back, so that it is copied both ways, which costs a small model a third of a
step. Here it stays where the graph wrote it.
"""

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from toolkit.contract.graph_io import TensorSpec
from toolkit.errors import ToolkitError
from toolkit.runtime.bound_calls import FLOAT32, Array, Buffers, direct_call
from toolkit.runtime.guarded_graph import GuardedGraph
from toolkit.runtime.layer_states import LayerSession


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


class Turn(NamedTuple):
    """One of two bound calls on the same readings, whose states change places.

    Attributes:
        run: see `direct_call`.
        binding: of all the arrays below.
        dot: of `flat` with what it is given.
        flat: readings and state in one piece, for one look at whether all numbers are finite.
        readings: where new samples go.
        state: where the state is read.
        answer: where the answer is written; both turns have the same.
    """

    run: Any
    binding: Any
    dot: Callable[[Array], Any]
    flat: Array
    readings: Array
    state: list[Array]
    answer: Array


DRAWS = 2
"""Steps on drawn numbers before a rewritten graph is used: a stream may begin with zeros, which are the same whatever
is done to them."""

Quick = Callable[[Any], Array | None]
"""A step on bound buffers; None where the long way has to look at it."""


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
        self.quick: Quick = _nothing_bound

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
            return self.step_alone(x, reuse, others)

    def step_alone(self, x: Array, reuse: bool = False, others: Mapping[str, Array] | None = None) -> Array:
        """`step` of a caller who sees to it that there is but one at a time."""
        answer = None if others else self.quick(x)
        if answer is None:
            return self._advance(x, others or {})
        return answer if reuse else answer.copy()

    def _current(self) -> dict[str, Array]:
        if not self._turns:
            return {name: array.copy() for name, array in self._state.items()}
        arrays = self._turns[0].state
        return {name: array.copy() for name, array in zip(self._predictor.graph.tensors.states, arrays, strict=True)}

    def _advance(self, x: Array, others: Mapping[str, Array]) -> Array:
        """The long way, behind all guards; buffers for a shape that comes twice running."""
        before = self._current()
        answer, self._state = self._predictor.advance(x, before, **others)
        self._turns, self.quick = [], _nothing_bound
        shapes = (x.shape, *(array.shape for array in self._state.values()))
        if x.shape == self._last_shape and self._predictor.ordered and shapes in self._predictor.graph.bound.shapes:
            self._turns = self._tried(x, [*before.values()], answer)
            self.quick = quick_step(self._turns)
        self._last_shape = x.shape
        return answer

    def _tried(self, x: Array, before: list[Array], answer: Array) -> list[Turn]:
        """Turns after this step: on the rewritten graph, if that gives the same to the bit."""
        graph, after = self._predictor.graph, [*self._state.values()]
        layers = graph.by_layer(one_sample=_all_ones(graph.tensors.inputs, [x, *before]))
        if layers is not None and self._agrees(layers, x, before, answer.shape):
            turns = turns_of(graph, x.shape, before, answer.shape, layers)
            if _gives(turns, x, [answer, *after]):
                return turns
        return turns_of(graph, x.shape, after, answer.shape)

    def _agrees(self, layers: LayerSession, x: Array, state: list[Array], answer: tuple[int, ...]) -> bool:
        """Whether the rewritten graph gives the same on drawn numbers, tried once for each shape."""
        graph = self._predictor.graph
        shapes = tuple(array.shape for array in (x, *state))
        if shapes not in graph.agreeing:
            draw = np.random.default_rng(0).uniform
            graph.agreeing[shapes] = all(
                self._agrees_on(
                    layers,
                    (x + draw(-1, 1, x.shape)).astype(np.float32),
                    answer,
                    [draw(-1, 1, array.shape).astype(np.float32) for array in state],
                )
                for _ in range(DRAWS)
            )
        return graph.agreeing[shapes]

    def _agrees_on(self, layers: LayerSession, x: Array, answer: tuple[int, ...], state: list[Array]) -> bool:
        graph = self._predictor.graph
        given = dict(zip(graph.tensors.states, state, strict=True))
        try:
            expected, after = self._predictor.advance(x, given)
        except ToolkitError:  # what the graph makes of drawn numbers is no fault of the caller's
            return False
        return _gives(turns_of(graph, x.shape, state, answer, layers), x, [expected, *after.values()])


def _nothing_bound(_: Any) -> None:
    """Of a stream that has no buffers yet."""


def _all_ones(tensors: Sequence[TensorSpec], arrays: Sequence[Array]) -> bool:
    """Whether every axis that may have any size is 1: one sample of one series."""
    return all(
        size == 1
        for tensor, array in zip(tensors, arrays, strict=True)
        for axis, size in zip(tensor.axes, array.shape, strict=True)
        if isinstance(axis, str)
    )


def _gives(turns: list[Turn], x: Array, expected: Sequence[Array]) -> bool:
    """Takes a step on these turns: whether answer and new states are those expected, to the bit."""
    got = quick_step(turns)(x)
    if got is None:
        return False
    return all(one.tobytes() == other.tobytes() for one, other in zip(expected, [got, *turns[0].state], strict=True))


def quick_step(turns: list[Turn]) -> Quick:
    """A step on the first of two turns, which then change places.

    One function whose names are all at hand: attributes and further calls cost a small model 10 % of its step.
    """
    readings, answer = turns[0].readings, turns[0].answer
    shape, array_type, float32, finite = readings.shape, np.ndarray, FLOAT32, math.isfinite

    def step(x: Any) -> Array | None:
        if type(x) is not array_type or x.shape != shape or (x.dtype is not float32 and x.dtype != float32):
            return None
        readings[...] = x
        run, binding, dot, flat, _, _, _ = turns[0]
        try:
            if not finite(dot(flat)):  # a warning where squares of finite numbers are not
                return None
            run(binding, None)
        except Exception:  # the long way says what is wrong, or has no such trouble
            return None
        turns.reverse()  # all at once: an interruption finds the step taken or not taken
        return answer

    return step


def turns_of(
    graph: GuardedGraph,
    readings: tuple[int, ...],
    state: list[Array],
    answer: tuple[int, ...],
    layers: LayerSession | None = None,
) -> list[Turn]:
    """Two calls on one block of memory, `[a state | the readings | the other state]`.

    Args:
        graph: whose inputs are the readings and the states, and whose outputs the answer and the new states.
        readings: their shape.
        state: to begin with.
        answer: its shape.
        layers: the graph with each layer's state apart, to be called instead.
    """
    shapes = [array.shape for array in state]
    block = Buffers([*shapes, readings, *shapes])
    first, x, second = block.arrays[: len(state)], block.arrays[len(state)], block.arrays[len(state) + 1 :]
    for buffer, array in zip(first, state, strict=True):
        buffer[...] = array
    written = np.empty(answer, np.float32)
    middle, end = block.starts[len(state)], block.starts[len(state) + 1]
    session = graph.session if layers is None else layers.session
    turns = []
    for flat, old, new in ((block.flat[:end], first, second), (block.flat[middle:], second, first)):
        binding = session.io_binding()
        for name, array in _named(graph.tensors.inputs, [x, *old], layers):
            binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        for name, array in _named(graph.tensors.outputs, [written, *new], layers):
            binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        turns.append(Turn(*direct_call(session, binding), flat.dot, flat, x, old, written))
    return turns


def _named(
    tensors: Sequence[TensorSpec], arrays: Sequence[Array], layers: LayerSession | None
) -> Iterator[tuple[str, Array]]:
    """Arrays by the names that the graph has for them; a stack of states by its layers, each a part of its memory."""
    for tensor, array in zip(tensors, arrays, strict=True):
        parts = () if layers is None else layers.parts.get(tensor.name, ())
        yield from ((name, array[place : place + 1]) for place, name in enumerate(parts))
        if not parts:
            yield tensor.name, array
