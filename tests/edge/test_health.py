"""The HTTP server, asked over real sockets."""

import contextlib
import http.client
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from toolkit.edge import health
from toolkit.edge.health import HealthServer, serve_health
from toolkit.edge.settings import WatchSettings
from toolkit.edge.vitals import LONGEST_TURN_S, Vitals
from toolkit.errors import ConfigError


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_LOOKS_PER_S", 50)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vitals(clock: Clock) -> Vitals:
    vitals = Vitals(clock=clock)
    vitals.bundle_checked = vitals.state_loaded = vitals.journal_working = True
    return vitals


@pytest.fixture
def server(vitals: Vitals) -> Iterator[HealthServer]:
    server = HealthServer("127.0.0.1", 0, vitals, lambda: "up 1\n", "pump station")
    yield server
    server.stop()


def ask(server: HealthServer, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()


def raw(server: HealthServer, request: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    connection.sendall(request)
    return connection


def all_of(connection: socket.socket) -> bytes:
    with connection, contextlib.suppress(ConnectionResetError):
        return b"".join(iter(lambda: connection.recv(4096), b""))
    return b""


def test_metrics_are_given_as_prometheus_wants_them(server: HealthServer) -> None:
    status, headers, body = ask(server, "/metrics?x=1")
    assert (status, body) == (200, b"up 1\n")
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert headers["Server"] == "lstm-edge"


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/v2/models/pump%20station/ready"])
def test_health_is_told_by_the_status_alone(server: HealthServer, path: str) -> None:
    assert ask(server, path)[::2] == (200, b"")


@pytest.mark.parametrize("lacking", ["bundle_checked", "state_loaded", "journal_working"])
def test_a_gateway_that_lacks_something_is_not_ready_but_lives(
    server: HealthServer, vitals: Vitals, lacking: str
) -> None:
    setattr(vitals, lacking, False)
    assert ask(server, "/v2/health/ready")[::2] == (400, b"")
    assert ask(server, "/v2/models/pump%20station/ready")[0] == 400
    assert ask(server, "/v2/health/live")[0] == 200


def test_a_loop_that_stands_still_is_dead_until_it_turns(server: HealthServer, vitals: Vitals, clock: Clock) -> None:
    clock.now += LONGEST_TURN_S
    assert ask(server, "/v2/health/live")[0] == 200
    clock.now += 0.1
    assert ask(server, "/v2/health/live")[::2] == (400, b"")
    vitals.turn()
    assert ask(server, "/v2/health/live")[0] == 200


@pytest.mark.parametrize(
    "path", ["/", "/metrics/", "/v2", "/v2/models/other/ready", "/v2/models/pump%20station", "/../etc/passwd", "*"]
)
def test_nothing_else_is_served(server: HealthServer, path: str) -> None:
    assert ask(server, path)[::2] == (404, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "MADEUP"])
def test_other_methods_are_not_allowed(server: HealthServer, method: str) -> None:
    status, headers, body = ask(server, "/metrics", method)
    assert (status, headers["Allow"], body) == (405, "GET, HEAD", b"")


def test_head_gives_the_head_alone(server: HealthServer) -> None:
    status, headers, body = ask(server, "/metrics", "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "5", b"")
    assert all_of(raw(server, b"HEAD /metrics HTTP/1.1\r\n\r\n")).endswith(b"Content-Length: 5\r\n\r\n")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x00\xff\r\n\r\n", b"400"),
        (b"GET\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9.9\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"431"),
    ],
)
def test_nonsense_is_refused_without_repeating_it(
    server: HealthServer, request_bytes: bytes, status: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = all_of(raw(server, request_bytes))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert status in head.splitlines()[0]
    assert body == b""
    assert ask(server, "/metrics")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_a_slow_client_holds_up_nobody_and_is_ended(server: HealthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LONGEST_CONNECTION_S", 0.2)
    slow = raw(server, b"GET /metr")
    assert ask(server, "/metrics")[0] == 200
    slow.settimeout(health._Handler.timeout - 1)  # sooner than the limit on a single read would end it
    assert all_of(slow) == b""


def test_of_too_many_clients_the_oldest_gives_way(server: HealthServer) -> None:
    slow = [raw(server, b"GET /") for _ in range(health.MOST_CONNECTIONS)]
    assert ask(server, "/metrics")[0] == 200
    slow[0].settimeout(health._Handler.timeout - 1)
    assert all_of(slow[0]) == b""
    assert len(server._open) <= health.MOST_CONNECTIONS
    for connection in slow[1:]:
        connection.close()


def test_a_client_that_goes_away_is_not_logged(server: HealthServer, caplog: pytest.LogCaptureFixture) -> None:
    connection = raw(server, b"GET /me")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
    connection.close()
    assert ask(server, "/metrics")[0] == 200
    while server._open:
        time.sleep(0.01)
    assert not caplog.records


def test_metrics_that_cannot_be_made_are_logged_and_no_more(
    vitals: Vitals, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    server = HealthServer("127.0.0.1", 0, vitals, lambda: str(1 // 0), "m")
    with pytest.raises(http.client.RemoteDisconnected):
        ask(server, "/metrics")
    assert ask(server, "/v2/health/live")[0] == 200
    server.stop()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "Traceback" not in capfd.readouterr().err


def test_stop_ends_connections_and_frees_the_port(vitals: Vitals) -> None:
    server = HealthServer("127.0.0.1", 0, vitals, str, "m")
    waiting = raw(server, b"GET /")
    while not server._open:
        time.sleep(0.01)
    server.stop()
    waiting.settimeout(health._Handler.timeout - 1)
    assert all_of(waiting) == b""
    with contextlib.closing(socket.socket()) as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", server.port))


def test_the_end_of_the_process_waits_for_nobody() -> None:
    program = """
import socket
from toolkit.edge import health
from toolkit.edge.health import HealthServer
from toolkit.edge.vitals import Vitals
health.LONGEST_CONNECTION_S = health._Handler.timeout = 1000
server = HealthServer("127.0.0.1", 0, Vitals(), str, "m")
slow = socket.create_connection(("127.0.0.1", server.port))
slow.sendall(b"GET /")
while not server._open: pass
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=30, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_ipv6_is_served(vitals: Vitals) -> None:
    try:
        server = HealthServer("::1", 0, vitals, str, "m")
    except ConfigError:
        pytest.skip("this machine has no IPv6 loopback")
    with contextlib.closing(http.client.HTTPConnection("::1", server.port, timeout=10)) as connection:
        connection.request("GET", "/v2/health/live")
        assert connection.getresponse().status == 200
    server.stop()


def test_port_0_in_the_settings_serves_nothing(vitals: Vitals) -> None:
    assert serve_health(WatchSettings(port=0), vitals, str, "m") is None


def test_the_settings_port_is_served(vitals: Vitals) -> None:
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = serve_health(WatchSettings(port=port), vitals, str, "m")
    assert server is not None
    assert server.port == port
    server.stop()


def test_a_port_that_is_taken_is_told_in_one_line(server: HealthServer, vitals: Vitals) -> None:
    with pytest.raises(ConfigError, match=rf"^watch.port; got {server.port}, which another program listens at"):
        HealthServer("127.0.0.1", server.port, vitals, str, "m")


@pytest.mark.parametrize("address", ["192.0.2.1", "no.such.host.invalid", "::2"])
def test_an_address_that_is_not_here_is_told_in_one_line(vitals: Vitals, address: str) -> None:
    with pytest.raises(ConfigError, match=r"^watch.address; got "):
        HealthServer(address, 0, vitals, str, "m")
