"""One connection to the broker: a socket that never blocks, and what is under way through it in both directions."""

import contextlib
import math
import select
import socket
import ssl
import time

from toolkit.edge.mqtt_packets import MalformedPacketError, PacketReader, token_base
from toolkit.edge.transport import Delivery

READ_BYTES = 65_536
"""Of one call of `recv`: some 500 messages of one sample."""
_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)
CLOSED = "the broker closed the connection"


class LinkLostError(Exception):
    """The connection is of no more use; the message says why. It never leaves the transport."""


class Link:
    """Reads and writes in large pieces.

    To paho it is the socket: paho writes into a buffer that goes out once a turn, and reads the one packet that it was
    handed.

    Args:
        connection: connected, its TLS handshake done, set not to block. The link closes it.
        epoch: number of the connection.
        max_packet_bytes: a longer packet ends the connection.
    """

    def __init__(self, connection: socket.socket, epoch: int, max_packet_bytes: int) -> None:
        self._socket = connection
        self._secure = isinstance(connection, ssl.SSLSocket)
        self._reader = PacketReader(token_base(epoch), max_packet_bytes)
        self._outgoing = bytearray()
        self._handed = b""
        self._drained = True
        self._must_write = False
        self._poller = select.poll()
        self._poller.register(connection, select.POLLIN)
        self._watched = select.POLLIN
        self.given_up = False
        """Whether paho has closed its end."""

    # What paho calls.

    def recv(self, buffer_size: int) -> bytes:
        """Of the packet that was handed over."""
        if not self._handed:
            raise BlockingIOError
        piece, self._handed = self._handed[:buffer_size], self._handed[buffer_size:]
        return piece

    def send(self, buffer: bytes | bytearray) -> int:
        """Takes all of it: packets of paho and of the transport never mix."""
        self._outgoing += buffer
        return len(buffer)

    def close(self) -> None:
        """Only notes it: what paho wrote last, its DISCONNECT, still has to go out."""
        self.given_up = True

    def fileno(self) -> int:
        """The socket's."""
        return self._socket.fileno()

    def setblocking(self, flag: bool) -> None:
        """The socket does not block, whatever is asked."""

    # What the transport calls.

    @property
    def unsent(self) -> int:
        """Bytes that the socket has not taken."""
        return len(self._outgoing)

    def hand(self, packet: bytes) -> None:
        """Makes a whole packet the next thing that paho reads."""
        self._handed += packet

    def wait(self, timeout_s: float) -> None:
        """Waits until something can be read, or written where something is to be written; at most that long."""
        if self._reader.ready or not self._drained:
            return
        wanted = select.POLLIN | (select.POLLOUT if self._outgoing or self._must_write else 0)
        if wanted != self._watched:
            self._poller.modify(self._socket, wanted)
            self._watched = wanted
        self._poller.poll(math.ceil(max(timeout_s, 0.0) * 1000))

    def flush(self) -> bool:
        """Writes what the socket takes at once, usually all in one call.

        Returns:
            Whether anything was written.

        Raises:
            LinkLostError: the connection is broken.
        """
        wrote = False
        while self._outgoing:
            try:
                sent = self._socket.send(self._outgoing)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except OSError as error:
                raise LinkLostError(f"the connection broke: {error}") from error
            del self._outgoing[:sent]
            wrote = True
        return wrote

    def read(self, limit: int, until_ns: int, deliveries: list[Delivery], others: list[bytes]) -> bool:
        """Reads what is there.

        Args:
            limit: no more is taken once `deliveries` holds that many.
            until_ns: by `time.monotonic_ns()`; the socket is not asked again after it.
            deliveries: messages are added here.
            others: packets that are no PUBLISH are added here, each whole.

        Returns:
            Whether anything came.

        Raises:
            LinkLostError: the connection has ended or carries no MQTT. What came before has been added.
        """
        came = False
        try:
            while True:
                now_ns = time.monotonic_ns()
                self._reader.take(limit, deliveries, others, now_ns)
                if len(deliveries) >= limit or (came and (self._drained or now_ns >= until_ns)):
                    break
                chunk = self._receive()
                if not chunk:
                    break
                came = True
                self._reader.feed(chunk)
        except MalformedPacketError as error:
            raise LinkLostError(f"the broker sent {error}") from error
        return came

    def _receive(self) -> bytes:
        self._must_write = False
        try:
            chunk = self._socket.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            self._drained = True
            return b""
        except ssl.SSLWantWriteError:
            self._drained = self._must_write = True
            return b""
        except OSError as error:
            raise LinkLostError(f"the connection broke: {error}") from error
        if not chunk:
            raise LinkLostError(CLOSED)
        if _QUICK_ACK is not None:
            # A broker without TCP_NODELAY (mosquitto, unless told) holds small packets back until TCP has acknowledged
            # the ones before, which Linux puts off by 40 ms. The wish is forgotten after each time.
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
        # TLS gives one record a call, and holds the others where select does not see them.
        self._drained = not self._secure and len(chunk) < READ_BYTES
        return chunk

    def finish(self, timeout_s: float) -> None:
        """Sends what is left, and waits until the broker closes the connection, at most that long.

        Closed while something of the broker's is unread, a socket would take back what it has not sent.
        """
        deadline = time.monotonic() + timeout_s
        with contextlib.suppress(LinkLostError):
            while (left_s := deadline - time.monotonic()) > 0:
                self.flush()
                self.wait(left_s)
                self.read(1000, 0, [], [])

    def shut(self) -> None:
        """Closes the socket."""
        self._socket.close()
