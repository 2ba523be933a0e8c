"""The windows that are found block by block are those of the whole table, whatever the blocks are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sensor_tables import moments

from toolkit.contract.signals import SignalSpec, channel_from_name
from toolkit.data.interval_table import source_config
from toolkit.data.tables import channel_reading, read_channels
from toolkit.errors import DataError
from toolkit.scoring import file_pieces
from toolkit.scoring.finders import finder_of
from toolkit.scoring.table_blocks import AssetNames, open_table

WINDOW = 4
GAPS = [("break", "break"), ("hold:2", "break"), ("interpolate:3", "hold:1"), ("interpolate:2", "interpolate:5")]


def signal_of(gaps=("break", "break"), **changes):
    channels = tuple(_gap(name, gap) for name, gap in zip(changes.pop("names", ("b", "a")), gaps, strict=True))
    return SignalSpec(channels, (channels[1].name,), 60.0, **changes)


def _gap(name, gap):
    return replace(channel_from_name(name), gap=gap)


def table_text(seed, *, interleaved, rows=60, assets=3):
    """Gaps of up to seven minutes, jitter of twenty seconds, empty cells; assets by turns or one after the other."""
    rng = np.random.default_rng(seed)
    lines = []
    for asset in range(assets):
        minute = asset * 1000 if not interleaved else 0
        for _ in range(rows // assets):
            minute += 1 if rng.random() < 0.85 else int(rng.integers(2, 8))
            second = 60 * minute + int(rng.integers(-20, 20))
            a, b = (f"{v:.3f}" if rng.random() < 0.9 else "" for v in rng.standard_normal(2))
            lines.append(
                (second, asset, f"{np.datetime64('2026-01-01') + np.timedelta64(second, 's')}Z,m{asset},{a},{b}")
            )
    if interleaved:
        lines.sort()
    return "time,asset,a,b\n" + "\n".join(text for *_, text in lines) + "\n"


def expected(path, signal, window):
    """Every window of the whole table, by asset and time."""
    table = read_channels(path, "time", signal, "asset")
    found = {}
    for start in range(len(table.values) - window + 1):
        end = start + window - 1
        if table.segments[start] == table.segments[end]:
            key = table.asset_names[table.assets[end]], int(table.times_us[end])
            found[key] = table.values[start : end + 1].astype(np.float32)
    return found, table


def found_in_blocks(path, signal, window, stride=1):
    reading = channel_reading(path, "time", signal, "asset")
    config = reading.config if reading.features is None else source_config(reading.config, reading.features)
    names, finder, keys, windows = AssetNames(), finder_of(reading, signal, window, stride), [], []
    blocks = list(open_table([path], config).blocks(names))
    for origins in [*map(finder.take, blocks), finder.finish()]:
        if origins is not None:
            keys += [(names.names[a], int(t)) for a, t in zip(origins.assets, origins.times_us, strict=True)]
            windows += [origins.rows[start : start + window] for start in origins.starts]
    return keys, windows, len(blocks)


def check_same(path, signal, window):
    keys, windows, blocks = found_in_blocks(path, signal, window)
    whole, _ = expected(path, signal, window)
    assert len(keys) == len(set(keys))
    assert set(keys) == set(whole)
    assert all(np.array_equal(window, whole[key]) for key, window in zip(keys, windows, strict=True))
    assert blocks > 1
    return keys


@pytest.mark.parametrize("interleaved", [False, True], ids=["one after the other", "by turns"])
@pytest.mark.parametrize("gaps", GAPS, ids=" and ".join)
@pytest.mark.parametrize(("window", "size", "seed"), [(1, 400, 0), (2, 160, 1), (WINDOW, 60, 2), (WINDOW, 700, 3)])
def test_windows_are_those_of_the_whole_table(
    interleaved, gaps, window, size, seed, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(file_pieces, "TEXT_BYTES", size)
    path = tmp_path / "t.csv"
    path.write_text(table_text(seed, interleaved=interleaved))
    check_same(path, signal_of(gaps), window)


@pytest.mark.parametrize(("size", "gap"), [(300, "break"), (2000, "hold:2"), (900, "interpolate:2")])
def test_features_of_raw_samples_are_those_of_the_whole_table(size, gap, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(file_pieces, "TEXT_BYTES", size)
    rng = np.random.default_rng(5)
    seconds = np.cumsum(rng.integers(5, 40, 400))
    path = tmp_path / "samples.csv"
    rows = [
        f"{np.datetime64('2026-01-01') + np.timedelta64(int(s), 's')}Z,m{i % 2},{rng.standard_normal():.3f},"
        + (f"{rng.standard_normal():.3f}" if i % 3 else "")
        for i, s in enumerate(seconds)
    ]
    path.write_text("time,asset,a,b\n" + "\n".join(rows) + "\n")
    names = ("b.mean", "a.std")
    signal = signal_of((gap, gap), names=names, sampling="samples", min_samples=1)
    check_same(path, signal, WINDOW)


def test_rows_as_they_stand_are_answered_in_their_order(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(file_pieces, "TEXT_BYTES", 200)
    path = tmp_path / "t.csv"
    path.write_text(table_text(1, interleaved=True))
    keys, _, _ = found_in_blocks(path, signal_of(), WINDOW)
    cells = [line.split(",") for line in path.read_text().splitlines()[1:]]
    places = {(c[1], int(np.datetime64(c[0].rstrip("Z"), "us").astype(np.int64))): n for n, c in enumerate(cells)}
    order = [places[key] for key in keys]
    assert order == sorted(order)
    assert len({key[0] for key in keys[:8]}) > 1


@pytest.mark.parametrize("gaps", GAPS[:2], ids=" and ".join)
@pytest.mark.parametrize("stride", [2, 3, 7])
def test_a_stride_counts_from_the_first_window_of_each_series(gaps, stride, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text(table_text(2, interleaved=True, rows=300))
    signal = signal_of(gaps)
    whole, table = expected(path, signal, WINDOW)
    firsts = {}
    for row, segment in enumerate(table.segments):
        firsts.setdefault(int(segment), row)
    wanted = {
        (table.asset_names[table.assets[row]], int(table.times_us[row]))
        for row, segment in enumerate(table.segments)
        if row - firsts[int(segment)] >= WINDOW - 1 and (row - firsts[int(segment)] - WINDOW + 1) % stride == 0
    }
    for size in (500, 100_000):
        monkeypatch.setattr(file_pieces, "TEXT_BYTES", size)
        keys, _, _ = found_in_blocks(path, signal, WINDOW, stride)
        assert set(keys) == wanted <= set(whole)


def test_the_calendar_is_that_of_the_whole_table(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(file_pieces, "TEXT_BYTES", 300)
    path = tmp_path / "t.csv"
    path.write_text(table_text(3, interleaved=True))
    names = ("a", "b", "calendar.hour_sin", "calendar.hour_cos")
    for gap in ("break", "hold:2"):
        channels = tuple(_gap(name, "break" if "." in name else gap) for name in names)
        check_same(path, SignalSpec(channels, ("a",), 60.0, timezone="Europe/Berlin"), WINDOW)


@pytest.mark.parametrize("gaps", GAPS[:2], ids=" and ".join)
@pytest.mark.parametrize("size", [50, 10_000])
@pytest.mark.parametrize(("times", "row"), [([0, 1, 2, 2], 4), ([0, 1, 3, 2], 4), ([5, 1, 2, 3], 2)])
def test_times_that_do_not_rise_are_refused_with_their_row(gaps, size, times, row, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(file_pieces, "TEXT_BYTES", size)
    path = tmp_path / "t.csv"
    clock = moments(10)
    path.write_text("time,asset,a,b\n" + "".join(f"{clock[t]},m,1,2\n" for t in times))
    with pytest.raises(DataError, match=rf"do not rise; got .* in row {row}, .*sort the file"):
        found_in_blocks(path, signal_of(gaps), 2)


@pytest.mark.parametrize("gaps", [GAPS[0], GAPS[2]], ids=" and ".join)
def test_no_more_rows_are_carried_than_a_later_window_needs(gaps, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(file_pieces, "TEXT_BYTES", 600)
    path = tmp_path / "t.csv"
    clock = moments(400)
    path.write_text("time,asset,a,b\n" + "".join(f"{time}Z,m,1,2\n" for time in clock))
    signal = signal_of(gaps)
    reading = channel_reading(path, "time", signal, "asset")
    finder, blocks = finder_of(reading, signal, WINDOW), list(open_table([path], reading.config).blocks(AssetNames()))
    assert len(blocks) > 10
    assert all(len(finder.take(block).rows) <= len(block.times_us) + WINDOW + 5 for block in blocks)
