"""Progress of training and of a search: a bar on a terminal, a plain line for each epoch or trial elsewhere."""

from typing import TYPE_CHECKING, Any, Self

import click

from toolkit.cli.bars import bar
from toolkit.cli.console import is_quiet

if TYPE_CHECKING:
    from toolkit.training import EpochRecord
    from toolkit.tuning.report import Trial


class _EpochBar:
    """A bar for the steps of an epoch, on standard error, so that standard output stays for results.

    Args:
        silent: say nothing; of several processes that train together one speaks.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent or is_quiet()
        self._bar = None if self._silent else bar("steps")
        self._task: Any = None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _move(self, text: str, done: int, total: int) -> None:
        if self._bar is None:
            return
        if self._task is None:
            self._task = self._bar.add_task(text, total=total)
        if done == 1:
            self._bar.reset(self._task, total=total)
        self._bar.update(self._task, description=text, completed=done, total=total)

    def _say(self, text: str) -> None:
        if self._bar is not None:
            # A reason may hold brackets, which rich would read as markup.
            self._bar.console.print(text, highlight=False, markup=False)
        elif not self._silent:
            click.echo(text, err=True)


class TrainingProgress(_EpochBar):
    """Shows how training goes.

    Args:
        max_epochs: for the bar's text.
        silent: say nothing.
    """

    def __init__(self, max_epochs: int, *, silent: bool = False) -> None:
        super().__init__(silent=silent)
        self._max_epochs = max_epochs

    def on_seed(self, seed: int, number: int, total: int) -> None:
        """Says which training begins, where there are several."""
        if total > 1:
            self._say(f"seed {seed} ({number} of {total})")

    def on_batch(self, epoch: int, done: int, total: int, loss: float) -> None:
        """Moves the bar."""
        self._move(f"epoch {epoch}/{self._max_epochs}  loss {loss:.4f}", done, total)

    def on_epoch(self, record: "EpochRecord") -> None:
        """Prints the epoch's losses."""
        self._say(
            f"epoch {record.epoch:3d}/{self._max_epochs}  train {record.train_loss:.4f}  validation "
            f"{record.validation_loss:.4f}{' *' if record.best else '  '}  {record.seconds:.1f} s"
        )


class TuningProgress(_EpochBar):
    """Shows how a search goes.

    Args:
        trials: how many there are to be.
    """

    def __init__(self, trials: int) -> None:
        super().__init__()
        self._trials, self._number = trials, 0

    def on_begin(self, number: int) -> None:
        """Remembers which trial runs, of those that are to be."""
        self._number = number

    def on_batch(self, epoch: int, done: int, total: int, loss: float) -> None:
        """Moves the bar, which is that of an epoch."""
        self._move(f"trial {self._number}/{self._trials}  epoch {epoch}  loss {loss:.4f}", done, total)

    def on_trial(self, trial: "Trial", best: bool) -> None:
        """Prints what became of it."""
        told = trial.reason if trial.value is None else f"{trial.value:.4f}{' *' if best else '  '}"
        text = f"trial {self._number:3d}/{self._trials}  {trial.outcome:8s}  {trial.seconds:.1f} s  {told}"
        self._say(text.rstrip())
