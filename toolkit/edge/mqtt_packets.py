"""MQTT 5 on the wire, as far as its flood goes: PUBLISH comes in and its acknowledgement goes out by the thousand.

paho reads a packet with three calls of `recv`, builds a table of all properties that MQTT knows for each, and writes
each acknowledgement by itself: beside mosquitto that took 39 us of CPU per message, where this takes 10. So PUBLISH is
read here; every other packet is cut out whole, for paho to read. Source: MQTT 5.0, 1.5.5, 3.3, 3.4.
"""

import struct

from toolkit.edge.transport import Delivery

PUBLISH = 3
PINGREQ_PACKET = b"\xc0\x00"

_PUBACK = 0x4002
_PUBREC = 0x5002
_ACKNOWLEDGEMENT = struct.Struct(">HH").pack
_EXACTLY_ONCE = 1 << 16
_EPOCH_SHIFT = 17


class MalformedPacketError(Exception):
    """Bytes that are no MQTT: the connection that they came from cannot be read any further."""


def token_base(epoch: int) -> int:
    """What the tokens of one connection have in common: packet identifiers begin anew with each.

    Args:
        epoch: number of the connection.
    """
    return epoch << _EPOCH_SHIFT


def acknowledgements(tokens: list[int]) -> bytes:
    """The packets that acknowledge messages, in the order given.

    A message of QoS 2 is answered with PUBREC, by which the gateway takes it over: MQTT wants no more of the receiver
    than that it knows the message when it comes again, and the journal does, by the reading's own key. paho answers
    the PUBREL that follows.
    """
    return b"".join(
        [_ACKNOWLEDGEMENT(_PUBREC if token & _EXACTLY_ONCE else _PUBACK, token & 0xFFFF) for token in tokens]
    )


def variable_integer(data: bytes, at: int, end: int) -> tuple[int, int] | None:
    """Reads a Variable Byte Integer.

    Returns:
        The number and the place behind it, or None where it goes on behind `end`.

    Raises:
        MalformedPacketError: more than four bytes.
    """
    value = 0
    for place in range(at, min(end, at + 4)):
        value |= (data[place] & 127) << 7 * (place - at)
        if data[place] < 128:
            return value, place + 1
    if end - at >= 4:
        raise MalformedPacketError("a length of more than four bytes")
    return None


def read_publish(data: bytes, body: tuple[int, int], first: int, base: int, received_ns: int) -> Delivery:
    """Reads what follows the fixed header of a PUBLISH.

    Args:
        data: holds the packet.
        body: places behind the fixed header and behind the packet.
        first: the packet's first byte: flags and QoS.
        base: see `token_base`.
        received_ns: when it came.

    Raises:
        MalformedPacketError: lengths that lead beyond the packet, or QoS 3.
    """
    start, stop = body
    qos = first >> 1 & 3
    at = start + 2
    if at <= stop:
        at += data[start] << 8 | data[start + 1]
    # A topic that is no UTF-8 is nobody's topic: it is refused as one that is not known, and not sent for ever.
    topic = data[start + 2 : at].decode("utf-8", "replace")
    token = None
    if qos:
        if at + 2 > stop or qos == 3:
            raise MalformedPacketError("a PUBLISH without packet identifier, or of QoS 3")
        token = base | data[at] << 8 | data[at + 1] | (_EXACTLY_ONCE if qos == 2 else 0)
        at += 2
    if at < stop and data[at] < 128:
        at += 1 + data[at]
    else:
        at = _behind_properties(data, at, stop)
    if at > stop:
        raise MalformedPacketError("a PUBLISH that ends before what it announces")
    return Delivery(topic, data[at:stop], token, received_ns, first & 1 == 1)


def _behind_properties(data: bytes, at: int, stop: int) -> int:
    length = variable_integer(data, at, stop)
    if length is None:
        raise MalformedPacketError("a PUBLISH without properties")
    return length[1] + length[0]


class PacketReader:
    """Cuts a stream of bytes into packets.

    Args:
        base: of the tokens, see `token_base`.
        max_packet_bytes: a longer packet is not waited for.
    """

    def __init__(self, base: int, max_packet_bytes: int) -> None:
        self._base = base
        self._max_packet_bytes = max_packet_bytes
        self._held = bytearray()
        self._needed = 2
        """Bytes that must be there before another look is worth while."""

    @property
    def ready(self) -> bool:
        """Whether there is a packet to take, as far as is known."""
        return len(self._held) >= self._needed

    def feed(self, chunk: bytes) -> None:
        """Takes what came."""
        self._held += chunk

    def take(self, limit: int, deliveries: list[Delivery], others: list[bytes], received_ns: int) -> None:
        """Takes packets off.

        Args:
            limit: no more are taken once `deliveries` holds that many.
            deliveries: messages are added here.
            others: packets that are no PUBLISH are added here, each whole.
            received_ns: when they came.

        Raises:
            MalformedPacketError: the stream is no MQTT, or a packet is too long. What was read before is there.
        """
        if not self.ready:
            return
        data, at = bytes(self._held), 0
        try:
            while len(deliveries) < limit and (body := self._next(data, at)) is not None:
                if data[at] >> 4 == PUBLISH:
                    deliveries.append(read_publish(data, body, data[at], self._base, received_ns))
                else:
                    others.append(data[at : body[1]])
                at = body[1]
        finally:
            del self._held[:at]
            self._needed = max(self._needed - at, 2)

    def _next(self, data: bytes, at: int) -> tuple[int, int] | None:
        """Where the packet's body begins and ends, or None where it is not whole; notes what it still needs."""
        end = len(data)
        self._needed = at + 2
        if end < self._needed:
            return None
        length, start = data[at + 1], at + 2
        if length > 127:
            found = variable_integer(data, at + 1, end)
            if found is None:
                self._needed = end + 1
                return None
            length, start = found
        if length > self._max_packet_bytes:
            raise MalformedPacketError(f"a packet of {length} bytes, above the {self._max_packet_bytes} agreed")
        self._needed = start + length
        return (start, start + length) if end >= self._needed else None
