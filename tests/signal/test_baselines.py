import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.signal.baselines import find_season, fit_linear, persistence, seasonal_naive

RNG = np.random.default_rng(0)


def test_persistence_repeats_the_last_value():
    history = np.arange(12.0).reshape(2, 3, 2)
    assert persistence(history, 2).tolist() == [[[4, 5], [4, 5]], [[10, 11], [10, 11]]]


def test_seasonal_naive_repeats_the_last_season():
    history = np.array([9.0, 1, 2, 3]).reshape(1, 4, 1)
    assert seasonal_naive(history, 7, 3).ravel().tolist() == [1, 2, 3, 1, 2, 3, 1]
    assert seasonal_naive(history, 2, 3).ravel().tolist() == [1, 2]


@given(season=st.integers(1, 20), extra=st.integers(0, 20), horizon=st.integers(1, 50))
def test_what_repeats_exactly_is_forecast_exactly(season, extra, horizon):
    length = season + extra
    series = np.tile(np.arange(float(season)), (length + horizon) // season + 1)[: length + horizon]
    forecast = seasonal_naive(series[None, :length, None], horizon, season)
    assert forecast.ravel().tolist() == series[length:].tolist()


def test_a_season_of_one_is_persistence():
    history = RNG.standard_normal((3, 8, 2))
    assert np.array_equal(seasonal_naive(history, 5, 1), persistence(history, 5))


def season_of(values, longest, segments=None):
    segments = np.zeros(len(values), np.int64) if segments is None else segments
    return find_season(values.reshape(len(values), -1), segments, longest)


@pytest.mark.parametrize("season", [5, 12, 24])
def test_a_season_is_found_under_noise_and_drift(season):
    steps = np.arange(60 * season)
    values = np.sin(2 * np.pi * steps / season) + 0.3 * RNG.standard_normal(steps.size) + steps / 100
    assert season_of(values, 2 * season + 3) == season


def test_of_a_day_and_a_week_the_day_is_taken():
    hours = np.arange(24 * 7 * 8)
    values = np.sin(2 * np.pi * hours / 24) + 0.1 * np.sin(2 * np.pi * hours / 168)
    assert season_of(values, 200) == 24


def test_steps_between_two_series_do_not_count():
    one = np.sin(2 * np.pi * np.arange(36) / 12)
    values = np.concatenate([one + 1000 * number for number in range(6)])
    # Cut after 34 rows: counted across the cuts, the series would be shifted against one another.
    kept = np.tile(np.arange(36) < 34, 6)
    segments = np.repeat(np.arange(6), 36)
    assert season_of(values[kept], 20, segments[kept]) == 12


@pytest.mark.parametrize("values", [np.arange(50.0), np.ones(50), np.ones(2), np.ones(1)], ids=str)
def test_where_nothing_repeats_the_whole_window_is_the_season(values):
    assert season_of(values, 10) == 10


def test_a_window_of_one_has_a_season_of_one():
    assert season_of(RNG.standard_normal(50), 1) == 1


def test_the_linear_baseline_is_least_squares_on_windows_without_their_last_value():
    random = np.random.default_rng(0)
    scale = np.array([2.0, 50.0])
    series = np.cumsum(random.standard_normal((400, 2)), axis=0) * scale + [5.0, 101_325.0]
    starts = np.arange(300)
    history = np.stack([series[s : s + 10] for s in starts])  # [windows, 10, targets]
    future = np.stack([series[s + 10 : s + 13] for s in starts])
    found = fit_linear(((history[i : i + 64], future[i : i + 64]) for i in range(0, 300, 64)), scale)
    x = np.concatenate([((history - history[:, -1:]) / scale)[..., t] for t in (0, 1)])
    y = np.concatenate([((future - history[:, -1:]) / scale)[..., t] for t in (0, 1)])
    x = np.concatenate([x[:, :-1], np.ones((600, 1))], axis=1)  # the last column is 0
    wanted = np.linalg.lstsq(x, y, rcond=None)[0]
    np.testing.assert_allclose(found.weights[:-1], wanted[:-1], rtol=1e-3, atol=1e-4)
    forecast = found.forecast(history[:5])
    assert forecast.shape == (5, 3, 2)
    by_hand = (x[:5] @ wanted) * scale[0] + history[:5, -1:, 0]
    np.testing.assert_allclose(forecast[..., 0], by_hand, rtol=1e-4, atol=1e-3)


def test_the_linear_baseline_continues_a_line_at_any_level():
    steps = np.arange(40.0)
    windows = [(steps[s : s + 8, None], steps[s + 8 : s + 11, None]) for s in range(25)]
    found = fit_linear([(np.stack([x for x, _ in windows]), np.stack([y for _, y in windows]))], np.array([11.5]))
    far = 1e6 + np.arange(8.0)[None, :, None]
    np.testing.assert_allclose(found.forecast(far)[0, :, 0], 1e6 + np.arange(8.0, 11.0), atol=1e-2)


def test_a_linear_baseline_needs_a_window():
    with pytest.raises(ValueError, match="no window"):
        fit_linear([], np.ones(1))
