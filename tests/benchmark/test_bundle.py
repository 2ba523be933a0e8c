import dataclasses
import hashlib
import itertools
import json

import numpy as np
import pytest
import tiny_bundles

from toolkit.benchmark.bundle import BenchmarkPlan, benchmark_bundle, bundle_feed
from toolkit.benchmark.scenarios import Contender
from toolkit.contract.reports import report_to_json
from toolkit.errors import BundleError, ConfigError, ProviderError, RequestError
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.golden import unpack_golden
from toolkit.runtime.session import SessionPolicy

MS = 1_000_000
REPORT_KEYS = {"schema", "rows", "notes", "environment", "bundle", "cold", "capacities", "crossovers"}
ROW_KEYS = {
    "scenario",
    "contender",
    "graph",
    "provider",
    "precision",
    "batch",
    "sequence",
    "threads",
    "count",
    "p50_ms",
    "p90_ms",
    "p99_ms",
    "max_ms",
    "throughput_per_s",
    "cpu_s_per_1000",
    "rss_mb",
    "ratio_to_torch",
}


class FakeClock:
    """Every look at it takes a millisecond, so that every call takes one; calls may take more."""

    def __init__(self):
        self.time = 0

    def now_ns(self):
        self.time += MS
        return self.time

    def cpu_ns(self):
        return self.time

    def torch(self, graph, feed):
        """A contender that takes three milliseconds."""

        def call():
            self.time += 2 * MS

        return Contender("torch", graph, "cpu", "fp32", 1, call)


@pytest.fixture(scope="module")
def bundle(whole):
    return load_bundle(whole)


PLAN = BenchmarkPlan(batches=(1, 4), sequences=(12, 20), seconds=0.2)


@pytest.fixture(scope="module")
def beside_torch(bundle):
    clock = FakeClock()
    return benchmark_bundle(bundle, PLAN, [clock.torch], ["no GPU"], clock)


def test_the_keys_that_others_rely_on(beside_torch):
    value = json.loads(report_to_json(beside_torch))
    assert set(value) == REPORT_KEYS
    assert value["schema"] == "latency/2"
    assert value["notes"] == ["no GPU"]
    assert all(set(row) >= ROW_KEYS for row in value["rows"])


def test_every_scenario_with_every_contender(beside_torch):
    found = [(r.scenario, r.graph, r.batch, r.sequence) for r in beside_torch.rows if r.contender == "torch"]
    assert found == [
        ("single", "windowed", 1, 12),
        ("bulk", "windowed", 4, 12),
        ("single", "windowed", 1, 20),
        ("bulk", "windowed", 4, 20),
        ("stream", "streaming", 1, 1),
        ("stream", "streaming", 4, 1),
    ]
    single, bulk, stream = (["torch", *own] for own in (["predict"], ["predict", "bulk"], ["advance", "step"]))
    ways = [row.options.get("predictor", row.contender) for row in beside_torch.rows]
    assert ways == [*single, *bulk, *single, *bulk, *stream, *stream]
    assert all(row.options["spinning"] == "off" for row in beside_torch.rows if row.contender == "onnxruntime")
    assert {(row.provider, row.threads, row.precision) for row in beside_torch.rows} == {
        ("cpu", 1, "fp32"),
        ("CPUExecutionProvider", 1, "fp32"),
    }


def test_figures_are_exact_under_a_fake_clock(beside_torch):
    for row in beside_torch.rows:
        wanted = 3.0 if row.contender == "torch" else 1.0
        assert (row.p50_ms, row.p90_ms, row.p99_ms, row.max_ms) == (wanted,) * 4
        assert row.ratio_to_torch == (1.0 if row.contender == "torch" else 3.0)
        assert row.throughput_per_s == pytest.approx(row.batch * 1000 / wanted)
        assert row.count > 0
        assert row.rss_mb is None


def test_without_torch_there_is_no_ratio(bundle):
    report = benchmark_bundle(bundle, BenchmarkPlan(batches=(1,), seconds=0.05), clock=FakeClock())
    assert [row.contender for row in report.rows] == ["onnxruntime"] * 3
    assert [row.ratio_to_torch for row in report.rows] == [None] * 3
    assert report.notes == ()


def test_the_models_window_is_what_is_measured_unless_told_otherwise(bundle):
    report = benchmark_bundle(bundle, BenchmarkPlan(batches=(2,), seconds=0.05), clock=FakeClock())
    assert {(row.graph, row.sequence) for row in report.rows} == {("windowed", 12), ("streaming", 1)}


def scenarios(bundle, **plan):
    rows = benchmark_bundle(bundle, BenchmarkPlan(seconds=0.02, **plan), clock=FakeClock()).rows
    return list(dict.fromkeys((row.scenario, row.batch, row.sequence) for row in rows))


def test_scenarios_that_are_asked_for(bundle):
    assert scenarios(bundle, scenarios=("single",)) == [("single", 1, 12)]
    assert scenarios(bundle, scenarios=("single",), batches=(4,)) == [("single", 1, 12)]
    assert scenarios(bundle, scenarios=("bulk",), batches=(1, 4)) == [("bulk", 4, 12)]
    assert scenarios(bundle, scenarios=("stream",), batches=(1,), chunks=(1, 5, 5)) == [
        ("stream", 1, 1),
        ("stream", 1, 5),
    ]
    assert scenarios(bundle, batches=(4,)) == [("bulk", 4, 12), ("stream", 4, 1)]


