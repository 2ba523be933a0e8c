import json
from dataclasses import replace

import numpy as np
import pytest
from latency_rows import cold, row

from toolkit.benchmark.compare import change_label, compare_reports, raise_if_worse
from toolkit.benchmark.report_file import read_latency_report
from toolkit.contract.latency_reports import AssetCapacity, LatencyReport
from toolkit.contract.reports import report_to_json
from toolkit.errors import ConfigError, RegressionError, ReportError

ENVIRONMENT = {"cpu": "Abacus 3000", "packages": {"onnxruntime": "1.32.0"}}
BUNDLE = {"model": "cell lstm, num_layers 2", "manifest_sha256": "00"}


def rounds(median_ms, spread=0.02, count=40):
    return tuple(np.linspace(median_ms * (1 - spread), median_ms * (1 + spread), count).tolist())


def timed(median_ms=1.0, spread=0.02, count=40, **changes):
    return row(p50_ms=median_ms, block_medians_ms=rounds(median_ms, spread, count), **changes)


def report(*rows, **others):
    return LatencyReport(**{"rows": rows, "notes": (), "environment": ENVIRONMENT, "bundle": BUNDLE, **others})


def verdicts(before, after, **options):
    return [(change.figure, change.verdict) for change in compare_reports(before, after, **options).changes]


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        (timed(1.0), "same"),
        (timed(1.04), "same"),  # beyond noise, but below what matters
        (timed(1.2), "worse"),
        (timed(0.8), "better"),
        (timed(1.2, spread=0.6), "too noisy to tell"),
        (timed(1.2, count=5), "too noisy to tell"),
    ],
)
def test_a_change_counts_where_it_is_beyond_noise_and_matters(after, verdict):
    assert verdicts(report(timed(1.0)), report(after)) == [("p50_ms", verdict)]


def test_an_interval_that_holds_1_is_noise_however_large_the_change():
    wide = (1.0, 1.02, 1.04, 1.0, 1.3, 1.35, 1.4, 1.3)
    other = replace(timed(), block_medians_ms=(1.0, 1.02, 1.0, 1.01, 1.32, 1.3, 1.0))
    assert verdicts(report(replace(timed(), block_medians_ms=wide)), report(other)) == [("p50_ms", "too noisy to tell")]


def test_the_least_change_is_the_users_to_set():
    before, after = report(timed(1.0)), report(timed(1.2))
    assert verdicts(before, after, least_percent=25) == [("p50_ms", "same")]
    assert verdicts(report(timed(1.0, 0.001)), report(timed(1.04, 0.001)), least_percent=1) == [("p50_ms", "worse")]
    for wrong in (-1, float("nan"), 1e9):
        with pytest.raises(ConfigError, match="--least"):
            compare_reports(before, after, least_percent=wrong)


def test_rows_are_matched_by_what_they_are_and_not_by_their_place():
    kinds = [
        timed(scenario="bulk"),
        timed(scenario="bulk", predictor="bulk"),
        timed(precision="int8"),
        timed(threads=2),
        timed(sequence=20),
        timed(batch=2),
        timed(provider="CUDA"),
        timed(),
    ]
    slow = replace(kinds[-1], p50_ms=1.5, block_medians_ms=rounds(1.5))
    found = compare_reports(report(*kinds), report(slow, *kinds[:-1]))
    assert found.regressions == 1
    assert [change_label(change) for change in found.changes if change.verdict != "same"] == ["single onnxruntime "
        "CPU 1 x 12"]  # fmt: skip
    assert found.notes == ()


def test_a_row_that_one_report_alone_has_is_noted():
    found = compare_reports(report(timed(), timed(batch=8)), report(timed(), timed(threads=2)))
    assert len(found.changes) == 1
    assert found.notes[0].startswith("1 row in the first report alone, such as single onnxruntime windowed")
    assert found.notes[1].startswith("1 row in the second report alone")


def test_torch_is_a_control_and_no_regression():
    torch = {"contender": "torch", "provider": "cpu", "predictor": ""}
    found = compare_reports(report(timed(), timed(**torch)), report(timed(), timed(1.3, **torch)))
    assert found.regressions == 0
    raise_if_worse(found)
    assert found.notes == ("single torch 1 x 12 changed too, to 1.30 times its p50_ms: the machine was not as it was",)


