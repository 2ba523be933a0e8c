import dataclasses

import numpy as np
import pytest
import torch
from sensor_tables import data_config, sensor_table, wave

from toolkit.contract.reports import Errors, Scores
from toolkit.data import DataConfig, build_dataset, read_table
from toolkit.model import MultivariateLSTM
from toolkit.signal.baselines import persistence, seasonal_naive
from toolkit.training.scoring import Comparison, compare, linear_baseline, score

BORDERS = (8_640, 11_520, 14_400)
LOADS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")


def two_targets():
    table = sensor_table(wave(300), ("temperature", "pressure"))
    return build_dataset(table, data_config("plant.csv", targets=("pressure", "temperature")))


def by_hand(data, forecast):
    """Errors in standard deviations `[windows, horizon, targets]`, one window after the other."""
    rows, errors = data.rows.numpy().astype(np.float64), []
    mean, std = (figures.numpy() for figures in (data.mean, data.std))
    standard, channels = (rows - mean) / std, [1, 0]
    for start in data.starts["test"].tolist():
        history = standard[start : start + 12][:, channels]
        truth = standard[start + 12 : start + 15][:, channels]
        errors.append(forecast(history) - truth)
    return np.array(errors), std[channels]


BASELINES = {
    "persistence": lambda history: np.repeat(history[-1:], 3, axis=0),
    "seasonal": lambda history: history[-7:-4],
}


@pytest.mark.parametrize("name", list(BASELINES))
def test_baselines_are_scored_on_the_model_s_own_windows(name):
    data = two_targets()
    errors, std = by_hand(data, BASELINES[name])
    model = MultivariateLSTM(2, 8, horizon=3, targets=2, batch_first=True).eval()
    scores = compare(model, data, season=7).baselines[name]
    assert scores.test_standardised.mse == pytest.approx(np.square(errors).mean())
    assert scores.test_standardised.mae == pytest.approx(np.abs(errors).mean())
    assert scores.test.mse == pytest.approx(np.square(errors * std).mean())
    assert scores.test.mae == pytest.approx(np.abs(errors * std).mean())
    assert list(scores.per_target) == ["pressure", "temperature"]
    assert scores.per_target["pressure"].mae == pytest.approx(np.abs(errors * std)[..., 0].mean())
    assert scores.per_target["temperature"].mse == pytest.approx(np.square(errors * std)[..., 1].mean())


def test_the_linear_baseline_sees_the_training_windows_alone():
    data = two_targets()
    found = compare(MultivariateLSTM(2, 8, horizon=3, targets=2, batch_first=True).eval(), data, season=7)
    assert found.baselines["linear"].test_standardised.mse > 0
    changed = dataclasses.replace(data, rows=torch.where(data.train_rows[:, None], data.rows, data.rows + 1e3))
    first = int(data.starts["train"][0])
    window = data.rows[first : first + 12, [1, 0]].double().numpy()[None]
    np.testing.assert_array_equal(linear_baseline(data).forecast(window), linear_baseline(changed).forecast(window))


def test_a_model_is_scored_on_its_raw_forecast():
    data = two_targets()
    torch.manual_seed(0)
    model = MultivariateLSTM(2, 8, horizon=3, targets=2, batch_first=True).eval()
    model.set_scaling(data.mean, data.std, data.target_indices)
    x, y = data.gather(data.starts["test"])
    with torch.inference_mode():
        errors = (model(x) - y).double()
    scores = compare(model, data, season=None).model
    assert scores.test.mse == pytest.approx(float(errors.square().mean()))
    assert scores.test_standardised.mae == pytest.approx(float((errors / data.std[[1, 0]]).abs().mean()))


def test_the_season_is_found_unless_it_is_given():
    data, model = two_targets(), MultivariateLSTM(2, 8, horizon=3, targets=2, batch_first=True).eval()
    assert compare(model, data, season=None).season == 12
    assert compare(model, data, season=5).season == 5


