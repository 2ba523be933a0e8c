import dataclasses
import json

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from toolkit.contract.parity_reports import Divergence
from toolkit.contract.reports import report_to_json
from toolkit.errors import BundleError
from toolkit.export import export_graph
from toolkit.model import torch_graphs
from toolkit.parity import ParityGrid, check_parity
from toolkit.parity.bundle import check_bundle
from toolkit.runtime.bundle import load_bundle

CASE_KEYS = {
    "graph",
    "provider",
    "precision",
    "batch",
    "sequence",
    "input",
    "max_abs_diff",
    "torch_error",
    "ort_error",
    "passed",
}
"""What others rely on; `tolerance` and `problem` are further keys."""

STEP, SERIES = 4, 1


@pytest.fixture(scope="module")
def report(model, graphs, grid):
    return check_parity(model, graphs, grid)


def edited(content, fault):
    proto = onnx.load_model_from_string(content)
    fault(proto)
    return proto.SerializeToString()


def constant(proto, name, array):
    proto.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return name


def after(proto, tensor, *nodes):
    """Lets what produced `tensor` produce `inner` instead, and the nodes make `tensor` of it."""
    for node in proto.graph.node:
        for place, name in enumerate(node.output):
            if name == tensor:
                node.output[place] = "inner"
    place = next(number for number, node in enumerate(proto.graph.node) if "inner" in node.output)
    rest = list(proto.graph.node)[place + 1 :]
    del proto.graph.node[place + 1 :]
    proto.graph.node.extend([*nodes, *rest])


def late_fault(proto):
    """Adds 0.01 to target 1 of horizon step 0, from step `STEP` and series `SERIES` on."""
    mask = np.zeros((2, 2), np.float32)
    mask[0, 1] = 0.01
    names = {name: constant(proto, name, np.int64(axis)) for name, axis in (("first", 0), ("second", 1))}
    limits = {"steps": STEP + 0.5, "series": SERIES + 0.5}
    for name, limit in limits.items():
        constant(proto, name, np.float32(limit))
    constant(proto, "mask", mask)
    constant(proto, "nothing", np.float32(0.0))
    constant(proto, "one", np.float32(1.0))
    after(
        proto,
        "forecast_standardised",
        helper.make_node("Mul", ["inner", "nothing"], ["zeros"]),
        helper.make_node("Add", ["zeros", "one"], ["ones"]),
        helper.make_node("CumSum", ["ones", names["first"]], ["which_series"]),
        helper.make_node("CumSum", ["ones", names["second"]], ["which_step"]),
        helper.make_node("Greater", ["which_series", "series"], ["late_series"]),
        helper.make_node("Greater", ["which_step", "steps"], ["late_step"]),
        helper.make_node("And", ["late_series", "late_step"], ["late"]),
        helper.make_node("Where", ["late", "mask", "nothing"], ["error"]),
        helper.make_node("Add", ["inner", "error"], ["forecast_standardised"]),
    )


def add_to(tensor, amount):
    def fault(proto):
        constant(proto, "amount", np.float32(amount))
        after(proto, tensor, helper.make_node("Add", ["inner", "amount"], [tensor]))

    return fault


def test_the_keys_that_others_rely_on(report):
    value = json.loads(report_to_json(report))
    assert set(value) == {
        "schema",
        "passed",
        "cases",
        "divergence",
        "summary",
        "environment",
        "notes",
        "parting",
        "unit",
        "weights",
        "variants",
        "profiles",
        "by_design",
    }
    assert value["schema"] == "parity/1"
    assert value["passed"] is True
    assert value["divergence"] is None
    assert set(value["summary"]) == {"cases", "failed", "worst", "used"}
    for case in value["cases"]:
        assert set(case) == CASE_KEYS | {"tolerance", "problem", "pool", "threads", "optimisation"}


def test_every_case_of_the_grid_is_there(report, grid):
    plain = [case for case in report.cases if "chunks" not in case.input]
    for graph in ("windowed", "streaming"):
        for family in ("normal", "walk"):
            shapes = [(c.batch, c.sequence) for c in plain if (c.graph, c.input) == (graph, family)]
            assert sorted(shapes) == sorted(grid.shapes())
    chunks = [case for case in report.cases if "chunks" in case.input]
    assert [case.graph for case in chunks] == ["streaming", "streaming"]
    assert [case.input for case in chunks] == ["normal, in chunks of 1", "normal, in chunks of random size"]
    assert {case.sequence for case in chunks} == {max(grid.sequences)}
    assert len(report.cases) == len(plain) + len(chunks)


def test_the_summary_is_that_of_the_cases(report):
    assert report.summary.cases == len(report.cases)
    assert report.summary.failed == 0
    assert report.summary.worst == max(case.max_abs_diff for case in report.cases) <= 1e-5
    assert all(case.ort_error <= case.tolerance < 1e-4 for case in report.cases)
    assert {case.precision for case in report.cases} == {"fp32"}
    assert {case.provider for case in report.cases} == {"CPUExecutionProvider"}


def test_progress_is_told_case_by_case(model, graphs):
    told = []
    grid = ParityGrid((1, 2), (3,), (1,), ("normal",))
    check_parity(model, graphs, grid, on_case=told.append)
    assert told == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("seed", range(12))
