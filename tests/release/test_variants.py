"""Precisions in a bundle: what is made, proven, kept, told, and how it is run."""

import dataclasses
import functools
import json

import numpy as np
import onnx
import pytest
import tiny_bundles
import torch
from torch import nn

from toolkit.contract.graph_io import GRAPHS, SizeLimits
from toolkit.errors import BundleError, GateError, ModelError
from toolkit.export.graphs import export_torch_graph
from toolkit.export.input_spec import parse_tensor
from toolkit.parity.bundle import check_bundle
from toolkit.parity.grid import ParityGrid
from toolkit.parity.inputs import InputSource
from toolkit.release import Options, build_bundle, build_material, material_of_module
from toolkit.release.golden_vectors import golden_cases
from toolkit.release.material import entry_of, material_of_run
from toolkit.release.precision_choice import candidates, variant
from toolkit.release.variants import choose_precision, requests, smaller
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.golden import check_golden

LENIENT = 10.0
"""Of fp32's error: three epochs on 8 units are no model whose accuracy matters here."""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No time is spent on timings: what they say is tested elsewhere, on an injected clock."""
    monkeypatch.setattr("toolkit.release.variants.candidates", functools.partial(candidates, seconds=0.02))


@pytest.fixture(scope="module")
def build(run, whole, tmp_path_factory):
    """Builds the run's bundle in a precision, from graphs that were exported once."""

    def made(precision, loss=LENIENT, **how):
        with pytest.MonkeyPatch.context() as patch:
            protos = tiny_bundles.graphs_of(whole)
            patch.setattr("toolkit.release.build.export_torch_graph", lambda graph, *_: protos[graph.name])
            patch.setattr("toolkit.release.variants.candidates", functools.partial(candidates, seconds=0.02))
            options = Options(precision=precision, max_accuracy_loss=loss, **how)
            return build_bundle(run, tmp_path_factory.mktemp(precision) / "tiny", options).folder

    return made


@pytest.fixture(scope="module")
def int8(build):
    return build("int8")


@pytest.fixture(scope="module")
def fp16(build):
    return build("fp16")


def windows(batch):
    noise = np.random.default_rng(3).standard_normal((batch, 12, 2))
    return (np.array([60.0, 101_325.0]) + np.array([5.0, 50.0]) * noise).astype(np.float32)


def operators(folder, name):
    return {node.op_type for node in onnx.load(folder / name).graph.node}


def test_int8_lies_beside_fp32_and_is_preferred(int8):
    assert {path.name for path in int8.glob("*.onnx")} == {
        "windowed.onnx",
        "windowed.int8.onnx",
        "streaming.onnx",
        "streaming.int8.onnx",
    }
    bundle = load_bundle(int8)
    shown = [(e.name, e.precision, e.file, e.preferred, e.one_series) for e in bundle.manifest.graphs]
    assert shown == [
        ("windowed", "fp32", "windowed.onnx", False, False),
        ("windowed", "int8", "windowed.int8.onnx", True, True),
        ("streaming", "fp32", "streaming.onnx", False, False),
        ("streaming", "int8", "streaming.int8.onnx", True, True),
    ]
    assert "DynamicQuantizeLSTM" in operators(int8, "windowed.int8.onnx")
    assert "LSTM" not in operators(int8, "windowed.int8.onnx")
    assert "LSTM" in operators(int8, "windowed.onnx")


def test_the_preferred_precision_is_the_one_that_is_run(int8):
    bundle, x = load_bundle(int8), windows(2)
    answers = [bundle.windowed(precision=precision).predict(x) for precision in (None, "int8", "fp32")]
    np.testing.assert_array_equal(answers[0], answers[1])
    assert not np.array_equal(answers[0], answers[2])
    np.testing.assert_allclose(answers[0], answers[2], rtol=0.02)


@pytest.mark.parametrize("graph", ["windowed", "streaming"])
def test_an_int8_answer_does_not_depend_on_the_others_of_its_batch(int8, graph):
    predictor, x = getattr(load_bundle(int8), graph)(), windows(3)
    wild = x.copy()
    wild[1:] *= 1e4  # outliers, which would shift the scale of everyone in one call

    def answer(x):
        if graph == "windowed":
            return predictor.predict(x)
        forecast, state = predictor.advance(x, predictor.zero_state(len(x)))
        assert state["h0"].shape == (1, len(x), 8)
        np.testing.assert_array_equal(state["h0"][:, :1], predictor.advance(x[:1], predictor.zero_state(1))[1]["h0"])
        return forecast

    alone = answer(x[:1])
    np.testing.assert_array_equal(answer(x)[:1], alone)
    np.testing.assert_array_equal(answer(wild)[:1], alone)


