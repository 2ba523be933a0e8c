"""Faults under load, each against a line of plant, broker and gateway; see `gateway_line` for how they are judged."""

import contextlib
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway_children import until_quiet
from gateway_line import SECOND_US, Line, Running, kept_whole

LONGEST_LIFE_S = 2.0
"""Of a gateway from its READY=1 to the moment at which it is killed."""
EARLY = 0.2
"""Share of the rounds in which it is killed before it is ready."""
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
SHARED = Path("/dev/shm")
WARM_S = 35.0
"""Until the windows of `Line`'s plant are full: 61 intervals of half a second."""
DISK = "16m"
NAMESPACE, HOST_END, GATEWAY_END = "lstm-edge-cut", "lstm-edge-h", "lstm-edge-g"
HOST_ADDRESS, GATEWAY_ADDRESS = "10.231.77.1", "10.231.77.2"


@dataclass(frozen=True)
class Faults:
    """How much of it.

    Attributes:
        folder: for all files.
        bundle: with raw samples.
        rounds: kills of the gateway.
        broker_rounds: kills of the broker.
        cut_s: for how long the link is cut.
        disk_s: for how long the disk is full, each time.
        warm_s: under load before the first fault.
        seed: of the moments.
    """

    folder: Path
    bundle: Path
    rounds: int = 200
    broker_rounds: int = 10
    cut_s: float = 60.0
    disk_s: float = 15.0
    warm_s: float = WARM_S
    seed: int = 0


def kill_gateway(faults: Faults) -> dict[str, Any]:
    """kill -9 at random moments, some of them before it is ready."""
    chance, starts = random.Random(faults.seed), []

    def disturb(running: Running) -> None:
        for _ in range(faults.rounds):
            running.gateway.kill()
            early = chance.random() < EARLY
            ready_s = running.gateway.start(wait=not early)
            starts.extend([] if early else [ready_s])
            time.sleep(chance.uniform(0.0, 0.8 if early else LONGEST_LIFE_S))
        running.gateway.kill()
        starts.append(running.gateway.start())

    told = _line(faults, Line(faults.folder / "kill", faults.bundle), disturb)
    return told | {"faults": faults.rounds, "slowest_start_s": max(starts)}


def kill_broker(faults: Faults) -> dict[str, Any]:
    """kill -9 of mosquitto, and a new one with what the old one had kept."""
    chance = random.Random(faults.seed)

    def disturb(running: Running) -> None:
        for _ in range(faults.broker_rounds):
            running.broker.kill()
            time.sleep(chance.uniform(0.1, 3.0))
            running.broker.start()
            time.sleep(chance.uniform(1.0, 6.0))

    # mosquitto writes all that it holds with every change: a rate that it keeps up with, one sample per interval.
    line = Line(
        faults.folder / "broker",
        faults.bundle,
        assets=10,
        rate=60.0,
        step_us=10 * SECOND_US,
        durable=True,
        deliveries=True,
    )
    return _line(faults, line, disturb) | {"faults": faults.broker_rounds}


def cut_link(faults: Faults) -> dict[str, Any]:
    """The gateway lives in a network namespace, whose cable is pulled: nothing is refused, nothing is answered."""
    _need_root("a network namespace")

    def disturb(_: Running) -> None:
        _ip("link", "set", HOST_END, "down")
        time.sleep(faults.cut_s)
        _ip("link", "set", HOST_END, "up")
        time.sleep(15.0)

    with _namespace():
        line = Line(
            faults.folder / "link",
            faults.bundle,
            address=HOST_ADDRESS,
            watch_address=GATEWAY_ADDRESS,
            before=("ip", "netns", "exec", NAMESPACE),
        )
        return _line(faults, line, disturb) | {"faults": 1, "cut_s": faults.cut_s}


def fill_disk(faults: Faults) -> dict[str, Any]:
    """The journal's disk is full, twice; the second time the gateway is killed and started meanwhile."""
    _need_root("a small tmpfs")
    journal = faults.folder / "disk" / "journal"
    told: list[dict[str, Any]] = []

    def disturb(running: Running) -> None:
        for place in range(2):
            with _full(journal):
                # The journal has some room of its own: it goes on for a while.
                told.append({"stood_still": until_quiet(running.ledger, 3.0, 60.0)})
                before = running.ledger.stat().st_size
                if place:
                    running.gateway.kill()
                    running.gateway.start(wait=False)
                time.sleep(faults.disk_s)
                told[-1] |= {
                    "bytes_acknowledged_meanwhile": running.ledger.stat().st_size - before,
                    "alive": running.gateway.running(),
                }
            if not running.gateway.running():  # a service manager starts it again
                running.gateway.start()
            time.sleep(5.0)

    journal.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(journal)], check=True)
    try:
        line = Line(faults.folder / "disk", faults.bundle, journal=journal)
        return _line(faults, line, disturb) | {"faults": 2, "disk": told}
    finally:
        subprocess.run(["umount", "-l", str(journal)], check=False)


