"""Closed places of many assets become whole rows: what stands for a missing reading, and where a series ends."""

import numpy as np
import pytest
from edge_signal_path import SECOND_US, START_US, GatewayPath, raw_signal, row_signal

from toolkit.edge.changes import AssetRecord, Flag
from toolkit.edge.intervals import ClosedPlace, ColumnReadings
from toolkit.edge.readings import Reading
from toolkit.edge.rows import RowMaker
from toolkit.edge.settings import ColumnLimits, SignalSettings
from toolkit.errors import DataError
from toolkit.signal.features import interval_features

START_PLACE = START_US // (10 * SECOND_US)


class Path(GatewayPath):
    """Of one asset, whose rows come as texts or None for each column, one interval after the other."""

    def feed(self, *rows):
        for row in rows:
            self.place = getattr(self, "place", -1) + 1
            for column, value in enumerate(row or ()):
                if value is not None:
                    assert self.take(0, Reading(column, START_US + self.place * 10 * SECOND_US, value)) is None
            self.make()
        return self

    def done(self):
        self.close_all()
        self.make()
        return [(place, np.frombuffer(values, np.float32).tolist(), flags & 3, series)
                for _, place, _, flags, series, _, values in self.rows]  # fmt: skip


def path_of(gaps, missing=None):
    limits = {name: ColumnLimits(missing=text) for name, text in (missing or {}).items()}
    return Path(row_signal(gaps), SignalSettings(patience_s=0.0), limits)


def test_a_row_that_lacks_a_channel_is_left_out_and_ends_the_series():
    path = path_of({"a": "break", "b": "break"}).feed((1.0, 2.0), (3.0, None), (5.0, 6.0))
    assert path.done() == [(0, [1.0, 2.0], 0, 0), (2, [5.0, 6.0], 0, 1)]
    assert path.left_out == [0]
    assert [row[5] for row in path.rows] == [True, True]
    assert (path.records[0].series, path.records[0].last_place) == (1, 2)


def test_a_place_that_was_skipped_ends_the_series():
    path = path_of({"a": "break"}).feed((1.0,), None, (3.0,), (4.0,))
    assert path.done() == [(0, [1.0], 0, 0), (2, [3.0], 0, 1), (3, [4.0], 0, 1)]
    assert [row[5] for row in path.rows] == [True, True, False]
    assert path.left_out == []


def test_a_channel_is_held_for_as_many_places_as_its_policy_says():
    path = path_of({"a": "break", "b": "hold:2"}).feed((1.0, 7.0), (2.0, None), (3.0, None), (4.0, None), (5.0, 8.0))
    held = int(Flag.HELD)
    assert path.done() == [
        (0, [1.0, 7.0], 0, 0),
        (1, [2.0, 7.0], held, 0),
        (2, [3.0, 7.0], held, 0),
        (4, [5.0, 8.0], 0, 1),
    ]


def test_a_channel_that_never_had_a_reading_is_not_held():
    assert path_of({"a": "break", "b": "hold:9"}).feed((1.0, None), (2.0, None)).done() == []


def test_skipped_places_become_rows_of_their_own_in_successive_rounds():
    path = path_of({"a": "hold:3", "b": "hold:2"}).feed((1.0, 2.0), None, (3.0, 4.0), None, None, None, (5.0, 6.0))
    held = int(Flag.HELD)
    assert path.done() == [
        (0, [1.0, 2.0], 0, 0),
        (1, [1.0, 2.0], held, 0),
        (2, [3.0, 4.0], 0, 0),
        (3, [3.0, 4.0], held, 0),
        (4, [3.0, 4.0], held, 0),
        (6, [5.0, 6.0], 0, 1),
    ]
    assert [stamp - START_US for _, _, stamp, *_ in path.rows] == [n * 10 * SECOND_US for n in (0, 1, 2, 3, 4, 6)]


