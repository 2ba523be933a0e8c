"""The parts of the transport that need no broker: pauses, windows, silence, files of TLS, what is said."""

import logging
import socket
import ssl
import threading

import edge_broker
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.edge.mqtt_dial import Backoff, Dialer, tls_context
from toolkit.edge.mqtt_publications import RETRY_MAX_S, Publication, Publications
from toolkit.edge.mqtt_session import Granted, KeepAlive, Subscriptions
from toolkit.edge.mqtt_troubles import Troubles
from toolkit.edge.settings import Broker, Tls
from toolkit.errors import ConfigError


@given(st.floats(0.01, 10), st.floats(10, 1000), st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20))
def test_each_pause_lies_in_the_upper_half_of_twice_the_one_before(minimum, maximum, draws):
    pauses = Backoff(minimum, maximum, iter(draws).__next__)
    for place in range(len(draws)):
        ceiling = min(minimum * 2**place, maximum)
        assert ceiling / 2 <= pauses.pause_s() <= ceiling


def test_pauses_begin_anew_after_a_reset_and_are_longest_when_told():
    pauses = Backoff(1, 60, lambda: 0.0)
    assert [pauses.pause_s() for _ in range(3)] == [0.5, 1.0, 2.0]
    pauses.lengthen()
    assert pauses.pause_s() == 30.0
    pauses.reset()
    assert pauses.pause_s() == 0.5


def test_a_link_that_did_not_stand_long_does_not_shorten_the_pauses():
    dialer = Dialer(Broker(), lambda: 0.0, lambda: 0.0)
    assert [dialer.pause(stood, long=False) for stood in (0.0, 1.0, 9.0)] == [False] * 3
    assert dialer._not_before_s == 2.0
    assert dialer.pause(10.0, long=False)
    assert dialer._not_before_s == 0.5


def test_a_try_that_goes_wrong_in_any_way_is_followed_by_another(monkeypatch):
    def wrong():
        raise TypeError("no such name")

    now_s = 0.0
    dialer = Dialer(Broker(), lambda: now_s, lambda: 0.0)
    monkeypatch.setattr(dialer, "_open", wrong)
    for _ in range(2):
        assert dialer.dial(5.0) == "no such name"
        dialer.pause(0.0, long=False)
        now_s += 60.0


