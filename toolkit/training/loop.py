"""The training loop: Adam on an error in standard deviations, early stopping, the best weights kept."""

import copy
import functools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from toolkit.data.dataset import ForecastDataset
from toolkit.errors import ModelError
from toolkit.model.lstm import MultivariateLSTM
from toolkit.training.config import TrainConfig

EVALUATION_BATCH = 512

Criterion = Callable[[Tensor, Tensor], Tensor]
LOSSES: dict[str, Criterion] = {
    "mse": nn.functional.mse_loss,
    "mae": nn.functional.l1_loss,
    "huber": nn.functional.huber_loss,
}
KEPT_EPOCHS, DECAY = 3, 0.9


@dataclass(frozen=True)
class EpochRecord:
    """One line of `metrics.jsonl`; losses are of the configured kind, in standard deviations."""

    epoch: int
    train_loss: float
    validation_loss: float
    learning_rate: float
    seconds: float
    best: bool


@dataclass(frozen=True)
class FitResult:
    """How training went; the model holds the best weights."""

    records: tuple[EpochRecord, ...]
    best_epoch: int
    seconds: float


class Progress(Protocol):
    """Who wants to know how training goes."""

    def on_batch(self, epoch: int, done: int, total: int) -> None:
        """After each step: `done` of `total` steps of the epoch (counted from 1) are taken."""

    def on_epoch(self, record: EpochRecord) -> None:
        """After each epoch."""


def fit(model: MultivariateLSTM, dataset: ForecastDataset, config: TrainConfig, progress: Progress) -> FitResult:
    """Trains `model` in place and leaves it in evaluation mode with the weights of its best epoch.

    Raises:
        ModelError: the loss is no longer a number.
    """
    optimizer = _optimizer(model, config)
    step = _stepper(model, dataset, config, optimizer)
    generator = torch.Generator().manual_seed(config.seed)
    records: list[EpochRecord] = []
    best_loss, best_epoch, best_weights = math.inf, 0, copy.deepcopy(model.state_dict())
    start = time.monotonic()
    for epoch in range(1, config.max_epochs + 1):
        epoch_start = time.monotonic()
        batches = _shuffled(dataset.starts["train"], config.batch_size, generator)
        rate = _set_rate(optimizer, config, epoch)
        model.train()
        train_loss = _train_epoch(step, batches, functools.partial(progress.on_batch, epoch))
        loss = mean_loss(model, dataset, "validation", config.loss)
        _check_finite(train_loss + loss, epoch)
        better = loss < best_loss
        if better:
            best_loss, best_epoch, best_weights = loss, epoch, copy.deepcopy(model.state_dict())
        seconds = time.monotonic() - epoch_start
        records.append(EpochRecord(epoch, train_loss, loss, rate, seconds, better))
        progress.on_epoch(records[-1])
        if epoch >= config.min_epochs and epoch - best_epoch >= config.patience:
            break
    model.load_state_dict(best_weights)
    model.eval()
    return FitResult(tuple(records), best_epoch, time.monotonic() - start)


def mean_loss(model: MultivariateLSTM, dataset: ForecastDataset, part: str, kind: str = "mse") -> float:
    """Mean loss in standard deviations over all windows of a part."""
    model.eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for x, y in dataset.batches(part, EVALUATION_BATCH):
            total += float(LOSSES[kind](model.last_standardised(x), _standardised(model, y))) * len(x)
            count += len(x)
    return total / count


def _set_rate(optimizer: torch.optim.Optimizer, config: TrainConfig, epoch: int) -> float:
    """The learning rate of an epoch, counted from 1; a function of the epoch alone, so that nothing has to be kept."""
    factor = {
        "constant": 1.0,
        "decay": DECAY ** max(epoch - KEPT_EPOCHS, 0),
        "cosine": 0.5 * (1.0 + math.cos(math.pi * (epoch - 1) / config.max_epochs)),
    }[config.schedule]
    for group in optimizer.param_groups:
        group["lr"] = config.learning_rate * factor
    return config.learning_rate * factor


def _stepper(
    model: MultivariateLSTM, dataset: ForecastDataset, config: TrainConfig, optimizer: torch.optim.Optimizer
) -> Callable[[Tensor], float]:
    """One optimiser step on the windows that begin at the given rows; gives their loss."""
    criterion = LOSSES[config.loss]

    def step(starts: Tensor) -> float:
        x, y = dataset.gather(starts)
        optimizer.zero_grad()
        loss = criterion(model.last_standardised(x), _standardised(model, y))
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves this method without a signature
        if config.clip_norm:
            nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        return loss.item()

    return step


def _shuffled(starts: Tensor, batch_size: int, generator: torch.Generator) -> Sequence[Tensor]:
    return torch.split(starts[torch.randperm(len(starts), generator=generator)], batch_size)


def _train_epoch(
    step: Callable[[Tensor], float], batches: Sequence[Tensor], on_batch: Callable[[int, int], None]
) -> float:
    total = 0.0
    for done, batch in enumerate(batches, 1):
        total += step(batch) * len(batch)
        on_batch(done, len(batches))
    return total / sum(map(len, batches))


def _check_finite(loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise ModelError(
            "training diverged", got=f"a loss of {loss} in epoch {epoch}", fix="a lower training.learning_rate"
        )


def _standardised(model: MultivariateLSTM, y: Tensor) -> Tensor:
    """Truth in standard deviations: the offset goes first, as in the model's own scaling."""
    return (y - model.output_offset) / model.output_scale


def _optimizer(model: MultivariateLSTM, config: TrainConfig) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
