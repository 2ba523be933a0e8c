"""Assets that have sent nothing for a while, of those with intervals that wait for more."""

from collections.abc import Callable


class Silence:
    """Who was heard last, and when.

    Args:
        after_s: for how long an asset says nothing until it counts as silent.
        monotonic_s: seconds since any moment.
    """

    def __init__(self, after_s: float, monotonic_s: Callable[[], float]) -> None:
        self._after_s, self._now = after_s, monotonic_s
        self._heard: dict[int, float] = {}
        """In the order of the times: a dictionary keeps the order in which keys were added."""

    def heard(self, asset: int) -> None:
        """Notes that an asset sent something that was accepted."""
        self._heard.pop(asset, None)
        self._heard[asset] = self._now()

    def over(self) -> list[int]:
        """The assets that have become silent, each told once."""
        limit = self._now() - self._after_s
        silent = []
        for asset, heard in self._heard.items():
            if heard > limit:
                break
            silent.append(asset)
        for asset in silent:
            del self._heard[asset]
        return silent

    def next_s(self) -> float | None:
        """Seconds until the next may be silent; None where nobody is waited for."""
        first = next(iter(self._heard.values()), None)
        return None if first is None else max(first + self._after_s - self._now(), 0.0)

    def begin_anew(self) -> None:
        """Counts from now on for everybody: messages could not come before."""
        now = self._now()
        self._heard = dict.fromkeys(self._heard, now)
