"""`lstm-edge score` as people call it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from command_line import Cli, one_line

OPTIONS = ("--timestamp", "timestamp", "--asset", "asset")


def test_forecasts_stand_beside_the_times(cli: Cli, small_bundle: Path, plant: Path, tmp_path: Path) -> None:
    out = tmp_path / "forecasts.csv"
    result = cli("score", small_bundle, "--data", plant, *OPTIONS, "--out", out)
    assert result.status == 0, result
    table, scored = pl.read_csv(plant), pl.read_csv(out)
    assert scored.columns[:4] == ["timestamp", "asset", "first_forecast", "temperature.mean+1"]
    assert scored["timestamp"].to_list() == table["timestamp"].to_list()[11:]
    assert scored["first_forecast"].to_list()[:-1] == table["timestamp"].to_list()[12:]
    assert result.out == f"{out}: {scored.height} rows\n"
    assert result.err.splitlines()[-1] == f"100% of the table, {scored.height} forecasts"
    assert one_line(cli("score", small_bundle, "--data", plant, *OPTIONS, "--out", out)).endswith("or add --overwrite")
    again = cli("score", small_bundle, "--data", plant, *OPTIONS, "--out", out, "--overwrite", "--last", "--long")
    assert again.out == f"{out}: 3 rows\n"


def test_a_bundle_without_a_windowed_graph_says_so(cli: Cli, folder: Path, plant: Path, tmp_path: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["graphs"] = [graph for graph in manifest["graphs"] if graph["name"] != "windowed"]
    for name in [name for name in manifest["files"] if name.startswith("windowed")]:
        del manifest["files"][name]
        (folder / name).unlink()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    line = one_line(cli("score", folder, "--data", plant, *OPTIONS, "--out", tmp_path / "x.csv"))
    assert "cannot be run over a table; got no windowed graph" in line


def test_a_bundle_without_a_signal_says_so(cli: Cli, folder: Path, plant: Path, tmp_path: Path, monkeypatch) -> None:
    import dataclasses

    from toolkit.runtime.bundle import Bundle, load_bundle

    found = load_bundle(folder)
    bare = Bundle(folder, dataclasses.replace(found.manifest, signal=None, model=None, state=None))
    monkeypatch.setattr("toolkit.scoring.score.load_bundle", lambda _: bare)
    assert "got no signal" in one_line(cli("score", folder, "--data", plant, *OPTIONS, "--out", tmp_path / "x.csv"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--data", "no.csv"], "there is no file no.csv"),
        (["--asset", "machine"], "has no column 'machine'"),
        (["--timestamp", "time"], "has no column 'time'; allowed: timestamp, asset"),
        (["--timestamp", ""], "beside their times; got no time column"),
        (["--set", "data.gaps=hold"], "no setting of how a file is read"),
        (["--out", "no/folder.csv"], "is no folder"),
        (["--stride", "0"], "--stride; got 0"),
        (["--cores", "9999"], "cores"),
        (["--resume"], "--resume: there is no"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    changes, words, cli: Cli, small_bundle: Path, plant: Path, tmp_path: Path
) -> None:
    given = {"--data": plant, "--timestamp": "timestamp", "--asset": "asset", "--out": tmp_path / "x.csv"}
    given |= dict(zip(changes[::2], changes[1::2], strict=False))
    options = [each for pair in given.items() for each in pair] + (changes if len(changes) == 1 else [])
    assert words in one_line(cli("score", small_bundle, *options))
    assert not list(tmp_path.iterdir())


def test_no_such_bundle(cli: Cli, plant: Path, tmp_path: Path) -> None:
    line = one_line(cli("score", tmp_path / "none", "--data", plant, *OPTIONS, "--out", tmp_path / "x.csv"))
    assert "there is no bundle" in line


SLOWLY = """
import sys
from toolkit.scoring import score
score.PART_WINDOWS = score.LEAST_WINDOWS = 64
answer = score.Answers.of
def slowly(self, origins):
    import time
    time.sleep(0.1)
    return answer(self, origins)
score.Answers.of = slowly
from toolkit.cli.main import main
main(sys.argv[1:])
"""


def test_an_interrupt_is_one_line_and_the_rest_is_done_later(
    cli: Cli, small_bundle: Path, plant: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    arguments = ["score", small_bundle, "--data", plant, *OPTIONS, "--out", out]
    process = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ, OMP_NUM_THREADS="1"),
    )
    while not (tmp_path / "out.parquet.partial" / "part-00002.parquet").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert errors.splitlines()[-1].endswith("fix: go on with the same command and --resume")
    assert "Traceback" not in errors
    assert not out.exists()
    refused = cli(*arguments, "--resume", "--stride", "2")  # the parts were cut otherwise as well
    assert "another option" in one_line(refused)
