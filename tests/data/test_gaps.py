import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.contract.signals import GapPolicy, gap_policy
from toolkit.data.gaps import GridRows, grid_origins, merge_places, nearest_places, policies_of, whole_rows
from toolkit.errors import ConfigError

NAN = float("nan")


def policy(text):
    return gap_policy(text, "here", ConfigError)


def grid(places, *columns, assets=None):
    assets = np.zeros(len(places), np.int64) if assets is None else np.array(assets)
    return GridRows(assets, np.array(places, np.int64), np.array(columns, float).T)


def filled(text, places, values, assets=None):
    """Places and values of one channel."""
    whole = whole_rows(grid(places, values, assets=assets), [policy(text)])
    return dict(zip(whole.rows.places.tolist(), whole.rows.values[:, 0].tolist(), strict=True)), whole


def test_break_makes_nothing_up():
    found, whole = filled("break", [0, 1, 2, 5], [1, NAN, 3, 4])
    assert found == {0: 1, 2: 3, 5: 4}
    assert (whole.filled.tolist(), whole.dropped) == ([0], 1)


def test_hold_repeats_the_last_reading_up_to_its_limit_and_then_breaks():
    found, whole = filled("hold:2", [0, 2, 6], [1, 2, 3])
    assert found == {0: 1, 1: 1, 2: 2, 3: 2, 4: 2, 6: 3}
    assert (whole.filled.tolist(), whole.dropped) == ([3], 0)


def test_rows_without_a_reading_and_places_without_a_row_are_one_gap():
    found, whole = filled("hold:2", [0, 1, 4, 5], [1, NAN, NAN, 2])
    assert found == {0: 1, 1: 1, 2: 1, 5: 2}
    assert (whole.filled.tolist(), whole.dropped) == ([2], 1)


def test_interpolation_draws_a_line_over_gaps_that_are_short_enough_and_leaves_longer_ones():
    found, whole = filled("interpolate:3", [0, 4, 9], [0, 8, 9])
    assert found == {0: 0, 1: 2, 2: 4, 3: 6, 4: 8, 9: 9}
    assert (whole.filled.tolist(), whole.dropped) == ([3], 0)


@pytest.mark.parametrize("text", ["hold:9", "interpolate:9"])
def test_no_asset_fills_the_gap_of_another(text):
    found, whole = filled(text, [0, 1, 1, 2], [1, NAN, NAN, 4], assets=[0, 0, 1, 1])
    assert found == ({0: 1, 1: 1, 2: 4} if text == "hold:9" else {0: 1, 2: 4})
    assert whole.rows.assets.tolist() == ([0, 0, 1] if text == "hold:9" else [0, 1])


@pytest.mark.parametrize("text", ["hold:9", "interpolate:9"])
def test_before_the_first_reading_there_is_nothing_to_fill_with(text):
    assert filled(text, [0, 1, 2], [NAN, NAN, 3])[0] == {2: 3}


def test_nothing_is_interpolated_past_the_last_reading():
    assert filled("interpolate:9", [0, 1], [1, NAN])[0] == {0: 1}


def test_each_channel_has_its_own_policy():
    rows = grid([0, 1, 2, 4], [1, NAN, 3, 4], [10, NAN, NAN, 40], [5, 6, 7, 8])
    whole = whole_rows(rows, [policy("interpolate:1"), policy("hold:2"), policy("break")])
    assert whole.rows.places.tolist() == [0, 1, 2, 4]  # at 3 the third channel has nothing
    assert whole.rows.values.tolist() == [[1, 10, 5], [2, 10, 6], [3, 10, 7], [4, 40, 8]]
    assert whole.filled.tolist() == [1, 2, 0]


def test_years_between_two_rows_take_no_more_memory_than_the_policy_fills():
    found, _ = filled("hold:3", [0, 10**12], [1, 2])
    assert list(found) == [0, 1, 2, 3, 10**12]


@given(
    present=st.lists(st.booleans(), min_size=1, max_size=40).filter(any),
    limit=st.integers(1, 5),
)
def test_hold_sees_only_the_past(present, limit):
    """A gateway, reading by reading, finds the same."""
    places = np.flatnonzero(present)
    found, _ = filled(f"hold:{limit}", places, places.astype(float))
    expected, last = {}, None
    for place in range(places[-1] + 1):
        last = place if present[place] else last
        if last is not None and place - last <= limit:
            expected[place] = float(last)
    assert found == expected


def test_places_are_the_nearest_and_count_from_each_assets_first_row():
    assets, times = np.array([1, 1, 1, 0, 0]), np.array([70, 171, 219, 5, 104])
    origins = grid_origins(assets, times, 2)
    assert origins.tolist() == [5, 70]
    assert nearest_places(times - origins[assets], 100.0).tolist() == [0, 1, 1, 0, 1]
    assert nearest_places(np.array([49, 50, 149, 150]), 100.0).tolist() == [0, 1, 1, 2]


def test_of_two_rows_at_one_place_the_later_stays():
    rows, merged = merge_places(grid([0, 1, 1, 1, 1], [1, 2, 3, 4, 5], assets=[0, 0, 0, 1, 1]))
    assert rows.values[:, 0].tolist() == [1, 3, 5]
    assert rows.assets.tolist() == [0, 0, 1]
    assert merged == 2


def test_a_reading_stays_where_the_later_row_of_its_place_has_none():
    rows, merged = merge_places(
        grid([0, 0, 1, 1, 1, 0], [1, NAN, 2, 3, NAN, NAN], [NAN, 5, NAN, NAN, NAN, 6], assets=[0, 0, 0, 0, 0, 1])
    )
    assert np.array_equal(rows.values, [[1, 5], [3, NAN], [NAN, 6]], equal_nan=True)
    assert (rows.places.tolist(), rows.assets.tolist(), merged) == ([0, 1, 0], [0, 0, 1], 3)


def test_the_closest_name_decides_on_a_channels_policy():
    gaps = {"*": "hold:1", "p": "hold:2", "p.std": "break"}
    assert policies_of(["p.mean", "p.std", "OT"], gaps) == ("hold:2", "break", "hold:1")
    assert policies_of(["OT"], {"p": "hold:2"}) == ("break",)
    assert policy("break") == GapPolicy("break", 0)
