"""Any graph behind its guards.

onnxruntime aborts the process on a batch of 0, zeroes the state on a sequence of 0, and answers a NaN with a finite,
wrong forecast. Nothing reaches it unchecked.

A shape that comes again runs on bound buffers (see `bound_calls`). It passed the guards before, which look at nothing
but names, types, sizes and whether the numbers are finite: the last alone is left to look at. What this quick way does
not know for good goes the long one, which says what is wrong.
"""

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.frozen import dataclass
from toolkit.contract.graph_io import ANY_SIZE, GraphSignature, SizeLimits, TensorSpec
from toolkit.errors import InputError
from toolkit.runtime.bound_calls import BoundCalls
from toolkit.runtime.chunks import chunk_bounds, series_in_a_call
from toolkit.runtime.session import Session, run_session
from toolkit.runtime.stream import part_of

if TYPE_CHECKING:
    from toolkit.runtime.layer_states import LayerSession

Array = NDArray[np.float32]
State = Mapping[str, Array]
Feed = Mapping[str, Array]


@dataclass(frozen=True)
class GuardedGraph:
    """Any graph: named arrays in, named arrays out.

    Attributes:
        session: of the graph.
        tensors: the graph's signature.
        limits: which sizes the graph takes.
        one_series: run one series at a time. In int8 a tensor has one scale: an outlier in one series would shift the
            answers of all that share its call.
        splits: whether a large batch is run in chunks, where no series' answer depends on another's.
        layers: opens the graph with each layer's state apart, for one sample of one series at a time or for any.
    """

    session: Session
    tensors: GraphSignature
    limits: SizeLimits = ANY_SIZE
    one_series: bool = False
    splits: bool = False
    layers: "Callable[[bool], LayerSession | None] | None" = None

    def run(self, feed: Feed) -> dict[str, Array]:
        """All outputs by name.

        Args:
            feed: float32 arrays by the names of the inputs, axes as in the signature.

        Returns:
            float32 arrays by the names of the outputs, axes as in the signature; in raw units, as the inputs are.

        Raises:
            InputError: a missing array, a wrong type or shape, sizes that contradict each other or are too small, or a
                value that is not finite.
        """
        answers = self.bound.run([feed.get(name) for name in self._given]) if len(feed) == len(self._given) else None
        if answers is not None:
            return dict(zip(self._got, answers, strict=True))
        return self.run_checked(feed, check_feed(feed, self.tensors, self.limits))

    def run_checked(self, feed: Feed, sizes: Mapping[str, int]) -> dict[str, Array]:
        """`run` of inputs that passed the guards, as a part of a whole that did.

        Args:
            feed: as of `run`.
            sizes: of the symbolic axes.

        Returns:
            As `run`.
        """
        bounds = self._bounds(sizes)
        if len(bounds) == 2:
            return dict(zip(self._got, self._run_once(feed), strict=True))
        batch = self.tensors.batch_axis
        chunks = [self._run_once(self._chunk(feed, *ends)) for ends in itertools.pairwise(bounds)]
        return {
            tensor.name: np.concatenate(parts, axis=tensor.axes.index(batch)) if batch in tensor.axes else parts[0]
            for tensor, *parts in zip(self.tensors.outputs, *chunks, strict=True)
        }

    def by_layer(self, *, one_sample: bool) -> "LayerSession | None":
        """The graph with each layer's state apart, opened once."""
        if one_sample not in self._by_layer:
            self._by_layer[one_sample] = None if self.layers is None else self.layers(one_sample)
        return self._by_layer[one_sample]

    @functools.cached_property
    def _by_layer(self) -> "dict[bool, LayerSession | None]":
        return {}

    @functools.cached_property
    def agreeing(self) -> dict[tuple[tuple[int, ...], ...], bool]:
        """For shapes of the inputs, whether the graph with each layer's state apart gives the same on drawn numbers."""
        return {}

    @functools.cached_property
    def bound(self) -> BoundCalls:
        """The quick way, of shapes that came before."""
        return BoundCalls(self.session, self.tensors)

    @functools.cached_property
    def _given(self) -> list[str]:
        return [tensor.name for tensor in self.tensors.inputs]

    @functools.cached_property
    def _got(self) -> list[str]:
        return [tensor.name for tensor in self.tensors.outputs]

    def _run_once(self, feed: Feed) -> list[Array]:
        """The outputs for inputs that passed the guards, in one call."""
        arrays = [feed[name] for name in self._given]
        answers = self.bound.run(arrays)
        if answers is None:
            answers = run_session(self.session, dict(zip(self._given, arrays, strict=True)), self._got)
            self.bound.learn(arrays, answers)
        return answers

    def _bounds(self, sizes: Mapping[str, int]) -> list[int]:
        """Where chunks of the batch begin and the last one ends."""
        batch = self.tensors.batch_axis
        if batch is None or not (self.one_series or self.splits):
            return [0, 1]
        series = 1 if self.one_series else series_in_a_call(sizes.get(self.tensors.sequence_axis or "", 1))
        return chunk_bounds(sizes[batch], self.limits.clipped(batch, series), self.limits.at_least(batch))

    def _chunk(self, feed: Feed, start: int, stop: int) -> dict[str, Array]:
        """The arrays of some series, the batch axis kept."""
        batch = self.tensors.batch_axis
        return {t.name: part_of(feed[t.name], t, batch, start, stop) for t in self.tensors.inputs}


