"""A table of forecasts: the numbers, the rows, their order, and what a kill at any moment leaves of it."""

import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import sensor_tables
from labelled_tables import class_config, labelled_csv

from toolkit.data.tables import read_channels
from toolkit.errors import ConfigError, DataError, OutputError, RequestError, ScoringInterruptedError
from toolkit.evaluation import forecaster_of_bundle
from toolkit.release import build_bundle
from toolkit.runtime.bundle import load_bundle
from toolkit.scoring import ScoreRequest, file_pieces, score, score_table
from toolkit.signal.windows import window_starts
from toolkit.training import load_run, train

WINDOW, HORIZON = 12, 3
TARGETS = ("pressure", "temperature")


def two_machines(folder: Path, rows: int = 120) -> Path:
    """Two machines by turns; one lacks a reading in its row 30 and five minutes after its row 60."""
    lines = ["time,machine,pressure,temperature"]
    waves = [sensor_tables.wave(rows, seed) for seed in (0, 1)]
    for minute in range(rows):
        for machine, wave in enumerate(waves):
            temperature, pressure = (f"{value:.3f}" for value in wave[minute])
            late = 5 if machine and minute > 60 else 0
            moment = np.datetime64("2026-01-01T00:00:00") + np.timedelta64(minute + late, "m")
            lines.append(f"{moment}Z,m{machine},{'' if machine and minute == 30 else pressure},{temperature}")
    path = folder / "new.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return two_machines(tmp_path)


@pytest.fixture
def small_parts(monkeypatch):
    """Blocks of some rows and parts of 16 windows."""
    monkeypatch.setattr(file_pieces, "TEXT_BYTES", 700)
    monkeypatch.setattr(score, "PART_WINDOWS", 16)
    monkeypatch.setattr(score, "LEAST_WINDOWS", 16)


def request(bundle, table, out, **changes):
    return ScoreRequest(bundle, str(table), "time", out, **{"asset": "machine", "cores": 1, **changes})


def by_hand(bundle, table):
    """time, machine and forecast of every window, cut from the text with numpy and put through the graph one by one."""
    predictor = load_bundle(bundle).windowed()
    found = []
    cells = [line.split(",") for line in table.read_text().splitlines()[1:]]
    for place, (moment, machine, *_) in enumerate(cells):
        rows = [cell for cell in cells[: place + 1] if cell[1] == machine][-WINDOW:]
        clock = [np.datetime64(cell[0].rstrip("Z")) for cell in rows]
        whole = len(rows) == WINDOW and all(all(cell) for cell in rows)
        if whole and clock[-1] - clock[0] == np.timedelta64(WINDOW - 1, "m"):
            x = np.array([[[float(cell[3]), float(cell[2])] for cell in rows]], np.float32)
            found.append((moment, machine, predictor.predict(x)[0]))
    return found


def test_every_window_is_answered_in_the_order_of_the_rows(whole, table, tmp_path, small_parts) -> None:
    summary = score_table(request(whole, table, tmp_path / "out.csv"))
    lines = (tmp_path / "out.csv").read_text().splitlines()
    steps = [f"{target}+{step}" for target in TARGETS for step in (1, 2, 3)]
    assert lines[0].split(",") == ["time", "machine", "first_forecast", *steps]
    wanted = by_hand(whole, table)
    assert summary.rows == len(wanted) == len(lines) - 1
    for line, (moment, machine, forecast) in zip(lines[1:], wanted, strict=True):
        time, asset, first, *figures = line.split(",")
        assert (time, asset) == (moment, machine)
        assert np.datetime64(first.rstrip("Z")) - np.datetime64(time.rstrip("Z")) == np.timedelta64(1, "m")
        np.testing.assert_allclose(np.array(figures, np.float32), forecast.T.reshape(-1), rtol=1e-5)


