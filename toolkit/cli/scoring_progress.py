"""Progress of `score`: a bar on a terminal where rich is installed, else a plain line for each tenth of the table."""

import importlib.util
import sys
from typing import Any, Self

import click

TENTHS = 10


class ScoringProgress:
    """On standard error, so that standard output stays for results."""

    def __init__(self) -> None:
        self._bar = _bar() if sys.stderr.isatty() and importlib.util.find_spec("rich") is not None else None
        self._task: Any = None
        self._said = 0

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("scoring", total=1.0, forecasts=0)
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
            self._bar.update(self._task, completed=done, forecasts=forecasts)
        elif int(done * TENTHS) > self._said:
            self._said = int(done * TENTHS)
            click.echo(f"{done:4.0%} of the table, {forecasts} forecasts", err=True)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[forecasts]} forecasts"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)
