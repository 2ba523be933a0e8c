"""A training that is killed at any moment goes on to the bit."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import safetensors.torch
from forked_processes import forked
from sensor_tables import Silent, plain_csv, run_config, write

from toolkit.errors import ConfigError, ModelError, OutputError
from toolkit.training import train
from toolkit.training.workplace import claimed, interrupted_config, kept_epochs

WEIGHTS = "weights.safetensors"
CLI = "from toolkit.cli.main import main; main()"
EPOCHS = {"max_epochs": 6, "min_epochs": 6}


class StoppedError(Exception):
    """The power fails."""


class Stopping(Silent):
    """The power fails after so many epochs, or in the step after."""

    def __init__(self, epoch, done=None, seed=0):
        self.place, self.seed, self.now = (epoch, done), seed, 0

    def on_seed(self, seed, number, total):
        self.now = seed

    def on_batch(self, epoch, done, total, loss):
        if self.place == (epoch, done) and self.now == self.seed:
            raise StoppedError

    def on_epoch(self, record):
        if self.place == (record.epoch, None) and self.now == self.seed:
            raise StoppedError


def stopped(config, folder, *place, **options):
    with pytest.raises(StoppedError):
        train(config, folder, Stopping(*place), **options)
    return folder.parent / f"{folder.name}.training"


@pytest.fixture(scope="module")
def whole(plant, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(run_config(plant, **EPOCHS), folder, Silent())
    return folder


def same_outcome(folder, whole):
    """All but the seconds is the same."""
    assert (folder / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    for line, theirs in zip(metrics(folder), metrics(whole), strict=True):
        assert line == theirs


def metrics(folder):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{**line, "seconds": 0} for line in lines]


@pytest.mark.parametrize("place", [(1, None), (4, None), (4, 2), (6, None)])
def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(plant, tmp_path, whole, place):
    config = run_config(plant, **EPOCHS)
    workplace = stopped(config, tmp_path / "run", *place)
    assert kept_epochs(tmp_path / "run") == place[0] - (place[1] is not None)
    train(config, tmp_path / "run", Silent(), resume=True)
    same_outcome(tmp_path / "run", whole)
    assert not workplace.exists()


@pytest.mark.parametrize("settings", [{"optimizer": "adamw", "schedule": "cosine"}, {"seeds": 2}])
def test_it_holds_for_dropout_schedules_and_several_seeds(plant, tmp_path, settings):
    config = run_config(plant, **EPOCHS, **settings)
    config = replace(config, model=replace(config.model, num_layers=2, dropout=0.4))
    train(config, tmp_path / "whole", Silent())
    last = settings.get("seeds", 1) - 1
    stopped(config, tmp_path / "run", 3, 4, last)
    train(config, tmp_path / "run", Silent(), resume=True)
    same_outcome(tmp_path / "run", tmp_path / "whole")


def test_two_checkpoints_are_kept_and_a_damaged_one_is_skipped(plant, tmp_path, whole):
    config = run_config(plant, **EPOCHS)
    folder = stopped(config, tmp_path / "run", 4) / "seed-0"
    names = ["checkpoint-000003.safetensors", "checkpoint-000004.safetensors", "metrics.jsonl"]
    assert sorted(os.listdir(folder)) == names
    newest = folder / names[1]
    newest.write_bytes(newest.read_bytes()[:-100])
    with pytest.raises(StoppedError):
        train(config, tmp_path / "run", Stopping(4, 1), resume=True)
    assert len(metrics(folder)) == 3  # cut back to the checkpoint that is whole
    train(config, tmp_path / "run", Silent(), resume=True)
    same_outcome(tmp_path / "run", whole)


def test_a_checkpoint_with_a_flipped_bit_is_skipped(plant, tmp_path, whole):
    config = run_config(plant, **EPOCHS)
    newest = stopped(config, tmp_path / "run", 4) / "seed-0" / "checkpoint-000004.safetensors"
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    safetensors.torch.load(bytes(content))  # it can be read all the same
    train(config, tmp_path / "run", Silent(), resume=True)
    same_outcome(tmp_path / "run", whole)


def test_a_full_disk_leaves_the_older_checkpoint_good(plant, tmp_path, whole, monkeypatch):
    config, sync = run_config(plant, **EPOCHS), os.fsync
    filled = []

    def full(descriptor):
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        if "checkpoint-000003" in name:
            filled.append(name)
            raise OSError(28, "No space left on device", name)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        train(config, tmp_path / "run", Silent())
    assert filled
    monkeypatch.undo()
    folder = tmp_path / "run.training" / "seed-0"
    assert not [name for name in os.listdir(folder) if "partial" in name]
    assert kept_epochs(tmp_path / "run") == 2
    train(config, tmp_path / "run", Silent(), resume=True)
    same_outcome(tmp_path / "run", whole)


def test_an_interrupted_training_is_neither_lost_nor_gone_on_with_unasked(plant, tmp_path):
    config = run_config(plant, **EPOCHS)
    stopped(config, tmp_path / "run", 2)
    with pytest.raises(OutputError, match=r"holds an interrupted training.*--resume.*--overwrite"):
        train(config, tmp_path / "run", Silent())
    assert kept_epochs(tmp_path / "run") == 2
    stopped(config, tmp_path / "run", 1, overwrite=True)
    assert kept_epochs(tmp_path / "run") == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learning_rate": 0.02}, r"another training\.learning_rate; got 0\.02; allowed: 0\.01; fix: .*--overwrite"),
        ({"max_epochs": 7}, r"another training\.max_epochs; got 7; allowed: 6"),
        ({"data": {"season": 5}}, r"another data\.season; got 5; allowed: nothing"),
    ],
)
def test_a_resume_with_another_setting_says_which(plant, tmp_path, changes, words):
    stopped(run_config(plant, **EPOCHS), tmp_path / "run", 2)
    with pytest.raises(ConfigError, match=words):
        train(run_config(plant, **{**EPOCHS, **changes}), tmp_path / "run", Silent(), resume=True)
    assert kept_epochs(tmp_path / "run") == 2


def test_a_resume_takes_the_same_table_from_another_place_and_no_other_table(plant, tmp_path, whole):
    stopped(run_config(plant, **EPOCHS), tmp_path / "run", 2)
    other = write(tmp_path, plain_csv(250), "other.csv")
    with pytest.raises(ConfigError, match="resumed with another table"):
        train(run_config(other, **EPOCHS), tmp_path / "run", Silent(), resume=True)
    moved = write(tmp_path, plant.read_bytes(), "moved.csv")
    train(run_config(moved, **EPOCHS), tmp_path / "run", Silent(), resume=True)
    same_outcome(tmp_path / "run", whole)


def test_the_checkpoint_of_another_training_is_not_gone_on_with(plant, tmp_path):
    folder = stopped(run_config(plant, **EPOCHS), tmp_path / "run", 2)
    checkpoint = folder / "seed-0" / "checkpoint-000002.safetensors"
    other = stopped(run_config(plant, **EPOCHS, learning_rate=0.02), tmp_path / "other", 1) / "seed-0"
    (other / "checkpoint-000002.safetensors").write_bytes(checkpoint.read_bytes())
    config = run_config(plant, **EPOCHS, learning_rate=0.02)
    train(config, tmp_path / "other", Silent(), resume=True)
    train(config, tmp_path / "whole", Silent())
    same_outcome(tmp_path / "other", tmp_path / "whole")


def test_where_nothing_was_begun_a_resume_begins(plant, tmp_path, whole):
    train(run_config(plant, **EPOCHS), tmp_path / "run", Silent(), resume=True)
    same_outcome(tmp_path / "run", whole)
    with pytest.raises(ConfigError, match=r"no interrupted training.*got a finished run"):
        interrupted_config(tmp_path / "run")


def test_two_trainings_into_one_folder_are_refused(plant, tmp_path):
    config = run_config(plant, **EPOCHS)
    with claimed(tmp_path / "run", config, "0", resume=False, overwrite=False):
        for options in ({}, {"resume": True}, {"overwrite": True}):
            with pytest.raises(OutputError, match="another training writes into"):
                train(config, tmp_path / "run", Silent(), **options)
    assert os.listdir(tmp_path) == []


def test_a_training_that_diverges_after_a_checkpoint_leaves_nothing_behind(plant, tmp_path, monkeypatch):
    from toolkit.training.objectives import WindowObjective

    losses = iter([1.0, 0.9, float("nan")])
    monkeypatch.setattr(WindowObjective, "validation", lambda self: next(losses))
    with pytest.raises(ModelError, match=r"diverged.*epoch 3"):
        train(run_config(plant, **EPOCHS), tmp_path / "run", Silent())
    assert os.listdir(tmp_path) == []


def test_killed_at_random_moments_it_still_ends_the_same(plant, tmp_path):
    """SIGKILL: nothing can be tidied up."""
    config = run_config(plant, max_epochs=8, min_epochs=8)
    train(config, tmp_path / "whole", Silent())
    moments, kills = random.Random(0), 0
    for _ in range(60):
        child = forked(lambda: train(config, tmp_path / "run", Silent(), resume=True))
        time.sleep(moments.uniform(0.02, 0.4))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        kills += os.WIFSIGNALED(status)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
        if (tmp_path / "run").exists():
            break
    else:
        train(config, tmp_path / "run", Silent(), resume=True)
    assert kills
    same_outcome(tmp_path / "run", tmp_path / "whole")


def test_on_the_command_line_resume_needs_no_configuration(plant, tmp_path):
    config = run_config(plant, **EPOCHS)
    stopped(config, tmp_path / "run", 3)
    command = [sys.executable, "-c", CLI, "train", "--resume", "--run", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "epoch   4/6" in done.stderr
    assert "epoch   3/6" not in done.stderr
