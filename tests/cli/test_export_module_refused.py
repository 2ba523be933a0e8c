"""`lstm-edge export --module` with anything that cannot be used: one line, no traceback, nothing left behind."""

import functools
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import Cli, one_line
from somebodys_folder import make_shop

from toolkit.release.precision_choice import candidates

X = "x: float32[batch, sequence, 2]"
H, C = "h0: float32[1, batch, 8]", "c0: float32[1, batch, 8]"
PLAIN = ("export", "--module", "own_nets:make", "--input", X)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with somebody's code, weights, readings and signal; no test writes into it."""
    return make_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def here(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same as the working directory."""
    monkeypatch.chdir(shop)
    return shop


def tree(folder: Path) -> set[tuple[str, int]]:
    return {(str(path.relative_to(folder)), path.lstat().st_size) for path in folder.rglob("*")}


def refused(cli: Cli, folder: Path, *arguments: object, status: int = 2) -> str:
    before, path = tree(folder), list(sys.path)
    result = cli(*arguments)
    line = one_line(result, status)
    assert "def forward" not in result.err  # torch prints a trace that failed
    assert tree(folder) == before
    assert sys.path == path
    assert len(line) < 700
    return line


MODULES = {
    "broken_nets:make": "cannot import broken_nets; got SyntaxError",
    "missing_nets:make": "cannot import missing_nets; got ModuleNotFoundError: No module named 'nowhere_to_be_found'",
    "leaving_nets:make": "cannot import leaving_nets; got SystemExit: 4",
    "not_there_at_all:make": "cannot import not_there_at_all; got ModuleNotFoundError",
    "own_nets:maek": "has no factory 'maek'",
    "own_nets": "--module; got 'own_nets'; allowed: package.module:factory",
    "own_nets:": "--module; got 'own_nets:'",
    ":make": "--module; got ':make'",
    "": "--module; got ''",
    "own_nets.py:make": "cannot import own_nets.py",
    "own-nets:make": "--module; got 'own-nets:make'",
    "../own_nets:make": "--module; got '../own_nets:make'",
    "own_nets:raises": "the factory raised; got ValueError: no luck",
    "own_nets:leaves": "the factory raised; got SystemExit: 3",
    "own_nets:number": "own_nets:number; got int; allowed: a factory that returns an nn.Module",
    "own_nets:tensor": "got Tensor; allowed: a factory that returns an nn.Module",
    "own_nets:needs": "the factory needs arguments; got missing a required argument: 'size'",
    "own_nets:raising": "does not run on x [3, 29, 2]; got AttributeError",
    "own_nets:leaving": "SystemExit: good bye",
    "own_nets:integer": "gives something that no graph can; got int",
    "own_nets:packed": "gives something that no graph can; got PackedSequence",
    "own_nets:packed_within": "a packed sequence cannot be exported",
    "own_nets:projected": "an LSTM with a projection cannot be exported; got proj_size=4",
    "own_nets:looped": "a Python loop over LSTMCell runs as often as an axis of the inputs is long",
    "own_nets:branching": "the module's way depends on the numbers that are fed",
    "own_nets:fours": "write it as a number in --input",
}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_that_cannot_be_exported_is_one_line_and_leaves_nothing(module: str, cli: Cli, here: Path) -> None:
    assert MODULES[module] in refused(cli, here, "export", "--module", module, "--input", X)


@pytest.mark.parametrize("module", ["interrupted_nets:make", "own_nets:interrupted"])
def test_an_interrupt_in_somebodys_code_is_one_line_and_leaves_nothing(module: str, cli: Cli, here: Path) -> None:
    line = refused(cli, here, "export", "--module", module, "--input", X, status=130)
    assert "interrupted; nothing half written was left behind" in line


def test_a_module_that_ends_the_process_in_the_end_is_one_line(cli: Cli, here: Path) -> None:
    line = refused(cli, here, "export", "--module", "own_nets:leaving_late", "--input", X)
    assert "the module ends the process; got sys.exit(0)" in line


WEIGHTS = {
    "none.pt": "cannot read none.pt; got No such file or directory",
    "wide.safetensors": "does not fit the module at 'head.weight'; got [3, 8]; allowed: [2, 8]",
    "few.pt": "does not fit the module at 'head.bias'; got nothing; allowed: [2]",
    "lstm.safetensors": "does not fit the module at 'head.weight'; got nothing; allowed: [2, 8]",
    "nan.pt": "'head.bias' holds NaN or infinity",
    "checkpoint.pt": "holds more than a state dict; got int at 'epoch'",
    "list.pt": "holds no state dict; got list",
    "own_nets.py": "own_nets.py",
    "folder.pt": "folder.pt is no plain file",
    "pipe.pt": "pipe.pt is no plain file",
    "pipe.safetensors": "pipe.safetensors is no plain file",
    "huge.pt": f"huge.pt is too large; got {10 << 30} bytes; allowed: {1 << 30} bytes",
    "huge.safetensors": f"huge.safetensors is too large; got {10 << 30} bytes",
}


@pytest.mark.parametrize("weights", WEIGHTS)
def test_weights_that_cannot_be_used_are_one_line_and_leave_nothing(weights: str, cli: Cli, here: Path) -> None:
    assert WEIGHTS[weights] in refused(cli, here, *PLAIN, "--weights", weights)


STATE = ("--input", H, "--input", C)
OPTIONS = {
    "no input": (("export", "--module", "own_nets:make"), "--module needs --input"),
    "an input that is none": ((*PLAIN[:3], "--input", "x float32"), "--input; got 'x float32'; allowed: NAME: float32"),
    "whole numbers": ((*PLAIN[:3], "--input", "x: int64[batch, 2]"), "--input x: type; got int64; allowed: float32"),
    "no size": ((*PLAIN[:3], "--input", "x: float32[batch, 0]"), "axis; got '0'"),
    "an input twice": ((*PLAIN, "--input", X), "--input; got x; allowed: at least one, each name once"),
    "other channels": ((*PLAIN[:3], "--input", "x: float32[batch, sequence, 5]"), "Expected 2, got 5"),
    "two outputs": ((*PLAIN, "--output", "a", "--output", "b"), "--output; got a, b; allowed: 1 names"),
    "an output that is no name": ((*PLAIN, "--output", "a/b"), "--output; got 'a/b'"),
    "a state that is no pair": ((*PLAIN, *STATE, "--state", "h0"), "--state; got 'h0'; allowed: INPUT=OUTPUT"),
    "a state of no input": ((*PLAIN, *STATE, "--state", "h1=hn"), "--state; got 'h1=hn'; allowed: each of the inputs"),
    "a state twice": ((*PLAIN, *STATE, "--state", "h0=a", "--state", "h0=b"), "--state; got 'h0=b'"),
    "a state of no output": (
        (*PLAIN, "--input", H, "--state", "h0=hn"),
        "--state; got h0=hn; allowed: one of the outputs y",
    ),
    "opset 17": ((*PLAIN, "--opset", "17"), "--opset; got 17; allowed: 18 to"),
    "opset 99": ((*PLAIN, "--opset", "99"), "--opset; got 99; allowed: 18 to"),
    "opset in words": ((*PLAIN, "--opset", "new"), "'new' is not a valid integer"),
    "no window": ((*PLAIN, "--window", "0"), "--window; got 0; allowed: 1 or more"),
    "auto without readings": ((*PLAIN, "--precision", "auto"), "--precision auto needs --data for a module"),
    "a loss below zero": ((*PLAIN, "--max-accuracy-loss", "-1"), "--max-accuracy-loss; got -1.0"),
    "a loss that is no number": ((*PLAIN, "--max-accuracy-loss", "nan"), "--max-accuracy-loss; got nan"),
    "int8 of a GRU": (
        ("export", "--module", "own_nets:grus", "--input", X, "--precision", "int8", "--window", "4"),
        "int8 of a GRU is refused",
    ),
    "another server": ((*PLAIN, "--with", "tensorflow"), "'tensorflow' is not one of 'triton', 'ort'"),
    "a layout": ((*PLAIN, "--layout", "time-major"), "--layout goes with a run"),
    "a run and a module": (("export", "run", *PLAIN[1:]), "what is to be exported; got both"),
    "neither": (("export",), "what is to be exported; got neither"),
    "readings without their time": (
        (*PLAIN, "--data", "plant.csv", "--signal", "signal.toml"),
        "--data needs --timestamp",
    ),
    "readings without their signal": ((*PLAIN, "--data", "plant.csv", "--timestamp", "time"), "--data needs --signal"),
    "a time without readings": ((*PLAIN, "--timestamp", "time"), "--timestamp goes with --data"),
    "settings without readings": ((*PLAIN, "--set", "data.sort=true"), "--set goes with --data"),
    "machines without readings": ((*PLAIN, "--asset", "pump"), "--asset goes with --data"),
    "a signal that is not there": ((*PLAIN, "--signal", "none.toml"), "cannot read none.toml; got No such file"),
    "a signal that is none": ((*PLAIN, "--signal", "text.toml"), "text.toml is neither TOML nor JSON"),
    "a signal with another key": ((*PLAIN, "--signal", "other.toml"), "unknown key; got 'unit'"),
    "a signal through a pipe": ((*PLAIN, "--signal", "pipe.toml"), "pipe.toml is no plain file"),
    "a signal of three": ((*PLAIN, "--signal", "three.toml"), "--signal names other channels than x"),
    "readings that are not there": (
        (*PLAIN, "--signal", "signal.toml", "--data", "none.csv", "--timestamp", "time"),
        "none.csv",
    ),
    "another time column": (
        (*PLAIN, "--signal", "signal.toml", "--data", "plant.csv", "--timestamp", "tiem"),
        "tiem",
    ),
    "readings of another interval": (
        (*PLAIN, "--signal", "minutes.toml", "--data", "plant.csv", "--timestamp", "time"),
        "no unbroken series holds a window",
    ),
    "a place within a file": ((*PLAIN, "--out", "plant.csv/bundle"), "plant.csv"),
    "a file's place": ((*PLAIN, "--out", "plant.csv", "--overwrite"), "plant.csv"),
    "a folder that is no bundle": ((*PLAIN, "--out", "full", "--overwrite"), "no manifest.json in it"),
    "here": ((*PLAIN, "--out", "."), "."),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_wrong_option_is_one_line_and_leaves_nothing(name: str, cli: Cli, here: Path) -> None:
    arguments, expected = OPTIONS[name]
    assert expected in refused(cli, here, *arguments)


@pytest.mark.parametrize(
    "option",
    [
        "--weights",
        "--input",
        "--output",
        "--state",
        "--signal",
        "--data",
        "--timestamp",
        "--asset",
        "--set",
        "--window",
    ],
)
def test_a_modules_option_with_a_run_is_told_by_its_name(option: str, cli: Cli, here: Path) -> None:
    assert f"{option} goes with --module" in refused(cli, here, "export", "run", option, "0")


def test_a_precision_that_costs_too_much_is_a_failed_check(
    cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "toolkit.release.precision_choice.mean_errors",
        lambda graph, held_out: np.array([[1.02 if graph.one_series else 1.0]]),
    )
    monkeypatch.setattr("toolkit.release.variants.candidates", functools.partial(candidates, seconds=0.02))
    line = refused(
        *(cli, here, *PLAIN, "--signal", "signal.toml", "--data", "plant.csv", "--timestamp", "time"),
        *("--precision", "int8", "--max-accuracy-loss", "0", "--window", "6"),
        status=1,
    )
    assert "the windowed graph in int8: not kept: its error on held-out readings is 2.00 % larger" in line
