"""The transport over MQTT 5. Nothing else of the toolkit knows paho.

paho does the protocol: CONNECT, SUBSCRIBE, PUBLISH on the way out, DISCONNECT, and what the broker answers. Four
things are done here instead. The socket is opened in a thread and handed to paho (`_create_socket`, the one place where
paho's inside is touched), so that nothing ever blocks. Messages that come in are read, and acknowledged, by
`mqtt_packets`, since paho's way costs several times as much. Silence is noticed by `mqtt_session`. And paho remembers
nothing beyond a connection: each has a client of its own, because what paho keeps it would publish again by itself, and
the outbox does that already. (MQTT wants unacknowledged messages to be sent again under their old packet identifiers;
with QoS 1 the broker cannot tell.)
"""

import contextlib
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from toolkit.edge.mqtt_dial import Dialer
from toolkit.edge.mqtt_link import CLOSED, Link, LinkLostError
from toolkit.edge.mqtt_packets import PINGREQ_PACKET, acknowledgements
from toolkit.edge.mqtt_publications import Publication, Publications
from toolkit.edge.mqtt_session import Granted, KeepAlive, Subscriptions
from toolkit.edge.mqtt_troubles import Troubles
from toolkit.edge.settings import Broker
from toolkit.edge.transport import Arrivals
from toolkit.errors import ConfigError

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike

MESSAGES_PER_POLL = 500
POLL_BUDGET_NS = 20_000_000
"""Reading goes no further than either, so that commits and the watchdog get their turn under any load."""
UNSENT_BYTES = 1 << 20
"""Where that much waits for the socket, nothing more is published."""
SESSION_TAKEN_OVER = 0x8E

_logger = logging.getLogger(__name__)


class _Client(paho.Client):
    """paho's client of one connection, over a socket that is open already."""

    def __init__(self, link: Link, client_id: str) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
        self._link = link

    def _create_socket(self) -> "SocketLike":
        return self._link


