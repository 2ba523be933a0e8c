"""Completion as a shell asks for it, and `--version`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Cli, one_line

from toolkit.cli import versions
from toolkit.cli.main import COMMANDS

COMMAND = (sys.executable, "-c", "from toolkit.cli.main import main; main()")
WORDS = {
    "bash": ("bash_complete", "COMP_WORDS", "COMP_CWORD"),
    "zsh": ("zsh_complete", "COMP_WORDS", "COMP_CWORD"),
    "fish": ("fish_complete", "COMP_WORDS", "COMP_CWORD"),
}


def asked(shell: str, line: str, place: str) -> list[str]:
    """What the script of the shell asks for, in a process of its own, and the values that come back."""
    kind, words, current = WORDS[shell]
    environment = {**os.environ, "_LSTM_EDGE_COMPLETE": kind, words: line, current: place}
    found = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert found.stderr == ""
    lines = found.stdout.splitlines()
    if shell == "bash":
        return [text.partition(",")[2] for text in lines]
    if shell == "fish":
        return [text.partition(",")[2].partition("\t")[0] for text in lines]
    return lines[1::3]


@pytest.mark.parametrize("shell", WORDS)
def test_every_command_is_offered(shell: str) -> None:
    assert asked(shell, "lstm-edge ", "" if shell == "fish" else "1") == list(COMMANDS)


def test_a_beginning_is_completed_and_so_are_options_values_and_verbs() -> None:
    assert asked("bash", "lstm-edge ben", "1") == ["benchmark"]
    assert asked("bash", "lstm-edge benchmark --sce", "2") == ["--scenario"]
    assert "stream" in asked("bash", "lstm-edge benchmark --scenario ", "3")
    assert asked("bash", "lstm-edge gateway ", "2") == ["check", "init", "run", "forget"]
    assert asked("zsh", "lstm-edge completion ", "2") == ["bash", "zsh", "fish"]


@pytest.mark.parametrize("shell", WORDS)
def test_the_script_asks_by_the_name_that_the_program_answers_to(cli: Cli, shell: str) -> None:
    result = cli("completion", shell)
    assert (result.status, result.err) == (0, "")
    assert f"_LSTM_EDGE_COMPLETE={shell}_complete" in result.out
    assert "lstm-edge" in result.out


@pytest.mark.parametrize("shell", WORDS)
def test_the_script_is_one_that_the_shell_takes(cli: Cli, shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    script = cli("completion", shell).out
    checked = subprocess.run([program, "-n"], input=script, capture_output=True, text=True, check=False, timeout=60)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_bash_completes_with_the_script(cli: Cli, tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    program = tmp_path / "lstm-edge"
    program.write_text(f'#!{bash}\nexec {sys.executable} -c "{COMMAND[-1]}" "$@"\n')
    program.chmod(0o755)
    functions = cli("completion", "bash").out.replace("_lstm_edge_completion_setup;", "")  # it needs a line to edit
    ask = f'COMP_WORDS=(lstm-edge exp); COMP_CWORD=1; _lstm_edge_completion {program}; echo "${{COMPREPLY[@]}}"'
    found = subprocess.run([bash, "-c", functions + ask], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.split() == ["export"]


def test_another_shell_is_refused(cli: Cli) -> None:
    assert "'bash', 'zsh', 'fish'" in one_line(cli("completion", "tcsh"))


def test_the_version_names_what_decides_what_it_can_do(cli: Cli) -> None:
    from importlib.metadata import version

    result = cli("--version")
    assert (result.status, result.err) == (0, "")
    first, *others = result.out.splitlines()
    assert first == f"lstm-edge, version {version('lstm-edge-toolkit')}"
    assert others[0].startswith("Python 3.")
    assert others[1:] == [f"{name} {version(name)}" for name in ("onnxruntime", "numpy", "torch", "onnx")]


def test_the_version_imports_none_of_them() -> None:
    program = (
        "import sys; from toolkit.cli.versions import version_lines; assert len(version_lines()) > 3; "
        "assert not {'torch', 'onnx', 'numpy', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_package_that_is_missing_has_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_numpy(name: str) -> str:
        if name == "onnxruntime-gpu":
            return "1.32.0"
        raise versions.PackageNotFoundError(name)

    monkeypatch.setattr(versions, "version", only_numpy)
    assert [line.split()[0] for line in versions.version_lines()] == ["lstm-edge,", "Python", "onnxruntime"]
