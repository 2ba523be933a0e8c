from pathlib import Path

import pytest

from toolkit.benchmark.cold import ColdSample, cold_starts, measure_cold, sum_up
from toolkit.benchmark.worker_protocol import Memory, Start, Worker
from toolkit.benchmark.workers import bundle_workers
from toolkit.errors import ConfigError


def worker(contender: str, graph: str = "windowed") -> Worker:
    return Worker(contender, (), graph, "cpu", "fp32", 1, "")


def sample(total_ms: int, session_ms: int = 10, rss: float | None = 60.0) -> ColdSample:
    start = Start(total_ms * 1_000_000, session_ms * 1_000_000, 2_000_000)
    return ColdSample(start, Memory(rss, None if rss is None else rss + 1))


def test_medians_and_ratios_within_rounds() -> None:
    own = [sample(100), sample(400), sample(200)]
    torch = [sample(1000, rss=240.0), sample(2000, rss=240.0), sample(1200, rss=240.0)]
    row, reference = sum_up([worker("onnxruntime"), worker("torch")], [own, torch])
    assert (row.runs, row.total_ms, row.session_ms, row.first_answer_ms, row.import_ms) == (3, 200, 10, 2, 188)
    assert row.totals_ms == (100, 400, 200)
    assert row.ratio_to_torch == 6  # of 10, 5 and 6; the medians' own would be that too with other rounds
    assert (row.rss_mb, row.peak_rss_mb, row.memory_ratio_to_torch) == (60, 61, 4)
    assert (reference.ratio_to_torch, reference.memory_ratio_to_torch) == (1, 1)


def test_torch_on_another_graph_is_no_reference() -> None:
    row, _ = sum_up([worker("onnxruntime"), worker("torch", "streaming")], [[sample(100)], [sample(900)]])
    assert (row.ratio_to_torch, row.memory_ratio_to_torch) == (None, None)


def test_memory_that_nobody_tells_is_none() -> None:
    row, _ = sum_up([worker("onnxruntime"), worker("torch")], [[sample(100, rss=None)], [sample(900)]])
    assert (row.rss_mb, row.peak_rss_mb, row.memory_ratio_to_torch) == (None, None, None)
    assert row.ratio_to_torch == 9


def test_one_start_of_each_is_thrown_away_and_the_order_is_shuffled() -> None:
    workers = [worker("onnxruntime"), worker("torch")]
    asked: list[str] = []

    def taken(one: Worker) -> ColdSample:
        asked.append(one.contender)
        return sample(len(asked))

    own, torch = measure_cold(workers, 8, sample=taken)
    assert asked[:2] == ["onnxruntime", "torch"]
    rounds = [tuple(asked[place : place + 2]) for place in range(2, 18, 2)]
    assert set(rounds) == {("onnxruntime", "torch"), ("torch", "onnxruntime")}
    assert (len(own), len(torch)) == (8, 8)
    totals = [one.start.total_ns // 1_000_000 for one in own]
    assert totals == [place + 1 for place, name in enumerate(asked) if name == "onnxruntime" and place > 1]


@pytest.mark.parametrize("runs", [0, -1])
def test_no_run_is_refused(runs: int) -> None:
    with pytest.raises(ConfigError, match="runs of a cold start"):
        cold_starts([], runs)


def test_fresh_processes_answer(whole: Path) -> None:
    (row,) = cold_starts(bundle_workers(whole)[:1], runs=1)
    assert (row.contender, row.runs, len(row.totals_ms)) == ("onnxruntime", 1, 1)
    assert 0 < row.session_ms < row.total_ms
