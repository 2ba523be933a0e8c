import hashlib

import numpy as np
import polars as pl
import pytest
from sensor_tables import MINUTE_US, data_config, lines, moments, plain_csv, wave, write

from toolkit.data import build_dataset, read_table
from toolkit.errors import DataError


def read(folder, content, name="plant.csv", **settings):
    return read_table(data_config(write(folder, content, name), **settings))


def test_a_csv_file_is_read_as_it_stands(tmp_path):
    table = read(tmp_path, plain_csv(50))
    assert table.channel_names == ("temperature", "pressure")
    assert np.array_equal(table.values, wave(50))
    assert np.diff(table.times_us).tolist() == [MINUTE_US] * 49
    assert table.interval_s == 60.0
    assert table.asset_names == ("",)
    assert not table.segments.any()
    assert table.dropped_rows == 0
    assert table.sha256 == hashlib.sha256(plain_csv(50).encode()).hexdigest()


def as_csv(frame, path):
    frame.write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("missing", [False, True])
def test_csv_and_parquet_give_the_same_table(tmp_path, missing):
    values = wave(60)
    times = pl.Series(moments(60)).str.to_datetime(time_unit="us", time_zone="UTC")
    frame = pl.DataFrame({"time": times, "pump": ["P2", "P1"] * 30, "temperature": values[:, 0], "count": range(60)})
    if missing:
        frame = frame.with_columns(pl.when(pl.col("count") == 7).then(None).otherwise(pl.col("count")).alias("count"))
    as_csv(frame, tmp_path / "plant.csv")
    frame.write_parquet(tmp_path / "plant.parquet")
    settings = {"asset": "pump", "missing": "break"}
    ours, theirs = (read_table(data_config(tmp_path / f"plant.{kind}", **settings)) for kind in ("csv", "parquet"))
    assert ours.channel_names == theirs.channel_names
    assert ours.asset_names == theirs.asset_names == ("P2", "P1")
    assert ours.interval_s == theirs.interval_s == 120.0
    assert ours.dropped_rows == theirs.dropped_rows == missing
    for name in ("assets", "times_us", "values", "segments"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name))


def test_assets_that_take_turns_are_put_together(tmp_path):
    text = lines("time,unit,temperature", np.repeat(moments(4), 3), ["b", "a", 7] * 4, range(12))
    table = read(tmp_path, text, asset="unit")
    assert table.asset_names == ("b", "a", "7")
    assert table.assets.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert table.values[:, 0].tolist() == [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]
    assert table.segments.tolist() == table.assets.tolist()
    assert table.interval_s == 60.0


def test_channels_stand_variable_major_whatever_the_file_does(tmp_path):
    header = "time,t.mean,p.mean,t.std,p.std,flow"
    text = lines(header, moments(5), *([range(5)] * 5))
    assert read(tmp_path, text, targets=("flow",)).channel_names == ("t.mean", "t.std", "p.mean", "p.std", "flow")


def test_left_out_columns_may_hold_anything(tmp_path):
    text = lines("time,temperature,note,pressure", moments(5), range(5), "abcde", range(5))
    assert read(tmp_path, text, exclude=("note",)).channel_names == ("temperature", "pressure")
    assert read(tmp_path, text, channels=("pressure", "temperature")).channel_names == ("pressure", "temperature")
    chosen = read(tmp_path, text, channels=("temperature", "pressure"), exclude=("pressure",))
    assert chosen.channel_names == ("temperature",)


@pytest.mark.parametrize("cell", ["", "NaN", "inf", "-inf", "1e300", "NA", "  ", " null ", "#N/A", "#DIV/0!"])
def test_a_bad_reading_breaks_the_series_where_that_is_asked_for(tmp_path, cell):
    values = [cell if row == 6 else row for row in range(12)]
    table = read(tmp_path, lines("time,temperature", moments(12), values), missing="break")
    assert table.values[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11]
    assert table.segments.tolist() == [0] * 6 + [1] * 5
    assert table.dropped_rows == 1


def test_a_dropped_row_breaks_the_series_however_short_the_step_across_it(tmp_path):
    seconds = [0, 60, 120, 150, 180, 240, 300]
    text = lines("time,temperature", seconds, [0, 1, 2, "", 4, 5, 6])
    assert read(tmp_path, text, missing="break").segments.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_missing_row_is_a_gap_and_jitter_is_not(tmp_path):
    seconds = [0, 60, 125, 180, 300, 360, 420]
    assert read(tmp_path, lines("time,temperature", seconds, range(7))).segments.tolist() == [0] * 4 + [1] * 3


def test_a_stated_interval_decides_what_a_gap_is(tmp_path):
    text = lines("time,temperature", [0, 60, 180, 240], range(4))
    assert read(tmp_path, text, interval_s=120.0).segments.tolist() == [0, 0, 0, 0]
    assert read(tmp_path, text, interval_s=120.0).interval_s == 120.0


def test_units_are_given_by_channel_or_by_variable(tmp_path):
    count = 60
    text = lines("time,p.mean,p.std,t.mean", moments(count), *np.random.default_rng(0).random((3, count)).tolist())
    config = data_config(
        write(tmp_path, text), targets=("t.mean",), units={"p": "Pa", "p.std": "hPa", "t.mean": "°C"}, window_length=3
    )
    signal = build_dataset(read_table(config), config).signal
    assert {channel.name: channel.unit for channel in signal.channels} == {
        "p.mean": "Pa", "p.std": "hPa", "t.mean": "°C",
    }  # fmt: skip
    assert signal.target_units == ("°C",)


@pytest.mark.parametrize("kind", [pl.Int16, pl.Float32, pl.Boolean, pl.Decimal(10, 2), pl.String, pl.Categorical])
def test_parquet_columns_of_every_kind_that_holds_numbers_are_read(tmp_path, kind):
    numbers = pl.Series("temperature", [0, 1, 1, 0])
    column = numbers.cast(pl.String).cast(kind) if kind == pl.Categorical else numbers.cast(kind)
    pl.DataFrame({"time": [0, 60, 120, 180], "temperature": column}).write_parquet(tmp_path / "plant.parquet")
    assert read_table(data_config(tmp_path / "plant.parquet")).values[:, 0].tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    "values", [[b"\xff"] * 2, [[1.0], [2.0]], [{"a": 1}] * 2, pl.Series([1, 2]).cast(pl.Duration)], ids=str
)
def test_parquet_columns_that_hold_no_numbers_are_refused(tmp_path, values):
    pl.DataFrame({"time": [0, 60], "temperature": [1, 2], "odd": values}).write_parquet(tmp_path / "plant.parquet")
    with pytest.raises(DataError, match=r"plant.parquet: the column 'odd' holds no numbers; got .*--exclude odd"):
        read_table(data_config(tmp_path / "plant.parquet"))


def test_names_are_read_without_blanks_and_byte_order_mark(tmp_path):
    text = b"\xef\xbb\xbf" + plain_csv(20).replace("time,temperature,", " time , temperature,").encode()
    assert read(tmp_path, text).channel_names == ("temperature", "pressure")
