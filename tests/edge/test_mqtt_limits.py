"""The transport beside a broker that insists on nothing, and says what mosquitto does not."""

import dataclasses
import struct
import time
from collections.abc import Callable, Iterator

import edge_fake_broker as wire
import paho.mqtt.client as paho
import pytest
from edge_broker import wait_until
from edge_fake_broker import FakeBroker, Publish

from toolkit.edge import mqtt_publications
from toolkit.edge.mqtt import MqttTransport, _Client
from toolkit.edge.settings import Broker
from toolkit.edge.transport import Arrivals, Delivery

QUICK = Broker(client_id="gateway", reconnect_min_s=0.02, reconnect_max_s=0.1, connect_timeout_s=1.0)
RECEIVE_MAXIMUM = 33
MAXIMUM_QOS = 36
SERVER_KEEP_ALIVE = 19
MAXIMUM_PACKET_SIZE = 39


def two_bytes(property_id: int, number: int) -> bytes:
    return struct.pack(">BH", property_id, number)


@pytest.fixture
def connect() -> Iterator[Callable[..., MqttTransport]]:
    made: list[MqttTransport] = []

    def build(broker: FakeBroker, *, status_topic: str = "", topics: tuple[str, ...] = (), **changes: object):
        settings = dataclasses.replace(QUICK, port=broker.port, **changes)
        made.append(MqttTransport(settings, [(topic, 1) for topic in topics], status_topic, max_packet_bytes=100_000))
        until(made[-1], lambda found: found.connected)
        return made[-1]

    yield build
    for transport in made:
        transport.close(0.0)


def until(transport: MqttTransport, condition: Callable[[Arrivals], object], seconds: float = 10.0) -> Arrivals:
    deadline = time.monotonic() + seconds
    while True:
        found = transport.poll(0.02)
        if condition(found):
            return found
        assert time.monotonic() < deadline, (transport.state, transport.problems)


def collect(transport: MqttTransport, count: int) -> list[int]:
    delivered: list[int] = []
    until(transport, lambda found: delivered.extend(found.delivered) or len(delivered) >= count)
    return delivered


def publish_all(transport: MqttTransport, count: int) -> list[int]:
    delivered: list[int] = []
    for key in range(count):
        while not transport.publish(key, "forecast/a", b"%d" % key):
            delivered += transport.poll(0.02).delivered
    return delivered + collect(transport, count - len(delivered))


def test_never_more_than_the_broker_s_receive_maximum_is_under_way(connect):
    with FakeBroker(properties=two_bytes(RECEIVE_MAXIMUM, 2), answer=lambda _publish: None) as broker:
        transport = connect(broker, status_topic="status")
        delivered: list[int] = []
        for key in range(20):
            while not transport.publish(key, "forecast/a", b"%d" % key):
                transport.poll(0.01)
                broker.release()
                delivered += transport.poll(0.05).delivered
        while len(delivered) < 20:
            broker.release()
            delivered += transport.poll(0.05).delivered
        assert delivered == list(range(20))
        assert broker.most == 2
        assert [publish.topic for publish in broker.published[:2]] == ["status", "forecast/a"]


def test_a_window_of_one_is_enough(connect):
    with FakeBroker(properties=two_bytes(RECEIVE_MAXIMUM, 1)) as broker:
        assert publish_all(connect(broker, status_topic="status"), 10) == list(range(10))
        assert broker.most == 1


def test_without_receive_maximum_the_transport_s_own_window_holds(connect):
    with FakeBroker(answer=lambda _publish: None) as broker:
        transport = connect(broker)
        taken = sum(transport.publish(key, "forecast/a", b"") for key in range(1000))
        assert taken == 256
        wait_until(lambda: transport.poll(0.0) and len(broker.published) == 256)


@pytest.mark.parametrize("code", [0x80, 0x87, 0x97, 0x99])
def test_a_publication_that_the_broker_refuses_is_kept_counted_and_tried_again(connect, monkeypatch, code):
    monkeypatch.setattr(mqtt_publications, "RETRY_MIN_S", 0.1)
    tries: dict[bytes, int] = {}

    def answer(publish: Publish) -> int:
        tries[publish.payload] = tries.get(publish.payload, 0) + 1
        return code if publish.payload == b"1" and tries[b"1"] < 4 else 0

    with FakeBroker(answer=answer) as broker:
        transport = connect(broker)
        for key in range(3):
            assert transport.publish(key, "forecast/a", b"%d" % key)
        delivered: list[int] = []
        said: set[str] = set()

        def look(found: Arrivals) -> bool:
            delivered.extend(found.delivered)
            said.update(transport.problems)
            return len(delivered) == 3

        until(transport, look)
        assert delivered[-1] == 1
        assert "publication to forecast/a refused" in "".join(said)
        assert (tries, transport.refused_publishes, transport.problems) == ({b"0": 1, b"1": 4, b"2": 1}, 3, [])


