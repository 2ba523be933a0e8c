"""The verdict: what was checked and failed speaks against, what nobody checked is not known, and nothing is made up."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import report_sources as sources

from toolkit.contract.readiness_reports import GatewayPlan
from toolkit.contract.records import encode
from toolkit.errors import ReportError
from toolkit.report.page import Facts, Missing, Table, Words
from toolkit.report.sources import read_sources
from toolkit.report.verdict import verdict_section


def told(*paths: Path) -> list[tuple[str, str]]:
    section = verdict_section(read_sources(paths))
    return [(block.tone, block.text) for block in section.blocks if isinstance(block, Words)]


def headline(*paths: Path) -> tuple[str, str]:
    return told(*paths)[0]


def missing(*paths: Path) -> list[str]:
    section = verdict_section(read_sources(paths))
    return [block.what for block in section.blocks if isinstance(block, Missing)]


def three(folder: Path, **changes: object) -> list[Path]:
    """The reports that deploying hangs on, as they are where all is well."""
    reports = {
        "evaluation": sources.evaluation_report(),
        "parity": sources.parity_report(),
        "readiness": sources.readiness_report(),
    }
    return sources.write(folder, **{**reports, **changes})


def test_ready_where_every_check_passed(tmp_path: Path) -> None:
    assert headline(*three(tmp_path)) == ("good", "Ready to deploy on Test CPU.")


def test_not_decided_where_something_was_not_checked(tmp_path: Path) -> None:
    files = three(tmp_path)
    for left_out, what in enumerate(("how well", "whether onnxruntime", "whether the machine")):
        others = files[:left_out] + files[left_out + 1 :]
        assert headline(*others)[0] == "open"
        assert [one.startswith(what) for one in missing(*others)] == [True]


def test_not_ready_where_parity_failed(tmp_path: Path) -> None:
    files = three(tmp_path, parity=sources.failed_parity())
    assert headline(*files) == ("bad", "Not ready to deploy: 1 reason below.")
    assert (
        "bad",
        "parity.json: parity failed, 2 of 3 cases fail; onnxruntime does not compute what torch computes.",
    ) in (told(*files))


def test_not_ready_where_the_gateway_check_says_so(tmp_path: Path) -> None:
    broken = sources.readiness_report(ready=False, reasons=("p99_ms is 4, allowed 2",))
    assert headline(*three(tmp_path, readiness=broken))[0] == "bad"


def test_not_ready_where_the_model_loses_to_a_baseline(tmp_path: Path) -> None:
    losing = sources.evaluation_report(model=sources.scores(0.9))
    texts = told(*three(tmp_path, evaluation=losing))
    assert texts[0][0] == "bad"
    assert ("bad", "evaluation.json: the model loses to seasonal in mean squared error.") in texts


def test_a_model_whose_error_is_not_finite_loses_to_every_baseline(tmp_path: Path) -> None:
    diverged = sources.evaluation_report(model=sources.scores(float("inf"), float("inf")))
    texts = told(*three(tmp_path, evaluation=diverged))
    assert ("bad", "evaluation.json: the model loses to persistence and seasonal in mean squared error.") in texts


def test_not_ready_where_a_figure_became_worse(tmp_path: Path) -> None:
    files = three(tmp_path, comparison=sources.comparison_report())
    assert ("bad", "comparison.json: 1 figure worse than before, beyond noise.") in told(*files)


def test_a_classifier_that_is_no_better_than_the_commonest_class_is_not_ready(tmp_path: Path) -> None:
    same = sources.class_evaluation(model=sources.class_scores(5))
    files = three(tmp_path, class_evaluation=same)
    assert ("bad", "class-evaluation.json: the model is no better than commonest by balanced accuracy.") in told(*files)


def test_no_budget_is_judged_where_none_stands(tmp_path: Path) -> None:
    files = three(tmp_path, readiness=sources.readiness_report(budgets=()))
    assert any(tone == "open" and text.startswith("No budget") for tone, text in told(*files))
    assert ("good", "Budget p99_ms kept: 0.4, allowed 2.") in told(*three(tmp_path))


def test_what_the_model_is_for_stands_in_units_of_time(tmp_path: Path) -> None:
    section = verdict_section(read_sources([sources.write_run(tmp_path / "run")]))
    (facts,) = [block for block in section.blocks if isinstance(block, Facts)]
    assert dict(facts.pairs)["Forecasts"] == "temperature (degC)"
    assert dict(facts.pairs)["How far ahead"] == "12 min: 12 steps of 1 min"
    assert dict(facts.pairs)["From"] == "1 h: 60 rows of 2 channels"


def test_the_speed_is_that_of_the_deployed_way_at_the_models_window(tmp_path: Path) -> None:
    rows = (
        sources.row(p50_ms=0.4, sequence=30),
        sources.row(p50_ms=0.5, sequence=60),
        sources.row(p50_ms=0.1, sequence=60, contender="torch", provider="cpu"),
        sources.row(p50_ms=0.1, sequence=60, provider="CUDAExecutionProvider"),
    )
    files = sources.write(tmp_path, latency=sources.latency_report(rows=rows))
    texts = [text for _, text in told(sources.write_run(tmp_path / "run"), *files)]
    assert any(text.startswith("A window of 60 samples takes 0.5 ms at the median") for text in texts)


def test_reports_about_another_bundle_run_or_table_are_told(tmp_path: Path, root: Path) -> None:
    bundle = sources.copy_bundle(root, tmp_path / "bundle")
    run = sources.write_run(tmp_path / "run")
    files = sources.write(
        tmp_path,
        latency=sources.latency_report(),
        data=sources.data_report(sha256="0" * 64),
        evaluation=sources.evaluation_report(file="plant.csv", windows=100),
    )
    warned = [text for tone, text in told(bundle, run, *files) if tone == "warn"]
    here = Path(tmp_path.name)
    assert [text.split(" is about ")[0] for text in warned if " is about " in text] == [
        "latency.json",
        *("evaluation.json", str(here / "evaluation.json")),  # named as neither the run nor the bundle
        str(here / "data.json"),
        str(here / "evaluation.json"),
    ]
    assert any(text.startswith("The bundle was made from another run") for text in warned)


def test_nothing_is_warned_of_where_sources_belong_together(tmp_path: Path) -> None:
    assert not [text for tone, text in told(sources.write_run(tmp_path / "tiny")) if tone == "warn"]


def test_a_parity_report_that_failed_without_a_failing_case_still_counts(tmp_path: Path) -> None:
    report = replace(sources.parity_report(), passed=False)
    texts = told(*three(tmp_path, parity=report))
    assert any("a check of it fails" in text for tone, text in texts if tone == "bad")


NOT_ONE = ("open", "Not decided whether it is ready to deploy: not all sources are about one model.")


def edited_bundle(root: Path, folder: Path, **changes: Any) -> Path:
    """The reference bundle with other contents of its manifest; its only test errors are what it says of itself."""
    bundle = sources.copy_bundle(root, folder)
    manifest = {**json.loads((bundle / "manifest.json").read_text()), **changes}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    return bundle


def checked(bundle: Path, folder: Path, **changes: Any) -> Path:
    """A gateway check of that bundle."""
    digest = hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()
    report = sources.readiness_report(bundle={"name": "x", "manifest_sha256": digest}, **changes)
    return sources.write(folder, readiness=report)[0]


def plan(graph: str) -> GatewayPlan:
    return GatewayPlan(graph, "fp32", 60, 12, 60.0, "rows", 1, (), {"temperature": "degC"})  # type: ignore[arg-type]


def test_a_check_of_another_bundle_decides_nothing(tmp_path: Path, root: Path) -> None:
    bundle = edited_bundle(root, tmp_path / "bundle")
    assert headline(bundle, checked(bundle, tmp_path))[0] == "good"
    assert headline(bundle, *sources.write(tmp_path, readiness=sources.readiness_report())) == NOT_ONE


def test_a_check_and_a_benchmark_of_different_bundles_are_told_without_a_bundle(tmp_path: Path) -> None:
    other = sources.latency_report(bundle={"name": "tiny", "manifest_sha256": "e" * 64})
    files = three(tmp_path, latency=other)
    assert headline(*files) == NOT_ONE
    told_of = "latency.json is about another bundle than the gateway check, by the manifest's SHA-256."
    assert ("warn", told_of) in told(*files)


def test_checks_of_different_bundles_decide_nothing(tmp_path: Path) -> None:
    second = sources.readiness_report(bundle={"name": "b", "manifest_sha256": "e" * 64})
    assert headline(*three(tmp_path, second=second)) == NOT_ONE


def test_an_evaluation_of_another_model_decides_nothing(tmp_path: Path, root: Path) -> None:
    bundle = edited_bundle(root, tmp_path / "bundle")
    check = checked(bundle, tmp_path)
    for name, tone in (("pump-station", "good"), ("other", "open")):
        (file,) = sources.write(tmp_path, evaluation=sources.evaluation_report(name=name))
        assert headline(bundle, check, file)[0] == tone


def test_a_training_that_tells_other_errors_than_the_bundle_is_of_another(tmp_path: Path, root: Path) -> None:
    bundle = edited_bundle(root, tmp_path / "bundle")
    (file,) = sources.write(tmp_path, training=sources.training_report())
    assert any(text.startswith("training.json tells other errors") for _, text in told(bundle, file))


def test_a_run_of_the_same_settings_on_another_table_is_another(tmp_path: Path, root: Path) -> None:
    provenance = {"config_sha256": hashlib.sha256(sources.CONFIG.encode()).hexdigest(), "run": "tiny"}
    run = sources.write_run(tmp_path / "tiny")
    for table, strange in ((sources.TABLE_HASH, False), ("0" * 64, True)):
        made_from = {**provenance, "data": {"sha256": table}}
        bundle = edited_bundle(root, tmp_path / table, provenance=made_from)
        texts = [text for _, text in told(run, bundle)]
        assert any("by the SHA-256 of the table" in text for text in texts) is strange


def test_a_gain_that_is_shown_as_nothing_is_none(tmp_path: Path) -> None:
    even = sources.evaluation_report(baselines={"persistence": sources.scores(0.21005)})
    texts = told(*three(tmp_path, evaluation=even))
    assert ("bad", "evaluation.json: the model is no better than persistence in mean squared error.") in texts


def test_the_tie_is_that_of_the_trainings_own_verdict() -> None:
    from toolkit.report import judgement
    from toolkit.training import scoring

    assert judgement.TIE == scoring.TIE


def test_errors_by_a_carried_state_count_where_a_gateway_carries_it(tmp_path: Path) -> None:
    losing = sources.training_report(streaming=sources.scores(2.0))
    for graph, tone in (("streaming", "bad"), ("windowed", "good")):
        readiness = sources.readiness_report(plan=plan(graph))
        assert headline(*three(tmp_path, training=losing, readiness=readiness))[0] == tone


def test_windows_of_one_class_decide_nothing_for_a_classifier(tmp_path: Path) -> None:
    alone = replace(sources.class_scores(45), confusion=((0, 0), (5, 45)))
    report = sources.class_evaluation(model=alone)
    texts = told(*three(tmp_path, class_evaluation=report))
    assert ("bad", "class-evaluation.json: windows of one class alone tell nothing of the others.") in texts


def test_a_classifier_whose_score_is_not_finite_is_no_better(tmp_path: Path) -> None:
    report = sources.class_evaluation(model=replace(sources.class_scores(45), balanced_accuracy=float("nan")))
    assert headline(*three(tmp_path, class_evaluation=report))[0] == "bad"


@pytest.mark.parametrize(("right", "tone"), [(45, "good"), (1, "bad")])
def test_a_bundle_that_says_of_its_classifier_that_it_loses_is_not_ready(
    right: int, tone: str, tmp_path: Path, root: Path
) -> None:
    accuracy = {
        "classes": ["normal", "fault"],
        "model": encode(sources.class_scores(right)),
        "baselines": {"commonest": encode(sources.class_scores(5))},
        "verdict": "is what it is",
    }
    bundle = edited_bundle(root, tmp_path / "bundle", accuracy=accuracy)
    assert headline(bundle, checked(bundle, tmp_path))[0] == tone


def test_a_bundle_whose_errors_nobody_can_read_is_not_scored(tmp_path: Path, root: Path) -> None:
    bundle = edited_bundle(root, tmp_path / "bundle", accuracy={"remark": "good"})
    assert missing(bundle, checked(bundle, tmp_path)) == ["how well it forecasts"]


def test_parity_of_no_case_is_no_check(tmp_path: Path) -> None:
    nothing = sources.parity_report(cases=(), summary=sources.ParitySummary(0, 0, 0.0))
    assert headline(*three(tmp_path, parity=nothing))[0] == "open"


def test_errors_without_a_baseline_tell_nothing_of_the_worth(tmp_path: Path) -> None:
    assert headline(*three(tmp_path, evaluation=sources.evaluation_report(baselines={})))[0] == "open"


@pytest.mark.parametrize(
    "reports",
    [
        {"parity": replace(sources.failed_parity(), passed=True)},
        {"readiness": sources.readiness_report(reasons=("p99_ms is 4",))},
        {"readiness": sources.readiness_report(trial=sources.TrialResult("died"))},
        {"readiness": sources.readiness_report(budgets=(sources.JudgedBudget("p99_ms", 2.0, 4.0, kept=False),))},
    ],
)
def test_a_report_that_passed_and_did_not_is_refused(reports: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="contradicts itself"):
        read_sources(three(tmp_path, **reports))


def test_the_speed_is_that_of_the_precision_that_is_run(tmp_path: Path, root: Path) -> None:
    rows = (sources.row(p50_ms=0.5, sequence=60), sources.row(p50_ms=0.1, sequence=60, precision="int8"))
    (file,) = sources.write(tmp_path, latency=sources.latency_report(rows=rows))
    bundle = edited_bundle(root, tmp_path / "bundle")
    assert any(text.startswith("A window of 60 samples takes 0.5 ms at the median") for _, text in told(bundle, file))
    assert any(text.startswith("A window of 60 samples takes 0.1 ms in int8 at") for _, text in told(file))


def test_what_a_bundle_of_somebody_elses_module_lacks_is_made_by_commands_that_take_it(
    tmp_path: Path, root: Path
) -> None:
    foreign = {"model": None, "accuracy": {}, "parity": {}, "provenance": {"module": "nets:make"}}
    bundle = edited_bundle(root, tmp_path / "bundle", **foreign)
    section = verdict_section(read_sources([bundle]))
    commands = [block.command for block in section.blocks if isinstance(block, Missing)]
    assert commands[0].startswith("lstm-edge evaluate BUNDLE --data FILE")
    assert "--module PACKAGE.MODULE:FACTORY" in commands[1]


def test_an_error_over_targets_of_several_units_is_called_mixed(tmp_path: Path, root: Path) -> None:
    def heading(*paths: Path) -> str:
        section = verdict_section(read_sources(paths))
        return next(block.header[-1] for block in section.blocks if isinstance(block, Table))

    assert heading(sources.copy_bundle(root, tmp_path / "bundle")) == "raw MAE (mixed units)"
    assert heading(sources.write_run(tmp_path / "tiny")) == "raw MAE (degC)"
    assert heading(*three(tmp_path)) == "raw MAE"


def test_a_check_that_does_not_say_where_it_was_made_names_no_machine(tmp_path: Path) -> None:
    assert headline(*three(tmp_path, readiness=sources.readiness_report(environment={}))) == (
        "good",
        "Ready to deploy.",
    )
