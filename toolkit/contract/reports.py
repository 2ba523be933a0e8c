"""The JSON reports that commands write with `--json` and that other programs read.

Keys are part of the contract: they are added to, never renamed; the schema's number rises when a meaning changes.
"""

import json
import math
from dataclasses import dataclass, field
from typing import Any

from toolkit.contract.picture_reports import ForecastExample
from toolkit.contract.records import encode


@dataclass(frozen=True)
class Errors:
    """Mean squared and mean absolute error."""

    mse: float
    mae: float


@dataclass(frozen=True)
class Scores:
    """Errors over all test windows, horizon steps and targets.

    Attributes:
        test: in raw units (mixed units where several targets have different ones).
        test_standardised: in standard deviations of the training rows.
        per_target: raw errors of each target by name, in that target's unit.
    """

    test: Errors
    test_standardised: Errors
    per_target: dict[str, Errors] = field(default_factory=dict)


@dataclass(frozen=True)
class IntervalScores:
    """What the quantiles of a forecast are worth, over all windows, horizon steps and targets.

    Attributes:
        quantiles: rising; the interval lies between the outermost.
        nominal: the part of the readings that the interval promises to hold.
        coverage: the part that it holds.
        width: its mean width, in `unit`.
        unit: of the one target; of several `standard deviations`, or `mixed units` where no scale is known.
        pinball: the mean pinball loss over quantiles, in standard deviations, or raw where no scale is known.
        below: for each quantile the part of the readings at or below it.
        width_per_target: the mean width for each target, in that target's unit.
    """

    quantiles: tuple[float, ...]
    nominal: float
    coverage: float
    width: float
    unit: str
    pinball: float
    below: tuple[float, ...]
    width_per_target: dict[str, float]

    @property
    def sentence(self) -> str:
        """Coverage and width: either is worth nothing without the other."""
        covers = f"{100 * self.nominal:.3g} % interval covers {100 * self.coverage:.1f} % of the readings"
        return f"{covers}, mean width {self.width:.4g} {self.unit}".rstrip()


@dataclass(frozen=True)
class SeedScores:
    """One of several trainings that differ by their seed alone.

    Attributes:
        seed: of its weights, shuffling and dropout.
        validation_loss: of its best epoch.
        test_standardised: errors on the test windows.
        epochs: epochs run.
        best_epoch: the epoch whose weights were scored.
        kept: whether its weights are those of the run.
    """

    seed: int
    validation_loss: float
    test_standardised: Errors
    epochs: int
    best_epoch: int
    kept: bool


@dataclass(frozen=True)
class TrainingReport:
    """`training.json`.

    Attributes:
        test: raw errors of the model on the test windows.
        test_standardised: the same in standard deviations.
        per_target: raw errors by target.
        baselines: the same figures for `persistence` and `seasonal` on the same windows.
        season: samples in one season of the seasonal baseline.
        epochs: epochs run.
        best_epoch: the epoch whose weights were kept, counted from 1.
        seconds: wall-clock time of training.
        parameters: trainable numbers.
        windows: how many windows each part had.
        verdict: one sentence: which baselines it beats or loses to.
        environment: versions and machine.
        seeds: each training, where there were several; the other figures are those of the one that is kept.
        streaming: errors of the forecasts after the same samples by a state that is carried on from one to the next,
            where the model has a streaming graph; `test` is by whole windows.
        notes: what the table was given that its file does not hold, such as readings held over a gap.
        interval: of a model with quantiles, what they are worth on the test windows.
    """

    test: Errors
    test_standardised: Errors
    per_target: dict[str, Errors]
    baselines: dict[str, Scores]
    season: int
    epochs: int
    best_epoch: int
    seconds: float
    parameters: int
    windows: dict[str, int]
    verdict: str
    environment: dict[str, Any]
    seeds: tuple[SeedScores, ...] = ()
    streaming: Scores | None = None
    notes: tuple[str, ...] = ()
    interval: IntervalScores | None = None
    schema: str = "training/1"


@dataclass(frozen=True)
class EvaluationReport:
    """What `evaluate` found on the windows of a table.

    Attributes:
        name: of the run or bundle.
        file: the table, without its folder.
        windows: that were forecast.
        standardised: whether errors beside the raw ones are in standard deviations of the training rows; else those
            are raw as well, because no scale is known.
        model: over all windows, steps and targets, and by target.
        by_step: for each step of the horizon, over targets.
        by_asset: for each asset that has a window.
        baselines: `persistence` and `seasonal` on the same windows.
        season: samples in one season of the seasonal baseline.
        verdict: one sentence: which baselines it beats or loses to.
        environment: versions and machine.
        interval: of a model with quantiles, what they are worth on these windows.
        examples: for each target the best, the median and the worst window.
        baselines_by_step: the same as `by_step` of each baseline.
    """

    name: str
    file: str
    windows: int
    standardised: bool
    model: Scores
    by_step: tuple[Errors, ...]
    by_asset: dict[str, Errors]
    baselines: dict[str, Scores]
    season: int
    verdict: str
    environment: dict[str, Any]
    interval: IntervalScores | None = None
    examples: tuple[ForecastExample, ...] = ()
    baselines_by_step: dict[str, tuple[Errors, ...]] = field(default_factory=dict)
    schema: str = "evaluation/1"


def report_to_json(report: object) -> str:
    """The report as JSON text; infinity and NaN, which JSON does not have, become null."""
    return json.dumps(_finite(encode(report)), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
