"""What tests of the command line share: options for a small run, and how a refusal looks."""

from collections.abc import Callable
from typing import NamedTuple

TRAIN = ("--timestamp", "timestamp", "--asset", "asset", "--exclude", "fault", "--target", "temperature.mean")
SMALL = ("--window", "12", "--horizon", "3", "--set", "training.max_epochs=1", "--set", "model.hidden_size=8")
FAST = ("--set", "model.num_layers=1", "--set", "data.stride=4", "--set", "model.streaming=true")


class Result(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


Cli = Callable[..., Result]


def one_line(result: Result, status: int = 2) -> str:
    """The message of a refused command: one line, no traceback, the right status."""
    assert result.status == status, result
    lines = [line for line in result.err.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, result.err
    assert result.err.splitlines()[-1] == lines[0]
    assert "Traceback" not in result.err + result.out
    return lines[0]
