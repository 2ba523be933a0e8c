"""Rows in, forecasts out: the windows and states of all assets, and one batched call for those that are due.

A windowed graph answers for an asset whose last `window_length` rows belong to one unbroken series. A streaming graph
carries a state from row to row, and answers from row `warm_up` on. Either way an asset's answer rests on its own rows
alone, to the bit, whoever else is due (see `shared_calls`) and however often the process was killed in between.
"""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.frozen import dataclass
from toolkit.contract.graph_io import GraphName
from toolkit.contract.manifest import GOLDEN, BundleManifest
from toolkit.contract.signals import SignalSpec
from toolkit.edge.series_rows import SeriesRows, grown, slots_for
from toolkit.edge.shared_calls import LARGEST, Company, Results, SharedCalls
from toolkit.errors import BundleError, ConfigError, InputError
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.golden import unpack_golden
from toolkit.runtime.session import SessionPolicy
from toolkit.runtime.session_file import manifest_sha256, policy_for

Array = NDArray[np.float32]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
GraphChoice = Literal["auto", "windowed", "streaming"]

STATE = np.dtype("<f4")
"""Of the numbers of a state in the journal, which another machine may read."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What one step gave, in the order of its assets.

    Attributes:
        ready: bool `[n]`, whether there is an answer.
        outputs: by name, `[n, ...]`: of an answer after every row the last. Zeros where `ready` is not; empty where
            nothing was run.
        recalled: bool `[n]`, whether the state was warmed up from rows that were kept, and fewer rows than that takes
            have come since.
        refused: bool `[n]`, whether the guards refused the asset: its series and its state have ended, without this
            row. The journal must count a new series.
    """

    ready: Bools
    outputs: dict[str, Array]
    recalled: Bools
    refused: Bools