def test_no_matching_subscribers_is_no_refusal(connect):
    with FakeBroker(answer=lambda _publish: 0x10) as broker:
        assert publish_all(connect(broker), 3) == [0, 1, 2]


def test_what_the_broker_cannot_take_is_not_sent_and_not_lost(connect):
    properties = bytes([MAXIMUM_PACKET_SIZE]) + struct.pack(">I", 200)
    with FakeBroker(properties=properties) as broker:
        transport = connect(broker)
        assert transport.publish(1, "forecast/a", bytes(200))
        assert transport.publish(2, "forecast/a", bytes(100))
        assert until(transport, lambda found: found.delivered).delivered == [2]
        assert transport.refused_publishes == 1
        assert "200 bytes at most" in transport.problems[0]
        assert len(broker.published) == 1


def test_a_broker_without_qos_1_gets_nothing(connect):
    with FakeBroker(properties=bytes([MAXIMUM_QOS, 0])) as broker:
        transport = connect(broker)
        assert transport.publish(1, "forecast/a", b"")
        transport.poll(0.1)
        assert broker.published == []
        assert "Maximum QoS 0" in transport.problems[0]


def test_publications_that_were_under_way_are_void_after_a_lost_link(connect):
    with FakeBroker(answer=lambda _publish: None) as broker:
        transport = connect(broker)
        assert transport.publish(1, "forecast/a", b"first")
        wait_until(lambda: transport.poll(0.0) and broker.published)
        broker.drop()
        until(transport, lambda found: found.reset)
        broker.answer = lambda _publish: 0
        until(transport, lambda found: found.connected)
        transport.poll(0.1)
        assert len(broker.published) == 1, "published again by itself"
        assert transport.publish(1, "forecast/a", b"again")
        assert until(transport, lambda found: found.delivered).delivered == [1]


def test_the_reset_is_told_before_anything_of_the_next_link(connect):
    with FakeBroker() as broker:
        transport = connect(broker, topics=("plant/#",))
        broker.send(wire.publish_packet("plant/a", b"1", mid=5))
        broker.drop()
        found = until(transport, lambda found: found.deliveries)
        if not found.connected:
            assert not found.reset
        found = transport.poll(5.0)
        assert found.reset
        assert not found.connected
        assert found.deliveries == []


def test_messages_and_an_answer_that_came_with_the_end_are_handed_over(connect):
    with FakeBroker(answer=lambda _publish: None) as broker:
        transport = connect(broker, topics=("plant/#",))
        assert transport.publish(9, "forecast/a", b"")
        wait_until(lambda: transport.poll(0.0) and broker.published)
        goodbye = wire.packet(wire.DISCONNECT, b"\x8b\x00")
        puback = wire.packet(wire.PUBACK, struct.pack(">H", broker.published[0].mid))
        broker.send(wire.publish_packet("plant/a", b"1") + puback + goodbye)
        found = transport.poll(5.0)
        assert [delivery.payload for delivery in found.deliveries] == [b"1"]
        assert found.delivered == [9]
        assert not found.connected
        assert transport.poll(0.0).reset
        assert "Server shutting down" in transport.problems[0]


def test_a_session_that_was_taken_over_is_said_and_not_fought_for(connect):
    with FakeBroker() as broker:
        transport = connect(broker, reconnect_min_s=0.1, reconnect_max_s=60.0)
        broker.send(wire.packet(wire.DISCONNECT, b"\x8e\x00"))
        until(transport, lambda found: found.reset)
        assert transport.problems == ["another client has connected under the client id gateway"]
        assert transport._dialer._not_before_s - time.monotonic() > 29.0


def test_subscriptions_that_are_refused_or_weakened_show_as_problems(connect):
    with FakeBroker(suback=(0x87, 0, 1)) as broker:
        transport = connect(broker, topics=("a", "b", "c"))
        until(transport, lambda _found: len(transport.problems) == 2)
        assert transport.problems == ["subscription to a: Not authorized", "subscription to b: Granted QoS 0"]


def test_a_message_of_qos_2_is_taken_over_when_it_is_acknowledged(connect):
    with FakeBroker() as broker:
        transport = connect(broker, topics=("plant/#",))
        broker.send(wire.publish_packet("plant/a", b"1", qos=2, mid=77))
        found = until(transport, lambda found: found.deliveries)
        assert broker.of_kind(wire.PUBREC) == []
        transport.acknowledge([found.deliveries[0].token])
        wait_until(lambda: transport.poll(0.0) and broker.of_kind(wire.PUBREC))
        assert broker.of_kind(wire.PUBREC)[0].mid == 77
        broker.send(wire.packet(wire.PUBREL, struct.pack(">H", 77), 2))
        wait_until(lambda: transport.poll(0.0) and broker.of_kind(wire.PUBCOMP))
        assert broker.of_kind(wire.PUBCOMP)[0].mid == 77


