"""Tables of features from files of raw samples, and tables on a grid."""

import dataclasses

import numpy as np
import polars as pl
import pytest
from sensor_tables import MINUTE_US, data_config, lines, moments, write

from toolkit.data import build_dataset, read_table
from toolkit.data.feature_config import FeatureConfig
from toolkit.data.tables import read_channels
from toolkit.errors import ConfigError, DataError
from toolkit.signal.features import interval_edges, interval_features

START_S = 1_767_225_600  # 2026-01-01T00:00:00Z
FEATURES = FeatureConfig(60.0, ("mean", "slope"), {"vibration": ("rms", "crest_factor", "kurtosis")})
CHANNELS = (
    "temperature.mean", "temperature.slope", "vibration.rms", "vibration.crest_factor", "vibration.kurtosis"
)  # fmt: skip


def raw_samples(minutes=6, seed=0):
    """Seconds, a temperature every 10 s and a vibration every second or so, None where a cell is empty."""
    rng = np.random.default_rng(seed)
    seconds = START_S + np.cumsum(rng.uniform(0.5, 1.5, minutes * 60))
    temperature = [60 + 0.01 * i if i % 10 == 3 else None for i in range(seconds.size)]
    vibration = [None if i % 10 == 3 else value for i, value in enumerate(rng.standard_normal(seconds.size))]
    return seconds.round(6), temperature, vibration


def raw_csv(minutes=6, seed=0):
    columns = [["" if value is None else value for value in column] for column in raw_samples(minutes, seed)]
    return lines("time,temperature,vibration", *columns)


def read(folder, content, features=FEATURES, name="raw.csv", **settings):
    settings = {"targets": ("temperature.mean",), **settings}
    return read_table(data_config(write(folder, content, name), **settings), features)


def expected_column(seconds, readings, names):
    there = np.array([value is not None for value in readings])
    times = np.round(seconds * 1e6).astype(np.int64)
    samples = np.array([value for value in readings if value is not None])
    return interval_features(times[there], samples, interval_edges(times[0], times[-1], MINUTE_US), names)


def test_each_variable_has_the_features_of_its_own_samples(tmp_path):
    table = read(tmp_path, raw_csv())
    seconds, temperature, vibration = raw_samples()
    expected = [
        expected_column(seconds, temperature, ["mean", "slope"]),
        expected_column(seconds, vibration, ["rms", "crest_factor", "kurtosis"]),
    ]
    assert table.channel_names == CHANNELS
    assert table.values.tobytes() == np.hstack(expected).tobytes()
    assert np.diff(table.times_us).tolist() == [MINUTE_US] * (len(table.values) - 1)
    assert (table.times_us % MINUTE_US == 0).all()
    assert (table.interval_s, table.sampling, table.dropped_rows) == (60.0, "samples", 0)
    assert not table.segments.any()


def test_csv_and_parquet_give_the_same_features(tmp_path):
    seconds, temperature, vibration = raw_samples()
    frame = pl.DataFrame({"time": seconds, "temperature": temperature, "vibration": vibration})
    frame.write_parquet(tmp_path / "raw.parquet")
    theirs = read_table(data_config(tmp_path / "raw.parquet", targets=("temperature.mean",)), FEATURES)
    assert theirs.values.tobytes() == read(tmp_path, raw_csv()).values.tobytes()


def test_intervals_are_closed_on_the_left_and_of_utc(tmp_path):
    seconds = [START_S + second for second in (59.999999, 60, 119.999999, 120)]
    table = read(
        tmp_path, lines("time,p", seconds, range(4)), FeatureConfig(60.0, ("count", "last")), targets=("p.last",)
    )
    assert table.values.tolist() == [[1, 0], [2, 2], [1, 3]]
    assert table.times_us.tolist() == [(START_S + second) * 1_000_000 for second in (0, 60, 120)]


@pytest.mark.parametrize("broken", ["", "NaN", "inf", "1e300"])
def test_a_cell_that_holds_no_finite_number_is_no_sample(tmp_path, broken):
    text = lines("time,p", [START_S, START_S + 1, START_S + 60], [1, broken, 2])
    table = read(tmp_path, text, FeatureConfig(60.0, ("mean", "count")), targets=("p.mean",))
    assert table.values.tolist() == [[1, 1], [2, 1]]


