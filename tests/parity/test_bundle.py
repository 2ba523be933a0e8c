import numpy as np
import pytest
import safetensors.numpy
import tiny_bundles
import torch

from toolkit.contract.parity_reports import ParityReport
from toolkit.errors import BundleError, ModelError, ParityError
from toolkit.parity import ParityGrid
from toolkit.parity.bundle import check_bundle, grid_of, model_of
from toolkit.parity.told import raise_if_failed
from toolkit.runtime.bundle import load_bundle

GRID = ParityGrid((1, 3), (1, 12), (5,))


def test_a_finished_bundle_passes_by_itself(whole):
    report = check_bundle(load_bundle(whole), GRID)
    assert isinstance(report, ParityReport)
    assert report.passed
    assert {case.graph for case in report.cases} == {"windowed", "streaming"}
    assert {case.input for case in report.cases} == {"data", "noisy", "data, in chunks of 5"}
    raise_if_failed(report)


def test_the_grid_follows_the_window(whole):
    bundle = load_bundle(whole)
    assert grid_of(bundle).sequences == (1, 2, 5, 12, 13, 48)
    assert set(grid_of(bundle, quick=True).shapes()) < set(grid_of(bundle).shapes())


def test_the_module_in_the_bundle_answers_as_its_graph_does(whole):
    bundle = load_bundle(whole)
    model = model_of(bundle)
    assert not model.training
    x = np.full((2, 12, 2), (60.0, 101_325.0), np.float32)
    with torch.no_grad():
        np.testing.assert_allclose(bundle.windowed().predict(x), model(torch.from_numpy(x)).numpy(), rtol=1e-6)


def test_a_bundle_without_weights(folder):
    tiny_bundles.leave_out(folder, "weights.safetensors", "samples.safetensors")
    with pytest.raises(BundleError, match=r"holds no weights\.safetensors; fix: export it again with its weights"):
        check_bundle(load_bundle(folder), GRID)


def test_a_bundle_without_readings_is_judged_on_made_up_ones(folder):
    tiny_bundles.leave_out(folder, "samples.safetensors")
    report = check_bundle(load_bundle(folder), GRID)
    assert report.passed
    assert {case.input for case in report.cases} == {"normal", "walk", "normal, in chunks of 5"}


def weights_with(folder, name, array):
    tensors = safetensors.numpy.load((folder / "weights.safetensors").read_bytes())
    tiny_bundles.put(folder, "weights.safetensors", safetensors.numpy.save({**tensors, name: array}))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(7, np.float32), "does not fit the model at 'head.bias'"),
        (np.zeros(6, np.float64), "does not fit the model at 'head.bias'"),
        (np.full(6, np.nan, np.float32), "'head.bias' holds NaN or infinity"),
    ],
)
def test_weights_that_do_not_fit(folder, array, words):
    weights_with(folder, "head.bias", array)
    with pytest.raises(ModelError, match=words):
        check_bundle(load_bundle(folder), GRID)


def test_weights_that_are_damaged(folder):
    tiny_bundles.put(folder, "weights.safetensors", b"\xff" * 2000)
    with pytest.raises(BundleError, match=r"weights\.safetensors is damaged"):
        check_bundle(load_bundle(folder), GRID)


@pytest.mark.parametrize("shape", [(2, 10, 3), (10, 2), (0, 10, 2)])
def test_readings_that_do_not_fit(folder, shape):
    content = safetensors.numpy.save({"x": np.ones(shape, np.float32)})
    tiny_bundles.put(folder, "samples.safetensors", content)
    with pytest.raises(BundleError, match=r"samples\.safetensors does not fit the model"):
        check_bundle(load_bundle(folder), GRID)


def test_a_graph_other_than_its_weights_fails_and_says_where(folder):
    fault = tiny_bundles.change_weights("lstm.W_l0", lambda array: array + np.float32(0.01))
    tiny_bundles.damage_graph(folder, "streaming", fault)
    report = check_bundle(load_bundle(folder), GRID)
    assert {case.graph for case in report.cases if not case.passed} == {"streaming"}
    with pytest.raises(ParityError) as caught:
        raise_if_failed(report)
    message = str(caught.value)
    assert message.startswith(f"parity: {report.summary.failed} of {report.summary.cases} cases failed; first: ")
    assert "streaming graph on CPUExecutionProvider, batch 1 x sequence 1, input data" in message
    assert "parts first in forecast, step 0, series 0, horizon step 0, target 0" in message
    assert "\n" not in message
    assert caught.value.exit_status == 1
