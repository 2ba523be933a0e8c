"""The processes around a gateway: generator, collector and tap, each of its own so that none waits for another."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway_broker import pinned

HERE = Path(__file__).parent


class Child:
    """A script of this folder.

    Args:
        script: without its ending.
        options: by their names, with an underscore for a dash; True for a flag.
        core: the only one that it may use.
    """

    def __init__(self, script: str, options: Mapping[str, object], core: int | None = None) -> None:
        words = [*pinned(core), sys.executable, str(HERE / f"{script}.py")]
        for name, value in options.items():
            words += [f"--{name.replace('_', '-')}"] if value is True else [f"--{name.replace('_', '-')}", str(value)]
        self._script = script
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def stop(self, wait_s: float = 20.0) -> None:
        """Asks it to end and waits; one that looks for a broker that is gone is ended at once."""
        self.ask_to_end()
        try:
            self._process.communicate(timeout=wait_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def report(self, wait_s: float) -> dict[str, Any]:
        """What it printed at its end, which is waited for."""
        out, _ = self._process.communicate(timeout=wait_s)
        if self._process.returncode:
            raise RuntimeError(f"{self._script} ended with {self._process.returncode}")
        return dict(json.loads(out.strip().splitlines()[-1]))

    def ask_to_end(self) -> None:
        """Without waiting."""
        if self.running():
            self._process.send_signal(signal.SIGTERM)


def until_quiet(file: Path, quiet_s: float, most_s: float) -> bool:
    """Waits until a file has not grown for a while; False where it never stopped."""
    end, last, since = time.monotonic() + most_s, -1, time.monotonic()
    while time.monotonic() < end:
        size = file.stat().st_size if file.exists() else 0
        if size != last:
            last, since = size, time.monotonic()
        if time.monotonic() - since >= quiet_s:
            return True
        time.sleep(0.1)
    return False
