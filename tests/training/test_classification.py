"""Training a classifier: what is lessened, what is refused, and what a run says of it."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from labelled_tables import class_config, labelled_csv
from sensor_tables import Silent, write

from toolkit.data import build_dataset, read_table
from toolkit.errors import ConfigError, DataError, ModelError
from toolkit.training import load_run, train, training_config
from toolkit.training.classification import ClassObjective, balanced_weights, class_counts
from toolkit.training.objective_choice import objective_of
from toolkit.training.run import model_spec
from toolkit.training.seeds import fresh_model


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return class_config(labelled_csv(tmp_path_factory.mktemp("plant")), seeds=2)


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "state"
    train(config, folder, Silent())
    return load_run(folder)


def objective(config, **training):
    dataset = build_dataset(read_table(config.data), config.data)
    model = fresh_model(model_spec(config, dataset), dataset, 0)
    return objective_of(model, dataset, dataclasses.replace(config.training, **training))


def test_the_loss_is_the_cross_entropy_of_the_last_rows_label(config):
    own = objective(config)
    assert isinstance(own, ClassObjective)
    starts = own.dataset.starts["train"][:7]
    x, _ = own.dataset.gather(starts)
    states = (starts + 11) % 20 >= 17
    with torch.no_grad():
        chances = torch.softmax(own.model.last_standardised(x), dim=-1)
        loss = own(starts)
    wanted = -torch.log(chances[torch.arange(7), states.long()]).mean()
    assert float(loss) == pytest.approx(float(wanted), rel=1e-5)


def test_balanced_classes_count_alike():
    weights = balanced_weights(torch.tensor([90, 10, 0]))
    assert weights.tolist() == pytest.approx([100 / 180, 5.0, 0.0])
    assert float((weights * torch.tensor([90, 10, 0])).sum()) == pytest.approx(100.0)


@torch.no_grad()
def test_a_batch_that_is_shared_out_has_the_same_mean(config):
    own = objective(config, class_weights="balanced")
    starts = own.dataset.starts["train"][:30]
    parts = [float(own(part)) for part in torch.split(starts, 10)]
    assert float(own(starts)) == pytest.approx(np.mean(parts), rel=1e-5)
    assert float(own(starts)) != pytest.approx(float(objective(config)(starts)), rel=1e-3)


@torch.no_grad()
def test_validation_is_over_every_window(config):
    own = objective(config, class_weights="balanced")
    starts = own.dataset.starts["validation"]
    assert own.validation() == pytest.approx(float(own(starts)), rel=1e-5)
    assert class_counts(own.dataset, "validation").tolist() == [30, 6]


def test_a_run_says_how_well_it_tells_them_apart(run, config):
    report = json.loads((run.folder / "training.json").read_text())
    assert report["schema"] == "class-training/1"
    assert report["classes"] == ["fine", "hot"]
    assert report["commonest"] == "fine"
    assert report["class_windows"]["test"] == [30, 6]
    assert report["baselines"]["commonest"]["accuracy"] == pytest.approx(30 / 36)
    assert report["model"]["balanced_accuracy"] > 0.95
    assert report["verdict"].startswith("beats the commonest class by")
    assert [seed["kept"] for seed in report["seeds"]].count(True) == 1
    model = run.record.model
    assert (model.classes, model.class_names, model.horizon, model.targets) == (2, ("fine", "hot"), 0, 0)
    assert run.record.signal.targets == ()
    again = training_config(run.folder / "config.toml", {}, ())
    assert (again.data, again.training) == (config.data, config.training)


def test_a_run_keeps_its_evaluation_and_its_table(run):
    found, data = (json.loads((run.folder / name).read_text()) for name in ("evaluation.json", "data.json"))
    assert found["schema"] == "class-evaluation/1"
    for name in ("model", "baselines", "commonest", "verdict"):
        assert found[name] == run.report[name]
    assert found["by_asset"] == {"": found["model"]}
    (kept,) = (seed for seed in run.report["seeds"] if seed["kept"])
    assert kept["balanced_accuracy"] == found["model"]["balanced_accuracy"]
    assert (data["schema"], data["targets"], len(data["distributions"])) == ("data/1", [], 2)


def test_a_class_of_the_test_part_alone_is_refused_and_leaves_nothing(config, tmp_path):
    text = labelled_csv(tmp_path).read_text().splitlines()
    text[230] = text[230].rsplit(",", 1)[0] + ",odd"
    path = write(tmp_path, "\n".join(text) + "\n")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DataError, match=r"not learned; got 'odd' in row 230, column 'state'; allowed: fine, hot"):
        train(class_config(path), tmp_path / "run", Silent())
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "model", [{"normalisation": "revin"}, {"normalisation": "last"}, {"channel_mixing": "independent"}]
)
def test_what_belongs_to_a_forecast_is_refused(config, tmp_path, model):
    wrong = class_config(config.data.file, model)
    with pytest.raises(ModelError, match="a classifier has no forecast to put a level back into"):
        train(wrong, tmp_path / "run", Silent())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["data.label=state"], "a classifier has a label, and a forecaster has none; got model.task forecast and a"),
        (["model.task=classify", "data.targets=['temperature']"], "got model.task classify and no data.label"),
        (["data.label=state", "model.task=classify", "training.loss=mae"], "training.loss goes with a forecast"),
        (["data.targets=['temperature']", "training.class_weights=balanced"], "class_weights goes with a classifier"),
        (["model.task=classify"], "data.targets is missing"),
    ],
)
def test_settings_that_do_not_go_together(settings, words):
    with pytest.raises(ConfigError, match=words):
        training_config(None, {"file": "plant.csv", "timestamp": "time"}, settings)


@pytest.mark.data
def test_anomalies_of_a_real_pump(sensor_data, tmp_path):
    path = sensor_data / "skab" / "valve1" / "1.csv"
    settings = ("model.task=classify", "data.label=anomaly", "data.separator=';'", "model.hidden_size=8")
    short = ("training.max_epochs=2", "data.exclude=['changepoint']", "data.split=[0.6,0.1,0.3]", "data.missing=break")
    given = {"file": str(path), "timestamp": "datetime", "window_length": 20}
    report = train(training_config(None, given, [*settings, *short]), tmp_path / "run", Silent())
    assert report.classes == ("0", "1")
    assert report.model.missed_rate is not None