def test_in_one_call_an_outlier_shifts_everyone(int8):
    """What the guard is for: without it the same series is answered otherwise."""
    session, x = load_bundle(int8).session("windowed"), windows(2)
    wild = x.copy()
    wild[1] *= 1e4
    answers = [session.run(None, {"x": each})[0][0] for each in (x, wild)]
    assert not np.array_equal(*answers)


@pytest.mark.parametrize("which", ["int8", "fp16"])
def test_a_variant_answers_its_golden_vectors_within_its_own_tolerances(which, request):
    bundle = load_bundle(request.getfixturevalue(which))
    results = check_golden(bundle)
    assert {result.precision for result in results} == {"fp32", which}
    assert all(result.worst <= 1.0 for result in results)
    exact, rounded = (
        bundle.manifest.graph("windowed", precision).golden_atol["forecast"] for precision in ("fp32", which)
    )
    assert all(a < b for a, b in zip(exact, rounded, strict=True))


@pytest.mark.parametrize("which", ["int8", "fp16"])
def test_the_decision_is_recorded_with_its_figures_and_told(which, request):
    folder = request.getfixturevalue(which)
    decision = load_bundle(folder).manifest.precision
    assert (decision.requested, decision.max_accuracy_loss) == (which, LENIENT)
    assert decision.windows > 0
    assert [(c.graph, c.precision, c.kept) for c in decision.candidates] == [
        ("windowed", which, True),
        ("streaming", which, True),
    ]
    for found in decision.candidates:
        assert len(found.error) == len(found.fp32_error) == 2
        assert found.accuracy_loss is not None
        assert found.speedup_range[0] <= found.speedup <= found.speedup_range[1]
        assert found.bytes == (folder / f"{found.graph}.{which}.onnx").stat().st_size
    card = (folder / "README.md").read_text()
    assert f"`windowed.{which}.onnx`: windowed, {which}" in card
    assert ("run one series at a time" in card) == (which == "int8")
    assert f"- windowed in {which}: kept as asked" in card
    assert "; a batch of 16 is " in card
    assert f"{decision.windows} held-out windows" in card


def test_fp16_is_smaller_takes_whole_batches_and_answers_alike(fp16):
    bundle, x = load_bundle(fp16), windows(2)
    entry = bundle.manifest.graph("windowed")
    assert (entry.precision, entry.one_series, entry.preferred) == ("fp16", False, True)
    kinds = {tensor.data_type for tensor in onnx.load(fp16 / entry.file).graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds
    half, single = (bundle.windowed(precision=precision).predict(x) for precision in (None, "fp32"))
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, single, rtol=1e-3)  # 101 325 does not fit into half: arithmetic is in single


def test_a_stream_in_int8_is_scored_as_a_gateway_runs_it(int8, run):
    bundle = load_bundle(int8)
    found = next(each for each in bundle.manifest.precision.candidates if each.graph == "streaming")
    held_out = material_of_run(run).held_out
    predictor, errors = bundle.streaming(), {"whole": [], "stepwise": []}
    for x, y in zip(held_out.x, held_out.y, strict=True):
        for how, cuts in (("whole", 1), ("stepwise", len(x))):
            state = predictor.zero_state(1)
            for piece in np.split(x[None], cuts, axis=1):
                answer, state = predictor.advance(np.ascontiguousarray(piece), state)
            errors[how].append(np.abs(answer[0, -1].astype(np.float64) - y).mean(axis=0))
    whole, stepwise = (np.mean(errors[how], axis=0) for how in ("whole", "stepwise"))
    assert (found.samples, found.windows) == (1, len(held_out.x))
    np.testing.assert_allclose(found.error, stepwise, rtol=1e-9)
    assert not np.allclose(whole, stepwise, rtol=1e-6)  # it makes a difference


def test_parity_is_judged_on_fp32_and_the_gate_on_all(int8):
    report = check_bundle(load_bundle(int8), ParityGrid((1, 2), (1, 13), (5,)))
    assert report.passed
    assert {case.precision for case in report.cases} == {"fp32"}
    assert {case.graph for case in report.cases} == {"windowed", "streaming"}


def test_fp32_alone_records_no_decision(whole):
    manifest = load_bundle(whole).manifest
    assert manifest.precision is None
    assert all(entry.preferred and not entry.one_series for entry in manifest.graphs)


