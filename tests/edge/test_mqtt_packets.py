"""What is read off the wire is what was written, however it was cut; nothing else ever happens."""

import itertools

import edge_fake_broker as wire
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.edge.mqtt_packets import (
    MalformedPacketError,
    PacketReader,
    acknowledgements,
    token_base,
    variable_integer,
)
from toolkit.edge.transport import Delivery

TOPICS = st.text(st.characters(codec="utf-8", exclude_characters="\0+#"), min_size=1, max_size=20)
MESSAGES = st.tuples(
    TOPICS, st.binary(max_size=300), st.sampled_from((0, 1, 2)), st.integers(1, 65_535), st.binary(max_size=40)
)


def read_all(chunks: list[bytes], limit: int = 10**9) -> tuple[list[Delivery], list[bytes]]:
    reader = PacketReader(token_base(3), 1 << 20)
    deliveries: list[Delivery] = []
    others: list[bytes] = []
    for chunk in chunks:
        reader.feed(chunk)
        while reader.ready:
            found: list[Delivery] = []
            reader.take(limit, found, others, 7)
            deliveries += found
    return deliveries, others


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(bounds)]


@given(st.lists(MESSAGES, max_size=8), st.lists(st.integers(0, 10_000), max_size=6), st.integers(1, 3))
def test_messages_are_read_as_they_were_written_however_the_stream_is_cut(messages, places, limit):
    sent = [wire.publish_packet(t, p, qos=q, mid=m, properties=x) for t, p, q, m, x in messages]
    puback = wire.packet(wire.PUBACK, b"\0\7")
    deliveries, others = read_all(cut(puback.join([b"", *sent, b""]), places), limit)
    assert [(d.topic, d.payload) for d in deliveries] == [(t, p) for t, p, *_ in messages]
    assert [d.token is None for d in deliveries] == [q == 0 for _, _, q, *_ in messages]
    assert others == [puback] * (len(messages) + 1)
    answers = acknowledgements([d.token for d in deliveries if d.token is not None])
    assert answers == b"".join(bytes([0x30 + 16 * q, 2]) + m.to_bytes(2, "big") for _, _, q, m, _ in messages if q)


@given(st.binary(max_size=400))
def test_bytes_that_are_no_mqtt_are_refused_and_nothing_else_happens(data):
    try:
        read_all([data])
    except MalformedPacketError:
        return


@given(st.binary(max_size=60), st.integers(0, 15))
def test_a_publish_of_random_bytes_is_read_or_refused(body, flags):
    try:
        deliveries, _ = read_all([wire.packet(wire.PUBLISH, body, flags)])
    except MalformedPacketError:
        return
    assert len(deliveries) == 1
    assert body.endswith(deliveries[0].payload)


@given(st.integers(0, 268_435_455))
def test_a_length_is_read_back(number):
    written, rest = bytearray(), number
    while True:
        rest, digit = divmod(rest, 128)
        written.append(digit | (128 if rest else 0))
        if not rest:
            break
    assert variable_integer(bytes(written), 0, len(written)) == (number, len(written))
    assert variable_integer(bytes(written), 0, len(written) - 1) is None


@pytest.mark.parametrize(
    ("body", "qos"),
    [
        (b"", 0),
        (b"\0", 0),
        (b"\0\5ab", 0),
        (b"\0\1a", 0),
        (b"\0\1a\5", 0),
        (b"\0\1a\x80", 0),
        (b"\0\1a\xff\xff\xff\xff", 0),
        (b"\0\1a\0", 1),
        (b"\0\1a\0\1", 1),
        (b"\0\1a\0\1\0", 3),
    ],
)
def test_a_publish_that_ends_before_what_it_announces_is_refused(body, qos):
    with pytest.raises(MalformedPacketError):
        read_all([wire.packet(wire.PUBLISH, body, qos << 1)])


def test_what_came_before_a_malformed_packet_is_kept():
    reader = PacketReader(0, 100)
    reader.feed(wire.publish_packet("a", b"1") + wire.packet(wire.PUBLISH, b"\xff\xff"))
    deliveries: list[Delivery] = []
    with pytest.raises(MalformedPacketError):
        reader.take(10, deliveries, [], 0)
    assert [d.payload for d in deliveries] == [b"1"]


def test_a_packet_that_is_too_long_is_refused_before_it_is_there():
    reader = PacketReader(0, 100)
    reader.feed(wire.packet(wire.PUBLISH, bytes(101))[:4])
    with pytest.raises(MalformedPacketError, match="101 bytes"):
        reader.take(10, [], [], 0)


def test_a_topic_that_is_no_utf8_is_read_as_one_that_nobody_knows():
    body = b"\0\2\xff\xfe" + b"\0\1" + b"\0" + b"1"
    deliveries, _ = read_all([wire.packet(wire.PUBLISH, body, 2)])
    assert deliveries[0].topic == "\N{REPLACEMENT CHARACTER}" * 2


def test_tokens_of_two_connections_differ():
    assert token_base(1) | 5 != token_base(2) | 5