class Forecaster:
    """One bundle's graph for the rows of many assets. An asset is its number in the journal.

    Args:
        bundle: with a signal.
        graph: which graph; `auto` takes the streaming one where its state may be carried on without end, or where there
            is no other.
        policy: of the session; None means the session file's, or the default one.
        session_file: of `tune-session`; None means none.

    Attributes:
        graph: the name of the graph that is run.
        warm_up: rows of a series up to the first answer.
        kept_rows: rows of each asset that the journal has to keep, for `restore`.
        digest: of the bundle.

    Raises:
        ConfigError: a graph that the bundle has not, or a session file that cannot be used.
        BundleError: no signal, or a graph that no gateway can run.
    """

    def __init__(
        self,
        bundle: Bundle,
        graph: GraphChoice = "auto",
        policy: SessionPolicy | None = None,
        session_file: Path | None = None,
    ) -> None:
        manifest = bundle.manifest
        channels = len(_signal(bundle).channels)
        self.graph: GraphName = chosen_graph(manifest, graph)
        self.digest = bundle.digest or manifest_sha256(bundle)
        window, state = manifest.window_length, manifest.state
        streams = self.graph == "streaming"
        self.warm_up = window if not streams or state is None else state.warm_up
        self._max_age = state.max_age if streams and state is not None else None
        self.kept_rows = max(window, self.warm_up)
        self._calls = _settled(bundle, self.graph, window, policy, session_file)
        # A state that is carried on without end never looks back.
        self._series = SeriesRows(0 if streams and self._max_age is None else self.kept_rows, channels)
        self._states: Array = np.zeros((0, self._calls.state_size), np.float32)
        self._ages: Ints = np.zeros(0, np.int64)
        self._to_come: NDArray[np.int32] = np.zeros(0, np.int32)
        """Rows after which a state that was warmed up from kept rows is as good as one that was not."""

    @property
    def company(self) -> Company:
        """How series share a call so that none depends on another: in any number, in blocks of one size, or not."""
        return self._calls.company

    def step(self, assets: Ints, rows: Array, starts_series: Bools) -> Answers:
        """One new row of some assets, whose windows or states go on.

        Args:
            assets: numbers, int64 `[n]`, each once.
            rows: finite, float32 `[n, channels]`.
            starts_series: bool `[n]`, whether the row is the first of a series.

        Raises:
            InputError: an asset that stands twice.
            BundleError: onnxruntime cannot run the graph. All is as it was before.
        """
        none = np.zeros(len(assets), np.bool_)
        if not len(assets):
            return Answers(none, {}, none, none)
        if len(np.unique(assets)) < len(assets):
            raise InputError("assets of a step", got="the same one twice", allowed="different ones")
        self._reserve(int(assets.max()) + 1)
        step = self._windowed if self.graph == "windowed" else self._streamed
        return step(assets, rows, starts_series)

    def state_of(self, asset: int) -> bytes:
        """What the journal keeps of an asset's state; see `states_of`."""
        return self.states_of(np.array([asset]))[0]

    def states_of(self, assets: Ints) -> list[bytes]:
        """What the journal keeps of the states of some assets.

        The states in the order of the signature, each without its batch axis, float32 little endian; then, in as many
        bytes, how many rows are to come until a state that was warmed up from kept rows counts as any other. Nothing of
        a windowed graph.
        """
        if self.graph == "windowed":
            return [b""] * len(assets)
        self._reserve(int(assets.max(initial=-1)) + 1)
        whole = np.empty((len(assets), self._calls.state_size + 1), STATE)
        whole[:, :-1] = self._states[assets]
        whole[:, -1] = self._to_come[assets].astype("<i4").view(STATE)
        return [row.tobytes() for row in whole]

    def ages_of(self, assets: Ints) -> list[int]:
        """Rows that went into the state of each since its series, or the state, began; 0 of a windowed graph."""
        self._reserve(int(assets.max(initial=-1)) + 1)
        ages: list[int] = self._ages[assets].tolist()
        return ages

    def restore(
        self,
        asset: int,
        rows: Array,
        series: Ints,
        current_series: int,
        state: bytes | None,
        *,
        state_ok: bool,
        age: int,
    ) -> None:
        """Puts an asset back as the journal has it. Its next step gives the same bits as without the interruption.

        Args:
            asset: its number.
            rows: that the journal keeps, oldest first, float32 `[k, channels]`.
            series: to which each of them belongs, int64 `[k]`.
            current_series: to which the next row belongs unless it starts one.
            state: what `state_of` gave, or None.
            state_ok: whether that was with this bundle. Otherwise, and where the state is none of this graph, a new
                one is warmed up from the rows of the current series.
            age: what `ages_of` gave.

        Raises:
            BundleError: onnxruntime cannot run the graph.
        """
        self._reserve(asset + 1)
        own = np.ascontiguousarray(rows[series == current_series], np.float32)
        self._series.put(asset, own)
        if self.graph == "windowed":
            return
        if not (state_ok and age >= 0 and self._take_state(asset, state)):
            age = self._recall(asset, own[len(own) - min(len(own), self.warm_up) :])
        self._ages[asset] = age

    def _reserve(self, assets: int) -> None:
        self._series.reserve(assets)
        slots = slots_for(assets, len(self._ages))
        if slots > len(self._ages):
            self._states, self._ages = grown(self._states, slots), grown(self._ages, slots)  # type: ignore[assignment]
            self._to_come = grown(self._to_come, slots)  # type: ignore[assignment]

    def _windowed(self, assets: Ints, rows: Array, starts: Bools) -> Answers:
        counts = np.where(starts, 0, self._series.counts(assets))
        due = np.flatnonzero(counts >= self.warm_up - 1)
        ready, refused = np.zeros(len(assets), np.bool_), np.zeros(len(assets), np.bool_)
        outputs: dict[str, Array] = {}
        if len(due):
            windows = self._series.windows(assets[due], rows[due], self.warm_up)
            results = self._calls.run(windows, self._states[assets[due]])
            outputs = {name: _spread(array, due, len(assets)) for name, array in results.answers.items()}
            refused[due] = results.refused
            ready[due] = ~results.refused
        self._write_rows(assets, rows, starts, refused)
        return Answers(ready, outputs, np.zeros(len(assets), np.bool_), refused)

    def _streamed(self, assets: Ints, rows: Array, starts: Bools) -> Answers:
        ages = np.where(starts, 0, self._ages[assets])
        to_come = np.where(starts, 0, self._to_come[assets])
        states = self._states[assets]
        states[starts] = 0.0
        too_old = np.zeros(len(assets), np.bool_) if self._max_age is None else (ages >= self._max_age) & ~starts
        if too_old.any():
            results = self._renewed(assets, rows, states, too_old)
            ages[too_old] = np.minimum(self._series.counts(assets[too_old]) + 1, max(self.warm_up, 1)) - 1
            to_come[too_old] = self.warm_up
        else:
            results = self._calls.run(rows[:, None], states)
        refused = results.refused
        ages = np.where(refused, 0, ages + 1)
        to_come = np.where(refused, 0, np.maximum(to_come - 1, 0))
        self._states[assets], self._ages[assets], self._to_come[assets] = results.states, ages, to_come
        self._write_rows(assets, rows, starts, refused)
        return Answers(~refused & (ages >= self.warm_up), results.answers, to_come > 0, refused)

    def _renewed(self, assets: Ints, rows: Array, states: Array, too_old: Bools) -> Results:
        """The step of assets some of whose states are too old: those begin anew from their last rows, each alone."""
        every: list[Results | None] = [None] * len(assets)
        for i in np.flatnonzero(too_old):
            length = min(int(self._series.counts(assets[i : i + 1])[0]) + 1, max(self.warm_up, 1))
            window = self._series.windows(assets[i : i + 1], rows[i : i + 1], length)[0]
            every[i] = self._calls.run_alone(window, np.zeros_like(states[i]))
        going_on = np.flatnonzero(~too_old)
        if len(going_on):
            results = self._calls.run(rows[going_on, None], states[going_on])
            for place, i in enumerate(going_on):
                every[i] = results.part(place)
        return Results.joined([one for one in every if one is not None])

    def _write_rows(self, assets: Ints, rows: Array, starts: Bools, refused: Bools) -> None:
        self._series.clear(assets[starts | refused])
        taken = ~refused
        self._series.append(assets[taken], rows[taken])

    def _take_state(self, asset: int, state: bytes | None) -> bool:
        """Takes a state as it is, if it may be one of this graph."""
        if state is None or len(state) != STATE.itemsize * (self._calls.state_size + 1):
            return False
        numbers = np.frombuffer(state, STATE)
        to_come = int(numbers[-1:].view("<i4")[0])
        if not np.isfinite(numbers[:-1]).all() or not 0 <= to_come <= self.warm_up:
            return False
        self._states[asset], self._to_come[asset] = numbers[:-1], to_come
        return True

    def _recall(self, asset: int, rows: Array) -> int:
        """Warms up a state from rows that were kept.

        Returns:
            Rows that have gone into it.
        """
        self._states[asset], self._to_come[asset] = 0.0, 0
        if not len(rows):
            return 0
        results = self._calls.run_alone(rows, self._states[asset])
        self._states[asset] = results.states[0]
        if results.refused[0]:
            self._series.clear(np.array([asset]))
            return 0
        self._to_come[asset] = self.warm_up
        return len(rows)


