import json
import subprocess
import sys

import edge_bare_bundles
import numpy as np
import pytest
import tiny_bundles

from toolkit.contract.readiness_reports import TrialResult
from toolkit.contract.reports import report_to_json
from toolkit.edge import readiness as room
from toolkit.edge.forecaster import Forecaster
from toolkit.edge.readiness import Budget, check_readiness, parse_budgets
from toolkit.errors import BundleError, ConfigError
from toolkit.runtime.bundle import load_bundle


@pytest.fixture(scope="module")
def report(whole):
    return check_readiness(whole, parse_budgets(["p99_ms=1000", "rss_mb=1000"]), timed_s=0.02)


def test_a_sound_bundle_is_ready(whole, report):
    assert report.ready
    assert report.reasons == ()
    assert report.bundle == {"name": load_bundle(whole).manifest.name, "manifest_sha256": load_bundle(whole).digest}
    assert report.trial.outcome == "passed"
    assert report.environment["packages"]["onnxruntime"]


def test_the_plan_is_what_a_gateway_does(whole, report):
    forecaster = Forecaster(load_bundle(whole))
    plan = report.plan
    assert (plan.graph, plan.window_length) == (forecaster.graph, forecaster.warm_up)
    assert (plan.horizon, plan.sampling, plan.precision) == (3, "rows", "fp32")
    assert {(column.name, column.unit) for column in plan.columns} == {("temperature", ""), ("pressure", "Pa")}
    assert plan.targets == {"pressure": "Pa", "temperature": ""}


def test_the_report_is_json(report):
    value = json.loads(report_to_json(report))
    assert value["schema"] == "readiness/1"
    assert value["trial"]["golden"][0]["graph"] == "windowed"


def test_budgets_are_judged_on_the_graph_that_runs(report):
    latency = next(one for one in report.trial.latency if one.graph == report.plan.graph)
    values = {budget.name: budget.value for budget in report.budgets}
    assert values == {"p99_ms": latency.p99_ms, "rss_mb": report.trial.rss_mb}
    assert all(budget.kept for budget in report.budgets)


def test_a_broken_budget_is_not_ready(whole):
    report = check_readiness(whole, [Budget("p50_ms", 0.0), Budget("peak_rss_mb", 1.0)], timed_s=0.01)
    assert not report.ready
    assert [reason.partition(" is ")[0] for reason in report.reasons] == ["p50_ms", "peak_rss_mb"]


def test_a_figure_that_the_machine_does_not_give_keeps_no_budget(whole, monkeypatch):
    untold = TrialResult("passed", "", load_bundle(whole).digest)
    monkeypatch.setattr(room, "try_bundle", lambda *_, **__: untold)
    report = check_readiness(whole, [Budget("p99_ms", 2.0), Budget("rss_mb", 100.0)])
    assert report.reasons == (
        "p99_ms is not measured, allowed at most 2",
        "rss_mb is not measured, allowed at most 100",
    )


def test_a_bundle_without_a_signal_is_not_ready(folder):
    edge_bare_bundles.without_signal(folder)
    report = check_readiness(folder, timed_s=0.01)
    assert report.trial.outcome == "passed"
    assert not report.ready
    assert report.plan is None
    assert any("export with --signal" in reason for reason in report.reasons)


def test_a_bundle_that_answers_otherwise_here_is_not_ready(folder):
    def nudged(array):
        array.flat[1] += np.float32(0.05)
        return array

    tiny_bundles.damage_graph(folder, "streaming", tiny_bundles.change_weights("lstm.R_l0", nudged))
    report = check_readiness(folder, [Budget("p99_ms", 1000.0)], timed_s=0.01)
    assert not report.ready
    assert len(report.reasons) == 1
    assert "times the tolerance" in report.reasons[0]


def test_a_bundle_that_killed_its_trial_is_not_looked_at_here(whole, monkeypatch):
    monkeypatch.setattr(room, "try_bundle", lambda *_, **__: TrialResult("died", "it was aborted by SIGABRT"))
    monkeypatch.setattr("toolkit.runtime.bundle.load_bundle", None)
    report = check_readiness(whole)
    assert (report.ready, report.reasons) == (False, ("it was aborted by SIGABRT",))


def test_a_damaged_bundle_is_a_wrong_request(folder):
    (folder / "windowed.onnx").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"windowed\.onnx is not the file"):
        check_readiness(folder)


def test_a_bundle_that_changes_while_it_is_tried_is_refused(whole, monkeypatch):
    monkeypatch.setattr(room, "try_bundle", lambda *_, **__: TrialResult("passed", "", "0" * 64))
    with pytest.raises(BundleError, match="changed while it was tried"):
        check_readiness(whole)


def test_a_session_file_that_is_not_there(whole, tmp_path):
    with pytest.raises(ConfigError, match="no session file"):
        check_readiness(whole, session_file=tmp_path / "session.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("p99_ms", "allowed: KEY=NUMBER"),
        ("p99ms=2", "did you mean 'p99_ms'"),
        ("stream.p99_ms=2", "unknown key"),
        ("p99_ms=fast", "a number of 0 or more"),
        ("p99_ms=-1", "a number of 0 or more"),
        ("p99_ms=nan", "a number of 0 or more"),
        ("p99_ms=inf", "a number of 0 or more"),
    ],
)
def test_what_is_no_budget(text, words):
    with pytest.raises(ConfigError) as caught:
        parse_budgets([text])
    assert words in str(caught.value)


def test_budgets_are_read():
    assert parse_budgets(["p99_ms=2", " rss_mb = 120.5 "]) == (Budget("p99_ms", 2.0), Budget("rss_mb", 120.5))


def test_onnxruntime_is_not_imported_before_the_trial():
    """A build that this processor cannot run would kill the command that is to say so."""
    program = "import sys, toolkit.edge.readiness; sys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
