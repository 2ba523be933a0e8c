"""What tests of classifiers share: a labelled table and settings that learn it in a second."""

from pathlib import Path

import numpy as np
from sensor_tables import data_config, lines, moments, wave, write

from toolkit.training import ModelConfig, RunConfig, TrainConfig


def labelled_csv(folder: Path, count: int = 240) -> Path:
    """A pump that runs hot in the last three of every 20 rows, and is labelled so in the column `state`."""
    values = wave(count)
    hot = np.arange(count) % 20 >= 17
    values[hot, 0] += 20.0
    names = np.where(hot, "hot", "fine").tolist()
    return write(folder, lines("time,temperature,pressure,state", moments(count), *values.T.tolist(), names))


def class_config(path: Path, model: dict | None = None, **training: object) -> RunConfig:
    """Settings for `labelled_csv`."""
    quick = {"max_epochs": 12, "batch_size": 16, "learning_rate": 0.01}
    return RunConfig(
        data_config(path, targets=(), label="state"),
        ModelConfig(**{"hidden_size": 8, "num_layers": 1, "task": "classify", **(model or {})}),
        TrainConfig(**{**quick, **training}),
    )
