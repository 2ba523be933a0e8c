"""The same training from several seeds: how far figures are those of the model, and how far those of chance."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from toolkit.contract.model_spec import ModelSpec
from toolkit.data.dataset import ForecastDataset
from toolkit.errors import ConfigError
from toolkit.model.lstm import MultivariateLSTM, model_from_spec
from toolkit.training.config import RunConfig, TrainConfig
from toolkit.training.loop import FitResult, Progress, fit
from toolkit.training.objective_choice import objective_of
from toolkit.training.team import ALONE, Team
from toolkit.training.workplace import Workplace


@dataclass(frozen=True)
class Trained:
    """A model that was trained from one seed, on the CPU and in evaluation mode."""

    seed: int
    model: MultivariateLSTM
    result: FitResult

    @property
    def validation_loss(self) -> float:
        """Of its best epoch."""
        return self.result.records[self.result.best_epoch - 1].validation_loss


def train_seeds(
    spec: ModelSpec,
    dataset: ForecastDataset,
    config: RunConfig,
    progress: Progress,
    *,
    workplace: Workplace | None = None,
    team: Team = ALONE,
) -> tuple[Trained, ...]:
    """One training after the other, from `training.seed` on.

    Args:
        spec: the shape of the model.
        dataset: where the windows come from.
        config: how it is trained.
        progress: hears of every step, epoch and seed.
        workplace: where checkpoints lie; None keeps none.
        team: the processes that train together.

    Raises:
        ConfigError: a device that is not there, or mixed precision without a GPU.
        ModelError: one of them diverged.
        MemoryError: the model or a batch is too large for this machine; checkpoints stay.
    """
    training = config.training
    device = device_of(training)
    torch.set_num_threads(training.threads)
    placed = dataset.on(device)
    trained = []
    for number in range(training.seeds):
        seed = training.seed + number
        if team.leads:
            progress.on_seed(seed, number + 1, training.seeds)
        with _memory_for_it():
            model = fresh_model(spec, dataset, seed)
            checkpoints = None if workplace is None else workplace.checkpoints(seed)
            objective = objective_of(model.to(device), placed, training, streaming=config.model.streaming)
            result = fit(objective, training, seed, progress, checkpoints=checkpoints, team=team)
        trained.append(Trained(seed, model.cpu(), result))
    return tuple(trained)


@contextlib.contextmanager
def _memory_for_it() -> Iterator[None]:
    """Says what torch says in a RuntimeError of many lines: that there is not enough memory."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        fix = "a smaller model.hidden_size or training.batch_size"
        raise MemoryError(f"not enough memory to train this model; fix: {fix}") from error


def fresh_model(spec: ModelSpec, dataset: ForecastDataset, seed: int) -> MultivariateLSTM:
    """An untrained model on the CPU, its weights drawn from `seed`, its scaling that of the training rows."""
    torch.manual_seed(seed)
    model = model_from_spec(spec)
    model.set_scaling(dataset.mean, dataset.std, dataset.target_indices)
    return model


def best_of(trained: Sequence[Trained]) -> Trained:
    """The one with the best validation loss; the test part has no say in it."""
    return min(trained, key=lambda one: one.validation_loss)


def device_of(config: TrainConfig) -> torch.device:
    """Where it trains.

    Raises:
        ConfigError: `cuda` where there is none, or mixed precision on the CPU, where torch's LSTM has none.
    """
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise ConfigError("training.device", got="cuda", allowed="cpu: torch finds no CUDA device here", fix="cpu")
    wanted = "cuda" if config.device == "auto" and available else config.device.replace("auto", "cpu")
    if wanted == "cpu" and config.precision == "mixed":
        raise ConfigError("training.precision", got="mixed on the CPU", allowed="float32, or mixed on a GPU")
    return torch.device(wanted, torch.cuda.current_device()) if wanted == "cuda" else torch.device(wanted)
