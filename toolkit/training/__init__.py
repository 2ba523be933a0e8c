"""Training a forecaster and leaving a run folder behind."""

from toolkit.training.checkpoint import EpochRecord
from toolkit.training.config import ModelConfig, RunConfig, TrainConfig, training_config
from toolkit.training.loop import Progress
from toolkit.training.run import Run, load_run, train

__all__ = [
    "EpochRecord",
    "ModelConfig",
    "Progress",
    "Run",
    "RunConfig",
    "TrainConfig",
    "load_run",
    "train",
    "training_config",
]