def test_the_rounds_of_one_call_hold_each_asset_once_and_its_rows_in_order():
    maker = RowMaker(row_signal({"a": "hold:3"}), {})
    records = {number: AssetRecord(number, "") for number in (5, 2)}

    def place(asset, number):
        return ClosedPlace(asset, number, 0, [ColumnReadings([number * 10 * SECOND_US], [float(number)], [None])], 0)

    maker.make([place(5, 0), place(2, 0)], records)
    rounds = maker.make([place(5, 3), place(2, 1)], records).rounds
    assert [one.assets.tolist() for one in rounds] == [[5, 2], [5], [5]]
    assert [one.places.tolist() for one in rounds] == [[1, 1], [2], [3]]
    assert [one.values.ravel().tolist() for one in rounds] == [[0.0, 1.0], [0.0], [3.0]]
    assert [one.values.dtype for one in rounds] == [np.float32] * 3


def test_a_configured_number_stands_in_and_is_flagged_but_makes_no_rows_of_skipped_places():
    path = path_of({"a": "break", "b": "hold:3"}, {"a": "impute:-1.5", "b": "impute:9"})
    path.feed((1.0, 2.0), (None, 4.0), None, (None, 6.0))
    imputed = int(Flag.IMPUTED)
    assert path.done() == [(0, [1.0, 2.0], 0, 0), (1, [-1.5, 4.0], imputed, 0), (3, [-1.5, 6.0], imputed, 1)]


def test_beside_a_channel_that_is_held_a_configured_number_fills_skipped_places():
    path = path_of({"a": "break", "b": "hold:1"}, {"a": "impute:5"}).feed((1.0, 2.0), None, (3.0, 4.0))
    both = int(Flag.HELD | Flag.IMPUTED)
    assert path.done() == [(0, [1.0, 2.0], 0, 0), (1, [5.0, 2.0], both, 0), (2, [3.0, 4.0], 0, 0)]


def test_a_gap_that_training_interpolates_ends_the_series():
    assert path_of({"a": "interpolate:5"}).feed((1.0,), None, (3.0,)).done() == [(0, [1.0], 0, 0), (2, [3.0], 0, 1)]


def test_a_setting_overrides_the_policy_of_training():
    path = path_of({"a": "hold:5", "b": "break"}, {"a": "break", "b": "hold:1"})
    path.feed((1.0, 2.0), (None, 3.0), (4.0, None))
    assert path.done() == [(0, [1.0, 2.0], 0, 0), (2, [4.0, 3.0], int(Flag.HELD), 1)]


def test_the_reading_of_a_row_that_was_left_out_is_held_after_a_restart_as_without_one():
    rows = ((1.0, 7.0), (2.0, None), (3.0, None), (None, 8.0), (None, 9.0), (6.0, 9.5))
    undisturbed = path_of({"a": "hold:2", "b": "hold:1"}).feed(*rows).done()
    path = path_of({"a": "hold:2", "b": "hold:1"})
    for number, row in enumerate(rows):
        path.place = number - 1
        path = path.feed(row).restarted()
    assert path.done() == undisturbed
    assert (3, [3.0, 8.0], int(Flag.HELD), 1) in undisturbed


def test_what_was_held_is_forgotten_where_nothing_is_held_any_more():
    path = path_of({"a": "hold:2"}).feed((1.0,))
    assert len(path.records[0].held) == 2
    breaking = {"a": ColumnLimits(missing="break")}
    other = Path(path.signal, path.settings, breaking, path.records, [], path.rows)
    other.place = 0
    other.feed((2.0,))
    assert path.records[0].held == []


def test_an_imputed_variable_has_the_features_of_a_machine_that_stands_still():
    features = ("mean", "std", "rms", "kurtosis", "slope", "count")
    signal = raw_signal({"a": features, "b": ("mean",)})
    path = GatewayPath(signal, limits={"a": ColumnLimits(missing="impute:-4")})
    path.take(0, Reading(1, START_US, 1.0))
    path.close_all()
    path.make()
    assert np.frombuffer(path.rows[0][-1], np.float32).tolist() == [-4.0, 0.0, 4.0, 3.0, 0.0, 1.0, 1.0]
    assert path.rows[0][3] == Flag.TIMEOUT | Flag.IMPUTED


