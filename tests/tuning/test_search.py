"""Searches of a few trials of an epoch, or two, on a small table."""

import sqlite3
from dataclasses import replace
from types import SimpleNamespace

import pytest
from sensor_tables import Silent, plain_csv, run_config, write

from toolkit.errors import ConfigError, OutputError
from toolkit.training import train, training_config
from toolkit.tuning import search as tuning
from toolkit.tuning.report import SearchPlan, SearchReport, Trial
from toolkit.tuning.search import tune

TABLE = {"hidden_size": [2, 4, 8], "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}, "loss": ["mse", "mae"]}
ONLY = tuple(TABLE)


class Watching:
    """Remembers trials, and presses Ctrl-C in the middle of one."""

    def __init__(self, interrupted=None):
        self.interrupted, self.number, self.trials, self.bests = interrupted, 0, [], []

    def on_begin(self, number):
        self.number = number

    def on_batch(self, epoch, done, total, loss):
        if self.number == self.interrupted and done == 2:
            raise KeyboardInterrupt

    def on_trial(self, trial, best):
        self.trials.append(trial)
        self.bests.append(best)


def quick(path, **changes):
    return run_config(path, **{"max_epochs": 1, "min_epochs": 1, "batch_size": 64, **changes})


def tried(trials):
    return [(trial.settings, trial.value, trial.outcome) for trial in trials]


def searched(config, *, trials=3, table=TABLE, only=ONLY, watching=None, **plan):
    return tune(config, table, SearchPlan(trials, **plan), watching or Watching(), only)


def test_the_given_settings_are_the_first_trial(plant):
    watching = Watching()
    best, report = searched(quick(plant), watching=watching)
    assert [trial.given for trial in report.trials] == [True, False, False]
    assert report.trials[0].settings == {"hidden_size": 8, "learning_rate": 0.01, "loss": "mse"}
    assert watching.trials == list(report.trials)
    lowest = min(report.trials, key=lambda trial: trial.value)
    assert report.best == report.ranking[0].number == lowest.number
    assert (best.model.hidden_size, best.training.loss) == (lowest.settings["hidden_size"], lowest.settings["loss"])
    assert watching.bests[0]
    assert f"trial {report.best}, validation MSE" in report.verdict


def test_given_settings_outside_the_space_are_tried_as_they_are(plant):
    _, report = searched(quick(plant), trials=2, table={"hidden_size": [2, 3]}, only=("hidden_size", "learning_rate"))
    assert report.trials[0].settings == {"hidden_size": 8, "learning_rate": 0.01}
    assert report.trials[1].settings["hidden_size"] in (2, 3)


def test_trials_of_other_losses_are_measured_alike(plant, tmp_path):
    """The metric of the given settings, trained on mae, is their squared error."""
    config = quick(plant, loss="mae")
    _, squared = searched(config, trials=1)
    _, absolute = searched(config, trials=1, metric="mae")
    _, fits = searched(quick(plant, loss="mse"), trials=1)
    train(config, tmp_path / "run", Silent())
    own = float((tmp_path / "run" / "metrics.jsonl").read_text().split('"validation_loss": ')[1].split(",")[0])
    assert absolute.trials[0].value == pytest.approx(own, rel=1e-6)
    assert squared.trials[0].value != pytest.approx(own, rel=0.01)
    assert fits.metric == squared.metric == "mse"


def test_the_value_is_that_of_the_weights_that_training_keeps(plant, tmp_path):
    config = quick(plant, max_epochs=4, learning_rate=1.0, clip_norm=0.0)
    _, report = searched(config, trials=1)
    train(config, tmp_path / "run", Silent())
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    losses = [float(line.split('"validation_loss": ')[1].split(",")[0]) for line in lines]
    assert report.trials[0].value == pytest.approx(min(losses), rel=1e-6)
    assert min(losses) < losses[-1]
    assert report.trials[0].epochs == 4


def test_the_same_seed_tries_the_same(plant):
    _, first = searched(quick(plant))
    _, again = searched(quick(plant))
    _, other = searched(quick(plant), trials=2, seed=5)
    assert tried(first.trials) == tried(again.trials)
    assert tried(first.trials)[0] == tried(other.trials)[0]
    assert tried(first.trials)[1] != tried(other.trials)[1]
    assert first.trials[1].settings != first.trials[2].settings


@pytest.mark.parametrize("interrupted", [1, 2])
def test_an_interrupted_search_goes_on_as_if_it_had_not_been(plant, tmp_path, interrupted):
    storage = tmp_path / "odd {name}?#%.db"
    with pytest.raises(KeyboardInterrupt):
        searched(quick(plant), trials=3, storage=storage, watching=Watching(interrupted))
    assert [path.name for path in tmp_path.iterdir()] == [storage.name]
    watching = Watching()
    _, resumed = searched(quick(plant), trials=3, storage=storage, watching=watching)
    _, whole = searched(quick(plant), trials=3)
    assert tried(resumed.trials) == tried(whole.trials)
    assert len(watching.trials) == 3 - (interrupted - 1)
    assert [trial.given for trial in resumed.trials] == [True, False, False]


def test_a_search_that_is_done_is_only_read_again(plant, tmp_path):
    storage = tmp_path / "search.db"
    _, first = searched(quick(plant), trials=2, storage=storage)
    watching = Watching()
    _, again = searched(quick(plant), trials=2, storage=storage, watching=watching)
    assert again.trials == first.trials
    assert watching.trials == []
    _, other = searched(quick(plant), trials=1, storage=storage, study="other")
    assert len(other.trials) == 1


def test_a_storage_of_another_search_is_refused(plant, tmp_path):
    storage = tmp_path / "search.db"
    config = quick(plant)
    searched(config, trials=1, storage=storage)
    other_file = write(tmp_path, plain_csv(250), "other.csv")
    moved = write(tmp_path, plant.read_bytes(), "moved.csv")
    for changed, table, plan, message in (
        (quick(other_file), TABLE, {}, "another the data file's SHA-256"),
        (quick(plant, max_epochs=2), TABLE, {}, "another training.max_epochs; got 2; allowed: 1"),
        (replace(config, data=replace(config.data, horizon=2)), TABLE, {}, "another data.horizon"),
        (config, {**TABLE, "hidden_size": [2]}, {}, "another tune.hidden_size"),
        (config, TABLE, {"metric": "mae"}, "another --metric"),
        (config, TABLE, {"seed": 3}, "another --seed"),
    ):
        with pytest.raises(ConfigError, match=message):
            searched(changed, trials=2, table=table, storage=storage, **plan)
    _, report = searched(quick(moved), trials=1, storage=storage)
    assert len(report.trials) == 1


def test_a_storage_that_cannot_be_used_is_refused(plant, tmp_path):
    write(tmp_path, "no database at all, but long enough to be read as one\n" * 20, "text.db")
    with sqlite3.connect(tmp_path / "theirs.db") as connection:
        connection.execute("CREATE TABLE recipes (name)")
    connection.close()
    for name, message in (
        ("text.db", "file is not a database"),
        ("theirs.db", "another program, such as recipes"),
        ("none/search.db", "is no folder"),
    ):
        with pytest.raises(OutputError, match=message):
            searched(quick(plant), storage=tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {"text.db", "theirs.db"}


def test_two_searches_do_not_share_a_storage(plant, tmp_path):
    storage = tmp_path / "search.db"

    class Second(Watching):
        def on_begin(self, number):
            with pytest.raises(OutputError, match="another search runs in"):
                searched(quick(plant), trials=1, storage=storage)

    assert searched(quick(plant), trials=1, storage=storage, watching=Second())


def test_what_is_behind_is_pruned(plant):
    config = quick(plant, max_epochs=4)
    _, report = searched(config, table={"learning_rate": [1e-7]}, only=("learning_rate",), startup=1)
    assert [trial.outcome for trial in report.trials] == ["complete", "pruned", "pruned"]
    assert [trial.epochs for trial in report.trials] == [4, 1, 1]
    assert "behind the others in epoch 1" in report.trials[1].reason
    assert "Nothing tried is better" in report.verdict


def test_the_verdict_says_how_much_better(plant):
    config = quick(plant, max_epochs=2, learning_rate=1e-7)
    _, report = searched(config, table={"learning_rate": [0.01]}, only=("learning_rate",), startup=0)
    given, other = (trial.value for trial in report.trials[:2])
    assert f"{100 * (given - other) / given:.1f} % less than with the given settings" in report.verdict


def test_settings_that_do_not_go_together_are_refused_and_the_search_goes_on(plant):
    config = quick(plant)
    config = replace(config, model=replace(config.model, normalisation="none", patch_length=1))
    table = {"head": ["every"], "normalisation": ["none", "revin"]}
    _, report = searched(config, trials=6, table=table, only=tuple(table))
    outcomes = {trial.settings["normalisation"]: trial.outcome for trial in report.trials[1:]}
    assert outcomes == {"none": "complete", "revin": "refused"}
    refused = next(trial for trial in report.trials if trial.outcome == "refused")
    assert "an answer after every step needs no window" in refused.reason


def test_a_trial_that_diverges_is_recorded_and_the_search_goes_on(plant):
    config = quick(plant, max_epochs=2, clip_norm=0.0)
    _, report = searched(config, trials=3, table={"learning_rate": [1e30]}, only=("learning_rate",))
    assert [trial.outcome for trial in report.trials] == ["complete", "failed", "failed"]
    assert "training diverged" in report.trials[1].reason


def test_a_search_in_which_nothing_completes_says_so(plant):
    config = quick(plant, max_epochs=2, clip_norm=0.0, learning_rate=1e30)
    with pytest.raises(ConfigError, match="no trial of the search completed; got 1 trials, the last failed: training"):
        searched(config, trials=1)


def labelled(path, folder):
    """The same table, told whether the temperature is high."""
    header, *rows = path.read_text().splitlines()
    told = [f"{row},{'hot' if float(row.split(',')[1]) > 60 else 'cold'}" for row in rows]
    return write(folder, "\n".join([f"{header},state", *told]) + "\n", "labelled.csv")


def test_a_classifier_is_measured_by_its_cross_entropy(plant, tmp_path):
    config = quick(plant)
    data = replace(config.data, file=str(labelled(plant, tmp_path)), targets=(), label="state")
    config = replace(config, data=data, model=replace(config.model, task="classify"))
    _, report = searched(config, table={"class_weights": ["balanced"]}, only=("class_weights", "hidden_size"))
    assert report.metric == "cross-entropy"
    assert [trial.outcome for trial in report.trials] == ["complete"] * 3
    with pytest.raises(ConfigError, match=r"--metric goes with a forecast.*cross-entropy"):
        searched(config, metric="mae")


def test_quantiles_are_measured_by_their_pinball_loss(plant):
    config = quick(plant)
    model, training = replace(config.model, quantiles=(0.1, 0.5, 0.9)), replace(config.training, loss="quantile")
    config = replace(config, model=model, training=training)
    _, report = searched(config, trials=2, table={}, only=("hidden_size",))
    assert report.metric == "pinball"
    with pytest.raises(ConfigError, match=r"--metric goes with a forecast.*pinball"):
        searched(config, metric="mae")


def test_a_streaming_model_is_measured_as_it_is_run(plant, tmp_path):
    config = quick(plant)
    config = replace(config, model=replace(config.model, streaming=True))
    _, report = searched(config, trials=1)
    train(config, tmp_path / "run", Silent())
    assert f'"validation_loss": {report.trials[0].value}' in (tmp_path / "run" / "metrics.jsonl").read_text()


def test_time_that_is_up_ends_the_search(plant):
    watching = Watching()
    with pytest.raises(ConfigError, match="no trial of the search completed; got none that ended"):
        searched(quick(plant), timeout_s=1e-9, watching=watching)
    assert watching.number == 0


def test_time_that_is_up_ends_the_trial_that_runs(plant, tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(tuning, "time", SimpleNamespace(monotonic=lambda: now[0]))

    class Late(Watching):
        def on_begin(self, number):
            now[0] = 100.0 if number == 2 else 0.0

    storage = tmp_path / "search.db"
    _, report = searched(quick(plant), timeout_s=50.0, storage=storage, watching=Late())
    assert [trial.number for trial in report.trials] == [0]
    _, report = searched(quick(plant), trials=2, storage=storage)
    assert [trial.number for trial in report.trials] == [0, 2]


def test_the_test_part_is_never_looked_at(plant, tmp_path):
    """A table whose test rows are others gives the same search."""
    rows = plant.read_text().splitlines()
    rows[-30:] = [f"{row.split(',')[0]},{number}.0,1.0" for number, row in enumerate(rows[-30:])]
    other = write(tmp_path, "\n".join(rows) + "\n", "other.csv")
    _, first = searched(quick(plant), trials=2)
    _, second = searched(quick(other), trials=2)
    assert tried(first.trials) == tried(second.trials)


def test_the_best_settings_are_a_configuration_that_trains(plant, tmp_path):
    best, report = searched(quick(plant))
    (tmp_path / "best.toml").write_text(best.to_toml())
    config = training_config(tmp_path / "best.toml", {}, ())
    assert config == best
    train(config, tmp_path / "run", Silent())
    epoch = (tmp_path / "run" / "metrics.jsonl").read_text()
    if config.training.loss == "mse":
        assert f'"validation_loss": {report.ranking[0].value}' in epoch


@pytest.mark.parametrize(
    ("plan", "message"),
    [({"trials": 0}, "--trials; got 0"), ({"timeout_s": 0.0}, "--timeout"), ({"seed": -1}, "--seed")],
)
def test_a_plan_out_of_range_is_refused(plan, message):
    with pytest.raises(ConfigError, match=message):
        SearchPlan(**plan)


def test_a_verdict_without_a_figure_of_the_given_settings():
    trials = (
        Trial(0, True, "failed", {}, None, 1, 1.0, "training diverged"),
        Trial(1, False, "complete", {}, 0.5, 1, 1.0),
    )
    assert SearchReport("mae", trials, 1, {}).verdict == (
        "The best is trial 1, validation MAE 0.5; the given settings have no figure: training diverged."
    )
