"""The calendar as channels: by the plant's clock, the same bits one row at a time and in one call."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import DataError
from toolkit.signal.calendar import calendar_channels, calendar_features, calendar_names

ALL = ("hour", "weekday", "yearday")
BERLIN = "Europe/Berlin"


def us(text, zone="UTC"):
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000


def turn(channels):
    """The part of the period from 0 to 1 that a sine and a cosine stand for."""
    return np.arctan2(channels[:, 0], channels[:, 1]) / (2 * np.pi) % 1.0


def test_each_feature_has_a_sine_and_a_cosine():
    assert calendar_names(["hour", "yearday"]) == (
        "calendar.hour_sin",
        "calendar.hour_cos",
        "calendar.yearday_sin",
        "calendar.yearday_cos",
    )


@pytest.mark.parametrize(
    ("feature", "text", "part"),
    [
        ("hour", "2026-03-02T18:00", 18 / 24),
        ("hour", "2026-03-02T18:07:30", 18.125 / 24),
        ("weekday", "2026-03-02T23:59", 0.0),  # a Monday
        ("weekday", "2026-03-08T00:00", 6 / 7),
        ("weekday", "1969-12-31T12:00", 2 / 7),
        ("yearday", "2025-12-31T12:00", 364 / 365),
        ("yearday", "2024-12-31T12:00", 365 / 366),
    ],
)
def test_a_moment_stands_where_the_clock_says(feature, text, part):
    for zone in ("UTC", BERLIN, "Asia/Kathmandu"):
        channels = calendar_channels(np.array([us(text, zone)]), [feature], zone)
        assert turn(channels) == pytest.approx([part], abs=1e-9)


def test_summer_time_moves_the_hour():
    hours = np.array([us(f"2026-03-29T{hour:02}:30") for hour in (0, 1)])  # the clock goes on from 2 to 3
    assert turn(calendar_channels(hours, ["hour"], BERLIN)) * 24 == pytest.approx([1.5, 3.5])
    hours = np.array([us(f"2026-10-25T{hour:02}:30") for hour in (0, 1)])  # 2:30 comes twice
    assert turn(calendar_channels(hours, ["hour"], BERLIN)) * 24 == pytest.approx([2.5, 2.5])


@given(st.lists(st.integers(-(10**15), 4 * 10**15), min_size=1, max_size=40), st.sampled_from(["UTC", BERLIN]))
def test_one_row_at_a_time_gives_the_same_bits(moments, zone):
    times = np.array(moments, np.int64)
    together = calendar_channels(times, ALL, zone)
    alone = np.concatenate([calendar_channels(times[row : row + 1], ALL, zone) for row in range(times.size)])
    assert together.tobytes() == alone.tobytes()
    assert np.abs(together).max() <= 1.0


def test_nothing_asked_for_gives_no_channel():
    assert calendar_channels(np.zeros(3, np.int64), []).shape == (3, 0)


@pytest.mark.parametrize("zone", ["Europe/Berlino", "", "../etc/passwd", "Europe"])
def test_a_zone_that_is_not_known(zone):
    with pytest.raises(DataError, match="time zone that this machine does not know"):
        calendar_channels(np.zeros(1, np.int64), ["hour"], zone)


def test_the_features_of_channels():
    assert calendar_features(["calendar.hour_cos", "calendar.yearday_sin", "calendar.hour_sin"], "m") == (
        "hour",
        "yearday",
    )
    with pytest.raises(
        DataError, match=r"m: a channel of the calendar; got 'calendar.noon'; allowed: calendar.hour_sin"
    ):
        calendar_features(["calendar.noon"], "m")