def check_feed(feed: Feed, tensors: GraphSignature, limits: SizeLimits) -> dict[str, int]:
    """Refuses inputs that onnxruntime must not see.

    Args:
        feed: float32 arrays by the names of the inputs, axes as in the signature, in the units of the graph.
        tensors: the graph's signature.
        limits: which sizes the graph takes.

    Returns:
        The sizes of the symbolic axes.

    Raises:
        InputError: see `GuardedGraph.run`.
    """
    if feed.keys() != tensors.input_names:
        names = [tensor.name for tensor in tensors.inputs]
        wrong = [name for name in names if name not in feed] + [name for name in feed if name not in names]
        raise InputError(f"the inputs {'lack' if wrong[0] in names else 'hold'} {wrong[0]}", allowed=", ".join(names))
    sizes: dict[str, int] = {}
    for tensor in tensors.inputs:
        for axis, size in check_array(feed[tensor.name], tensor).items():
            if sizes.setdefault(axis, size) != size:
                raise InputError(f"the inputs hold different sizes of {axis}", got=f"{sizes[axis]} and {size}")
    for axis, least in limits.least.items():
        if sizes[axis] < least:
            first = next(tensor.name for tensor in tensors.inputs if axis in tensor.axes)
            raise InputError(f"{first} is too short", got=f"{axis} {sizes[axis]}", allowed=f"{least} or more")
    for axis, most in limits.most.items():
        if sizes[axis] > most:
            first = next(tensor.name for tensor in tensors.inputs if axis in tensor.axes)
            raise InputError(f"{first} is too long", got=f"{axis} {sizes[axis]}", allowed=f"at most {most}")
    return sizes


def refuse_masked(array: NDArray[Any], name: str) -> None:
    """Refuses an array with masked values: onnxruntime would take what lies beneath for readings.

    Args:
        array: of any shape, type and unit.
        name: for the message.

    Raises:
        InputError: there are such.
    """
    if type(array) is not np.ndarray and np.ma.is_masked(array):
        places = np.count_nonzero(np.ma.getmask(array))
        raise InputError(
            f"{name} holds masked values", got=places, allowed="none", fix="fill them first: x.filled(...)"
        )


def check_array(array: Array, tensor: TensorSpec) -> dict[str, int]:
    """Refuses an array that onnxruntime must not see.

    Args:
        array: float32, axes as `tensor` says, in any unit.
        tensor: the input that it is for.

    Returns:
        The sizes of the symbolic axes.

    Raises:
        InputError: not a float32 array, a wrong rank or size, an empty axis, or a value that is not finite.
    """
    if not isinstance(array, np.ndarray) or array.dtype != np.float32:
        got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise InputError(f"{tensor.name} has the wrong type", got=got, allowed="a float32 array")
    refuse_masked(array, tensor.name)
    sizes: dict[str, int] = {}
    fits = len(array.shape) == len(tensor.axes)
    for size, axis in zip(array.shape, tensor.axes, strict=False):
        if isinstance(axis, str):
            sizes[axis] = size
        elif size != axis:
            fits = False
    if not fits:
        allowed = f"[{', '.join(map(str, tensor.axes))}]"
        raise InputError(f"{tensor.name} has the wrong shape", got=list(array.shape), allowed=allowed)
    if 0 in sizes.values():
        axis = next(axis for axis, size in sizes.items() if size == 0)
        raise InputError(f"{tensor.name} is empty", got=f"{axis} 0", allowed=f"{axis} of 1 or more")
    if not np.isfinite(array).all():
        place = np.argwhere(~np.isfinite(array))[0].tolist()
        raise InputError(
            f"{tensor.name} holds a value that is not finite",
            got=f"{array[tuple(place)]} at {place}",
            allowed="finite numbers",
        )
    return sizes
