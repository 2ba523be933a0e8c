"""Where a training lies until it ends: what is its own, what is swept away, and what says that it is another's."""

import os
from dataclasses import replace

import pytest
from sensor_tables import run_config

from toolkit.errors import ConfigError, ModelError, OutputError
from toolkit.training.workplace import claimed, interrupted_config, kept_epochs, workplace_of

CHECKPOINT = "checkpoint-000003.safetensors"


def claim(run, config=None, sha256="0" * 64, *, resume=False, overwrite=False):
    return claimed(run, config or run_config("plant.csv"), sha256, resume=resume, overwrite=overwrite)


def interrupted(run, *seeds, **options):
    """The workplace of a training that was stopped after three epochs of each seed."""
    with pytest.raises(KeyboardInterrupt), claim(run, **options) as place:
        for seed in seeds or (0,):
            (place.checkpoints(seed).folder / CHECKPOINT).touch()
        raise KeyboardInterrupt
    return workplace_of(run)


def identity(run, config, sha256="0" * 64, seed=0):
    with claim(run, config, sha256) as place:
        return place.checkpoints(seed).identity


def test_a_training_has_the_identity_of_its_settings_its_table_and_its_seed(tmp_path):
    config = run_config("plant.csv")
    ours = identity(tmp_path / "run", config)
    assert identity(tmp_path / "run", config, sha256="1" * 64) != ours
    assert identity(tmp_path / "run", config, seed=1) != ours
    assert identity(tmp_path / "run", run_config("plant.csv", learning_rate=0.02)) != ours
    assert identity(tmp_path / "run", replace(config, model=replace(config.model, hidden_size=9))) != ours
    assert identity(tmp_path / "run", run_config("plant.csv", data={"horizon": 4})) != ours
    assert identity(tmp_path / "other", run_config("elsewhere/plant.csv")) == ours


def test_epochs_are_counted_over_all_seeds(tmp_path):
    folder = interrupted(tmp_path / "run", 0, 1)
    (folder / "seed-1" / "checkpoint-000004.safetensors").touch()
    (folder / "seed-2").mkdir()
    (folder / "seed-9").touch()
    assert kept_epochs(tmp_path / "run") == 3 + 4
    assert kept_epochs(tmp_path / "none") == 0


def test_the_settings_of_an_interrupted_training_are_found(tmp_path):
    with pytest.raises(ConfigError, match=r"no interrupted training of .*run; got nothing; fix: give a configuration"):
        interrupted_config(tmp_path / "run")
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "run.json").touch()
    with pytest.raises(ConfigError, match="got a finished run"):
        interrupted_config(tmp_path / "done")
    interrupted(tmp_path / "run")
    assert interrupted_config(tmp_path / "run").read_text() == run_config("plant.csv").to_toml()


def test_a_training_that_ended_leaves_nothing(tmp_path):
    with claim(tmp_path / "run") as place:
        (place.checkpoints(0).folder / CHECKPOINT).touch()
    assert os.listdir(tmp_path) == []


def test_one_that_failed_before_its_first_checkpoint_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), claim(tmp_path / "run") as place:
        place.checkpoints(0)
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_one_that_diverged_leaves_nothing_and_one_that_was_stopped_its_checkpoint(tmp_path):
    with pytest.raises(ModelError), claim(tmp_path / "run") as place:
        (place.checkpoints(0).folder / CHECKPOINT).touch()
        raise ModelError("diverged")
    assert os.listdir(tmp_path) == []
    folder = interrupted(tmp_path / "run")
    assert (folder / "seed-0" / CHECKPOINT).exists()


def test_the_lock_is_free_again_whatever_happened(tmp_path):
    interrupted(tmp_path / "run")
    with claim(tmp_path / "run", resume=True):
        pass
    assert os.listdir(tmp_path) == []


def test_to_begin_anew_takes_away_all_but_what_a_link_leads_to(tmp_path):
    folder = interrupted(tmp_path / "run")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (folder / "link").symlink_to(tmp_path / "precious")
    (folder / "file").touch()
    other = run_config("plant.csv", learning_rate=0.02)
    with claim(tmp_path / "run", other, "1" * 64, overwrite=True):
        assert {*os.listdir(folder)} == {"config.toml", "lock", "table.sha256"}
        assert (folder / "config.toml").read_text() == other.to_toml()
        assert (folder / "table.sha256").read_text() == "1" * 64
    assert os.listdir(tmp_path / "precious") == ["file"]


def test_another_process_s_and_an_interrupted_training_are_left_alone(tmp_path):
    words = "another training writes into .*run; got a lock on .*; fix: wait"
    with claim(tmp_path / "run"), pytest.raises(OutputError, match=words), claim(tmp_path / "run", overwrite=True):
        pytest.fail("it went on")
    interrupted(tmp_path / "run")
    words = r"holds an interrupted training; got checkpoints; fix: go on with --resume"
    with pytest.raises(OutputError, match=words), claim(tmp_path / "run"):
        pytest.fail("it went on")
    assert kept_epochs(tmp_path / "run") == 3


def test_resume_wins_over_overwrite(tmp_path):
    interrupted(tmp_path / "run")
    with claim(tmp_path / "run", resume=True, overwrite=True) as place:
        assert place.checkpoints(0).epochs() == [3]


def test_what_was_left_without_a_checkpoint_is_begun_anew(tmp_path):
    folder = interrupted(tmp_path / "run")
    (folder / "seed-0" / CHECKPOINT).unlink()
    other = run_config("plant.csv", learning_rate=0.02)
    with claim(tmp_path / "run", other, resume=True):
        assert (folder / "config.toml").read_text() == other.to_toml()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(("config.toml", content) for content in (b"[data", b"\xff", b"data = 3", None)),
        *(("table.sha256", content) for content in (b"\xff", None)),
    ],
)
def test_a_workplace_that_is_damaged_says_so(tmp_path, name, content):
    folder = interrupted(tmp_path / "run")
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    words = r"run\.training is damaged; got .*; fix: begin anew with --overwrite"
    with pytest.raises(OutputError, match=words), claim(tmp_path / "run", resume=True):
        pytest.fail("it went on")
    assert kept_epochs(tmp_path / "run") == 3


def test_another_table_is_refused_and_another_place_is_not(tmp_path):
    interrupted(tmp_path / "run")
    words = "resumed with another table; got SHA-256 111111111111; fix"
    with pytest.raises(ConfigError, match=words), claim(tmp_path / "run", sha256="1" * 64, resume=True):
        pytest.fail("it went on")
    with claim(tmp_path / "run", run_config("elsewhere.csv"), resume=True) as place:
        assert place.checkpoints(0).epochs() == [3]


def test_a_setting_that_is_no_longer_stated_is_refused(tmp_path):
    interrupted(tmp_path / "run", config=run_config("plant.csv", data={"season": 5}))
    words = r"another data\.season; got nothing; allowed: 5"
    with pytest.raises(ConfigError, match=words), claim(tmp_path / "run", resume=True):
        pytest.fail("it went on")
