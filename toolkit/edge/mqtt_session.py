"""What a connection knows of the broker besides messages: what it grants, whether it is alive, what it lets through."""

from collections.abc import Mapping, Sequence
from typing import Self

from toolkit.contract.frozen import dataclass
from toolkit.edge.settings import Broker

LARGEST_PACKET = 268_435_455
SUBSCRIBE_AGAIN_S = 60.0
FAILURE = 0x80
PACKET_OVERHEAD = 16
"""Bytes of a PUBLISH beside topic and payload, at most."""


@dataclass(frozen=True)
class Granted:
    """What the broker's CONNACK says, or what MQTT says where that is silent. Source: MQTT 5.0, 3.2.2.3.

    Attributes:
        receive_maximum: publications that it takes at once.
        takes_qos_1: whether it takes any that it acknowledges.
        packet_bytes: the longest packet that it takes.
        keepalive_s: the longest silence that it bears; 0 for any.
        session_expiry_s: for how long it keeps the session.
    """

    receive_maximum: int
    takes_qos_1: bool
    packet_bytes: int
    keepalive_s: int
    session_expiry_s: int

    @classmethod
    def of(cls, properties: Mapping[str, int], broker: Broker) -> Self:
        """Reads the properties of a CONNACK, by paho's names."""
        return cls(
            receive_maximum=properties.get("ReceiveMaximum", 65_535),
            takes_qos_1=properties.get("MaximumQoS", 2) > 0,
            packet_bytes=properties.get("MaximumPacketSize", LARGEST_PACKET),
            keepalive_s=properties.get("ServerKeepAlive", broker.keepalive_s),
            session_expiry_s=properties.get("SessionExpiryInterval", broker.session_expiry_s),
        )

    def objection(self, topic: str, payload: bytes) -> str:
        """Why the broker would not take a message, or ""."""
        if not self.takes_qos_1:
            return "the broker takes none that it acknowledges (Maximum QoS 0)"
        if len(topic.encode()) + len(payload) + PACKET_OVERHEAD > self.packet_bytes:
            return f"the broker takes {self.packet_bytes} bytes at most"
        return ""


class KeepAlive:
    """Notices a broker that is silent.

    After half the time without a packet of one side the broker is asked, and has the other half to answer: a silent
    link is lost after the keep alive, and after no more. (paho's own takes twice as long, and takes a link for lost
    whose answer is on its way behind a long backlog.)

    Args:
        now_s: when the connection was opened.

    Attributes:
        opened_s: then.
        heard_s: when something came last.
    """

    def __init__(self, now_s: float) -> None:
        self.opened_s = self.heard_s = self._spoke_s = now_s
        self._asked_s: float | None = None

    def heard(self, now_s: float) -> None:
        """Something came."""
        self.heard_s, self._asked_s = now_s, None

    def spoke(self, now_s: float) -> None:
        """Something was written."""
        self._spoke_s = now_s

    def must_ask(self, now_s: float, keepalive_s: float) -> bool:
        """Whether a PINGREQ is due, which counts as sent then."""
        silent = now_s - min(self.heard_s, self._spoke_s) >= keepalive_s / 2
        due = keepalive_s > 0 and self._asked_s is None and silent
        if due:
            self._asked_s = now_s
        return due

    def is_lost(self, now_s: float, keepalive_s: float) -> bool:
        """Whether the answer is overdue."""
        return self._asked_s is not None and now_s - self._asked_s >= keepalive_s / 2


class Subscriptions:
    """What was asked for, and what the broker gives.

    What it does not give is asked for again every minute, since nobody on site would restart the gateway after the
    broker's settings were put right.

    Args:
        wanted: topic filters, each with its QoS. 2 becomes 1.
    """

    def __init__(self, wanted: Sequence[tuple[str, int]]) -> None:
        self.qos = {topic: min(qos, 1) for topic, qos in wanted}
        self._asked: dict[int, list[str]] = {}
        self._ungranted: list[str] = []
        self._again_s = 0.0

    def begin(self) -> None:
        """A new connection."""
        self._asked.clear()
        self._ungranted = list(self.qos)
        self._again_s = 0.0

    def due(self, now_s: float) -> list[str]:
        """The filters to ask for now; they count as asked for."""
        if not self._ungranted or now_s < self._again_s:
            return []
        self._again_s = now_s + SUBSCRIBE_AGAIN_S
        return list(self._ungranted)

    def asked(self, mid: int, topics: list[str]) -> None:
        """They were, with that packet identifier."""
        self._asked[mid] = topics

    def answered(self, mid: int, codes: Sequence[int]) -> list[tuple[str, bool]]:
        """Takes the reason codes of a SUBACK.

        Returns:
            For each filter whether it was granted as it was asked for.
        """
        topics = self._asked.pop(mid, [])
        answers = list(zip(topics, codes, strict=False))
        refused = {topic for topic, code in answers if code >= FAILURE}
        settled = {topic for topic, _ in answers} - refused
        self._ungranted = [topic for topic in self._ungranted if topic not in settled]
        return [(topic, topic not in refused and code >= self.qos[topic]) for topic, code in answers]
