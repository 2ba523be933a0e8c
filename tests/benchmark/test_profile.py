import dataclasses
import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from toolkit.benchmark.profile import _checked_length, _Measured, _notes, profile_graph
from toolkit.benchmark.profile_calls import empty_feed, empty_graph, recorded_call
from toolkit.benchmark.profile_split import CallTimes, Inflation
from toolkit.contract.graph_io import TensorSpec
from toolkit.contract.profile_reports import MachinePeak, NodeTime
from toolkit.contract.reports import report_to_json
from toolkit.errors import BundleError, ConfigError
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.session import SessionPolicy, create_session

SECONDS = 0.05


@pytest.fixture(scope="module")
def bundle(whole):
    return load_bundle(whole)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def profile(bundle, scratch):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(scratch))
        return profile_graph(bundle, "windowed", batch=2, sequence=7, seconds=SECONDS)


def test_a_real_call_is_divided_without_rest(profile):
    assert (profile.graph, profile.precision, profile.batch, profile.sequence) == ("windowed", "fp32", 2, 7)
    assert profile.python_share + profile.overhead_share + profile.kernels_share == pytest.approx(1)
    assert sum(node.time_us for node in profile.nodes) == pytest.approx(profile.kernels_us)
    assert sum(operator.time_us for operator in profile.operators) == pytest.approx(profile.kernels_us)
    (layer,) = profile.layers
    assert (layer.operator, layer.steps, layer.batch, layer.hidden_size) == ("LSTM", 7, 2, 8)
    assert sum(gate.time_us for gate in layer.gates) == pytest.approx(layer.time_us)
    assert min(profile.calls, profile.profiled_calls) > 0


def test_every_product_of_the_call_is_counted(profile):
    (layer,) = profile.layers
    head = next(node for node in profile.nodes if node.operator in ("Gemm", "FusedGemm", "MatMul"))
    assert head.flops > 0
    assert profile.flops == sum(gate.input_flops + gate.recurrent_flops for gate in layer.gates) + head.flops
    assert profile.distance == pytest.approx(profile.predict_us / profile.floor_us)
    assert [peak.columns for peak in profile.peaks] == [2, 8]  # recurrent and head: 2 series; inputs: 14 at once


def test_the_profile_of_onnxruntime_is_not_left_behind(profile, scratch):
    assert list(scratch.iterdir()) == []


def test_what_the_report_holds(profile):
    told = json.loads(report_to_json(profile))
    assert told["schema"] == "profile/1"
    assert set(told) == {field.name for field in dataclasses.fields(profile)}
    assert told["layers"][0]["gates"][0]["gate"] == "input"
    assert "onnxruntime" in json.dumps(told["environment"])


def test_one_step_of_a_stream(bundle):
    profile = profile_graph(bundle, "streaming", seconds=SECONDS)
    assert (profile.batch, profile.sequence) == (1, 1)
    assert [layer.steps for layer in profile.layers] == [1]
    assert [peak.columns for peak in profile.peaks] == [1]


def test_the_window_of_the_model_is_what_is_asked_unless_said(bundle):
    assert profile_graph(bundle, "windowed", seconds=SECONDS).sequence == bundle.manifest.window_length


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"batch": 0}, "--batch of a profile; got 0; allowed: 1 or more"),
        ({"sequence": 0}, "--sequence of a profile; got 0; allowed: 1 or more"),
        ({"seconds": 0.0}, "seconds of a benchmark; got 0"),
        ({"policy": SessionPolicy(provider="CUDAExecutionProvider")}, "provider of a profile; got CUDAExecution"),
    ],
)
def test_what_cannot_be_profiled(bundle, sizes, message):
    with pytest.raises(ConfigError, match=message):
        profile_graph(bundle, "windowed", **sizes)


