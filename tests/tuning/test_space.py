from dataclasses import replace

import pytest
from sensor_tables import data_config, run_config, sensor_table, wave

from toolkit.data import build_dataset
from toolkit.errors import ConfigError
from toolkit.tuning.space import (
    SEARCHABLE,
    Choices,
    Range,
    default_space,
    own_settings,
    patch_lengths,
    search_space,
    with_settings,
)

CONFIG = run_config("plant.csv")
DATA = build_dataset(sensor_table(wave(240), ("temperature", "pressure")), data_config("plant.csv"))
ALONE = build_dataset(sensor_table(wave(240)[:, :1], ("temperature",)), data_config("plant.csv"))


@pytest.mark.parametrize(
    ("window", "season", "expected"),
    [
        (96, 24, (1, 3, 6, 12, 24, 48)),
        (60, 60, (1, 3, 6, 15, 30)),
        (60, 24, (1, 3, 6, 12)),
        (12, 12, (1, 3, 6)),
        (13, 13, (1,)),
        (1, 1, (1,)),
    ],
)
def test_patches_cut_the_window_and_the_season(window, season, expected):
    assert patch_lengths(window, season) == expected


def test_the_default_space_fits_the_table():
    space = default_space(CONFIG, DATA)
    assert space["learning_rate"] == Range(1e-4, 1e-2, log=True)
    assert space["patch_length"] == Choices((1, 3, 6))
    assert space["batch_size"] == Choices((32, 64, 128))  # of 154 training windows
    assert "channel_mixing" in space
    assert "channel_mixing" not in default_space(CONFIG, ALONE)


def test_an_answer_after_every_step_is_searched_without_what_needs_a_window():
    space = default_space(with_settings(CONFIG, {"head": "every"}), DATA)
    assert not {"normalisation", "patch_length", "channel_mixing"} & set(space)


def test_a_streaming_model_is_searched_without_what_needs_a_window():
    config = replace(CONFIG, model=replace(CONFIG.model, streaming=True))
    assert not {"normalisation", "patch_length", "channel_mixing"} & set(default_space(config, DATA))


def test_quantiles_are_searched_with_their_own_loss():
    model = replace(CONFIG.model, quantiles=(0.1, 0.5, 0.9))
    config = replace(CONFIG, model=model, training=replace(CONFIG.training, loss="quantile"))
    assert "loss" not in default_space(config, DATA)


def test_what_is_left_open_can_be_searched():
    assert {"num_layers", "normalisation", "patch_length", "channel_mixing"} <= set(SEARCHABLE)


def test_a_table_changes_the_space():
    table = {"hidden_size": [4, 8, 8], "num_layers": {"low": 1, "high": 3}, "weight_decay": [0, 0.1]}
    space = search_space(CONFIG, DATA, table)
    assert space["hidden_size"] == Choices((4, 8))
    assert space["num_layers"] == Range(1.0, 3.0)
    assert space["weight_decay"] == Choices((0.0, 0.1))
    assert type(space["weight_decay"].values[0]) is float
    assert search_space(CONFIG, DATA, table, ["hidden_size"]) == {"hidden_size": Choices((4, 8))}


@pytest.mark.parametrize(
    ("table", "only", "message"),
    [
        ({"hidden_sise": [8]}, (), "did you mean 'hidden_size'"),
        ({"seed": [0, 1]}, (), "no setting to search; got 'seed'"),
        ({"hidden_size": [0]}, (), "model.hidden_size; got 0"),
        ({"hidden_size": ["many"]}, (), "a whole number"),
        ({"hidden_size": 8}, (), "a list of values"),
        ({"hidden_size": []}, (), "a list of values"),
        ({"hidden_size": {"low": 8.5, "high": 16}}, (), "a whole number"),
        ({"hidden_size": {"low": 16, "high": 8}}, (), "low below high"),
        ({"hidden_size": {"low": 8}}, (), "lacks the key 'high'"),
        ({"dropout": {"low": 0.0, "high": 0.5, "log": True}}, (), "low above 0"),
        ({"cell": {"low": 1, "high": 2}}, (), "only a number has a range"),
        ({"cell": ["rnn"]}, (), "lstm, gru"),
        ({}, ["weight_decay"], "no default range of weight_decay"),
        ({}, ["epochs"], "no setting to search; got 'epochs'"),
    ],
)
def test_what_cannot_be_searched_is_refused(table, only, message):
    with pytest.raises(ConfigError, match=message) as caught:
        search_space(CONFIG, DATA, table, only)
    assert "\n" not in str(caught.value)


def test_settings_are_put_into_their_tables():
    changed = with_settings(CONFIG, {"hidden_size": 5, "learning_rate": 0.5})
    assert (changed.model.hidden_size, changed.training.learning_rate) == (5, 0.5)
    assert changed.data == CONFIG.data
    assert own_settings(changed, ["learning_rate", "hidden_size"]) == {"learning_rate": 0.5, "hidden_size": 5}
