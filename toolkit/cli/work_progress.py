"""Progress of what is no training: comparisons, windows, measurements and the parts of a table; on standard error."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar

from toolkit.cli.bars import bar
from toolkit.cli.console import tell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TENTHS = 10

Answer = TypeVar("Answer")


class CountedProgress:
    """A bar for things that are counted, on a terminal; silent elsewhere.

    Args:
        doing: for the bar's text.
        unit: of the rate.
        total: how many there are to be; None where nobody knows.
    """

    def __init__(self, doing: str, unit: str, total: int | None = None) -> None:
        self._bar, self._doing, self._total = bar(unit), doing, total
        self._task: Any = None
        self._done = 0

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self._doing, total=self._total)
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def on_case(self, done: int) -> None:
        """Shows how many are done, which may be more than were foretold."""
        self._done = done
        if self._bar is not None:
            total = self._total if self._total is None else max(self._total, done)
            self._bar.update(self._task, completed=done, total=total)

    def counting(self, ask: "Callable[[NDArray[np.float32]], Answer]") -> "Callable[[NDArray[np.float32]], Answer]":
        """A model that is asked as before, and whose windows `[windows, ...]` are counted."""

        def counted(windows: "NDArray[np.float32]") -> Answer:
            answer = ask(windows)
            self.on_case(self._done + len(windows))
            return answer

        return counted


class MeasuringProgress:
    """A bar for the measurements of a benchmark on a terminal, a plain line for each elsewhere.

    Args:
        total: measurements.
    """

    def __init__(self, total: int) -> None:
        self._bar, self._total, self._begun = bar("measurements"), total, 0
        self._task: Any = None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("measuring", total=self._total)
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def on_stage(self, name: str) -> None:
        """Says which one begins."""
        if self._bar is not None:
            self._bar.update(self._task, description=f"measuring {name}", completed=self._begun)
        self._begun += 1
        if self._bar is None:
            tell(f"measuring {name} ({self._begun} of {self._total})")


class ScoringProgress:
    """A bar on a terminal where rich is installed, else a plain line for each tenth of the table."""

    def __init__(self) -> None:
        self._bar = bar("forecasts", steps=False)
        self._task: Any = None
        self._said = 0

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("scoring", total=1.0, counted=0)
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def on_part(self, done: float, forecasts: int) -> None:
        """Moves the bar, or says which tenth was passed.

        Args:
            done: of the table, from 0 to 1.
            forecasts: so far.
        """
        if self._bar is not None:
            self._bar.update(self._task, completed=done, counted=forecasts)
        elif int(done * TENTHS) > self._said:
            self._said = int(done * TENTHS)
            tell(f"{done:4.0%} of the table, {forecasts} forecasts")
