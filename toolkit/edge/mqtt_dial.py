"""How a connection to the broker comes about: name, TCP and TLS in a thread, and the pauses between the tries."""

import queue
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable

from toolkit.edge.settings import Broker, Tls
from toolkit.errors import ConfigError

STEADY_S = 10.0
"""A connection that stood that long was a good one."""


def tls_context(tls: Tls) -> ssl.SSLContext:
    """What the broker must show, and what the gateway shows: TLS 1.2 or later, the name in the certificate checked.

    Raises:
        ConfigError: a file that cannot be read, is no PEM, or a key that does not belong to the certificate.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.ca_file:
        # The system's authorities are not trusted beside the one that was named.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        _load(f"ca_file {tls.ca_file}", lambda: context.load_verify_locations(tls.ca_file))
    if tls.certificate_file:
        # Without a password of its own OpenSSL would ask for one on the terminal, and wait.
        _load(
            f"certificate_file {tls.certificate_file} with key_file {tls.key_file}",
            lambda: context.load_cert_chain(tls.certificate_file, tls.key_file or None, password=""),
        )
    return context


def _load(what: str, load: Callable[[], None]) -> None:
    try:
        load()
    except OSError as error:
        raise ConfigError(
            f"broker.tls.{what} cannot be used",
            got=error.strerror or error,
            allowed="a readable PEM file, its key unencrypted and belonging to it",
        ) from error


class Backoff:
    """Pauses between tries: each at most twice as long as the one before, and drawn at random in its upper half.

    A thousand gateways whose broker comes back must not all be there in the same second.

    Args:
        minimum_s: the longest first pause.
        maximum_s: the longest of all.
        draw: gives a number in [0, 1).
    """

    def __init__(self, minimum_s: float, maximum_s: float, draw: Callable[[], float] = random.random) -> None:
        self._minimum_s = minimum_s
        self._maximum_s = maximum_s
        self._draw = draw
        self._ceiling_s = minimum_s

    def pause_s(self) -> float:
        """The next one."""
        ceiling = min(self._ceiling_s, self._maximum_s)
        self._ceiling_s = min(2 * ceiling, self._maximum_s)
        return ceiling * (0.5 + 0.5 * self._draw())

    def lengthen(self) -> None:
        """Makes the next one as long as any."""
        self._ceiling_s = self._maximum_s

    def reset(self) -> None:
        """Begins anew."""
        self._ceiling_s = self._minimum_s


class Dialer:
    """Opens connections in a thread, since looking up a name cannot be told to hurry.

    One try at a time: a name server that hangs must not collect threads.

    Args:
        broker: where to, how long a try may take for each of the host's addresses, and the pauses.
        clock: seconds, never going back.
        draw: see `Backoff`.

    Raises:
        ConfigError: a file of TLS that cannot be used.
    """

    def __init__(self, broker: Broker, clock: Callable[[], float], draw: Callable[[], float]) -> None:
        self._broker = broker
        self._clock = clock
        self._context = tls_context(broker.tls) if broker.tls is not None else None
        self._results: queue.SimpleQueue[socket.socket | str] = queue.SimpleQueue()
        self._abandoned = False
        self._not_before_s = clock()
        self._backoff = Backoff(broker.reconnect_min_s, broker.reconnect_max_s, draw)
        self.running = False
        """Whether a try was begun whose result has not been taken."""

    def dial(self, timeout_s: float) -> socket.socket | str | None:
        """Begins a try where none is under way and the pause is over, and waits for what comes of it.

        Returns:
            The open connection, or in words why there is none; None where that is not known within the time.
        """
        timeout_s = max(timeout_s, 0.0)
        pause_s = self._not_before_s - self._clock()
        if self._abandoned or (not self.running and pause_s > 0):
            time.sleep(timeout_s if self._abandoned else min(pause_s, timeout_s))
            return None
        if not self.running:
            self.running = True
            threading.Thread(target=self._dial, name="mqtt-dial", daemon=True).start()
        try:
            found = self._results.get(timeout=timeout_s)
        except queue.Empty:
            return None
        self.running = False
        return found

    def pause(self, stood_s: float, *, long: bool) -> bool:
        """Puts the next try off.

        Args:
            stood_s: how long the connection that was lost had stood; 0 where none came about.
            long: as long as can be.

        Returns:
            Whether that was long enough for the pauses to begin anew. (A broker that takes a client and throws it out
            at once must not see it every second.)
        """
        steady = stood_s >= STEADY_S
        if steady:
            self._backoff.reset()
        if long:
            self._backoff.lengthen()
        self._not_before_s = self._clock() + self._backoff.pause_s()
        return steady

    def abandon(self) -> None:
        """Lets a try that is under way come to nothing, and begins no other."""
        self._abandoned = True
        self._discard()

    def _discard(self) -> None:
        while not self._results.empty():
            found = self._results.get()
            if isinstance(found, socket.socket):
                found.close()

    def _dial(self) -> None:
        try:
            found: socket.socket | str = self._open()
        except ssl.SSLCertVerificationError as error:
            found = f"the broker's certificate is not trusted: {error.verify_message}"
        except OSError as error:
            found = str(error.strerror or error)
        except Exception as error:
            # A host name that IDNA cannot encode, for one. A try of which nothing came would be the last.
            found = str(error) or type(error).__name__
        self._results.put(found)
        if self._abandoned:
            self._discard()

    def _open(self) -> socket.socket:
        broker = self._broker
        connection = socket.create_connection((broker.host, broker.port), timeout=broker.connect_timeout_s)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None and broker.tls is not None:
                name = broker.tls.server_name or broker.host
                connection = self._context.wrap_socket(connection, server_hostname=name)
            connection.setblocking(False)
        except BaseException:
            connection.close()
            raise
        return connection