def step_clock(faults: Faults) -> dict[str, Any]:
    """The wall clock jumps an hour ahead and two hours back, in a gateway that runs and between two that do."""
    if not FAKETIME.exists():
        raise SystemExit("libfaketime is not installed: apt-get install faketime")
    folder = faults.folder / "clock"
    folder.mkdir(parents=True)
    clock = folder / "clock.rc"
    clock.write_text("+0\n")
    environment = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    steps = ("+3600", "-3600", "+0", "-3600", "+3600", "+0")

    def disturb(running: Running) -> None:
        for place, step in enumerate(steps):
            if place >= 3:
                running.gateway.kill()
            clock.write_text(f"{step}\n")
            if place >= 3:
                running.gateway.start()
            time.sleep(6.0)

    before = set(SHARED.glob("*faketime_*"))
    try:
        line = Line(folder, faults.bundle, environment=environment)
        return _line(faults, line, disturb) | {"faults": len(steps)}
    finally:
        for left in set(SHARED.glob("*faketime_*")) - before:  # by those that were killed
            left.unlink(missing_ok=True)


KINDS: dict[str, Callable[[Faults], dict[str, Any]]] = {
    "kill": kill_gateway,
    "broker": kill_broker,
    "link": cut_link,
    "disk": fill_disk,
    "clock": step_clock,
}


def _line(faults: Faults, line: Line, disturb: Callable[[Running], None]) -> dict[str, Any]:
    running = Running(line)
    try:
        time.sleep(faults.warm_s)
        disturb(running)
        told = running.finish()
    finally:
        running.end()
    return told | {"whole": kept_whole(told)}


@contextlib.contextmanager
def _full(folder: Path) -> Iterator[None]:
    """Fills what is left of a disk, and gives it back."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(b"\0" * 65_536):
            pass
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        while file.write(b"\0"):
            pass
    try:
        yield
    finally:
        ballast.unlink()


@contextlib.contextmanager
def _namespace() -> Iterator[None]:
    """A network of its own for the gateway, with a cable to this one."""
    _remove_namespace()
    _ip("netns", "add", NAMESPACE)
    try:
        _ip("link", "add", HOST_END, "type", "veth", "peer", "name", GATEWAY_END)
        _ip("link", "set", GATEWAY_END, "netns", NAMESPACE)
        _ip("addr", "add", f"{HOST_ADDRESS}/24", "dev", HOST_END)
        _ip("link", "set", HOST_END, "up")
        _ip("-n", NAMESPACE, "addr", "add", f"{GATEWAY_ADDRESS}/24", "dev", GATEWAY_END)
        _ip("-n", NAMESPACE, "link", "set", GATEWAY_END, "up")
        _ip("-n", NAMESPACE, "link", "set", "lo", "up")
        yield
    finally:
        _remove_namespace()


def _remove_namespace() -> None:
    for words in (("link", "del", HOST_END), ("netns", "del", NAMESPACE)):
        subprocess.run(["ip", *words], check=False, stderr=subprocess.DEVNULL)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _need_root(what: str) -> None:
    if os.geteuid() != 0:
        raise SystemExit(f"{what} needs root")


def lines(name: str, told: dict[str, Any]) -> list[str]:
    """For a person."""
    samples, forecasts = told["samples"], told["forecasts"]
    verdict = "whole" if told["whole"] else "NOT WHOLE"
    return [
        f"{name}: {told['faults']} faults, {verdict}",
        f"  samples: {samples['sent']} sent, {samples['lost']} lost, {samples['delivered_again']} delivered again",
        f"  forecasts: {forecasts['expected']} expected, {forecasts['lost']} lost, {forecasts['duplicates']} doubled, "
        f"{forecasts['other_values']} with other values, {forecasts['other_quality']} with other marks, "
        f"{forecasts['unexpected']} unexpected; {forecasts['repeated']} repeated and equal",
        *([f"  such as {', '.join(told['differing'])}"] if told["differing"] else []),
    ]
