import numpy as np
import pytest

from toolkit.parity.families import DENORMAL, FAMILIES, FAR, HARD, Draw

OFFSET, SCALE = np.array([101_325.0, 20.0, -3.0]), np.array([50.0, 2.0, 0.1])
BATCH, SEQUENCE, CHANNELS = 6, 9, 3


def drawn(family, seed=0):
    samples = np.ones((2, 4, CHANNELS), np.float32)
    return FAMILIES[family](Draw(np.random.default_rng(seed), OFFSET, SCALE, samples), BATCH, SEQUENCE, CHANNELS)


def standardised(family):
    return (drawn(family) - OFFSET) / SCALE


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_finite_in_float32_and_drawn_from_its_seed(family):
    readings = drawn(family)
    assert readings.shape == (BATCH, SEQUENCE, CHANNELS)
    assert np.isfinite(readings.astype(np.float32)).all()
    np.testing.assert_array_equal(readings, drawn(family))


def test_a_sensor_that_stands_still():
    readings = standardised("constant")
    np.testing.assert_allclose(np.ptp(readings, axis=1), 0.0, atol=1e-9)
    assert readings.std() > 0.5


def test_ramps_are_straight_and_steps_have_two_levels():
    np.testing.assert_allclose(np.diff(standardised("ramps"), n=2, axis=1), 0.0, atol=1e-8)
    steps = drawn("steps")
    assert all(len(np.unique(steps[b, :, c])) <= 2 for b in range(BATCH) for c in range(CHANNELS))
    assert any(len(np.unique(steps[b, :, 0])) == 2 for b in range(BATCH))


def test_exact_numbers():
    assert (drawn("zeros") == 0).all()
    assert 0.3 < (drawn("sparse") == 0).mean() < 0.7
    assert (drawn("whole") == np.rint(drawn("whole"))).all()
    assert 0 < np.abs(drawn("denormal")).max() < 10 * DENORMAL


def test_far_is_far_and_one_channel_is_far_alone():
    np.testing.assert_allclose(np.abs(standardised("far")), FAR)
    far = np.abs(standardised("one channel far")).min(axis=1) > 0.9 * FAR  # [batch, channels]
    np.testing.assert_array_equal(far, np.eye(CHANNELS, dtype=bool)[np.arange(BATCH) % CHANNELS])


def test_no_hard_family_is_an_ordinary_one():
    assert not HARD.keys() & {"data", "noisy", "normal", "walk"}
