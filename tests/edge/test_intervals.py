"""Readings of one asset become closed places: what is accepted, when a place closes, and what a restart changes."""

import math

import numpy as np
import pytest
from edge_signal_path import SECOND_US, START_US, GatewayPath, raw_signal, row_signal
from hypothesis import example, given, settings
from hypothesis import strategies as st

from toolkit.edge.changes import AssetRecord, Flag, Sample
from toolkit.edge.intervals import AssetIntervals, ColumnReadings, Timing, timing_of
from toolkit.edge.readings import Reading, Reason
from toolkit.edge.settings import SignalSettings

DAY_US = 86_400 * SECOND_US
FIRST_PLACE = START_US // (10 * SECOND_US)


class Asset:
    """One asset of intervals of 10 s; times are seconds since the start of place 0."""

    def __init__(self, sampling="samples", columns=2, *, lateness=0, patience=10, limit=1000, follows=False):
        self.timing = Timing(
            10.0 * SECOND_US, sampling, columns, lateness * SECOND_US, patience * SECOND_US, DAY_US, limit, follows
        )
        self.closed = []
        self.record = AssetRecord(7, "pump-7")
        self.intervals = AssetIntervals(self.timing, self.record, self.closed)

    def take(self, column, second, value=1.0, sequence=None):
        return self.intervals.take(Reading(column, START_US + round(second * SECOND_US), value, sequence))

    def take_row(self, second, value=1.0):
        return [self.take(column, second, value) for column in range(self.timing.columns)]

    @property
    def places(self):
        """What has closed: numbers of places from the first, and flags."""
        first = 0 if self.timing.sampling == "rows" else FIRST_PLACE
        return [(each.place - first, each.flags) for each in self.closed]

    @property
    def stamps(self):
        return [(self.timing.stamp_of(each.origin_us, each.place) - START_US) / SECOND_US for each in self.closed]


def test_an_interval_closes_when_every_column_has_gone_beyond_it():
    asset = Asset()
    asset.take_row(1)
    asset.take(0, 10)
    assert asset.places == []
    asset.take(1, 10)
    assert asset.places == [(0, 0)]
    assert asset.closed[0].asset == 7
    assert asset.closed[0].columns == [ColumnReadings([START_US + SECOND_US], [1.0], [None])] * 2


def test_allowed_lateness_keeps_an_interval_open_for_what_comes_late():
    asset = Asset(columns=1, lateness=5)
    asset.take(0, 1)
    asset.take(0, 14.9)
    assert asset.take(0, 2) is None
    assert asset.places == []
    asset.take(0, 15)
    assert asset.places == [(0, 0)]
    assert sorted(asset.closed[0].columns[0].times_us) == [START_US + SECOND_US, START_US + 2 * SECOND_US]
    assert asset.take(0, 3) is Reason.LATE


def test_a_silent_column_does_not_stop_the_others_for_longer_than_the_patience():
    asset = Asset(patience=20)
    asset.take_row(1)
    asset.take(0, 29.9)
    assert asset.places == []
    asset.take(0, 30)
    assert asset.places == [(0, Flag.PARTIAL)]


def test_what_lies_before_the_first_open_place_is_too_late_though_nothing_was_read_there():
    asset = Asset(patience=20)
    asset.take(0, 45)
    assert asset.take(1, 19) is Reason.LATE
    assert asset.take(1, 20) is None


def test_places_close_in_order_and_those_without_a_reading_are_left_out():
    asset = Asset(columns=1, lateness=60)
    for second in (31, 12, 55, 33):
        asset.take(0, second)
    asset.take(0, 200)
    assert asset.places == [(1, 0), (3, 0), (5, 0)]


def test_a_whole_row_closes_at_once_and_what_comes_of_it_again_is_too_late():
    asset = Asset("rows")
    assert asset.take_row(0) == [None, None]
    assert asset.places == [(0, 0)]
    assert asset.take(0, 1) is Reason.LATE


def test_a_whole_row_closes_what_is_open_before_it():
    asset = Asset("rows", patience=1000)
    asset.take_row(0)
    asset.take(0, 10)
    asset.take_row(20)
    assert asset.places == [(0, 0), (1, 0), (2, 0)]


def test_with_lateness_a_whole_row_waits_for_readings_that_may_replace_its_own():
    asset = Asset("rows", columns=1, lateness=3)
    asset.take(0, 0, 1.0)
    asset.take(0, 2, 2.0)
    asset.take(0, 1, 3.0)
    asset.take(0, 7.9)
    assert asset.places == []
    asset.take(0, 8)
    readings = asset.closed[0].columns[0]
    assert readings.values[readings.newest()] == 2.0