def test_a_dialer_that_was_abandoned_closes_what_it_opened(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        dialer = Dialer(Broker(port=server.getsockname()[1]), lambda: 0.0, lambda: 0.0)
        gate, at_once = threading.Event(), dialer._open
        monkeypatch.setattr(dialer, "_open", lambda: gate.wait(5) and at_once())
        assert dialer.dial(0.0) is None
        dialer.abandon()
        gate.set()
        taken, _ = server.accept()
        with taken:
            taken.settimeout(5)
            assert taken.recv(1) == b""
        assert dialer.dial(0.0) is None


def test_publications_never_exceed_the_smaller_window():
    for most, receive_maximum in ((5, 2), (2, 5)):
        publications = Publications(most)
        publications.begin(receive_maximum)
        for mid in range(2):
            assert publications.takes
            publications.sent(mid, Publication(mid, "t", b""))
        assert not publications.takes
        assert publications.answered(0) is not None
        assert publications.answered(0) is None
        assert publications.takes


def test_a_refused_publication_comes_again_after_pauses_that_grow_to_a_minute():
    publications = Publications(5)
    publications.begin(5)
    publication, now = Publication(1, "t", b""), 0.0
    for pause in (1, 2, 4, 8, 16, 32, RETRY_MAX_S, RETRY_MAX_S):
        publications.refuse(publication, now)
        assert publications.due(now + pause - 0.01) is None
        now += pause
        assert publications.due(now) is publication
        assert publications.due(now) is None


def test_while_as_many_are_refused_as_may_be_under_way_nothing_new_is_taken():
    publications = Publications(2)
    publications.begin(65_535)
    for key in range(2):
        publications.refuse(Publication(key, "t", b""), 0.0)
    assert publications.has_room
    assert not publications.takes
    publications.due(10.0)
    assert publications.takes


def test_a_silent_broker_is_asked_after_half_the_keep_alive_and_lost_after_all_of_it():
    keep_alive = KeepAlive(100.0)
    assert not keep_alive.must_ask(114.9, 30)
    assert keep_alive.must_ask(115.0, 30)
    assert not keep_alive.must_ask(116.0, 30)
    assert not keep_alive.is_lost(129.9, 30)
    assert keep_alive.is_lost(130.0, 30)


def test_whatever_comes_ends_the_silence_of_the_broker_but_not_that_of_the_gateway():
    keep_alive = KeepAlive(0.0)
    assert keep_alive.must_ask(15.0, 30)
    keep_alive.heard(20.0)
    assert not keep_alive.is_lost(100.0, 30)
    # The broker talks all the time; the gateway has not said anything for long, and would be thrown out.
    assert keep_alive.must_ask(20.0, 30)
    keep_alive.heard(20.1)
    keep_alive.spoke(20.1)
    assert not keep_alive.must_ask(35.0, 30)


def test_after_a_long_absence_of_the_gateway_the_broker_is_asked_before_it_is_lost():
    keep_alive = KeepAlive(0.0)
    assert not keep_alive.is_lost(1000.0, 30)
    assert keep_alive.must_ask(1000.0, 30)
    assert not keep_alive.is_lost(1001.0, 30)


def test_without_keep_alive_nothing_is_ever_asked():
    keep_alive = KeepAlive(0.0)
    assert not keep_alive.must_ask(1e9, 0)


def test_a_silent_connack_grants_what_mqtt_says():
    broker = Broker(keepalive_s=17, session_expiry_s=99)
    assert Granted.of({}, broker) == Granted(65_535, True, 268_435_455, 17, 99)
    given_back = {"ReceiveMaximum": 2, "MaximumQoS": 0, "MaximumPacketSize": 50, "ServerKeepAlive": 5}
    granted = Granted.of({**given_back, "SessionExpiryInterval": 1}, broker)
    assert granted == Granted(2, False, 50, 5, 1)


def test_a_message_beyond_the_broker_s_limits_meets_an_objection():
    broker = Broker()
    assert Granted.of({}, broker).objection("t", bytes(1000)) == ""
    assert "50 bytes" in Granted.of({"MaximumPacketSize": 50}, broker).objection("t", bytes(40))
    assert "QoS 0" in Granted.of({"MaximumQoS": 0}, broker).objection("t", b"")


def test_subscriptions_that_are_refused_are_asked_for_again_every_minute():
    subscriptions = Subscriptions([("a", 2), ("b", 1), ("c", 0)])
    subscriptions.begin()
    assert subscriptions.due(100.0) == ["a", "b", "c"]
    subscriptions.asked(1, ["a", "b", "c"])
    assert subscriptions.answered(1, [1, 0x87, 0]) == [("a", True), ("b", False), ("c", True)]
    assert subscriptions.due(159.9) == []
    assert subscriptions.due(160.0) == ["b"]
    subscriptions.asked(2, ["b"])
    assert subscriptions.answered(2, [0]) == [("b", False)]
    assert subscriptions.due(1000.0) == []
    subscriptions.begin()
    assert subscriptions.due(1000.0) == ["a", "b", "c"]


def test_each_trouble_is_logged_once_until_the_link_was_steady(caplog):
    troubles = Troubles()
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            troubles.link("refused")
            troubles.connected()
        assert caplog.messages == ["refused"]
        troubles.steady()
        troubles.link("refused")
    assert caplog.messages == ["refused"] * 2
    assert troubles.present == ["refused"]


def test_publications_that_are_refused_are_logged_once_per_reason_and_not_per_topic(caplog):
    troubles = Troubles()
    troubles.publication("a", "not authorised")
    troubles.publication("b", "not authorised")
    assert caplog.messages == ["publication to a refused: not authorised"]
    assert troubles.present == ["publication to b refused: not authorised"]
    troubles.publication("", "")
    assert troubles.present == []


def test_troubles_of_subscriptions_are_there_until_they_are_settled():
    troubles = Troubles()
    troubles.subscription("a", "Not authorized")
    troubles.subscription("b", "Granted QoS 0")
    troubles.subscription("a", "")
    assert troubles.present == ["subscription to b: Granted QoS 0"]
    troubles.connected()
    assert troubles.present == []


def test_a_file_of_tls_that_is_not_there_is_one_line(tmp_path):
    missing = str(tmp_path / "none.pem")
    for tls in (Tls(ca_file=missing), Tls(certificate_file=missing, key_file=missing)):
        with pytest.raises(ConfigError, match=r"none.pem cannot be used; got No such file .*; allowed: a readable PEM"):
            tls_context(tls)


def test_a_file_of_tls_that_is_no_pem_is_one_line(tmp_path):
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    for tls in (Tls(ca_file=str(rubbish)), Tls(certificate_file=str(rubbish), key_file=str(rubbish))):
        with pytest.raises(ConfigError, match=r"rubbish.pem cannot be used; got .*; allowed: a readable PEM"):
            tls_context(tls)


def test_an_encrypted_key_is_refused_and_asks_nobody(tmp_path):
    certificates = edge_broker.make_certificates(tmp_path)
    certificate, key = certificates.client
    encrypted = tmp_path / "encrypted.key"
    options = ("ec", "-in", str(key), "-aes128", "-passout", "pass:secret", "-out", str(encrypted))
    edge_broker._openssl(tmp_path, *options)
    with pytest.raises(ConfigError, match="its key unencrypted"):
        tls_context(Tls(certificate_file=str(certificate), key_file=str(encrypted)))
    with pytest.raises(ConfigError, match="belonging to it"):
        tls_context(Tls(certificate_file=str(certificate), key_file=str(certificates.server[1])))
    tls_context(Tls(str(certificates.authority), str(certificate), str(key)))


def test_openssl_is_given_a_password_so_that_it_asks_for_none_on_the_terminal(monkeypatch):
    given: list[object] = []
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", lambda _self, *_files, password=None: given.append(password))
    tls_context(Tls(certificate_file="a", key_file="b"))
    assert given == [""]


def test_an_authority_that_is_named_is_trusted_alone(tmp_path):
    certificates = edge_broker.make_certificates(tmp_path)
    context = tls_context(Tls(ca_file=str(certificates.authority)))
    assert len(context.get_ca_certs()) == 1
    assert context.check_hostname
    assert context.minimum_version.name == "TLSv1_2"
