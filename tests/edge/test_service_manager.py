"""Messages to systemd, read from the other end of a real socket."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.edge.service_manager import ServiceManager, credentials_folder, state_folder


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[ServiceManager, socket.socket]]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@lstm-edge-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        receiver.settimeout(5)
        yield ServiceManager({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000"}), receiver


def said(receiver: socket.socket) -> list[str]:
    return receiver.recv(4096).decode().split("\n")


def test_what_a_service_says(manager: tuple[ServiceManager, socket.socket]) -> None:
    service, receiver = manager
    assert service.ready("pump-station, 3 assets")
    assert said(receiver) == ["READY=1", "STATUS=pump-station, 3 assets"]
    assert service.ready()
    assert said(receiver) == ["READY=1"]
    assert service.watchdog()
    assert said(receiver) == ["WATCHDOG=1"]
    assert service.status("Grüße")
    assert said(receiver) == ["STATUS=Grüße"]
    assert service.stopping()
    assert said(receiver) == ["STOPPING=1"]


def test_a_reload_says_when_it_began(manager: tuple[ServiceManager, socket.socket]) -> None:
    service, receiver = manager
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert service.reloading()
    reloading, since = said(receiver)
    assert reloading == "RELOADING=1"
    assert before <= int(since.removeprefix("MONOTONIC_USEC=")) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


def test_a_status_cannot_say_anything_else(manager: tuple[ServiceManager, socket.socket]) -> None:
    service, receiver = manager
    service.status("a\nSTOPPING=1\x1b\ud800" + "x" * 1000)
    (line,) = said(receiver)
    assert line.startswith("STATUS=a STOPPING=1  x")
    assert len(line) < 600


def test_a_manager_that_does_not_listen_is_not_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        service = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        while service.watchdog():
            pass
        assert not service.status("full")
        receiver.recv(4096)
        assert service.watchdog()


@pytest.mark.parametrize("named", ["", "vsock:2:1234", "relative", "/no/such/socket", "/" + "x" * 300])
def test_without_a_socket_nothing_happens(named: str) -> None:
    service = ServiceManager({"NOTIFY_SOCKET": named})
    assert not any(
        [service.ready("x"), service.reloading(), service.stopping(), service.watchdog(), service.status("")]
    )


def test_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/a")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/a")
    assert not ServiceManager().ready()
    assert state_folder() == Path("/var/lib/a")
    assert credentials_folder() == Path("/run/credentials/a")


@pytest.mark.parametrize(
    ("microseconds", "process", "interval_s"),
    [
        ("30000000", "", 15.0),
        ("30000000", "own", 15.0),
        ("30000000", "1", None),
        ("0", "", None),
        ("", "", None),
        ("x", "", None),
        ("-5", "", None),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time(microseconds: str, process: str, interval_s: float | None) -> None:
    process = str(os.getpid()) if process == "own" else process  # the ids of tests are the same in every worker
    environment = {"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": microseconds, "WATCHDOG_PID": process}
    assert ServiceManager(environment).watchdog_interval_s == interval_s
    del environment["NOTIFY_SOCKET"]
    assert ServiceManager(environment).watchdog_interval_s is None


def test_the_first_of_several_state_folders_is_taken() -> None:
    assert state_folder({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}) == Path("/var/lib/a")
    assert state_folder({}) is None
    assert credentials_folder({}) is None
