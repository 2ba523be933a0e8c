"""`/metrics` for Prometheus, and whether the gateway lives and is ready, over HTTP.

Paths and answers of `/v2/...` are those of the Open Inference Protocol (KServe's V2): GET, 200 for yes, 400 for no,
an empty body. Nothing else is served and nothing about the gateway is told besides.

The server runs beside the loop, in threads that the end of the process does not wait for. What a client can hold is
bounded: each connection carries one request, ends after a few seconds however slowly it is read, and where there are
too many at once the oldest gives way.
"""

import contextlib
import errno
import logging
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any, cast
from urllib.parse import unquote

from toolkit.edge.metrics import CONTENT_TYPE
from toolkit.edge.settings import WatchSettings
from toolkit.edge.vitals import Vitals
from toolkit.errors import ConfigError

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 16
LONGEST_CONNECTION_S = 5.0
_LOOKS_PER_S = 4


class HealthServer(socketserver.ThreadingTCPServer):
    """Answers from the moment it is made until `stop`.

    Args:
        address: IPv4 or IPv6 address to listen at.
        port: 0 takes a free one.
        vitals: is asked for life and readiness.
        metrics: gives the text of `/metrics`.
        model: the bundle's name, in `/v2/models/NAME/ready`.

    Raises:
        ConfigError: the address cannot be listened at, because the port is taken, for one.
    """

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, address: str, port: int, vitals: Vitals, metrics: Callable[[], str], model: str) -> None:
        self.vitals, self.metrics, self.model = vitals, metrics, model
        self._open: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            super().__init__((address, port), _Handler)
        except (OSError, OverflowError, ValueError) as error:
            raise _not_served(address, port, error) from error
        self._thread = threading.Thread(target=self.serve_forever, args=(1 / _LOOKS_PER_S,), daemon=True, name="health")
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def stop(self) -> None:
        """Takes no more connections and ends those that there are."""
        self.shutdown()
        self.server_close()
        self._thread.join()
        with self._lock:
            for connection in self._open:
                _hang_up(connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Takes a connection, at the cost of the oldest where there are too many."""
        connection, client = super().get_request()
        with self._lock:
            if len(self._open) >= MOST_CONNECTIONS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                _hang_up(oldest)
            self._open[connection] = time.monotonic()
        return connection, client

    def service_actions(self) -> None:
        """Ends connections that have lasted too long: a client that sends byte by byte meets no other limit."""
        now = time.monotonic()
        with self._lock:
            for connection, since in list(self._open.items()):
                if now - since > LONGEST_CONNECTION_S:
                    _hang_up(connection)

    def shutdown_request(self, request: Any) -> None:
        """Ends a connection that has been answered."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is none of our business; anything else is logged."""
        if not isinstance(sys.exception(), OSError):
            log.exception("a health request failed", extra={"repeat": "health"})


class _Handler(BaseHTTPRequestHandler):
    timeout = LONGEST_CONNECTION_S
    default_request_version = "HTTP/1.0"  # a request that cannot be read is answered with a status as well

    def do_GET(self) -> None:
        """Answers one of the few paths."""
        server = cast("HealthServer", self.server)
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(200, server.metrics().encode(), CONTENT_TYPE)
        elif path == "/v2/health/live":
            self._answer(200 if server.vitals.is_live() else 400)
        elif path == "/v2/health/ready" or unquote(path) == f"/v2/models/{server.model}/ready":
            self._answer(200 if server.vitals.is_ready() else 400)
        else:
            self._answer(404)

    do_HEAD = do_GET  # noqa: N815 - the standard library calls it so

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Without the page that says what was asked; a method that is not known is one that is not allowed."""
        self._answer(405 if code == 501 else code)

    def _answer(self, status: int, body: bytes = b"", content_type: str = "") -> None:
        self.close_connection = True
        self.send_response(status)
        if status == 405:
            self.send_header("Allow", "GET, HEAD")
        if content_type:
            self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        """The versions of Python and of the toolkit are nobody's business here."""
        return "lstm-edge"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library calls it so
        """A scrape every few seconds is no event."""


def serve_health(watch: WatchSettings, vitals: Vitals, metrics: Callable[[], str], model: str) -> HealthServer | None:
    """A server as `[watch]` wants it; None where its port is 0.

    Raises:
        ConfigError: see `HealthServer`.
    """
    return None if watch.port == 0 else HealthServer(watch.address, watch.port, vitals, metrics, model)


def _hang_up(connection: socket.socket) -> None:
    """Wakes the thread that reads or writes there; that one closes it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _not_served(address: str, port: int, error: Exception) -> ConfigError:
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        fix = "end the other program, or choose another watch.port; 0 serves nothing"
        return ConfigError("watch.port", got=f"{port}, which another program listens at on {address}", fix=fix)
    if number == errno.EACCES:
        return ConfigError("watch.port", got=f"{port}, which is not allowed here", allowed="1024 to 65535")
    reason = getattr(error, "strerror", None) or str(error)
    return ConfigError("watch.address", got=f"{address}, port {port}: {reason}", fix="an address of this machine")
