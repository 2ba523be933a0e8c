"""What is wrong with the connection, for the log (each thing once) and for whoever asks (as long as it lasts)."""

import logging

_logger = logging.getLogger("toolkit.edge.mqtt")


class Troubles:
    """What does not work at present.

    A gateway that cannot reach its broker tries for weeks: the log gets each reason once, until the link has stood
    for a while.
    """

    def __init__(self) -> None:
        self._said: set[str] = set()
        self._connection = ""
        self._publications = ""
        self._subscriptions: dict[str, str] = {}

    @property
    def present(self) -> list[str]:
        """One line each."""
        lines = [self._connection, *list(self._subscriptions.values()), self._publications]
        return [line for line in lines if line]

    def link(self, reason: str) -> None:
        """The connection did not come about, or broke."""
        self._connection = reason
        self._say(reason)

    def connected(self) -> None:
        """It stands: whatever is wrong beyond that shows anew."""
        self._connection = self._publications = ""
        self._subscriptions.clear()

    def steady(self) -> None:
        """It stood for a while: the same reason is worth another line."""
        self._said.clear()

    def subscription(self, topic: str, reason: str) -> None:
        """The broker does not give what was asked; "" where it does now."""
        self._subscriptions.pop(topic, None)
        if reason:
            self._subscriptions[topic] = f"subscription to {topic}: {reason}"
            self._say(self._subscriptions[topic])

    def publication(self, topic: str, reason: str) -> None:
        """The broker does not take a message; "" where none is refused any more."""
        self._publications = f"publication to {topic} refused: {reason}" if reason else ""
        # Once per reason, not per topic: there is one for each asset.
        self._say(f"publications are refused: {reason}" if reason else "", self._publications)

    def _say(self, reason: str, line: str = "") -> None:
        if reason and reason not in self._said:
            self._said.add(reason)
            _logger.warning("%s", line or reason)