def test_too_few_samples_are_no_reading():
    path = GatewayPath(raw_signal({"a": ("mean",)}, min_samples=2))
    for second in (1, 11, 12, 21):
        path.take(0, Reading(0, START_US + second * SECOND_US, 1.0))
    path.close_all()
    path.make()
    assert [row[1] - START_PLACE for row in path.rows] == [1]
    assert path.left_out == [0, 0]


def closed_places(assets, rng):
    """Of three variables with about ten samples each, in no order, at different places."""
    places = []
    for asset in range(assets):
        place = START_PLACE + int(rng.integers(5))
        columns = []
        for _ in range(3):
            count = int(rng.integers(0, 12))
            times = (place * 10 * SECOND_US + rng.integers(0, 10 * SECOND_US, count)).tolist()
            samples = (100 * rng.standard_normal(count)).tolist()
            columns.append(ColumnReadings(times, samples, [None] * count) if count else None)
        places.append(ClosedPlace(asset, place, 0, columns, 0))
    return places


FEATURES = ("mean", "std", "peak", "rms", "kurtosis", "crest_factor", "slope", "last", "min", "max", "count")


def test_assets_that_are_made_together_have_the_rows_of_each_alone():
    signal = raw_signal(dict.fromkeys("abc", FEATURES), dict.fromkeys(["a.mean"], "hold:1"))
    closed = closed_places(80, np.random.default_rng(3))
    maker = RowMaker(signal, {name: ColumnLimits(missing="impute:0") for name in "bc"})
    together = maker.make(closed, {number: AssetRecord(number, "") for number in range(80)})
    rows = dict(zip(together.rounds[0].assets.tolist(), together.rounds[0].values, strict=True))
    assert 40 < len(rows) < 80
    for each in closed:
        alone = maker.make([each], {each.asset: AssetRecord(each.asset, "")})
        made = {n: v.tobytes() for one in alone.rounds for n, v in zip(one.assets.tolist(), one.values, strict=True)}
        assert made == ({each.asset: rows[each.asset].tobytes()} if each.asset in rows else {})
    assert sorted([*rows, *together.left_out.tolist()]) == list(range(80))


def test_intervals_of_decades_of_many_assets_fit_into_64_bits():
    interval_us = 10**15
    signal = raw_signal({"a": ("mean", "slope")}, interval_s=1e9)
    times = [interval_us, interval_us + 10**6, 2 * interval_us - 1]
    closed = [ClosedPlace(n, 1, 0, [ColumnReadings(times, [1.0, 2.0, 3.0], [None] * 3)], 0) for n in range(9300)]
    made = RowMaker(signal, {}).make(closed, {number: AssetRecord(number, "") for number in range(9300)})
    expected = interval_features(times, [1.0, 2.0, 3.0], [interval_us, 2 * interval_us], ("mean", "slope"))
    assert made.rounds[0].values.tobytes() == expected.astype(np.float32).tobytes() * 9300


def test_flags_of_closing_pass_on_to_the_row_alone():
    maker = RowMaker(row_signal({"a": "hold:1"}), {})
    records = {1: AssetRecord(1, "")}
    for place, flags in ((0, 0), (2, int(Flag.PARTIAL))):
        rounds = maker.make([ClosedPlace(1, place, 0, [ColumnReadings([place], [1.0], [None])], flags)], records).rounds
    assert [one.flags.tolist() for one in rounds] == [[Flag.HELD], [Flag.PARTIAL]]


def test_nothing_closed_gives_no_round():
    made = RowMaker(row_signal({"a": "break"}), {}).make([], {})
    assert (made.rounds, made.left_out.tolist()) == ((), [])


def test_a_channel_of_the_calendar_that_is_none_is_refused():
    with pytest.raises(DataError, match="calendar"):
        RowMaker(row_signal({"a": "break"}, calendar=("calendar.moon_sin",)), {})
