from datetime import UTC, datetime

import numpy as np
import pytest

from toolkit.errors import ConfigError
from toolkit.signal.features import interval_features
from toolkit.signal.plant import CHANNELS, PLANT_FEATURES, asset_name, raw_samples, simulate_plant
from toolkit.signal.pump_station import DEFAULT_START_US, FAULTS, VARIABLES, Station

HOUR_US = 3_600_000_000
MINUTE_US = 60_000_000
NAMES = [channel.name for channel in CHANNELS]


@pytest.fixture(scope="module")
def week():
    return simulate_plant()


def channel(table, name, asset=0):
    return table.values[table.asset_index == asset, NAMES.index(name)]


def test_the_default_table_is_whole(week):
    assert NAMES[:4] == ["temperature.mean", "temperature.std", "temperature.peak", "pressure.mean"]
    assert {c.variable: c.unit for c in week.channels} == {"temperature": "degC", "pressure": "Pa", "vibration": "mm/s"}
    assert week.assets == ("pump-001", "pump-002", "pump-003", "pump-004")
    assert week.values.shape == (len(week.times_us), 9)
    assert len(week.asset_index) == len(week.labels) == len(week.times_us)
    assert np.isfinite(week.values).all()
    assert week.times_us[0] == DEFAULT_START_US == datetime(2026, 1, 5, tzinfo=UTC).timestamp() * 1e6


def test_every_channel_of_every_asset_varies(week):
    for asset in range(len(week.assets)):
        assert (week.values[week.asset_index == asset].std(axis=0) > 0.01).all()


def test_rows_are_ordered_by_asset_and_time(week):
    order = np.lexsort((week.times_us, week.asset_index))
    np.testing.assert_array_equal(order, np.arange(len(order)))
    assert (week.times_us % MINUTE_US == 0).all()


def test_dropouts_are_rare_gaps_in_time(week):
    jumps = np.diff(week.times_us)[np.diff(week.asset_index) == 0]
    gaps = jumps[jumps > MINUTE_US] / MINUTE_US
    assert 3 <= len(gaps) <= 20
    assert gaps.max() < 30
    assert len(simulate_plant(2, 1, dropouts=False).times_us) == 2 * 1440


def test_the_same_seed_gives_the_same_table_and_another_seed_another():
    first, again, other = (simulate_plant(1, 0.5, seed=seed) for seed in (7, 7, 8))
    assert first.values.tobytes() == again.values.tobytes()
    assert not np.isclose(first.values[:10], other.values[:10]).all(axis=1).any()


def test_an_asset_does_not_depend_on_how_many_there_are():
    few, many = simulate_plant(1, 1), simulate_plant(3, 1)
    np.testing.assert_array_equal(few.values, many.values[many.asset_index == 0])
    assert asset_name(0) == few.assets[0] == many.assets[0]


def test_a_longer_run_begins_with_the_shorter_one():
    short, long = simulate_plant(1, 1.3), simulate_plant(1, 3)
    np.testing.assert_array_equal(short.values, long.values[: len(short.values)])
    np.testing.assert_array_equal(short.labels, long.labels[: len(short.labels)])


def test_assets_differ(week):
    means = [week.values[week.asset_index == asset].mean(axis=0) for asset in range(4)]
    assert (np.std(means, axis=0) > 0.001).all()


def test_the_machine_behaves_like_a_pump_station(week):
    vibration, pressure = channel(week, "vibration.mean"), channel(week, "pressure.mean")
    running = vibration > 1
    starts = np.flatnonzero(running[1:] & ~running[:-1])
    cycle_min = np.diff(starts)
    assert 20 <= np.median(cycle_min) <= 45
    assert np.percentile(cycle_min, 95) > 1.3 * np.percentile(cycle_min, 5)  # it depends on demand
    assert 101_000 < np.median(pressure) < 101_600
    assert 100 < pressure[~running].mean() - pressure[running].mean() < 400
    hour = week.times_us[week.asset_index == 0] // HOUR_US % 24
    assert running[(hour >= 7) & (hour < 21)].mean() > 1.8 * running[hour < 4].mean()
    day = (week.times_us[week.asset_index == 0] - DEFAULT_START_US) // (24 * HOUR_US)
    assert running[day < 5].mean() > 1.2 * running[day == 6].mean()


def test_temperature_is_slow_and_vibration_is_not():
    unbroken = simulate_plant(1, 1, dropouts=False)
    temperature, vibration = channel(unbroken, "temperature.mean"), channel(unbroken, "vibration.mean")
    assert np.abs(np.diff(temperature)).max() < 0.15 * np.ptp(temperature)
    assert np.abs(np.diff(vibration)).max() > 0.3 * np.ptp(vibration)


def test_faults_leave_their_mark_and_no_other():
    with_faults, sound = simulate_plant(2, 7, dropouts=False), simulate_plant(2, 7, faults=False, dropouts=False)
    assert not sound.labels.any()
    assert set(with_faults.labels) == set(range(len(FAULTS)))
    before_any = np.cumsum(with_faults.labels) == 0
    np.testing.assert_array_equal(with_faults.values[before_any], sound.values[before_any])

    def rise(label, name):
        rows = with_faults.labels == FAULTS.index(label)
        column = NAMES.index(name)
        return with_faults.values[rows, column].max() / sound.values[rows, column].max()

    assert rise("bearing_wear", "vibration.peak") > 1.3
    assert rise("bearing_wear", "temperature.mean") > 1.05
    assert rise("cavitation", "pressure.std") > 1.2


