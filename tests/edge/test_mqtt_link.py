"""One connection: what the socket holds, what paho is given, and when there is nothing to wait for."""

import socket
import ssl
import time
from collections.abc import Iterator

import edge_fake_broker as wire
import pytest

from toolkit.edge.mqtt_link import Link
from toolkit.edge.transport import Delivery


@pytest.fixture
def linked() -> Iterator[tuple[Link, socket.socket]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far:
        yield Link(near, 1, 1_000_000), far


def test_the_link_gives_paho_one_packet_and_keeps_its_bytes_apart(linked):
    link, far = linked
    with pytest.raises(BlockingIOError):
        link.recv(1)
    link.hand(b"abc")
    assert (link.recv(1), link.recv(10)) == (b"a", b"bc")
    assert link.send(b"first") == 5
    link.send(b"second")
    assert link.unsent == 11
    assert link.flush()
    assert not link.flush()
    assert far.recv(100) == b"firstsecond"


def test_the_link_leaves_in_the_socket_what_is_beyond_the_limit(linked):
    link, far = linked
    far.setblocking(False)
    packet = wire.publish_packet("plant/a", bytes(60_000))
    with pytest.raises(BlockingIOError):
        while True:
            far.sendall(packet)
    deliveries: list[Delivery] = []
    link.read(1, time.monotonic_ns() + 10**12, deliveries, [])
    assert len(deliveries) == 1
    assert link._socket.recv(1, socket.MSG_PEEK)


def test_the_link_does_not_wait_while_it_holds_messages(linked):
    link, far = linked
    far.sendall(wire.publish_packet("plant/a", b"1") * 3)
    link.wait(10.0)
    deliveries: list[Delivery] = []
    link.read(1, 0, deliveries, [])
    link._poller = None
    link.wait(10.0)
    link.read(3, 0, deliveries, [])
    assert len(deliveries) == 3


def test_the_link_reads_all_records_of_tls_since_select_does_not_see_them(linked, monkeypatch):
    link, _far = linked
    records = [wire.publish_packet("plant/a", b"%d" % number) for number in range(3)]

    class Records:
        def recv(self, _size: int) -> bytes:
            if not records:
                raise ssl.SSLWantReadError
            return records.pop(0)

        def setsockopt(self, *_option: int) -> None:
            """Sockets have it."""

    monkeypatch.setattr(link, "_socket", Records())
    monkeypatch.setattr(link, "_secure", True)
    deliveries: list[Delivery] = []
    link.read(100, time.monotonic_ns() + 10**12, deliveries, [])
    assert [delivery.payload for delivery in deliveries] == [b"0", b"1", b"2"]