def test_a_row_that_lacks_a_column_waits_for_the_patience():
    asset = Asset("rows", patience=10)
    asset.take_row(0)
    asset.take(0, 10)
    asset.take(0, 24.9)
    assert asset.places == [(0, 0)]
    asset.take(0, 25)
    assert asset.places == [(0, 0), (1, Flag.PARTIAL)]


def test_without_patience_a_row_closes_when_the_next_begins():
    asset = Asset("rows", patience=0)
    asset.take_row(0)
    asset.take(0, 10)
    assert asset.places == [(0, 0)]
    asset.take(0, 20)
    assert asset.places == [(0, 0), (1, Flag.PARTIAL)]


def test_a_column_that_came_again_later_had_not_stopped():
    asset = Asset("rows", patience=1000)
    asset.take_row(0)
    asset.take(0, 10)
    asset.take(1, 20)
    asset.take(0, 20)
    assert asset.places == [(0, 0), (1, 0), (2, 0)]


def test_the_latest_by_time_counts_and_of_one_moment_the_last_that_was_accepted():
    assert ColumnReadings([3, 9, 5], [1.0, 2.0, 3.0], [None] * 3).newest() == 1
    assert ColumnReadings([3, 9, 9], [1.0, 2.0, 3.0], [1, 2, 3]).newest() == 2


@pytest.mark.parametrize("sequence", [None, 5])
def test_a_reading_that_comes_again_is_a_duplicate_and_with_another_value_a_conflict(sequence):
    asset = Asset(columns=1)
    asset.take(0, 1, 1.5, sequence)
    assert asset.take(0, 1, 1.5, sequence) is Reason.DUPLICATE
    assert asset.take(0, 1, 2.5, sequence) is Reason.CONFLICT
    asset.take(0, 10, sequence=6 if sequence else None)
    assert asset.closed[0].columns[0].values == [1.5]


def test_the_key_of_a_numbered_reading_is_its_number_whatever_its_time():
    asset = Asset(columns=1)
    assert [asset.take(0, 1, 1.0, 1), asset.take(0, 1, 2.0, 2)] == [None, None]
    assert asset.take(0, 3, 2.0, 2) is Reason.DUPLICATE
    assert asset.take(0, 4, 9.0, 1) is Reason.CONFLICT


def test_keys_are_those_of_a_column():
    asset = Asset(columns=2)
    assert [asset.take(0, 1, 1.0, 1), asset.take(1, 1, 2.0, 1)] == [None, None]


def test_a_source_that_counts_anew_is_accepted_and_counted_once():
    asset = Asset(columns=1)
    for sequence in (100, 101):
        asset.take(0, sequence - 100, sequence=sequence)
    asset.take(0, 10, sequence=102)
    assert [asset.take(0, 11 + sequence, sequence=sequence) for sequence in range(5)] == [None] * 5
    assert asset.intervals.sequence_restarts == 1


def test_readings_out_of_order_are_no_restart():
    asset = Asset(columns=1, lateness=100)
    for second in (1, 3, 2, 5, 4):
        asset.take(0, second, sequence=second)
    assert (asset.intervals.sequence_restarts, asset.intervals.out_of_order) == (0, 2)


def test_a_reading_far_ahead_is_refused_until_one_of_another_time_confirms_it():
    asset = Asset(columns=2)
    asset.take_row(0)
    far = 3 * 86_400
    assert asset.take_row(far) == [Reason.FUTURE] * 2
    assert asset.take_row(far) == [Reason.FUTURE] * 2
    assert asset.take_row(far + 10) == [None] * 2
    assert asset.record.suspect_us is None
    assert asset.places == [(0, Flag.PARTIAL)]


def test_two_readings_far_ahead_and_far_apart_confirm_nothing():
    asset = Asset(columns=1)
    asset.take(0, 0)
    assert asset.take(0, 10 * 86_400) is Reason.FUTURE
    assert asset.take(0, 20 * 86_400) is Reason.FUTURE
    assert asset.take(0, 20 * 86_400 + 1) is None


def test_an_ordinary_reading_clears_the_suspicion():
    asset = Asset(columns=1)
    asset.take(0, 0)
    asset.take(0, 3 * 86_400)
    asset.take(0, 1)
    assert asset.take(0, 3 * 86_400 + 1) is Reason.FUTURE


def test_a_suspicion_and_its_end_are_to_be_made_durable():
    asset = Asset(columns=1)
    asset.take(0, 0)
    asset.intervals.changed = False
    asset.take(0, 3 * 86_400)
    assert asset.intervals.changed
    asset.intervals.changed = False
    asset.take(0, 3 * 86_400)  # the same again
    assert not asset.intervals.changed
    asset.take(0, 1)
    assert asset.intervals.changed


