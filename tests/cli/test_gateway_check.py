"""`lstm-edge gateway check`: ready or not, on standard output, in JSON and by exit status."""

import json
import shutil
from pathlib import Path

import edge_bare_bundles
import pytest
from command_line import Cli, one_line


@pytest.fixture(scope="module")
def pump(root: Path) -> Path:
    return root / "exported" / "pump-station"


def test_a_bundle_that_is_ready(cli: Cli, pump: Path) -> None:
    result = cli("gateway", "check", pump, "--budget", "p99_ms=1000", "--budget", "rss_mb=1000")
    assert (result.status, result.err) == (0, "")
    for text in (
        "windowed        fp32       forecast",
        "a window of 60",
        "(1000 allowed)",
        "Memory: ",
        "A gateway runs the streaming graph (fp32)",
        "temperature.mean  degC",
        "onnxruntime 1.",
    ):
        assert text in result.out
    assert result.out.splitlines()[-1] == "ready"


def test_a_broken_budget_ends_with_1_and_the_report_is_still_written(cli: Cli, pump: Path, tmp_path: Path) -> None:
    result = cli("gateway", "check", pump, "--budget", "p50_ms=0", "--json", tmp_path / "report.json")
    assert "is not ready: p50_ms is" in one_line(result, 1)
    assert result.out.splitlines()[-1].startswith("not ready: p50_ms is")
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["schema"], report["ready"]) == ("readiness/1", False)


def test_json_on_standard_output_is_json_alone(cli: Cli, pump: Path) -> None:
    result = cli("gateway", "check", pump, "--json", "-")
    assert json.loads(result.out)["ready"]
    assert result.err.splitlines()[-1] == "ready"


def test_a_bundle_without_a_signal_says_what_to_do(cli: Cli, pump: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(pump, tmp_path / "pump"))
    edge_bare_bundles.without_signal(folder)
    assert "export with --signal" in one_line(cli("gateway", "check", folder), 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["nowhere"], "there is no bundle"),
        (["nowhere", "--budget", "p99=2"], "did you mean 'p99_ms'"),
        (["nowhere", "--session-file", "none.toml"], "there is no session file"),
        ([], "Missing argument 'BUNDLE'"),
    ],
)
def test_a_wrong_request_ends_with_2(cli: Cli, options: list[str], words: str) -> None:
    assert words in one_line(cli("gateway", "check", *options), 2)


def test_the_group_lists_what_there_is(cli: Cli) -> None:
    result = cli("gateway", "--help")
    assert result.status == 0
    assert "check" in result.out
    assert "Example: lstm-edge gateway check" in result.out
    assert "Example: " in cli("gateway", "check", "--help").out


def test_an_unknown_verb(cli: Cli) -> None:
    assert "No such command 'walk'" in one_line(cli("gateway", "walk"), 2)
