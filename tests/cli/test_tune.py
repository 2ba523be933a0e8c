"""`lstm-edge tune`, and `train --tensorboard`, on a small plant."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from command_line import FAST, SMALL, TRAIN, Cli, one_line

from toolkit.cli import console

QUICK = (*TRAIN, *SMALL, *FAST, "--set", "training.min_epochs=1", "--only", "hidden_size", "--only", "cell")
SPACE = ("--set", "tune.hidden_size=[2, 4]")


@pytest.fixture(scope="module")
def searched(plant: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a search of two trials was made."""
    from toolkit.cli.main import main

    folder = tmp_path_factory.mktemp("searched")
    places = ["--storage", str(folder / "search.db"), "--out", str(folder / "best.toml")]
    with pytest.raises(SystemExit) as end:
        main(["tune", "--data", str(plant), *QUICK, *SPACE, "--trials", "2", *places])
    assert not end.value.code
    return folder


def test_a_search_goes_on_and_its_best_settings_train(cli: Cli, plant: Path, searched: Path, tmp_path: Path) -> None:
    places = ("--storage", searched / "search.db", "--out", tmp_path / "best.toml")
    result = cli("tune", "--data", plant, *QUICK, *SPACE, "--trials", 3, *places, "--json", "-")
    assert result.status == 0, result.err
    report = json.loads(result.out)
    assert (report["schema"], report["metric"], len(report["trials"])) == ("tuning/1", "mse", 3)
    assert [line.split()[1] for line in result.err.splitlines() if "  complete  " in line] == ["3/3"]
    for text in ("validation MSE", "0 (given)", "3 trials: 3 complete", "than ", "Next: lstm-edge train "):
        assert text in result.err
    best = next(trial for trial in report["trials"] if trial["number"] == report["best"])
    written = tomllib.loads((tmp_path / "best.toml").read_text())
    assert {name: written["model"][name] for name in ("hidden_size", "cell")} == best["settings"]
    assert "tune" not in written
    assert cli("train", tmp_path / "best.toml", "--run", tmp_path / "run").status == 0


def test_a_file_with_a_table_for_the_search_trains(cli: Cli, searched: Path, tmp_path: Path) -> None:
    text = (searched / "best.toml").read_text() + "\n[tune]\nhidden_size = [2, 4]\n"
    (tmp_path / "lstm-edge.toml").write_text(text)
    assert cli("train", tmp_path / "lstm-edge.toml", "--run", tmp_path / "run").status == 0


BAD_REQUESTS = {
    "no trials": (["--trials", "0"], "--trials; got 0"),
    "no time": (["--timeout", "0"], "--timeout"),
    "unknown setting": (["--set", "tune.hiden_size=[2]"], "did you mean 'hidden_size'"),
    "unknown name": (["--only", "hiden_size"], "did you mean 'hidden_size'"),
    "unknown metric": (["--metric", "rmse"], "'mse', 'mae'"),
    "existing file": (["--out", "{plant}"], "exists already; fix: name another --out"),
    "no folder": (["--out", "{plant}/best.toml"], "which is no folder"),
    "no storage": (["--storage", "{plant}"], "file is not a database"),
    "other data": (["--storage", "{storage}", "--set", "data.stride=5"], "begun with another data.stride; got 5"),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_bad_request_is_one_line_and_leaves_nothing(
    name: str, cli: Cli, plant: Path, searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, expected = BAD_REQUESTS[name]
    places = {"plant": str(plant), "storage": str(searched / "search.db")}
    given = [argument.format(**places) for argument in arguments]
    assert expected in one_line(cli("tune", "--data", plant, *QUICK, *SPACE, *given))
    assert not list(tmp_path.rglob("*"))


def test_training_writes_curves_for_tensorboard(cli: Cli, plant: Path, tmp_path: Path) -> None:
    places = ("--run", tmp_path / "run", "--tensorboard", tmp_path / "board")
    result = cli("train", "--data", plant, *TRAIN, *SMALL, *FAST, *places)
    assert result.status == 0, result.err
    assert "epoch   1/1" in result.err
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    assert {"loss/train", "loss/validation", "test/mse"} <= set(events.Tags()["scalars"])


def test_a_refused_training_leaves_no_folder_for_tensorboard(cli: Cli, plant: Path, tmp_path: Path) -> None:
    places = ("--run", tmp_path / "run", "--tensorboard", tmp_path / "board")
    assert one_line(cli("train", "--data", plant, *TRAIN, "--window", "100000", *places))
    assert one_line(cli("train", "--data", plant, *TRAIN, *places[:3], plant))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("extra", "arguments"),
    [("tune", ["tune", "x.toml"]), ("tensorboard", ["train", "x.toml", "--tensorboard", "board"])],
)
def test_without_its_extra_one_line_says_what_to_install(
    extra: str, arguments: list[str], cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(console.EXTRAS, extra, ("no_such_package",))
    line = one_line(cli(*arguments))
    assert "needs no_such_package, which is not installed" in line
    assert f"pip install 'lstm-edge-toolkit[{extra}]'" in line


def test_training_and_searching_import_only_their_own_extras(plant: Path, tmp_path: Path) -> None:
    arguments = ["train", "--data", str(plant), *TRAIN, *SMALL, *FAST, "--run", str(tmp_path / "run")]
    absent = "import sys; sys.modules.update(dict.fromkeys(('optuna', 'sqlalchemy', 'tensorboard')))"
    code = f"{absent}; from toolkit.cli.main import main; main({arguments!r})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