def test_a_refused_reading_moves_nothing():
    asset = Asset(columns=1, lateness=10)
    asset.take(0, 1)
    for refused in (math.nan, math.inf, -math.inf, 3.5e38):
        assert asset.take(0, 100, refused) is Reason.INFINITE
    assert asset.take(0, 86_402) is Reason.FUTURE
    assert asset.take(0, 2) is None
    assert asset.places == []


def test_an_asset_keeps_no_more_open_readings_than_it_may():
    asset = Asset(columns=1, lateness=1000, limit=3)
    assert [asset.take(0, second) for second in range(4)] == [None, None, None, Reason.TOO_MANY_READINGS]
    assert asset.intervals.close_all()
    assert asset.intervals.open_readings == 0
    assert asset.take(0, 10) is None


def test_silence_closes_what_holds_readings_and_says_so():
    asset = Asset(columns=2)
    assert not asset.intervals.close_all()
    asset.take(0, 1)
    asset.take(0, 11)
    assert asset.intervals.close_all()
    assert asset.places == [(0, Flag.TIMEOUT), (1, Flag.TIMEOUT)]
    assert asset.record.open_place == FIRST_PLACE + 2
    assert asset.intervals.last_flagged == FIRST_PLACE + 1
    assert asset.take(1, 12) is Reason.LATE
    assert not asset.intervals.close_all()


def test_the_record_tells_of_closed_places_alone():
    asset = Asset(columns=1)
    for second, sequence in ((1, 1), (9, 3), (8, 2), (12, 4)):
        asset.take(0, second, sequence=sequence)
    assert asset.record.newest_us == [START_US + 9 * SECOND_US]
    assert asset.record.sequences == [3]
    assert asset.record.open_place == FIRST_PLACE + 1


def test_a_grid_begins_with_the_earliest_row_that_comes_before_a_place_closes():
    asset = Asset("rows", columns=1, lateness=8)
    for second in (3, 0, 14, 7, 30):
        asset.take(0, second)
    assert asset.stamps == [0.0, 10.0]
    assert [len(each.columns[0].times_us) for each in asset.closed] == [2, 2]


def test_a_grid_that_moves_is_to_be_made_durable():
    asset = Asset("rows", columns=1, lateness=8)
    for second, moves in ((3, True), (4, False), (1, True)):
        asset.intervals.changed = False
        asset.take(0, second)
        assert asset.intervals.changed is moves


def test_what_is_too_late_is_told_anew_when_a_grid_moves():
    asset = Asset("rows", columns=2, patience=10)
    assert [asset.take(0, second) for second in (100, 92, 85)] == [None, None, Reason.LATE]


def test_nothing_is_kept_of_closed_places():
    asset = Asset(columns=1)
    asset.take(0, 1)
    asset.take(0, 2, sequence=1)
    asset.intervals.close_all()
    assert (asset.intervals._by_time, asset.intervals._by_sequence, asset.intervals._open) == ([{}], [{}], {})


def test_a_grid_that_follows_its_rows_skips_no_place_however_far_they_drift():
    asset = Asset("rows", columns=2, follows=True)
    for row in range(200):
        asset.take_row(row * 10.3)
    assert [place for place, _ in asset.places] == list(range(200))
    assert asset.stamps == [round(row * 10.3, 6) for row in range(200)]


def test_a_grid_that_follows_begins_anew_behind_a_gap():
    asset = Asset("rows", columns=1, follows=True)
    for second in (0, 10, 36, 44, 54):  # 44 lies nearer to place 4 of the old grid, as 36 does
        asset.take(0, second)
    assert asset.places == [(0, 0), (1, 0), (4, 0), (5, 0), (6, 0)]


def test_a_grid_that_stands_skips_a_place_where_rows_drift():
    asset = Asset("rows", columns=1)
    for row in range(30):
        asset.take(0, row * 10.3)
    assert [place for place, _ in asset.places] == [row + (row > 16) for row in range(30)]


INTERVALS = st.one_of(st.integers(1, 10**9).map(float), st.floats(1.0, 1e9))
TIMES = st.integers(0, 7 * 10**15)


@settings(deadline=None)
@example(142857.14285714287, 0, 268_074_769, "rows")
@given(INTERVALS, TIMES, st.integers(-(10**6), 10**6), st.sampled_from(["rows", "samples"]))
def test_the_first_time_of_a_place_is_its_first(interval_us, origin_us, place, sampling):
    timing = Timing(float(round(interval_us)) if sampling == "samples" else interval_us, sampling, 1, 0, 0, 1, 1)
    first_us = timing.first_us(origin_us, place)
    assert timing.place_of(origin_us, first_us) >= place > timing.place_of(origin_us, first_us - 1)


