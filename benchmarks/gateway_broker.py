"""mosquitto on a port of its own, started, stopped, killed and started again with what it had kept."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

SECURE = ("persistence true", "autosave_interval 1", "autosave_on_changes true")
"""With `persistence true` alone, a broker that is killed loses what it has acknowledged."""
QUICK = ("persistence false",)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def mosquitto() -> str:
    """Where Debian puts it is not on every user's path."""
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise SystemExit("mosquitto is not installed: apt-get install mosquitto")
    return found


def pinned(core: int | None) -> list[str]:
    return [] if core is None else ["taskset", "-c", str(core)]


class Broker:
    """One mosquitto.

    Args:
        folder: for its files.
        address: where it listens.
        durable: whether what it has acknowledged survives a kill; every change is then written at once.
        core: the only one that it may use.
    """

    def __init__(
        self, folder: Path, *, address: str = "127.0.0.1", durable: bool = False, core: int | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.address, self.port, self._core, self._folder = address, free_port(), core, folder
        kept = (*SECURE, f"persistence_location {folder}/") if durable else QUICK
        lines = [
            f"listener {self.port} {address}",
            "allow_anonymous true",
            "max_queued_messages 0",
            "max_inflight_messages 10000",
            "set_tcp_nodelay true",
            f"log_dest file {folder}/mosquitto.log",
            *([f"user {os.environ.get('USER') or 'root'}"] if os.geteuid() == 0 else []),
            *kept,
        ]
        self._config = folder / "mosquitto.conf"
        self._config.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> "Broker":
        """Returns when it takes connections."""
        command = [*pinned(self._core), mosquitto(), "-c", str(self._config)]
        with (self._folder / "console.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection((self.address, self.port), timeout=1.0).close()
            except OSError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise SystemExit(f"mosquitto does not start: see {self._folder}/console.log") from None
                time.sleep(0.02)
            else:
                return self

    def kill(self) -> None:
        """As a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As its service manager would."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(20)
            self._process = None
