"""What is shown of a table is what a plain loop over its rows finds."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensor_tables import MINUTE_US, sensor_table, wave

from toolkit.contract.reports import report_to_json
from toolkit.contract.signals import Channel, SignalSpec
from toolkit.data.picture import BINS, data_report, distribution, shift, thinned
from toolkit.signal.windows import part_by_fraction, segment_ids

NAMES = ("temperature", "pressure")
SIGNAL = SignalSpec(
    (Channel("temperature", "temperature", "value", "degC"), Channel("pressure", "pressure", "value", "Pa")),
    ("temperature",),
    60.0,
)
THIRDS = {"train": np.arange(100), "validation": np.arange(100, 150), "test": np.arange(150, 200)}


def table_of(count=240, assets=None, values=None):
    table = sensor_table(wave(count) if values is None else values, NAMES, assets)
    return table, part_by_fraction(table.times_us, (0.7, 0.15, 0.15))


def without(table, *rows):
    """The table with these rows left out, its series broken there."""
    keep = np.setdiff1d(np.arange(len(table.values)), rows)
    kept = {name: getattr(table, name)[keep] for name in ("assets", "times_us", "values")}
    segments = segment_ids(kept["assets"], kept["times_us"], int(1.5 * MINUTE_US))
    return dataclasses.replace(table, **kept, segments=segments)


def test_a_report_tells_the_table_and_its_split():
    table, parts = table_of()
    found = data_report(table, parts, SIGNAL, ("a note",))
    assert (found.rows, found.assets, found.assets_in_all) == (240, ("0",), 1)
    assert (found.channels, found.units, found.targets) == (NAMES, ("degC", "Pa"), ("temperature",))
    assert found.borders_s == (168 * 60.0, 204 * 60.0)
    assert (found.interval_s, found.end_s, found.notes) == (60.0, 239 * 60.0, ("a note",))
    assert (found.file, found.schema) == ("plant.csv", "data/1")
    assert [each.channel for each in found.distributions] == list(NAMES)


def test_channels_that_the_model_does_not_read_are_left_out():
    table, parts = table_of()
    alone = dataclasses.replace(SIGNAL, channels=SIGNAL.channels[:1])
    found = data_report(table, parts, alone)
    assert found.channels == ("temperature",)
    assert {trace.channel for trace in found.traces} == {"temperature"}
    assert found.distributions[0] == data_report(table, parts, SIGNAL).distributions[0]


def test_a_short_table_is_shown_row_by_row():
    table, parts = table_of()
    temperature, pressure = data_report(table, parts, SIGNAL).traces
    assert temperature.times_s == tuple(60.0 * np.arange(240))
    for trace, values in ((temperature, table.values[:, 0]), (pressure, table.values[:, 1])):
        for figures in (trace.low, trace.mean, trace.high):
            np.testing.assert_allclose(figures, values, atol=np.ptp(values) * 1e-5)


@given(st.integers(1, 300), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_slices_are_those_of_a_loop_over_time(count, slices, seed):
    draws = np.random.default_rng(seed)
    times = np.cumsum(draws.integers(1, 5_000, count)) + 1_700_000_000_000_000
    values = draws.standard_normal((count, 2))
    middle, low, mean, high = thinned(times, values, slices)
    if count <= slices:
        groups = [[row] for row in range(count)]
    else:
        span = int(times[-1] - times[0]) + 1
        number = [int(time - times[0]) * slices // span for time in times]
        groups = [[row for row in range(count) if number[row] == each] for each in range(slices)]
    groups = [group for group in groups if group]
    assert len(middle) == len(groups) <= max(slices, 1)
    np.testing.assert_allclose(middle, [(times[g[0]] + times[g[-1]]) / 2e6 for g in groups], rtol=1e-15)
    np.testing.assert_array_equal(low, [values[g].min(axis=0) for g in groups])
    np.testing.assert_array_equal(high, [values[g].max(axis=0) for g in groups])
    np.testing.assert_allclose(mean, [values[g].mean(axis=0) for g in groups], atol=1e-12)
    assert (low <= mean).all()
    assert (mean <= high).all()


def test_the_first_three_assets_by_name_are_shown_and_twelve_are_named():
    numbers = np.repeat(np.arange(14), 30)
    table, parts = table_of(assets=numbers, values=wave(14 * 30))
    names = tuple(f"pump-{19 - number}" for number in range(14))
    table = dataclasses.replace(table, asset_names=names)
    found = data_report(table, parts, SIGNAL)
    assert list(dict.fromkeys(trace.asset for trace in found.traces)) == ["pump-10", "pump-11", "pump-12"]
    assert (found.assets, found.assets_in_all) == (tuple(sorted(names)[:12]), 14)
    (own,) = (each for each in found.traces if (each.asset, each.channel) == ("pump-11", "temperature"))
    np.testing.assert_allclose(own.mean, table.values[numbers == names.index("pump-11"), 0], atol=1e-3)


def test_an_asset_without_a_row_has_no_trace():
    table, parts = table_of(assets=np.repeat([0, 1], 120))
    table = dataclasses.replace(table, asset_names=("b", "c", "a"))
    found = data_report(table, parts, SIGNAL)
    assert {trace.asset for trace in found.traces} == {"b", "c"}
    assert found.assets_in_all == 3


def test_gaps_lie_between_the_rows_of_one_asset():
    table, _ = table_of(assets=np.repeat([0, 1], 120))
    table = without(table, 10, 11, 130)
    found = data_report(table, part_by_fraction(table.times_us, (0.7, 0.15, 0.15)), SIGNAL)
    assert [(gap.asset, gap.start_s, gap.end_s) for gap in found.gaps] == [
        ("0", 9 * 60.0, 12 * 60.0),
        ("1", 9 * 60.0, 11 * 60.0),
    ]
    assert found.gaps_in_all == 2


def test_the_longest_gaps_of_the_shown_assets_are_listed_and_all_are_counted():
    table, _ = table_of(assets=np.repeat(np.arange(4), 600), values=wave(2_400))
    holes = [asset * 600 + place for asset in range(4) for place in range(5, 595, 5)]  # 118 of one row in each asset
    table = without(table, *holes, 301, 302, *(hole + 1 for hole in holes if hole > 3 * 600))
    found = data_report(table, part_by_fraction(table.times_us, (0.7, 0.15, 0.15)), SIGNAL)
    assert found.gaps_in_all == 4 * 118
    assert len(found.gaps) == 200
    assert {gap.asset for gap in found.gaps} <= {"0", "1", "2"}
    assert max(gap.end_s - gap.start_s for gap in found.gaps) == 4 * 60.0
    assert list(found.gaps) == sorted(found.gaps, key=lambda gap: (gap.asset, gap.start_s))


@pytest.mark.parametrize("values", [np.random.default_rng(0).standard_normal(200), np.arange(200.0) // 6.5])
def test_a_distribution_is_numpys_histogram_of_each_part(values):
    found = distribution("x", values, THIRDS)
    edges = np.linspace(*np.quantile(values, [0.001, 0.999]), BINS + 1)
    np.testing.assert_allclose(found.edges, edges)
    for name, rows in THIRDS.items():
        counts, _ = np.histogram(np.clip(values[rows], edges[0], edges[-1]), edges)
        np.testing.assert_allclose(found.shares[name], counts / rows.size)
        assert sum(found.shares[name]) == pytest.approx(1.0)


def test_one_wild_reading_does_not_fill_one_bin_with_all_others():
    values = np.append(np.linspace(0.0, 1.0, 5_000), 1e9)
    found = distribution("x", values, {"train": np.arange(4_000), "test": np.arange(4_000, 5_001)})
    assert found.edges[-1] < 1.1
    assert max(found.shares["train"]) < 0.1
    assert sum(found.shares["test"]) == pytest.approx(1.0)


@pytest.mark.parametrize("values", [np.full(200, 7.0), np.full(200, 1e30), np.where(np.arange(200) == 3, 5.0, 0.0)])
def test_a_channel_that_hardly_moves_has_edges_that_rise(values):
    found = distribution("x", values, THIRDS)
    assert (np.diff(found.edges) > 0).all()
    assert [sum(shares) for shares in found.shares.values()] == pytest.approx([1.0, 1.0, 1.0])


def test_rare_readings_are_seen_where_all_others_are_one_number():
    values = np.where(np.arange(20_000) == 3, 5.0, 0.0)
    found = distribution("x", values, {"train": np.arange(10_000), "test": np.arange(10_000, 20_000)})
    assert (found.edges[0], found.edges[-1]) == (0.0, 5.0)
    assert found.shares["train"][-1] == 1e-4


def test_a_mean_lies_between_the_smallest_and_the_largest_reading():
    _, low, mean, high = thinned(np.arange(3), np.full((3, 1), 0.1), 1)  # a third of their sum is more than 0.1
    assert low == mean == high == 0.1


def distribution_functions_apart(first, second):
    places = np.concatenate([first, second])
    return max(abs((first <= place).mean() - (second <= place).mean()) for place in places)


readings = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=30)


@given(readings, readings)
def test_a_shift_is_the_largest_distance_of_the_distribution_functions(first, second):
    first, second = np.sort(first), np.sort(second)
    assert shift(first, second) == pytest.approx(distribution_functions_apart(first, second))
    assert shift(second, first) == shift(first, second)


def test_a_test_part_that_moved_is_seen():
    table, parts = table_of()
    moved = np.where((parts == 2)[:, None], table.values + np.array([6.0, 0.0]), table.values)
    temperature, pressure = data_report(dataclasses.replace(table, values=moved), parts, SIGNAL).distributions
    assert temperature.shift > 0.5
    assert pressure.shift < 0.25
    assert data_report(table, parts, SIGNAL).distributions[0].shift < 0.25


def test_rows_of_no_part_are_in_no_distribution():
    table, parts = table_of()
    unused = np.where(np.arange(240) >= 220, -1, parts)
    found = data_report(table, unused, SIGNAL)
    wild = np.where((unused < 0)[:, None], 1e6, table.values)
    assert data_report(dataclasses.replace(table, values=wild), unused, SIGNAL).distributions == found.distributions


def test_hundreds_of_channels_make_no_report_of_tens_of_megabytes():
    names = tuple(f"c{number}" for number in range(200))
    values = np.random.default_rng(0).standard_normal((1_500, 200))
    table = sensor_table(values, names, np.repeat([0, 1, 2], 500))
    signal = SignalSpec(tuple(Channel(name, name, "value") for name in names), names[:1], 60.0)
    found = data_report(table, part_by_fraction(table.times_us, (0.7, 0.15, 0.15)), signal)
    assert len(found.traces) == 3 * 200
    assert sum(len(trace.times_s) for trace in found.traces) <= 24_000
    few, _ = data_report(*table_of(2_000), SIGNAL).traces
    assert len(few.times_s) == 400


def test_the_report_is_json_without_a_null():
    table, parts = table_of()
    values = table.values.copy()
    values[5, 0] = 3e38
    text = report_to_json(data_report(dataclasses.replace(table, values=values), parts, SIGNAL))
    assert "null" not in text
    assert json.loads(text)["traces"][0]["high"][5] == pytest.approx(3e38)
