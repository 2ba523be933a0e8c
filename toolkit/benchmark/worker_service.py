"""What a contender's process does once it has answered: requests at a rate, many calls, the end.

It is imported after the first answer and needs the standard library alone: the start of a process is measured, and so
is its memory, to which the instrument must not add. Lines of JSON come in and go out, one answer for each command:

- `["paced", RATE_HZ, SECONDS]`: see `paced`;
- `["calls", COUNT]`: so many calls in a row, then this process's memory, `{"rss_mb": ..., "peak_rss_mb": ...}`;
- `["quit"]`, or the end of the input: no answer.
"""

import gc
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

Call = Callable[[], object]

LEAD_IN = 5
"""Calls before the first due one: the neighbour had the cache, and the pause between turns let the clock rest."""
STATUS = Path("/proc/self/status")


class PacedClock(Protocol):
    """Where time comes from, and what lets it pass."""

    def now_ns(self) -> int:
        """Nanoseconds since some fixed moment; never goes backward."""

    def cpu_ns(self) -> int:
        """Processor nanoseconds that all threads of this process have used."""

    def sleep(self, seconds: float) -> None:
        """Waits without using the processor."""


class SystemPacedClock:
    """The real one."""

    def now_ns(self) -> int:
        """The finest monotonic clock of the system."""
        return time.perf_counter_ns()

    def cpu_ns(self) -> int:
        """User and system time of the process, threads that spin between two requests included."""
        return time.process_time_ns()

    def sleep(self, seconds: float) -> None:
        """Not a loop: a gateway's cores are for others between two requests."""
        time.sleep(seconds)


def serve(call: Call, commands: Iterable[str], say: Callable[[str], None], clock: PacedClock | None = None) -> None:
    """Answers the commands until they end.

    Args:
        call: one request.
        commands: one JSON line each.
        say: takes one line.
        clock: None means the system's.
    """
    for line in commands:
        name, *arguments = json.loads(line)
        if name == "quit":
            return
        if name == "paced":
            say(json.dumps(paced(call, clock or SystemPacedClock(), *arguments)))
        else:
            for _ in range(arguments[0]):
                call()
            say(json.dumps(memory()))


def paced(call: Call, clock: PacedClock, rate_hz: float, seconds: float) -> dict[str, Any]:
    """Requests at a rate that does not wait for the answers.

    Request k is due `k / rate_hz` after the first, whenever the one before it was done: a contender that falls behind
    is asked all the same, and its lateness grows, where a schedule that waits would hide it.

    Args:
        call: one request.
        clock: where time comes from.
        rate_hz: requests per second.
        seconds: of requests; at least one is made.

    Returns:
        `service_ns`, what each call took; `late_ns`, from the moment when it was due to its answer; `cpu_ns`, the
        processor time of the whole window, from the first due moment to one period after the last.
    """
    count, period = max(1, round(rate_hz * seconds)), 1e9 / rate_hz
    gc.collect()
    gc.disable()  # it would charge a request for the rubbish of those before
    try:
        for _ in range(LEAD_IN):
            call()
        start = clock.now_ns() + round(period)
        _sleep_until(start, clock)
        cpu_before, service, late = clock.cpu_ns(), [], []
        for place in range(count):
            due = start + round(place * period)
            _sleep_until(due, clock)
            begin = clock.now_ns()
            call()
            end = clock.now_ns()
            service.append(end - begin)
            late.append(end - due)
        _sleep_until(start + round(count * period), clock)
        return {"service_ns": service, "late_ns": late, "cpu_ns": clock.cpu_ns() - cpu_before}
    finally:
        gc.enable()


def _sleep_until(due_ns: int, clock: PacedClock) -> None:
    """Sleeps may end early by a clock's grain, so that what is left is slept again."""
    while (left := due_ns - clock.now_ns()) > 0:
        clock.sleep(left / 1e9)


def memory(status: Path = STATUS) -> dict[str, float | None]:
    """Resident memory of this process now and at its largest, in MB of a million bytes; None where nobody tells.

    `/proc` comes first: where a process was made by forking a large one, `getrusage` gives the parent's peak.
    """
    try:
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
        now, peak = (int(lines[key].split()[0]) * 1024 / 1e6 for key in ("VmRSS", "VmHWM"))
    except (OSError, KeyError, ValueError):
        return {"rss_mb": None, "peak_rss_mb": _peak()}
    return {"rss_mb": now, "peak_rss_mb": peak}


def _peak() -> float | None:
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return None
    used: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 1e6 if sys.platform == "darwin" else used * 1024 / 1e6
