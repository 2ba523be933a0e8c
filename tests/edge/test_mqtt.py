"""The transport beside a real broker: what is acknowledged never comes again, and what is not always does."""

import dataclasses
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import edge_broker
import pytest
from edge_broker import Mosquitto, Peer, wait_until
from edge_looks import Looks

from toolkit.edge.mqtt import MqttTransport
from toolkit.edge.settings import Broker, Tls
from toolkit.errors import ConfigError

TOPIC = "plant/+/temperature"
QUICK = Broker(client_id="gateway", reconnect_min_s=0.02, reconnect_max_s=0.1, connect_timeout_s=2.0)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as started:
        yield started


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> edge_broker.Certificates:
    return edge_broker.make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def opened() -> Iterator[Callable[..., Looks]]:
    made: list[MqttTransport] = []

    def build(port: int, *, status_topic: str = "", qos: int = 1, topics: int = 1, **changes: object) -> Looks:
        settings = dataclasses.replace(QUICK, port=port, **changes)
        made.append(MqttTransport(settings, [(TOPIC, qos)] * topics, status_topic))
        return Looks(made[-1])

    yield build
    for transport in made:
        transport.close(0.0)


def granted(looks: Looks, broker: Mosquitto) -> Looks:
    """Connected, and its subscription known to the broker: a first message has come and is acknowledged."""
    looks.connected()
    with Peer(broker.port) as plant:
        deadline = time.monotonic() + 10
        while not looks.deliveries:
            assert time.monotonic() < deadline
            plant.publish("plant/probe/temperature", b"probe")
            looks.once(0.05)
    looks.until(lambda: looks.once(0.05).deliveries == [])
    looks.transport.acknowledge(looks.tokens())
    looks.once(0.0)
    looks.deliveries.clear()
    return looks


def test_messages_come_in_order_with_their_topics_and_are_acknowledged(broker, opened):
    looks = granted(opened(broker.port, receive_maximum=40), broker)
    before = time.monotonic_ns()
    with Peer(broker.port) as plant:
        plant.publish("plant/a/temperature", *[b"%d" % number for number in range(60)])
        looks.until(lambda: len(looks.deliveries) == 40)
        assert looks.last.window_full
        looks.transport.acknowledge(looks.tokens())
        looks.until(lambda: len(looks.deliveries) == 60)
    assert looks.payloads() == [b"%d" % number for number in range(60)]
    assert not looks.last.window_full
    first = looks.deliveries[0]
    assert (first.topic, first.retained) == ("plant/a/temperature", False)
    assert before < first.received_ns <= time.monotonic_ns()


def test_after_a_restart_what_was_not_acknowledged_comes_again_and_nothing_else(broker, opened):
    looks = granted(opened(broker.port), broker)
    with Peer(broker.port) as plant:
        plant.publish("plant/a/temperature", b"1", b"2", b"3", b"4")
        looks.until(lambda: len(looks.deliveries) == 4)
        looks.transport.acknowledge(looks.tokens()[:2])
        looks.once(0.0)
        # As a process that dies: no goodbye.
        looks.transport._drop()
        plant.publish("plant/a/temperature", b"5")
    again = opened(broker.port)
    again.until(lambda: len(again.deliveries) == 3)
    assert again.payloads() == [b"3", b"4", b"5"]
    again.once(0.1)
    assert len(again.deliveries) == 3


def test_a_lost_link_resets_once_and_old_tokens_are_void(broker, opened):
    looks = granted(opened(broker.port), broker)
    with Peer(broker.port) as plant:
        plant.publish("plant/a/temperature", b"1")
        looks.until(lambda: looks.deliveries)
        old = looks.tokens()
        plant.publish("other", b"makes mosquitto write", retain=True)
        broker.settle()
        broker.kill()
        looks.until(lambda: looks.resets)
        assert not looks.last.connected
        assert not looks.transport.publish(1, "forecast/a", b"")
    broker.start()
    looks.connected().until(lambda: len(looks.deliveries) == 2)
    looks.transport.acknowledge(old)
    looks.once(0.0)
    assert looks.resets == 1
    assert looks.transport.disconnects == 1
    assert looks.transport.connects == 2
    assert looks.transport.forgotten_sessions == 0
    looks.transport._drop()
    again = opened(broker.port)
    again.until(lambda: again.deliveries)
    assert again.payloads() == [b"1"]


