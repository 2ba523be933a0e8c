import numpy as np
import pytest

from toolkit.errors import ConfigError
from toolkit.model import torch_graphs
from toolkit.parity.inputs import InputSource

MEAN, STD = np.array([101_325.0, 20.0, -3.0]), np.array([50.0, 2.0, 0.1])
STRETCHES, LENGTH = 3, 20


@pytest.fixture(scope="module")
def samples():
    """Counts upward along each stretch, so that every reading tells where it came from."""
    steps = np.arange(STRETCHES * LENGTH, dtype=np.float32).reshape(STRETCHES, LENGTH, 1)
    return np.repeat(steps, 3, axis=2)


@pytest.fixture(scope="module")
def made_up(model):
    return InputSource(torch_graphs(model), None, seed=5)


@pytest.fixture(scope="module")
def real(model, samples):
    return InputSource(torch_graphs(model), samples, seed=5)


def standardised(x):
    return (x.astype(np.float64) - MEAN) / STD


def test_readings_are_used_where_there_are_any(made_up, real):
    assert made_up.families == ("normal", "walk")
    assert real.families == ("data", "noisy")


@pytest.mark.parametrize("family", ["normal", "walk", "data", "noisy"])
def test_shapes_and_types(real, family):
    windowed = real.feed("windowed", family, 4, 7)
    assert list(windowed) == ["x"]
    streaming = real.feed("streaming", family, 4, 7)
    assert list(streaming) == ["x", "h0", "c0"]
    assert windowed["x"].shape == streaming["x"].shape == (4, 7, 3)
    assert streaming["h0"].shape == streaming["c0"].shape == (1, 4, 8)
    for array in (*windowed.values(), *streaming.values()):
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert np.isfinite(array).all()
    assert np.abs(streaming["h0"]).max() <= 1.0


def test_a_time_major_model_gets_the_same_readings_the_other_way_round(made_up, forecaster):
    turned = InputSource(torch_graphs(forecaster(batch_first=False)), None, seed=5).feed("streaming", "walk", 4, 7)
    plain = made_up.feed("streaming", "walk", 4, 7)
    assert turned["x"].shape == (7, 4, 3)
    assert turned["x"].flags.c_contiguous
    np.testing.assert_array_equal(turned["x"].swapaxes(0, 1), plain["x"])
    np.testing.assert_array_equal(turned["h0"], plain["h0"])


@pytest.mark.parametrize("family", ["normal", "walk", "data", "noisy"])
def test_the_same_request_gives_the_same_inputs_and_another_one_others(real, model, samples, family):
    first = real.feed("streaming", family, 4, 7)
    np.testing.assert_equal(real.feed("streaming", family, 4, 7), first)
    assert not np.array_equal(real.feed("streaming", family, 4, 8)["x"][:, :7], first["x"])
    other = InputSource(torch_graphs(model), samples, seed=6).feed("streaming", family, 4, 7)
    assert not np.array_equal(other["x"], first["x"])
    assert not np.array_equal(other["h0"], first["h0"])


@pytest.mark.parametrize("family", ["normal", "walk"])
def test_made_up_inputs_are_ordinary(made_up, family):
    x = standardised(made_up.feed("windowed", family, 64, 200)["x"])
    assert np.abs(x).max() < 10.0
    np.testing.assert_allclose(x.mean(axis=(0, 1)), 0.0, atol=0.1)
    np.testing.assert_allclose(x.std(axis=(0, 1)), 1.0, atol=0.1)


def test_a_walk_is_slow_and_white_noise_is_not(made_up):
    def inertia(family):
        x = standardised(made_up.feed("windowed", family, 64, 200)["x"])
        return np.mean(x[:, 1:] * x[:, :-1])

    assert inertia("walk") > 0.9
    assert abs(inertia("normal")) < 0.1


def test_windows_of_data_are_pieces_of_one_stretch(real):
    x = real.feed("windowed", "data", 50, 6)["x"][..., 0]
    np.testing.assert_array_equal(np.diff(x, axis=1), 1.0)
    assert {int(first) // LENGTH for first in x[:, 0]} == set(range(STRETCHES))
    assert all(int(first) // LENGTH == int(last) // LENGTH for first, last in zip(x[:, 0], x[:, -1], strict=True))


def test_a_window_of_the_whole_stretch(real):
    x = real.feed("windowed", "data", 5, LENGTH)["x"][..., 0]
    np.testing.assert_array_equal(np.diff(x, axis=1), 1.0)


def test_a_stretch_that_is_too_short_is_mirrored_at_its_ends(real):
    x = real.feed("windowed", "data", 5, 2 * LENGTH)["x"][..., 0] % LENGTH
    there_and_back = [*range(LENGTH), *range(LENGTH - 2, -1, -1), 1]
    np.testing.assert_array_equal(x, np.tile(there_and_back, (5, 1)))


def test_stretches_of_one_sample(model):
    source = InputSource(torch_graphs(model), np.ones((2, 1, 3), np.float32))
    np.testing.assert_array_equal(source.feed("windowed", "data", 2, 4)["x"], np.ones((2, 4, 3)))


def test_noise_is_half_a_standard_deviation_of_each_channel(model):
    readings = np.broadcast_to(MEAN.astype(np.float32), (1, 10, 3))
    noise = standardised(InputSource(torch_graphs(model), readings).feed("windowed", "noisy", 64, 100)["x"])
    np.testing.assert_allclose(noise.std(axis=(0, 1)), 0.5, atol=0.02)


@pytest.mark.parametrize("family", ["data", "noisy"])
def test_no_readings_no_data(made_up, family):
    with pytest.raises(ConfigError, match=f"inputs; got '{family}'; allowed: normal, walk"):
        made_up.feed("windowed", family, 1, 1)


def test_an_unknown_family(real):
    with pytest.raises(ConfigError, match="inputs; got 'nonsense'; allowed: data, noisy, constant"):
        real.feed("windowed", "nonsense", 1, 1)
