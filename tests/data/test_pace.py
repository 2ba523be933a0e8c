"""Rows that come faster than the interval that they are taken for."""

import numpy as np
import pytest

from toolkit.data.pace import check_pace
from toolkit.errors import DataError


def test_rows_that_come_too_fast_are_refused() -> None:
    with pytest.raises(DataError, match=r"too fast; got one every 10 s; allowed: one every 60 s"):
        check_pace(np.zeros(9, np.int64), np.arange(9) * 10_000_000, 6e7, "x")


@pytest.mark.parametrize("step", [41, 60, 90, 600])
def test_rows_of_about_the_interval_are_not(step) -> None:
    assert check_pace(np.zeros(9, np.int64), np.arange(9) * step * 1_000_000, 6e7, "x")


def test_few_steps_and_those_between_assets_are_not_judged() -> None:
    assert not check_pace(np.zeros(9, np.int64), np.arange(9), 6e7, "x", least_steps=9)
    assert not check_pace(np.arange(9), np.arange(9), 6e7, "x")
