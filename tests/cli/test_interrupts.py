"""An interrupt is one line and status 130, be a package just being imported or not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = """
import time
try:
    open("started", "w").close()
    for _ in range(20):
        time.sleep(0.1)
except:  # as torch does
    pass
def make(): time.sleep(2)
"""
HANGING = SLOW.replace("range(20)", "range(6000)").replace("except:  # as torch does\n    pass", "finally:\n    pass")


def interrupted(folder: Path, code: str, times: int) -> tuple[int, str]:
    (folder / "slow_nets.py").write_text(code)
    arguments = ["export", "--module", "slow_nets:make", "--input", "x: float32[batch, 2]"]
    process = subprocess.Popen(
        [sys.executable, "-c", f"from toolkit.cli.main import main; main({arguments!r})"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ, OMP_NUM_THREADS="1"),
    )
    while not (folder / "started").exists():
        assert process.poll() is None
        signal.sigtimedwait([], 0.02)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        signal.sigtimedwait([], 0.3)
    return (process.communicate(timeout=60)[1], process.returncode)[::-1]


@pytest.mark.parametrize(("code", "times"), [(SLOW, 1), (HANGING, 2)], ids=["swallowed", "an import that hangs"])
def test_an_interrupt_while_something_is_imported_is_not_lost(code: str, times: int, tmp_path: Path) -> None:
    status, errors = interrupted(tmp_path, code, times)
    assert status == 130
    assert errors.strip() == "Error: interrupted; nothing half written was left behind; fix: run the command again"
