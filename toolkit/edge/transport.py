"""What the gateway needs of whatever carries its messages. MQTT is one such; the core knows none."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Delivery(NamedTuple):
    """One message that came.

    Attributes:
        topic: as the sender named it.
        payload: its bytes, unread.
        token: to acknowledge it with; None where nobody waits for that (QoS 0), which loses it if the gateway dies.
        received_ns: `time.monotonic_ns()` when it was read.
        retained: whether the broker kept it from before the subscription.
    """

    topic: str
    payload: bytes
    token: int | None
    received_ns: int
    retained: bool = False


@dataclass(slots=True)
class Arrivals:
    """What one look at the transport found.

    Attributes:
        deliveries: in the order in which they came. All are to be acknowledged, in that order.
        delivered: keys of published messages that the other side has acknowledged.
        connected: whether the link stands.
        reset: whether it broke since the last look: tokens given before are void (their messages come again), and so
            are publications that were not acknowledged (they are to be published again).
        window_full: whether no further message comes before one is acknowledged.
    """

    deliveries: list[Delivery]
    delivered: list[int]
    connected: bool
    reset: bool = False
    window_full: bool = False


class Transport(Protocol):
    """Carries messages, without ever waiting longer than it is told to.

    One thread uses it. What goes wrong with the link is no exception: it shows in `Arrivals.connected`.
    """

    def poll(self, timeout_s: float) -> Arrivals:
        """Waits for something to come, at most that long, and hands over what there is."""

    def acknowledge(self, tokens: list[int]) -> None:
        """Tells the other side that these, in the order in which they came, are safe here. Void tokens are ignored."""

    def publish(self, key: int, topic: str, payload: bytes) -> bool:
        """Sends a message that is to be acknowledged under `key`.

        Returns:
            Whether it was taken; not where the link is down or the other side's window is full.
        """

    def close(self, timeout_s: float) -> None:
        """Says goodbye, waiting at most that long."""
