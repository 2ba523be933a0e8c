"""As much of an MQTT 5 broker as shows what a client does where mosquitto does not insist."""

import socket
import struct
import threading
from collections.abc import Callable
from typing import NamedTuple, Self

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 5, 6, 7, 8, 9
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14


class Packet(NamedTuple):
    """One packet of the client."""

    kind: int
    flags: int
    body: bytes

    @property
    def mid(self) -> int:
        """Of PUBACK, PUBREC, PUBCOMP and SUBSCRIBE."""
        return int.from_bytes(self.body[:2], "big")


class Publish(NamedTuple):
    """A PUBLISH of the client."""

    mid: int
    topic: str
    payload: bytes


def packet(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    """One packet, of any length."""
    length, size = bytearray(), len(body)
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | (128 if size else 0))
        if not size:
            return bytes([kind << 4 | flags]) + bytes(length) + body


def publish_packet(topic: str, payload: bytes, *, qos: int = 1, mid: int = 1, properties: bytes = b"") -> bytes:
    """A PUBLISH as a broker sends it."""
    name = topic.encode()
    head = struct.pack(">H", len(name)) + name + (struct.pack(">H", mid) if qos else b"")
    return packet(PUBLISH, head + bytes([len(properties)]) + properties + payload, qos << 1)


class FakeBroker:
    """Takes one connection after the other and answers as it is told.

    Args:
        properties: of CONNACK.
        connack: its reason code.
        suback: reason codes, one for each filter; as asked for where empty.
        answer: the reason code for a PUBLISH, or None to keep it unanswered until `release`.

    Attributes:
        packets: all that came.
        published: those of them that are PUBLISH.
        most: PUBLISH that were unanswered at once, at most.
        connections: that came.
    """

    def __init__(
        self,
        *,
        properties: bytes = b"",
        connack: int = 0,
        suback: tuple[int, ...] = (),
        answer: Callable[[Publish], int | None] = lambda _publish: 0,
    ) -> None:
        self._properties, self._connack, self._suback = properties, connack, suback
        self.answer = answer
        self.packets: list[Packet] = []
        self.published: list[Publish] = []
        self.most = 0
        self.connections = 0
        self._unanswered: list[int] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._client: socket.socket | None = None
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        # `close` alone would not wake a thread that waits in `accept`.
        self._listener.shutdown(socket.SHUT_RDWR)
        while self._thread.is_alive():
            self.drop()
            self._thread.join(0.02)
        self._listener.close()

    def send(self, data: bytes) -> None:
        """Anything at all to the client."""
        assert self._client is not None
        self._client.sendall(data)

    def drop(self) -> None:
        """Cuts the connection."""
        if self._client is not None:
            try:
                self._client.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

    def release(self, code: int = 0) -> None:
        """Answers what was kept."""
        kept, self._unanswered = self._unanswered, []
        self.send(b"".join(packet(PUBACK, struct.pack(">HB", mid, code)) for mid in kept))

    def of_kind(self, kind: int) -> list[Packet]:
        """Packets that came."""
        return [one for one in self.packets if one.kind == kind]

    def _serve(self) -> None:
        while True:
            try:
                self._client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._unanswered.clear()
            with self._client:
                try:
                    self._converse(self._client.makefile("rb"))
                except OSError:
                    continue

    def _converse(self, stream: object) -> None:
        with stream as source:  # type: ignore[attr-defined]
            while first := source.read(1):
                length, shift = 0, 0
                while digit := source.read(1):
                    length |= (digit[0] & 127) << shift
                    shift += 7
                    if digit[0] < 128:
                        break
                self._take(Packet(first[0] >> 4, first[0] & 15, source.read(length)))

    def _take(self, came: Packet) -> None:
        self.packets.append(came)
        if came.kind == CONNECT:
            self.send(packet(CONNACK, bytes([0, self._connack, len(self._properties)]) + self._properties))
        elif came.kind == SUBSCRIBE:
            self.send(packet(SUBACK, came.body[:2] + b"\0" + bytes(self._suback or (1,))))
        elif came.kind == PINGREQ:
            self.send(packet(PINGRESP))
        elif came.kind == PUBLISH:
            self._take_publish(came.body)

    def _take_publish(self, body: bytes) -> None:
        end = 2 + int.from_bytes(body[:2], "big")
        publish = Publish(int.from_bytes(body[end : end + 2], "big"), body[2:end].decode(), body[end + 3 :])
        self.published.append(publish)
        self._unanswered.append(publish.mid)
        self.most = max(self.most, len(self._unanswered))
        code = self.answer(publish)
        if code is not None:
            self._unanswered.remove(publish.mid)
            self.send(packet(PUBACK, struct.pack(">HB", publish.mid, code)))
