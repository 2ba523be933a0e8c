import pytest
from sensor_tables import data_config, sensor_table, wave

from toolkit.data import build_dataset
from toolkit.training import ModelConfig
from toolkit.training.defaults import patch_length, settled


@pytest.fixture(scope="module")
def dataset():
    """A wave that repeats every 12 rows."""
    table = sensor_table(wave(400), ("temperature", "pressure"))
    return build_dataset(table, data_config("plant.csv", window_length=36))


def left_open(model):
    return model.num_layers, model.normalisation, model.patch_length, model.channel_mixing


def test_what_is_left_open_is_what_wins_among_windowed_models(dataset):
    assert left_open(settled(ModelConfig(), dataset, None)) == (1, "revin", 12, "independent")
    assert left_open(settled(ModelConfig(), dataset, 9)) == (1, "revin", 9, "independent")


@pytest.mark.parametrize("plain", [{"streaming": True}, {"head": "every"}, {"task": "classify"}])
def test_what_cannot_read_windows_is_the_plain_one(dataset, plain):
    assert left_open(settled(ModelConfig(**plain), dataset, None)) == (2, "none", 1, "joint")


def test_what_was_said_stays(dataset):
    said = ModelConfig(num_layers=3, normalisation="none", patch_length=1, channel_mixing="joint")
    assert settled(said, dataset, None) == said


def test_a_patch_is_a_season_that_goes_into_the_window_twice():
    assert [patch_length(window, 24) for window in (96, 48, 47, 3, 1)] == [24, 24, 11, 1, 1]
    assert patch_length(60, 1) == 15