def test_cold_starts_capacities_and_processor_time_are_compared():
    def whole(total=100.0, rss=60.0, assets=100, cpu=0.01):
        start = replace(cold(rss=rss), total_ms=total, totals_ms=rounds(total, count=7))
        capacity = AssetCapacity("onnxruntime", "windowed", "fp32", 10.0, assets, 90.0, 99.0)
        return report(timed(scenario="paced", cpu_s_per_1000=cpu), cold=(start,), capacities=(capacity,))

    names = ["p50_ms", "cpu_s_per_1000", "total_ms", "rss_mb", "assets"]
    worse = verdicts(whole(), whole(total=120.0, rss=70.0, assets=60, cpu=0.02))
    assert worse == [("p50_ms", "same"), *((name, "worse") for name in names[1:])]
    better = verdicts(whole(), whole(total=80.0, rss=50.0, assets=160, cpu=0.005))
    assert better == [("p50_ms", "same"), *((name, "better") for name in names[1:])]
    assert verdicts(whole(), whole(cpu=0.012)) == [(name, "same") for name in names]
    assert verdicts(whole(), whole(assets=80))[-1] == ("assets", "same")  # a search is no finer
    assert verdicts(whole(assets=0), whole(assets=0))[-1] == ("assets", "same")
    assert verdicts(whole(assets=3), whole(assets=0))[-1] == ("assets", "worse")


def test_a_regression_is_status_1_and_names_the_worst():
    found = compare_reports(report(timed(), timed(batch=2)), report(timed(1.5), timed(2.0, batch=2)))
    with pytest.raises(RegressionError) as caught:
        raise_if_worse(found)
    assert caught.value.exit_status == 1
    assert str(caught.value).startswith("2 figures are worse beyond noise; the worst: single onnxruntime CPU 2 x 12;")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (report(timed(), environment={"cpu": "Slide rule"}), "different machines; got Abacus 3000 and Slide rule"),
        (report(timed(), bundle={"model": "cell gru"}), "different models; got cell lstm, num_layers 2 and cell gru"),
    ],
)
def test_other_machines_and_models_only_across(other, words):
    with pytest.raises(ReportError, match=words):
        compare_reports(report(timed()), other)
    found = compare_reports(report(timed()), other, across=True)
    assert found.notes[0] == words.replace("; got", ":")


def test_nothing_in_common_is_refused():
    with pytest.raises(ReportError, match="no row in common"):
        compare_reports(report(timed()), report(timed(batch=2)))
    with pytest.raises(ReportError, match="no row in common; got no rows"):
        compare_reports(report(), report())


def test_another_bundle_or_runtime_of_the_same_model_is_noted():
    other = report(timed(), bundle={**BUNDLE, "manifest_sha256": "11"}, environment={"cpu": "Abacus 3000"})
    assert compare_reports(report(timed()), other).notes == (
        "the two bundles are not the same",
        "onnxruntime 1.32.0 and None",
    )


def test_a_report_is_read_as_it_was_written(tmp_path):
    whole = report(timed(), cold=(cold(),))
    (tmp_path / "a.json").write_text(report_to_json(whole))
    assert read_latency_report(tmp_path / "a.json") == whole


def changed(**changes):
    value = json.loads(report_to_json(report(timed())))
    value["rows"][0].update(changes)
    return json.dumps(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no JSON"),
        ("[1]", "is no latency report; got no schema"),
        ('{"schema": "parity/1"}', "is no latency report; got schema 'parity/1'"),
        ('{"schema": ["latency/2"]}', "is no latency report"),
        (
            '{"schema": "latency/1", "rows": []}',
            "another schema; got latency/1; allowed: latency/2; fix: measure again",
        ),
        ('{"schema": "latency/2"}', "lacks the key 'rows'"),
        (changed(p50_ms=float("nan")), "p50_ms; got nan; allowed: a finite number"),
        (changed(p50_ms="fast"), "p50_ms"),
        (changed(p50_ms=0), "p50_ms; got 0.0; allowed: above 0"),
        (changed(block_medians_ms=[1.0, -1.0]), "block_medians_ms; got -1.0"),
        (changed(speed=1), "unknown key; got 'speed'"),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path, text, words):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ReportError, match=words) as caught:
        read_latency_report(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


def test_a_place_without_a_report_is_refused(tmp_path):
    with pytest.raises(ReportError, match=r"cannot read .*nowhere"):
        read_latency_report(tmp_path / "nowhere.json")
    with pytest.raises(ReportError):
        read_latency_report(tmp_path)
