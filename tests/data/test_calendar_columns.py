"""Channels of the calendar beside those of a file: computed where a table is read, in training and after it."""

import numpy as np
import pytest
from sensor_tables import data_config, lines, moments, plain_csv, wave, write

from toolkit.contract.signals import Channel, SignalSpec
from toolkit.data import build_dataset, read_table
from toolkit.data.tables import read_channels
from toolkit.errors import ConfigError, DataError
from toolkit.signal.calendar import calendar_channels, calendar_names

FEATURES = ("hour", "yearday")
NAMES = calendar_names(FEATURES)


def config_of(folder, **settings):
    return data_config(write(folder, plain_csv()), calendar=FEATURES, **settings)


def test_they_stand_behind_the_readings(tmp_path):
    table = read_table(config_of(tmp_path))
    assert table.channel_names == ("temperature", "pressure", *NAMES)
    np.testing.assert_array_equal(table.values[:, 2:], calendar_channels(table.times_us, FEATURES))
    assert len(table.gaps) == 6


def test_they_keep_their_range_and_need_not_vary(tmp_path):
    config = config_of(tmp_path)  # four hours of one day: the day of the year stands still
    data = build_dataset(read_table(config), config)
    assert data.signal.calendar_channels == 4
    assert data.mean[2:].tolist() == [0.0] * 4
    assert data.std[2:].tolist() == [1.0] * 4
    assert data.signal.timezone == "UTC"


def test_the_zone_travels_and_is_used_after_training(tmp_path):
    config = config_of(tmp_path, timezone="Asia/Tokyo")
    table = read_table(config)
    signal = build_dataset(table, config).signal
    assert signal.timezone == "Asia/Tokyo"
    assert table.values[0, 2:4].tolist() == pytest.approx([0.0, 1.0])  # midnight by the plant's clock
    again = read_channels(tmp_path / "plant.csv", "time", signal)
    assert again.channel_names == signal.channel_names
    np.testing.assert_array_equal(again.values, table.values)
    utc = lines("time,temperature,pressure", [f"{moment}Z" for moment in moments(240)], *wave(240).T.tolist())
    shifted = read_channels(write(tmp_path, utc, "utc.csv"), "time", signal)
    assert shifted.values[0, 2:4].tolist() == pytest.approx([np.sin(2 * np.pi * 9 / 24), np.cos(2 * np.pi * 9 / 24)])


def test_one_wave_alone_is_computed_where_a_signal_asks_for_it(tmp_path):
    channels = (Channel("pressure", "pressure", "value"), Channel(NAMES[3], "calendar", "yearday_cos"))
    table = read_channels(write(tmp_path, plain_csv()), "time", SignalSpec(channels, (), 60.0))
    assert table.channel_names == ("pressure", NAMES[3])
    np.testing.assert_array_equal(table.values[:, 1:], calendar_channels(table.times_us, ["yearday"])[:, 1:])


@pytest.mark.parametrize("settings", [{"calendar": FEATURES}, {}])
def test_a_column_of_such_a_name_is_refused(tmp_path, settings):
    text = lines("time,temperature,calendar.hour_sin", moments(240), *wave(240).T.tolist())
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=r"the column 'calendar.hour_sin' has a name of the calendar.*--exclude"):
        read_table(data_config(path, **settings))
    left = read_table(data_config(path, exclude=("calendar.hour_sin",), **settings))
    assert left.channel_names[:1] == ("temperature",)


def test_a_column_of_such_a_name_is_refused_where_the_channels_are_named(tmp_path):
    text = lines("time,temperature,calendar.hour_sin", moments(240), *wave(240).T.tolist())
    config = data_config(write(tmp_path, text), calendar=FEATURES, channels=("temperature",))
    with pytest.raises(DataError, match=r"has a name of the calendar"):
        read_table(config)


def test_it_is_no_target_and_needs_times(tmp_path):
    with pytest.raises(DataError, match=r"has no column 'calendar.hour_sin'"):
        read_table(config_of(tmp_path, targets=("calendar.hour_sin",)))
    with pytest.raises(ConfigError, match=r"data.calendar needs data.timestamp"):
        data_config("plant.csv", timestamp="", interval_s=60.0, calendar=("hour",))
    with pytest.raises(ConfigError, match=r"data.calendar names a column twice; got 'hour'"):
        data_config("plant.csv", calendar=("hour", "hour"))