def test_an_interval_with_too_few_samples_of_a_variable_has_no_reading_and_breaks_the_series(tmp_path):
    seconds = START_S + 20 * np.arange(15)
    p = [0, 1, 2, "", "", 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    text = lines("time,p,q", seconds, p, range(15))
    table = read(tmp_path, text, FeatureConfig(60.0, ("mean", "count"), min_samples=2), targets=("p.mean",))
    assert table.values[:, :2].tolist() == [[1, 3], [7, 3], [10, 3], [13, 3]]
    assert table.segments.tolist() == [0, 1, 1, 1]
    assert table.dropped_rows == 1


def test_a_missing_interval_meets_the_gap_policy_of_its_channel(tmp_path):
    seconds = START_S + 60 * np.array([0, 1, 3, 4])
    text = lines("time,p,q", seconds, [1, 2, 4, 5], [10, "", 40, 50])
    features = FeatureConfig(60.0, ("mean", "count"))
    gaps = {"p": "hold:5", "q.mean": "interpolate:2", "*": "hold:2"}
    table = read(tmp_path, text, features, targets=("p.mean",), gaps=gaps)
    assert table.channel_names == ("p.mean", "p.count", "q.mean", "q.count")
    np.testing.assert_allclose(
        table.values, [[1, 1, 10, 1], [2, 1, 20, 1], [2, 1, 30, 1], [4, 1, 40, 1], [5, 1, 50, 1]]
    )
    assert table.filled == {"p.mean": 1, "p.count": 1, "q.mean": 2, "q.count": 2}
    assert not table.segments.any()


def test_each_asset_has_intervals_of_its_own(tmp_path):
    seconds = START_S + np.array([0, 0, 30, 30, 60, 600])
    text = lines("time,pump,p", seconds, ["b", "a"] * 3, range(6))
    table = read(tmp_path, text, FeatureConfig(60.0, ("mean", "count")), targets=("p.mean",), asset="pump")
    assert table.asset_names == ("b", "a")
    assert table.assets.tolist() == [0, 0, 1, 1]
    assert table.values.tolist() == [[1, 2], [4, 1], [2, 2], [5, 1]]
    assert table.segments.tolist() == [0, 0, 1, 2]


def test_an_asset_without_a_sample_has_no_rows(tmp_path):
    text = lines("time,pump,p", [START_S, START_S], ["a", "b"], ["", 1])
    table = read(tmp_path, text, FeatureConfig(60.0, ("mean",)), targets=("p.mean",), asset="pump")
    assert table.assets.tolist() == [1]


def test_years_without_a_sample_take_no_memory(tmp_path):
    text = lines("time,p", [1e6, START_S], [1, 2])
    table = read(tmp_path, text, FeatureConfig(0.001, ("mean",)), targets=("p.mean",), gaps={"*": "hold:2"})
    assert table.values[:, 0].tolist() == [1, 1, 1, 2]


def test_a_feature_beyond_float32_is_a_missing_reading(tmp_path):
    text = lines("time,p", [START_S, START_S + 1e-6, START_S + 60, START_S + 61], [0, 3e38, 1, 2])
    table = read(tmp_path, text, FeatureConfig(60.0, ("slope",)), targets=("p.slope",))
    assert table.values[:, 0].tolist() == [1.0]


def test_columns_may_be_chosen_left_out_and_given_units_by_variable_or_channel(tmp_path):
    config = data_config(
        write(tmp_path, raw_csv(60)),
        targets=("temperature.slope",),
        units={"temperature": "°C", "vibration.rms": "g"},
        window_length=3,
    )
    channels = build_dataset(read_table(config, FEATURES), config).signal.channels
    assert [channel.unit for channel in channels] == ["°C", "°C/s", "g", "1", "1"]
    plain = dataclasses.replace(FEATURES, variables={})
    assert read(tmp_path, raw_csv(), plain, exclude=("vibration",)).channel_names == CHANNELS[:2]


@pytest.mark.parametrize(
    ("features", "settings", "words"),
    [
        ({}, {"targets": ("temperature",)}, "a target is no channel.*got 'temperature'; allowed: temperature.mean"),
        ({}, {"targets": ("temperature.std",)}, "a target is no channel.*got 'temperature.std'"),
        ({"variables": {"vibrations": ("rms",)}}, {}, "names no column of the file; got 'vibrations'.*'vibration'"),
        ({}, {"units": {"temperature.std": "K"}}, "data.units names no channel.*got 'temperature.std'"),
        ({}, {"gaps": {"pressure": "hold:1"}}, "data.gaps names no channel and no variable; got 'pressure'"),
    ],
)
def test_names_that_name_nothing_are_refused(tmp_path, features, settings, words):
    with pytest.raises(DataError, match=words):
        read(tmp_path, raw_csv(), dataclasses.replace(FEATURES, **features), **settings)


def test_a_column_without_a_sample_is_refused(tmp_path):
    text = lines("time,p,q", [START_S, START_S + 60], [1, 2], ["", ""])
    with pytest.raises(DataError, match=r"raw.csv: the column 'q' holds no reading at all; fix: .*--exclude q"):
        read(tmp_path, text, FeatureConfig(60.0), targets=("p.mean",))


def test_variables_that_never_meet_in_an_interval_are_refused(tmp_path):
    text = lines("time,p,q", [START_S, START_S + 60], [1, ""], ["", 2])
    with pytest.raises(DataError, match="every row holds a missing reading"):
        read(tmp_path, text, FeatureConfig(60.0), targets=("p.mean",))


def test_two_intervals_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"data.interval_s beside \[features\]; got 1.0; allowed: 60.0"):
        read(tmp_path, raw_csv(), interval_s=1.0)


