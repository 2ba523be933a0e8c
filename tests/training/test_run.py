import json
import os
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch
from sensor_tables import START, Silent, lines, moments, run_config, wave, write

from toolkit.errors import ModelError, OutputError
from toolkit.training import load_run, train, training_config

PICTURES = ["data.json", "evaluation.json"]
KEPT = ["config.toml", "metrics.jsonl", "run.json", "samples.safetensors", "training.json", "weights.safetensors"]
FILES = sorted([*KEPT, *PICTURES])


def test_a_run_folder_holds_these_files_and_no_other(trained):
    assert sorted(os.listdir(trained.folder)) == FILES
    assert os.listdir(trained.folder.parent) == [trained.folder.name]


def test_the_written_configuration_is_the_one_that_was_trained(trained, plant):
    assert training_config(trained.folder / "config.toml", {}, ()) == run_config(plant)
    assert trained.config_toml == run_config(plant).to_toml()


def test_metrics_have_a_line_for_every_epoch(trained):
    epochs = [json.loads(line) for line in (trained.folder / "metrics.jsonl").read_text().splitlines()]
    assert [epoch["epoch"] for epoch in epochs] == [1, 2, 3]
    keys = {"epoch", "train_loss", "validation_loss", "learning_rate", "seconds", "best"}
    assert all(epoch.keys() == keys for epoch in epochs)
    assert [epoch["epoch"] for epoch in epochs if epoch["best"]][-1] == trained.report["best_epoch"]


def test_the_report_says_how_it_went(trained):
    report = json.loads((trained.folder / "training.json").read_text())
    assert report == trained.report
    assert report["schema"] == "training/1"
    assert report["epochs"] == 3
    assert report["parameters"] == 4 * 8 * (2 + 8 + 2) + 9 * 3
    assert report["windows"] == {"train": 168 - 14, "validation": 36 - 2, "test": 36 - 2}
    assert report["baselines"].keys() == {"persistence", "seasonal", "linear"}
    assert report["season"] == 12
    assert report["test"].keys() == report["test_standardised"].keys() == {"mse", "mae"}
    assert "persistence" in report["verdict"]


def test_a_run_is_read_back_as_it_was_trained(trained, plant):
    assert trained.record.name == "first"
    assert trained.record.model.window_length == 12
    assert trained.record.signal.channel_names == ("temperature", "pressure")
    assert (trained.record.data.file_name, trained.record.data.rows) == ("plant.csv", 240)
    assert not trained.model.training
    assert trained.samples.shape == (4, 48, 2)
    rows = torch.from_numpy(wave(240)).float()
    assert all((rows[192:] == stretch[-1]).all(dim=1).any() for stretch in trained.samples)


def test_the_table_is_told_beside_the_run(trained):
    data = json.loads((trained.folder / "data.json").read_text())
    assert (data["schema"], data["file"], data["rows"]) == ("data/1", "plant.csv", 240)
    assert data["sha256"] == trained.record.data.sha256
    assert data["channels"] == ["temperature", "pressure"]
    start = np.datetime64(START).astype(int)
    assert data["borders_s"] == [start + 168 * 60.0, start + 204 * 60.0]
    assert [trace["channel"] for trace in data["traces"]] == ["temperature", "pressure"]
    np.testing.assert_allclose(data["traces"][0]["mean"], wave(240)[:, 0], atol=1e-3)
    assert data["distributions"][0]["shares"].keys() == {"train", "validation", "test"}


def test_the_evaluation_is_that_of_the_training_in_full(trained):
    found = json.loads((trained.folder / "evaluation.json").read_text())
    assert "null" not in json.dumps([found[name] for name in ("model", "by_step", "examples", "baselines_by_step")])
    assert (found["schema"], found["name"], found["file"]) == ("evaluation/1", "first", "plant.csv")
    assert found["windows"] == trained.report["windows"]["test"]
    for name in ("test", "test_standardised", "per_target"):
        assert found["model"][name] == trained.report[name]
    for name in ("baselines", "season", "verdict"):
        assert found[name] == trained.report[name]
    assert found["baselines_by_step"].keys() == {"persistence", "seasonal", "linear"}
    assert len(found["by_step"]) == 3
    assert [(each["target"], each["kind"]) for each in found["examples"]] == [
        ("temperature", kind) for kind in ("best", "median", "worst")
    ]
    start = np.datetime64(START).astype(int)
    for example in found["examples"]:
        row = round((example["times_s"][0] - start) / 60)
        assert row >= 204
        np.testing.assert_allclose(example["truth"], wave(240)[row : row + 3, 0])
        np.testing.assert_allclose(example["history"], wave(240)[row - 12 : row, 0])