def test_forecasts_are_those_that_evaluate_judges(whole, table, tmp_path, small_parts) -> None:
    score_table(request(whole, table, tmp_path / "out.parquet", cores=2))
    scored = pl.read_parquet(tmp_path / "out.parquet")
    forecaster = forecaster_of_bundle(load_bundle(whole))
    read = read_channels(table, "time", forecaster.signal, "machine")
    everywhere = np.zeros(len(read.values), np.int64)
    starts = window_starts(read.segments, everywhere, 0, window_length=WINDOW, horizon=HORIZON)
    forecasts = forecaster.forecast(read.values[starts[:, None] + np.arange(WINDOW)].astype(np.float32))
    rows = {(row[1], row[0]): np.array(row[3:], np.float32) for row in scored.iter_rows()}
    ends = starts + WINDOW - 1
    moments = pl.Series(read.times_us[ends]).cast(pl.Datetime("us", "UTC")).to_list()
    assert len(starts) < len(rows)  # the last origins of a series have no truth yet
    for forecast, asset, moment in zip(forecasts, read.assets[ends], moments, strict=True):
        np.testing.assert_array_equal(rows[(read.asset_names[asset], moment)], forecast.T.reshape(-1))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_both_forms_of_table_and_any_blocks_give_the_same_file(whole, table, tmp_path, ending, monkeypatch) -> None:
    score_table(request(whole, table, tmp_path / f"one.{ending}"))
    pl.read_csv(table, try_parse_dates=True).write_parquet(tmp_path / "new.parquet")
    monkeypatch.setattr(file_pieces, "PARQUET_NUMBERS", 1)
    monkeypatch.setattr(file_pieces, "LEAST_ROWS", 37)
    monkeypatch.setattr(score, "PART_WINDOWS", 16)
    monkeypatch.setattr(score, "LEAST_WINDOWS", 16)
    score_table(request(whole, tmp_path / "new.parquet", tmp_path / f"two.{ending}"))
    if ending == "csv":
        assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    else:
        assert pl.read_parquet(tmp_path / "one.parquet").equals(pl.read_parquet(tmp_path / "two.parquet"))


def test_the_long_form_holds_the_same_numbers(whole, table, tmp_path) -> None:
    score_table(request(whole, table, tmp_path / "wide.parquet"))
    score_table(request(whole, table, tmp_path / "long.parquet", long=True))
    wide, long = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("wide", "long"))
    assert long.columns == ["time", "machine", "step", "forecast_time", *TARGETS]
    assert long.height == HORIZON * wide.height
    for step in (1, 2, 3):
        of_step = long.filter(pl.col("step") == step)
        assert (of_step["forecast_time"] - of_step["time"]).unique().dt.total_seconds().to_list() == [60 * step]
        for target in TARGETS:
            assert of_step[target].to_list() == wide[f"{target}+{step}"].to_list()


def test_the_newest_window_of_each_machine_alone(whole, table, tmp_path, small_parts) -> None:
    score_table(request(whole, table, tmp_path / "all.csv"))
    score_table(request(whole, table, tmp_path / "last.csv", last=True))
    every, last = (pl.read_csv(tmp_path / f"{name}.csv") for name in ("all", "last"))
    assert last["machine"].to_list() == ["m0", "m1"]
    newest = [every.filter(pl.col("machine") == name).tail(1) for name in ("m0", "m1")]
    assert last.equals(pl.concat(newest))


def test_small_tables_of_other_forms_are_held_whole(whole, table, tmp_path) -> None:
    score_table(request(whole, table, tmp_path / "rows.parquet"))
    header, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, *reversed(rows)]) + "\n")
    with pytest.raises(DataError, match=r"do not rise.*sort"):
        score_table(request(whole, table, tmp_path / "x.parquet"))
    score_table(request(whole, table, tmp_path / "sorted.parquet", reading={"sort": True}))
    one, two = (pl.read_parquet(tmp_path / f"{name}.parquet").sort("machine", "time") for name in ("rows", "sorted"))
    assert one.equals(two)


