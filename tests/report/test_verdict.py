"""The verdict: what was checked and failed speaks against, what nobody checked is not known, and nothing is made up."""

from dataclasses import replace
from pathlib import Path

import report_sources as sources

from toolkit.report.page import Facts, Missing, Words
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
    assert ("bad", "class-evaluation.json: the model is no better than commonest by macro F1.") in told(*files)


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
    assert [text.split(" is about ")[0] for text in warned if " is about " in text] == [
        "latency.json",
        str(Path(tmp_path.name) / "evaluation.json"),
        str(Path(tmp_path.name) / "data.json"),
    ]
    assert any(text.startswith("The bundle was made from another run") for text in warned)


def test_nothing_is_warned_of_where_sources_belong_together(tmp_path: Path) -> None:
    assert not [text for tone, text in told(sources.write_run(tmp_path / "run")) if tone == "warn"]


def test_a_parity_report_that_failed_without_a_failing_case_still_counts(tmp_path: Path) -> None:
    report = replace(sources.parity_report(), passed=False)
    texts = told(*three(tmp_path, parity=report))
    assert any("a check of it fails" in text for tone, text in texts if tone == "bad")
