"""A transport without a network: a broker with a session, as far as the gateway can tell."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from toolkit.edge.transport import Arrivals, Delivery


class Message(NamedTuple):
    """One message on its way to the gateway."""

    topic: str
    payload: bytes
    qos: int = 1
    retained: bool = False


class Published(NamedTuple):
    """One message that the gateway has published."""

    key: int
    topic: str
    payload: bytes


class FakeTransport:
    """What a test sends waits here, in order, until it is acknowledged, however often the link breaks.

    `poll` never sleeps; a test whose clock is its own moves it in `on_wait`.

    Args:
        receive_maximum: messages that come before one is acknowledged (MQTT Receive Maximum).
        broker_receive_maximum: publications that are taken before one is acknowledged.
        per_poll: messages that one look finds, at most.
        on_wait: called with the timeout of each poll that finds nothing.

    Attributes:
        connected: whether the link stands; see `break_link` and `restore`.
        refuse: whether publications are refused, as with a full window.
        hold: whether the broker keeps its acknowledgements of publications back.
        ledger: all messages that the gateway has acknowledged, in that order.
        published: everything that reached the broker, in that order. What was acknowledged to nobody comes twice.
        closed: whether the gateway has said goodbye.
    """

    def __init__(
        self,
        receive_maximum: int = 1000,
        broker_receive_maximum: int = 1000,
        per_poll: int = 500,
        on_wait: Callable[[float], None] | None = None,
    ) -> None:
        self._receive_maximum = receive_maximum
        self._broker_receive_maximum = broker_receive_maximum
        self._per_poll = per_poll
        self._on_wait = on_wait or (lambda _timeout_s: None)
        self._waiting: deque[Message] = deque()
        self._under_way: dict[int, Message] = {}
        self._unanswered: list[int] = []
        self._token = 0
        self._lost = False
        self.connected = True
        self.refuse = False
        self.hold = False
        self.closed = False
        self.ledger: list[Message] = []
        self.published: list[Published] = []

    # What a test does.

    def send(self, topic: str, *payloads: bytes, qos: int = 1, retained: bool = False) -> None:
        """Puts messages on their way."""
        self._waiting.extend(Message(topic, payload, qos, retained) for payload in payloads)

    @property
    def unacknowledged(self) -> int:
        """Messages that the gateway has been given and has not acknowledged."""
        return len(self._under_way)

    @property
    def undelivered(self) -> int:
        """Messages that the gateway has not been given, or must be given again."""
        return len(self._waiting)

    def break_link(self) -> None:
        """Everything under way is lost on both sides; what the session holds comes again, QoS 0 does not."""
        self._lost = self._lost or self.connected
        self.connected = False
        again = [message for message in self._under_way.values() if message.qos]
        later = [message for message in self._waiting if message.qos]
        self._waiting = deque(again + later)
        self._under_way.clear()
        self._unanswered.clear()

    def restore(self) -> None:
        """The link stands again."""
        self.connected = True

    # What the gateway does.

    def poll(self, timeout_s: float) -> Arrivals:
        """See `Transport.poll`."""
        arrivals = Arrivals([], [], connected=self.connected, reset=self._lost)
        self._lost = False
        if self.connected:
            self._deliver(arrivals.deliveries)
            if not self.hold:
                arrivals.delivered, self._unanswered = self._unanswered, []
        if not (arrivals.deliveries or arrivals.delivered or arrivals.reset):
            self._on_wait(timeout_s)
        arrivals.window_full = len(self._under_way) >= self._receive_maximum
        return arrivals

    def _deliver(self, deliveries: list[Delivery]) -> None:
        while self._waiting and len(deliveries) < self._per_poll:
            if self._waiting[0].qos and len(self._under_way) >= self._receive_maximum:
                break
            message = self._waiting.popleft()
            token = None
            if message.qos:
                self._token += 1
                token = self._token
                self._under_way[token] = message
            deliveries.append(Delivery(message.topic, message.payload, token, self._token, message.retained))

    def acknowledge(self, tokens: list[int]) -> None:
        """See `Transport.acknowledge`.

        Raises:
            AssertionError: not in the order in which the messages came.
        """
        valid = [token for token in tokens if token in self._under_way]
        assert valid == list(self._under_way)[: len(valid)], "acknowledged out of order"
        self.ledger += [self._under_way.pop(token) for token in valid]

    def publish(self, key: int, topic: str, payload: bytes) -> bool:
        """See `Transport.publish`.

        Raises:
            AssertionError: the same key again while it is under way.
        """
        if not self.connected or self.refuse or len(self._unanswered) >= self._broker_receive_maximum:
            return False
        assert key not in self._unanswered, f"published again while under way: {key}"
        self._unanswered.append(key)
        self.published.append(Published(key, topic, payload))
        return True

    def close(self, timeout_s: float) -> None:
        """See `Transport.close`."""
        self.closed = True
        self.break_link()