def test_another_file_is_read_as_the_signal_says(tmp_path):
    config = data_config(
        write(tmp_path, raw_csv(60)), targets=("vibration.rms",), window_length=3, gaps={"vibration": "hold:2"}
    )
    table = read_table(config, dataclasses.replace(FEATURES, min_samples=2))
    signal = build_dataset(table, config).signal
    assert (signal.sampling, signal.min_samples) == ("samples", 2)
    assert [channel.gap for channel in signal.channels] == ["break", "break", "hold:2", "hold:2", "hold:2"]
    again = read_channels(tmp_path / "plant.csv", "time", signal)
    assert again.values.tobytes() == table.values.tobytes()
    assert again.channel_names == table.channel_names
    backwards = dataclasses.replace(signal, channels=signal.channels[::-1])
    turned = read_channels(tmp_path / "plant.csv", "time", backwards)
    assert np.array_equal(turned.values, table.values[:, ::-1])
    assert turned.gaps == table.gaps[::-1]
    fewer = read_channels(tmp_path / "plant.csv", "time", dataclasses.replace(signal, min_samples=6))
    assert 0 < len(fewer.values) < len(table.values)


def rows_csv(seconds, *columns, header="time,p"):
    return lines(header, [START_S + second for second in seconds], *columns)


def test_rows_are_put_on_a_grid_where_a_policy_fills_gaps(tmp_path):
    text = rows_csv([0, 61, 119, 181, 190, 300, 720], range(7))
    table = read(tmp_path, text, None, targets=("p",), gaps={"*": "hold:1"}, interval_s=60.0)
    assert ((table.times_us - START_S * 1_000_000) // MINUTE_US).tolist() == [0, 1, 2, 3, 4, 5, 6, 12]
    assert table.values[:, 0].tolist() == [0, 1, 2, 4, 4, 5, 5, 6]
    assert table.segments.tolist() == [0] * 7 + [1]
    assert (table.filled, table.merged_rows, table.sampling) == ({"p": 2}, 1, "rows")


def test_the_interval_of_a_grid_is_the_median_step(tmp_path):
    table = read(tmp_path, rows_csv([0, 1, 2, 3.4, 4, 6, 7], range(7)), None, targets=("p",), gaps={"p": "hold:1"})
    assert table.interval_s == 1.0
    assert table.values[:, 0].tolist() == [0, 1, 2, 3, 4, 4, 5, 6]


def test_a_grid_begins_at_each_assets_first_row(tmp_path):
    text = rows_csv([29, 30, 89, 91, 149, 150], list("ababab"), range(6), header="time,pump,p")
    table = read(tmp_path, text, None, targets=("p",), gaps={"*": "hold:1"}, interval_s=60.0, asset="pump")
    assert (table.times_us // 1_000_000 - START_S).tolist() == [29, 89, 149, 30, 90, 150]
    assert table.merged_rows == 0


def test_a_policy_for_one_channel_leaves_the_others_as_strict_as_they_were(tmp_path):
    text = rows_csv([0, 60, 120], [1, "", 3], [1, 2, 3], header="time,p,q")
    assert read(tmp_path, text, None, targets=("p",), gaps={"p": "hold:1"}).values.tolist() == [[1, 1], [1, 2], [3, 3]]
    with pytest.raises(DataError, match="row 2, column 'p'"):
        read(tmp_path, text, None, targets=("p",), gaps={"q": "hold:1"})
    broken = read(tmp_path, text, None, targets=("p",), gaps={"p": "break"})
    assert (broken.values.tolist(), broken.segments.tolist()) == ([[1, 1], [3, 3]], [0, 1])


def test_rows_of_another_file_are_filled_as_the_signal_says(tmp_path):
    text = lines("time,p,q", moments(60), np.sin(range(60)), np.cos(range(60)))
    config = data_config(write(tmp_path, text), targets=("p",), window_length=3, gaps={"p": "hold:2"})
    signal = build_dataset(read_table(config), config).signal
    other = write(tmp_path, rows_csv([0, 60, 240], [1, "", 3], [1, 2, 3], header="time,p,q"), "other.csv")
    table = read_channels(other, "time", signal)
    assert table.values.tolist() == [[1, 1], [1, 2], [3, 3]]
    assert table.filled == {"p": 1}
    assert table.segments.tolist() == [0, 0, 1]


@pytest.mark.data
def test_a_second_by_second_log_with_gaps_gives_long_unbroken_series(sensor_data):
    config = data_config(sensor_data / "skab" / "anomaly-free" / "anomaly-free.csv", targets=("Pressure",))
    config = dataclasses.replace(config, timestamp="datetime", separator=";")
    broken, held = (read_table(dataclasses.replace(config, gaps=gaps)) for gaps in ({}, {"*": "hold:3"}))
    assert (held.interval_s, held.dropped_rows) == (1.0, 0)
    assert np.bincount(held.segments).max() > 5 * np.bincount(broken.segments).max()
    assert 0 < held.filled["Pressure"] < 0.1 * len(held.values)
