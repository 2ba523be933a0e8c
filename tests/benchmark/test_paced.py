from pathlib import Path

import pytest

from toolkit.benchmark.paced import PacedMeasurement, measure_paced, paced_row, paced_rows
from toolkit.benchmark.worker_protocol import Memory, PacedTurn, Worker
from toolkit.benchmark.workers import bundle_workers
from toolkit.errors import ConfigError

ROUNDS = 6


def measured(contender: str, service_ms: tuple[int, ...], cpu_ms: int) -> PacedMeasurement:
    worker = Worker(contender, (), "windowed", "cpu", "fp32", 1, "", options={"session": "own"})
    service = tuple(ms * 1_000_000 for ms in service_ms)
    turn = PacedTurn(service, tuple(ns + 500_000 for ns in service), cpu_ms * 1_000_000)
    return PacedMeasurement(worker, (turn,) * ROUNDS, Memory(60.0, 61.0))


def test_a_row_says_what_the_samples_say() -> None:
    own, torch = measured("onnxruntime", (1, 2, 2, 9), 20), measured("torch", (4, 4, 4, 4), 80)
    row = paced_row(own, torch, (1, 60), 50.0)
    assert (row.scenario, row.contender, row.batch, row.sequence, row.count, row.rate_hz) == (
        "paced",
        "onnxruntime",
        1,
        60,
        24,
        50.0,
    )
    assert (row.p50_ms, row.p99_ms, row.max_ms, row.mean_ms) == (2, 9, 9, 3.5)
    assert row.block_medians_ms == (2.0,) * ROUNDS
    assert row.cpu_s_per_1000 == pytest.approx(5.0)
    assert (row.ratio_to_torch, row.ratio_interval) == (2.0, (2.0, 2.0))
    assert (row.rss_mb, row.peak_rss_mb) == (60.0, 61.0)
    assert row.options == {"session": "own", "late_p99_ms": "9.500"}
    assert row.noisy == ""


def test_without_torch_there_is_no_ratio() -> None:
    row = paced_row(measured("onnxruntime", (1,), 1), None, (1, 60), 50.0)
    assert (row.ratio_to_torch, row.ratio_interval) == (None, None)


@pytest.mark.parametrize(("rate", "seconds"), [(0, 1), (-1, 1), (50, 0), (float("nan"), 1)])
def test_a_rate_or_a_time_of_nothing_is_refused(rate: float, seconds: float) -> None:
    with pytest.raises(ConfigError, match="paced requests"):
        measure_paced([], rate, seconds)


def test_processes_take_turns(whole: Path) -> None:
    rows = paced_rows(whole, bundle_workers(whole), 100, 0.12)
    assert [(row.contender, row.count, len(row.block_medians_ms)) for row in rows] == [
        ("onnxruntime", 12, ROUNDS),
        ("default session", 12, ROUNDS),
    ]
    assert all(row.cpu_s_per_1000 > 0 and row.ratio_to_torch is None for row in rows)


def test_there_is_a_pause_before_each_turn(whole: Path) -> None:
    pauses: list[float] = []
    measure_paced(bundle_workers(whole)[:1], 1000, 0.006, pause=pauses.append)
    assert len(pauses) == ROUNDS
