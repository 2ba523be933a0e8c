"""Quantiles are learnt, and what is told of them is what a count by hand gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sensor_tables import Silent, data_config, sensor_table

from toolkit.contract.signals import Channel, SignalSpec
from toolkit.data import build_dataset
from toolkit.errors import ConfigError
from toolkit.model import MultivariateLSTM
from toolkit.training import ModelConfig, RunConfig, TrainConfig, training_config
from toolkit.training.intervals import IntervalSums, interval_scores
from toolkit.training.quantiles import PinballObjective, pinball
from toolkit.training.run import model_spec
from toolkit.training.seeds import train_seeds

LEVELS = (0.1, 0.5, 0.9)


def noise(count=3_000):
    """Readings without a pattern: nothing but their spread can be forecast, 10 at the 10 % quantile and 90 at 90 %."""
    values = np.random.default_rng(0).uniform(0.0, 100.0, (count, 2))
    return build_dataset(sensor_table(values, ("temperature", "pressure")), data_config("plant.csv", horizon=2))


def settings(**training):
    quick = {"loss": "quantile", "max_epochs": 8, "min_epochs": 1, "learning_rate": 0.01, "device": "cpu"}
    return RunConfig(
        data_config("plant.csv", horizon=2),
        ModelConfig(4, 1, normalisation="none", patch_length=1, channel_mixing="joint", quantiles=LEVELS),
        TrainConfig(**{**quick, **training}),
    )


def test_an_interval_holds_what_it_promises():
    data, config = noise(), settings()
    (trained,) = train_seeds(model_spec(config, data), data, config, Silent())
    scores = interval_scores(trained.model, data)
    assert scores.nominal == pytest.approx(0.8)
    assert scores.coverage == pytest.approx(0.8, abs=0.04)
    assert scores.width == pytest.approx(80.0, abs=5.0)
    np.testing.assert_allclose(scores.below, LEVELS, atol=0.04)


def test_the_pinball_loss_by_hand():
    answers, truth = torch.tensor([[1.0, 2.0, 5.0]]), torch.tensor([3.0])
    assert pinball(answers, truth, torch.tensor(LEVELS)).tolist() == [[pytest.approx(x) for x in (0.2, 0.5, 0.2)]]


def test_the_loss_is_that_of_every_quantile_in_standard_deviations():
    data, config = noise(300), settings(max_epochs=1)
    (trained,) = train_seeds(model_spec(config, data), data, config, Silent())
    x, y = data.gather(data.starts["validation"])
    with torch.inference_mode():
        _, quantiles = trained.model(x)
    error = (y[..., None] - quantiles).double().numpy() / float(data.std[0])
    levels = np.array(LEVELS)
    by_hand = np.where(error > 0, levels * error, (levels - 1) * error).mean()
    objective = PinballObjective(trained.model, data)
    assert objective.validation() == pytest.approx(by_hand, rel=1e-4)
    assert objective(data.starts["validation"]).item() == pytest.approx(by_hand, rel=1e-4)


SIGNAL = SignalSpec(
    (Channel("t", "t", "value", "degC"), Channel("p", "p", "value", "Pa")), ("t", "p"), 60.0
)  # fmt: skip


def test_an_interval_is_scored_target_by_target():
    sums = IntervalSums.empty(LEVELS, 2, np.array([1.0, 100.0]))
    quantiles = np.array([[[[0.0, 1.0, 2.0], [0.0, 100.0, 400.0]]]])  # [windows, horizon, targets, quantiles]
    sums.add(quantiles, np.array([[[2.0, 500.0]]]))
    sums.add(quantiles, np.array([[[1.0, 0.0]]]))
    scores = sums.scores(SIGNAL)
    assert scores.coverage == 0.75
    assert scores.below == (0.25, 0.5, 0.75)
    assert scores.width_per_target == {"t": 2.0, "p": 400.0}
    assert (scores.width, scores.unit) == (3.0, "standard deviations")
    first = (0.1 * 2 + 0.5 * 1 + 0.0 + 0.1 * 1 + 0.0 + 0.1 * 1) / 6
    second = (0.1 * 5 + 0.5 * 4 + 0.9 * 1 + 0.0 + 0.5 * 1 + 0.1 * 4) / 6
    assert scores.pinball == pytest.approx((first + second) / 2)
    assert scores.sentence == "80 % interval covers 75.0 % of the readings, mean width 3 standard deviations"
    assert replace(sums, scale=None).scores(SIGNAL).unit == "mixed units"


def test_one_target_is_told_in_its_own_unit():
    sums = IntervalSums.empty(LEVELS, 1, None)
    sums.add(np.array([[[[0.0, 1.0, 2.0]]]]), np.array([[[3.0]]]))
    scores = sums.scores(replace(SIGNAL, targets=("t",)))
    assert scores.sentence == "80 % interval covers 0.0 % of the readings, mean width 2 degC"


def test_quantiles_and_their_loss_go_together():
    for model, training in (
        (ModelConfig(quantiles=LEVELS), TrainConfig()),
        (ModelConfig(), TrainConfig(loss="quantile")),
    ):
        with pytest.raises(
            ConfigError, match=r"quantiles and their loss go together; got .*; fix: --set training.loss="
        ):
            RunConfig(data_config("plant.csv"), model, training)


@pytest.mark.parametrize("levels", ["[0.1, 0.9]", "[0.5]", "[0.9, 0.5]", "[0.5, 1.0]"])
def test_quantiles_around_no_median(levels):
    data = {"file": "plant.csv", "timestamp": "time", "targets": ["temperature"]}
    with pytest.raises(ConfigError, match=r"model.quantiles; got .*allowed: two or more rising numbers"):
        training_config(None, data, [f"model.quantiles={levels}", "training.loss=quantile"])


def test_a_model_without_quantiles_has_no_interval():
    data = noise(300)
    model = MultivariateLSTM(2, 4, horizon=2, targets=1, batch_first=True).eval()
    assert interval_scores(model, data) is None
