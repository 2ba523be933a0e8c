"""The states of many assets, each carried on where its own samples ended.

Assets that are due together go through the graph in one call. While the same ones come together again, their states
stay in the two buffers of a `LiveStream`; where the company changes, they are taken out and put together anew.
"""

import threading
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from toolkit.contract.graph_io import GraphSignature
from toolkit.errors import InputError
from toolkit.runtime.guarded_graph import Array, check_array
from toolkit.runtime.live_stream import LiveStream, Streaming
from toolkit.runtime.stream import part_of

Group = tuple[Hashable, ...]
GROUPS_KEPT = 4096
"""Companies whose buffers are kept: some 10 KB each for two layers of 64 units."""


class AssetStreams:
    """Steps of one streaming graph for many assets.

    Args:
        predictor: of the graph.
    """

    def __init__(self, predictor: Streaming) -> None:
        self._predictor = predictor
        self._alone: dict[Hashable, dict[str, Array]] = {}
        self._live: dict[Group, LiveStream] = {}
        self._place: dict[Hashable, Group] = {}
        """The company that an asset was in last; where that is not live any more, its state is in `_alone`."""
        self._one_at_a_time = threading.RLock()

    @property
    def assets(self) -> tuple[Hashable, ...]:
        """Those that have a state."""
        with self._one_at_a_time:
            live = [asset for asset, group in self._place.items() if group in self._live]
            return tuple(dict.fromkeys([*live, *self._alone]))

    def step(self, x: Array, assets: Sequence[Hashable], *, reuse: bool) -> Array:
        """See `StreamingPredictor.step`."""
        with self._one_at_a_time:
            group = assets if type(assets) is tuple else tuple(assets)
            live = self._live.get(group)
            if live is None:
                return self._first_step(x, group)
            answer = live.quick(x)
            if answer is None:
                return live.step_alone(x, reuse)
            return answer if reuse else answer.copy()

    def state_of(self, asset: Hashable) -> dict[str, Array]:
        """A copy of an asset's state, its batch axis kept; zeros before its first sample."""
        with self._one_at_a_time:
            group = self._place.get(asset)
            if group in self._live:
                return self._part(self._live[group].state, group.index(asset))
            return {name: array.copy() for name, array in self._alone.get(asset, self._zeros()).items()}

    def restore(self, asset: Hashable, state: Mapping[str, Array]) -> None:
        """Gives an asset a state that `state_of` gave before.

        Raises:
            InputError: not that of one series of this graph, or a value that is not finite.
        """
        tensors = self._tensors
        if state.keys() != tensors.states.keys():
            raise InputError("the state", got=", ".join(state) or "nothing", allowed=", ".join(tensors.states))
        for name, array in state.items():
            sizes = check_array(array, tensors.input(name))
            if any(size != 1 for size in sizes.values()):
                raise InputError(f"{name} of one asset", got=list(array.shape), allowed="a batch of 1")
        with self._one_at_a_time:
            self.forget(asset)
            self._alone[asset] = {name: array.copy() for name, array in state.items()}

    def forget(self, asset: Hashable) -> None:
        """Drops an asset's state: its next sample is its first."""
        with self._one_at_a_time:
            self._part_company(self._place.get(asset))
            self._place.pop(asset, None)
            self._alone.pop(asset, None)

    def _first_step(self, x: Array, group: Group) -> Array:
        """Puts the states together. An asset of another company is taken out of it, which then is none any more.

        One assignment makes the company live, another in `_part_company` ends it: whatever interrupts this in between,
        no state is lost.
        """
        self._check(x, group)
        for asset in group:
            self._part_company(self._place.get(asset))
        while len(self._live) >= GROUPS_KEPT:
            self._part_company(next(iter(self._live)))
        states = [self._alone.get(asset) or self._zeros() for asset in group]
        live = LiveStream(self._predictor, {name: self._joined(name, states) for name in self._zeros()})
        answer = live.step(x)  # what it refuses leaves everything as it was
        for asset in group:
            self._place[asset] = group
        self._live[group] = live
        for asset in group:
            self._alone.pop(asset, None)
        return answer

    def _check(self, x: Array, group: Group) -> None:
        tensors = self._tensors
        batch = check_array(x, tensors.data[0]).get(tensors.batch_axis or "", 1)
        if len(group) != batch:
            raise InputError("assets of a step", got=len(group), allowed=f"{batch}, one for each series")
        if len(set(group)) != len(group):
            raise InputError("assets of a step", got="the same one twice", allowed="different ones")

    def _part_company(self, group: Group | None) -> None:
        if group not in self._live:
            return
        state = self._live[group].state
        self._alone.update({asset: self._part(state, number) for number, asset in enumerate(group)})
        del self._live[group]
        for asset in group:
            self._place.pop(asset, None)

    def _part(self, state: Mapping[str, Array], number: int) -> dict[str, Array]:
        tensors = self._tensors
        axis = tensors.batch_axis
        return {
            name: np.array(part_of(array, tensors.input(name), axis, number, number + 1))
            for name, array in state.items()
        }

    def _joined(self, name: str, states: Sequence[Mapping[str, Array]]) -> Array:
        tensor = self._tensors.input(name)
        if self._tensors.batch_axis not in tensor.axes:
            return states[0][name]
        return np.concatenate([state[name] for state in states], axis=tensor.axes.index(self._tensors.batch_axis))

    def _zeros(self) -> dict[str, Array]:
        return self._predictor.zero_state(1)

    @property
    def _tensors(self) -> GraphSignature:
        return self._predictor.graph.tensors
