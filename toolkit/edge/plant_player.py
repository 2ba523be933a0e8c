"""Plays a plant's messages to a broker at a chosen speed, none of them lost on the way.

It knows a `Transport` and no MQTT. A message counts as sent when the other side has acknowledged it; where the link
breaks, what was under way is sent again before anything new, so that each topic keeps its order.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain

from toolkit.contract.frozen import dataclass
from toolkit.edge.plant_messages import Message
from toolkit.edge.transport import Transport
from toolkit.errors import ConfigError

LOOK_S = 0.1
"""The longest that the transport goes without a look at it."""
SEND_BETWEEN_LOOKS = 32
REPORT_S = 1.0
GOODBYE_S = 1.0
DRAIN_S = 30.0
MAX_SPEED = 1e6


@dataclass(frozen=True)
class Played:
    """How far a player has come.

    Attributes:
        sent: messages that were handed to the transport.
        acknowledged: those of them that have arrived.
        time_us: of the last message that was sent, by the plant's clock; the plant's start before the first.
        behind_s: how long ago, by the wall clock, that message was due.
        connected: whether the link stands.
    """

    sent: int
    acknowledged: int
    time_us: int
    behind_s: float
    connected: bool


class PlantPlayer:
    """Sends messages when they are due.

    Args:
        transport: carries them; the player closes it.
        start_us: the plant's time at which playing begins.
        speed: seconds of the plant per second.
        on_progress: called about once a second.
        clock: seconds that never go back.

    Raises:
        ConfigError: the speed is out of its range.
    """

    def __init__(
        self,
        transport: Transport,
        start_us: int,
        speed: float,
        *,
        on_progress: Callable[[Played], None] = lambda played: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 < speed <= MAX_SPEED:
            raise ConfigError("the speed is out of range", got=f"{speed:g}", allowed=f"above 0, up to {MAX_SPEED:g}")
        self._transport, self._start_us, self._speed = transport, start_us, speed
        self._on_progress, self._clock = on_progress, clock
        self._waiting: dict[int, Message] = {}  # by key, in the order in which they were first sent
        self._sent, self._acknowledged, self._time_us = 0, 0, start_us
        self._again: deque[int] = deque()  # keys that the broken link may have lost
        self._connected = False
        self._reported = clock()
        self._due = 0.0

    @property
    def played(self) -> Played:
        """As of now."""
        behind_s = max(0.0, self._clock() - self._due) if self._sent else 0.0
        return Played(self._sent, self._acknowledged, self._time_us, behind_s, self._connected)

    def connect(self, timeout_s: float) -> bool:
        """Waits for the link, at most that long; whether it stands."""
        end = self._clock() + timeout_s
        while not self._connected and self._clock() < end:
            self._look(min(LOOK_S, max(0.0, end - self._clock())))
        return self._connected

    def play(self, messages: Iterable[Message]) -> Played:
        """Sends them all, each when it is due, and waits until they have arrived.

        A plant that was held up sends what is due at once, as a device with a memory does.
        """
        coming = iter(messages)
        first = next(coming, None)  # a day of the plant is worked out before its first message
        began, unseen = self._clock(), 0
        for message in chain([first] if first else [], coming):
            self._due = began + (message.due_us - self._start_us) / 1e6 / self._speed
            unseen += 1
            while (ahead_s := self._due - self._clock()) > 0:
                self._look(min(LOOK_S, ahead_s))
                unseen = 0
            if unseen >= SEND_BETWEEN_LOOKS:
                self.look()
                unseen = 0
            self._send(message)
        end = self._clock() + DRAIN_S
        while self._waiting and self._clock() < end:
            self._look(LOOK_S)
        return self.played

    def look(self) -> None:
        """Takes what the transport has, without waiting."""
        self._look(0.0)

    def close(self) -> None:
        """Says goodbye."""
        self._transport.close(GOODBYE_S)

    def _send(self, message: Message) -> None:
        key = self._sent
        while self._again or not self._transport.publish(key, message.topic, message.payload):
            self._look(LOOK_S)
        self._waiting[key] = message
        self._sent += 1
        self._time_us = message.due_us

    def _look(self, timeout_s: float) -> None:
        arrivals = self._transport.poll(timeout_s)
        for key in arrivals.delivered:
            self._acknowledged += self._waiting.pop(key, None) is not None
        self._connected = arrivals.connected
        if arrivals.reset:
            self._again = deque(self._waiting)
        if self._connected:
            self._send_again()
        now = self._clock()
        if now - self._reported >= REPORT_S:
            self._reported = now
            self._on_progress(self.played)

    def _send_again(self) -> None:
        """What was under way when the link broke, in order; what is not taken now waits for the next look."""
        while self._again:
            message = self._waiting.get(self._again[0])
            if message and not self._transport.publish(self._again[0], message.topic, message.payload):
                return
            self._again.popleft()
