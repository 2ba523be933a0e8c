import json

import numpy as np
import pytest

from toolkit.benchmark.plan import BenchmarkPlan, every_scenario
from toolkit.benchmark.run import run_benchmark, write_samples
from toolkit.benchmark.scenarios import Contender
from toolkit.errors import ContenderError, OutputError
from toolkit.runtime.bundle import load_bundle

QUICK = BenchmarkPlan(batches=(1, 2), seconds=0.02)


@pytest.fixture(scope="module")
def bundle(whole):
    return load_bundle(whole)


def test_the_time_of_every_call_can_be_read_without_trust(bundle, tmp_path):
    found = run_benchmark(bundle, QUICK)
    write_samples(found, tmp_path / "samples.npz")
    with np.load(tmp_path / "samples.npz", allow_pickle=False) as file:
        rows = json.loads(file["rows"].item())
        assert len(rows) == len(found.report.rows) == len(file.files) - 1
        for told, row in zip(rows, found.report.rows, strict=True):
            calls = file[told["array"]]
            assert calls.dtype == np.int64
            assert calls.size == row.count
            assert np.median(calls, axis=1) / 1e6 == pytest.approx(row.block_medians_ms)
            assert (told["scenario"], told["options"]) == (row.scenario, row.options)
    assert [path.name for path in tmp_path.iterdir()] == ["samples.npz"]


def test_samples_that_cannot_be_written_are_one_line(bundle, tmp_path):
    found = run_benchmark(bundle, BenchmarkPlan(scenarios=("single",), seconds=0.01))
    with pytest.raises(OutputError, match="cannot write"):
        write_samples(found, tmp_path / "nowhere" / "samples.npz")


def test_a_contender_that_does_not_work_is_a_note_and_the_others_are_measured(bundle):
    def broken(graph, feed):
        raise ContenderError(f"abacus not measured: no {graph} beads")

    def other(graph, feed):
        return Contender("torch", graph, "cpu", "fp32", 1, lambda: None)

    report = run_benchmark(bundle, QUICK, (broken, other), notes=("no GPU",)).report
    assert report.notes[:3] == (
        "no GPU",
        "abacus not measured: no windowed beads",
        "abacus not measured: no streaming beads",
    )
    assert {row.contender for row in report.rows} == {"torch", "onnxruntime"}


def test_processes_of_their_own_and_capacities(bundle):
    plan = BenchmarkPlan(scenarios=("paced", "assets", "cold"), seconds=0.1, cold_runs=1, asset_rates=(500.0,))
    report = run_benchmark(bundle, plan).report
    assert [(row.scenario, row.contender, row.rate_hz) for row in report.rows] == [
        ("paced", "onnxruntime", 50.0),
        ("paced", "default session", 50.0),
    ]
    assert [start.contender for start in report.cold] == ["onnxruntime", "default session"]
    assert {(one.graph, one.rate_hz) for one in report.capacities} == {("windowed", 500.0), ("streaming", 500.0)}


def test_every_scenario_is_every_one_that_fits(bundle):
    assert every_scenario(bundle, (1, 4)) == ("single", "bulk", "stream", "paced", "assets", "cold")
    assert every_scenario(bundle, (1,)) == ("single", "stream", "paced", "assets", "cold")


def test_a_device_with_memory_of_its_own_is_measured_with_its_copies_apart(bundle, monkeypatch):
    monkeypatch.setattr("toolkit.benchmark.run.device_of", lambda provider: "cuda")
    found = run_benchmark(bundle, BenchmarkPlan(scenarios=("single",), seconds=0.05))
    plain, device = found.report.rows
    assert (plain.copy_in_ms, len(found.samples)) == (None, 1)
    assert device.scenario == "single"
    assert min(device.copy_in_ms, device.compute_ms, device.copy_out_ms) > 0
