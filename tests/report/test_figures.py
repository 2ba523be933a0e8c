"""How numbers, spans and times are written, and where marks stand."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.report.drawing import time_marks
from toolkit.report.figures import NOT_FINITE, counted, listed, moment, number, percent, short, span, with_interval


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.12345, "0.1235"), (1234.5, "1,234"), (1e-9, "1e-09"), (None, "-"), (math.nan, NOT_FINITE)],
)
def test_a_number_has_four_digits(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (60, "1 min"),
        (90, "1 min 30 s"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (90000, "1 d 1 h"),
        (0.02, "20 ms"),
        (1.5, "1.5 s"),
    ],
)
def test_a_span_is_told_in_the_units_that_people_use(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_moment_is_utc() -> None:
    assert moment(1_700_000_000) == "2023-11-14 22:13:20"
    assert moment(0) == "1970-01-01 00:00"


def test_words_around_numbers() -> None:
    assert counted(1, "window") == "1 window"
    assert counted(1200, "class", "classes") == "1,200 classes"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a"] * 14) == f"{', '.join(['a'] * 12)} and 2 more"
    assert short("a" * 40, 10) == f"{'a' * 9}…"
    assert percent(0.123) == "12.3 %"
    assert with_interval(1.0, (0.9, 1.1)) == "1 (0.9 to 1.1)"
    assert with_interval(1.0, ()) == "1"


@given(st.floats(-6e10, 2e11), st.floats(0, 5e10))
def test_marks_of_time_are_few_rising_and_within_the_axis(first: float, length: float) -> None:
    ticks, labels = time_marks(first, first + length)
    assert len(ticks) == len(labels) <= 6
    assert all(first - 1e-6 <= tick <= first + length + 1e-6 for tick in ticks)  # a microsecond is below every clock
    assert all(before < after for before, after in pairwise(ticks))


@pytest.mark.parametrize("length", [120, 3600, 86400, 7 * 86400, 90 * 86400, 3 * 365 * 86400])
def test_ordinary_spans_have_at_least_two_marks_that_differ(length: float) -> None:
    _, labels = time_marks(1_700_000_000, 1_700_000_000 + length)
    assert len(set(labels)) >= 2
