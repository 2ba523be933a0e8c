"""A transport that is polled again and again, and what came of it."""

import time
from collections.abc import Callable

from toolkit.edge.mqtt import MqttTransport
from toolkit.edge.transport import Arrivals, Delivery


class Looks:
    """Polls again and again, and collects what came."""

    def __init__(self, transport: MqttTransport) -> None:
        self.transport = transport
        self.deliveries: list[Delivery] = []
        self.delivered: list[int] = []
        self.resets = 0
        self.last = Arrivals([], [], connected=False)

    def until(self, condition: Callable[[], object], seconds: float = 10.0) -> "Looks":
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (self.transport.state, self.transport.problems)
            self.once(0.02)
        return self

    def once(self, timeout_s: float) -> Arrivals:
        self.last = self.transport.poll(timeout_s)
        self.deliveries += self.last.deliveries
        self.delivered += self.last.delivered
        self.resets += self.last.reset
        return self.last

    def connected(self) -> "Looks":
        return self.until(lambda: self.last.connected)

    def payloads(self) -> list[bytes]:
        return [delivery.payload for delivery in self.deliveries]

    def tokens(self) -> list[int]:
        return [delivery.token for delivery in self.deliveries if delivery.token is not None]