def test_a_large_table_of_such_a_form_is_refused(whole, table, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("toolkit.scoring.table_blocks.HELD_WHOLE", 1000)
    with pytest.raises(DataError, match=r"too large to be held whole, which data.sort needs.*fix: sort it by time"):
        score_table(request(whole, table, tmp_path / "x.csv", reading={"sort": True}))


def test_one_reading_a_row_is_held_whole(whole, table, tmp_path) -> None:
    score_table(request(whole, table, tmp_path / "wide.parquet"))
    rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
    lines = [
        f"{t},{m},{tag},{value}" for t, m, *both in rows for tag, value in zip(TARGETS, both, strict=True) if value
    ]
    table.write_text("\n".join(["time,machine,tag,value", *lines]) + "\n")
    reading = {"tag": "tag", "value": "value"}
    score_table(request(whole, table, tmp_path / "long.parquet", reading=reading))
    one, two = (pl.read_parquet(tmp_path / f"{name}.parquet").sort("machine", "time") for name in ("wide", "long"))
    assert one.equals(two)


def test_times_of_a_plants_clock_are_written_in_utc(whole, table, tmp_path) -> None:
    score_table(request(whole, table, tmp_path / "utc.csv"))
    table.write_text(table.read_text().replace("Z,", ","))
    score_table(request(whole, table, tmp_path / "none.csv"))
    score_table(request(whole, table, tmp_path / "local.csv", reading={"timezone": "Europe/Berlin"}))
    utc, none, local = ((tmp_path / f"{name}.csv").read_text() for name in ("utc", "none", "local"))
    assert none == utc.replace("Z,", ",")
    assert local.splitlines()[1].startswith("2025-12-31T23:11:00Z,m0,2025-12-31T23:12:00Z,")


@pytest.mark.parametrize("size", [70, 200, 1000])
def test_rows_are_cut_at_no_end_of_line_within_quotes(size, whole, table, tmp_path, monkeypatch) -> None:
    score_table(request(whole, table, tmp_path / "plain.csv"))
    table.write_text(table.read_text().replace(",m1,", ',"m\n1",'))
    monkeypatch.setattr(file_pieces, "TEXT_BYTES", size)
    score_table(request(whole, table, tmp_path / "quoted.csv"))
    assert (tmp_path / "quoted.csv").read_text() == (tmp_path / "plain.csv").read_text().replace(",m1,", ',"m\n1",')


def test_cells_between_blanks_and_without_a_header(whole, table, tmp_path, small_parts) -> None:
    score_table(request(whole, table, tmp_path / "plain.csv"))
    header, *rows = table.read_text().splitlines()
    table.write_text("\n\n".join("  ".join(cell or "NA" for cell in row.split(",")) for row in rows) + "\n\n")
    reading = {"separator": " ", "column_names": header.split(",")}
    score_table(request(whole, table, tmp_path / "blanks.csv", reading=reading))
    assert (tmp_path / "blanks.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()


def test_a_quote_without_an_end_is_refused(whole, table, tmp_path, monkeypatch) -> None:
    table.write_text(table.read_text().replace(",m1,", ',"m1,', 1))
    monkeypatch.setattr(file_pieces, "TEXT_BYTES", 500)
    monkeypatch.setattr(file_pieces, "LONGEST_ROW", 1000)
    with pytest.raises(DataError, match=r"a row has no end|is not a table"):
        score_table(request(whole, table, tmp_path / "x.csv"))


def test_what_others_put_beside_the_parts_is_left_alone(whole, table, tmp_path, small_parts) -> None:
    out = tmp_path / "out.csv"
    with pytest.raises(ScoringInterruptedError):
        interrupted_after(2, request(whole, table, out))
    (tmp_path / "out.csv.partial" / "notes.txt").write_text("mine")
    score_table(request(whole, table, out, overwrite=True))
    assert [path.name for path in (tmp_path / "out.csv.partial").iterdir()] == ["notes.txt"]


FULL = """
import os, signal, sys
from pathlib import Path
from toolkit.scoring import ScoreRequest, file_pieces, score, score_table
file_pieces.TEXT_BYTES, score.PART_WINDOWS, score.LEAST_WINDOWS = 700, 16, 16
bundle, table, out, moment = sys.argv[1:]
calls, sync = [], os.fsync
def killing(descriptor):
    calls.append(descriptor)
    if len(calls) == int(moment):
        os.kill(os.getpid(), signal.SIGKILL)
    sync(descriptor)
os.fsync = killing
score_table(ScoreRequest(Path(bundle), table, "time", Path(out), asset="machine", cores=1))
print(len(calls))
"""
"""Scores, and dies at a call of `fsync`, which stands at every step of what is written."""


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(whole, table, tmp_path, ending, small_parts) -> None:
    def run(out: str, moment: int) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", FULL, str(whole), str(table), str(tmp_path / out), str(moment)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    undisturbed = run(f"one.{ending}", -1)
    assert undisturbed.returncode == 0, undisturbed.stderr
    steps = int(undisturbed.stdout)
    wanted, out = (tmp_path / f"one.{ending}").read_bytes(), tmp_path / f"two.{ending}"
    # 3 calls a part; the last ones are those of publishing. Each costs a process.
    moments = (3, 4, 6, 10, steps - 4, steps - 2, steps) if ending == "csv" else (4, steps - 2, steps)
    for moment in moments:
        assert run(out.name, moment).returncode == -signal.SIGKILL
        published = out.exists()
        summary = score_table(request(whole, table, out, resume=True))
        assert out.read_bytes() == wanted
        assert (summary.resumed > 0) == (moment > 5)
        assert published == (moment == steps)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["new.csv", f"one.{ending}", out.name]
        out.unlink()


def interrupted_after(parts: int, given: ScoreRequest) -> None:
    seen = []

    def on_part(done: float, forecasts: int) -> None:
        seen.append(forecasts)
        if len(seen) == parts:
            raise KeyboardInterrupt

    score_table(given, on_part)


def test_an_interrupt_keeps_the_parts_and_says_so(whole, table, tmp_path, small_parts) -> None:
    out = tmp_path / "out.csv"
    with pytest.raises(ScoringInterruptedError, match=r"out.csv are kept in .*fix: .*--resume") as refused:
        interrupted_after(3, request(whole, table, out))
    assert refused.value.exit_status == 130
    assert not out.exists()
    with pytest.raises(OutputError, match="parts of an earlier call; fix: go on with --resume"):
        score_table(request(whole, table, out))
    assert score_table(request(whole, table, out, resume=True)).resumed >= 32
    score_table(request(whole, table, tmp_path / "anew.csv"))
    assert out.read_bytes() == (tmp_path / "anew.csv").read_bytes()


def test_parts_of_something_else_are_refused(whole, table, tmp_path, small_parts) -> None:
    out = tmp_path / "out.csv"
    with pytest.raises(ScoringInterruptedError):
        interrupted_after(2, request(whole, table, out))
    with pytest.raises(OutputError, match="parts of another call; got another option"):
        score_table(request(whole, table, out, resume=True, stride=2))
    text = table.read_text()
    table.write_text(text + text.splitlines()[-1].replace("T02", "T03") + "\n")
    with pytest.raises(OutputError, match="parts of another call; got another input"):
        score_table(request(whole, table, out, resume=True))
    assert score_table(request(whole, table, out, overwrite=True)).resumed == 0
    with pytest.raises(ConfigError, match="--resume: there is no"):
        score_table(request(whole, table, out, resume=True))


def test_another_bundle_is_refused(whole, folder, table, tmp_path, small_parts) -> None:
    out = tmp_path / "out.csv"
    with pytest.raises(ScoringInterruptedError):
        interrupted_after(2, request(whole, table, out))
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"name": "tiny"', '"name": "other"'))
    with pytest.raises(OutputError, match="got another bundle"):
        score_table(request(folder, table, out, resume=True))


def changed(text: str, row: int, old: str, new: str) -> str:
    lines = text.splitlines()
    assert old in lines[row]
    lines[row] = lines[row].replace(old, new)
    return "\n".join(lines) + "\n"


def no_pressure(text: str) -> str:
    header, *rows = text.splitlines()
    return "\n".join([header, *(",".join([*row.split(",")[:2], "", row.split(",")[3]]) for row in rows)]) + "\n"


WRONG = {
    "text in a late row": (lambda text: changed(text, 201, ",m0,", ",m0,broken"), "'broken.*' in row 201, column"),
    "a time that is none": (lambda text: changed(text, 150, "2026-01-01", "soon"), "'soon.*' in row 150"),
    "no asset": (lambda text: changed(text, 77, ",m0,", ",,"), "asset is missing; got nothing in row 77"),
    "a row that is too long": (lambda text: changed(text, 99, ",m0,", ",m0,1,2,3,"), "longer than the header"),
    "an empty row within": (lambda text: changed(text, 99, "", "").replace("T01:40", "\n\nT01:40", 1), "row"),
    "an empty file": (lambda text: "", "is empty"),
    "a header alone": (lambda text: text.splitlines()[0] + "\n", "has a header and no rows"),
    "a column that is not there": (
        lambda text: text.replace("pressure", "pressur", 1),
        "no column 'pressure'.*did you",
    ),
    "too few rows": (lambda text: "\n".join(text.splitlines()[:20]) + "\n", "holds no window.*got 19 rows"),
    "no reading in a column": (no_pressure, "'pressure' holds no reading at all"),
    "no table": (lambda text: "\x00\x01" * 400, "not a table"),
    "times of two forms": (
        lambda text: "Z,".join(text.split("Z,")[:140]) + ",".join(text.split("Z,")[140:]),
        "zone|row",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_table_that_cannot_be_used_leaves_nothing_behind(name, whole, table, tmp_path, small_parts) -> None:
    change, message = WRONG[name]
    table.write_text(change(table.read_text()))
    with pytest.raises(RequestError, match=message):
        score_table(request(whole, table, tmp_path / "out.csv"))
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]


PLACES = {
    "an ending that is none": ("out.txt", "no format for out.txt; got the ending '.txt'; allowed: .csv, .parquet"),
    "a folder that is missing": ("no/out.csv", "is no folder"),
    "a folder of that name": ("taken.csv", "a folder of that name"),
    "a file that is there": ("there.csv", "exists already; fix: .*--overwrite"),
    "something in the way of the parts": ("blocked.csv", "blocked.csv.partial is in the way"),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_place_that_cannot_be_written_is_refused_first(name, whole, tmp_path) -> None:
    (tmp_path / "taken.csv").mkdir()
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "blocked.csv.partial").mkdir()
    place, message = PLACES[name]
    with pytest.raises(RequestError, match=message):
        score_table(request(whole, tmp_path / "no table", tmp_path / place))
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_a_file_is_replaced_when_that_is_asked_for(whole, table, tmp_path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("old")
    score_table(request(whole, table, out, overwrite=True))
    assert out.read_text().startswith("time,machine")


@pytest.mark.parametrize(("changes", "message"), [({"stride": 0}, "--stride"), ({"stride": 2, "last": True}, "--last")])
def test_options_that_make_no_sense(changes, message, whole, table, tmp_path) -> None:
    with pytest.raises(ConfigError, match=message):
        request(whole, table, tmp_path / "out.csv", **changes)


@pytest.fixture(scope="module")
def quantiles(tmp_path_factory) -> Path:
    """A bundle with the quantiles 0.1, 0.5 and 0.9."""
    folder = tmp_path_factory.mktemp("quantiles")
    config = sensor_tables.run_config(sensor_tables.write(folder, sensor_tables.plain_csv()), data={"targets": TARGETS})
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, quantiles=(0.1, 0.5, 0.9)),
        training=dataclasses.replace(config.training, loss="quantile", max_epochs=1),
    )
    train(config, folder / "run", sensor_tables.Silent())
    return Path(build_bundle(load_run(folder / "run"), folder / "bundle").folder)


@pytest.mark.parametrize("long", [False, True])
def test_quantiles_stand_beside_the_forecast(quantiles, table, tmp_path, long) -> None:
    score_table(request(quantiles, table, tmp_path / "out.parquet", long=long))
    scored = pl.read_parquet(tmp_path / "out.parquet")
    name = "temperature" if long else "temperature+2"
    assert [f"{name}{more}" for more in ("", " q0.1", " q0.9")] == [n for n in scored.columns if n.startswith(name)]
    rows = read_channels(table, "time", load_bundle(quantiles).manifest.signal, "machine").values[:WINDOW]
    answers = load_bundle(quantiles).windowed().graph.run({"x": rows[None].astype(np.float32)})
    found = scored.filter(pl.col("machine") == "m0")[int(long)]
    for more, place in (("", 1), (" q0.1", 0), (" q0.9", 2)):
        np.testing.assert_allclose(found[f"{name}{more}"].item(), answers["quantiles"][0, 1, 1, place], rtol=1e-6)


def test_a_classifier_gives_its_class_and_what_speaks_for_each(tmp_path) -> None:
    table = labelled_csv(tmp_path)
    train(class_config(table, max_epochs=2), tmp_path / "run", sensor_tables.Silent())
    bundle = build_bundle(load_run(tmp_path / "run"), tmp_path / "bundle").folder
    score_table(request(bundle, table, tmp_path / "out.parquet", asset=None))
    scored = pl.read_parquet(tmp_path / "out.parquet")
    assert scored.columns == ["time", "class", "p(fine)", "p(hot)"]
    rows = pl.read_csv(table).select("temperature", "pressure").to_numpy()
    predictor = load_bundle(bundle).windowed()
    for place in (0, 5, 200):
        logits = predictor.predict(rows[None, place : place + WINDOW].astype(np.float32))[0].astype(np.float64)
        shares = np.exp(logits) / np.exp(logits).sum()
        assert scored["class"][place] == ("fine", "hot")[logits.argmax()]
        np.testing.assert_allclose([scored["p(fine)"][place], scored["p(hot)"][place]], shares, rtol=1e-5)
    with pytest.raises(ConfigError, match="--long goes with a forecast"):
        score_table(request(bundle, table, tmp_path / "long.csv", asset=None, long=True))


def test_one_call_at_a_time_writes_a_table(whole, table, tmp_path, small_parts) -> None:
    out, refused = tmp_path / "out.csv", []

    def on_part(done: float, forecasts: int) -> None:
        for changes in ({"overwrite": True}, {"resume": True}):
            with pytest.raises(OutputError, match="got another call that writes there; fix: wait") as error:
                score_table(request(whole, table, out, **changes))
            refused.append(error)

    score_table(request(whole, table, out), on_part)
    assert refused
    score_table(request(whole, table, tmp_path / "alone.csv"))
    assert out.read_bytes() == (tmp_path / "alone.csv").read_bytes()
    assert not (tmp_path / "out.csv.partial").exists()


def test_a_lock_without_parts_is_in_nobody_s_way(whole, table, tmp_path) -> None:
    (tmp_path / "out.csv.partial").mkdir()
    (tmp_path / "out.csv.partial" / "lock").touch()  # killed before the first part was begun
    score_table(request(whole, table, tmp_path / "out.csv"))
    assert not (tmp_path / "out.csv.partial").exists()


def test_the_table_that_is_read_is_not_overwritten(whole, table, tmp_path) -> None:
    before = table.read_bytes()
    (tmp_path / "link.csv").symlink_to(table)
    for out in (table, tmp_path / "link.csv", tmp_path / "." / "new.csv"):
        with pytest.raises(OutputError, match="got the table that is read"):
            score_table(request(whole, table, out, overwrite=True))
    assert table.read_bytes() == before


def test_machines_that_are_taken_for_one_are_too_fast(whole, table, tmp_path) -> None:
    """By turns, half a minute apart, their rows rise in time."""
    lines = table.read_text().splitlines()
    late = [line.replace(":00Z,m1", ":30Z,m1") for line in lines[:100]]
    table.write_text("\n".join(late) + "\n")
    with pytest.raises(DataError, match=r"new.csv: rows follow each other too fast; got one every 30 s"):
        score_table(request(whole, table, tmp_path / "x.csv", asset=None))
    score_table(request(whole, table, tmp_path / "x.csv"))


def test_a_mark_that_swallows_rows_is_refused(whole, table, tmp_path, small_parts) -> None:
    lines = table.read_text().splitlines()
    lines = [f"{line},{note}" for line, note in zip(lines, ["note", *("" for _ in lines[1:])], strict=True)]
    lines[40] += '12" pipe'
    lines[44] += '12" pipe'
    table.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match="encloses no cell; got one in row 40 "):
        score_table(request(whole, table, tmp_path / "x.csv"))


def test_a_disk_that_is_full_at_the_first_part_offers_no_resume(whole, table, tmp_path, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_csv", full)
    with pytest.raises(OutputError, match=r"got No space left on device; fix: make room$"):
        score_table(request(whole, table, tmp_path / "x.csv"))
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]


@pytest.mark.parametrize("size", [80, 1 << 20])
def test_a_row_that_lacks_its_last_cells_breaks_the_series_wherever_it_stands(
    size, whole, table, tmp_path, monkeypatch
) -> None:
    """As in `evaluate`: in the middle of a block, at its beginning, and where the file is cut off."""
    lines = table.read_text().splitlines()
    short = [",".join(line.split(",")[:2]) if place in (50, 239, 240) else line for place, line in enumerate(lines)]
    empty = [line + ",," if line.count(",") == 1 else line for line in short]
    monkeypatch.setattr(file_pieces, "TEXT_BYTES", size)
    table.write_text("\n".join(short))
    score_table(request(whole, table, tmp_path / "short.csv"))
    table.write_text("\n".join(empty) + "\n")
    score_table(request(whole, table, tmp_path / "empty.csv"))
    assert (tmp_path / "short.csv").read_bytes() == (tmp_path / "empty.csv").read_bytes()
