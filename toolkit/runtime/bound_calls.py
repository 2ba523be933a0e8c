"""Calls on buffers that are bound to a session once, for the shapes that come again.

`session.run` wraps every input, makes every output and looks names up: 7 to 14 us of a call, whatever the model. Bound
buffers save it. Inputs are copied in, and what a caller gets is a copy of its own: no later call overwrites it.
"""

import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from toolkit.contract.graph_io import GraphSignature, TensorSpec
from toolkit.runtime.session import CPU, Session

Array = NDArray[np.float32]
Shapes = tuple[tuple[int, ...], ...]

SHAPES_KEPT = 8
"""The table holds that many; a gateway has one or two, parity walks through dozens that never come again."""
LARGEST = 8192
"""Numbers on either side of a call that is bound. Above it copies cost what bound buffers save, and a BLAS may split a
dot product among threads, which would then spin beside the session."""
ALIGNED = 16
"""Numbers in 64 bytes: each tensor begins on a cache line of its own."""
FLOAT32 = np.dtype(np.float32)
"""Compared by value: an array that came from another process has a type object of its own."""


class Buffers:
    """Arrays of the given shapes in one block of memory, zeros between them."""

    def __init__(self, shapes: Sequence[tuple[int, ...]]) -> None:
        sizes = [math.prod(shape) for shape in shapes]
        self.starts: list[int] = np.cumsum([0, *(-(-size // ALIGNED) * ALIGNED for size in sizes)]).tolist()
        whole = np.zeros(self.starts[-1] + ALIGNED, np.float32)
        skipped = (-whole.ctypes.data % (4 * ALIGNED)) // 4
        self.flat: Array = whole[skipped : skipped + self.starts[-1]]
        self.arrays: list[Array] = [
            self.flat[start : start + size].reshape(shape)
            for start, size, shape in zip(self.starts, sizes, shapes, strict=False)
        ]


class BoundCall:
    """A graph's call at one shape. Whoever uses it is alone with its buffers.

    Args:
        session: of the graph.
        inputs: shapes by the names of the inputs.
        outputs: shapes by the names of the outputs.
    """

    __slots__ = ("_binding", "_dot", "_flat", "_given", "_got", "_readings", "_run")

    def __init__(
        self, session: Session, inputs: Mapping[str, tuple[int, ...]], outputs: Mapping[str, tuple[int, ...]]
    ) -> None:
        given, self._got = Buffers([*inputs.values()]), Buffers([*outputs.values()]).arrays
        self._flat, self._given, self._readings = given.flat, given.arrays, given.arrays[0]
        self._dot = self._flat.dot
        binding = session.io_binding()
        for name, array in zip(inputs, self._given, strict=True):
            binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        for name, array in zip(outputs, self._got, strict=True):
            binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        self._run, self._binding = direct_call(session, binding)

    def run(self, arrays: Sequence[Array]) -> list[Array] | None:
        """Copies of the outputs; None where an input may hold a value that is not finite.

        That is told by the dot product of the inputs with themselves, in a quarter of the time of `np.isfinite`. No
        square is negative, so that a NaN stays one and infinity stays infinite. Finite numbers above 1e18 may overflow:
        the guards look at them one by one.

        Args:
            arrays: float32 of exactly the shapes that were bound.
        """
        for buffer, array in zip(self._given, arrays):  # noqa: B905 - half a microsecond
            buffer[...] = array
        if not math.isfinite(self._dot(self._flat)):
            return None
        self._run(self._binding, None)
        return [buffer.copy() for buffer in self._got]

    def answer(self, readings: Array) -> Array | None:
        """`run` of a graph with one input, for its first output: each line costs a small model 1 %."""
        self._readings[...] = readings
        if not math.isfinite(self._dot(self._flat)):
            return None
        self._run(self._binding, None)
        return self._got[0].copy()


def direct_call(session: Session, binding: Any) -> tuple[Any, Any]:
    """What to call, with what and None, to run a session on bound buffers.

    The public method looks for capture on a GPU first, which costs a small model 2 to 4 % on a CPU. What it ends in is
    called instead where both are where they have always been, and otherwise the public method.
    """
    inner, bound = getattr(session, "_sess", None), getattr(binding, "_iobinding", None)
    run = getattr(inner, "run_with_iobinding", None)
    return (session.run_with_iobinding, binding) if run is None or bound is None else (run, bound)


class BoundCalls:
    """The bound calls of one graph, for the shapes that came last.

    A shape is bound when it comes for the second time, and only if the bound call gives what `session.run` gave, bit
    for bit. A call is taken out of the table while it runs: a second thread finds none and calls `session.run`, which
    needs no buffers, until the shape has as many bound calls as threads.

    Args:
        session: of the graph. Nothing is bound unless the CPU alone runs it.
        tensors: the graph's signature.
    """

    def __init__(self, session: Session, tensors: GraphSignature) -> None:
        self._session, self._tensors = session, tensors
        self._met: dict[Shapes, None] = {}
        self._free: dict[Shapes, list[BoundCall]] = {}
        self._learning = threading.Lock()
        self._open = _can_be_bound(session, tensors)

    @property
    def shapes(self) -> tuple[Shapes, ...]:
        """The shapes that are bound."""
        return tuple(self._free)

    def run(self, arrays: Sequence[Any]) -> list[Array] | None:
        """The outputs, in the caller's own memory; None where the call has to be looked at and made plainly.

        Args:
            arrays: what was given for each input, in their order.
        """
        free = self._free.get(_shapes(arrays))
        if not free:
            return None
        try:
            call = free.pop()
        except IndexError:  # another thread was quicker
            return None
        try:
            return call.run(arrays)
        except Exception:  # the plain call that follows says what is wrong, or has no such trouble
            return None
        finally:
            free.append(call)

    def answer(self, readings: Any) -> Array | None:
        """`run` of a graph with one input, which is no state, so that its first output is its first answer."""
        if type(readings) is not np.ndarray or readings.dtype != FLOAT32:
            return None
        free = self._free.get((readings.shape,))
        if not free:
            return None
        try:
            call = free.pop()
        except IndexError:
            return None
        try:
            return call.answer(readings)
        except Exception:
            return None
        finally:
            free.append(call)

    def learn(self, arrays: Sequence[Array], answers: Sequence[Array]) -> None:
        """Takes notice of a plain call that passed the guards, and binds its shape if it is not the first such.

        Args:
            arrays: what was given for each input, in their order.
            answers: what `session.run` gave.
        """
        shapes = _shapes(arrays)
        if not self._open or len(shapes) != len(self._tensors.inputs) or _largest_side(shapes, answers) > LARGEST:
            return
        if not self._learning.acquire(blocking=False):
            return
        try:
            if shapes in self._met:
                del self._met[shapes]
                self._bind(shapes, arrays, answers)
            else:
                self._met[shapes] = None
            for table in (self._met, self._free):
                if len(table) > SHAPES_KEPT:
                    del table[next(iter(table))]
        finally:
            self._learning.release()

    def _bind(self, shapes: Shapes, arrays: Sequence[Array], answers: Sequence[Array]) -> None:
        """Tries the call once: a graph that draws lots, or answers in other shapes or types, is never bound."""
        expected = _answer_shapes(self._tensors, shapes)
        if expected == [(np.asarray(answer).dtype, np.shape(answer)) for answer in answers]:
            inputs = {tensor.name: shape for tensor, shape in zip(self._tensors.inputs, shapes, strict=True)}
            outputs = {tensor.name: shape for tensor, (_, shape) in zip(self._tensors.outputs, expected, strict=True)}
            call = BoundCall(self._session, inputs, outputs)
            with np.errstate(over="ignore"):  # squares of finite numbers
                got = call.run(arrays)
            if got is None:
                return
            if all(a.tobytes() == b.tobytes() for a, b in zip(answers, got, strict=True)):
                self._free.setdefault(shapes, []).append(call)
                return
        self._open = False


def _shapes(arrays: Sequence[Any]) -> Shapes:
    """The shapes of those that are exactly float32 arrays; what is not is not told from one that is missing."""
    return tuple([array.shape for array in arrays if type(array) is np.ndarray and array.dtype == FLOAT32])


def _can_be_bound(session: Session, tensors: GraphSignature) -> bool:
    """Whether the CPU alone runs the graph, and its inputs tell the shapes of all its outputs."""
    known = {axis for tensor in tensors.inputs for axis in tensor.axes}
    return (
        bool(tensors.inputs)
        and isinstance(session, onnxruntime.InferenceSession)
        and session.get_providers() == [CPU]
        and all(isinstance(axis, int) or axis in known for tensor in tensors.outputs for axis in tensor.axes)
    )


def _answer_shapes(tensors: GraphSignature, shapes: Shapes) -> list[tuple[np.dtype[np.float32], tuple[int, ...]]]:
    """Types and shapes of the outputs as the signature has them."""
    sizes = {
        axis: size
        for tensor, shape in zip(tensors.inputs, shapes, strict=True)
        for axis, size in zip(tensor.axes, shape, strict=True)
    }
    return [(FLOAT32, _shape(tensor, sizes)) for tensor in tensors.outputs]


def _shape(tensor: TensorSpec, sizes: Mapping[str | int, int]) -> tuple[int, ...]:
    return tuple(axis if isinstance(axis, int) else sizes[axis] for axis in tensor.axes)


def _largest_side(shapes: Shapes, answers: Sequence[Array]) -> int:
    """Numbers that go in or that come out, whichever are more."""
    return max(sum(map(math.prod, shapes)), sum(map(np.size, answers)))