class MqttTransport:
    """Carries messages over MQTT 5; see `Transport`.

    Nothing is written before the next `poll`, so that all acknowledgements and publications of one turn of the loop
    go out in one piece. A poll that notices that the link is lost still hands over what had come; `reset` is told
    then, or by the next poll where there was something, and always before anything of the next link.

    QoS 2 is asked for as QoS 1: the journal knows a message that comes twice, and MQTT's own way costs two packets
    more. Messages of QoS 2 that an older session still holds are taken all the same.

    Args:
        broker: the connection.
        subscriptions: topic filters, each with its QoS. A filter that the broker's session holds from before and that
            is not among them stays: its messages come, and are for the caller to refuse.
        status_topic: where `online` and `offline` stand, retained; "" for none.
        max_packet_bytes: longer ones are not sent by the broker, which drops them (MQTT Maximum Packet Size); it bounds
            the memory that a message can take. Payloads that are to be refused and counted must be shorter.
        publish_window: publications that may wait for the broker; fewer where it says so (MQTT Receive Maximum).
        clock: seconds, never going back.
        draw: gives a number in [0, 1), for the pauses.

    Attributes:
        connects: connections that came about.
        disconnects: connections that were lost.
        forgotten_sessions: times that the broker came back without the gateway's session; what it held is lost.
        unprotected: messages that came with QoS 0.
        refused_publishes: publications that the broker refused; they are tried again.

    Raises:
        ConfigError: no client id, or a file of TLS that cannot be used.
    """

    def __init__(
        self,
        broker: Broker,
        subscriptions: Sequence[tuple[str, int]],
        status_topic: str = "",
        *,
        max_packet_bytes: int = 4 << 20,
        publish_window: int = 256,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        if not broker.client_id:
            raise ConfigError("broker.client_id is missing", allowed="a name of its own, the same after every restart")
        self._broker = broker
        self._status_topic = status_topic
        self._max_packet_bytes = max_packet_bytes
        self._clock = clock
        self._dialer = Dialer(broker, clock, draw)
        self._subscriptions = Subscriptions(subscriptions)
        self._publications = Publications(publish_window)
        self._troubles = Troubles()
        self._connection: tuple[Link, _Client] | None = None
        self._keep_alive = KeepAlive(clock())
        self._granted = Granted.of({}, broker)
        self._greeting: dict[str, int] | None = None
        self._up = self._lost = self._taken_over = self._closed = False
        self._reason = ""
        self._epoch = 0
        self._unacknowledged: set[int] = set()
        self._delivered: list[int] = []
        self.connects = self.disconnects = self.forgotten_sessions = 0
        self.unprotected = self.refused_publishes = 0

    @property
    def state(self) -> str:
        """`waiting` (for the next try), `connecting`, `connected` or `closed`."""
        if self._closed or self._up:
            return "connected" if self._up else "closed"
        return "connecting" if self._connection is not None or self._dialer.running else "waiting"

    @property
    def problems(self) -> list[str]:
        """What does not work at present, one line each."""
        return self._troubles.present

    def poll(self, timeout_s: float) -> Arrivals:
        """See `Transport.poll`."""
        arrivals = Arrivals([], [], connected=False, reset=self._lost)
        self._lost = False
        was_up, deadline = self._up, self._clock() + timeout_s
        while True:
            self._turn(arrivals, 0.0 if arrivals.reset else deadline - self._clock())
            news = arrivals.deliveries or self._delivered or arrivals.reset or self._up != was_up
            if news or self._clock() >= deadline:
                break
        arrivals.delivered, self._delivered = self._delivered, []
        if self._lost and not (arrivals.deliveries or arrivals.delivered):
            arrivals.reset, self._lost = True, False
        arrivals.connected = self._up
        arrivals.window_full = len(self._unacknowledged) >= self._broker.receive_maximum
        return arrivals

    def acknowledge(self, tokens: list[int]) -> None:
        """See `Transport.acknowledge`."""
        # Each once, in the caller's order.
        valid = [token for token in dict.fromkeys(tokens) if token in self._unacknowledged]
        if self._connection is not None and valid:
            self._connection[0].send(acknowledgements(valid))
            self._unacknowledged.difference_update(valid)

    def publish(self, key: int, topic: str, payload: bytes) -> bool:
        """See `Transport.publish`.

        Raises:
            ValueError: a topic with wildcards, or longer than 65,535 bytes.
        """
        if self._connection is None or not self._up or not self._publications.takes:
            return False
        link, client = self._connection
        return link.unsent <= UNSENT_BYTES and self._send(client, Publication(key, topic, payload))

    def close(self, timeout_s: float) -> None:
        """See `Transport.close`.

        Where the broker does not answer within the time, the connection is dropped, and the last will says `offline`.
        Messages that were not acknowledged come again to whoever connects under the client id.
        """
        self._dialer.abandon()
        deadline = self._clock() + timeout_s
        if self._up and self._say_offline(deadline) and self._connection is not None:
            link, client = self._connection
            client.disconnect()
            link.finish(deadline - self._clock())
        self._drop()
        self._closed = True

    def _turn(self, arrivals: Arrivals, timeout_s: float) -> None:
        try:
            if self._connection is None:
                self._come_up(timeout_s)
            else:
                self._exchange(*self._connection, arrivals, timeout_s)
        except LinkLostError as lost:
            self._lose(str(lost))

    def _exchange(self, link: Link, client: _Client, arrivals: Arrivals, timeout_s: float) -> None:
        if self._up:
            self._ask_again(client)
        self._flush(link)
        link.wait(min(timeout_s, self._tick_s))
        others: list[bytes] = []
        with contextlib.ExitStack() as then:
            # Also where the link has ended: the broker's last packet says why.
            then.callback(self._note, arrivals)
            then.callback(self._hand_over, link, client, others)
            until_ns = time.monotonic_ns() + POLL_BUDGET_NS
            came = link.read(MESSAGES_PER_POLL, until_ns, arrivals.deliveries, others)
        self._watch(link, came)
        self._flush(link)

    def _flush(self, link: Link) -> None:
        if link.flush():
            self._keep_alive.spoke(self._clock())

    def _note(self, arrivals: Arrivals) -> None:
        if not self._up:
            arrivals.deliveries.clear()
            return
        tokens = [delivery.token for delivery in arrivals.deliveries if delivery.token is not None]
        self._unacknowledged.update(tokens)
        self.unprotected += len(arrivals.deliveries) - len(tokens)

    def _hand_over(self, link: Link, client: _Client, packets: list[bytes]) -> None:
        for packet in packets:
            link.hand(packet)
            self._let_read(client)
            if link.given_up:
                raise LinkLostError(self._reason or "the connection was given up")
            if self._greeting is not None:
                self._begin(client, self._greeting)
        if client.want_write():
            client.loop_write()

    @staticmethod
    def _let_read(client: _Client) -> None:
        try:
            client.loop_read()
        except Exception as error:  # whatever a strange packet makes of paho must not end the gateway
            raise LinkLostError(f"a packet of the broker could not be read: {error!r}") from error

    def _watch(self, link: Link, came: bool) -> None:
        now, keep_alive = self._clock(), self._keep_alive
        if came:
            keep_alive.heard(now)
        if not self._up:
            if now - keep_alive.opened_s >= self._broker.connect_timeout_s:
                raise LinkLostError("the broker does not answer to CONNECT")
        elif keep_alive.must_ask(now, self._granted.keepalive_s):
            link.send(PINGREQ_PACKET)
        elif keep_alive.is_lost(now, self._granted.keepalive_s):
            raise LinkLostError(f"the broker has been silent for {now - keep_alive.heard_s:.0f} s")

    @property
    def _tick_s(self) -> float:
        """The longest wait at the socket: what is due without anything coming may be late by that much."""
        return min(1.0, self._granted.keepalive_s / 8 or 1.0, self._broker.connect_timeout_s / 4)

    def _come_up(self, timeout_s: float) -> None:
        found = self._dialer.dial(timeout_s)
        if isinstance(found, str):
            raise LinkLostError(f"no connection to {self._broker.host}:{self._broker.port}: {found}")
        if found is not None:
            self._epoch += 1
            self._open(Link(found, self._epoch, self._max_packet_bytes))

    def _open(self, link: Link) -> None:
        broker = self._broker
        client = _Client(link, broker.client_id)
        client.username = broker.username or None
        client.password = broker.password or None
        # The window is kept here, by what the broker says.
        client.max_inflight_messages = 0
        if self._status_topic:
            client.will_set(self._status_topic, b"offline", qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        wishes = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        wishes.SessionExpiryInterval = broker.session_expiry_s
        wishes.ReceiveMaximum = broker.receive_maximum
        wishes.MaximumPacketSize = self._max_packet_bytes
        client.connect_async(
            broker.host, broker.port, keepalive=broker.keepalive_s, clean_start=False, properties=wishes
        )
        self._connection = (link, client)
        self._keep_alive = KeepAlive(self._clock())
        self._reason = ""
        client.reconnect()
        if client.socket() is not link:
            raise RuntimeError("paho-mqtt opened a socket of its own; fix: install the version that is supported")

    def _begin(self, client: _Client, greeting: dict[str, int]) -> None:
        self._greeting, self._up = None, True
        self.connects += 1
        _logger.info("connected to %s:%d", self._broker.host, self._broker.port)
        self._granted = Granted.of(greeting, self._broker)
        if self._granted.session_expiry_s < self._broker.session_expiry_s:
            _logger.warning("the broker keeps the session for %d s only", self._granted.session_expiry_s)
        self._troubles.connected()
        self._publications.begin(self._granted.receive_maximum)
        self._subscriptions.begin()
        self._ask_again(client)
        if self._status_topic:
            self._send(client, Publication(None, self._status_topic, b"online", retain=True))

    def _lose(self, reason: str) -> None:
        if self._up and reason == CLOSED:
            # mosquitto says no more to the older of two that use one name.
            reason += f", as it does where another client connects as {self._broker.client_id}"
        self._lost = self._lost or self._up
        self.disconnects += self._up
        stood_s = self._clock() - self._keep_alive.opened_s if self._up else 0.0
        # Two that fight for one session would otherwise throw each other out every second.
        if self._dialer.pause(stood_s, long=self._taken_over):
            self._troubles.steady()
        self._drop()
        self._troubles.link(reason)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection[0].shut()
            self._connection = None
        self._up = self._taken_over = False
        self._greeting = None
        self._unacknowledged.clear()
        self._publications.begin(0)

    def _say_offline(self, deadline: float) -> bool:
        """Whether the broker has taken it, where there is a topic for it."""
        said = not self._status_topic
        farewell = Publication(None, self._status_topic, b"offline", retain=True, taken=said)
        while self._connection is not None and not farewell.taken and self._clock() < deadline:
            if not said and self._publications.has_room:
                said = self._send(self._connection[1], farewell)
            self._turn(Arrivals([], [], connected=True), deadline - self._clock())
        return farewell.taken

    def _ask_again(self, client: _Client) -> None:
        now = self._clock()
        if topics := self._subscriptions.due(now):
            # Without its own messages, which a wide pattern would let it read; kept ones only where they are new to it.
            wishes = [(topic, SubscribeOptions(self._subscriptions.qos[topic], True, False, 1)) for topic in topics]
            self._subscriptions.asked(client.subscribe(wishes)[1] or 0, topics)
        while (publication := self._publications.due(now)) is not None:
            if not self._send(client, publication):
                self._publications.refuse(publication, now)

    def _send(self, client: _Client, publication: Publication) -> bool:
        if objection := self._granted.objection(publication.topic, publication.payload):
            self._refuse(publication, objection)
            return True
        sent = client.publish(publication.topic, publication.payload, qos=1, retain=publication.retain)
        if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            # 65,535 publications later a packet identifier is still in use.
            return False
        self._publications.sent(sent.mid, publication)
        return True

    def _refuse(self, publication: Publication, reason: str) -> None:
        self.refused_publishes += 1
        self._publications.refuse(publication, self._clock())
        self._troubles.publication(publication.topic, reason)

    # What paho calls.

    def _on_connect(self, _client: Any, _data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self._reason = f"the broker refused the connection: {reason}"
            return
        self._greeting = vars(properties)
        if self.connects and not flags.session_present:
            self.forgotten_sessions += 1
            _logger.warning("the broker has forgotten the session: messages that it held for the gateway are lost")

    def _on_disconnect(self, _client: Any, _data: Any, flags: Any, reason: ReasonCode, _properties: Any) -> None:
        self._taken_over = flags.is_disconnect_packet_from_server and reason.value == SESSION_TAKEN_OVER
        if self._taken_over:
            self._reason = f"another client has connected under the client id {self._broker.client_id}"
        self._reason = self._reason or f"the broker ended the connection: {reason}"

    def _on_subscribe(self, _client: Any, _data: Any, mid: int, reasons: list[ReasonCode], _properties: Any) -> None:
        answers = self._subscriptions.answered(mid, [reason.value for reason in reasons])
        for (topic, granted), reason in zip(answers, reasons, strict=False):
            self._troubles.subscription(topic, "" if granted else str(reason))

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        publication = self._publications.answered(mid)
        if publication is None:
            return
        if reason.is_failure:
            self._refuse(publication, str(reason))
            return
        publication.taken = True
        if publication.key is not None:
            self._delivered.append(publication.key)
        if publication.refusals and not self._publications.refused:
            self._troubles.publication("", "")
