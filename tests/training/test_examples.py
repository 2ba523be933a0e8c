"""The windows that are looked at are the best, the median and the worst, target by target."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_tables import MINUTE_US, sensor_table

from toolkit.contract.signals import Channel, SignalSpec
from toolkit.training.examples import KINDS, examples_of, ranked, window_errors
from toolkit.training.forecaster import Forecaster, Windows

SIGNAL = SignalSpec(
    (Channel("t", "t", "value", "degC"), Channel("p", "p", "value", "Pa")), ("p", "t"), 60.0
)  # fmt: skip
WINDOW, HORIZON = 4, 2


def rows(count=30):
    """`t` counts the rows and `p` is a hundred times that."""
    return np.stack([np.arange(count), 100.0 * np.arange(count)], axis=1).astype(np.float64)


def forecaster(forecast, **changes):
    return Forecaster("told", forecast, SIGNAL, WINDOW, HORIZON, None, **changes)


def windows_of(count=30, assets=None):
    table = sensor_table(rows(count), ("t", "p"), assets)
    return Windows(table, np.arange(count - WINDOW - HORIZON + 1))


def wrong_by(offset):
    """Forecasts the truth plus `offset(begin)`, `[targets]`, where `begin` is the window's first row."""

    def forecast(x):
        begin = x[:, :1, :1].astype(np.float64)  # [windows, 1, 1]
        step = begin + WINDOW + np.arange(HORIZON)[None, :, None]
        return step * [100.0, 1.0] + offset(begin)

    return forecast


def errors_of(found, windows):
    """Errors of all windows, one after the other."""
    picked = []
    for begin in windows.starts:
        both = windows.table.values[begin : begin + WINDOW + HORIZON].astype(np.float32)[None]
        forecast, _ = found.answers(both[:, :WINDOW])
        picked.append(forecast - both[:, WINDOW:][..., [1, 0]])
    return window_errors(np.concatenate(picked))


def test_best_median_and_worst_of_each_target():
    found = forecaster(wrong_by(lambda begin: np.concatenate([begin + 1.0, 50.0 - begin], axis=2)))
    windows = windows_of()
    examples = examples_of(found, windows, errors_of(found, windows), {})
    assert [(each.target, each.kind) for each in examples] == [(t, kind) for t in ("p", "t") for kind in KINDS]
    begins = [round(each.history[0] / (100.0 if each.target == "p" else 1.0)) for each in examples]
    assert begins == [0, 12, 24, 24, 12, 0]
    for example, error in zip(examples, (1.0, 13.0, 25.0, 26.0, 38.0, 50.0), strict=True):
        assert example.error == pytest.approx(error)
        np.testing.assert_allclose(np.subtract(example.forecast, example.truth), error)
        assert example.unit == {"p": "Pa", "t": "degC"}[example.target]


def test_an_example_holds_what_stood_in_the_table():
    found = forecaster(wrong_by(lambda begin: np.zeros((1, 1, 2))))
    windows = windows_of()
    worst = examples_of(
        found, windows, np.arange(25.0)[:, None].repeat(2, axis=1), {"minus": lambda x: np.full((len(x), 2, 2), -1.0)}
    )[2]
    minute = MINUTE_US / 1e6
    assert worst.history == (2_400.0, 2_500.0, 2_600.0, 2_700.0)
    assert worst.history_times_s == tuple(minute * row for row in (24, 25, 26, 27))
    assert (worst.truth, worst.times_s) == ((2_800.0, 2_900.0), (28 * minute, 29 * minute))
    assert worst.forecast == worst.truth
    assert worst.baselines == {"minus": (-1.0, -1.0)}
    assert worst.quantiles == {}
    assert (worst.asset, worst.error) == ("0", 0.0)


def test_an_example_of_another_asset_bears_its_name():
    found = forecaster(wrong_by(lambda begin: np.zeros((1, 1, 2))))
    windows = windows_of(assets=np.repeat([0, 1], 15))
    windows = dataclasses.replace(windows, starts=np.array([0, 15]))
    errors = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert [each.asset for each in examples_of(found, windows, errors, {})] == ["1", "1", "0", "0", "0", "1"]


def test_quantiles_stand_by_their_level():
    def quantiles(x):
        middle = wrong_by(lambda begin: np.zeros((1, 1, 2)))(x)
        return np.stack([middle - 2.0, middle, middle + 3.0], axis=-1)

    found = forecaster(lambda x: quantiles(x)[..., 1], levels=(0.05, 0.5, 0.95), quantiles=quantiles)
    best = examples_of(found, windows_of(), np.ones((25, 2)), {})[0]
    assert best.quantiles.keys() == {"0.05", "0.5", "0.95"}
    np.testing.assert_allclose(np.subtract(best.quantiles["0.95"], best.forecast), 3.0)
    np.testing.assert_allclose(np.subtract(best.quantiles["0.05"], best.forecast), -2.0)
    assert best.quantiles["0.5"] == best.forecast


def test_of_a_long_window_the_last_rows_are_shown():
    found = dataclasses.replace(forecaster(lambda x: np.zeros((len(x), 2, 2))), window_length=200)
    windows = Windows(sensor_table(rows(210), ("t", "p")), np.array([3]))
    example = examples_of(found, windows, np.zeros((1, 2)), {})[3]
    assert example.history == tuple(map(float, range(83, 203)))
    assert example.times_s[0] == 203 * 60.0


def test_of_many_targets_the_first_twelve_have_examples():
    assert window_errors(np.ones((5, 3, 40))).shape == (5, 12)


def test_of_equal_windows_the_first_is_taken_and_nan_is_worst():
    errors = np.array([[2.0, 1.0], [1.0, np.nan], [1.0, 1.0], [2.0, 3.0]])
    assert ranked(errors).tolist() == [[1, 0], [1, 0], [0, 1]]
    assert ranked(np.array([[np.nan], [1.0]])).tolist() == [[1], [1], [0]]
    assert ranked(np.array([[4.0]])).tolist() == [[0], [0], [0]]


@given(st.lists(st.integers(0, 6).map(float), min_size=1, max_size=40))
def test_ranks_are_those_of_sorting(errors):
    order = sorted(errors)
    wanted = [errors.index(order[place]) for place in (0, (len(order) - 1) // 2, -1)]
    assert ranked(np.array(errors)[:, None])[:, 0].tolist() == wanted
