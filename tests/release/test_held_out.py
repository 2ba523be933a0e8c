import numpy as np
import pytest
import sensor_tables

from toolkit.contract.graph_io import horizon_of
from toolkit.contract.signals import SignalSpec, channel_from_name
from toolkit.errors import DataError
from toolkit.parity.held_out import MAX_WINDOWS, held_out_of
from toolkit.release.held_out import Readings, read_readings


def signal(*names, targets=(), interval_s=60.0):
    return SignalSpec(tuple(map(channel_from_name, names)), targets, interval_s)


def counted(*lengths):
    """Series of these lengths, one after another, of one channel that counts its rows."""
    values = np.arange(sum(lengths), dtype=np.float32)[:, None]
    return Readings(values, np.repeat(np.arange(len(lengths)), lengths))


def test_a_table_is_read_in_the_signals_order(tmp_path):
    path = sensor_tables.write(tmp_path, sensor_tables.plain_csv(20))
    both = read_readings(path, "time", signal("pressure", "temperature", targets=("temperature",)))
    assert both.values.dtype == np.float32
    np.testing.assert_allclose(both.values, sensor_tables.wave(20)[:, ::-1], rtol=1e-6)
    assert both.segments.tolist() == [0] * 20
    one = read_readings(path, "time", signal("temperature"))
    np.testing.assert_array_equal(one.values[:, 0], both.values[:, 1])


def test_a_table_is_read_as_the_settings_say(tmp_path):
    path = sensor_tables.write(tmp_path, sensor_tables.plain_csv(20).replace(",", ";"))
    readings = read_readings(path, "time", signal("temperature"), reading={"separator": ";"})
    np.testing.assert_allclose(readings.values[:, 0], sensor_tables.wave(20)[:, 0], rtol=1e-6)


def test_series_end_at_gaps_and_at_machines(tmp_path):
    times = [*sensor_tables.moments(6), *sensor_tables.moments(9)[7:], *sensor_tables.moments(4)]
    assets = ["a"] * 8 + ["b"] * 4
    table = sensor_tables.lines("time,pump,t", times, assets, range(12))
    path = sensor_tables.write(tmp_path, table)
    readings = read_readings(path, "time", signal("t"), "pump")
    assert np.diff(readings.segments).nonzero()[0].tolist() == [5, 7]


def test_a_missing_reading_ends_a_series(tmp_path):
    table = sensor_tables.lines("time,t", sensor_tables.moments(8), [0, 1, 2, "", 4, 5, 6, 7])
    readings = read_readings(sensor_tables.write(tmp_path, table), "time", signal("t"))
    assert np.isfinite(readings.values).all()
    assert len(set(readings.segments.tolist())) == 2


@pytest.mark.parametrize(
    ("names", "timestamp", "match"),
    [
        (("temprature",), "time", "temprature"),
        (("temperature",), "tiem", "tiem"),
    ],
)
def test_a_column_that_is_not_there_is_refused(names, timestamp, match, tmp_path):
    path = sensor_tables.write(tmp_path, sensor_tables.plain_csv(20))
    with pytest.raises(DataError, match=match) as caught:
        read_readings(path, timestamp, signal(*names))
    assert "\n" not in str(caught.value)


def test_stretches_are_unbroken_and_spread_over_the_table():
    pieces = counted(5, 40, 3, 60).stretches(2)
    assert pieces.shape == (4, 16, 1)
    assert pieces[0, 0, 0] == 5
    assert pieces[-1, -1, 0] == 107
    np.testing.assert_array_equal(np.diff(pieces[..., 0], axis=1), 1.0)
    for piece in pieces[..., 0]:
        assert 5 <= piece[0] <= piece[-1] < 45 or piece[0] >= 48


def test_stretches_are_as_long_as_the_longest_series_where_that_is_short():
    np.testing.assert_array_equal(counted(3, 7, 5).stretches(6)[..., 0], [np.arange(3, 10)] * 4)
    with pytest.raises(DataError, match="no unbroken series holds a window; got 7 rows; allowed: 8"):
        counted(3, 7, 5).stretches(8)


def test_windows_and_what_came_next():
    samples = np.stack([np.arange(10), np.arange(10) + 100], axis=1).astype(np.float32)[None]  # one stretch
    held_out = held_out_of(samples, 4, 2, signal("a", "b", targets=("b",)))
    assert held_out.x.shape == (5, 4, 2)
    assert held_out.y.shape == (5, 2, 1)
    assert held_out.targets == ("b",)
    np.testing.assert_array_equal(held_out.y[:, 0, 0], held_out.x[:, -1, 1] + 1)
    np.testing.assert_array_equal(held_out.y[:, 1, 0], held_out.x[:, -1, 1] + 2)


def test_targets_are_in_their_own_order():
    samples = np.tile(np.float32([1, 2, 3]), (2, 9, 1))
    held_out = held_out_of(samples, 4, 2, signal("a", "b", "c", targets=("c", "a")))
    assert held_out.y[0].tolist() == [[3, 1], [3, 1]]


def test_many_windows_are_thinned_out_and_too_short_stretches_have_none():
    held_out = held_out_of(np.zeros((4, 1000, 1), np.float32), 8, 2, signal("a", targets=("a",)))
    assert len(held_out.x) == MAX_WINDOWS
    assert held_out_of(np.zeros((4, 9, 1), np.float32), 8, 2, signal("a", targets=("a",))) is None
    assert len(held_out_of(np.zeros((4, 10, 1), np.float32), 8, 2, signal("a", targets=("a",))).x) == 4


@pytest.mark.parametrize(
    ("axes", "targets", "horizon"),
    [
        (("batch", 6, 2), 2, 6),
        (("batch", "sequence", 6, 2), 2, 6),
        (("batch", 2), 2, 1),
        (("batch", "sequence", 2), 2, 1),
        (("batch", 6), 1, 6),
        (("batch", 1), 1, 1),
        (("batch", 1, 1), 1, 1),
        (("batch", 6, 3), 2, None),
        (("batch", 6), 2, None),
        (("batch",), 1, None),
        (("batch", 2, "sequence"), 2, None),
        (("batch", 6, "sequence", 2), 2, None),
        (("batch", 4, 6, 2), 2, None),
        (("batch", 6, 2), 0, None),
        (("batch", 0), 0, None),
    ],
)
def test_what_the_axes_of_an_answer_say_of_its_horizon(axes, targets, horizon):
    assert horizon_of(axes, targets) == horizon