def test_the_kept_of_several_seeds_has_the_scores_of_the_run(plant, tmp_path):
    report = train(run_config(plant, max_epochs=1, seeds=2), tmp_path / "run", Silent())
    (kept,) = (seed for seed in report.seeds if seed.kept)
    assert kept.test_standardised == report.test_standardised
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert evaluation["model"]["test_standardised"]["mse"] == report.test_standardised.mse


def test_constant_channels_that_are_dropped_are_in_no_picture(tmp_path):
    flat = lines(
        "time,temperature,still,pressure",
        moments(240),
        *wave(240).T[:1].tolist(),
        [5.0] * 240,
        *wave(240).T[1:].tolist(),
    )
    config = run_config(write(tmp_path, flat), data={"constant": "drop"}, max_epochs=1)
    report = train(config, tmp_path / "run", Silent())
    data = json.loads((tmp_path / "run" / "data.json").read_text())
    assert data["channels"] == ["temperature", "pressure"]
    assert data["notes"] == list(report.notes) == ["constant over the training rows, and left out: still"]


def test_two_runs_of_one_seed_have_the_same_weights(trained, plant, tmp_path):
    train(run_config(plant), tmp_path / "again", Silent())
    for name in ("weights.safetensors", "samples.safetensors", "config.toml"):
        assert (tmp_path / "again" / name).read_bytes() == (trained.folder / name).read_bytes()


def test_scaling_comes_from_the_training_rows(trained):
    mean, std = wave(240)[:168].mean(axis=0), wave(240)[:168].std(axis=0)
    weights = safetensors.torch.load_file(trained.folder / "weights.safetensors")
    assert weights["input_offset"].tolist() == pytest.approx(mean.tolist())
    assert weights["input_scale"].tolist() == pytest.approx((1 / std).tolist())
    assert weights["output_scale"].tolist() == pytest.approx(std[:1].tolist())


def test_a_table_of_two_assets_is_trained_on(tmp_path):
    values = wave(240)
    text = lines("time,pump,temperature,pressure", sorted(moments(120) * 2), ["a", "b"] * 120, *values.T.tolist())
    config = run_config(write(tmp_path, text), data={"asset": "pump"}, max_epochs=1)
    report = train(config, tmp_path / "run", Silent())
    assert report.windows["train"] == 2 * (84 - 14)
    assert load_run(tmp_path / "run").record.data.assets == 2


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Interrupting(Silent):
    """Someone presses Ctrl-C."""

    def __init__(self, moment, epoch=2):
        self.moment, self.epoch = moment, epoch

    def on_batch(self, epoch, done, total, loss):
        if self.moment == "batch" and epoch == self.epoch:
            raise KeyboardInterrupt

    def on_epoch(self, record):
        if self.moment == "epoch" and record.epoch == self.epoch:
            raise KeyboardInterrupt


def test_an_interrupt_in_the_first_epoch_leaves_nothing_behind(plant, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(run_config(plant), tmp_path / "run", Interrupting("batch", epoch=1))
    assert os.listdir(tmp_path) == []


def test_an_interrupt_leaves_the_old_run_as_it_was(plant, tmp_path):
    config = run_config(plant, max_epochs=2)
    train(config, tmp_path / "run", Silent())
    before = contents(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", Interrupting("batch"), overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["run", "run.training"]
    assert contents(tmp_path / "run") == before


def test_a_run_is_replaced_only_when_asked_for(plant, tmp_path):
    config = run_config(plant, max_epochs=1)
    train(config, tmp_path / "run", Silent())
    with pytest.raises(OutputError, match=r"exists already.*--overwrite"):
        train(config, tmp_path / "run", Silent())
    train(replace(config, training=replace(config.training, seed=1)), tmp_path / "run", Silent(), overwrite=True)
    assert "seed = 1" in load_run(tmp_path / "run").config_toml
    assert os.listdir(tmp_path) == ["run"]


def test_a_training_that_diverges_leaves_nothing_behind(plant, tmp_path):
    with pytest.raises(ModelError, match="training diverged"):
        train(run_config(plant, learning_rate=1e30), tmp_path / "run", Silent())
    assert os.listdir(tmp_path) == []
