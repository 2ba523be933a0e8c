"""A forecaster on windows: errors overall, by target, step of the horizon and asset, beside the baselines."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from toolkit.contract.reports import EvaluationReport
from toolkit.runtime.environment import environment
from toolkit.signal.baselines import LinearBaseline, find_season, fit_linear, persistence, seasonal_naive
from toolkit.training.error_sums import ErrorSums
from toolkit.training.examples import examples_of, window_errors
from toolkit.training.forecaster import Array, Forecaster, Windows, batches
from toolkit.training.intervals import IntervalSums
from toolkit.training.scoring import Comparison, Forecast


def evaluate(forecaster: Forecaster, windows: Windows, season: int | None = None) -> EvaluationReport:
    """Errors on every window, beside persistence, seasonal naive and, where its training windows are, a linear model.

    Args:
        forecaster: what is evaluated.
        windows: where.
        season: samples in a season; None takes that of `windows`, or finds it in the table.
    """
    season = season or windows.season or _season(forecaster, windows)
    forecasts = _baselines(forecaster, windows, season)
    sums = {name: _empty_sums(forecaster, windows) for name in ("model", *forecasts)}
    intervals = IntervalSums.empty(forecaster.levels, len(forecaster.signal.targets), forecaster.scale)
    errors = []
    for batch in batches(forecaster, windows):
        forecast, quantiles = forecaster.answers(batch.x)
        error = forecast.astype(np.float64) - batch.truth
        errors.append(window_errors(error))
        sums["model"].add(error, batch.assets)
        if quantiles is not None:
            intervals.add(quantiles, batch.truth)
        for name, baseline in forecasts.items():
            sums[name].add(baseline(batch.x).astype(np.float64) - batch.truth, batch.assets)
    scores = {name: each.scores() for name, each in sums.items()}
    own, baselines = sums["model"], {name: scores[name] for name in forecasts}
    return EvaluationReport(
        forecaster.name,
        windows.table.file_name,
        len(windows.starts),
        forecaster.scale is not None,
        scores["model"],
        own.by_step(),
        own.by_asset(windows.table.asset_names),
        baselines,
        season,
        Comparison(scores["model"], baselines, season).verdict,
        environment(),
        intervals.scores(forecaster.signal) if forecaster.levels else None,
        examples_of(forecaster, windows, np.concatenate(errors), forecasts),
        {name: sums[name].by_step() for name in forecasts},
    )


def _baselines(forecaster: Forecaster, windows: Windows, season: int) -> Mapping[str, Forecast]:
    """By name, each from raw windows to raw forecasts."""
    targets, horizon = list(forecaster.signal.target_indices), forecaster.horizon
    forecasts: dict[str, Forecast] = {
        "persistence": lambda x: persistence(x[:, :, targets], horizon),
        "seasonal": lambda x: seasonal_naive(x[:, :, targets], horizon, season),
    }
    if windows.train is not None and forecaster.scale is not None:
        linear = _linear(forecaster, replace(windows, starts=windows.train), forecaster.scale)
        forecasts["linear"] = lambda x: linear.forecast(x[:, :, targets].astype(np.float64))
    return forecasts


def _linear(forecaster: Forecaster, windows: Windows, scale: Array) -> LinearBaseline:
    """The closed-form linear model of these windows."""
    targets = list(forecaster.signal.target_indices)
    pairs = ((each.x[:, :, targets].astype(np.float64), each.truth) for each in batches(forecaster, windows))
    return fit_linear(pairs, scale)


def _season(forecaster: Forecaster, windows: Windows) -> int:
    values = windows.table.values[:, list(forecaster.signal.target_indices)]
    spread = values.std(axis=0)
    return find_season(values / np.where(spread > 0, spread, 1.0), windows.table.segments, forecaster.window_length)


def _empty_sums(forecaster: Forecaster, windows: Windows) -> ErrorSums:
    assets = len(windows.table.asset_names)
    return ErrorSums.empty(forecaster.signal.targets, forecaster.scale, assets, forecaster.horizon)
