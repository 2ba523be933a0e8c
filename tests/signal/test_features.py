import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from toolkit.errors import ConfigError, InputError
from toolkit.signal import features as features_file
from toolkit.signal.features import FEATURES, feature_unit, interval_edges, interval_features, interval_start

ALL = tuple(FEATURES)
MINUTE_US = 60_000_000


def one(values, feature):
    times = np.arange(len(values))
    return interval_features(times, np.array(values, float), np.array([0, len(values)]), [feature])[0, 0]


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        ("mean", 0.0),
        ("std", math.sqrt(26 / 3)),
        ("min", -4.0),
        ("max", 3.0),
        ("peak", 4.0),
        ("rms", math.sqrt(26 / 3)),
        ("peak_to_peak", 7.0),
        ("count", 3.0),
        ("last", 1.0),
        ("crest_factor", 4.0 / math.sqrt(26 / 3)),
        ("kurtosis", (338 / 3) / (26 / 3 * (26 / 3))),
        ("slope", -1e6),  # a microsecond apart
    ],
)
def test_each_feature_of_three_samples(feature, expected):
    assert one([3.0, -4.0, 1.0], feature) == expected


def test_every_feature_has_an_expected_value_above():
    parameters = test_each_feature_of_three_samples.pytestmark[0].args[1]
    assert [feature for feature, _ in parameters] == list(ALL)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    counts=st.lists(st.one_of(st.just(0), st.integers(1, 40), st.integers(100, 700)), min_size=1, max_size=12),
    offset=st.sampled_from([0.0, 101_325.0, -273.15, 1e9]),
    spread=st.sampled_from([1e-3, 1.0, 50.0]),
)
@example(seed=0, counts=[600, 0, 0, 600, 1, 0], offset=101_325.0, spread=50.0)
@example(seed=1, counts=[1, 7, 8, 9, 127, 128, 129, 1000, 1025], offset=101_325.0, spread=50.0)
def test_whole_array_and_one_interval_at_a_time_give_the_same_bits(seed, counts, offset, spread):
    rng = np.random.default_rng(seed)
    edges = interval_edges(0, (len(counts) - 1) * MINUTE_US, MINUTE_US)
    buffers = [np.sort(rng.integers(edges[i], edges[i + 1], count)) for i, count in enumerate(counts)]
    readings = [offset + spread * rng.standard_normal(count) for count in counts]
    whole = interval_features(np.concatenate(buffers), np.concatenate(readings), edges, ALL)
    singly = [
        interval_features(times, values, edges[i : i + 2], ALL)
        for i, (times, values) in enumerate(zip(buffers, readings, strict=True))
    ]
    assert whole.tobytes() == np.concatenate(singly).tobytes()


@pytest.mark.parametrize("block", [1, 7, 64, 100_000])
def test_the_size_of_a_block_changes_no_bit(monkeypatch, block):
    rng = np.random.default_rng(0)
    times = np.sort(rng.integers(0, 50 * MINUTE_US, 1000))
    times = times[(times < 20 * MINUTE_US) | (times > 23 * MINUTE_US)]  # intervals without samples between blocks
    values = 101_325 + 50 * rng.standard_normal(times.size)
    edges = interval_edges(2 * MINUTE_US, 45 * MINUTE_US, MINUTE_US)
    expected = interval_features(times, values, edges, ALL)
    monkeypatch.setattr(features_file, "BLOCK_SAMPLES", block)
    assert interval_features(times, values, edges, ALL).tobytes() == expected.tobytes()


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_features_agree_with_numpy(values):
    array = np.array(values)
    assert one(values, "mean") == pytest.approx(array.mean(), abs=1e-9)
    assert one(values, "std") == pytest.approx(array.std(), rel=1e-9, abs=1e-9)
    assert one(values, "rms") == pytest.approx(math.sqrt((array**2).mean()), abs=1e-9)
    assert one(values, "min") == array.min()
    assert one(values, "max") == array.max()
    assert one(values, "peak") == np.abs(array).max()


def test_a_small_spread_on_a_large_offset_keeps_its_digits():
    wave = 1e-3 * np.sin(np.linspace(0, 20 * np.pi, 600, endpoint=False))
    assert one(1e9 + np.round(wave * 2**20) / 2**20, "std") == pytest.approx(1e-3 / math.sqrt(2), rel=1e-4)


@pytest.mark.parametrize("value", [0.1, 101_325.7, 1e9 / 3])
def test_a_constant_interval_has_its_value_as_mean_and_no_deviation(value):
    assert one([value] * 601, "mean") == value
    assert one([value] * 601, "std") == 0.0


@pytest.mark.parametrize("value", [0.0, 0.1, -101_325.7, 1e9 / 3])
def test_a_constant_interval_has_a_crest_factor_of_one_normal_kurtosis_and_no_slope(value):
    assert one([value] * 601, "crest_factor") == pytest.approx(1.0)
    assert one([value] * 601, "kurtosis") == 3.0
    assert one([value] * 601, "slope") == 0.0


@pytest.mark.parametrize("offset", [0.0, 101_325.0])
def test_kurtosis_is_pearsons_whatever_the_offset(offset):
    rng = np.random.default_rng(0)
    assert one(offset + rng.standard_normal(200_000), "kurtosis") == pytest.approx(3.0, abs=0.05)
    assert one(offset + np.tile([-1.0, 1.0], 300), "kurtosis") == pytest.approx(1.0)