def test_labels_cover_every_interval_that_a_fault_touches():
    table = simulate_plant(2, 7, interval_s=3600, dropouts=False)
    for asset in range(2):
        rows = table.asset_index == asset
        start = table.times_us[rows]
        for fault in Station(asset, 7).faults:
            touched = (start < fault.end_us) & (start + HOUR_US > fault.start_us)
            np.testing.assert_array_equal(table.labels[rows][touched], fault.label)
            assert touched.sum() >= 1


def test_raw_samples_come_at_their_own_rates_and_make_the_table():
    table = simulate_plant(1, 1, seed=3)
    edges = DEFAULT_START_US + np.arange(1441) * MINUTE_US
    columns = []
    for samples, period_us in zip(raw_samples(0, 1, seed=3), (10_000_000, 1_000_000, 100_000), strict=True):
        assert np.diff(samples.times_us).min() == period_us
        columns.append(interval_features(samples.times_us, samples.values, edges, PLANT_FEATURES))
    values = np.concatenate(columns, axis=1)
    np.testing.assert_array_equal(values[np.isfinite(values).all(axis=1)], table.values)


def test_a_run_may_start_and_end_anywhere():
    start = DEFAULT_START_US + 23 * HOUR_US + 7 * MINUTE_US
    table = simulate_plant(1, 2 / 24, start_us=start, interval_s=900, dropouts=False)
    np.testing.assert_array_equal(table.times_us, start + 8 * MINUTE_US + np.arange(7) * 15 * MINUTE_US)


def test_a_dropout_takes_the_samples_of_its_own_variables():
    station = Station(2, 7)
    assert station.dropouts
    lost = dict.fromkeys(VARIABLES, 0)
    for samples in station.raw_samples():
        gaps = [gap for gap in station.dropouts if samples.variable in gap.variables]
        for gap in gaps:
            assert not ((samples.times_us >= gap.start_us) & (samples.times_us < gap.end_us)).any()
        period_us = 10_000_000 // samples.variable.samples_per_step
        lost[samples.variable] += (samples.end_us - samples.start_us) // period_us - len(samples.times_us)
    assert all(count > 0 for count in lost.values())


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ("needs an asset; got 0 assets", {"assets": 0}),
        ("number of days is out of range; got 0", {"days": 0}),
        ("number of days is out of range; got nan", {"days": float("nan")}),
        ("number of days is out of range; got inf", {"days": float("inf")}),
        ("must divide a day; got 7 s", {"interval_s": 7}),
        ("must divide a day; got 70 s", {"interval_s": 70}),
        ("must divide a day; got 10 s", {"interval_s": 10}),
        ("seed is out of range; got -1", {"seed": -1}),
        ("start is out of range; got 2026-01-05T00:00:01", {"start_us": DEFAULT_START_US + 1_000_000}),
        ("start is out of range; got 1969", {"start_us": -MINUTE_US}),
        ("hold no interval of 3600 s", {"days": 0.01, "interval_s": 3600}),
    ],
)
def test_refused(words, settings):
    with pytest.raises(ConfigError, match=words):
        simulate_plant(**settings)


def test_progress_names_each_asset():
    names = []
    simulate_plant(2, 0.01, on_asset=names.append)
    assert names == ["pump-001", "pump-002"]


def windows(table, asset, window=60, horizon=12, season=1440):
    """Flattened windows, and three forecasts' worth of targets: the truth, persistence, the same hour yesterday."""
    targets = [NAMES.index(f"{variable.name}.mean") for variable in VARIABLES]
    series = table.values[table.asset_index == asset]
    starts = np.arange(season, len(series) - window - horizon)
    future = starts[:, None] + window + np.arange(horizon)
    x = series[starts[:, None] + np.arange(window)].reshape(len(starts), -1)
    last = np.repeat(future[:, :1] - 1, horizon, axis=1)
    return x, *(series[rows][:, :, targets].reshape(len(starts), -1) for rows in (future, last, future - season))


def test_the_next_twelve_minutes_follow_from_the_last_sixty():
    """A forecaster has something to learn: even a linear one is far ahead of both naive forecasts."""
    table = simulate_plant(2, 4, faults=False, dropouts=False)
    parts = [windows(table, asset) for asset in range(2)]
    border = int(0.7 * len(parts[0][0]))
    x, y = (np.concatenate([part[i][: border - 72] for part in parts]) for i in range(2))
    test_x, test_y, persistence, seasonal = (np.concatenate([part[i][border:] for part in parts]) for i in range(4))
    centre, scale, unit = x.mean(axis=0), x.std(axis=0), y.std(axis=0)
    z = (x - centre) / scale
    weights = np.linalg.solve(z.T @ z + 10 * np.eye(z.shape[1]), z.T @ (y - y.mean(axis=0)))
    ridge = (test_x - centre) / scale @ weights + y.mean(axis=0)
    error, persistence_error, seasonal_error = (
        (((forecast - test_y) / unit) ** 2).reshape(-1, 12, 3).mean(axis=(0, 1))
        for forecast in (ridge, persistence, seasonal)
    )
    assert (error < 0.4 * persistence_error).all()
    assert (error < 0.4 * seasonal_error).all()