@pytest.fixture
def worse(monkeypatch):
    """A precision whose graphs are run one series at a time costs a fiftieth of the accuracy."""
    monkeypatch.setattr(
        "toolkit.release.precision_choice.mean_errors",
        lambda graph, held_out: np.array([[1.0, 1.02 if graph.one_series else 1.0]]),
    )


def test_a_precision_that_was_asked_for_and_costs_too_much_leaves_nothing(run, clean, exporting, tmp_path, worse):
    exporting(clean())
    match = "windowed graph in int8: not kept: .* 2.00 % larger, 0 % are allowed; fix: --precision fp32, or a larger"
    with pytest.raises(GateError, match=match) as caught:
        build_bundle(run, tmp_path / "tiny", Options(precision="int8", max_accuracy_loss=0.0))
    assert caught.value.exit_status == 1
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_auto_keeps_for_each_graph_what_is_worth_it(run, clean, exporting, tmp_path, monkeypatch):
    def decided(fp32, variants, *rest, **how):
        assert how["must_be_faster"]
        found = candidates(fp32, variants, *rest, **{**how, "seconds": 0.02, "must_be_faster": False})
        kept = ("streaming", "int8")
        return [
            type(each)(**{**vars(each), "kept": (each.graph, each.precision) == kept, "reason": "so it was decided"})
            for each in found
        ]

    exporting(clean())
    monkeypatch.setattr("toolkit.release.variants.candidates", decided)
    bundle = load_bundle(build_bundle(run, tmp_path / "tiny", Options(precision="auto")).folder)
    assert {path.name for path in bundle.folder.glob("*.onnx")} == {
        "windowed.onnx",
        "streaming.onnx",
        "streaming.int8.onnx",
    }
    assert [bundle.manifest.graph(name).precision for name in ("windowed", "streaming")] == ["fp32", "int8"]
    assert [(c.graph, c.precision) for c in bundle.manifest.precision.candidates] == [
        ("windowed", "fp16"),
        ("windowed", "int8"),
        ("streaming", "fp16"),
        ("streaming", "int8"),
    ]
    assert bundle.windowed().graph.one_series is False
    assert bundle.streaming().graph.one_series is True
    assert json.loads((bundle.folder / "manifest.json").read_text())["precision"]["requested"] == "auto"


@pytest.fixture(scope="module")
def gru():
    """What `choose_precision` takes, of a GRU."""
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru, self.head = nn.GRU(4, 16, batch_first=True), nn.Linear(16, 2)

        def forward(self, x):
            return self.head(self.gru(x)[0][:, -1])

    material = material_of_module(Net(), [parse_tensor("x: float32[batch, sequence, 4]")], window_length=5)
    graph = material.graphs["windowed"]
    cases = golden_cases(InputSource(material.graphs, None, seed=1))
    return [entry_of(graph)], {"windowed": export_torch_graph(graph)}, material, cases


def test_int8_of_a_gru_is_refused_in_one_line(gru):
    with pytest.raises(ModelError, match=r"int8 of a GRU is refused.*allowed: LSTM; fix: --precision fp16") as caught:
        choose_precision(*gru, requested="int8", max_accuracy_loss=0.01)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2


def test_what_cannot_be_made_is_refused_before_parity(gru, tmp_path, monkeypatch):
    *_, protos, material, _ = gru
    monkeypatch.setattr("toolkit.release.build.export_torch_graph", lambda graph, *_: protos[graph.name])
    monkeypatch.setattr("toolkit.release.build.check_parity", lambda *_: pytest.fail("parity was begun"))
    stages = []
    options = Options(precision="int8", on_stage=lambda name, seconds: stages.append(name))
    with pytest.raises(ModelError, match="int8 of a GRU is refused"):
        build_material(lambda: material, tmp_path / "gru", options)
    assert stages == []
    for precision in ("auto", "fp16", "fp32"):
        with pytest.raises(pytest.fail.Exception, match="parity was begun"):
            build_material(lambda: material, tmp_path / "gru", Options(precision=precision))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"mixes_series": True}, "its answer for one depends on the others"),
        ({"min_sizes": {"batch": 3}}, "it takes 3 or more"),
    ],
)
def test_int8_of_a_graph_that_cannot_be_run_one_series_at_a_time_is_refused(whole, changes, why):
    entry = dataclasses.replace(load_bundle(whole).manifest.graph("windowed"), **changes)
    proto = tiny_bundles.graphs_of(whole)["windowed"]
    with pytest.raises(ModelError, match=f"int8 is run one series at a time, and {why}; fix: --precision fp16"):
        smaller(entry, proto, "int8")
    assert smaller(entry, proto, "fp16") != proto


