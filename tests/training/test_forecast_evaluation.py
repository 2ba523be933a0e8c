"""One pass over the windows finds what each forecast alone is scored with."""

import dataclasses

import numpy as np
import pytest
import torch
from sensor_tables import data_config, sensor_table, wave

from toolkit.data import build_dataset
from toolkit.model import MultivariateLSTM
from toolkit.signal.baselines import persistence
from toolkit.training.forecast_evaluation import evaluate
from toolkit.training.forecaster import batches, forecaster_of_model, own_windows
from toolkit.training.intervals import interval_scores
from toolkit.training.scoring import Comparison, compare

NAMES = ("temperature", "pressure")

RESOLUTION = 5e-4
"""A dataset holds 101 325 +- 50 in float32, in steps of 0.008; the table that is evaluated holds it in float64."""


def judged(assets=None, quantiles=(), count=1_200):
    """A table of more test windows than a batch holds, its dataset and an untrained model."""
    table = sensor_table(wave(count), NAMES, assets)
    data = build_dataset(table, data_config("plant.csv", targets=("pressure", "temperature"), split=(0.4, 0.2, 0.4)))
    torch.manual_seed(0)
    model = MultivariateLSTM(2, 8, horizon=3, targets=2, batch_first=True, quantiles=quantiles).eval()
    model.set_scaling(data.mean, data.std, data.target_indices)
    return table, data, model


def evaluated(table, data, model, season=None):
    return evaluate(forecaster_of_model("own", model, data.signal, 12, 3), own_windows(table, data, season or 12))


def test_a_run_s_evaluation_has_the_scores_of_each_forecast_alone():
    table, data, model = judged()
    found, alone = evaluated(table, data, model, season=7), compare(model, data, season=7)
    assert found.windows == len(data.starts["test"]) > 256
    assert found.season == 7
    assert found.baselines.keys() == alone.baselines.keys()
    for ours, theirs in (
        (found.model, alone.model),
        *((found.baselines[n], alone.baselines[n]) for n in alone.baselines),
    ):
        assert ours.test.mse == pytest.approx(theirs.test.mse, rel=RESOLUTION)
        assert ours.test_standardised.mae == pytest.approx(theirs.test_standardised.mae, rel=RESOLUTION)
        assert ours.per_target["temperature"].mse == pytest.approx(theirs.per_target["temperature"].mse, rel=RESOLUTION)
    assert found.verdict == Comparison(found.model, found.baselines, 7).verdict


def test_an_interval_is_scored_in_the_same_pass():
    table, data, model = judged(quantiles=(0.1, 0.5, 0.9))
    found, alone = evaluated(table, data, model).interval, interval_scores(model, data)
    assert found.coverage == pytest.approx(alone.coverage, abs=2e-3)
    assert found.pinball == pytest.approx(alone.pinball, rel=RESOLUTION)
    assert found.width == pytest.approx(alone.width, rel=RESOLUTION)


def test_a_baselines_errors_by_step_by_hand():
    table, data, model = judged()
    found = evaluated(table, data, model)
    x, y = (each.double().numpy() for each in data.gather(data.starts["test"]))
    error = (persistence(x[:, :, [1, 0]], 3) - y) / data.std[[1, 0]].numpy()
    by_step = found.baselines_by_step["persistence"]
    np.testing.assert_allclose([each.mse for each in by_step], np.square(error).mean(axis=(0, 2)), rtol=1e-4)
    np.testing.assert_allclose([each.mae for each in by_step], np.abs(error).mean(axis=(0, 2)), rtol=1e-4)
    assert found.baselines_by_step.keys() == found.baselines.keys()


def test_examples_are_the_extremes_of_all_windows():
    table, data, model = judged(assets=np.repeat([0, 1, 2], 400))
    found = evaluated(table, data, model)
    x, y = data.gather(data.starts["test"])
    with torch.inference_mode():
        error = (model(x) - y).double().numpy()[..., 1]  # temperature, the second target
    squares = np.square(error).mean(axis=1)
    best, _, worst = (each for each in found.examples if each.target == "temperature")
    for example, window in ((best, squares.argmin()), (worst, squares.argmax())):
        row = int(data.starts["test"][window]) + 12
        np.testing.assert_allclose(example.truth, table.values[row : row + 3, 0])
        assert example.asset == str(table.assets[row])
        assert example.error == pytest.approx(np.abs(error[window]).mean(), rel=1e-3)
        assert example.baselines.keys() == {"persistence", "seasonal", "linear"}
        np.testing.assert_allclose(example.baselines["persistence"], np.float32(table.values[row - 1, 0]))


def test_channels_that_the_dataset_left_out_are_not_shown_to_the_model():
    table, data, model = judged()
    wide = dataclasses.replace(
        table, values=np.insert(table.values, 1, 5.0, axis=1), channel_names=("temperature", "still", "pressure")
    )
    forecaster = forecaster_of_model("own", model, data.signal, 12, 3)
    first, second = (next(batches(forecaster, own_windows(each, data, 12))) for each in (table, wide))
    np.testing.assert_array_equal(first.x, second.x)
    np.testing.assert_array_equal(first.truth, second.truth)