def test_a_graph_that_runs_series_one_at_a_time_is_profiled_on_one(bundle):
    entry = dataclasses.replace(bundle.manifest.graph("windowed"), precision="int8", one_series=True)
    with pytest.raises(ConfigError, match="--batch of a profile; got 2; allowed: 1: int8 runs series one at a time"):
        _checked_length(entry, 2, None, 12)


def test_sizes_are_those_that_the_graph_takes(bundle):
    limits = {"min_sizes": {"sequence": 5}, "max_sizes": {"sequence": 9}}
    entry = dataclasses.replace(bundle.manifest.graph("windowed"), **limits)
    with pytest.raises(ConfigError, match="--sequence of a profile; got 4; allowed: 5 or more, at most 9"):
        _checked_length(entry, 1, 4, 12)
    assert _checked_length(entry, 1, None, 12) == 9


def test_a_graph_without_a_sequence_axis_takes_one_sample(bundle):
    entry = bundle.manifest.graph("windowed")
    flat = dataclasses.replace(entry, inputs=(TensorSpec("x", ("batch", 9)),))
    assert _checked_length(flat, 3, None, 60) == 1
    with pytest.raises(ConfigError, match="--sequence of a profile; got 7; allowed: 1: this graph has a size"):
        _checked_length(flat, 3, 7, 60)


def test_a_precision_that_the_bundle_lacks(bundle):
    with pytest.raises(BundleError, match="has no windowed int8 graph"):
        profile_graph(bundle, "windowed", "int8")


@pytest.mark.parametrize(("nodes", "inputs", "outputs", "rank"), [(5, 1, 1, 1), (7, 3, 2, 4), (1, 1, 2, 1)])
def test_the_empty_graph_runs_every_node_and_changes_nothing(nodes, inputs, outputs, rank, tmp_path):
    content = empty_graph(nodes, inputs, outputs, rank)
    onnx.checker.check_model(content)
    policy, feed = SessionPolicy(optimisation="none"), empty_feed(inputs, rank)
    answers = create_session(content, policy).run(None, feed)
    assert [answer.shape for answer in answers] == [(1,) * rank] * outputs
    assert all(np.all(answer == 1) for answer in answers)
    recorded = recorded_call(content, policy, feed, tmp_path / "empty")
    recorded.call()
    runs = recorded.runs(skip=1)
    assert [run.operator for run in runs] == ["Identity"] * max(nodes, outputs)
    assert list(tmp_path.iterdir()) == []


def notes(entry, times, scale=1.0, variation=0.0, nodes=(), cores=1.0):
    measured = _Measured(times, (), Inflation(0.0, 0.0), 1, 1, variation)
    return " | ".join(_notes(entry, measured, scale, nodes, [MachinePeak(1, 8, 8, 1.0, 1.0, cores)]))


def test_what_has_to_be_known_is_told(bundle):
    entry = bundle.manifest.graph("windowed")
    quiet = CallTimes(predict_us=120.0, bound_us=100.0, profiled_us=150.0, empty_us=10.0)
    node = NodeTime("n", "Attention", "CPU", 1, None, 0, 50.0, 50.0, 0.4)
    assert notes(entry, quiet) == ""
    assert "too noisy to tell" in notes(entry, quiet, variation=0.2)
    assert "scaled by 0.50" in notes(entry, quiet, scale=0.5)
    assert "more than one core" in notes(entry, quiet, cores=1.9)
    assert "nothing of Attention" in notes(entry, quiet, nodes=[node])
    assert "noise, taken for 0" in notes(entry, dataclasses.replace(quiet, predict_us=90.0))
    assert "vanish in onnxruntime's overhead" in notes(entry, dataclasses.replace(quiet, empty_us=100.0))
    assert "float32 weights" in notes(dataclasses.replace(entry, precision="int8"), quiet)


def test_profiles_lie_in_a_temporary_folder(bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where onnxruntime would write them by itself
    profile_graph(bundle, "streaming", seconds=SECONDS)
    assert list(Path.cwd().iterdir()) == []
