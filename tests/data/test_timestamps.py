from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from toolkit.data.timestamps import read_times
from toolkit.errors import DataError

SECOND = 1_700_000_000  # 2023-11-14T22:13:20Z


def read(*values, dtype=None):
    return read_times(pl.Series("time", values, dtype), "plant.csv").us


@pytest.mark.parametrize(
    "text",
    [
        "2023-11-14T22:13:20",
        "2023-11-14 22:13:20",
        "2023-11-14T22:13:20Z",
        "2023-11-14t22:13:20z",
        "2023-11-14T22:13:20.000",
        "2023-11-14T22:13:20+00:00",
        "2023-11-15T07:13:20+09:00",
        "2023-11-14 16:43:20-0530",
        "2023/11/14 22:13:20",
        "  2023-11-14T22:13:20 ",
    ],
)
def test_iso_text_is_the_same_moment(text):
    assert read(text).tolist() == [SECOND * 1_000_000]


@pytest.mark.parametrize("text", ["2023-11-14T22:13", "2023-11-14 22:13Z", "2023/11/14 22:13"])
def test_minutes_need_no_seconds(text):
    assert read(text).tolist() == [(SECOND - 20) * 1_000_000]


@pytest.mark.parametrize("text", ["2023-11-14", "2023/11/14"])
def test_a_day_begins_at_midnight(text):
    assert read(text).tolist() == [int(datetime(2023, 11, 14, tzinfo=UTC).timestamp()) * 1_000_000]


def test_fractions_of_a_second_are_kept():
    assert np.diff(read("2023-11-14T22:13:20.000001Z", "2023-11-14T22:13:20.25Z")).tolist() == [249_999]


def test_rows_on_both_sides_of_a_change_of_the_clock_keep_their_distance():
    assert np.diff(read("2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00")).tolist() == [3_600_000_000]
    assert np.diff(read("2026-10-25T00:30:00Z", "2026-10-25T02:30:00+01:00")).tolist() == [3_600_000_000]


@pytest.mark.parametrize("per_second", [1, 1_000, 1_000_000, 1_000_000_000], ids=["s", "ms", "us", "ns"])
@pytest.mark.parametrize("as_text", [True, False])
def test_epoch_numbers_are_told_apart_by_their_size(per_second, as_text):
    numbers = [SECOND * per_second, (SECOND + 60) * per_second]
    times = read(*map(str, numbers)) if as_text else read(*numbers)
    assert times.tolist() == [SECOND * 1_000_000, (SECOND + 60) * 1_000_000]


def test_fractions_of_an_epoch_second_are_kept():
    assert read("1700000000.25").tolist() == [SECOND * 1_000_000 + 250_000]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_parquet_times_are_utc_whatever_zone_they_are_shown_in(unit, zone):
    moment = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC if zone else None)
    column = pl.Series("time", [moment]).cast(pl.Datetime(unit, "UTC" if zone else None))
    column = column.dt.convert_time_zone(zone) if zone else column
    assert read_times(column, "plant.parquet").us.tolist() == [SECOND * 1_000_000]


def test_parquet_dates_begin_at_midnight():
    assert read(datetime(1970, 1, 2, tzinfo=UTC).date()).tolist() == [86_400_000_000]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (("2026-01-01", "soon"), "got 'soon' in row 2, column 'time'"),
        (("1700000000", "1700000060", "soon"), "got 'soon' in row 3"),
        (("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", "1700000000"), "got '1700000000' in row 3"),
        (("01.02.2026", "02.02.2026"), "got '01.02.2026' in row 1"),
        (("2026-13-01",), "got '2026-13-01' in row 1"),
        (("2026-01-01", None), "got nothing in row 2"),
        ((1.0, float("nan")), "got 'nan' in row 2"),
        (("1", "inf"), "got 'inf' in row 2"),
        (("1", "1e30"), "got '1e30' in row 2"),
        ((True, False), "holds no times; got Boolean"),
        ((b"\xff",), "holds no times; got Binary"),
    ],
)
def test_a_time_that_cannot_be_read_is_shown_with_its_row(values, words):
    with pytest.raises(DataError, match=words) as refusal:
        read(*values)
    assert str(refusal.value).startswith("plant.csv: ")
    assert "; allowed: ISO 8601" in str(refusal.value)
