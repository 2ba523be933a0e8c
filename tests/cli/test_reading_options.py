"""Files as they come, through the commands: several files, settings of reading, and where they do not belong."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from command_line import FAST, SMALL, TRAIN, Cli, one_line
from sensor_tables import lines, moments, wave

from toolkit.cli.data_options import run_name
from toolkit.data import DataConfig


def half(plant: Path, folder: Path, part: int) -> Path:
    """One half of the plant's rows, with semicolons and decimal commas."""
    header, *rows = plant.read_text().splitlines()
    rows = rows[: len(rows) // 2] if part == 0 else rows[len(rows) // 2 :]
    path = folder / f"half{part}.csv"
    path.write_text("\n".join([header, *rows]).replace(",", ";").replace(".", ",") + "\n")
    # The names of the channels have points in them.
    path.write_text(path.read_text().replace(path.read_text().splitlines()[0], header.replace(",", ";"), 1))
    return path


READ = ("--set", 'data.separator=";"', "--set", "data.decimal=,")


@pytest.fixture(scope="module")
def halves(plant: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("halves")
    return half(plant, folder, 0), half(plant, folder, 1)


def test_a_run_on_several_files_and_what_evaluate_makes_of_it(
    cli: Cli, halves: tuple[Path, Path], small_run: Path, tmp_path: Path
) -> None:
    files = [argument for path in halves for argument in ("--data", path)]
    trained = cli("train", *files, *READ, *TRAIN, *SMALL, *FAST, "--run", tmp_path / "run")
    assert trained.status == 0, trained.err
    data = tomllib.loads((tmp_path / "run" / "config.toml").read_text())["data"]
    assert data["file"] == [str(path) for path in halves]
    assert data["separator"] == ";"
    one, other = (json.loads((run / "run.json").read_text()) for run in (tmp_path / "run", small_run))
    assert one["data"]["rows"] == other["data"]["rows"]
    assert one["data"]["file_name"] == "half0.csv and 1 more"
    again = cli("evaluate", tmp_path / "run", *files, "--json", "-")
    assert again.status == 0, again.err
    plain = cli("evaluate", tmp_path / "run", "--data", halves[0], "--set", "data.separator=,")
    assert "not separated by commas" in one_line(plain)


def test_a_bundle_is_told_how_a_file_is_read(cli: Cli, halves: tuple[Path, Path], small_bundle: Path) -> None:
    where = ("evaluate", small_bundle, "--data", halves[0], "--timestamp", "timestamp", "--asset", "asset")
    assert "not separated by commas" in one_line(cli(*where))
    told = cli(*where, *READ)
    assert told.status == 0, told.err


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("data.horizon=3", "got 'data.horizon'; allowed: data.separator"),
        ("model.separator=3", "got 'model.separator'"),
        ("data.seperator=3", "did you mean 'data.separator'?"),
        ("data.sort=1", "data: sort; got 1; allowed: true or false"),
        ("data.decimal=x", "data.decimal; got 'x'"),
    ],
)
def test_settings_that_do_not_say_how_a_file_is_read(
    cli: Cli, plant: Path, small_bundle: Path, small_run: Path, setting: str, words: str
) -> None:
    table = ("--data", plant, "--set", setting)
    assert words in one_line(cli("evaluate", small_bundle, *table, "--timestamp", "timestamp", "--asset", "asset"))
    assert words in one_line(cli("evaluate", small_run, *table))


def test_settings_of_reading_need_a_file(cli: Cli, small_run: Path) -> None:
    assert "--set goes with --data" in one_line(cli("evaluate", small_run, "--set", "data.sort=true"))


def test_a_channel_that_was_dropped_stays_out_when_the_run_is_evaluated(cli: Cli, tmp_path: Path) -> None:
    columns = [moments(240), *wave(240).T.tolist(), np.full(240, 3.5)]
    (tmp_path / "plant.csv").write_text(lines("time,temperature,pressure,flow", *columns))
    where = (
        "--data",
        tmp_path / "plant.csv",
        "--timestamp",
        "time",
        "--target",
        "temperature",
        "--run",
        tmp_path / "run",
    )
    sizes = ("--window", 12, "--horizon", 3, "--set", "model.hidden_size=4", "--set", "training.max_epochs=1")
    assert "'flow' is constant" in one_line(cli("train", *where, *sizes))
    trained = cli("train", *where, *sizes, "--set", "data.constant=drop")
    assert trained.status == 0, trained.err
    assert "constant over the training rows, and left out: flow" in trained.out
    assert cli("evaluate", tmp_path / "run").status == 0
    assert cli("evaluate", tmp_path / "run", "--data", tmp_path / "plant.csv").status == 0


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("data/plant.csv", "plant"),
        (("data/a.csv", "data/b.csv"), "a"),
        ("data/2024/*.csv", "2024"),
        ("*.csv", "run"),
    ],
)
def test_a_run_is_named_after_its_data(file: str | tuple[str, ...], name: str) -> None:
    assert run_name(DataConfig(file, "time", ("x",))) == name
