"""A bundle's first run, made by a process of its own that may die of it.

A model may abort its process, loop for ever or ask for 8 GB, and no look at its bytes tells. So a fresh process, with
limits on memory and time and without the gateway's secrets, runs all golden vectors, a batch like the gateway's and a
few timed calls, and says over a pipe what it found. It names the digest of what it tried: a gateway compares that with
the bundle that it has loaded itself.

Nothing of onnxruntime is imported here: the process can be started before its parent imports anything, and both then
get ready side by side. It is never a fork of the gateway, whose threads would not be in it.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from toolkit.contract.readiness_reports import TrialResult
from toolkit.contract.records import decode, encode
from toolkit.edge.trial_request import TrialRequest
from toolkit.errors import BundleError, GoldenError, RequestError

if TYPE_CHECKING:
    from pathlib import Path

    from toolkit.edge.settings import TrialSettings
    from toolkit.runtime.bundle import Bundle

PASSED_ON = ("LD_LIBRARY_PATH", "OMP_NUM_THREADS", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "TMPDIR")
"""All that the child sees of the environment; passwords stand in others."""
GRACE_S = 5.0
"""Beyond the child's own limit, within which it should have ended itself."""
MAX_ANSWER = 1 << 20
"""Bytes that are read of what the child says, and of what it complains."""


class Trial:
    """A trial under way; a context manager that leaves no process behind.

    Args:
        request: what is tried.
        program: the child's module.
    """

    def __init__(self, request: TrialRequest, program: str = "toolkit.edge.trial_child") -> None:
        self._request = request
        self._deadline = time.monotonic() + request.time_s + GRACE_S
        # -P: a folder `toolkit` that happens to lie about is not the one that is meant.
        command = [sys.executable, "-P", "-m", program, json.dumps(encode(request))]
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
            cwd="/" if os.path.isabs(request.folder) else None,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def result(self) -> TrialResult:
        """Waits for the child, no longer than it was given."""
        said, complained = bytearray(), bytearray()
        in_time = self._gather(said, complained)
        self._end()
        status = self._child.returncode
        if len(said) > MAX_ANSWER or len(complained) > MAX_ANSWER:
            return TrialResult("died", f"it wrote more than {MAX_ANSWER} bytes")
        if not in_time:
            return TrialResult("died", self._too_long())
        if status != 0:
            return TrialResult("died", self._death(status, complained.decode(errors="replace")))
        try:
            return decode(TrialResult, json.loads(said), "the trial", RequestError)
        except (ValueError, RecursionError, RequestError):
            return TrialResult("died", "the trial gave no answer")

    def _gather(self, said: bytearray, complained: bytearray) -> bool:
        """Takes down what the child writes until it closes both pipes and ends; not if it takes too long over that."""
        with selectors.DefaultSelector() as selector:
            for pipe, found in ((self._child.stdout, said), (self._child.stderr, complained)):
                assert pipe is not None
                selector.register(pipe, selectors.EVENT_READ, found)
            while selector.get_map():
                ready = selector.select(self._left())
                if not ready:
                    return False
                for key, _ in ready:
                    part = os.read(key.fd, 1 << 16)
                    key.data.extend(part)
                    if len(key.data) > MAX_ANSWER:
                        return False
                    if not part:
                        selector.unregister(key.fileobj)
        return self._has_ended()

    def _has_ended(self) -> bool:
        """Whether the child ends within its time: told by the kernel at once, where `wait` looks every 50 ms."""
        try:
            process = os.pidfd_open(self._child.pid)
        except (AttributeError, OSError):  # no Linux, an old kernel, or a filter that does not know the call
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(self._left())
            return self._child.poll() is not None
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(process, selectors.EVENT_READ)
                return bool(selector.select(self._left()))
        finally:
            os.close(process)

    def _left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def _end(self) -> None:
        if self._child.poll() is None:
            self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdout, self._child.stderr):
            if pipe is not None:
                pipe.close()

    def _too_long(self) -> str:
        return f"it ran longer than {self._request.time_s:g} s"

    def _death(self, status: int, complaint: str) -> str:
        if -status in (signal.SIGALRM, signal.SIGXCPU):
            return self._too_long()
        if status == -signal.SIGKILL:
            return "it was ended by SIGKILL: most often the system had no memory left"
        if status < 0 and -status != signal.SIGILL:
            return f"it was aborted by {signal.Signals(-status).name}"
        from toolkit.runtime.diagnosis import explain_exit  # noqa: PLC0415 - only where something went wrong

        return explain_exit(status, complaint)


def start_trial(
    folder: "Path | str", settings: "TrialSettings | None" = None, session_file: str = "", **changes: float
) -> Trial:
    """Starts the trial of a bundle and goes on; `Trial.result` waits for it.

    Args:
        folder: the bundle's.
        settings: limits of the child; None means the default ones.
        session_file: of `lstm-edge tune-session`, or "".
        changes: other fields of `TrialRequest`.
    """
    limits = {} if settings is None else {"memory_bytes": settings.memory_bytes, "time_s": settings.time_s}
    place = os.path.abspath(folder)
    file = os.path.abspath(session_file) if session_file else ""
    request: Any = {"folder": place, "session_file": file, **limits, **changes}
    return Trial(TrialRequest(**request))


def try_bundle(
    folder: "Path | str", settings: "TrialSettings | None" = None, session_file: str = "", **changes: float
) -> TrialResult:
    """Tries a bundle and waits, see `start_trial`."""
    with start_trial(folder, settings, session_file, **changes) as trial:
        return trial.result()


def accept(result: TrialResult, bundle: "Bundle") -> None:
    """Whether this bundle may be run in this process: it passed, and it is the one that was tried.

    Raises:
        GoldenError: it did not pass.
        BundleError: it is no sound bundle, or another than the one that was tried.
    """
    if result.outcome == "refused":
        raise BundleError(result.problem)
    if result.outcome != "passed":
        raise GoldenError(f"the trial of {bundle.place} did not pass: {result.problem}")
    if result.digest != bundle.digest:
        raise BundleError(f"{bundle.place} changed while it was tried", fix="start again")


def _environment() -> dict[str, str]:
    """The packages that this process sees, and nothing that is nobody's business."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
