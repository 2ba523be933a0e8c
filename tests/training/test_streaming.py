"""A streaming model is trained as it is run, and scored so."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from sensor_tables import Silent, data_config, run_config, sensor_table, wave

from toolkit.contract.manifest import StatePolicy
from toolkit.data import build_dataset
from toolkit.errors import ConfigError
from toolkit.model import MultivariateLSTM
from toolkit.release import build_bundle
from toolkit.runtime.bundle import load_bundle
from toolkit.training import ModelConfig, TrainConfig, load_run, train
from toolkit.training.loop import fit
from toolkit.training.objective_choice import objective_of
from toolkit.training.objectives import mean_loss
from toolkit.training.scoring import stream_score
from toolkit.training.streaming import CARRIED_CHUNKS, StreamObjective, chunk_begins, stream_forecasts, stream_loss


def dataset(rows=240, **changes):
    """Two machines of different length, so that series end inside a batch."""
    assets = np.repeat([0, 1], [rows, rows // 3])
    table = sensor_table(np.concatenate([wave(rows), wave(rows // 3, 1)]), ("temperature", "pressure"), assets)
    return build_dataset(table, data_config("plant.csv", **changes))


def model_of(data, cell="lstm", **changes):
    torch.manual_seed(0)
    model = MultivariateLSTM(
        2, 6, 2, horizon=data.horizon, targets=len(data.target_indices), batch_first=True, cell=cell, **changes
    )
    model.set_scaling(data.mean, data.std, data.target_indices)
    return model.eval()


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_streamed_forecast_is_the_one_of_all_samples_up_to_its_own(cell, part):
    data = dataset()
    model, found = model_of(data, cell), list(stream_forecasts(model_of(data, cell), data, part))
    answers, truth = (torch.cat(each) for each in zip(*found, strict=True))
    assert len(answers) == len(data.starts[part])
    by_truth = {tuple(row.flatten().tolist()): answer for row, answer in zip(truth, answers, strict=True)}
    first = {}
    for start in data.starts[part].tolist():
        segment = int(data.segments[start])
        first.setdefault(segment, max(int((data.segments < segment).sum()), start - CARRIED_CHUNKS * 12))
        series = data.rows[first[segment] : start + data.window_length][None]
        with torch.inference_mode():
            expected = model.stream_standardised(series, *model.zero_state(1))[0][0, -1]
        _, y = data.gather(torch.tensor([start]))
        torch.testing.assert_close(by_truth[tuple(y.flatten().tolist())], expected, rtol=1e-4, atol=1e-5)


def test_a_chunk_begins_with_the_state_that_the_one_before_left():
    data = dataset()
    model = model_of(data)
    objective = StreamObjective(model, data, "mse")
    first, second = torch.tensor([[3, 1], [9, 1]]), torch.tensor([[15, 0], [40, 1]])
    objective(first)
    loss = objective(second)
    with torch.no_grad():
        carried = model.stream_standardised(data.rows[None, 3:27], *model.zero_state(1))[0][0, 12:]
        anew = model.stream_standardised(data.rows[None, 40:52], *model.zero_state(1))[0][0]
    scaled = (data.rows[:, 0] - data.mean[0]) / data.std[0]
    errors = [
        (answers[step, :, 0] - scaled[row + step + 1 : row + step + 4]).square().mean()
        for row, answers in ((15, carried), (40, anew))
        for step in range(12)
    ]
    assert float(loss.detach()) == pytest.approx(float(torch.stack(errors).mean()), rel=1e-4)


def test_every_chunk_lies_in_one_series_of_the_training_part_and_follows_its_own():
    data = dataset(stride=5)
    objective = StreamObjective(model_of(data), data, "mse")
    batches = objective.batches(torch.Generator().manual_seed(0), 8)
    assert len(batches) == -(-len(data.starts["train"]) // 8)
    assert {len(batch) for batch in batches} == {8}
    length, ages = data.window_length, torch.zeros(8, dtype=torch.int64)
    for before, after in itertools.pairwise(batches):
        goes_on = after[:, 1] == 0
        assert torch.equal(after[goes_on, 0], before[goes_on, 0] + length)
        ages = torch.where(goes_on, ages + 1, 0)
        assert ages.max() < CARRIED_CHUNKS
    for row in torch.cat(batches)[:, 0].tolist():
        reach = slice(row, row + length + data.horizon)
        assert data.train_rows[reach].all()
        assert len(data.segments[reach].unique()) == 1
    assert any((batch[:, 1] == 0).any() for batch in batches)
    assert batches[0][:, 1].all()


def test_chunks_may_begin_where_windows_may():
    data = dataset()
    assert torch.equal(torch.nonzero(chunk_begins(data)).flatten(), data.starts["train"])


def test_training_so_makes_the_streaming_graph_as_good_as_the_windowed_one():
    data = dataset(600, window_length=8)
    config = TrainConfig(max_epochs=8, min_epochs=8, batch_size=16, learning_rate=0.01)
    by_windows, streamed = model_of(data), model_of(data)
    fit(objective_of(by_windows, data, config), config, 0, Silent())
    result = fit(objective_of(streamed, data, config, streaming=True), config, 0, Silent())
    as_run = stream_loss(streamed, data, "test", "mse")
    assert as_run <= 1.02 * mean_loss(streamed, data, "test")
    assert as_run < stream_loss(by_windows, data, "test", "mse")
    kept = result.records[result.best_epoch - 1].validation_loss
    assert kept == pytest.approx(stream_loss(streamed, data, "validation", "mse"))


def test_the_report_gives_both_figures_and_the_manifest_the_reset_policy(plant, tmp_path):
    config = replace(run_config(plant), model=ModelConfig(hidden_size=8, num_layers=1, streaming=True))
    report = train(config, tmp_path / "run", Silent())
    run = load_run(tmp_path / "run")
    assert run.record.model.streaming
    table = sensor_table(wave(240), ("temperature", "pressure"))
    assert report.streaming == stream_score(run.model, build_dataset(table, config.data))
    assert report.streaming.test_standardised != report.test_standardised
    build_bundle(run, tmp_path / "bundle")
    manifest = load_bundle(tmp_path / "bundle").manifest
    assert manifest.state == StatePolicy(warm_up=12)
    assert manifest.accuracy["streaming"]["test"]["mse"] == report.streaming.test.mse
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert "this model, streaming" in card
    assert "carried on without end" in card


def test_a_model_that_was_trained_on_windows_has_a_state_that_grows_old(trained, tmp_path):
    build_bundle(trained, tmp_path / "bundle")
    assert load_bundle(tmp_path / "bundle").manifest.state == StatePolicy(warm_up=12, max_age=12)


def test_quantiles_stream_as_well():
    data = dataset()
    model = model_of(data, quantiles=(0.1, 0.5, 0.9))
    config = TrainConfig(max_epochs=2, min_epochs=2, batch_size=16)
    objective = objective_of(model, data, config, streaming=True)
    fit(objective, config, 0, Silent())
    error = stream_score(model, data)
    assert error.test_standardised.mse > 0
    assert objective.validation() == pytest.approx(stream_loss(model, data, "validation", "mse"))


@pytest.mark.parametrize("setting", [{"normalisation": "revin"}, {"patch_length": 4}, {"bidirectional": True}])
def test_what_needs_a_window_is_refused_for_a_streaming_model(setting):
    (name, _value) = next(iter(setting.items()))
    with pytest.raises(ConfigError, match=rf"model\.{name} of a streaming model; .*whole window; fix: leave"):
        ModelConfig(streaming=True, **setting)
