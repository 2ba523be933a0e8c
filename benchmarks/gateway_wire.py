"""MQTT 5 at QoS 1 on a plain socket: cheap enough to load a broker from the core that the broker runs on.

No retained messages, no TLS, no QoS 2: what a load generator, a collector and a tap between gateway and broker need.
Both sides of the protocol are read by `Packets`, so that the tap sees what either of them says.
"""

import contextlib
import select
import socket
import time
from typing import NamedTuple

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 0x10, 0x20, 0x30, 0x40, 0x80, 0x90
PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"
KEEPALIVE_S = 60


class Packet(NamedTuple):
    """One control packet: the type and the flags in its first byte, and what follows its length."""

    kind: int
    flags: int
    body: bytes


class Published(NamedTuple):
    """A PUBLISH packet, read; `identifier` is 0 at QoS 0."""

    topic: bytes
    identifier: int
    payload: bytes


class Packets:
    """Cuts a stream of bytes into packets."""

    def __init__(self) -> None:
        self._rest = b""

    def cut(self, data: bytes) -> list[Packet]:
        """The packets that are whole now."""
        data, place, found = self._rest + data, 0, []
        while (end := _end_of(data, place)) is not None:
            start, stop = end
            if stop > len(data):
                break
            found.append(Packet(data[place] & 0xF0, data[place] & 0x0F, data[start:stop]))
            place = stop
        self._rest = data[place:]
        return found


def _end_of(data: bytes, place: int) -> tuple[int, int] | None:
    """Where the body of the packet at `place` begins and ends; None where its length is not there yet."""
    length, shift = 0, 0
    for at in range(place + 1, min(len(data), place + 5)):
        length |= (data[at] & 0x7F) << shift
        shift += 7
        if data[at] < 0x80:
            return at + 1, at + 1 + length
    return None


def variable_length(number: int) -> bytes:
    """A variable byte integer."""
    written = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        written.append(low | 0x80 if number else low)
        if not number:
            return bytes(written)


def packet(first: int, body: bytes) -> bytes:
    """A packet out of its first byte and its body."""
    return bytes([first]) + variable_length(len(body)) + body


def text(value: str) -> bytes:
    """A UTF-8 string with its length."""
    encoded = value.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def connect_packet(client_id: str, *, clean: bool, expiry_s: int, receive_maximum: int = 65_535) -> bytes:
    properties = b"\x11" + expiry_s.to_bytes(4, "big") + b"\x21" + receive_maximum.to_bytes(2, "big")
    head = text("MQTT") + bytes([5, 2 if clean else 0]) + KEEPALIVE_S.to_bytes(2, "big")
    return packet(CONNECT, head + bytes([len(properties)]) + properties + text(client_id))


def publish_head(topic: str, payload_length: int) -> bytes:
    """Everything of a PUBLISH at QoS 1 that stands before its packet identifier."""
    name = text(topic)
    return bytes([PUBLISH | 2]) + variable_length(len(name) + 3 + payload_length) + name


def publish_packet(topic: str, payload: bytes, identifier: int) -> bytes:
    return publish_head(topic, len(payload)) + identifier.to_bytes(2, "big") + b"\x00" + payload


def puback(identifier: int) -> bytes:
    return b"\x40\x02" + identifier.to_bytes(2, "big")


def read_publish(one: Packet) -> Published:
    length = int.from_bytes(one.body[:2], "big")
    topic, place, identifier = one.body[2 : 2 + length], 2 + length, 0
    if one.flags & 6:
        identifier, place = int.from_bytes(one.body[place : place + 2], "big"), place + 2
    size = _end_of(b"\x00" + one.body[place : place + 4], 0)
    assert size is not None
    properties = size[0] - 1 + (size[1] - size[0])
    return Published(topic, identifier, one.body[place + properties :])


def _receive_maximum(properties: bytes) -> int:
    """Of a CONNACK; the identifiers before it have values of one, two or four bytes or a string."""
    sizes = {0x11: 4, 0x21: 2, 0x24: 1, 0x25: 1, 0x27: 4, 0x22: 2, 0x28: 1, 0x29: 1, 0x2A: 1, 0x13: 2}
    place = 0
    while place < len(properties):
        kind = properties[place]
        if kind == 0x21:
            return int.from_bytes(properties[place + 1 : place + 3], "big")
        size = sizes.get(kind) or 2 + int.from_bytes(properties[place + 1 : place + 3], "big")
        place += 1 + size
    return 65_535


class Wire:
    """A client's connection.

    Attributes:
        receive_maximum: of the broker: publications that may wait for their acknowledgement.
        session_present: whether the broker still had the session.

    Raises:
        OSError: no connection, or the broker refused it.
    """

    def __init__(self, host: str, port: int, client_id: str, *, clean: bool = True, expiry_s: int = 0) -> None:
        self._socket = socket.create_connection((host, port), timeout=5.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._packets, self._said = Packets(), time.monotonic()
        self.send(connect_packet(client_id, clean=clean, expiry_s=expiry_s))
        answer: list[Packet] = []
        while not answer:
            answer = self._received()
        body = answer[0].body
        if answer[0].kind != CONNACK or body[1]:
            raise ConnectionRefusedError(f"the broker answered {body[1]:#x}")
        self.session_present, self.receive_maximum = bool(body[0] & 1), _receive_maximum(body[3:])
        self._early = answer[1:]

    def send(self, data: bytes) -> None:
        """Waits while the socket takes no more."""
        self._socket.sendall(data)
        self._said = time.monotonic()

    def packets(self, timeout_s: float) -> list[Packet]:
        """What there is, after at most that long; a ConnectionError where the broker has gone."""
        if self._early:
            early, self._early = self._early, []
            return early
        if time.monotonic() - self._said > KEEPALIVE_S / 2:
            self.send(PINGREQ)
        if not select.select([self._socket], [], [], timeout_s)[0]:
            return []
        return self._received()

    def subscribe(self, topics: list[str]) -> None:
        """At QoS 1; the acknowledgement is not waited for."""
        wanted = b"".join(text(topic) + b"\x01" for topic in topics)
        self.send(packet(SUBSCRIBE | 2, b"\x00\x01\x00" + wanted))

    def close(self) -> None:
        """Says goodbye, if anyone still listens."""
        with contextlib.suppress(OSError):
            self.send(DISCONNECT)
        self._socket.close()

    def _received(self) -> list[Packet]:
        data = self._socket.recv(1 << 18)
        if not data:
            raise ConnectionResetError("the broker has closed the connection")
        return self._packets.cut(data)


def connected(host: str, port: int, client_id: str, *, clean: bool = True, expiry_s: int = 0, wait_s: float) -> Wire:
    """A connection as soon as the broker takes one; the last refusal where it takes none for that long."""
    end = time.monotonic() + wait_s
    while True:
        try:
            return Wire(host, port, client_id, clean=clean, expiry_s=expiry_s)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
