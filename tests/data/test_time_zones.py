"""Times of a plant's clock: formats, zones, and the two hours of the year that are not what they seem."""

from datetime import UTC, datetime

import polars as pl
import pytest
from sensor_tables import data_config, lines, write

from toolkit.data.source import read_frame
from toolkit.errors import DataError

ZONE = {"timezone": "Europe/Berlin"}
HOUR = 3_600_000_000


def utc(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def frame(folder, times, pumps=None, **settings):
    columns = (times, range(len(times))) if pumps is None else (times, range(len(times)), pumps)
    header = "time,temperature" if pumps is None else "time,temperature,pump"
    return read_frame(data_config(write(folder, lines(header, *columns)), **settings))


def autumn(*clock):
    return [f"2024-10-27 {time}" for time in clock]


def test_local_times_become_utc(tmp_path):
    source = frame(tmp_path, ["2024-01-15 12:00", "2024-07-15 12:00"], **ZONE)
    assert source.times_us.tolist() == [utc("2024-01-15T11:00"), utc("2024-07-15T10:00")]


def test_times_that_state_their_zone_keep_it(tmp_path):
    source = frame(tmp_path, ["2024-01-15T12:00Z", "2024-07-15T12:00Z"], **ZONE)
    assert source.times_us.tolist() == [utc("2024-01-15T12:00"), utc("2024-07-15T12:00")]


def test_the_hour_that_comes_twice_is_told_by_order(tmp_path):
    clock = ("01:30", "02:00", "02:30", "02:00", "02:30", "03:00")
    source = frame(tmp_path, autumn(*clock), **ZONE)
    first = utc("2024-10-26T23:30")
    assert source.times_us.tolist() == [first + step * HOUR // 2 for step in range(6)]


def test_hourly_rows_stand_twice_at_the_same_clock(tmp_path):
    source = frame(tmp_path, autumn("01:00", "02:00", "02:00", "03:00"), **ZONE)
    assert source.times_us.tolist() == [utc("2024-10-26T23:00") + step * HOUR for step in range(4)]


@pytest.mark.parametrize(
    "clock",
    [("01:00", "02:00", "02:00", "03:00", "04:00"), ("01:30", "02:00", "02:30", "02:00", "02:30", "03:00")],
)
def test_where_the_newest_rows_stand_first_the_first_pass_stands_last(tmp_path, clock):
    newest_first = autumn(*clock)[::-1]
    pumps = [*["a"] * len(clock), *["b"] * len(clock)]
    source = frame(tmp_path, [*newest_first, *autumn(*clock)], pumps=pumps, asset="pump", sort=True, **ZONE)
    count = len(clock)
    assert source.columns["temperature"].to_list() == [*reversed(range(count)), *range(count, 2 * count)]
    assert len(set(source.times_us.tolist())) == len(clock)


def test_each_machine_has_its_own_order(tmp_path):
    clock = [time for time in ("02:00", "02:30", "02:00", "02:30") for _ in range(2)]
    source = frame(tmp_path, autumn(*clock), pumps=["a", "b"] * 4, asset="pump", **ZONE)
    half_hours = [utc("2024-10-27T00:00") + step * HOUR // 2 for step in range(4)]
    assert source.times_us.tolist() == half_hours * 2


def test_a_file_that_ends_in_the_first_pass_is_in_summer_time(tmp_path):
    assert frame(tmp_path, autumn("01:30", "02:00", "02:30"), **ZONE).times_us[-1] == utc("2024-10-27T00:30")


@pytest.mark.parametrize(
    ("clock", "times"),
    [
        (("01:30", "02:00", "02:30", "03:00"), 0),
        (("02:00", "02:30", "02:00", "02:30", "02:00", "03:00"), 2),
    ],
)
def test_a_pass_that_cannot_be_told_is_refused(tmp_path, clock, times):
    row = 2 if times == 0 else 1
    with pytest.raises(
        DataError, match=rf"cannot be told apart; got 2024-10-27T02:00.* in row {row}.*back {times} times"
    ):
        frame(tmp_path, autumn(*clock), **ZONE)


def test_a_time_that_spring_skips_is_refused_with_its_row(tmp_path):
    times = [f"2024-03-31 {time}" for time in ("01:30", "02:30", "03:30")]
    with pytest.raises(DataError, match=r"no clock in Europe/Berlin showed; got 2024-03-31T02:30:00.* in row 2"):
        frame(tmp_path, times, **ZONE)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("%d/%m/%Y %H.%M.%S", "10/03/2004 18.00.00"),
        ("%m/%d/%Y %I:%M %p", "03/10/2004 06:00 PM"),
        ("%Y%m%d%H%M", "200403101800"),
        ("%d-%b-%y %H:%M:%S", "10-Mar-04 18:00:00"),
        ("%Y-%m-%d %H:%M%z", "2004-03-10 19:00+01:00"),
    ],
)
def test_a_format_says_how_times_are_written(tmp_path, form, text):
    assert frame(tmp_path, [text], timestamp_format=form).times_us.tolist() == [utc("2004-03-10T18:00")]


def test_a_day_alone_can_be_a_format(tmp_path):
    assert frame(tmp_path, ["10.03.2004"], timestamp_format="%d.%m.%Y").times_us.tolist() == [utc("2004-03-10T00:00")]


def test_a_time_of_another_format_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"got '2004-03-11' in row 2, column 'time'; allowed: .*'%d.%m.%Y'"):
        frame(tmp_path, ["10.03.2004", "2004-03-11"], timestamp_format="%d.%m.%Y")


@pytest.mark.parametrize(
    ("text", "day_first", "month_first"),
    [
        ("03/04/2024 13:45", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"),
        ("3.4.24", "%d.%m.%y", "%m.%d.%y"),
        ("10/03/2004 18.00.00", "%d/%m/%Y %H.%M.%S", "%m/%d/%Y %H.%M.%S"),
    ],
)
def test_a_day_and_month_that_could_be_turned_round_are_refused_with_both_formats(
    tmp_path, text, day_first, month_first
):
    with pytest.raises(DataError, match="a timestamp cannot be read") as caught:
        frame(tmp_path, [text])
    assert f"timestamp_format={day_first!r}" in str(caught.value)
    assert f"timestamp_format={month_first!r}" in str(caught.value)


def test_date_and_time_may_stand_apart(tmp_path):
    text = "day,clock,temperature\n2024-01-01,00:00:00,1\n2024-01-01,00:01:00,2\n"
    source = read_frame(data_config(write(tmp_path, text), timestamp=("day", "clock")))
    assert source.times_us.tolist() == [utc("2024-01-01T00:00"), utc("2024-01-01T00:01")]
    assert source.columns.columns == ["temperature"]


def test_a_format_reads_whole_numbers_of_parquet(tmp_path):
    frame = pl.DataFrame({"time": [20240101, 20240102], "temperature": [1.0, 2.0]})
    frame.write_parquet(tmp_path / "plant.parquet")
    source = read_frame(data_config(tmp_path / "plant.parquet", timestamp_format="%Y%m%d"))
    assert source.times_us.tolist() == [utc("2024-01-01T00:00"), utc("2024-01-02T00:00")]