@settings(deadline=None)
@example(100.0, 1000, 5, 150)  # a row a step and a half behind: halves go to the later place
@given(INTERVALS.filter(lambda us: us >= 100), TIMES, st.integers(-10, 10**6), st.integers(1, 10**10))
def test_whatever_moves_a_grid_what_is_closed_stays_closed_and_what_is_open_stays_open(interval_us, last, place, step):
    timing = Timing(interval_us, "rows", 1, 0, 0, 1, 1, follows=True)
    origin_us = timing.origin_of((place, last), last + step)
    assert timing.place_of(origin_us, last) <= place < timing.place_of(origin_us, last + step)
    assert timing.stamp_of(timing.origin_of((place, last), None), place) == last


def test_settings_and_signal_give_the_timing():
    settings = SignalSettings(lateness_s=2.5, patience_s=None, max_ahead_s=60.0, max_open_readings=9)
    timing = timing_of(raw_signal({"a": ("mean",), "b": ("mean", "std")}), settings)
    assert timing == Timing(1e7, "samples", 2, 2_500_000, 10_000_000, 60_000_000, 9, follows=False)
    assert timing_of(row_signal({"a": "break"}), SignalSettings(patience_s=0.0)).patience_us == 0


@pytest.mark.parametrize(("gap", "follows"), [("break", True), ("hold:1", False), ("interpolate:2", False)])
def test_the_grid_follows_rows_of_which_training_filled_no_gap(gap, follows):
    signal = row_signal({"a": "break", "b": gap}, calendar=("calendar.hour_sin",))
    assert timing_of(signal, SignalSettings()).follows is follows


SIGNALS = {
    "samples": raw_signal({"a": ("mean", "std"), "b": ("last",)}, {"a.mean": "hold:2", "a.std": "hold:1"}),
    "a grid": row_signal({"a": "hold:2", "b": "hold:1"}),
    "a grid that follows": row_signal({"a": "break", "b": "break"}),
}


def hostile_events(rng, count=120):
    """Readings of two assets as no source should send them, and silence: (asset, reading or None)."""
    events, now = [], [START_US] * 2
    for _ in range(count):
        asset = int(rng.integers(2))
        now[asset] += int(
            rng.choice([0, 1, 7, 10, 16, 40, 3 * 86_400], p=[0.3, 0.2, 0.2, 0.2, 0.05, 0.04, 0.01]) * SECOND_US
        )
        shift = rng.choice([0, 0, -1, -4, -12, -60, 2 * 86_400]) * SECOND_US + rng.choice([0, 0, 1234])
        sequence = int(rng.integers(40)) if rng.random() < 0.3 else None
        reading = Reading(int(rng.integers(2)), int(now[asset] + shift), float(rng.integers(4)), sequence)
        events.append((asset, None if rng.random() < 0.02 else reading))
    return events


def answers(signal, how, events, restarts, limit):
    """Reasons, rows and records after all events, with a restart before each of some."""
    path = GatewayPath(signal, SignalSettings(lateness_s=how, max_open_readings=limit))
    reasons = []
    for number, (asset, reading) in enumerate(events):
        if number in restarts:
            path = path.restarted()
        if reading is not None:
            reasons.append(path.take(asset, reading))
        elif asset in path.assets:
            reasons.append(path.assets[asset].close_all())
    path.make()
    return reasons, path.rows, path.records, path.open_samples()


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(sorted(SIGNALS)),
    st.sampled_from([0.0, 3.0, 25.0]),
    st.sets(st.integers(0, 119), max_size=8),
    st.sampled_from([5, 1000]),
)
def test_a_restart_at_any_moment_changes_no_answer_no_row_and_no_record(seed, signal, lateness_s, restarts, limit):
    events = hostile_events(np.random.default_rng(seed))
    interrupted = answers(SIGNALS[signal], lateness_s, events, restarts, limit)
    undisturbed = answers(SIGNALS[signal], lateness_s, events, (), limit)
    assert interrupted[0] == undisturbed[0]
    assert sorted(interrupted[1]) == sorted(undisturbed[1])
    assert interrupted[2:] == undisturbed[2:]


def test_what_is_put_back_is_not_counted_again_and_closes_nothing():
    asset = Asset(columns=1)
    samples = [
        Sample(7, 0, START_US + second * SECOND_US, 1.0, sequence) for second, sequence in ((5, 9), (4, 3), (6, 1))
    ]
    asset.intervals.restore(samples)
    assert (asset.intervals.out_of_order, asset.intervals.sequence_restarts) == (0, 0)
    assert asset.places == []
    assert asset.intervals.open_readings == 3
    assert asset.take(0, 5, 1.0, 9) is Reason.DUPLICATE
