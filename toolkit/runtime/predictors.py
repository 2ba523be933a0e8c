"""Predictors: a window in and an answer out, or new samples and a state."""

import functools
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from toolkit.contract.graph_io import ANY_SIZE, GraphSignature, SizeLimits
from toolkit.errors import InputError
from toolkit.runtime.guarded_graph import Array, GuardedGraph, State
from toolkit.runtime.session import Session

if TYPE_CHECKING:
    from toolkit.runtime.asset_streams import AssetStreams

ONE_ASSET = ("",)
"""Who has but one need not name it."""


class _Predictor:
    def __init__(
        self,
        session: Session,
        tensors: GraphSignature,
        limits: SizeLimits = ANY_SIZE,
        *,
        one_series: bool = False,
    ) -> None:
        self.graph = GuardedGraph(session, tensors, limits, one_series)

    @classmethod
    def of(cls, graph: GuardedGraph) -> Self:
        """A predictor of a graph behind its guards."""
        predictor = cls.__new__(cls)
        predictor.graph = graph
        return predictor


class WindowedPredictor(_Predictor):
    """A window in, an answer out, no state.

    Args:
        session: of a windowed graph.
        tensors: the graph's signature.
        limits: which sizes the graph takes.
        one_series: see `GuardedGraph`.
    """

    def predict(self, x: Array, **others: Array) -> Array:
        """Answers a batch of windows.

        Args:
            x: raw readings, float32 `[batch, sequence, channels]` (or time-major, as the graph was exported).
            others: further inputs by name, where the graph has any.

        Returns:
            The first answer: raw forecasts, float32 `[batch, horizon, targets]`, or logits `[batch, classes]`.

        Raises:
            InputError: a wrong type, shape or a value that is not finite.
        """
        answer = None if others else self.graph.bound.answer(x)
        if answer is not None:
            return answer
        tensors = self.graph.tensors
        return self.graph.run({tensors.data[0].name: x, **others})[tensors.answers[0].name]


class StreamingPredictor(_Predictor):
    """New samples and a state in, an answer after each sample and the new state out.

    Args:
        session: of a streaming graph.
        tensors: the graph's signature.
        limits: which sizes the graph takes.
        one_series: see `GuardedGraph`.
    """

    @functools.cached_property
    def streams(self) -> "AssetStreams":
        """The states of the assets that `step` has met."""
        from toolkit.runtime.asset_streams import AssetStreams  # noqa: PLC0415 - whoever reads windows has none

        return AssetStreams(self)

    def step(self, x: Array, assets: Sequence[Hashable] = ONE_ASSET, *, reuse: bool = False) -> Array:
        """Takes new samples of some assets, whose states are kept here from one step to the next.

        Assets that come together again, in the same order, run on two buffers of states in turns: nothing but the
        answer is allocated. Steps of several threads come one after the other, as a state must.

        Args:
            x: raw readings, float32 `[batch, sequence, channels]` (or time-major, as the graph was exported).
            assets: whose samples these are, one for each series; an asset that is new begins with a state of zeros.
                A tuple is taken as it is.
            reuse: give the answer in memory that the next step of these assets overwrites, so that nothing is
                allocated at all.

        Returns:
            Raw forecasts, float32 `[batch, sequence, horizon, targets]`.

        Raises:
            InputError: a wrong type, shape or a value that is not finite, or not one asset for each series. All states
                stay as they were.
        """
        return self.streams.step(x, assets, reuse=reuse)

    @functools.cached_property
    def _states(self) -> tuple[str, ...]:
        return tuple(self.graph.tensors.states)

    @functools.cached_property
    def ordered(self) -> bool:
        """Whether readings and answer come first and the states after them, in one order: so are the toolkit's own."""
        tensors = self.graph.tensors
        given, got = ([tensor.name for tensor in side] for side in (tensors.inputs, tensors.outputs))
        return given[1:] == [*tensors.states] and got[1:] == [*tensors.states.values()] and len(got) == len(given)

    def zero_state(self, batch: int) -> dict[str, Array]:
        """The state before the first sample: zeros.

        Args:
            batch: how many series.

        Returns:
            By the names of the states, float32 `[num_layers, batch, state_size]` or what the graph has.
        """
        tensors = self.graph.tensors
        return {
            name: np.zeros([batch if isinstance(axis, str) else axis for axis in tensors.input(name).axes], np.float32)
            for name in tensors.states
        }

    def advance(self, x: Array, state: State, **others: Array) -> tuple[Array, dict[str, Array]]:
        """Takes new samples.

        Args:
            x: raw readings, float32 `[batch, sequence, channels]` (or time-major, as the graph was exported).
            state: `h0` and, for an LSTM, `c0`, float32 `[num_layers, batch, hidden_size]`; not changed.
            others: further inputs by name, where the graph has any.

        Returns:
            Raw forecasts, float32 `[batch, sequence, horizon, targets]`, and the state to give next time.

        Raises:
            InputError: a wrong type, shape or a value that is not finite, in the samples or in the state.
        """
        if self.ordered and not others:
            answers = self.graph.bound.run([x, *map(state.get, self._states)])
            if answers is not None:
                return answers[0], dict(zip(self._states, answers[1:], strict=True))
        tensors = self.graph.tensors
        missing = [name for name in tensors.states if name not in state]
        if missing:
            raise InputError(f"the state lacks {missing[0]}", allowed=", ".join(tensors.states))
        states = {name: state[name] for name in tensors.states}
        outputs = self.graph.run({tensors.data[0].name: x, **others, **states})
        return outputs[tensors.answers[0].name], {given: outputs[new] for given, new in tensors.states.items()}
