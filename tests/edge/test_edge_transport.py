"""The transport that tests use instead of a broker keeps the promises of `Transport`."""

import pytest
from edge_transport import FakeTransport, Message, Published

from toolkit.edge.transport import Transport


def tokens(transport: FakeTransport) -> list[int]:
    return [delivery.token for delivery in transport.poll(0.0).deliveries if delivery.token is not None]


def test_it_is_a_transport():
    transport: Transport = FakeTransport()
    assert transport.poll(0.0).connected


def test_messages_come_in_order_and_no_more_than_the_window():
    transport = FakeTransport(receive_maximum=2)
    transport.send("a", b"1", b"2", b"3")
    found = transport.poll(0.0)
    assert [delivery.payload for delivery in found.deliveries] == [b"1", b"2"]
    assert found.window_full
    transport.acknowledge([1])
    assert [delivery.payload for delivery in transport.poll(0.0).deliveries] == [b"3"]
    assert transport.ledger == [Message("a", b"1")]


def test_what_was_not_acknowledged_comes_again_after_a_lost_link_and_qos_0_does_not():
    transport = FakeTransport()
    transport.send("a", b"1", b"2")
    transport.send("a", b"unprotected", qos=0)
    old = tokens(transport)
    transport.acknowledge(old[:1])
    transport.break_link()
    assert not transport.publish(1, "f", b"")
    found = transport.poll(0.0)
    assert (found.connected, found.reset, found.deliveries) == (False, True, [])
    transport.restore()
    found = transport.poll(0.0)
    assert (found.connected, found.reset) == (True, False)
    assert [delivery.payload for delivery in found.deliveries] == [b"2"]
    transport.acknowledge(old)
    assert transport.unacknowledged == 1


def test_acknowledgements_out_of_order_are_an_error():
    transport = FakeTransport()
    transport.send("a", b"1", b"2")
    with pytest.raises(AssertionError, match="out of order"):
        transport.acknowledge(tokens(transport)[1:])


def test_publications_are_acknowledged_later_and_void_after_a_lost_link():
    transport = FakeTransport(broker_receive_maximum=2)
    transport.hold = True
    assert [transport.publish(key, "f", b"") for key in range(3)] == [True, True, False]
    assert transport.poll(0.0).delivered == []
    transport.hold = False
    assert transport.poll(0.0).delivered == [0, 1]
    assert transport.publish(2, "f", b"x")
    transport.break_link()
    transport.restore()
    assert transport.poll(0.0).delivered == []
    assert transport.publish(2, "f", b"x")
    assert transport.published[-2:] == [Published(2, "f", b"x")] * 2


def test_a_publication_that_is_under_way_may_not_be_published_again():
    transport = FakeTransport()
    assert transport.publish(1, "f", b"")
    with pytest.raises(AssertionError, match="while under way"):
        transport.publish(1, "f", b"")


def test_a_poll_that_finds_nothing_moves_the_test_s_clock():
    waits: list[float] = []
    transport = FakeTransport(on_wait=waits.append)
    transport.poll(0.5)
    transport.send("a", b"1")
    transport.poll(0.5)
    assert waits == [0.5]
