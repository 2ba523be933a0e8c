"""A search for better settings, by the validation part alone: the extra `[tune]` alone imports this file.

What is tried next is a function of what was tried before and of the seed: a search that was interrupted and goes on
tries what one that was not interrupted tries.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import optuna
import torch
from optuna.trial import FrozenTrial, TrialState

from toolkit.data.dataset import ForecastDataset, build_dataset
from toolkit.data.tables import read_table
from toolkit.errors import ConfigError, ModelError
from toolkit.model.lstm import MultivariateLSTM
from toolkit.runtime.environment import environment
from toolkit.training.checkpoint import EpochRecord
from toolkit.training.config import RunConfig, TrainConfig
from toolkit.training.defaults import settled
from toolkit.training.loop import fit
from toolkit.training.objective_choice import objective_of
from toolkit.training.objectives import Objective
from toolkit.training.run import model_spec
from toolkit.training.seeds import device_of, fresh_model
from toolkit.tuning.report import Metric, Outcome, SearchPlan, SearchProgress, SearchReport, Trial
from toolkit.tuning.space import Choices, Entry, Space, own_settings, search_space, whole, with_settings
from toolkit.tuning.storage import identity_of, opened_study

GIVEN, OUTCOME = "given", "outcome"
"""User attributes of a trial in the storage; one without an outcome was interrupted."""
STATES: dict[Outcome, TrialState] = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "refused": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


def tune(
    config: RunConfig,
    table: Mapping[str, Any],
    plan: SearchPlan,
    progress: SearchProgress,
    only: Sequence[str] = (),
) -> tuple[RunConfig, SearchReport]:
    """Searches for better settings than those of `config`, which are the first trial.

    Args:
        config: the given settings; those that are not searched stay as they are. A trial is one training, of `seed`,
            whatever `seeds` says.
        table: `[tune]`, see `search_space`.
        plan: how the search goes.
        progress: hears of every trial.
        only: the settings that are searched; empty means all.

    Returns:
        The configuration of the best trial, and what was tried.

    Raises:
        ConfigError: the space, or a storage that holds another search, or no trial that completed.
        DataError: the table cannot be used.
        OutputError: the storage cannot be used.
    """
    readings = read_table(config.data, config.features)
    dataset = build_dataset(readings, config.data)
    config = replace(config, model=settled(config.model, dataset, config.data.season))
    space = search_space(config, dataset, table, only)
    metric = _metric(config, plan)
    identity = identity_of(config, space, readings.sha256, metric, plan.seed)
    with opened_study(plan.storage, plan.study, identity) as study:
        _Search(config, dataset, space, plan, metric, study, progress).run()
        trials = tuple(_ended(trial) for trial in _finished(study))
    report = SearchReport(metric, trials, _best(trials), environment())
    return with_settings(config, report.ranking[0].settings), report


def _metric(config: RunConfig, plan: SearchPlan) -> Metric:
    """A classifier and quantiles have a measure of their own, which is the same for all trials."""
    own: Metric | None = "cross-entropy" if config.model.task == "classify" else None
    own = "pinball" if config.model.quantiles else own
    if own is not None and plan.metric is not None:
        fix = f"leave --metric out: these are measured by their {own}"
        raise ConfigError("--metric goes with a forecast without quantiles", got=plan.metric, fix=fix)
    return own or plan.metric or "mse"


class _TimeIsUpError(Exception):
    """The search is over while a trial runs."""


@dataclass
class _Watch:
    """A trial's `Progress`: measures it in the metric of all, and ends it where it is behind or late."""

    search: "_Search"
    trial: optuna.Trial
    judge: Objective

    def on_seed(self, seed: int, number: int, total: int) -> None:
        """A trial has one seed."""

    def on_batch(self, epoch: int, done: int, total: int, loss: float) -> None:
        """Looks at the clock."""
        self.search.check_time()
        self.search.progress.on_batch(epoch, done, total, loss)

    def on_epoch(self, record: EpochRecord) -> None:
        """Measures and judges."""
        self.trial.report(self.search.measured(self.judge), record.epoch)
        if self.trial.should_prune():  # never the given settings: none has completed before them
            raise optuna.TrialPruned(f"behind the others in epoch {record.epoch}")