def test_a_broker_that_has_forgotten_the_session_is_noticed(tmp_path, opened, caplog):
    with Mosquitto(tmp_path / "broker", durable=False) as broker:
        looks = opened(broker.port).connected()
        broker.kill()
        looks.until(lambda: looks.resets)
        broker.start()
        looks.connected()
        assert looks.transport.forgotten_sessions == 1
        assert "the broker has forgotten the session" in caplog.text
        granted(looks, broker)


def test_publications_are_acknowledged_by_key_and_heard_once(broker, opened):
    looks = opened(broker.port).connected()
    with Peer(broker.port, "forecast/#") as listener:
        for key in range(60):
            looks.until(lambda key=key: looks.transport.publish(key, f"forecast/{key % 7}", b"%d" % key))
        looks.until(lambda: len(looks.delivered) == 60)
        wait_until(lambda: len(listener.heard) == 60)
    assert sorted(looks.delivered) == list(range(60))
    assert sorted(int(payload) for _, payload, _ in listener.heard) == list(range(60))


def test_paho_publishes_nothing_again_by_itself_after_the_link_was_lost(broker, opened):
    looks = opened(broker.port).connected()
    with Peer(broker.port, "forecast/a", client_id="listener"):
        broker.suspend()
        assert looks.transport.publish(1, "forecast/a", b"first")
        looks.once(0.0)
        broker.kill()
        looks.until(lambda: looks.resets)
        assert looks.delivered == []
    broker.start()
    with Peer(broker.port, "forecast/a", client_id="listener") as listener:
        looks.connected()
        assert looks.transport.publish(1, "forecast/a", b"again")
        looks.until(lambda: looks.delivered == [1])
        wait_until(lambda: listener.heard)
        looks.once(0.1)
    assert [payload for _, payload, _ in listener.heard] == [b"again"]


def test_online_and_offline_stand_retained(broker, opened):
    looks = opened(broker.port, status_topic="gateway/status").connected()

    def status() -> list[tuple[str, bytes, bool]]:
        with Peer(broker.port, "gateway/status") as reader:
            wait_until(lambda: reader.heard)
            return reader.heard

    looks.once(0.2)
    assert status() == [("gateway/status", b"online", True)]
    looks.transport.close(2.0)
    assert looks.transport.state == "closed"
    assert status() == [("gateway/status", b"offline", True)]
    assert not looks.once(0.0).connected


def test_the_last_will_says_offline_for_a_gateway_that_dies(broker, opened):
    looks = opened(broker.port, status_topic="gateway/status").connected()
    with Peer(broker.port, "gateway/status") as reader:
        looks.until(lambda: reader.heard)
        looks.transport._drop()
        wait_until(lambda: reader.heard[-1][1] == b"offline")


def test_close_ends_in_time_where_the_broker_does_not_answer(broker, opened):
    looks = opened(broker.port, status_topic="gateway/status").connected()
    broker.suspend()
    looks.transport.close(0.2)
    broker.resume()
    with Peer(broker.port, "gateway/status") as reader:
        wait_until(lambda: reader.heard and reader.heard[-1][1] == b"offline")


def test_messages_that_wait_at_the_close_come_to_the_next_gateway(broker, opened):
    looks = granted(opened(broker.port), broker)
    with Peer(broker.port) as plant:
        plant.publish("plant/a/temperature", b"1", b"2")
        looks.until(lambda: len(looks.deliveries) == 2)
        looks.transport.acknowledge(looks.tokens()[:1])
        looks.transport.close(2.0)
        plant.publish("plant/a/temperature", b"3")
    again = opened(broker.port)
    again.until(lambda: len(again.deliveries) == 2)
    assert again.payloads() == [b"2", b"3"]


