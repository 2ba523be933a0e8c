"""How a search for better settings goes, and what it found; needs no optuna."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from toolkit.errors import ConfigError

Metric = Literal["mse", "mae", "cross-entropy", "pinball"]
Outcome = Literal["complete", "pruned", "refused", "failed"]


@dataclass(frozen=True)
class SearchPlan:
    """How a search goes.

    Attributes:
        trials: how many there are to be, those before an interruption among them.
        metric: of all trials, whatever each one's own loss is: in standard deviations, on the validation part. None is
            `mse`, or what a classifier and quantiles are measured by.
        seed: of what is tried.
        timeout_s: when the search ends in any case; None waits for the last trial.
        storage: an SQLite file in which the search lies, or None.
        study: its name there.
        startup: trials without pruning; the median of fewer says little.
    """

    trials: int = 30
    metric: Metric | None = None
    seed: int = 0
    timeout_s: float | None = None
    storage: Path | None = None
    study: str = "search"
    startup: int = 5

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise ConfigError("--trials", got=self.trials, allowed="1 or more")
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise ConfigError("--timeout", got=self.timeout_s, allowed="more than 0 seconds")
        if not 0 <= self.seed < 1 << 31:
            raise ConfigError("--seed", got=self.seed, allowed=f"0 to {(1 << 31) - 1}")


@dataclass(frozen=True)
class Trial:
    """One that has ended.

    Attributes:
        number: in the storage, from 0; interrupted ones leave gaps.
        given: whether it has the given configuration's own settings.
        outcome: `pruned` where it was behind the others, `refused` where its settings do not go together, `failed`
            where it diverged.
        settings: those that were searched.
        value: the metric of the weights that training keeps; None unless complete.
        epochs: epochs run.
        seconds: wall-clock time.
        reason: why it is not complete.
    """

    number: int
    given: bool
    outcome: Outcome
    settings: dict[str, Any]
    value: float | None
    epochs: int
    seconds: float
    reason: str = ""


@dataclass(frozen=True)
class SearchReport:
    """What a search found; trials in the order of their numbers, `best` among the complete ones."""

    metric: Metric
    trials: tuple[Trial, ...]
    best: int
    environment: dict[str, Any]
    schema: str = "tuning/1"

    @property
    def ranking(self) -> tuple[Trial, ...]:
        """The complete trials, the best first."""
        return tuple(sorted((t for t in self.trials if t.value is not None), key=lambda t: t.value or 0.0))

    @property
    def verdict(self) -> str:
        """One sentence: how much better than the given settings the best ones are."""
        best, given = self.ranking[0], next((t for t in self.trials if t.given), None)
        text = f"trial {best.number}, validation {self.metric.upper()} {best.value:.4g}"
        if given is None or given.value is None or best.value is None:
            why = given.reason if given is not None else "they were not tried"
            return f"The best is {text}; the given settings have no figure: {why}."
        if best.given:
            return f"Nothing tried is better than the given settings: {text}."
        gain = 100.0 * (given.value - best.value) / max(given.value, 1e-300)
        return f"The best is {text}: {gain:.1f} % less than with the given settings, {given.value:.4g}."


class SearchProgress(Protocol):
    """Who wants to know how a search goes."""

    def on_begin(self, number: int) -> None:
        """Before each trial, the `number`th (from 1) of those that count."""

    def on_batch(self, epoch: int, done: int, total: int, loss: float) -> None:
        """As `Progress.on_batch`, of the trial that runs."""

    def on_trial(self, trial: Trial, best: bool) -> None:
        """After each trial; `best`: no complete one before it is as good."""
