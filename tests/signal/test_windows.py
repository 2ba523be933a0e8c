import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.signal.windows import PARTS, part_by_borders, part_by_fraction, segment_ids, window_starts

INTERVAL = 10
LONGEST_STEP = 15


@st.composite
def tables(draw):
    """Assets one after the other, each with its own start and steps: regular, jittered, or a gap."""
    steps = st.lists(st.sampled_from([INTERVAL, INTERVAL, INTERVAL, 6, 14, 15, 16, 20, 95]), max_size=25)
    assets, times = [], []
    for asset, asset_steps in enumerate(draw(st.lists(steps, min_size=1, max_size=3))):
        start = draw(st.integers(0, 40))
        times.append(start + np.cumsum([0, *asset_steps]))
        assets.append(np.full(len(asset_steps) + 1, asset))
    return np.concatenate(assets).astype(np.int64), np.concatenate(times).astype(np.int64)


def unbroken(assets, times, rows):
    """Whether these rows follow one another within one asset and without a gap."""
    return all(assets[a] == assets[b] and times[b] - times[a] <= LONGEST_STEP for a, b in itertools.pairwise(rows))


def windows_of(assets, times, parts, part, length, horizon, stride):
    """Every window by trying every row: the definition, in the plainest words."""
    found = []
    for start in range(0, len(times) - length - horizon + 1, stride):
        rows = range(start, start + length + horizon)
        judged = rows if part == 0 else rows[length:]
        if unbroken(assets, times, rows) and all(parts[row] == part for row in judged):
            found.append(start)
    return found


@given(
    table=tables(),
    length=st.integers(1, 5),
    horizon=st.integers(1, 4),
    stride=st.integers(1, 3),
    fractions=st.sampled_from([(0.7, 0.15, 0.15), (0.4, 0.3, 0.3), (0.2, 0.2, 0.6)]),
)
def test_windows_are_those_of_the_definition(table, length, horizon, stride, fractions):
    assets, times = table
    segments = segment_ids(assets, times, LONGEST_STEP)
    parts = part_by_fraction(times, fractions)
    for part in range(len(PARTS)):
        starts = window_starts(segments, parts, part, window_length=length, horizon=horizon, stride=stride)
        assert starts.tolist() == windows_of(assets, times, parts, part, length, horizon, stride)


@given(tables())
def test_segments_rise_by_one_at_every_break(table):
    assets, times = table
    segments = segment_ids(assets, times, LONGEST_STEP)
    assert segments[0] == 0
    for row in range(1, len(times)):
        assert segments[row] - segments[row - 1] == (not unbroken(assets, times, [row - 1, row]))


def test_borders_are_row_numbers_in_time_order():
    parts = part_by_borders(np.arange(10), [5, 7, 9])
    assert parts.tolist() == [0] * 5 + [1] * 2 + [2] * 2 + [-1]


def test_borders_past_the_end_leave_no_row_unused():
    assert part_by_borders(np.arange(4), [2, 3, 99]).tolist() == [0, 0, 1, 2]


def test_all_assets_are_cut_at_the_same_moments():
    times = np.array([0, 1, 2, 3, 2, 3, 4, 5])
    parts = part_by_borders(times, [4, 6, 8])
    assert {moment: {int(part) for part in parts[times == moment]} for moment in range(6)} == {
        0: {0}, 1: {0}, 2: {0}, 3: {1}, 4: {2}, 5: {2},
    }  # fmt: skip


@pytest.mark.parametrize("count", [7, 100, 12_345])
def test_fractions_leave_no_row_unused(count):
    parts = part_by_fraction(np.arange(count), (0.7, 0.15, 0.15))
    assert np.bincount(parts).tolist() == [
        round(0.7 * count),
        round(0.85 * count) - round(0.7 * count),
        (parts == 2).sum(),
    ]
    assert (parts >= 0).all()


def test_a_test_window_begins_one_window_early_and_a_training_window_does_not_end_late():
    segments, parts = np.zeros(10, np.int64), part_by_borders(np.arange(10), [5, 7, 10])
    starts = [window_starts(segments, parts, part, window_length=3, horizon=1).tolist() for part in range(3)]
    assert starts == [[0, 1], [2, 3], [4, 5, 6]]


def test_no_training_window_reads_a_row_of_another_part_however_the_parts_lie():
    parts = np.array([2, 2, 0, 0, 0, 0])
    assert window_starts(np.zeros(6, np.int64), parts, 0, window_length=2, horizon=1).tolist() == [2, 3]


def test_a_table_shorter_than_a_window_has_none():
    nothing = window_starts(np.zeros(3, np.int64), np.zeros(3, np.int64), 0, window_length=3, horizon=1)
    assert nothing.tolist() == []
