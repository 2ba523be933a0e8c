"""Several seeds: which are trained, where, and which one is kept."""

from types import SimpleNamespace

import pytest
import torch
from sensor_tables import Silent, data_config, run_config, sensor_table, wave

from toolkit.data import build_dataset
from toolkit.errors import ConfigError
from toolkit.training import TrainConfig
from toolkit.training.run import model_spec
from toolkit.training.seeds import best_of, device_of, train_seeds


class Listening(Silent):
    def __init__(self):
        self.heard = []

    def on_seed(self, seed, number, total):
        self.heard.append((seed, number, total))


def trained(**training):
    config = run_config("plant.csv", max_epochs=1, min_epochs=1, seed=5, **training)
    data = build_dataset(sensor_table(wave(240), ("temperature", "pressure")), data_config("plant.csv"))
    listening = Listening()
    return train_seeds(model_spec(config, data), data, config, listening), listening.heard


def test_seeds_follow_one_another_and_each_is_a_training_of_its_own():
    found, heard = trained(seeds=2)
    assert heard == [(5, 1, 2), (6, 2, 2)]
    assert [one.seed for one in found] == [5, 6]
    first, second = (dict(one.model.named_parameters()) for one in found)
    assert any(not torch.equal(first[name], second[name]) for name in first)
    ((alone,), _) = trained()
    assert all(torch.equal(first[name], each) for name, each in alone.model.named_parameters())


def test_the_best_validation_loss_wins():
    losses = (0.5, 0.25, 0.75)
    assert best_of([SimpleNamespace(validation_loss=loss) for loss in losses]).validation_loss == 0.25


@pytest.mark.parametrize(
    ("device", "precision", "there", "wanted"),
    [
        ("auto", "float32", False, "cpu"),
        ("cpu", "float32", True, "cpu"),
        ("auto", "mixed", True, "cuda:0"),
        ("cuda", "float32", True, "cuda:0"),
    ],
)
def test_where_it_trains(monkeypatch, device, precision, there, wanted):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    assert str(device_of(TrainConfig(device=device, precision=precision))) == wanted


@pytest.mark.parametrize(
    ("device", "precision", "there", "words"),
    [
        ("cuda", "float32", False, r"training\.device; got cuda; allowed: cpu"),
        ("cpu", "mixed", True, r"training\.precision; got mixed on the CPU"),
        ("auto", "mixed", False, r"training\.precision; got mixed on the CPU"),
    ],
)
def test_where_it_cannot_train(monkeypatch, device, precision, there, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    with pytest.raises(ConfigError, match=words):
        device_of(TrainConfig(device=device, precision=precision))


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 16 bytes", MemoryError, "fix: a smaller"),
        ("a shape", RuntimeError, "a shape"),
    ],
)
def test_a_lack_of_memory_is_said_as_such(monkeypatch, said, kind, words):
    def refuses(*_):
        raise RuntimeError(said)

    monkeypatch.setattr("toolkit.training.seeds.fresh_model", refuses)
    with pytest.raises(kind, match=words):
        trained()
