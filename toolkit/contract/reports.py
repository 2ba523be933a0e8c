"""The JSON reports that commands write with `--json` and that other programs read.

Keys are part of the contract: they are added to, never renamed; the schema's number rises when a meaning changes.
"""

import json
import math
from dataclasses import dataclass, field
from typing import Any

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
    schema: str = "evaluation/1"


@dataclass(frozen=True)
class LatencyRow:
    """One contender in one scenario; a figure that a scenario does not give is None.

    Attributes:
        scenario: `single` (one request after another), `bulk` (batch above 1), `stream` (one step).
        contender: `torch` or `onnxruntime`.
        graph: `windowed` or `streaming`.
        provider: execution provider, `cpu` for torch.
        precision: of the weights.
        batch: series in a call.
        sequence: samples in a call.
        threads: within one operator.
        count: timed calls.
        p50_ms: median, then other percentiles and the maximum, per call.
        throughput_per_s: series (windowed) or samples (streaming) per second at the median.
        cpu_s_per_1000: processor seconds per 1,000 calls.
        rss_mb: resident memory.
        ratio_to_torch: torch's time over this contender's: the median over rounds of the ratio within a round.
    """

    scenario: str
    contender: str
    graph: str
    provider: str
    precision: str
    batch: int
    sequence: int
    threads: int
    count: int
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    throughput_per_s: float | None
    cpu_s_per_1000: float | None
    rss_mb: float | None
    ratio_to_torch: float | None


@dataclass(frozen=True)
class LatencyReport:
    """The benchmark runner's report; `notes` holds what was not measured and why."""

    rows: tuple[LatencyRow, ...]
    notes: tuple[str, ...]
    environment: dict[str, Any]
    schema: str = "latency/1"


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
