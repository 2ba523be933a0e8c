import numpy as np
import pytest
import torch

from toolkit.contract.parity_reports import ParityCase, ParityReport, ParitySummary
from toolkit.model import torch_graphs
from toolkit.parity.inputs import InputSource
from toolkit.release.golden_vectors import golden_cases, golden_tolerances
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.session import CPU


@pytest.fixture(scope="module")
def source(run):
    return InputSource(torch_graphs(run.model, 12), run.samples.numpy(), seed=1)


@pytest.fixture(scope="module")
def cases(run, source):
    return golden_cases(source)


def report(**tolerances):
    """A passed report whose cases had these tolerances, by graph."""
    cases = [
        ParityCase(graph, CPU, "fp32", 1, 1, pool, 0.0, 0.0, 0.0, tolerance * times, passed=True, pool=pool)
        for graph, each in tolerances.items()
        for tolerance in each
        for pool, times in (("data", 1.0), ("far", 1e6))  # what no machine gives must not widen anything
    ]
    return ParityReport(True, tuple(cases), None, ParitySummary(len(cases), 0, 0.0), {})


def test_the_largest_and_the_most_typical_error_go_along(source):
    shapes = [(batch, sequence) for batch in (1, 2) for sequence in (3, 8, 30_000)]
    errors = dict(zip(shapes, (0.1, 0.9, 0.99, 0.3, 0.2, 1.0), strict=True))  # the longest are too large to travel
    own = [
        ParityCase(graph, CPU, "fp32", batch, sequence, "data", 0.0, 0.0, error, 1.0, passed=True, pool="data")
        for graph in ("windowed", "streaming")
        for (batch, sequence), error in errors.items()
    ]
    found = golden_cases(source, ParityReport(True, tuple(own), None, ParitySummary(len(own), 0, 0.0), {}))
    sizes = {(case.graph, case.name): case.inputs["x"].shape[:2] for case in found}
    for graph in ("windowed", "streaming"):
        assert sizes[graph, "worst"] == (1, 8)
        assert sizes[graph, "typical"] == (2, 3)
    feed = InputSource(source.graphs, source.samples).feed("windowed", "data", 1, 8)
    worst = next(case for case in found if (case.graph, case.name) == ("windowed", "worst"))
    np.testing.assert_array_equal(worst.inputs["x"], feed["x"])


def test_both_graphs_a_whole_window_and_more_and_less(cases):
    for graph in ("windowed", "streaming"):
        shapes = [case.inputs["x"].shape[:2] for case in cases if case.graph == graph]
        assert {sequence for _, sequence in shapes} >= {12, 13, 2}
        assert {batch for batch, _ in shapes} > {1}
    assert len({(case.graph, case.name) for case in cases}) == len(cases)


def test_one_stream_begins_at_zero_and_another_does_not(cases):
    starts = [bool(case.inputs["h0"].any() or case.inputs["c0"].any()) for case in cases if case.graph == "streaming"]
    assert set(starts) == {True, False}


def test_expected_answers_are_the_float64_modules(run, cases):
    for case in cases:
        tensors = [torch.from_numpy(case.inputs[name]) for name in ("x", "h0", "c0") if name in case.inputs]
        with torch.no_grad():
            answers = (run.model(*tensors),) if case.graph == "windowed" else run.model.stream(*tensors)
        assert list(case.outputs) == ["forecast", "hn", "cn"][: len(answers)]
        for array, mine in zip(case.outputs.values(), answers, strict=True):
            assert array.dtype == np.float32
            np.testing.assert_allclose(array, mine.numpy(), rtol=1e-6, atol=1e-6)


def test_a_source_without_readings_will_do(run):
    cases = golden_cases(InputSource(torch_graphs(run.model), None))
    assert {case.graph for case in cases} == {"windowed", "streaming"}


def test_tolerances_are_raw_units_by_target(run, cases):
    graph = torch_graphs(run.model)["windowed"]
    (pressure, temperature) = golden_tolerances(graph, cases, report(windowed=[1e-6, 2e-6]))["forecast"]
    scale, offset = run.model.output_scale.double().numpy(), run.model.output_offset.double().numpy()
    assert pressure == pytest.approx(4 * 2e-6 * scale[0] + 4 * np.spacing(np.float32(offset[0] + 10 * scale[0])))
    assert temperature == pytest.approx(4 * 2e-6 * scale[1] + 4 * np.spacing(np.float32(offset[1] + 10 * scale[1])))
    assert pressure > temperature


def test_only_the_graphs_own_cases_count(run, cases):
    few = golden_tolerances(torch_graphs(run.model)["streaming"], cases, report(streaming=[1e-6]))
    many = golden_tolerances(torch_graphs(run.model)["streaming"], cases, report(streaming=[1e-6], windowed=[1.0]))
    assert few == many
    assert set(few) == {"forecast", "hn", "cn"}
    assert set(golden_tolerances(torch_graphs(run.model)["windowed"], cases, report(windowed=[1e-6]))) == {"forecast"}


def test_tolerances_of_the_states(run, cases):
    rough = golden_tolerances(torch_graphs(run.model)["streaming"], cases, report(streaming=[1e-3]))
    assert rough["hn"] == rough["cn"] == (4e-3,)
    fine = golden_tolerances(torch_graphs(run.model)["streaming"], cases, report(streaming=[1e-30]))
    largest = max(np.abs(case.outputs["cn"]).max() for case in cases if case.graph == "streaming")
    assert fine["cn"] == (pytest.approx(64 * np.spacing(largest)),)


def test_the_tolerances_of_a_bundle_are_narrow(whole):
    """Wide enough for another processor's rounding, far below anything that a forecast is used for."""
    manifest = load_bundle(whole).manifest
    std = {"pressure": 36.0, "temperature": 3.6}  # of a sine of 50 Pa and of 5 degrees
    for entry in manifest.graphs:
        for target, tolerance in zip(manifest.signal.targets, entry.golden_atol["forecast"], strict=True):
            assert 0.0 < tolerance < 2e-3 * std[target]
