"""What goes to a terminal, to a pipe, where colours are not wanted, and where quiet is."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from command_line import Cli
from terminals import in_pipes, on_a_terminal

from toolkit.cli import console
from toolkit.cli.bars import bar
from toolkit.cli.main import lstm_edge
from toolkit.cli.progress import TrainingProgress
from toolkit.cli.work_progress import CountedProgress, MeasuringProgress, ScoringProgress
from toolkit.training import EpochRecord

ESCAPE = "\x1b"
WITH_PROGRESS = ("train", "tune", "evaluate", "score", "export", "parity", "benchmark", "demo")


@pytest.fixture
def score(root: Path, plant: Path, tmp_path: Path) -> list[object]:
    bundle, out = root / "exported" / "pump-station", tmp_path / "out.csv"
    columns = ("--timestamp", "timestamp", "--asset", "asset", "--set", "data.timezone=UTC")
    return ["score", bundle, "--data", plant, *columns, "--out", out, "--cores", "1"]


def test_a_terminal_has_a_bar_with_rate_and_time_left(score: list[object]) -> None:
    status, written = on_a_terminal(score)
    assert status == 0, written
    assert ESCAPE in written
    assert "forecasts/s" in written
    assert "0:00:0" in written or "-:--:--" in written
    assert "rows" in written.splitlines()[-1]


@pytest.mark.parametrize("changed", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_colours_has_plain_lines(score: list[object], changed: dict[str, str]) -> None:
    status, written = on_a_terminal(score, **changed)
    assert status == 0, written
    assert ESCAPE not in written
    assert "\r" not in written.replace("\r\n", "\n")
    assert "100% of the table" in written


def test_a_quiet_terminal_has_the_result_alone(score: list[object]) -> None:
    status, written = on_a_terminal([*score, "--quiet"])
    assert status == 0, written
    assert ESCAPE not in written
    assert len(written.splitlines()) == 1


def test_a_pipe_has_plain_lines_and_standard_output_the_result_alone(score: list[object]) -> None:
    result = in_pipes(score, FORCE_COLOR="")
    assert result.returncode == 0, result.stderr
    assert ESCAPE not in result.stdout + result.stderr
    assert "\r" not in result.stdout + result.stderr
    assert result.stderr.splitlines()[-1].startswith("100% of the table")
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize("name", WITH_PROGRESS)
def test_every_command_with_progress_can_be_quiet(name: str) -> None:
    command = lstm_edge.get_command(click.Context(lstm_edge), name)
    assert command is not None
    assert any({"-q", "--quiet"} == set(option.opts) for option in command.params)


def test_quiet_commands_leave_standard_error_empty(
    cli: Cli, small_run: Path, small_bundle: Path, tmp_path: Path
) -> None:
    measured = ("benchmark", small_bundle, "--scenario", "single", "--seconds", "0.02")
    assert "measuring single 1 x 12 (1 of 1)" in cli(*measured).err
    assert cli(*measured, "--quiet").err == ""
    assert cli("evaluate", small_run, "--quiet").err == ""
    exported = cli("export", small_run, "--out", tmp_path / "quiet", "-q")
    assert (exported.status, exported.err) == (0, "")
    assert "Parity: " in exported.out


def test_errors_are_told_even_to_the_quiet(cli: Cli, tmp_path: Path) -> None:
    result = cli("benchmark", tmp_path / "none", "--quiet")
    assert result.status == 2
    assert result.err.startswith("Error: ")


class Screen(io.StringIO):
    """Standard error as a terminal."""

    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    shown = Screen()
    with monkeypatch.context() as patched:
        patched.setenv("TERM", "xterm")
        patched.setenv("COLUMNS", "80")
        for name in ("NO_COLOR", "FORCE_COLOR"):
            patched.delenv(name, raising=False)
        patched.setattr("sys.stderr", shown)
        yield shown


def test_every_bar_shows_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with screen(monkeypatch) as shown:
        with TrainingProgress(3) as training:
            training.on_batch(1, 1, 200, 0.5)
            training.on_batch(1, 150, 200, 0.5)
            training.on_epoch(epoch_record())
        with CountedProgress("comparing", "comparisons") as counted:
            counted.on_case(7)
        with MeasuringProgress(3) as measuring:
            measuring.on_stage("single 1 x 60")
            measuring.on_stage("cold")
        with ScoringProgress() as scoring:
            scoring.on_part(0.5, 1234)
        for words in (
            "epoch 1/3",
            "150/200",
            "steps/s",
            "comparisons/s",
            "measuring cold",
            "measurements/s",
            "forecasts/s",
        ):
            assert words in shown.getvalue(), words


def test_windows_are_counted_while_they_are_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    with screen(monkeypatch) as shown, CountedProgress("evaluating", "windows", 6) as progress:
        double = progress.counting(lambda windows: 2 * windows)
        for _ in range(4):  # more than were foretold
            assert double(np.ones((2, 3), np.float32)).tolist() == [[2.0] * 3] * 2
    assert "8/8" in shown.getvalue()


def test_there_is_no_bar_without_a_terminal_or_without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bar("steps") is None
    with screen(monkeypatch):
        assert bar("steps") is not None
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        assert bar("steps") is None


@pytest.mark.parametrize(("changed", "bold"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_a_heading_is_bold_on_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], bold: bool
) -> None:
    with screen(monkeypatch), monkeypatch.context() as patched:
        shown = Screen()
        patched.setattr("sys.stdout", shown)
        for name, value in changed.items():
            patched.setenv(name, value)
        console.heading("1  simulate", "as: x")
    assert (ESCAPE in shown.getvalue()) == bold
    assert "1  simulate" in shown.getvalue()


def epoch_record() -> EpochRecord:
    return EpochRecord(epoch=1, train_loss=0.5, validation_loss=0.4, best=True, seconds=1.0, learning_rate=1e-3)