def scores_of(mse, mae):
    return Scores(Errors(0.0, 0.0), Errors(mse, mae))


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (
            (0.5, 0.8),
            "beats persistence by 50.0 % and seasonal by 75.0 % in mean squared error; "
            "beats persistence by 20.0 % and seasonal by 60.0 % in mean absolute error",
        ),
        (
            (3.0, 3.0),
            "loses to persistence by 200.0 % and seasonal by 50.0 % in mean squared error; "
            "loses to persistence by 200.0 % and seasonal by 50.0 % in mean absolute error: do not deploy this",
        ),
        (
            (1.5, 0.5),
            "beats seasonal by 25.0 % in mean squared error; loses to persistence by 50.0 % in mean squared error; "
            "beats persistence by 50.0 % and seasonal by 75.0 % in mean absolute error: do not deploy this",
        ),
        (
            (0.5, 1.5),
            "beats persistence by 50.0 % and seasonal by 75.0 % in mean squared error; "
            "beats seasonal by 25.0 % in mean absolute error; loses to persistence by 50.0 % in mean absolute error: "
            "a mixed result, to be weighed before it is deployed",
        ),
    ],
    ids=["win", "loss", "mixed", "squared won, absolute lost"],
)
def test_the_verdict_says_plainly_what_the_model_is_worth(model, sentence):
    baselines = {"persistence": scores_of(1.0, 1.0), "seasonal": scores_of(2.0, 2.0)}
    assert Comparison(scores_of(*model), baselines, 24).verdict == sentence


@pytest.mark.parametrize("own", [1.0, 0.9996, 1.0004])
def test_a_draw_is_no_gain(own):
    verdict = Comparison(scores_of(own, 1.0), {"persistence": scores_of(1.0, 1.0)}, 24).verdict
    assert verdict.startswith("is no better than persistence in mean squared error; ")
    assert verdict.endswith(": do not deploy this")


@pytest.fixture(scope="module")
def etth1(sensor_data):
    config = DataConfig(
        str(sensor_data / "ett" / "ETTh1.csv"), "date", LOADS, window_length=96, horizon=96, borders=BORDERS
    )
    return build_dataset(read_table(config), config)


@pytest.mark.data
def test_etth1_is_split_as_in_the_literature(etth1):
    assert etth1.signal.interval_s == 3600.0
    assert int(etth1.train_rows.sum()) == 8_640
    assert {part: len(starts) for part, starts in etth1.starts.items()} == {
        "train": 8_640 - 191, "validation": 2_880 - 95, "test": 2_785,
    }  # fmt: skip
    assert int(etth1.starts["test"][0]) == 11_520 - 96
    assert int(etth1.starts["test"][-1]) == 14_400 - 192


@pytest.mark.data
@pytest.mark.parametrize(
    ("forecast", "mse", "mae"),
    [(lambda x: persistence(x, 96), 1.294, 0.713), (lambda x: seasonal_naive(x, 96, 24), 0.512, 0.433)],
    ids=["persistence", "24 hours"],
)
def test_baselines_on_etth1_have_the_published_errors(etth1, forecast, mse, mae):
    scores = score(etth1, forecast).test_standardised
    assert scores.mse == pytest.approx(mse, abs=5.1e-4)
    assert scores.mae == pytest.approx(mae, abs=5.1e-4)


@pytest.mark.data
def test_the_linear_baseline_of_etth1(etth1):
    scores = score(etth1, linear_baseline(etth1).forecast).test_standardised
    assert scores.mse == pytest.approx(0.383, abs=1e-3)
    assert scores.mae == pytest.approx(0.392, abs=1e-3)


@pytest.mark.data
def test_the_oil_temperature_of_etth1_repeats_every_24_hours(sensor_data):
    config = DataConfig(
        str(sensor_data / "ett" / "ETTh1.csv"), "date", ("OT",), window_length=96, horizon=24, borders=BORDERS
    )
    data = build_dataset(read_table(config), config)
    model = MultivariateLSTM(7, 8, horizon=24, targets=1, batch_first=True).eval()
    assert compare(model, data, season=None).season == 24
