"""Contenders that have a process of their own, and the parent's side of what is said between the two.

Lines of JSON go over pipes (see `worker` for the child's side). Whatever a process does instead of answering, be it
dying, hanging or printing something else, is one line of error here, and the process is gone afterwards.
"""

import contextlib
import json
import os
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from toolkit.errors import BundleError, RequestError

START_LIMIT_S = 120.0
"""From the process to its first answer: torch on a slow gateway takes half a minute."""
ANSWER_LIMIT_S = 60.0
"""Beyond the time that a command takes by itself."""
END_LIMIT_S = 5.0
COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}
"""Installed packages have their byte code beside them. A checkout in which Python may not write it would compile the
toolkit's own modules at every start, torch's never."""
LONGEST_LINE = 1 << 26
"""Bytes: an hour of requests at 500 Hz."""


@dataclass(frozen=True)
class Worker:
    """How to start a contender's process, and what the report calls it.

    Attributes:
        contender: as in `LatencyRow`.
        argv: the command.
        graph: that is asked.
        provider: as in `LatencyRow`.
        precision: of the weights.
        threads: within one operator; 0 leaves it to the runtime.
        request: the line that the process reads first.
        environment: variables beside those of this process.
        options: what else it was set to.
    """

    contender: str
    argv: tuple[str, ...]
    graph: str
    provider: str
    precision: str
    threads: int
    request: str
    environment: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Start:
    """From nothing to the first answer, in nanoseconds.

    Attributes:
        total_ns: on the parent's clock, from before the process was made to the line that says it has answered.
        session_ns: from the file to something that can be called.
        first_answer_ns: of the first call, its inputs' way into arrays included.
    """

    total_ns: int
    session_ns: int
    first_answer_ns: int

    @property
    def import_ns(self) -> int:
        """All that came before the session: the process, Python, the packages."""
        return self.total_ns - self.session_ns - self.first_answer_ns


@dataclass(frozen=True)
class PacedTurn:
    """What a process did in one turn of `paced`, see `worker_service.paced`."""

    service_ns: tuple[int, ...]
    late_ns: tuple[int, ...]
    cpu_ns: int


@dataclass(frozen=True)
class Memory:
    """Resident memory of a process, in MB of a million bytes; None where the system does not tell."""

    rss_mb: float | None
    peak_rss_mb: float | None


class WorkerProcess:
    """A contender's process that has given its first answer and waits for commands.

    Args:
        worker: what to start.
        start_limit_s: how long it may take to its first answer.
        answer_limit_s: how much longer than a command takes by itself its answer may take.

    Raises:
        BundleError: it refuses the bundle.
        RequestError: it cannot be started, ends, hangs, or says something else.
    """

    def __init__(
        self, worker: Worker, *, start_limit_s: float = START_LIMIT_S, answer_limit_s: float = ANSWER_LIMIT_S
    ) -> None:
        self.worker = worker
        self._limit_s = answer_limit_s
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the process has ended
        self._lines: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
        begin = time.perf_counter_ns()
        try:
            self._process = self._spawned()
        except OSError as error:
            self._errors.close()
            raise RequestError(f"cannot start {worker.contender}", got=f"{worker.argv[0]}: {error.strerror}") from error
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        self.start = self._started(begin, start_limit_s)

    def paced(self, rate_hz: float, seconds: float) -> PacedTurn:
        """Requests at a rate; the call returns when they are done."""
        answer = self._asked(["paced", rate_hz, seconds], self._limit_s + 2 * (seconds + 1 / rate_hz))
        try:
            service, late = (tuple(map(int, answer[key])) for key in ("service_ns", "late_ns"))
            return PacedTurn(service, late, int(answer["cpu_ns"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self._failure("says something else than times", json.dumps(answer)) from error

    def calls(self, count: int) -> Memory:
        """So many calls in a row, then the process's memory."""
        answer = self._asked(["calls", count], self._limit_s)
        try:
            return Memory(answer["rss_mb"], answer["peak_rss_mb"])
        except KeyError as error:
            raise self._failure("says something else than its memory", json.dumps(answer)) from error

    def close(self) -> None:
        """Ends the process, kindly first; may be called again."""
        if self._process.poll() is None:
            self._send('["quit"]')
            try:
                self._process.wait(END_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._end()

    def __enter__(self) -> "WorkerProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _spawned(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self.worker.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,  # a file, for a full pipe that nobody reads would stop the process
            env={**os.environ, **COMPILED, **self.worker.environment},
        )

    def _read(self, pipe: IO[bytes]) -> None:
        """Lines with the moment when they came; an empty one at the end."""
        while line := pipe.readline(LONGEST_LINE):
            self._lines.put((time.perf_counter_ns(), line))
        self._lines.put((time.perf_counter_ns(), b""))

    def _started(self, begin: int, limit_s: float) -> Start:
        self._send(self.worker.request)
        moment, answer = self._answer(limit_s)
        try:
            return Start(moment - begin, int(answer["session_ns"]), int(answer["first_answer_ns"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self._failure("says something else than that it has answered", json.dumps(answer)) from error

    def _asked(self, command: Sequence[object], limit_s: float) -> dict[str, Any]:
        self._send(json.dumps(command))
        return self._answer(limit_s)[1]

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except OSError:  # it is gone: what it said last tells why
            return

    def _answer(self, limit_s: float) -> tuple[int, dict[str, Any]]:
        try:
            moment, line = self._lines.get(timeout=limit_s)
        except queue.Empty:
            raise self._failure(f"does not answer within {limit_s:g} s") from None
        if not line:
            raise self._failure(self._end_told(), self._last_words())
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self._failure("says something that is not its protocol", repr(line[:80].decode(errors="replace")))
        if "error" in answer:
            self._kill()
            raise BundleError(f"{self.worker.contender} in its own process: {answer['error']}")
        return moment, answer

    def _failure(self, what: str, got: str | None = None) -> RequestError:
        self._kill()
        return RequestError(f"the process of {self.worker.contender} {what}", got=got)

    def _end_told(self) -> str:
        try:
            return f"ended with status {self._process.wait(END_LIMIT_S)}"
        except subprocess.TimeoutExpired:
            return "closed its output"

    def _last_words(self) -> str | None:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:240] if lines else None

    def _kill(self) -> None:
        self._process.kill()
        self._end()

    def _end(self) -> None:
        self._process.wait()
        self._reader.join(END_LIMIT_S)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):  # what was left to write has no reader any more
            self._process.stdin.close()
        if not self._reader.is_alive():  # it would hold the pipe where a grandchild keeps that open
            self._process.stdout.close()
        self._errors.close()
