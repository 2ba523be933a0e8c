"""The training loop: Adam on an error in standard deviations, early stopping, the best weights kept."""

import copy
import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from toolkit.errors import ModelError
from toolkit.model.lstm import MultivariateLSTM
from toolkit.training.checkpoint import (
    Checkpoints,
    EpochRecord,
    Standing,
    load_optimizer,
    optimizer_tensors,
    read_standing,
)
from toolkit.training.config import TrainConfig
from toolkit.training.objectives import Objective
from toolkit.training.team import ALONE, Team

KEPT_EPOCHS, DECAY = 3, 0.9


@dataclass(frozen=True)
class FitResult:
    """How training went; the model holds the best weights.

    Attributes:
        records: of all epochs, those before an interruption as well.
        best_epoch: whose weights the model holds.
        seconds: of all epochs.
    """

    records: tuple[EpochRecord, ...]
    best_epoch: int
    seconds: float


class Progress(Protocol):
    """Who wants to know how training goes."""

    def on_seed(self, seed: int, number: int, total: int) -> None:
        """Before the training with that seed, the `number`th (from 1) of `total`."""

    def on_batch(self, epoch: int, done: int, total: int, loss: float) -> None:
        """After each step: `done` of `total` steps of the epoch (counted from 1) are taken, their mean loss `loss`."""

    def on_epoch(self, record: EpochRecord) -> None:
        """After each epoch."""


def fit(
    objective: Objective,
    config: TrainConfig,
    seed: int,
    progress: Progress,
    *,
    checkpoints: Checkpoints | None = None,
    team: Team = ALONE,
) -> FitResult:
    """Trains the objective's model in place and leaves it in evaluation mode with the weights of its best epoch.

    Args:
        objective: the model and what it is trained for.
        config: of the optimiser, the schedule and when to stop.
        seed: of the shuffling and dropout.
        progress: hears of every step and epoch.
        checkpoints: one is kept after each epoch, and training goes on after the newest that lies there.
        team: the processes that share each batch; its leader alone has checkpoints and hears of progress.

    Raises:
        ModelError: the loss is no longer a number.
        OutputError: a checkpoint cannot be written.
    """
    trainer = _Trainer(objective, config, seed, team)
    standing = _newest(checkpoints, team) or trainer.standing((), None)
    trainer.restore(standing)
    while not _is_over(standing, config):
        record = trainer.epoch(standing, progress)
        standing = trainer.standing((*standing.records, record), None if record.best else standing.best_weights)
        if checkpoints is not None:
            checkpoints.keep(standing)
        if team.leads:
            progress.on_epoch(record)
    objective.model.load_state_dict(standing.best_weights)
    objective.model.eval()
    return FitResult(standing.records, standing.best_epoch, sum(record.seconds for record in standing.records))


def _newest(checkpoints: Checkpoints | None, team: Team) -> Standing | None:
    """Where to go on; those who do not lead have it from the leader, who has checked whose it is."""
    content = team.spread(None if checkpoints is None else checkpoints.latest())
    return None if content is None else read_standing(content)


def _is_over(standing: Standing, config: TrainConfig) -> bool:
    epoch = standing.epoch
    waited = epoch >= config.min_epochs and epoch - standing.best_epoch >= config.patience
    return epoch >= config.max_epochs or (epoch > 0 and waited)


class _Trainer:
    """What lives as long as one training: the optimiser, and the generator that shuffles."""

    def __init__(self, objective: Objective, config: TrainConfig, seed: int, team: Team) -> None:
        self.objective, self.config, self.seed, self.team = objective, config, seed, team
        self.optimizer = _optimizer(objective.model, config)
        self.generator = torch.Generator().manual_seed(seed)
        self.module = team.together(objective)
        self.device = objective.dataset.rows.device

    def standing(self, records: tuple[EpochRecord, ...], best: Mapping[str, Tensor] | None) -> Standing:
        """Where training stands; `best` None: the weights of now are the best."""
        weights = copy.deepcopy(self.objective.model.state_dict())
        shuffle = self.generator.get_state()
        return Standing(records, weights, best or weights, optimizer_tensors(self.optimizer), shuffle)

    def restore(self, standing: Standing) -> None:
        """Goes back to where training stood."""
        self.objective.model.load_state_dict(standing.weights)
        if standing.optimizer:
            load_optimizer(self.optimizer, standing.optimizer)
        self.generator.set_state(standing.shuffle)

    def epoch(self, standing: Standing, progress: Progress) -> EpochRecord:
        """Trains for one epoch more."""
        start, epoch = time.monotonic(), standing.epoch + 1
        # Dropout draws from a generator of each process: seeded by the epoch, so that none has to be kept.
        torch.manual_seed(_mixed(self.seed, epoch, self.team.rank))
        batches = self.objective.batches(self.generator, self.config.batch_size)
        rate = _set_rate(self.optimizer, self.config, epoch)
        self.objective.train()
        train_loss = self.team.mean(self._steps(batches, functools.partial(progress.on_batch, epoch)))
        loss = self.team.agree(self.objective.validation())
        if not math.isfinite(train_loss + loss):
            got = f"a loss of {train_loss + loss} in epoch {epoch}"
            raise ModelError("training diverged", got=got, fix="a lower training.learning_rate")
        return EpochRecord(epoch, train_loss, loss, rate, time.monotonic() - start, loss < standing.best_loss)

    def _steps(self, batches: Sequence[Tensor], on_batch: Callable[[int, int, float], None]) -> float:
        total, count = 0.0, 0
        for done, batch in enumerate(batches, 1):
            share, weight = self.team.share(batch)
            total += self._step(share, weight) * len(batch)
            count += len(batch)
            if self.team.leads:
                on_batch(done, len(batches), total / count)
        return total / count

    def _step(self, share: Tensor, weight: float) -> float:
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "mixed"):
            loss = self.module(share)
        if weight != 1.0:
            loss = loss * weight
        loss.backward()
        if self.config.clip_norm:
            nn.utils.clip_grad_norm_(self.objective.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        return float(loss.item())


def _mixed(seed: int, epoch: int, rank: int) -> int:
    """One seed out of three numbers, another for each combination that occurs."""
    return (seed * 1_000_003 + epoch * 1_009 + rank) % (1 << 63)


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


def _optimizer(model: MultivariateLSTM, config: TrainConfig) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
