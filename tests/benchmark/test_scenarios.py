from dataclasses import replace

import pytest

from toolkit.benchmark.scenarios import Contender, Scenario, request_label, row_label, run_scenario
from toolkit.contract.latency_reports import LatencyReport
from toolkit.contract.reports import report_to_json
from toolkit.errors import ConfigError, InputError

MS = 1_000_000


class FakeClock:
    """Each contender takes a fixed time, four times as long while the machine is busy."""

    def __init__(self):
        self.time = 0
        self.cpu = 0
        self.busy = lambda: 1

    def now_ns(self):
        return self.time

    def cpu_ns(self):
        return self.cpu

    def contender(self, name, times_ns, graph="windowed", cpu_share=1.0):
        def call():
            self.time += times_ns * self.busy()
            self.cpu += round(times_ns * cpu_share)

        return Contender(name, graph, "cpu" if name == "torch" else "CPUExecutionProvider", "fp32", 1, call)


def timed(clock, name, times_ms):
    """A contender whose calls take the given times."""
    rest = iter(times_ms)

    def call():
        clock.time += next(rest) * MS

    return Contender(name, "windowed", "cpu", "fp32", 1, call)


@pytest.fixture
def clock():
    return FakeClock()


def test_a_row_carries_the_contender_and_its_figures(clock):
    contenders = (clock.contender("torch", 3 * MS), clock.contender("onnxruntime", 1 * MS, cpu_share=0.5))
    rows, raw = run_scenario(Scenario("bulk", 8, 60, contenders), clock, seconds=1)
    torch, ours = rows
    assert (torch.contender, torch.provider, ours.contender, ours.provider) == (
        "torch",
        "cpu",
        "onnxruntime",
        "CPUExecutionProvider",
    )
    assert (ours.scenario, ours.graph, ours.precision, ours.batch, ours.sequence, ours.threads) == (
        "bulk",
        "windowed",
        "fp32",
        8,
        60,
        1,
    )
    assert (ours.p50_ms, ours.p90_ms, ours.p99_ms, ours.max_ms) == (1.0, 1.0, 1.0, 1.0)
    assert (torch.p50_ms, torch.ratio_to_torch, ours.ratio_to_torch) == (3.0, 1.0, 3.0)
    assert ours.throughput_per_s == 8000  # 8 series in 1 ms
    assert ours.cpu_s_per_1000 == pytest.approx(0.5)
    assert ours.rss_mb is None
    assert (ours.p999_ms, ours.mean_ms, ours.variation, ours.noisy) == (1.0, 1.0, 0.0, "")
    assert ours.intervals_ms == dict.fromkeys(("p50", "p90", "p99", "mean"), (1.0, 1.0))
    assert (torch.ratio_interval, ours.ratio_interval) == ((1.0, 1.0), (3.0, 3.0))
    assert ours.block_medians_ms == (1.0,) * 38
    assert [row.count for row in rows] == [measurement.calls_ns.size for measurement in raw]
    assert raw[1].calls_ns.shape == (38, 10)  # 890 ms in rounds of 12 ms + 11 ms


def test_a_streaming_graph_counts_samples(clock):
    rows, _ = run_scenario(Scenario("stream", 2, 5, (clock.contender("onnxruntime", MS, "streaming"),)), clock, 0.1)
    assert rows[0].throughput_per_s == 10_000


def test_without_torch_there_is_no_ratio(clock):
    rows, _ = run_scenario(Scenario("single", 1, 60, (clock.contender("onnxruntime", MS),)), clock, 0.1)
    assert rows[0].ratio_to_torch is None
    assert '"ratio_to_torch": null' in report_to_json(LatencyReport(tuple(rows), (), {}))


def test_torch_is_no_reference_for_another_graph(clock):
    contenders = (clock.contender("torch", MS, "windowed"), clock.contender("onnxruntime", MS, "streaming"))
    rows, _ = run_scenario(Scenario("stream", 1, 1, contenders), clock, 0.1)
    assert [row.ratio_to_torch for row in rows] == [1.0, None]


def test_the_ratio_survives_a_machine_whose_load_changes(clock):
    # Busy in blocks of time much longer than a round: medians move, the ratio within rounds does not.
    clock.busy = lambda: 4 if clock.time // (200 * MS) % 2 else 1
    contenders = (clock.contender("torch", 2 * MS), clock.contender("onnxruntime", MS))
    rows, raw = run_scenario(Scenario("single", 1, 60, contenders), clock, seconds=3)
    assert rows[1].ratio_to_torch == 2.0
    assert set(raw[1].calls_ns.ravel().tolist()) == {MS, 4 * MS}


def test_the_ratio_is_of_rounds_and_not_of_percentiles(clock):
    # Calls so slow that a block is one of them: 3 to warm up, then 3 rounds. The second round is disturbed while
    # torch has its turn, the third as a whole: p50 says 80 / 10, the rounds say 2, 8 and 2.
    torch = timed(clock, "torch", [20, 20, 20, 20, 80, 80])
    ours = timed(clock, "onnxruntime", [10, 10, 10, 10, 10, 40])
    rows, raw = run_scenario(Scenario("single", 1, 60, (torch, ours)), clock, seconds=0.05)
    assert [row.p50_ms for row in rows] == [80.0, 10.0]
    assert rows[1].ratio_to_torch == 2.0
    assert raw[0].calls_ns.shape == (3, 1)


def test_rounds_that_vary_are_too_noisy_to_tell_and_so_is_a_tie(clock):
    clock.busy = lambda: 4 if clock.time // (200 * MS) % 2 else 1
    contenders = (clock.contender("torch", 2 * MS), clock.contender("onnxruntime", MS))
    rows, _ = run_scenario(Scenario("single", 1, 60, contenders), clock, seconds=3)
    assert all(row.noisy.startswith("too noisy to tell: rounds vary by") for row in rows)
    clock.busy = lambda: 1
    tied = (clock.contender("torch", MS), clock.contender("onnxruntime", MS))
    rows, _ = run_scenario(Scenario("single", 1, 60, tied), clock, seconds=1)
    assert [row.noisy for row in rows] == ["", "too noisy to tell which is faster: the ratio is 1 to 1"]


def test_a_warm_up_that_ended_too_early_is_known(clock):
    wild = timed(clock, "onnxruntime", [20, 40] * 50)
    rows, raw = run_scenario(Scenario("single", 1, 60, (clock.contender("torch", MS), wild)), clock, seconds=1)
    assert [measurement.settled for measurement in raw] == [True, False]
    assert request_label(rows[1]) == "onnxruntime in single 1 x 60"


def test_what_else_a_contender_is_set_to_stands_in_its_row(clock):
    own = replace(clock.contender("onnxruntime", MS), options={"predictor": "bulk"}, precision="int8")
    rows, _ = run_scenario(Scenario("bulk", 8, 60, (own,)), clock, seconds=0.1)
    assert rows[0].options == {"predictor": "bulk"}
    assert row_label(rows[0]) == "onnxruntime CPU int8 bulk"
    assert row_label(replace(rows[0], options={"predictor": "predict"}, precision="fp32")) == "onnxruntime CPU"


def test_nothing_to_measure_and_no_time_are_refused(clock):
    with pytest.raises(InputError, match="single has nothing to measure"):
        run_scenario(Scenario("single", 1, 60, ()), clock, 1)
    with pytest.raises(ConfigError, match="above 0"):
        run_scenario(Scenario("single", 1, 60, (clock.contender("torch", MS),)), clock, 0)
