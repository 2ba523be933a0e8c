import json

import pytest
from sensor_tables import Silent, run_config
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from toolkit.errors import OutputError
from toolkit.training import train
from toolkit.training.checkpoint import EpochRecord
from toolkit.training.listeners import Listeners
from toolkit.training.tensorboard import TensorBoard


def read(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def curve(events, tag):
    return {event.step: event.value for event in events.Scalars(tag)}


def record(epoch, loss=1.0):
    return EpochRecord(epoch, loss, loss, 0.01, 2.0, True)


def test_curves_settings_and_test_errors_are_read_back(plant, tmp_path):
    config = run_config(plant, max_epochs=2)
    with TensorBoard(tmp_path / "board", config) as board:
        report = train(config, tmp_path / "run", board)
        board.on_report(report)
    events = read(tmp_path / "board")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    for tag, name in (
        ("loss/train", "train_loss"),
        ("loss/validation", "validation_loss"),
        ("learning_rate", "learning_rate"),
        ("seconds", "seconds"),
    ):
        assert curve(events, tag) == {line["epoch"]: pytest.approx(line[name], rel=1e-6) for line in lines}
    assert set(curve(events, "windows_per_second")) == {1, 2}
    assert all(value > 0 for value in curve(events, "windows_per_second").values())
    text = events.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    assert config.to_toml() in text
    assert events.Scalars("test/mse")[0].value == pytest.approx(report.test_standardised.mse, rel=1e-6)
    hparams = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    assert b"hidden_size" in hparams


def test_windows_per_second_are_of_whole_batches(plant, tmp_path):
    """Between the first step and the last but one: 3 batches of 16 in 2 seconds."""
    moments = iter([10.0, 12.0, 20.0])
    with TensorBoard(tmp_path, run_config(plant), clock=lambda: next(moments)) as board:
        for done in range(1, 6):
            board.on_batch(1, done, 5, 1.0)
        board.on_epoch(record(1))
        board.on_batch(2, 1, 1, 1.0)  # one step alone says nothing
        board.on_epoch(record(2))
    assert curve(read(tmp_path), "windows_per_second") == {1: 3 * 16 / 2.0}


def test_a_training_that_goes_on_goes_on_with_its_curves(plant, tmp_path):
    for epochs in ([1, 2, 3], [2, 3, 4]):
        with TensorBoard(tmp_path, run_config(plant)) as board:
            for epoch in epochs:
                board.on_epoch(record(epoch, loss=epochs[0]))
    assert curve(read(tmp_path), "loss/train") == {1: 1.0, 2: 2.0, 3: 2.0, 4: 2.0}


def test_each_seed_has_a_folder(plant, tmp_path):
    with TensorBoard(tmp_path, run_config(plant)) as board:
        for number, seed in enumerate((7, 8), 1):
            board.on_seed(seed, number, 2)
            board.on_epoch(record(1, loss=seed))
    assert [curve(read(tmp_path / f"seed-{seed}"), "loss/train")[1] for seed in (7, 8)] == [7.0, 8.0]


def test_nothing_is_written_before_the_first_epoch(plant, tmp_path, trained):
    with TensorBoard(tmp_path / "board", run_config(plant)) as board:
        board.on_seed(0, 1, 1)
        board.on_batch(1, 1, 1, 1.0)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused(plant, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "board"):
        with pytest.raises(OutputError, match="which is no folder"):
            TensorBoard(place, run_config(plant))


def test_every_listener_is_told_in_order():
    heard = []

    class Ear(Silent):
        def __init__(self, name):
            self.name = name

        def on_seed(self, seed, number, total):
            heard.append((self.name, seed, number, total))

        def on_batch(self, epoch, done, total, loss):
            heard.append((self.name, epoch, done, total, loss))

        def on_epoch(self, record):
            heard.append((self.name, record))

    listeners = Listeners(Ear("a"), Ear("b"))
    listeners.on_seed(1, 2, 3)
    listeners.on_batch(1, 2, 3, 0.5)
    listeners.on_epoch(record(1))
    calls = [(1, 2, 3), (1, 2, 3, 0.5), (record(1),)]
    assert heard == [(name, *call) for call in calls for name in "ab"]