def test_no_false_alarm_on_clean_models(forecaster, seed):
    random = np.random.default_rng(seed)
    model = forecaster(
        seed,
        hidden_size=int(random.integers(4, 33)),
        num_layers=1 + seed % 3,
        batch_first=seed % 4 < 2,
    )
    graph = ("windowed", "streaming")[seed % 2]
    content = export_graph(model, graph).SerializeToString()
    found = check_parity(model, {graph: content}, ParityGrid((1, 3, 7), (1, 2, 13, 48), (1, 7, 0), seed=seed))
    assert found.passed, [case for case in found.cases if not case.passed]
    assert found.divergence is None
    assert found.summary.worst <= 1e-5


def test_trained_weights_on_readings_raise_no_alarm(whole):
    found = check_bundle(load_bundle(whole), ParityGrid((1, 3, 7), (1, 2, 13, 48), seed=9))
    assert found.passed
    assert {case.input for case in found.cases} >= {"data", "noisy"}
    assert found.summary.worst <= 1e-5


def test_a_fault_is_found_where_it_begins(model, graphs, grid):
    report = check_parity(model, {"streaming": edited(graphs["streaming"], late_fault)}, grid)
    failed = {(case.batch, case.sequence) for case in report.cases if not case.passed}
    assert failed == {(batch, sequence) for batch, sequence in grid.shapes() if batch > SERIES and sequence > STEP}
    assert not report.passed
    assert report.summary.failed == sum(not case.passed for case in report.cases)
    assert report.summary.worst == pytest.approx(0.01, rel=1e-3)
    assert report.divergence == Divergence("forecast", STEP, SERIES, "horizon step 0, target 1")


@pytest.mark.parametrize("state", ["hn", "cn"])
def test_a_state_that_strays_is_named(model, graphs, grid, state):
    report = check_parity(model, {"streaming": edited(graphs["streaming"], add_to(state, 1e-3))}, grid)
    plain = [case for case in report.cases if "chunks" not in case.input]
    assert not any(case.passed for case in plain)
    assert all(case.problem.startswith(f"{state} is 0.001 from the truth where") for case in plain)
    assert report.divergence == Divergence(state, None, 0, "layer 0, unit 0")


def test_un_scaling_is_judged_by_itself(model, graphs, grid):
    """3e-2 Pa at 101 325 Pa is four units in the last place and less than a thousandth of a standard deviation."""
    report = check_parity(model, {"windowed": edited(graphs["windowed"], add_to("forecast", 3e-2))}, grid)
    assert not any(case.passed for case in report.cases)
    assert all(case.ort_error <= case.tolerance for case in report.cases)
    assert all(case.problem.startswith("un-scaling is off by") for case in report.cases)
    assert report.divergence == Divergence("un-scaling", None, None, None)


def test_a_fault_before_un_scaling_is_no_fault_of_un_scaling(model, graphs, grid):
    report = check_parity(model, {"windowed": edited(graphs["windowed"], add_to("forecast_standardised", 0.01))}, grid)
    assert {case.problem for case in report.cases} == {""}
    assert all(case.max_abs_diff == pytest.approx(0.01, rel=1e-3) for case in report.cases)
    assert report.divergence == Divergence("forecast", None, 0, "horizon step 0, target 0")


@pytest.mark.parametrize("graph", ["windowed", "streaming"])
def test_an_answer_that_is_no_number_fails_and_becomes_null(model, graphs, grid, graph):
    report = check_parity(model, {graph: edited(graphs[graph], add_to("forecast_standardised", np.nan))}, grid)
    assert not any(case.passed for case in report.cases)
    value = json.loads(report_to_json(report))
    assert value["summary"]["worst"] is None
    assert value["cases"][0]["max_abs_diff"] is None
    assert report.divergence.tensor == "forecast"


def test_a_graph_of_another_model_fails(forecaster, graphs, grid):
    report = check_parity(forecaster(seed=1), graphs, grid)
    assert not any(case.passed for case in report.cases)


@pytest.mark.parametrize("content", [b"", b"not a graph"])
def test_what_is_no_graph_is_refused(model, grid, content):
    with pytest.raises(BundleError) as caught:
        check_parity(model, {"windowed": content}, grid)
    assert "\n" not in str(caught.value)


def test_the_model_and_torchs_threads_are_left_alone(model, graphs):
    threads, before = torch.get_num_threads(), {n: t.clone() for n, t in model.state_dict().items()}
    torch.set_num_threads(2)
    try:
        check_parity(model, graphs, ParityGrid((1,), (2,), ()))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert not model.training
    assert model.output_scale.dtype == torch.float32
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_a_check_is_repeated_exactly(model, graphs, report, grid):
    again = check_parity(model, graphs, grid)
    assert again.cases == report.cases
    other = check_parity(model, graphs, dataclasses.replace(grid, seed=7))
    assert other.passed
    assert other.cases != report.cases


class Dice(torch.nn.Module):
    """Keeps its dropout on."""

    def forward(self, x):
        return torch.nn.functional.dropout(x, 0.5)


def test_a_module_that_does_not_repeat_its_answers_passes_nothing(model, graphs):
    rolled = torch_graphs(model)["windowed"]
    rolled = dataclasses.replace(rolled, judged=torch.nn.Sequential(rolled.judged.model, Dice()), unscaling={})
    report = check_parity({"windowed": rolled}, {"windowed": graphs["windowed"]}, ParityGrid((2,), (5,), ()))
    assert not any(case.passed for case in report.cases)
    assert "answers otherwise when it is asked again" in report.cases[0].problem
