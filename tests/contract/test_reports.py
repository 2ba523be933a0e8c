import json
from dataclasses import replace

import pytest

from toolkit.contract.latency_reports import LatencyReport, LatencyRow
from toolkit.contract.parity_reports import Divergence, ParityCase, ParityReport, ParitySummary
from toolkit.contract.reports import Errors, Scores, TrainingReport, report_to_json

ERRORS = Errors(1.0, 0.5)
SCORES = Scores(ERRORS, ERRORS, {"OT": ERRORS})
TRAINING = TrainingReport(
    ERRORS, ERRORS, {"OT": ERRORS}, {"persistence": SCORES, "seasonal": SCORES}, 24, 3, 2, 1.5, 99, {"test": 7}, "", {}
)
CASE = ParityCase("windowed", "CPUExecutionProvider", "fp32", 1, 2, "ordinary", 1e-7, 1e-7, 1e-7, 1e-5, True)
PARITY = ParityReport(False, (CASE,), Divergence("hn", 3, 0, None), ParitySummary(1, 1, 1e-7), {})
ROW = LatencyRow("single", "torch", "windowed", "cpu", "fp32", 1, 60, 1, 9, 1.0, 1.0, 1.0, 1.0, None, None, None, 1.0)
LATENCY = LatencyReport((ROW,), ("no CUDA",), {})

TRAINING_KEYS = "schema test test_standardised baselines epochs best_epoch seconds parameters"
TRAINING_ADDED = "per_target season windows verdict environment notes seeds interval streaming"
CASE_KEYS = "graph provider precision batch sequence input max_abs_diff torch_error ort_error passed"
CASE_ADDED = "tolerance problem pool threads optimisation"
ROW_KEYS = (
    "scenario contender graph provider precision batch sequence threads count p50_ms p90_ms p99_ms max_ms "
    "throughput_per_s cpu_s_per_1000 rss_mb ratio_to_torch"
)
ROW_ADDED = (
    "p999_ms mean_ms intervals_ms ratio_interval variation noisy block_medians_ms rate_hz peak_rss_mb copy_in_ms "
    "copy_out_ms compute_ms options"
)


def written(report):
    return json.loads(report_to_json(report))


def keys(*words):
    return set(" ".join(words).split())


def test_training_report_has_these_keys():
    report = written(TRAINING)
    assert report.keys() == keys(TRAINING_KEYS, TRAINING_ADDED)
    assert report["schema"] == "training/1"
    assert report["test"] == {"mse": 1.0, "mae": 0.5}
    assert report["test_standardised"].keys() == {"mse", "mae"}
    assert report["baselines"].keys() == {"persistence", "seasonal"}
    for scores in report["baselines"].values():
        assert scores.keys() == {"test", "test_standardised", "per_target"}
        assert scores["test"].keys() == scores["test_standardised"].keys() == {"mse", "mae"}


def test_parity_report_has_these_keys():
    report = written(PARITY)
    assert report.keys() == keys(
        "schema passed cases divergence summary environment notes parting unit weights variants profiles by_design"
    )
    assert report["schema"] == "parity/1"
    assert report["cases"][0].keys() == keys(CASE_KEYS, CASE_ADDED)
    assert report["divergence"] == {"tensor": "hn", "step": 3, "batch": 0, "channel": None}
    assert report["summary"].keys() == {"cases", "failed", "worst", "used"}
    assert written(replace(PARITY, divergence=None))["divergence"] is None


def test_latency_report_has_these_keys():
    report = written(LATENCY)
    assert report.keys() == keys("schema rows environment notes bundle cold capacities crossovers")
    assert report["schema"] == "latency/2"
    assert report["rows"][0].keys() == keys(ROW_KEYS, ROW_ADDED)
    assert report["rows"][0]["rss_mb"] is None


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_json_has_no_word_for_becomes_null(number):
    report = replace(PARITY, cases=(replace(CASE, max_abs_diff=number),), environment={"deep": [number, 1]})
    assert written(report)["cases"][0]["max_abs_diff"] is None
    assert written(report)["environment"] == {"deep": [None, 1]}
