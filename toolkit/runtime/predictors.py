"""Predictors: a graph behind guards.

onnxruntime aborts the process on a batch of 0, zeroes the state on a sequence of 0, and answers a NaN with a finite,
wrong forecast. Nothing reaches it unchecked.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import BATCH, FORECAST, INPUT, SEQUENCE, STATE_PAIRS, GraphSignature, TensorSpec
from toolkit.errors import InputError
from toolkit.runtime.session import Session, run_session

Array = NDArray[np.float32]
State = Mapping[str, Array]


class WindowedPredictor:
    """A window in, a forecast out, no state.

    Args:
        session: of a windowed graph.
        tensors: the graph's signature.
        min_sequence: the shortest window that the model takes.
    """

    def __init__(self, session: Session, tensors: GraphSignature, min_sequence: int = 1) -> None:
        self._session = session
        self._x = tensors.input(INPUT)
        self._min_sequence = min_sequence

    def predict(self, x: Array) -> Array:
        """Forecasts a batch of windows.

        Args:
            x: raw readings, float32 `[batch, sequence, channels]` (or time-major, as the graph was exported).

        Returns:
            Raw forecasts, float32 `[batch, horizon, targets]`.

        Raises:
            InputError: a wrong type, shape or a value that is not finite.
        """
        sizes = check_array(x, self._x)
        _check_sequence(sizes[SEQUENCE], self._min_sequence)
        forecast: Array = run_session(self._session, {INPUT: x}, [FORECAST])[0]
        return forecast


class StreamingPredictor:
    """New samples and a state in, a forecast after each sample and the new state out.

    Args:
        session: of a streaming graph.
        tensors: the graph's signature.
    """

    def __init__(self, session: Session, tensors: GraphSignature) -> None:
        self._session = session
        self._x = tensors.input(INPUT)
        self._states = [tensors.input(name) for name in STATE_PAIRS]
        self._outputs = [FORECAST, *STATE_PAIRS.values()]

    def zero_state(self, batch: int) -> dict[str, Array]:
        """The state before the first sample of `batch` series."""
        return {
            tensor.name: np.zeros([batch if axis == BATCH else int(axis) for axis in tensor.axes], np.float32)
            for tensor in self._states
        }

    def advance(self, x: Array, state: State) -> tuple[Array, dict[str, Array]]:
        """Takes new samples.

        Args:
            x: raw readings, float32 `[batch, sequence, channels]` (or time-major, as the graph was exported).
            state: `h0` and `c0`, float32 `[num_layers, batch, hidden_size]`; not changed.

        Returns:
            Raw forecasts, float32 `[batch, sequence, horizon, targets]`, and the state to give next time.

        Raises:
            InputError: a wrong type, shape or a value that is not finite, in the samples or in the state.
        """
        sizes = check_array(x, self._x)
        _check_sequence(sizes[SEQUENCE], 1)
        for tensor in self._states:
            if tensor.name not in state:
                raise InputError(f"the state lacks {tensor.name}", allowed=", ".join(STATE_PAIRS))
            if check_array(state[tensor.name], tensor)[BATCH] != sizes[BATCH]:
                raise InputError("samples and state hold different batches", got=list(state[tensor.name].shape))
        feed = {INPUT: x, **{tensor.name: state[tensor.name] for tensor in self._states}}
        forecast, *states = run_session(self._session, feed, self._outputs)
        return forecast, dict(zip(STATE_PAIRS, states, strict=True))


def check_array(array: Array, tensor: TensorSpec) -> dict[str, int]:
    """Refuses an array that onnxruntime must not see.

    Returns:
        The sizes of the symbolic axes.

    Raises:
        InputError: not a float32 array, a wrong rank or size, an empty axis, or a value that is not finite.
    """
    if not isinstance(array, np.ndarray) or array.dtype != np.float32:
        got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise InputError(f"{tensor.name} has the wrong type", got=got, allowed="a float32 array")
    if array.ndim != len(tensor.axes) or any(
        isinstance(axis, int) and size != axis for size, axis in zip(array.shape, tensor.axes, strict=False)
    ):
        raise InputError(
            f"{tensor.name} has the wrong shape", got=list(array.shape), allowed=f"[{', '.join(map(str, tensor.axes))}]"
        )
    sizes = {axis: size for size, axis in zip(array.shape, tensor.axes, strict=True) if isinstance(axis, str)}
    for axis, size in sizes.items():
        if size == 0:
            raise InputError(f"{tensor.name} is empty", got=f"{axis} 0", allowed=f"{axis} of 1 or more")
    if not np.isfinite(array).all():
        place = np.argwhere(~np.isfinite(array))[0].tolist()
        raise InputError(
            f"{tensor.name} holds a value that is not finite",
            got=f"{array[tuple(place)]} at {place}",
            allowed="finite numbers",
        )
    return sizes


def _check_sequence(sequence: int, min_sequence: int) -> None:
    if sequence < min_sequence:
        raise InputError("x is too short", got=f"sequence {sequence}", allowed=f"{min_sequence} or more")
