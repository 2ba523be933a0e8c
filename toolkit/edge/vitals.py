"""Whether the gateway lives and is ready, told by the loop and asked by whoever watches."""

import time
from collections.abc import Callable

LONGEST_TURN_S = 10.0
"""A loop that has not turned for that long counts as dead; an idle one turns several times a second."""


class Vitals:
    """What the loop tells of itself, and anyone may ask.

    Args:
        longest_turn_s: see `LONGEST_TURN_S`.
        clock: seconds, monotonic.

    Attributes:
        bundle_checked: whether the bundle has passed its trial.
        state_loaded: whether the journal's state is back in memory.
        journal_working: whether the last transaction was made durable.
    """

    def __init__(self, longest_turn_s: float = LONGEST_TURN_S, clock: Callable[[], float] = time.monotonic) -> None:
        self.bundle_checked = False
        self.state_loaded = False
        self.journal_working = False
        self._longest_turn_s, self._clock = longest_turn_s, clock
        self._turned = clock()

    def turn(self) -> None:
        """The loop has come round once more."""
        self._turned = self._clock()

    def is_live(self) -> bool:
        """Whether the loop turns: a lost broker, a full disk or a silent plant does not stop it."""
        return self._clock() - self._turned <= self._longest_turn_s

    def is_ready(self) -> bool:
        """Whether messages lead to forecasts. The broker is not asked: its readings come again once it is back."""
        return self.bundle_checked and self.state_loaded and self.journal_working
