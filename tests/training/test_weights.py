import json
import shutil

import pytest
import safetensors.torch
import torch

from toolkit.contract.model_spec import ModelSpec
from toolkit.errors import BundleError, ModelError
from toolkit.model import model_from_spec
from toolkit.training import load_run
from toolkit.training.weights import _parameters, load_model, weights_bytes

SPEC = ModelSpec(input_size=3, hidden_size=4, num_layers=2, horizon=2, targets=1, window_length=5)


def test_weights_come_back_as_they_went():
    model = model_from_spec(SPEC)
    again = load_model(SPEC, weights_bytes(model), "w")
    assert not again.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"cell": "gru", "bias": False, "bidirectional": True},
        {"normalisation": "revin", "channel_mixing": "independent", "horizon": 50, "targets": 3},
        {"patch_length": 5, "min_sequence": 5},
        {"patch_length": 5, "min_sequence": 5, "channel_mixing": "independent", "cell": "gru", "horizon": 50},
    ],
)
def test_the_smallest_file_of_a_shape_is_that_of_its_parameters(changes):
    spec = ModelSpec(**{**vars(SPEC), **changes})
    model = model_from_spec(spec)
    assert _parameters(spec) == sum(parameter.numel() for parameter in model.parameters())
    load_model(spec, weights_bytes(model), "w")


@pytest.mark.parametrize("changes", [{"hidden_size": 1_000_000}, {"num_layers": 1_000_000}, {"horizon": 1_000_000}])
def test_a_forged_shape_is_refused_before_memory_is_taken(changes):
    content = weights_bytes(model_from_spec(SPEC))
    forged = ModelSpec(**{**vars(SPEC), **changes})
    with pytest.raises(BundleError, match=r"does not fit the model; got .* bytes"):
        load_model(forged, content, "w")


def test_weights_that_are_not_finite_are_refused():
    tensors = safetensors.torch.load(weights_bytes(model_from_spec(SPEC)))
    tensors["head.bias"][0] = float("nan")
    with pytest.raises(ModelError, match="holds NaN or infinity"):
        load_model(SPEC, safetensors.torch.save(tensors), "w")


FILES = ("config.toml", "metrics.jsonl", "weights.safetensors", "samples.safetensors", "training.json")
PICTURES = ("data.json", "evaluation.json")


@pytest.mark.parametrize("name", FILES + PICTURES)
@pytest.mark.parametrize("how", ["cut short", "changed"])
def test_a_run_with_a_damaged_file_is_refused(name, how, trained, tmp_path):
    shutil.copytree(trained.folder, tmp_path / "run")
    path = tmp_path / "run" / name
    content = path.read_bytes()
    path.write_bytes(content[:-5] if how == "cut short" else bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(BundleError, match=f"{name} is damaged"):
        load_run(tmp_path / "run")


def test_a_run_whose_targets_are_not_its_configurations_is_refused(trained, tmp_path):
    shutil.copytree(trained.folder, tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    others = [c["name"] for c in record["signal"]["channels"] if c["name"] not in record["signal"]["targets"]]
    record["signal"]["targets"] = others[: len(record["signal"]["targets"])]
    path.write_text(json.dumps(record))
    with pytest.raises(BundleError, match="name other targets"):
        load_run(tmp_path / "run")
    path.write_text(json.dumps({**record, "schema": "run/0"}))
    with pytest.raises(BundleError, match="another version"):
        load_run(tmp_path / "run")


def test_a_run_from_before_there_were_pictures_is_read_as_ever(trained, tmp_path):
    shutil.copytree(trained.folder, tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    for name in PICTURES:
        (tmp_path / "run" / name).unlink()
        del record["files"][name]
    path.write_text(json.dumps(record))
    assert load_run(tmp_path / "run").report == trained.report


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_that_was_written_and_is_gone_is_missed(name, trained, tmp_path):
    shutil.copytree(trained.folder, tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    with pytest.raises(BundleError, match=f"is no finished run folder; got no {name}"):
        load_run(tmp_path / "run")
