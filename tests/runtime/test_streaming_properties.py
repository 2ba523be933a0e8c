"""A stream may be cut, shared, stored and resumed in any way: the answers are those of one unbroken run.

On x86 onnxruntime gives them bit for bit; that is a property of its kernels and promised nowhere, so a few roundings of
float32 are allowed. The same calls on the same bytes, as after a restart, are held to the bit.
"""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.export import export_graph
from toolkit.model import MultivariateLSTM
from toolkit.model.torch_graph import torch_graphs
from toolkit.runtime.predictors import StreamingPredictor
from toolkit.runtime.session import create_session

ASSETS, LENGTH = 50, 12
MEAN, STD = np.float32([101_325, 20, -3]), np.float32([50, 2, 0.1])
TARGETS = [2, 0]
ROUNDING = 2.0**-20
"""Eight times float32's relative step: of a state, and of a forecast in standard deviations."""

NEAR = settings(deadline=None, max_examples=25, database=None)


@pytest.fixture(scope="module", params=["lstm", "gru"])
def start(request):
    """Loads the same streaming graph anew, as a restarted process does. Two layers: a state's batch axis is inside."""
    torch.manual_seed(3)
    model = MultivariateLSTM(3, 8, 2, horizon=2, targets=2, batch_first=True, cell=request.param)
    model.set_scaling(torch.from_numpy(MEAN), torch.from_numpy(STD), TARGETS)
    content = export_graph(model.eval(), "streaming").SerializeToString()
    tensors = torch_graphs(model)["streaming"].tensors
    return lambda: StreamingPredictor(create_session(content), tensors)


@pytest.fixture(scope="module")
def stream(start):
    return start()


@pytest.fixture(scope="module")
def signals():
    """Fifty assets, every fifth far out of range, where the gates are saturated."""
    deviations = np.random.default_rng(5).standard_normal((ASSETS, LENGTH, 3))
    deviations[::5] *= 1e3
    return (MEAN + STD * deviations).astype(np.float32)


@pytest.fixture(scope="module")
def alone(stream, signals):
    """What fifty separate runs answer, each over its whole signal at once."""
    return [stream.advance(signal[np.newaxis], stream.zero_state(1)) for signal in signals]


def assert_near(answer, wanted):
    (forecast, state), (right, right_state) = answer, wanted
    steps = np.spacing(np.abs(right))  # a raw forecast is stored near 101,325
    assert (np.abs(forecast - right) <= 4 * ROUNDING * STD[TARGETS] + steps).all()
    assert state.keys() == right_state.keys()
    for name, array in state.items():
        assert (np.abs(array - right_state[name]) <= ROUNDING * np.maximum(1, np.abs(array))).all()


def in_pieces(stream, samples, cuts, state):
    """Advances piece by piece."""
    forecasts = []
    for piece in np.split(samples, cuts, axis=1):
        forecast, state = stream.advance(np.ascontiguousarray(piece), state)
        forecasts.append(forecast)
    return np.concatenate(forecasts, axis=1), state


CUTS = st.lists(st.integers(1, LENGTH - 1), unique=True).map(sorted)


@NEAR
@given(cuts=CUTS, batch=st.integers(1, 7), first=st.integers(0, ASSETS - 7))
def test_any_chunking_equals_the_whole_sequence(cuts, batch, first, stream, signals):
    samples = signals[first : first + batch]
    whole = stream.advance(samples, stream.zero_state(batch))
    assert_near(in_pieces(stream, samples, cuts, stream.zero_state(batch)), whole)


class Fleet:
    """Fifty assets, each with its state and what was forecast so far; any of them advance in one call."""

    def __init__(self, stream, signals):
        self.stream, self.signals = stream, signals
        self.states = [stream.zero_state(1) for _ in signals]
        self.forecasts = [[] for _ in signals]
        self.taken = [0] * len(signals)

    def advance(self, assets, length):
        """The next samples of each, those left out that have fewer left."""
        assets = [asset for asset in assets if self.taken[asset] + length <= LENGTH]
        if not assets:
            return
        samples = np.stack([self.signals[asset][self.taken[asset] :][:length] for asset in assets])
        given = {name: np.concatenate([self.states[asset][name] for asset in assets], 1) for name in self.states[0]}
        forecasts, states = self.stream.advance(samples, given)
        for row, asset in enumerate(assets):
            self.states[asset] = {name: array[:, row : row + 1] for name, array in states.items()}
            self.forecasts[asset].append(forecasts[row : row + 1])
            self.taken[asset] += length

    def finish(self):
        """What is left of each signal, those that have as much left together."""
        for taken in set(self.taken) - {LENGTH}:
            self.advance([asset for asset in range(ASSETS) if self.taken[asset] == taken], LENGTH - taken)

    def answer(self, asset):
        return np.concatenate(self.forecasts[asset], axis=1), self.states[asset]


CALLS = st.lists(
    st.tuples(st.lists(st.integers(0, ASSETS - 1), unique=True, min_size=1, max_size=ASSETS), st.integers(1, 5)),
    min_size=1,
    max_size=12,
)
"""Which assets advance in a call, in which order, and by how many samples."""


@NEAR
@given(calls=CALLS)
def test_fifty_interleaved_assets_equal_fifty_separate_runs(calls, stream, signals, alone):
    fleet = Fleet(stream, signals)
    for assets, length in calls:
        fleet.advance(assets, length)
    fleet.finish()
    for asset, wanted in enumerate(alone):
        assert_near(fleet.answer(asset), wanted)


def stored(state):
    """Through the bytes of a file and back."""
    file = io.BytesIO()
    np.savez(file, **state)
    with np.load(io.BytesIO(file.getvalue()), allow_pickle=False) as arrays:
        return dict(arrays)


@NEAR
@given(cuts=CUTS.filter(len), batch=st.integers(1, 7), data=st.data())
def test_a_run_resumed_from_a_stored_state_is_equal_to_the_bit(cuts, batch, data, start, stream, signals):
    """The same calls as in an unbroken run, of which those after any cut are made by a new session."""
    samples, broken = signals[:batch], data.draw(st.integers(1, len(cuts)))
    unbroken, last = in_pieces(stream, samples, cuts, stream.zero_state(batch))
    place, before, after = cuts[broken - 1], cuts[: broken - 1], cuts[broken:]
    _, state = in_pieces(stream, samples[:, :place], before, stream.zero_state(batch))
    resumed, end = in_pieces(start(), samples[:, place:], [cut - place for cut in after], stored(state))
    np.testing.assert_array_equal(resumed, unbroken[:, place:], strict=True)
    assert end.keys() == last.keys()
    for name, array in end.items():
        np.testing.assert_array_equal(array, last[name], strict=True)