def test_a_broker_that_falls_silent_is_noticed_within_the_keep_alive(broker, opened):
    looks = opened(broker.port, keepalive_s=1).connected()
    broker.suspend()
    looks.until(lambda: looks.resets, 5.0)
    assert "silent" in looks.transport.problems[0]
    broker.resume()
    looks.connected()
    assert looks.transport.problems == []
    # The answers to its questions keep an idle link.
    later = time.monotonic() + 1.5
    looks.until(lambda: time.monotonic() > later)
    assert looks.resets == 1


def test_qos_0_is_counted_as_unprotected_and_has_no_token(broker, opened):
    looks = granted(opened(broker.port), broker)
    with Peer(broker.port) as plant:
        plant.publish("plant/a/temperature", b"1", qos=0)
        looks.until(lambda: looks.deliveries)
    assert looks.tokens() == []
    assert looks.transport.unprotected == 1


def test_qos_2_is_asked_for_as_qos_1(broker, opened):
    looks = granted(opened(broker.port, qos=2), broker)
    with Peer(broker.port) as plant:
        plant.publish("plant/a/temperature", b"1", qos=2)
        looks.until(lambda: looks.deliveries)
    looks.transport.acknowledge(looks.tokens())
    looks.once(0.0)
    looks.transport._drop()
    again = opened(broker.port).connected()
    again.once(0.1)
    assert again.payloads() == []


def test_retained_messages_are_known_as_such_and_come_with_a_new_subscription_alone(broker, opened):
    with Peer(broker.port) as plant:
        plant.publish("plant/a/temperature", b"kept", retain=True)
    looks = opened(broker.port)
    looks.until(lambda: looks.deliveries)
    assert looks.deliveries[0].retained
    looks.transport.acknowledge(looks.tokens())
    looks.once(0.0)
    looks.transport._drop()
    again = opened(broker.port).connected()
    with Peer(broker.port) as plant:
        plant.publish("plant/a/temperature", b"new")
    again.until(lambda: again.deliveries)
    again.once(0.1)
    assert again.payloads() == [b"new"]


def test_with_tls_the_authority_and_the_name_are_checked(tmp_path, opened, certificates):
    trusted = Tls(ca_file=str(certificates.authority))
    with Mosquitto(tmp_path / "broker", certificates=certificates) as broker:
        looks = opened(broker.port, tls=trusted, status_topic="s").connected()
        payload = bytes(range(256)) * 2000
        assert looks.transport.publish(1, "plant/a/temperature", payload)
        looks.until(lambda: looks.delivered == [1])
        looks.transport.close(2.0)
        opened(broker.port, client_id="b", host="localhost", tls=trusted).connected()
        for tls, reason in (
            (Tls(ca_file=str(certificates.stranger)), "not trusted"),
            (Tls(), "not trusted"),
            (dataclasses.replace(trusted, server_name="other.example"), "not trusted: Hostname mismatch"),
        ):
            refused = opened(broker.port, client_id="c", tls=tls)
            refused.until(lambda refused=refused: refused.transport.problems)
            assert reason in refused.transport.problems[0]
            assert refused.transport.connects == 0


def test_with_tls_long_messages_come_whole_and_in_order(tmp_path, opened, certificates):
    trusted = Tls(ca_file=str(certificates.authority))
    with Mosquitto(tmp_path / "broker", certificates=certificates) as broker:
        looks = opened(broker.port, tls=trusted).connected()
        plant = MqttTransport(dataclasses.replace(QUICK, port=broker.port, client_id="plant", tls=trusted), [])
        sender = Looks(plant).connected()
        looks.once(0.2)
        payloads = [bytes([number]) * (number * 997) for number in range(200)]
        for key, payload in enumerate(payloads):
            sender.until(lambda key=key, payload=payload: plant.publish(key, "plant/a/temperature", payload))
            looks.once(0.0)
        sender.until(lambda: len(sender.delivered) == 200)
        looks.until(lambda: len(looks.deliveries) == 200)
        assert looks.payloads() == payloads
        plant.close(1.0)