def chosen_graph(manifest: BundleManifest, graph: GraphChoice) -> GraphName:
    """The graph that is run.

    Raises:
        ConfigError: the bundle has not the one that is asked for.
    """
    if graph == "auto":
        endless = manifest.state is not None and manifest.state.max_age is None
        return "streaming" if "streaming" in manifest.names and (endless or len(manifest.names) == 1) else "windowed"
    if graph not in manifest.names:
        raise ConfigError(
            f"signal.graph: the bundle {manifest.name} has no such graph",
            got=graph,
            allowed=", ".join(("auto", *manifest.names)),
            fix="graph = 'auto'",
        )
    return graph


def _signal(bundle: Bundle) -> SignalSpec:
    if bundle.manifest.signal is None:
        raise BundleError(f"no gateway can run {bundle.folder}", got="no signal", fix="export it with --signal")
    return bundle.manifest.signal


def _settled(
    bundle: Bundle, name: GraphName, window_length: int, policy: SessionPolicy | None, session_file: Path | None
) -> SharedCalls:
    """The graph, opened and tried out."""
    tuned, precision = (None, None) if session_file is None else policy_for(bundle, name, session_file)
    entry = bundle.manifest.graph(name, precision)
    if name == "streaming" and entry.limits.at_least(entry.signature.sequence_axis) > 1:
        least = entry.limits.at_least(entry.signature.sequence_axis)
        raise BundleError(f"{entry.file} cannot be run row by row", got=f"{least} samples at least", allowed="1")
    calls = SharedCalls(bundle.guarded(entry, policy or tuned), mixes_series=entry.mixes_series)
    rows = drawn_rows(bundle, name, LARGEST, window_length if name == "windowed" else 1)
    states = np.random.default_rng(1).uniform(-1, 1, (LARGEST, calls.state_size)).astype(np.float32)
    calls.settle(rows, states)
    return calls


def drawn_rows(bundle: Bundle, graph: GraphName, series: int, sequence: int) -> Array:
    """Rows as the graph may meet them: pieces of the golden vectors, each number moved by a tenth of its spread.

    Others would not do: far from what the model was trained on every gate is shut, and all sums round to the same.

    Returns:
        float32 `[series, sequence, channels]`, always the same for a bundle.
    """
    draw = np.random.default_rng(0)
    x = bundle.manifest.graph(graph).signature.data[0]
    channels = int(x.axes[-1])
    cases = unpack_golden(bundle.read(GOLDEN)) if GOLDEN in bundle.manifest.files else []
    given = [case.inputs[x.name] for case in cases if case.graph == graph and x.name in case.inputs]
    known = [array.reshape(-1, channels) for array in given if array.shape[-1:] == (channels,)]
    pool = np.concatenate(known) if known else draw.standard_normal((2, channels)).astype(np.float32)
    places = draw.integers(len(pool), size=(series, 1)) + np.arange(sequence)
    rows = pool[places % len(pool)]  # [series, sequence, channels]
    spread = pool.std(axis=0, dtype=np.float64)
    return np.asarray(rows + 0.1 * spread * draw.standard_normal(rows.shape), np.float32)


def _spread(array: Array, places: Ints, size: int) -> Array:
    """`[size, ...]` with the parts at their places and zeros elsewhere."""
    if len(places) == size:
        return array
    whole = np.zeros((size, *array.shape[1:]), array.dtype)
    whole[places] = array
    return whole
