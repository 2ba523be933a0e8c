"""A load that follows the weekday: a model that is told the calendar beats one that is not, and is exported whole."""

import dataclasses

import numpy as np
import pytest
import torch
from sensor_tables import Silent, data_config, lines, write

from toolkit.data.tables import read_channels
from toolkit.errors import ConfigError, ModelError
from toolkit.model.lstm import MultivariateLSTM, model_from_spec
from toolkit.model.normalisation import WindowNormalisation
from toolkit.parity.bundle import check_bundle, grid_of
from toolkit.release import build_bundle
from toolkit.runtime.bundle import load_bundle
from toolkit.training import ModelConfig, RunConfig, TrainConfig, load_run, train

HOURS = 24 * 7 * 8


def weekly_load(folder):
    """Hourly load with a level for each weekday: 6 hours of it say which level, not which comes next."""
    hours = np.arange(HOURS)
    levels = np.array([5.0, 1.0, 8.0, 3.0, 9.0, 0.0, 6.0])[hours // 24 % 7]
    load = levels + 0.1 * np.random.default_rng(0).standard_normal(HOURS)
    times = [str(np.datetime64("2026-01-05T00:00:00") + np.timedelta64(int(hour), "h")) for hour in hours]
    return write(folder, lines("time,load", times, load.tolist()), "load.csv")


def config_of(path, calendar, **model):
    data = data_config(path, targets=("load",), window_length=6, horizon=3, calendar=calendar)
    shape = {"normalisation": "last", "patch_length": 1, "channel_mixing": "joint"}
    return RunConfig(
        data,
        ModelConfig(16, 1, **{**shape, **model}),
        TrainConfig(max_epochs=12, batch_size=32, learning_rate=0.02, schedule="cosine"),
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return weekly_load(tmp_path_factory.mktemp("load"))


@pytest.fixture(scope="module")
def told(path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "told"
    train(config_of(path, ("hour", "weekday")), folder, Silent())
    return load_run(folder)


def test_a_model_that_is_told_the_calendar_is_better(told, path, tmp_path):
    untold = train(config_of(path, ()), tmp_path / "untold", Silent())
    assert told.report["test_standardised"]["mse"] < 0.5 * untold.test_standardised.mse


def test_it_is_exported_proven_and_fed_from_a_table(told, path, tmp_path):
    bundle = load_bundle(build_bundle(told, tmp_path / "bundle").folder)
    assert bundle.manifest.signal.calendar_channels == bundle.manifest.model.calendar_channels == 4
    assert bundle.manifest.signal.timezone == "UTC"
    assert check_bundle(bundle, grid_of(bundle, quick=True)).passed
    table = read_channels(path, "time", bundle.manifest.signal)
    x = table.values[None, :6].astype(np.float32)
    with torch.no_grad():
        wanted = told.model(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(bundle.windowed().predict(x), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["last", "revin"])
def test_window_normalisation_leaves_the_calendar(kind):
    window = torch.randn(7, 2, 5)  # [sequence, batch, channels]
    readings, own_level, own_spread = WindowNormalisation(kind)(window[..., :3])
    normalised, level, spread = WindowNormalisation(kind, 5, 2)(window)
    np.testing.assert_allclose(normalised[..., :3].numpy(), readings.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(normalised[..., 3:].numpy(), window[..., 3:].numpy())
    np.testing.assert_allclose(level.numpy(), np.pad(own_level.numpy(), ((0, 0), (0, 2))), rtol=1e-5, atol=1e-6)
    if spread is not None:
        own = np.pad(own_spread.numpy(), ((0, 0), (0, 2)), constant_values=1)
        np.testing.assert_allclose(spread.numpy(), own, rtol=1e-5)


def test_the_mask_is_no_weight(told):
    assert "normalise.normalised" not in told.model.state_dict()
    plain = MultivariateLSTM(3, 4, horizon=2, targets=1, normalisation="revin")
    assert plain.normalise.normalised is None


def test_revin_with_a_calendar_is_exported(path, tmp_path):
    config = config_of(path, ("weekday",), normalisation="revin", patch_length=2)
    train(dataclasses.replace(config, training=TrainConfig(max_epochs=1)), tmp_path / "run", Silent())
    bundle = load_bundle(build_bundle(load_run(tmp_path / "run"), tmp_path / "bundle").folder)
    assert check_bundle(bundle, grid_of(bundle, quick=True)).passed


def test_channels_by_themselves_are_refused(told, path):
    with pytest.raises(ConfigError, match=r"data.calendar tells nothing where each channel runs by itself"):
        config_of(path, ("hour",), channel_mixing="independent")
    spec = told.record.model
    with pytest.raises(ModelError, match="tell nothing where each channel runs by itself"):
        dataclasses.replace(spec, channel_mixing="independent")
    with pytest.raises(ModelError, match="calendar_channels; got 5; allowed: channels at the end, no target"):
        dataclasses.replace(spec, calendar_channels=5)
    assert model_from_spec(spec).normalise.normalised.tolist() == [True, False, False, False, False]
