"""Training as TensorBoard shows it: the extra `[tensorboard]` alone imports this file."""

import os
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from toolkit.contract.class_reports import ClassTrainingReport
from toolkit.contract.reports import TrainingReport
from toolkit.errors import OutputError
from toolkit.training.checkpoint import EpochRecord
from toolkit.training.config import RunConfig

SCALARS = {
    "loss/train": "train_loss",
    "loss/validation": "validation_loss",
    "learning_rate": "learning_rate",
    "seconds": "seconds",
}
"""For each curve the figure of `EpochRecord` that it shows."""
RATE = "windows_per_second"


class TensorBoard:
    """A `Progress` that writes event files: a curve for each figure, the settings as text, test figures as hparams.

    Nothing is written before the first epoch ends, so that a refused training leaves no folder. That epoch hides what
    older event files in the folder say of it and of later ones: a training that is resumed goes on with its curves, and
    one that is begun anew begins them anew.

    Args:
        folder: what `tensorboard --logdir` is given; where there are several seeds, each has a folder in it.
        config: of the run.
        clock: seconds; for windows per second.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, config: RunConfig, clock: Callable[[], float] = time.monotonic) -> None:
        _check_place(folder)
        self._folder, self._config, self._clock = folder, config, clock
        self._place = folder
        self._writer: SummaryWriter | None = None
        self._begin = 0.0
        self._windows_per_s: float | None = None

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def on_seed(self, seed: int, number: int, total: int) -> None:
        """Begins a folder of its own where there are several."""
        self._close()
        self._place = self._folder / f"seed-{seed}" if total > 1 else self._folder

    def on_batch(self, epoch: int, done: int, total: int, loss: float) -> None:
        """Measures the steps after the first one and before the last, whose batch may be smaller."""
        if done == 1:
            self._begin, self._windows_per_s = self._clock(), None
        elif done == total - 1:
            elapsed = max(self._clock() - self._begin, 1e-9)
            self._windows_per_s = (done - 1) * self._config.training.batch_size / elapsed

    def on_epoch(self, record: EpochRecord) -> None:
        """Writes its figures; windows per second only where the epoch has three steps or more."""
        if self._writer is None:
            self._writer = SummaryWriter(str(self._place), purge_step=record.epoch)
            self._writer.add_text("settings", f"```toml\n{self._config.to_toml()}```", record.epoch)
        for tag, name in SCALARS.items():
            self._writer.add_scalar(tag, getattr(record, name), record.epoch)
        if self._windows_per_s is not None:
            self._writer.add_scalar(RATE, self._windows_per_s, record.epoch)
        self._writer.flush()

    def on_report(self, report: TrainingReport | ClassTrainingReport) -> None:
        """Writes the figures of the test windows beside the settings; only where an epoch was heard of.

        Of the processes that train together the leader alone hears of epochs, and all have the report.
        """
        if self._writer is None:
            return
        self._close()
        with SummaryWriter(str(self._folder)) as writer:
            writer.add_hparams(_settings(self._config), _figures(report), run_name=".")

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _figures(report: TrainingReport | ClassTrainingReport) -> dict[str, float]:
    if isinstance(report, ClassTrainingReport):
        scores, names = report.model, ("accuracy", "balanced_accuracy", "macro_f1")
        return {f"test/{name}": float(getattr(scores, name)) for name in names}
    return {"test/mse": report.test_standardised.mse, "test/mae": report.test_standardised.mae}


def _settings(config: RunConfig) -> dict[str, bool | str | float | int]:
    """What tells two runs on one table apart, in the types that hparams take."""
    tables = (config.model, config.training)
    values = {field.name: getattr(table, field.name) for table in tables for field in fields(table)}
    shape = {"window_length": config.data.window_length, "horizon": config.data.horizon}
    return shape | {
        name: value if isinstance(value, (bool, str, int, float)) else str(value) for name, value in values.items()
    }


def _check_place(folder: Path) -> None:
    """Refuses before training what would be refused after its first epoch."""
    place = folder.absolute()
    nearest = next(path for path in (place, *place.parents) if os.path.lexists(path))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        got = f"{nearest}, which {'cannot be written' if nearest.is_dir() else 'is no folder'}"
        raise OutputError(f"cannot write TensorBoard's files into {folder}", got=got, fix="name another folder")
