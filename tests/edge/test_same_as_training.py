"""The gateway's rows and training's are the same bits and the same series, for the same samples."""

import numpy as np
import pytest
from edge_signal_path import SECOND_US, START_US, GatewayPath, raw_signal, row_signal, training_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.edge.readings import Reading, Reason
from toolkit.edge.settings import SignalSettings

INTERVAL_US = 10 * SECOND_US
FEATURES = {
    "temperature": ("mean", "std", "slope"),
    "vibration": ("rms", "kurtosis", "last"),
    "flow": ("mean", "count"),
}
CALENDAR = ("calendar.hour_sin", "calendar.hour_cos", "calendar.weekday_cos")
HOLD_ALL = {f"{variable}.{feature}": "hold:3" for variable, chosen in FEATURES.items() for feature in chosen}
HOLD_SOME = {name: "hold:2" for name in HOLD_ALL if not name.startswith("flow")}
HOLD_UNEQUALLY = {name: f"hold:{1 + number % 4}" for number, name in enumerate(HOLD_ALL)}
LATENESS_S = st.sampled_from([0.0, 4.0, 35.0])
SEEDS = st.integers(0, 2**32 - 1)


def with_holes(values, times, rng):
    """NaN for single cells and for stretches, of one column or of all; rows without any reading are left out."""
    values = values.copy()
    values[rng.random(values.shape) < rng.choice([0.0, 0.1, 0.5])] = np.nan
    for _ in range(rng.integers(0, 5)):
        first = times[0] + rng.uniform(0, times[-1] - times[0])
        hole = (times >= first) & (times < first + rng.uniform(0.3, 6) * INTERVAL_US)
        columns = slice(None) if rng.random() < 0.5 else rng.integers(values.shape[1])
        values[hole, columns] = np.nan
    there = np.isfinite(values).any(axis=1)
    return times[there], values[there]


def raw_table(rng, columns=3):
    """Samples of about 12 intervals at random times."""
    times = np.unique(START_US + rng.integers(0, 12 * INTERVAL_US, rng.integers(20, 120)))
    return with_holes(101_325 + rng.standard_normal((times.size, columns)) * 10.0 ** rng.integers(-3, 4), times, rng)


def grid_table(rng, columns=3, jitter=0.45, rows_of_a_place=1):
    """Rows near the points of a grid that begins with the first."""
    points = np.repeat(np.arange(14), rows_of_a_place)
    shifts = rng.uniform(-jitter, jitter, points.size) * (points > 0)
    times = np.unique(START_US + rng.integers(SECOND_US) + np.rint((points + shifts) * INTERVAL_US).astype(np.int64))
    values = rng.standard_normal((times.size, columns))
    first, rest = values[:1], with_holes(values[1:], times[1:], rng)
    return np.append(times[:1], rest[0]), np.vstack([first, rest[1]])


def following_table(rng, columns=3):
    """Rows, each so far behind the one before it: a walk that no grid would follow, and some gaps."""
    steps = rng.uniform(0.77, 1.23, 25) + 1.4 * (rng.random(25) < 0.1)
    times = START_US + np.rint(np.cumsum(steps) * INTERVAL_US).astype(np.int64)
    values = rng.standard_normal((times.size, columns))
    return times, np.where(rng.random(values.shape) < 0.03, np.nan, values)


def readings_of(tables, lateness_us, rng):
    """All readings, out of order by less than the lateness, (asset, reading); some sources number theirs."""
    stream = []
    for asset, (times, values) in enumerate(tables):
        numbered = rng.random() < 0.5
        for row, column in np.argwhere(np.isfinite(values)).tolist():
            late = rng.integers(lateness_us) if lateness_us else 0
            reading = Reading(column, int(times[row]), float(values[row, column]), row if numbered else None)
            stream.append((int(times[row]) + late, asset, reading))
    stream.sort(key=lambda each: each[0])
    return [(asset, reading) for _, asset, reading in stream]


def gateway_rows(signal, tables, lateness_s, rng):
    """The path over all readings, rows made now and then, and silence in the end."""
    path = GatewayPath(signal, SignalSettings(lateness_s=lateness_s))
    for asset, reading in readings_of(tables, round(lateness_s * 1e6), rng):
        assert path.take(asset, reading) is None
        if rng.random() < 0.1:
            path.make()
    path.close_all()
    path.make()
    return [path.rows_of(asset) for asset in range(len(tables))]