def test_a_scenario_that_nothing_fits(bundle):
    with pytest.raises(ConfigError, match="--scenario bulk; got batch 1 alone; allowed: a --batch above 1"):
        scenarios(bundle, scenarios=("bulk",), batches=(1,))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"scenarios": ("bulc",)}, "--scenario; got bulc; allowed: single, bulk, stream, paced, assets, cold"),
        ({"chunks": (1, 0)}, "--chunk; got 0"),
        ({"rate_hz": 0.0}, "--rate; got 0.0"),
        ({"rate_hz": float("nan")}, "--rate; got nan"),
        ({"cold_runs": 0}, "--runs; got 0"),
    ],
)
def test_a_plan_beyond_reason(wrong, words):
    with pytest.raises(ConfigError, match=words):
        BenchmarkPlan(**wrong)


def test_a_report_says_of_which_bundle_and_machine_it_is(bundle, beside_torch):
    about = beside_torch.bundle
    assert about["manifest_sha256"] == hashlib.sha256((bundle.folder / "manifest.json").read_bytes()).hexdigest()
    assert about["model"].startswith("cell lstm, num_layers 1, hidden_size 8, input_size 2,")
    assert (about["batches"], about["sequences"], about["seconds"]) == ("1, 4", "12, 20", "0.2")
    environment = beside_torch.environment
    assert {"cpu", "cpu_features", "governor", "cores", "packages", "commit"} <= set(environment)
    assert environment["threads"] == 1
    assert "CPUExecutionProvider" in environment["provider_options"]
    assert set(environment["load_average"]) == {"start", "end"}


def test_contenders_that_were_not_warm_are_noted(bundle):
    clock = FakeClock()

    def wild(graph, feed):
        turns = itertools.cycle([0] * 10 + [9 * MS])

        def call():
            clock.time += next(turns)

        return Contender("torch", graph, "cpu", "fp32", 1, call)

    report = benchmark_bundle(bundle, BenchmarkPlan(scenarios=("single",), seconds=0.5), [wild], clock=clock)
    assert report.notes == ("still changing when their warm-up had to end: torch in single 1 x 12",)


def test_both_contenders_get_the_same_inputs(bundle):
    given = []

    def other(graph, feed):
        given.append((graph, feed))
        return Contender("torch", graph, "cpu", "fp32", 1, lambda: None)

    benchmark_bundle(bundle, BenchmarkPlan(batches=(3,), seconds=0.05), [other], clock=FakeClock())
    for graph, feed in given:
        np.testing.assert_equal(feed, bundle_feed(bundle, graph, 3, 12 if graph == "windowed" else 1))


@pytest.mark.parametrize(("batch", "sequence"), [(1, 1), (2, 12), (7, 40)])
def test_inputs_of_any_size_are_golden_ones(bundle, batch, sequence):
    golden = [case for case in unpack_golden(bundle.read("golden.npz")) if case.graph == "streaming"]
    rows = {tuple(row) for case in golden for row in case.inputs["x"].reshape(-1, 2).tolist()}
    feed = bundle_feed(bundle, "streaming", batch, sequence)
    assert feed["x"].shape == (batch, sequence, 2)
    assert feed["h0"].shape == feed["c0"].shape == (1, batch, 8)
    assert {tuple(row) for row in feed["x"].reshape(-1, 2).tolist()} <= rows
    assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in feed.values())
    assert set(bundle_feed(bundle, "windowed", batch, sequence)) == {"x"}
    assert len(np.unique(feed["x"][..., 0], axis=1).T) == min(sequence, 12)  # the window of the largest golden case


@pytest.mark.parametrize("sequence", [0, -3])
def test_a_sequence_shorter_than_the_model_takes(bundle, sequence):
    with pytest.raises(ConfigError, match=f"--sequence; got {sequence}; allowed: 1 "):
        benchmark_bundle(bundle, BenchmarkPlan(sequences=(12, sequence)), clock=FakeClock())


@pytest.mark.parametrize("batch", [0, -2])
def test_a_batch_of_nothing(bundle, batch):
    with pytest.raises(RequestError) as caught:
        benchmark_bundle(bundle, BenchmarkPlan(batches=(1, batch)), clock=FakeClock())
    assert "\n" not in str(caught.value)


def test_a_provider_that_is_not_there(bundle):
    with pytest.raises(RequestError, match="Abacus is not in this onnxruntime"):
        benchmark_bundle(bundle, BenchmarkPlan(providers=("Abacus",)), clock=FakeClock())


def test_a_damaged_graph_is_not_measured(folder):
    tiny_bundles.put(folder, "streaming.onnx", b"not a graph")
    with pytest.raises(BundleError, match=r"streaming\.onnx is no ONNX file"):
        benchmark_bundle(load_bundle(folder), BenchmarkPlan(batches=(1,), seconds=0.05), clock=FakeClock())


def test_a_provider_that_leaves_nodes_to_the_cpu_is_not_measured(bundle, monkeypatch):
    asked = []

    def refuse(bundle, entry, policy):
        asked.append((entry.name, policy.provider))
        raise ProviderError("it leaves work to another provider")

    monkeypatch.setattr("toolkit.benchmark.bundle.require_provider", refuse)
    with pytest.raises(ProviderError):
        benchmark_bundle(bundle, BenchmarkPlan(providers=("CPUExecutionProvider",)), clock=FakeClock())
    assert asked == [("windowed", "CPUExecutionProvider")]


def test_a_tuned_session_is_a_contender_of_its_own(bundle):
    tuned = {"streaming": (SessionPolicy(optimisation="basic"), "fp32")}
    plan = dataclasses.replace(PLAN, tuned=tuned)
    rows = benchmark_bundle(bundle, plan, clock=FakeClock()).rows
    assert {row.graph for row in rows if row.contender == "tuned session"} == {"streaming"}
    assert {row.options["optimisation"] for row in rows if row.contender == "tuned session"} == {"basic"}
    assert {row.options["optimisation"] for row in rows if row.contender == "onnxruntime"} == {"all"}
