"""`benchmark` and `compare` as people type them."""

import json
from pathlib import Path

import pytest
from command_line import Cli, one_line

QUICK = ("--seconds", "0.05", "--scenario", "single", "--provider", "cpu")


@pytest.fixture
def measured(cli: Cli, small_bundle: Path, tmp_path: Path) -> Path:
    """A report."""
    file = tmp_path / "measured.json"
    assert cli("benchmark", small_bundle, *QUICK, "--json", file).status == 0
    return file


def scaled(report: Path, factor: float, place: Path) -> Path:
    """The same report with all rounds of onnxruntime so many times as slow, and no noise in any."""
    value = json.loads(report.read_text())
    for row in value["rows"]:
        own = factor if row["contender"] == "onnxruntime" else 1.0
        row["block_medians_ms"] = [own] * 9
    place.write_text(json.dumps(value))
    return place


def test_a_broken_budget_is_status_1_and_the_report_is_written(cli: Cli, small_bundle: Path, tmp_path: Path) -> None:
    places = ("--json", tmp_path / "a.json", "--samples", tmp_path / "a.npz")
    result = cli("benchmark", small_bundle, *QUICK, "--budget", "p99_ms=0", "--budget", "p50_ms=9999", *places)
    assert "the budget is broken: single.p99_ms (1 x 12) is " in one_line(result, status=1)
    assert "Budget kept: single.p50_ms" in result.out
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "a.npz"}
    assert json.loads((tmp_path / "a.json").read_text())["schema"] == "latency/2"


def test_a_kept_budget_is_status_0(cli: Cli, small_bundle: Path) -> None:
    result = cli("benchmark", small_bundle, *QUICK, "--budget", "stream.p99_ms=9999")
    assert result.status == 0, result
    assert "Budget kept: stream.p99_ms (1 x 1)" in result.out


BAD_OPTIONS = {
    "--budget p99=2": "did you mean 'p99_ms'",
    "--budget stram.p99_ms=2": "did you mean 'stream'",
    "--budget p99_ms=fast": "a number of 0 or more",
    "--budget bulk.p99_ms=2 --batch 1": "a --batch above 1",
    "--provider Abacus": "CPUExecutionProvider",
    "--batch 0": "--batch",
    "--chunk 0": "--chunk",
    "--rate 0": "--rate",
    "--runs 0": "--runs",
    "--scenario singel": "single",
    "--contender abacus": "torch",
    "--graph windowed": "add --profile",
    "--picture a.svg": "add --profile",
    "--profile --budget p99_ms=2": "--budget goes without --profile",
    "--profile --threads 2": "--threads goes without --profile",
    "--profile --scenario paced": "--scenario goes without --profile",
    "--profile --graph streaming --sequence 9": "--sequence goes without --graph streaming",
    "--samples nowhere/a.npz": "cannot write",
}


@pytest.mark.parametrize("options", BAD_OPTIONS)
def test_what_cannot_be_measured_is_refused_before_anything_is(
    options: str, cli: Cli, small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("toolkit.benchmark.bundle.run_scenario", lambda *_: pytest.fail("measured"))
    assert BAD_OPTIONS[options] in one_line(cli("benchmark", small_bundle, *options.split(), "--json", "a.json"))
    assert not list(tmp_path.iterdir())


def test_a_profile_and_its_picture(cli: Cli, small_bundle: Path, tmp_path: Path) -> None:
    picture = tmp_path / "a.svg"
    result = cli("benchmark", small_bundle, "--profile", "--seconds", "0.2", "--picture", picture, "--json", "-")
    assert result.status == 0, result
    assert json.loads(result.out)["schema"] == "profile/1"
    assert "LSTM" in result.err
    assert picture.read_text().startswith("<")


def test_two_reports_are_compared(cli: Cli, measured: Path, tmp_path: Path) -> None:
    before, slow = (scaled(measured, factor, tmp_path / f"{factor}.json") for factor in (1.0, 1.5))
    assert cli("compare", before, before).status == 0
    assert cli("compare", slow, before).status == 0
    result = cli("compare", before, slow, "--json", "-")
    assert "1 figure is worse beyond noise" in one_line(result, status=1)
    report = json.loads(result.out)
    assert (report["schema"], report["regressions"]) == ("comparison/1", 1)
    assert cli("compare", before, slow, "--least", "60").status == 0


def test_reports_that_cannot_be_compared(cli: Cli, measured: Path, tmp_path: Path) -> None:
    value = json.loads(measured.read_text())
    value["environment"]["cpu"] = "Slide rule"
    other, old, text = (tmp_path / name for name in ("other.json", "old.json", "text.json"))
    other.write_text(json.dumps(value))
    old.write_text(json.dumps({**value, "schema": "latency/1"}))
    text.write_text("no report")
    assert "different machines" in one_line(cli("compare", measured, other))
    assert "different machines" in cli("compare", measured, other, "--across").out
    assert "measure again" in one_line(cli("compare", old, measured))
    assert "is no JSON" in one_line(cli("compare", measured, text))
    assert "cannot read" in one_line(cli("compare", measured, tmp_path / "nowhere.json"))
    assert "--least" in one_line(cli("compare", measured, measured, "--least", "-1"))


def test_a_tuned_session_takes_its_turn(cli: Cli, small_bundle: Path, tmp_path: Path) -> None:
    from toolkit.contract.session_reports import SessionSetting
    from toolkit.runtime.bundle import load_bundle
    from toolkit.runtime.session_file import put_entry, session_entry

    place = tmp_path / "session.toml"
    settings = {"windowed": SessionSetting("fp32", arena=True), "streaming": SessionSetting("fp32")}
    put_entry(place, session_entry(load_bundle(small_bundle), settings))
    report = tmp_path / "report.json"
    cli("benchmark", small_bundle, "--session", place, "--seconds", "0.02", "--batch", "1", "--json", report)
    rows = json.loads(report.read_text())["rows"]
    tuned = [row for row in rows if row["contender"] == "tuned session"]
    assert [(row["graph"], row["options"]["arena"]) for row in tuned] == [("windowed", "on")]
