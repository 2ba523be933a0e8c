"""`lstm-edge report`: sources in, one page out."""

import webbrowser
from pathlib import Path

import pytest
import report_sources as sources
from command_line import Cli, one_line


def test_a_page_is_made_of_everything_that_is_named(cli: Cli, tmp_path: Path, root: Path) -> None:
    run, files = sources.write_run(tmp_path / "run"), sources.write_all(tmp_path)
    page = tmp_path / "page.html"
    result = cli("report", run, root / "exported" / "pump-station", *files, "--out", page)
    assert result.status == 0, result.err
    assert result.out == f"Report: {page}\n"
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_the_page_is_written_here_unless_named(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sources.write(tmp_path, parity=sources.parity_report())
    assert cli("report", "parity.json").status == 0
    assert (tmp_path / "report.html").is_file()


@pytest.mark.parametrize("found", [True, False])
def test_the_browser_is_asked_for_the_file(
    found: bool, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda place: asked.append(place) or found)
    (file,) = sources.write(tmp_path, parity=sources.parity_report())
    result = cli("report", file, "--out", tmp_path / "page.html", "--open")
    assert result.status == 0
    assert asked == [(tmp_path / "page.html").as_uri()]
    assert ("open the file yourself" in result.err) is not found


def test_errors_are_one_line(cli: Cli, tmp_path: Path) -> None:
    (file,) = sources.write(tmp_path, parity=sources.parity_report())
    assert "cannot read" in one_line(cli("report", tmp_path / "nothing.json"))
    assert "cannot write" in one_line(cli("report", file, "--out", tmp_path / "no" / "page.html"))
    assert "one of its sources" in one_line(cli("report", file, "--out", file))
    assert "Missing argument" in one_line(cli("report"))


OF_COMMANDS = {
    "data": "train",
    "training": "train",
    "class-training": "train",
    "evaluation": "evaluate",
    "class-evaluation": "evaluate",
    "parity": "parity",
    "latency": "benchmark",
    "profile": "--profile",
    "comparison": "compare",
    "readiness": "gateway check",
}


def test_the_help_names_the_commands_whose_reports_can_be_shown(cli: Cli) -> None:
    assert set(OF_COMMANDS) == set(sources.REPORTS)
    told = " ".join(cli("report", "--help").out.split())
    assert [command for command in OF_COMMANDS.values() if command not in told] == []
    assert "of any command" not in told
