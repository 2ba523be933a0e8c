"""A contender tried in a process of its own before it is built in this one, and its answers held to the graph's.

Compilers and other runtimes abort, hang and leave children behind. What does so in the trial is a stated skip; what
passes it is timed here, where contenders take turns.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_entry import GraphEntry
from toolkit.errors import ContenderError
from toolkit.runtime.diagnosis import explain_exit
from toolkit.runtime.golden_manifest import allowed_of
from toolkit.runtime.providers import one_line

SECONDS = 300.0
"""For one trial: `torch.compile` took 20 s and AOTInductor 30 s on two busy cores."""
ALLOWANCE = 10.0
"""Times the golden tolerance, which is of one runtime on other processors. OpenVINO's provider in float32 was seen
to use 3.6 of them; what bfloat16 and TF32 use was not measured."""

Array = NDArray[Any]


def check_answers(what: str, entry: GraphEntry, got: Sequence[Array], wanted: Sequence[Array]) -> None:
    """Refuses a contender that answers otherwise: how fast it does so says nothing.

    Args:
        what: the contender, for the message.
        entry: of the graph.
        got: its answers, in the order of the graph's outputs.
        wanted: the right ones.

    Raises:
        ContenderError: another number of answers, another shape, or a value beyond the tolerance.
    """
    shapes = [list(array.shape) for array in got], [list(array.shape) for array in wanted]
    if shapes[0] != shapes[1]:
        raise ContenderError(f"{what} not timed: it gives other shapes", got=shapes[0], allowed=shapes[1])
    for tensor, mine, other in zip(entry.outputs, got, wanted, strict=True):
        off = np.abs(mine.astype(np.float64) - other.astype(np.float64))
        part = float(np.max(np.where(np.isfinite(off), off, np.inf) / allowed_of(entry, tensor.name)))
        if part > ALLOWANCE:
            what_for = f"{what} not timed: it answers {tensor.name} otherwise"
            raise ContenderError(what_for, got=f"{part:.3g} times the golden tolerance", allowed=f"{ALLOWANCE:g}")


def run_trial(what: str, module: str, arguments: Sequence[str], seconds: float = SECONDS) -> None:
    """Runs a module of the toolkit in a process of its own, which and whose children are gone afterwards.

    Args:
        what: the contender, for the message.
        module: to run; it ends with status 0 where the contender works, and says in the last line of its standard error
            why not.
        arguments: of the module.
        seconds: that it may take.

    Raises:
        ContenderError: it fails, dies or takes longer.
    """
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
    command = [sys.executable, "-P", "-m", module, *arguments]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=variables, start_new_session=True
        )
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise ContenderError(f"{what} not timed: it was not ready within {seconds:g} s") from None
        finally:
            _end(process)
        said.seek(0)
        text = said.read().decode(errors="replace")
    if status != 0:
        raise ContenderError(f"{what} not timed: {one_line(explain_exit(status, text))}")


def first_line(error: Exception) -> str:
    """What an error of another library says; its own stack and advice come after."""
    lines = str(error).strip().splitlines()
    return one_line(lines[0]) if lines else type(error).__name__


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends the process and what it started: compilers run in processes of their own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