@pytest.mark.parametrize("offset", [0.0, 101_325.0])
def test_a_slope_is_per_second_also_of_irregular_samples_long_after_1970(offset):
    start = 1_767_571_200_000_000
    times = start + np.sort(np.random.default_rng(0).integers(0, MINUTE_US, 500))
    values = offset - 0.25 * (times - start) / 1e6
    slope = interval_features(times, values, [start, start + MINUTE_US], ["slope"])[0, 0]
    assert slope == pytest.approx(-0.25, rel=1e-9)


def test_a_slope_over_microseconds_keeps_its_digits():
    start = 1_767_571_200_000_000
    times = start + np.arange(21) * 3
    slope = interval_features(times, 2e6 * np.arange(21.0), [start, start + 100], ["slope"])[0, 0]
    assert slope == pytest.approx(2e12 / 3, rel=1e-12)


def test_samples_of_one_moment_have_no_slope():
    assert interval_features([5, 5, 5], [1.0, 2.0, 4.0], [0, 10], ["slope"])[0, 0] == 0.0
    assert np.isnan(interval_features([5, 5], [1.0, np.nan], [0, 10], ["slope"])[0, 0])


@pytest.mark.parametrize(
    ("feature", "unit", "expected"),
    [
        ("mean", "Pa", "Pa"),
        ("peak", "", ""),
        ("count", "Pa", "1"),
        ("kurtosis", "", "1"),
        ("crest_factor", "m/s", "1"),
        ("slope", "Pa", "Pa/s"),
        ("slope", "m/s", "(m/s)/s"),
        ("slope", "", ""),
        ("value", "Pa", "Pa"),
    ],
)
def test_the_unit_of_a_feature_follows_from_the_variables(feature, unit, expected):
    assert feature_unit(feature, unit) == expected


def test_an_interval_without_samples_has_a_count_of_zero_and_is_nan_otherwise():
    table = interval_features([5, 25], [1.0, 2.0], [0, 10, 20, 30, 40], ["count", "mean", "peak"])
    np.testing.assert_array_equal(table[:, 0], [1, 0, 1, 0])
    np.testing.assert_array_equal(table[:, 1], [1, np.nan, 2, np.nan])
    np.testing.assert_array_equal(table[:, 2], [1, np.nan, 2, np.nan])


def test_no_samples_at_all():
    table = interval_features(np.array([], np.int64), np.array([]), [0, 10, 20], ["count", "std"])
    np.testing.assert_array_equal(table, [[0, np.nan], [0, np.nan]])


def test_intervals_are_closed_on_the_left():
    table = interval_features([0, 9, 10], [1.0, 2.0, 4.0], [0, 10, 20], ["count", "last"])
    np.testing.assert_array_equal(table, [[2, 2], [1, 4]])


def test_samples_outside_the_edges_are_not_used():
    table = interval_features([0, 10, 19, 20, 30], [9.0, 1.0, 2.0, 9.0, 9.0], [10, 20], ["count", "max", "mean"])
    np.testing.assert_array_equal(table, [[2, 2, 1.5]])


def test_a_zero_has_no_sign_whichever_stands_first():
    assert not np.signbit(one([-0.0, 0.0], "max"))
    assert not np.signbit(one([0.0, -0.0], "min"))


def test_a_nan_sample_spoils_its_interval_and_no_other():
    table = interval_features([0, 1, 10, 11], [np.nan, 1.0, 2.0, 4.0], [0, 10, 20], ALL)
    assert np.isnan(table[0, [ALL.index(name) for name in ALL if name not in ("count", "last")]]).all()
    assert np.isfinite(table[1]).all()


def test_an_infinite_sample_spoils_its_interval_without_a_warning():
    table = interval_features([0, 1, 10], [np.inf, 1.0, 2.0], [0, 10, 20], ["mean", "std", "max", "min"])
    np.testing.assert_array_equal(table, [[np.nan, np.nan, np.inf, 1], [2, 0, 2, 2]])


def test_edges_are_aligned_to_utc():
    start = 1_767_571_200_000_000  # 2026-01-05T00:00:00Z
    np.testing.assert_array_equal(interval_edges(start + 1, start + 1, MINUTE_US), [start, start + MINUTE_US])
    assert len(interval_edges(start, start + MINUTE_US, MINUTE_US)) == 3
    assert interval_start(start - 1, MINUTE_US) == start - MINUTE_US
    assert interval_start(-1, MINUTE_US) == -MINUTE_US


@pytest.mark.parametrize(
    ("error", "words", "arguments"),
    [
        (ConfigError, "no such feature; got median; allowed: mean", ([0], [1.0], [0, 1], ["median"])),
        (InputError, "whole microseconds; got float64", ([0.5], [1.0], [0, 1], ["mean"])),
        (InputError, "one time", ([0, 1], [1.0], [0, 1], ["mean"])),
        (InputError, "earlier time at sample 2", ([0, 5, 4], [1.0, 1.0, 1.0], [0, 10], ["mean"])),
        (InputError, "edges must increase", ([0], [1.0], [10, 10], ["mean"])),
        (InputError, "edges must increase", ([0], [1.0], [], ["mean"])),
    ],
)
def test_refused(error, words, arguments):
    with pytest.raises(error, match=words):
        interval_features(*arguments)


def test_refused_intervals():
    with pytest.raises(ConfigError, match="longer than nothing"):
        interval_start(0, 0)
    with pytest.raises(InputError, match="before the first"):
        interval_edges(10, 9, 5)