@settings(max_examples=40, deadline=None)
@given(
    SEEDS,
    LATENESS_S,
    st.sampled_from([{}, HOLD_ALL, HOLD_SOME, HOLD_UNEQUALLY]),
    st.sampled_from([1, 2]),
    st.sampled_from([(), CALENDAR]),
)
def test_features_of_raw_samples_are_those_of_training(seed, lateness_s, gaps, min_samples, calendar):
    rng = np.random.default_rng(seed)
    signal = raw_signal(FEATURES, gaps, min_samples=min_samples, calendar=calendar)
    tables = [raw_table(rng) for _ in range(rng.integers(1, 4))]
    if not np.isfinite(np.concatenate([values for _, values in tables])).any(axis=0).all():
        return  # training refuses a column without a reading
    assert gateway_rows(signal, tables, lateness_s, rng) == training_rows(signal, tables)


@settings(max_examples=40, deadline=None)
@given(
    SEEDS,
    LATENESS_S,
    st.sampled_from([("hold:3", "hold:3", "hold:3"), ("hold:2", "break", "hold:1"), ("hold:1", "hold:4", "hold:2")]),
    st.sampled_from([(), CALENDAR]),
)
def test_rows_with_gaps_to_fill_lie_on_the_grid_of_training(seed, lateness_s, gaps, calendar):
    rng = np.random.default_rng(seed)
    signal = row_signal(dict(zip("abc", gaps, strict=True)), calendar=calendar)
    tables = [grid_table(rng) for _ in range(rng.integers(1, 4))]
    assert gateway_rows(signal, tables, lateness_s, rng) == training_rows(signal, tables)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from([("hold:3", "hold:1", "break"), ("hold:2", "hold:2", "hold:2")]))
def test_of_several_rows_at_one_place_the_latest_readings_count_as_in_training(seed, gaps):
    rng = np.random.default_rng(seed)
    signal = row_signal(dict(zip("abc", gaps, strict=True)))
    tables = [grid_table(rng, rows_of_a_place=3) for _ in range(2)]
    assert gateway_rows(signal, tables, 35.0, rng) == training_rows(signal, tables)


@settings(max_examples=40, deadline=None)
@given(SEEDS, LATENESS_S, st.sampled_from([(), CALENDAR]), st.sampled_from([1, 3]))
def test_rows_whose_gaps_end_a_series_follow_each_other_as_in_training(seed, lateness_s, calendar, columns):
    rng = np.random.default_rng(seed)
    signal = row_signal(dict.fromkeys("abc"[:columns], "break"), calendar=calendar)
    tables = [following_table(rng, columns) for _ in range(rng.integers(1, 4))]
    assert gateway_rows(signal, tables, lateness_s, rng) == training_rows(signal, tables)


@pytest.mark.parametrize("gap", ["break", "hold:2"])
def test_an_interval_that_is_no_whole_number_of_microseconds_gives_the_stamps_of_training(gap):
    signal = row_signal({"a": gap}, interval_s=1 / 3, calendar=CALENDAR)
    times = START_US + np.rint(np.arange(400) * 1e6 / 3).astype(np.int64)
    kept = np.arange(400) % 97 < 95
    tables = [(times[kept], np.arange(400.0)[kept, None])]
    assert gateway_rows(signal, tables, 0.0, np.random.default_rng(0)) == training_rows(signal, tables)


def test_what_float32_cannot_hold_is_no_reading_here_and_in_training():
    signal = raw_signal({"a": ("mean", "peak_to_peak")}, {"a.mean": "hold:1", "a.peak_to_peak": "hold:1"})
    values = np.array([1.0, 2.0, 3e38, -3e38, 3.0, 1e39, 5.0])
    times = START_US + np.array([1, 2, 11, 12, 21, 31, 41]) * SECOND_US
    path = GatewayPath(signal)
    reasons = [path.take(0, Reading(0, int(time), float(value))) for time, value in zip(times, values, strict=True)]
    path.close_all()
    path.make()
    assert [reason for reason in reasons if reason] == [Reason.INFINITE]
    assert [path.rows_of(0)] == training_rows(signal, [(times, values[:, None])])