@dataclass
class _Search:
    config: RunConfig
    dataset: ForecastDataset
    space: Space
    plan: SearchPlan
    metric: Metric
    study: optuna.Study
    progress: SearchProgress

    def __post_init__(self) -> None:
        self.begun = time.monotonic()
        self.device = device_of(self.config.training)
        self.placed = self.dataset.on(self.device)
        # Before this many epochs early stopping does not look; pruning neither.
        warmup = self.config.training.min_epochs
        self.study.pruner = optuna.pruners.MedianPruner(self.plan.startup, n_warmup_steps=warmup)
        torch.set_num_threads(self.config.training.threads)

    def run(self) -> None:
        """Tries until there are as many trials as planned, or time is up."""
        try:
            while len(done := _finished(self.study)) < self.plan.trials:
                self.check_time()
                self._enqueue_given(done)
                # One generator for all would begin anew when the search goes on, and try again what was tried.
                self.study.sampler = optuna.samplers.TPESampler(
                    seed=self.plan.seed + len(done), multivariate=False, constant_liar=False
                )
                best = min((trial.value for trial in done if trial.value is not None), default=math.inf)
                self.progress.on_begin(len(done) + 1)
                trial = _ended(self._try(self.study.ask()))
                self.progress.on_trial(trial, trial.value is not None and trial.value < best)
        except _TimeIsUpError:
            return

    def check_time(self) -> None:
        """Ends the search where its time is up."""
        if self.plan.timeout_s is not None and time.monotonic() - self.begun > self.plan.timeout_s:
            raise _TimeIsUpError

    def judge(self, model: MultivariateLSTM) -> Objective:
        """What measures a model of any trial; neither a trial's loss nor its weights of the classes decide."""
        training = self.config.training
        if self.metric in ("mse", "mae"):
            training = replace(training, loss=self.metric)
        return self._objective(model, training)

    def measured(self, judge: Objective) -> float:
        """The metric, the same for all trials."""
        value = judge.validation()
        if not math.isfinite(value):
            raise ModelError("training diverged", got=f"a validation {self.metric} of {value}")
        return value

    def _enqueue_given(self, done: Sequence[FrozenTrial]) -> None:
        """The given settings come first; again where they were interrupted."""
        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if not any(GIVEN in trial.user_attrs for trial in (*done, *waiting)):
            own = own_settings(self.config, list(self.space))
            inside = {name: value for name, value in own.items() if self.space[name].holds(value)}
            self.study.enqueue_trial(inside, user_attrs={GIVEN: True})

    def _try(self, trial: optuna.Trial) -> FrozenTrial:
        """One trial; what interrupts it leaves it without an outcome, so that it does not count."""
        begun = time.monotonic()
        try:
            outcome, value, reason = self._outcome(trial)
        except BaseException:
            self.study.tell(trial, state=TrialState.FAIL)
            raise
        for name, told in (("reason", reason), ("seconds", time.monotonic() - begun), (OUTCOME, outcome)):
            trial.set_user_attr(name, told)
        return self.study.tell(trial, value, STATES[outcome])

    def _outcome(self, trial: optuna.Trial) -> tuple[Outcome, float | None, str]:
        settings = self._settings(trial)
        trial.set_user_attr("settings", settings)
        try:
            config, model = self._model(settings)
        except (ConfigError, ModelError) as error:
            return "refused", None, str(error)
        try:
            return "complete", self._trained(trial, config, model), ""
        except optuna.TrialPruned as error:
            return "pruned", None, str(error)
        except (ModelError, MemoryError, RuntimeError) as error:  # torch has RuntimeError for memory and for overflow
            return "failed", None, " ".join(str(error).split()) or "not enough memory"

    def _settings(self, trial: optuna.Trial) -> dict[str, Any]:
        """What is tried; of the given settings one that lies outside the space stays what it is."""
        own = own_settings(self.config, list(self.space)) if GIVEN in trial.user_attrs else {}
        return {
            name: own[name] if name in own and not entry.holds(own[name]) else _suggested(trial, name, entry)
            for name, entry in self.space.items()
        }

    def _model(self, settings: Mapping[str, Any]) -> tuple[RunConfig, MultivariateLSTM]:
        """Raises ConfigError or ModelError where the settings do not go together."""
        config = with_settings(self.config, settings)
        model = fresh_model(model_spec(config, self.dataset), self.dataset, config.training.seed)
        return config, model.to(self.device)

    def _trained(self, trial: optuna.Trial, config: RunConfig, model: MultivariateLSTM) -> float:
        """The metric of the weights that training keeps: those of the best epoch by the trial's own loss."""
        judge = self.judge(model)
        objective = self._objective(model, config.training)
        fit(objective, config.training, config.training.seed, _Watch(self, trial, judge))
        return self.measured(judge)

    def _objective(self, model: MultivariateLSTM, training: TrainConfig) -> Objective:
        return objective_of(model, self.placed, training, streaming=self.config.model.streaming)


def _suggested(trial: optuna.Trial, name: str, entry: Entry) -> Any:
    if isinstance(entry, Choices):
        return trial.suggest_categorical(name, entry.values)
    if whole(name):
        return trial.suggest_int(name, int(entry.low), int(entry.high), log=entry.log)
    return trial.suggest_float(name, entry.low, entry.high, log=entry.log)


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that have an outcome, in the order of their numbers."""
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
    return [trial for trial in ended if OUTCOME in trial.user_attrs]


def _ended(trial: FrozenTrial) -> Trial:
    told = trial.user_attrs
    outcome: Outcome = told[OUTCOME]
    value = trial.value if outcome == "complete" else None
    epochs = max(trial.intermediate_values, default=0)
    given = GIVEN in told
    return Trial(trial.number, given, outcome, told["settings"], value, epochs, told["seconds"], told["reason"])


def _best(trials: Sequence[Trial]) -> int:
    complete = [trial for trial in trials if trial.value is not None]
    if not complete:
        got = (
            f"{len(trials)} trials, the last {trials[-1].outcome}: {trials[-1].reason}" if trials else "none that ended"
        )
        fix = "more time or trials, or another range in [tune]"
        raise ConfigError("no trial of the search completed", got=got, fix=fix)
    return min(complete, key=lambda trial: trial.value or 0.0).number
