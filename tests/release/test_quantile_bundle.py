"""A model with quantiles from its table to its bundle: the second answer is judged, kept, scored and told of."""

import dataclasses
import json
import shutil

import numpy as np
import onnx
import pytest
import sensor_tables
import tiny_bundles

from toolkit.contract.graph_io import TensorSpec, figure_axis
from toolkit.errors import BundleError, GoldenError
from toolkit.evaluation import evaluate, forecaster_of_bundle, forecaster_of_run, own_table
from toolkit.parity import ParityGrid
from toolkit.parity.bundle import check_bundle
from toolkit.release import build_bundle
from toolkit.release.triton import triton_config
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.golden import check_golden
from toolkit.training import load_run, train

GRID = ParityGrid((1, 3), (1, 7), (5, 0))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantiles")
    targets = {"targets": ("pressure", "temperature"), "units": {"pressure": "Pa"}}
    config = sensor_tables.run_config(sensor_tables.write(folder, sensor_tables.plain_csv()), data=targets)
    plain = {"normalisation": "none", "patch_length": 1, "channel_mixing": "joint"}
    model = dataclasses.replace(config.model, quantiles=(0.1, 0.5, 0.9), **plain)
    training = dataclasses.replace(config.training, loss="quantile")
    config = dataclasses.replace(config, model=model, training=training)
    train(config, folder / "run", sensor_tables.Silent())
    return load_run(folder / "run")


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    return build_bundle(run, tmp_path_factory.mktemp("bundle") / "tiny").folder


@pytest.fixture
def wrong(folder, tmp_path):
    """A copy, to be damaged."""
    return shutil.copytree(folder, tmp_path / "wrong")


def scaled(proto, answer, factor):
    """Multiplies what `answer` is un-scaled by."""
    producers = {output: node for node in proto.graph.node for output in node.output}
    product = producers[producers[answer].input[0]]
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    scale = next(stored[name] for name in product.input if name in stored)
    values = onnx.numpy_helper.to_array(scale)
    scale.CopyFrom(onnx.numpy_helper.from_array(np.float32(values * factor), scale.name))


def test_a_bundle_has_both_answers_and_a_tolerance_for_each_target(folder):
    manifest = tiny_bundles.manifest_of(folder)
    assert set(manifest.names) == {"windowed", "streaming"}
    for entry in manifest.graphs:
        assert [tensor.name for tensor in entry.signature.answers] == ["forecast", "quantiles"]
        assert len(entry.golden_atol["quantiles"]) == 2
        pressure, temperature = entry.golden_atol["quantiles"]
        assert temperature < pressure / 100  # 101 325 Pa are rounded more coarsely than 60 degrees
        config = triton_config(entry.name, entry.signature, file=entry.file)
        assert 'name: "quantiles"' in config


def test_golden_answers_tell_a_wrong_quantile_of_the_finer_target(wrong):
    tiny_bundles.damage_graph(wrong, "windowed", lambda proto: scaled(proto, "quantiles", [[1.0], [1.001]]))
    with pytest.raises(GoldenError, match="in quantiles"):
        check_golden(load_bundle(wrong))


def test_a_golden_tolerance_at_which_wrong_quantiles_pass(wrong):
    value = json.loads((wrong / "manifest.json").read_text())
    value["graphs"][0]["golden_atol"]["quantiles"][1] = 5.0
    (wrong / "manifest.json").write_text(json.dumps(value))
    with pytest.raises(BundleError, match=r"golden_atol of quantiles .* at which wrong answers pass"):
        check_golden(load_bundle(wrong))


def test_a_tolerance_for_each_quantile_is_none_for_each_target(wrong):
    value = json.loads((wrong / "manifest.json").read_text())
    value["graphs"][0]["golden_atol"]["quantiles"] = [1e-3] * 3
    (wrong / "manifest.json").write_text(json.dumps(value))
    with pytest.raises(BundleError, match="golden_atol of quantiles; got"):
        load_bundle(wrong)


def test_parity_judges_quantiles_in_standard_deviations(folder, wrong):
    assert check_bundle(load_bundle(folder), GRID).passed
    tiny_bundles.damage_graph(wrong, "windowed", lambda proto: scaled(proto, "quantiles", [[1.0], [1.0001]]))
    report = check_bundle(load_bundle(wrong), GRID)
    problems = {case.problem for case in report.cases if case.graph == "windowed"}
    assert all("un-scaling is off by" in problem and problem.endswith("of quantiles") for problem in problems)


def test_a_run_and_its_bundle_have_the_same_interval(run, folder):
    module, graph = (
        evaluate(one, own_table(run)).interval
        for one in (forecaster_of_run(run), forecaster_of_bundle(load_bundle(folder)))
    )
    assert module.coverage == pytest.approx(run.report["interval"]["coverage"], abs=1e-3)
    assert module.width == pytest.approx(run.report["interval"]["width"], rel=1e-4)
    assert graph.width == pytest.approx(module.width, rel=1e-4)
    assert graph.pinball == pytest.approx(module.pinball, rel=1e-4)
    assert graph.unit == "standard deviations"


def test_the_model_card_tells_of_the_interval(folder):
    text = (folder / "README.md").read_text()
    assert "Quantiles 0.1, 0.5, 0.9 in the output `quantiles`: the 80 % interval covers" in text


def test_figures_are_those_of_the_targets():
    assert figure_axis(TensorSpec("quantiles", ("batch", 4, 2, 3))) == -2
    assert figure_axis(TensorSpec("quantiles", ("batch", 3))) == -1  # somebody else's, under the same name
    assert figure_axis(TensorSpec("forecast", ("batch", 4, 2))) == -1
