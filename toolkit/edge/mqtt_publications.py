"""What was published and is not acknowledged: never more at once than the broker takes."""

from dataclasses import dataclass

RETRY_MIN_S = 1.0
RETRY_MAX_S = 60.0


@dataclass(slots=True)
class Publication:
    """One message to the broker.

    Attributes:
        key: the caller's, or None where the transport itself publishes.
        topic: where to.
        payload: its bytes.
        retain: whether the broker keeps it.
        refusals: how often the broker has refused it.
        due_s: by the transport's clock, when it may be tried again.
        taken: whether the broker has acknowledged it.
    """

    key: int | None
    topic: str
    payload: bytes
    retain: bool = False
    refusals: int = 0
    due_s: float = 0.0
    taken: bool = False


class Publications:
    """Those under way, and those that the broker has refused.

    A refusal (quota exceeded, not authorised, payload format invalid ...) is not the last word: the reasons lie with
    the broker's settings, which people change, and the transport may lose nothing. So a refused message is kept and
    tried again after 1 s, then twice as long each time, up to a minute. While as many are refused as may be under way,
    nothing new is taken: then it is the outbox that fills, is bounded, and is seen.

    Args:
        most: that are under way at once, whatever the broker would take.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._window = most
        self._under_way: dict[int, Publication] = {}
        self._refused: list[Publication] = []

    def begin(self, receive_maximum: int) -> None:
        """A new connection.

        Args:
            receive_maximum: the broker's (MQTT Receive Maximum).
        """
        self._under_way.clear()
        self._refused.clear()
        self._window = min(self._most, receive_maximum)

    @property
    def has_room(self) -> bool:
        """Whether one more may be sent."""
        return len(self._under_way) < self._window

    @property
    def takes(self) -> bool:
        """Whether a new one is taken."""
        return self.has_room and len(self._refused) < self._most

    @property
    def waiting(self) -> int:
        """How many are not acknowledged."""
        return len(self._under_way) + len(self._refused)

    @property
    def refused(self) -> int:
        """How many wait for another try."""
        return len(self._refused)

    def sent(self, mid: int, publication: Publication) -> None:
        """It is under way with that packet identifier."""
        self._under_way[mid] = publication

    def answered(self, mid: int) -> Publication | None:
        """Takes out the one that the broker answered; None where there is none."""
        return self._under_way.pop(mid, None)

    def refuse(self, publication: Publication, now_s: float) -> None:
        """Puts one aside that the broker does not take."""
        pause_s = min(RETRY_MIN_S * 2.0 ** min(publication.refusals, 10), RETRY_MAX_S)
        publication.refusals += 1
        publication.due_s = now_s + pause_s
        self._refused.append(publication)

    def due(self, now_s: float) -> Publication | None:
        """Takes out one that may be tried again now, where there is room for it."""
        if not self.has_room:
            return None
        for place, publication in enumerate(self._refused):
            if publication.due_s <= now_s:
                return self._refused.pop(place)
        return None