def test_a_client_certificate_is_shown(tmp_path, opened, certificates):
    certificate, key = map(str, certificates.client)
    with Mosquitto(tmp_path / "broker", certificates=certificates, require_certificate=True) as broker:
        opened(broker.port, tls=Tls(str(certificates.authority), certificate, key)).connected()
        without = opened(broker.port, client_id="b", tls=Tls(str(certificates.authority)))
        without.until(lambda: without.transport.problems)
        assert without.transport.connects == 0


def test_a_wrong_password_is_said_once_and_tried_again(tmp_path, opened, caplog):
    with Mosquitto(tmp_path / "broker", users={"gateway": "right"}) as broker:
        opened(broker.port, username="gateway", password="right").connected()
        refused = opened(broker.port, client_id="b", username="gateway", password="wrong")
        refused.until(lambda: refused.transport._epoch >= 3)
        assert "refused the connection: Not authorized" in refused.transport.problems[0]
        assert refused.resets == 0
        assert caplog.text.count("refused the connection") == 1
        assert "wrong" not in caplog.text


def test_two_under_one_name_are_suspected_and_do_not_fight_every_second(broker, opened):
    looks = opened(broker.port, reconnect_min_s=20.0, reconnect_max_s=60.0).connected()
    # mosquitto 2.0.11 closes the older connection without a word.
    with Peer(broker.port, client_id="gateway"):
        looks.until(lambda: looks.resets)
    assert "as it does where another client connects as gateway" in looks.transport.problems[0]
    assert looks.transport.state == "waiting"
    assert looks.transport._dialer._not_before_s - time.monotonic() > 9.0


def test_the_gateway_does_not_hear_itself(broker, opened):
    looks = granted(opened(broker.port), broker)
    assert looks.transport.publish(1, "plant/a/temperature", b"own")
    looks.until(lambda: looks.delivered == [1])
    looks.once(0.1)
    assert looks.payloads() == []


def test_one_look_takes_no_more_than_its_share(broker, opened):
    looks = granted(opened(broker.port), broker)
    with Peer(broker.port) as plant:
        plant.publish("plant/a/temperature", *[b"%d" % number for number in range(900)])
        time.sleep(0.2)
        assert len(looks.once(1.0).deliveries) == 500
        assert len(looks.once(0.0).deliveries) == 400


def test_a_broker_that_is_not_there_is_said_and_tried_again(opened):
    port = edge_broker.free_port()
    looks = opened(port)
    looks.until(lambda: looks.transport.problems)
    assert looks.transport.problems == [f"no connection to 127.0.0.1:{port}: Connection refused"]
    assert looks.resets == 0
    with socket.create_server(("127.0.0.1", port)) as server:
        looks.until(lambda: looks.transport._epoch == 1)
        server.accept()[0].close()
        looks.until(lambda: "refused" not in looks.transport.problems[0])


def test_a_look_and_the_close_end_while_a_connection_hangs(opened, monkeypatch):
    looks = opened(1883, host="192.0.2.1", connect_timeout_s=30.0)
    for _ in range(3):
        assert not looks.once(0.02).connected
    held = threading.Event()
    hanging = opened(1883)
    # As a name server that does not answer: nothing can hurry it.
    monkeypatch.setattr(hanging.transport._dialer, "_open", lambda: held.wait(30) and None)
    for _ in range(3):
        assert not hanging.once(0.02).connected
        assert hanging.transport.state == "connecting"
    hanging.transport.close(0.1)
    assert not held.is_set()
    held.set()


def test_a_transport_without_a_client_id_is_refused():
    with pytest.raises(ConfigError, match=r"broker.client_id is missing"):
        MqttTransport(Broker(), [])
