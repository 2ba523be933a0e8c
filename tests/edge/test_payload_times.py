"""Times of samples: exact microseconds, or none."""

import datetime
import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.edge.payload_times import EARLIEST_US, LATEST_US, iso8601, time_reader


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("1980-01-01T00:00:00Z", EARLIEST_US),
        ("1980-01-01", EARLIEST_US),
        ("1979-12-31T23:59:59.999999Z", None),
        ("1970-01-01T00:00:00Z", None),
        ("2026-01-05T00:00:00.123456Z", 1_767_571_200_123_456),
        ("2026-01-05 00:00:00.123456", 1_767_571_200_123_456),
        ("2026-01-05T01:30:00.000001+01:30", 1_767_571_200_000_001),
        ("20260105T000000Z", 1_767_571_200_000_000),
        ("2026-01-05T00:00:00.123456999Z", 1_767_571_200_123_456),
        ("2199-12-31T23:59:59.999999Z", LATEST_US - 1),
        ("2200-01-01T00:00:00Z", None),
        ("1969-12-31T23:59:59.999999Z", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("9999-12-31T23:59:59-23:59", None),
        ("2026-02-30T00:00:00Z", None),
        ("2026-01-05T00:00:60Z", None),
        ("1767571200", None),
        ("\ud800", None),
        ("now", None),
        ("", None),
        (1_767_571_200, None),
        (True, None),
    ],
)
def test_times_of_iso_8601(text, time_us):
    assert iso8601(text) == time_us


@settings(deadline=None)
@given(
    st.datetimes(datetime.datetime(1979, 12, 30), datetime.datetime(2199, 12, 31)),
    st.none() | st.integers(-1439, 1439).map(lambda m: datetime.timezone(datetime.timedelta(minutes=m))),
)
def test_a_time_of_iso_8601_is_exact(moment, zone):
    offset = datetime.timedelta() if zone is None else zone.utcoffset(None)
    expected = (moment - offset - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)
    found = iso8601(moment.replace(tzinfo=zone).isoformat())
    assert found == (expected if EARLIEST_US <= expected < LATEST_US else None)


SECONDS = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000, "nanoseconds": 1_000_000_000}


@settings(deadline=None)
@given(st.integers(EARLIEST_US, LATEST_US - 1), st.sampled_from([*SECONDS]))
def test_whole_numbers_are_exact_and_decimals_give_the_microsecond_that_was_meant(time_us, time_format):
    number = Fraction(time_us * SECONDS[time_format], 1_000_000)
    if number.denominator == 1:
        assert time_reader(time_format)(int(number)) == time_us
    if time_us < 2**52:
        assert time_reader(time_format)(float(number)) == time_us


@pytest.mark.parametrize("time_format", [*SECONDS])
@pytest.mark.parametrize(
    "value", ["1767571200", True, None, [], {}, -1, -0.6, math.nan, math.inf, -math.inf, 10**400, 1e300]
)
def test_what_is_no_time_is_none(time_format, value):
    assert time_reader(time_format)(value) is None


@pytest.mark.parametrize("sent", [*SECONDS])
@pytest.mark.parametrize("time_format", [*SECONDS])
def test_a_time_that_is_read_on_another_scale_is_none(sent, time_format):
    for seconds in (946_684_800, 1_767_571_200, 4_102_444_800):
        found = time_reader(time_format)(seconds * SECONDS[sent])
        assert found == (seconds * 1_000_000 if sent == time_format else None)


def test_times_end_with_the_year_2199():
    for time_format, scale in SECONDS.items():
        latest = LATEST_US * scale // 1_000_000
        assert time_reader(time_format)(latest) is None
        assert time_reader(time_format)(float(latest)) is None
        assert time_reader(time_format)(latest - 1) is not None
    assert time_reader("seconds")(1_767_571_200_000) is None


@pytest.mark.parametrize(
    ("time_format", "value", "time_us"),
    [
        ("seconds", 1_767_571_200.123457, 1_767_571_200_123_457),
        ("seconds", 1_767_571_201.1, 1_767_571_201_100_000),
        ("seconds", 1_767_571_204.35, 1_767_571_204_350_000),
        ("seconds", 1_767_571_201.0000019, 1_767_571_201_000_002),
        ("milliseconds", 1_767_571_200_000.5, 1_767_571_200_000_500),
        ("microseconds", 1_767_571_200_000_007.5, 1_767_571_200_000_008),
        ("nanoseconds", 1_767_571_200_000_001_999, 1_767_571_200_000_001),
        ("nanoseconds", 1_767_571_200_000_001_792.0, 1_767_571_200_000_002),
    ],
)
def test_decimals_are_rounded_and_whole_nanoseconds_cut_off(time_format, value, time_us):
    assert time_reader(time_format)(value) == time_us
