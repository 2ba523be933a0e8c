import pytest

from toolkit.benchmark.crossover import crossovers
from toolkit.contract.latency_reports import Crossover, LatencyRow
from toolkit.runtime.session import CPU

CUDA = "CUDAExecutionProvider"


def row(provider, batch, ms, **others):
    rounds = tuple(ms * factor for factor in (0.99, 1.0, 1.01, 1.0, 0.995))
    told = {"scenario": "bulk", "contender": "onnxruntime", "graph": "windowed", "precision": "fp32", "sequence": 60}
    figures = dict.fromkeys(["p90_ms", "p99_ms", "max_ms", "throughput_per_s", "cpu_s_per_1000", "rss_mb"])
    return LatencyRow(
        **{**told, **figures, "provider": provider, "batch": batch, "threads": 1, "count": 5, "p50_ms": ms}
        | {"ratio_to_torch": None, "block_medians_ms": rounds}
        | others
    )


def pairs(*times, **others):
    return [row(who, batch, ms, **others) for batch, *both in times for who, ms in zip((CPU, CUDA), both, strict=True)]


def test_the_smallest_batch_from_which_on_every_larger_one_is_won():
    (found,) = crossovers(pairs((1, 1.0, 2.0), (4, 2.0, 1.0), (16, 3.0, 4.0), (64, 9.0, 3.0), (256, 40.0, 4.0)))
    assert found == Crossover("windowed", CUDA, 64, (1, 4, 16, 64, 256), pytest.approx((0.5, 2.0, 0.75, 3.0, 10.0)))


def test_the_order_of_rows_is_of_no_account():
    rows = pairs((1, 1.0, 2.0), (4, 2.0, 1.0), (16, 8.0, 1.0))
    assert crossovers(rows[::-1]) == crossovers(rows)
    assert crossovers(rows)[0].batch == 4


def test_a_difference_within_the_noise_is_no_win():
    wild = (1.0, 3.0, 1.0, 3.0, 2.0)
    rows = [row(CPU, 1, 2.0, block_medians_ms=wild), row(CUDA, 1, 1.9)]
    assert crossovers(rows)[0].batch is None
    assert crossovers([rows[0], row(CUDA, 1, 1.9, block_medians_ms=(1.9,) * 4)])[0].batch is None


def test_a_row_that_is_too_noisy_to_tell_wins_nothing():
    assert crossovers([row(CPU, 1, 2.0), row(CUDA, 1, 1.0, noisy="three rounds")])[0].batch is None


def test_of_several_rows_the_quickest_counts():
    rows = [row(CPU, 64, 9.0), row(CPU, 64, 3.0), row(CUDA, 64, 4.0), row(CUDA, 64, 6.0)]
    assert crossovers(rows)[0].ratios == pytest.approx((0.75,))


def test_only_like_is_held_against_like():
    rows = [row(CPU, 1, 2.0), row(CUDA, 1, 1.0, sequence=20), row(CUDA, 1, 1.0, precision="fp16")]
    assert crossovers([*rows, row(CUDA, 4, 1.0), row("torch", 1, 9.0, contender="torch")]) == ()


def test_each_graph_and_provider_has_its_own():
    rows = pairs((1, 2.0, 1.0)) + pairs((1, 1.0, 2.0), graph="streaming", sequence=1)
    assert [(one.graph, one.batch) for one in crossovers(rows)] == [("windowed", 1), ("streaming", None)]


def test_rounds_of_two_runs_are_compared_as_well():
    rows = [row(CPU, 1, 2.0), row(CUDA, 1, 1.0, block_medians_ms=(1.0,) * 9)]
    assert crossovers(rows)[0].batch == 1
    assert crossovers(rows)[0].ratios == pytest.approx((2.0,))
