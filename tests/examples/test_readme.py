"""Every command of the README is run, in order and in one folder, with less data, fewer epochs and shorter rounds."""

import shutil
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from readme_commands import blocks, commands, parse
from safetensors.torch import save_file
from torch import nn

from toolkit.cli.main import main
from toolkit.cli.progress import TrainingProgress

SMALL = {
    "simulate": ("--assets", "2", "--days", "0.7"),
    "train": ("--set", "training.max_epochs=1", "--set", "model.hidden_size=8", "--set", "data.stride=40"),
    "tune": ("--trials", "1", "--set", "training.max_epochs=1", "--set", "data.stride=40"),
    "parity": ("--quick",),
    "benchmark": ("--seconds", "0.02", "--batch", "1", "--batch", "2"),
    "tune-session": ("--seconds", "0.01"),
    "gateway": ("--command", "/opt/lstm-edge/bin/lstm-edge"),  # a service would not find this one in a home
}
"""What is added to a command; of options that are given twice the last one counts."""

RUNS_LONG = {("gateway", "run"), ("simulate", "--mqtt"), ("demo",)}
"""Held against the options that there are: they end by a signal, or take a minute. The examples run the gateway."""

SHELL = {
    "export",
    "mosquitto",
    "mosquitto_sub",
    "curl",
    "kill",
    "python3",
    "sudo",
    "systemctl",
    "/opt/lstm-edge/bin/pip",
}
"""Programs that are not ours."""

PLACES = {"/opt/bundles/pump-station": "exported/pump-station", "/etc/lstm-edge": "etc"}

QUICK_SCENARIOS = ("single", "--scenario", "bulk", "--scenario", "cold")
"""In place of all: the others take half a minute, and tests of their own run them."""

NETS = """
from torch import nn

class Stream(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(3, 64, 2, batch_first=True), nn.Linear(64, 1)

    def forward(self, x, h0, c0):
        steps, (hn, cn) = self.lstm(x, (h0, c0))
        return self.head(steps), hn, cn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(9, 8, batch_first=True), nn.Linear(8, 1)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])

make, stream = Net, Stream
"""


class Workplace:
    """The folder that the README's reader works in, and what she has done by herself before a command."""

    def __init__(self, readme: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.readme, self.monkeypatch = readme, monkeypatch

    def before(self, words: Sequence[str]) -> None:
        """Makes the files that a command takes for granted."""
        made: dict[str, Callable[[], object]] = {
            "--resume": self._interrupt,
            "mypackage.nets:make": self._module,
            "signal.toml": self._signal,
            "net.onnx": lambda: shutil.copy("exported/make/windowed.onnx", "net.onnx"),
            "before.json": lambda: shutil.copy("now.json", "before.json"),
            "new.csv": lambda: shutil.copy("plant.csv", "new.csv"),
        }
        for word, make in made.items():
            if word in words:
                make()

    def _interrupt(self) -> None:
        """A training that stopped after its first epoch."""

        def stop(progress: TrainingProgress, record: object) -> None:
            raise KeyboardInterrupt

        shutil.rmtree("runs/plant")
        two = ("--set", "training.max_epochs=2")
        with self.monkeypatch.context() as patched:
            patched.setattr(TrainingProgress, "on_epoch", stop)
            assert status(["train", "lstm-edge.toml", *SMALL["train"], *two, "--run", "runs/plant"]) == 130

    def _module(self) -> None:
        if Path("mypackage").is_dir():
            return
        Path("mypackage").mkdir()
        Path("mypackage/nets.py").write_text(NETS)
        weights = {**weights_of(nn.LSTM(9, 8, batch_first=True), "lstm"), **weights_of(nn.Linear(8, 1), "head")}
        save_file(weights, "net.safetensors")
        torch.save(weights, "net.pt")

    def _signal(self) -> None:
        text = next(block.text for block in blocks(self.readme, "toml") if "[units]" in block.text)
        Path("signal.toml").write_text(text)


def weights_of(module: nn.Module, name: str) -> dict[str, torch.Tensor]:
    return {f"{name}.{key}": tensor.clone() for key, tensor in module.state_dict().items()}


def status(arguments: Sequence[str]) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return end.value.code if isinstance(end.value.code, int) else 0


@pytest.fixture
def workplace(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("LSTM_EDGE_SESSION", raising=False)
    shutil.copytree(root / "exported" / "pump-station", "exported/pump-station")
    return Workplace(root / "README.md", monkeypatch)


def test_every_command_of_the_readme_runs(workplace: Workplace, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        for block in blocks(workplace.readme, "console"):
            for words in commands(block.text):
                run(words, workplace, root, capsys)
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "mypackage"]:
            del sys.modules[name]


def run(words: list[str], workplace: Workplace, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program, *arguments = words
    if program == "make":
        assert f"\n{arguments[0]}:" in (root / "Makefile").read_text()
    elif program == "pip":
        check_extras(arguments, root)
    elif program == "torchrun":
        parse(arguments[arguments.index("lstm-edge") + 1 :])
    elif program == "lstm-edge":
        run_ours(arguments, workplace, capsys)
    else:
        assert program in SHELL, f"{words}: say in this file how the README's command is tested"


def run_ours(arguments: list[str], workplace: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    for place, own in PLACES.items():
        arguments = [argument.replace(place, own) for argument in arguments]
    if "all" in arguments:
        place = arguments.index("all")
        arguments = [*arguments[:place], *QUICK_SCENARIOS, *arguments[place + 1 :]]
    command = arguments[0]
    parse(arguments)
    if any(set(long) <= set(arguments) for long in RUNS_LONG):
        return
    workplace.before(arguments)
    small = smaller(arguments)
    capsys.readouterr()
    allowed = {0, 1} if "--budget" in arguments or command == "compare" else {0}  # what this machine can do
    found, said = status([*arguments, *small]), capsys.readouterr()
    assert found in allowed, f"lstm-edge {' '.join(arguments)}\n{said.err}"
    assert "Traceback" not in said.err


def smaller(arguments: Sequence[str]) -> tuple[str, ...]:
    """What is added to a command, so that it takes a second."""
    if "--resume" in arguments or "--no-service" in arguments or arguments[:2] == ["gateway", "check"]:
        return ()  # a run that goes on has the settings that it began with
    once = ("--runs", "1") if "cold" in arguments else ()
    return (*SMALL.get(arguments[0], ()), *once)


def check_extras(arguments: Sequence[str], root: Path) -> None:
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = next(word for word in arguments if word.startswith("."))
    assert set(asked.strip(".[]").split(",")) <= set(extras), arguments


def test_the_python_of_the_readme_runs(workplace: Workplace) -> None:
    names: dict[str, object] = {}
    for block in blocks(workplace.readme, "python"):
        exec(compile(block.text, "README.md", "exec"), names)
    forecasts = names["forecasts"]
    assert getattr(forecasts, "shape", None) == (1000, 12, 3)


def test_the_readme_lists_every_command(root: Path) -> None:
    from toolkit.cli.main import COMMANDS

    text = (root / "README.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"| `lstm-edge {name}" not in text] == []


def test_an_option_that_is_gone_is_told() -> None:
    import click

    parse(["benchmark", "exported/plant", "--scenario", "all"])
    with pytest.raises(click.NoSuchOption):
        parse(["benchmark", "exported/plant", "--senario", "all"])
    with pytest.raises(click.UsageError):
        parse(["gateway", "walk"])
