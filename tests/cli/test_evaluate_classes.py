"""`train` and `evaluate` of a classifier on the command line."""

import json

import pytest
from command_line import one_line
from labelled_tables import labelled_csv

from toolkit.cli.main import main
from toolkit.cli.tables import training_table
from toolkit.contract.class_reports import ClassTrainingReport
from toolkit.contract.records import decode
from toolkit.errors import BundleError


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("job")
    labelled_csv(folder)
    settings = ("model.task=classify", "data.label=state", "model.hidden_size=8", "training.learning_rate=0.01")
    short = ("training.max_epochs=8", "training.batch_size=16", "training.seeds=2")
    sets = [part for setting in (*settings, *short) for part in ("--set", setting)]
    where = ["--data", str(folder / "plant.csv"), "--timestamp", "time", "--window", "12", "--run", str(folder / "run")]
    with pytest.raises(SystemExit) as end:
        main(["train", *where, *sets, "--json", str(folder / "train.json")])
    assert not end.value.code
    return folder


def test_training_tells_the_confusion_matrix_and_the_verdict(place):
    report = json.loads((place / "train.json").read_text())
    assert report == json.loads((place / "run" / "training.json").read_text())
    text = training_table(decode(ClassTrainingReport, report, "training.json", BundleError))
    assert "false alarms" in text
    assert "told hot" in text
    assert "always fine" in text
    assert f"The model {report['verdict']}." in " ".join(text.split())
    assert "2 seeds: balanced accuracy" in text


def test_evaluating_a_run_and_its_report(place, cli):
    result = cli("evaluate", place / "run", "--json", place / "r.json")
    assert result.status == 0, result.err
    report = json.loads((place / "r.json").read_text())
    assert report["schema"] == "class-evaluation/1"
    assert report["classes"] == ["fine", "hot"]
    assert "told hot" in result.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--season", "3"], "--season goes with a forecaster"),
        (["--label", "state"], "--timestamp, --asset and --label go with a bundle"),
    ],
)
def test_options_that_do_not_fit(place, cli, options, words):
    result = cli("evaluate", place / "run", *options)
    assert words in one_line(result)


def test_a_label_for_a_forecaster(place, whole, cli):
    where = ["--data", str(place / "plant.csv"), "--timestamp", "time", "--label", "state"]
    result = cli("evaluate", whole, *where)
    assert "--label goes with a classifier" in one_line(result)
