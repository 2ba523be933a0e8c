import numpy as np
import pytest
import torch
from sensor_tables import Silent, data_config, sensor_table, wave

from toolkit.data import build_dataset
from toolkit.errors import ModelError
from toolkit.model import MultivariateLSTM
from toolkit.training import TrainConfig
from toolkit.training.loop import _mixed, fit
from toolkit.training.objective_choice import objective_of
from toolkit.training.objectives import WindowObjective, mean_loss

QUICK = {"max_epochs": 4, "min_epochs": 1, "batch_size": 16, "learning_rate": 0.01}


def learnable():
    """A wave that the rows before it tell of."""
    table = sensor_table(wave(240), ("temperature", "pressure"))
    return build_dataset(table, data_config("plant.csv"))


def misleading():
    """The temperature follows the pressure of the row before, and its opposite from the validation rows on."""
    pressure = np.random.default_rng(0).standard_normal(300)
    sign = np.where(np.arange(300) < 200, 1.0, -1.0)
    temperature = np.concatenate([[0.0], (sign * pressure)[:-1]])
    table = sensor_table(np.stack([temperature, pressure], axis=1), ("temperature", "pressure"))
    return build_dataset(table, data_config("plant.csv", horizon=1, borders=(200, 250, 300)))


def trained(data, progress=Silent(), **changes):  # noqa: B008 # it holds nothing
    torch.manual_seed(0)
    model = MultivariateLSTM(2, 8, horizon=data.horizon, targets=1, batch_first=True)
    model.set_scaling(data.mean, data.std, data.target_indices)
    config = TrainConfig(**{**QUICK, **changes})
    return model, fit(objective_of(model, data, config), config, config.seed, progress)


def same_weights(first, second):
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_the_loss_goes_down():
    _, result = trained(learnable(), max_epochs=8)
    losses = [record.train_loss for record in result.records]
    assert losses[-1] < losses[0] / 2
    assert result.records[-1].validation_loss < result.records[0].validation_loss / 2


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_the_same_seed_gives_the_same_bits(optimizer):
    settings = {"optimizer": optimizer, "weight_decay": 0.1, "max_epochs": 2}
    (first, ours), (second, theirs) = (trained(learnable(), **settings) for _ in range(2))
    assert same_weights(first, second)
    assert [r.train_loss for r in ours.records] == [r.train_loss for r in theirs.records]
    other, _ = trained(learnable(), **settings, seed=1)
    assert not same_weights(first, other)


def test_early_stopping_keeps_the_weights_of_the_best_epoch():
    model, result = trained(misleading(), max_epochs=40, patience=3)
    losses = [record.validation_loss for record in result.records]
    assert result.best_epoch == 1 + int(np.argmin(losses))
    assert len(result.records) == result.best_epoch + 3 < 40
    assert [record.epoch for record in result.records if record.best][-1] == result.best_epoch
    until_best, _ = trained(misleading(), max_epochs=result.best_epoch, patience=3)
    assert same_weights(model, until_best)
    assert mean_loss(model, misleading(), "validation") == min(losses)
    assert not model.training


def test_early_stopping_does_not_look_before_the_least_number_of_epochs():
    _, result = trained(misleading(), max_epochs=40, patience=1, min_epochs=15)
    assert len(result.records) >= 15
    assert result.best_epoch < 14


def test_a_loss_that_is_no_number_is_one_line():
    with pytest.raises(ModelError, match=r"training diverged; got a loss of .* in epoch 1; fix: a lower training.l"):
        trained(learnable(), learning_rate=1e30)


def test_a_training_loss_that_is_no_number_is_told_whatever_validation_says(monkeypatch):
    monkeypatch.setattr(WindowObjective, "validation", lambda self: 1.0)
    with pytest.raises(ModelError, match="training diverged; got a loss of nan in epoch 1"):
        trained(learnable(), learning_rate=1e30)


def test_every_seed_epoch_and_process_draws_its_own_dropout():
    drawn = {_mixed(seed, epoch, rank) for seed in range(3) for epoch in range(1, 40) for rank in range(9)}
    assert len(drawn) == 3 * 39 * 9


class Watching(Silent):
    def __init__(self):
        self.batches, self.epochs = [], []

    def on_batch(self, epoch, done, total, loss):
        self.batches.append((epoch, done, total))

    def on_epoch(self, record):
        self.epochs.append(record)


def test_progress_hears_of_every_batch_and_every_epoch():
    watching, data = Watching(), learnable()
    _, result = trained(data, max_epochs=2, progress=watching)
    total = -(-len(data.starts["train"]) // 16)
    assert watching.batches == [(epoch, done, total) for epoch in (1, 2) for done in range(1, total + 1)]
    assert tuple(watching.epochs) == result.records


def test_a_clipped_gradient_takes_another_way():
    free, _ = trained(learnable(), max_epochs=1, clip_norm=0.0)
    clipped, _ = trained(learnable(), max_epochs=1, clip_norm=0.1)
    assert not same_weights(free, clipped)


def test_the_loss_is_in_standard_deviations_over_all_windows():
    data = learnable()
    model, _ = trained(data, max_epochs=1)
    x, y = data.gather(data.starts["validation"])
    truth = (y.double() - data.mean[0]) / data.std[0]
    with torch.inference_mode():
        expected = (model.standardised(x).double() - truth).square().mean()
    assert mean_loss(model, data, "validation") == pytest.approx(float(expected), rel=1e-5)


def test_the_learning_rate_follows_its_schedule():
    _, constant = trained(learnable(), max_epochs=5)
    assert [record.learning_rate for record in constant.records] == [0.01] * 5
    _, decay = trained(learnable(), max_epochs=5, schedule="decay")
    np.testing.assert_allclose([r.learning_rate for r in decay.records], [0.01, 0.01, 0.01, 0.009, 0.0081])
    _, cosine = trained(learnable(), max_epochs=4, schedule="cosine")
    wanted = 0.005 * (1 + np.cos(np.pi * np.arange(4) / 4))
    np.testing.assert_allclose([r.learning_rate for r in cosine.records], wanted)


def test_a_decaying_rate_changes_what_is_learnt():
    (first, _), (second, _) = (trained(learnable(), max_epochs=5, schedule=kind) for kind in ("constant", "decay"))
    assert not same_weights(first, second)


@pytest.mark.parametrize("kind", ["mse", "mae", "huber"])
def test_each_loss_is_the_one_that_is_minimised_and_reported(kind):
    data = learnable()
    model, result = trained(data, loss=kind, max_epochs=2)
    x, y = data.gather(data.starts["validation"])
    with torch.no_grad():
        error = (model.last_standardised(x) - (y - model.output_offset) / model.output_scale).double().abs()
    by_hand = {"mse": error**2, "mae": error, "huber": torch.where(error < 1, error**2 / 2, error - 0.5)}[kind]
    assert mean_loss(model, data, "validation", kind) == pytest.approx(float(by_hand.mean()), rel=1e-5)
    best = min(record.validation_loss for record in result.records)
    assert best == pytest.approx(float(by_hand.mean()), rel=1e-5)