def test_a_variant_that_onnxruntime_refuses_is_a_failed_check_and_told_by_auto(gru, monkeypatch):
    def refuse(entry, content):
        if entry.precision != "fp32":
            raise BundleError("onnxruntime refuses it")
        return variant(entry, content)

    monkeypatch.setattr("toolkit.release.variants.variant", refuse)
    with pytest.raises(GateError, match=r"windowed\.fp16\.onnx does not run: onnxruntime refuses it"):
        choose_precision(*gru, requested="fp16", max_accuracy_loss=0.01)
    found = choose_precision(*gru, requested="auto", max_accuracy_loss=0.01).decision.candidates[0]
    assert found.reason == "not made: windowed.fp16.onnx does not run: onnxruntime refuses it"


def test_what_is_known_of_the_accuracy_without_held_out_readings_is_told(gru):
    (found,) = choose_precision(*gru, requested="fp16", max_accuracy_loss=0.01).decision.candidates
    assert 0 < found.golden_error < 0.01
    assert "; error not measured (on golden vectors up to 0." in found.reason


def test_what_is_timed_is_one_series_and_a_batch(run, gru):
    material = material_of_run(run)
    shapes = {name: [(r.series, r.samples, r.feed["x"].shape) for r in requests(material, name)] for name in GRAPHS}
    assert shapes == {
        "windowed": [(1, 12, (1, 12, 2)), (16, 12, (16, 12, 2))],
        "streaming": [(1, 1, (1, 1, 2)), (16, 1, (16, 1, 2))],
    }
    *_, material, _ = gru
    for limits, batches in ((SizeLimits({}, {"batch": 4}), [1, 4]), (SizeLimits({"batch": 20}, {"batch": 40}), [20])):
        graph = dataclasses.replace(material.graphs["windowed"], limits=limits)
        found = requests(dataclasses.replace(material, graphs={"windowed": graph}), "windowed")
        assert [request.series for request in found] == batches


def test_what_cannot_be_made_is_told_and_the_other_precision_judged(gru):
    chosen = choose_precision(*gru, requested="auto", max_accuracy_loss=0.01)
    told = {found.precision: found for found in chosen.decision.candidates}
    assert told["int8"].reason.startswith("not made: int8 of a GRU is refused")
    assert (told["int8"].speedup, told["int8"].kept, told["int8"].bytes) == (None, False, 0)
    assert told["fp16"].speedup is not None
    assert "no held-out readings" in told["fp16"].reason
    assert [(entry.precision, entry.preferred) for entry in chosen.entries] == [("fp32", True)]
    assert set(chosen.files) == {"windowed.onnx"}


def test_fp16_of_a_gru_may_be_asked_for(gru):
    chosen = choose_precision(*gru, requested="fp16", max_accuracy_loss=0.01)
    assert [(entry.precision, entry.preferred) for entry in chosen.entries] == [("fp32", False), ("fp16", True)]
    assert len(chosen.files["windowed.fp16.onnx"]) < len(chosen.files["windowed.onnx"])


def test_weights_too_few_to_halve_are_refused_in_one_line():
    material = material_of_module(nn.Linear(4, 2), [parse_tensor("x: float32[batch, 4]")])
    graph = material.graphs["windowed"]
    given = [entry_of(graph)], {"windowed": export_torch_graph(graph)}, material, []
    with pytest.raises(ModelError, match="no weight of the graph can be stored in half precision"):
        choose_precision(*given, requested="fp16", max_accuracy_loss=0.01)
    chosen = choose_precision(*given, requested="auto", max_accuracy_loss=0.01)
    assert [found.reason.split(":")[0] for found in chosen.decision.candidates] == ["not made", "not made"]


def test_a_variant_that_is_wrong_is_never_chosen(gru, monkeypatch):
    def not_finite(graph, feed):
        return {"y": np.full((len(feed["x"]), 2), np.nan, np.float32)}

    monkeypatch.setattr("toolkit.release.precision_choice.GuardedGraph.run", not_finite)
    with pytest.raises(GateError, match=r"windowed.fp16.onnx: y is not finite at batch 1 x sequence 1"):
        choose_precision(*gru, requested="fp16", max_accuracy_loss=0.01)
    chosen = choose_precision(*gru, requested="auto", max_accuracy_loss=0.01)
    assert "not finite" in chosen.decision.candidates[0].reason
    assert set(chosen.files) == {"windowed.onnx"}
