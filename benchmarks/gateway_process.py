"""`lstm-edge gateway run` as a process that is watched: its start, its end, what it takes of the machine."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway_broker import free_port, pinned

LSTM_EDGE = Path(sys.executable).with_name("lstm-edge")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
START_S = 30.0
VARIABLES = ("temperature", "pressure", "vibration")


@dataclass(frozen=True)
class Plan:
    """What is written into `gateway.toml`; a table's lines are added as they are.

    Attributes:
        folder: for configuration and journal.
        bundle: absolute.
        host: of the broker.
        port: of the broker.
        journal: where the journal lies; None means within `folder`.
        tables: further lines by the table's name.
        watch_address: where `/metrics` is served.
    """

    folder: Path
    bundle: Path
    host: str
    port: int
    journal: Path | None = None
    tables: Mapping[str, Sequence[str]] = field(default_factory=dict)
    watch_address: str = "127.0.0.1"

    def write(self) -> tuple[Path, int]:
        """The file and the port of `/metrics`."""
        journal = self.journal or self.folder / "journal"
        journal.mkdir(parents=True, exist_ok=True)
        port = free_port()
        tables = {
            "broker": [f'host = "{self.host}"', f"port = {self.port}", 'client_id = "gateway"'],
            "journal": [f'folder = "{journal}"'],
            "watch": [f'address = "{self.watch_address}"', f"port = {port}"],
        }
        for name, lines in self.tables.items():
            tables.setdefault(name, []).extend(lines)
        inputs = [
            f'[[input]]\ntopic = "plant/{{asset}}/{name}"\n[input.columns]\n{name} = "value"\n' for name in VARIABLES
        ]
        text = [f'bundle = "{self.bundle}"\n', *inputs]
        text += [f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in tables.items()]
        file = self.folder / "gateway.toml"
        file.write_text("\n".join(text))
        return file, port


class NotReadyError(RuntimeError):
    """The gateway ended, or said nothing, before it was ready."""


class Gateway:
    """One process after the other on the same configuration and journal.

    Args:
        plan: its configuration.
        core: the only one that it may use.
        before: words before the command: a network namespace, for one.
        environment: further variables.
        command: instead of this environment's `lstm-edge`.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        core: int | None = None,
        before: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        command: Path = LSTM_EDGE,
    ) -> None:
        self._config, watch_port = plan.write()
        self._watch = f"http://{plan.watch_address}:{watch_port}/metrics"
        self._log = plan.folder / "gateway.log"
        self._command = [*before, *pinned(core), str(command), "gateway", "run", str(self._config)]
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What all of its processes have written."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self, *, wait: bool = True) -> float:
        """Seconds from before the process was made to its READY=1; 0 where it is not waited for."""
        with _notify_socket() as (place, listening), self._log.open("ab") as log:
            begin = time.monotonic()
            environment = {**self._environment, "NOTIFY_SOCKET": place}
            if not wait:
                del environment["NOTIFY_SOCKET"]
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=environment)
            return self._until_ready(listening, begin) if wait else 0.0

    def _until_ready(self, listening: socket.socket, begin: float) -> float:
        assert self._process is not None
        listening.settimeout(0.05)
        while time.monotonic() < begin + START_S:
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in listening.recv(4096):
                    return time.monotonic() - begin
            if self._process.poll() is not None:
                raise NotReadyError(f"the gateway ended with {self._process.returncode}: {self.log[-600:]}")
        raise NotReadyError(f"no READY=1 within {START_S:g} s: {self.log[-600:]}")

    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """As a power cut would, but for what the kernel still writes."""
        self._end(signal.SIGKILL)

    def stop(self) -> float:
        """Seconds that a graceful end took."""
        begin = time.monotonic()
        self._end(signal.SIGTERM)
        return time.monotonic() - begin

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def metrics(self) -> dict[str, float]:
        """By name and labels, as `/metrics` has them; empty where nobody answers."""
        try:
            with urllib.request.urlopen(self._watch, timeout=2) as answer:
                text = answer.read().decode()
        except OSError:
            return {}
        pairs = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def wait_for_link(self, most_s: float = 20.0) -> None:
        """READY does not wait for the broker, and before there is a session the broker keeps nothing for it."""
        end = time.monotonic() + most_s
        while self.metrics().get("lstm_edge_link_up") != 1.0:
            if time.monotonic() > end or not self.running():
                raise NotReadyError(f"the gateway does not reach the broker: {self.log[-600:]}")
            time.sleep(0.05)

    def messages(self) -> float:
        """That have been read, whatever became of them; since this process began."""
        return total(self.metrics(), "lstm_edge_messages_total")


def total(metrics: Mapping[str, float], name: str) -> float:
    """Over all labels."""
    return sum(value for key, value in metrics.items() if key.partition("{")[0] == name)


@contextlib.contextmanager
def _notify_socket() -> Iterator[tuple[str, socket.socket]]:
    """Where systemd would wait for READY=1."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"{folder}/notify")
        yield f"{folder}/notify", listening


def cpu_s(pid: int) -> float:
    """Processor seconds of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:13]) / TICKS_PER_S


def rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1e6


def peak_rss_mb(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def written_bytes(pid: int) -> int:
    """That the process caused to be sent to storage."""
    found = re.search(r"^write_bytes: (\d+)", Path(f"/proc/{pid}/io").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0