def test_acknowledgements_go_out_in_order_and_each_once(connect):
    with FakeBroker() as broker:
        transport = connect(broker, topics=("plant/#",), receive_maximum=3)
        broker.send(b"".join(wire.publish_packet("plant/a", b"", mid=mid) for mid in (9, 4, 7)))
        deliveries: list[Delivery] = []
        while len(deliveries) < 3:
            found = transport.poll(1.0)
            deliveries += found.deliveries
        assert found.window_full
        tokens = [delivery.token for delivery in deliveries if delivery.token is not None]
        transport.acknowledge([tokens[0], tokens[0]])
        transport.acknowledge([*tokens, 12345])
        assert not transport.poll(0.0).window_full
        wait_until(lambda: transport.poll(0.0) and len(broker.of_kind(wire.PUBACK)) == 3)
        assert [puback.mid for puback in broker.of_kind(wire.PUBACK)] == [9, 4, 7]


def test_the_broker_s_keep_alive_counts_where_it_names_one(connect):
    with FakeBroker(properties=two_bytes(SERVER_KEEP_ALIVE, 1)) as broker:
        transport = connect(broker, keepalive_s=1000)
        wait_until(lambda: transport.poll(0.05) and broker.of_kind(wire.PINGREQ), 3.0)


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x00\x00",
        b"\x40\x00",
        b"\x30\x01\x00",
        b"\x36\x05\0\1a\0\0",
        b"\x90\x01\x00",
        b"\xf0\x02\x00\x00",
        b"\x20\xff\xff\xff\xff",
        b"\x30\xff\xff\xff\x7f",
        b"\xe0\x01\x05",
    ],
)
def test_a_broker_that_sends_rubbish_is_left_and_tried_again(connect, rubbish):
    with FakeBroker() as broker:
        transport = connect(broker)
        broker.send(rubbish)
        until(transport, lambda found: found.reset)
        assert transport.problems
        until(transport, lambda found: found.connected)


def test_whatever_a_packet_makes_of_paho_ends_the_link_and_not_the_gateway(connect, monkeypatch):
    with FakeBroker() as broker:
        transport = connect(broker)
        with monkeypatch.context() as broken:
            broken.setattr(_Client, "loop_read", lambda _client: {}["unheard of"])
            broker.send(wire.packet(wire.PINGRESP))
            until(transport, lambda found: found.reset)
        assert "could not be read: KeyError('unheard of')" in transport.problems[0]
        until(transport, lambda found: found.connected)


def test_a_broker_that_does_not_answer_to_connect_is_left():
    with FakeBroker() as broker:
        broker._take = broker.packets.append
        transport = MqttTransport(dataclasses.replace(QUICK, port=broker.port, connect_timeout_s=0.1), [])
        until(transport, lambda _found: broker.connections >= 2)
        assert transport.problems == ["the broker does not answer to CONNECT"]
        assert not transport.poll(0.0).reset
        transport.close(0.0)


def test_what_is_asked_in_connect_stands_in_it(connect):
    with FakeBroker() as broker:
        connect(broker, status_topic="status", username="me", password="secret", session_expiry_s=77, keepalive_s=5)
        body = broker.packets[0].body
        assert body[:7] == b"\0\4MQTT\5"
        # Will retained with QoS 1, user name, password; no clean start.
        assert body[7] == 0b11101100
        assert body[8:10] == b"\0\5"
        assert b"\x11\0\0\0\x4d" in body
        assert b"\x21\x03\xe8" in body
        assert b"\x27" + struct.pack(">I", 100_000) in body
        assert body.endswith(b"\0\6status\0\7offline\0\2me\0\6secret")


def test_paho_still_lets_its_socket_be_given():
    # The one place where paho's inside is touched; `_open` refuses a paho that does otherwise.
    assert callable(paho.Client._create_socket)
    assert _Client._create_socket is not paho.Client._create_socket


def test_a_paho_that_opens_its_own_socket_is_refused(connect, monkeypatch):
    with FakeBroker() as broker:
        transport = connect(broker)
        monkeypatch.setattr(_Client, "socket", lambda _client: None)
        broker.drop()
        with pytest.raises(RuntimeError, match="paho-mqtt opened a socket of its own"):
            until(transport, lambda _found: False)


def test_messages_before_the_broker_has_taken_the_connection_are_not_handed_over():
    with FakeBroker() as broker:
        broker._take = lambda _packet: broker.send(wire.publish_packet("plant/a", b"1"))
        transport = MqttTransport(dataclasses.replace(QUICK, port=broker.port, connect_timeout_s=0.2), [])
        deliveries: list[Delivery] = []
        until(transport, lambda found: deliveries.extend(found.deliveries) or transport.problems)
        assert deliveries == []
        transport.close(0.0)
