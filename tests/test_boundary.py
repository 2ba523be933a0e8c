"""The edge chain runs on a gateway without torch, onnx or polars: proven in processes that cannot import them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.cli.main import COMMANDS

EDGE_ROOMS = ("contract", "signal", "runtime", "benchmark", "edge", "report")

PRELUDE = """
import importlib, pkgutil, sys

ABSENT = {"torch", "onnx", "onnxscript", "polars", "pandas", "safetensors", "rich", "tomli_w", "optuna", "tensorboard"}

sys.modules.update(dict.fromkeys(ABSENT))  # None there is how Python says "not to be found"
"""

IMPORT_ALL = (
    PRELUDE
    + """
import toolkit
rooms = [name for name in sys.argv[1:] if importlib.util.find_spec(f"toolkit.{name}")]
for room in rooms:
    package = importlib.import_module(f"toolkit.{room}")
    for module in pkgutil.walk_packages(package.__path__, f"toolkit.{room}."):
        importlib.import_module(module.name)
loaded = {name for name, module in sys.modules.items() if module and name.partition(".")[0] in ABSENT}
assert not loaded, loaded
chain = ("model", "data", "training", "export", "parity", "release", "cli")
reached = [name for name in sys.modules if name.startswith(tuple(f"toolkit.{room}" for room in chain))]
assert not reached, reached
print(len(rooms), "rooms")
"""
)

HELP = (
    PRELUDE
    + """
from toolkit.cli.main import COMMANDS, main
for arguments in ([], ["gateway", "check"], *([name] for name in COMMANDS)):
    try:
        main([*arguments, "--help"])
    except SystemExit as end:
        assert not end.code, (arguments, end.code)
"""
)

WITHOUT_EXTRA = PRELUDE + "\nfrom toolkit.cli.main import main\nmain(sys.argv[1:])\n"

TABLES_ALONE = PRELUDE.replace('"polars", ', "") + "\nfrom toolkit.cli.main import main\nmain(sys.argv[1:])\n"

SCORE = ["b", "--data", "f.csv", "--timestamp", "t", "--out", "o.csv"]


def python(code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def test_every_edge_module_imports_without_the_training_packages() -> None:
    result = python(IMPORT_ALL, *EDGE_ROOMS)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout.split()[0]) >= 4


def test_the_blocker_blocks() -> None:
    result = python(PRELUDE + "\nimport toolkit.model\n")
    assert result.returncode != 0
    assert "import of torch halted" in result.stderr


def test_every_help_works_without_the_training_packages() -> None:
    result = python(HELP)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Example: ") == len(COMMANDS) + 1


@pytest.mark.parametrize("command", ["train", "export", "parity", "demo", "simulate", "score"])
def test_a_command_without_its_extra_says_what_to_install(command: str) -> None:
    arguments = {"train": [], "demo": [], "export": ["r"], "parity": ["b"], "simulate": ["s.csv"], "score": SCORE}
    result = python(WITHOUT_EXTRA, command, *arguments[command])
    extra = "tables" if command in ("simulate", "score") else "train"
    assert result.returncode == 2
    assert f"pip install 'lstm-edge-toolkit[{extra}]'" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_table_is_scored_with_polars_alone(root: Path, tmp_path: Path) -> None:
    table, out = tmp_path / "plant.parquet", tmp_path / "forecasts.csv"
    made = python(TABLES_ALONE, "simulate", str(table), "--assets", "2", "--days", "0.1", "--no-faults")
    assert made.returncode == 0, made.stderr
    options = ("--data", str(table), "--timestamp", "timestamp", "--asset", "asset", "--out", str(out))
    result = python(
        TABLES_ALONE, "score", str(root / "exported" / "pump-station"), *options, "--set", "data.timezone=UTC"
    )
    assert result.returncode == 0, result.stderr
    assert out.read_text().startswith("timestamp,asset,first_forecast,temperature.mean+1,")


def test_benchmark_and_doctor_work_without_torch(root: Path) -> None:
    bundle = root / "exported" / "pump-station"
    result = python(WITHOUT_EXTRA, "benchmark", str(bundle), "--batch", "1", "--seconds", "0.1")
    assert result.returncode == 0, result.stderr
    assert "torch not measured" in result.stdout
    assert python(WITHOUT_EXTRA, "doctor").returncode == 0


@pytest.mark.parametrize("room", ["contract", "signal", "runtime", "benchmark"])
@pytest.mark.parametrize("package", ["torch", "onnx", "polars"])
def test_the_lint_rule_refuses_the_import(room: str, package: str, root: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--stdin-filename", f"toolkit/{room}/x.py", "-"],
        input=f"import {package}\n",
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "TID251" in result.stdout


@pytest.mark.parametrize(
    ("room", "line", "broken"),
    [
        ("runtime", "import torch", "never imports the training chain"),
        ("runtime", "import toolkit.model", "never imports the training chain"),
        ("contract", "import numpy", "standard library alone"),
        ("signal", "import toolkit.runtime", "downward only"),
    ],
)
def test_the_import_contracts_refuse_the_import(room: str, line: str, broken: str, root: Path, tmp_path: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root / "toolkit", tmp_path / "toolkit", ignore=ignore)
    shutil.copy(root / "pyproject.toml", tmp_path)
    (tmp_path / "toolkit" / room / "reaching.py").write_text(f"{line}\n")
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, '.'); {program}", "--no-cache"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1, result.stdout + result.stderr
    assert any(broken in row and "BROKEN" in row for row in result.stdout.splitlines()), result.stdout
