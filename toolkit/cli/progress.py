"""Progress: of training a bar on a terminal and a plain line for each epoch elsewhere; of parity a count."""

import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from toolkit.training.loop import EpochRecord


class TrainingProgress:
    """Shows how training goes, on standard error, so that standard output stays for results.

    Args:
        max_epochs: for the bar's length.
    """

    def __init__(self, max_epochs: int) -> None:
        self._max_epochs = max_epochs
        self._bar = _bar() if sys.stderr.isatty() else None
        self._task: Any = None

    def __enter__(self) -> "TrainingProgress":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def on_batch(self, epoch: int, done: int, total: int) -> None:
        """Moves the bar."""
        if self._bar is None:
            return
        text = f"epoch {epoch}/{self._max_epochs}"
        if self._task is None:
            self._task = self._bar.add_task(text, total=total)
        self._bar.update(self._task, description=text, completed=done, total=total)

    def on_epoch(self, record: "EpochRecord") -> None:
        """Prints the epoch's losses."""
        text = (
            f"epoch {record.epoch:3d}/{self._max_epochs}  train {record.train_loss:.4f}  validation "
            f"{record.validation_loss:.4f}{' *' if record.best else '  '}  {record.seconds:.1f} s"
        )
        if self._bar is None:
            click.echo(text, err=True)
        else:
            self._bar.console.print(text, highlight=False)


class ParityProgress:
    """Counts comparisons on a terminal, on standard error; silent elsewhere."""

    def __init__(self) -> None:
        self._bar = _counter() if sys.stderr.isatty() else None
        self._task: Any = None

    def __enter__(self) -> "ParityProgress":
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("comparing", total=None)
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def on_case(self, done: int) -> None:
        """Shows how many are done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done)


def _counter() -> Any:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed} comparisons"), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
