"""Errors of the model and of the baselines, on the same windows."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.contract.reports import Errors, Scores
from toolkit.data.dataset import ForecastDataset
from toolkit.model.lstm import MultivariateLSTM
from toolkit.signal.baselines import LinearBaseline, find_season, fit_linear, persistence, seasonal_naive
from toolkit.training.objectives import EVALUATION_BATCH
from toolkit.training.streaming import stream_forecasts

Floats = NDArray[np.floating[Any]]
Forecast = Callable[[Floats], Floats]
"""From raw windows `[windows, window_length, channels]` to raw forecasts `[windows, horizon, targets]`."""


@dataclass(frozen=True)
class Comparison:
    """The model beside the baselines on the test windows."""

    model: Scores
    baselines: dict[str, Scores]
    season: int

    @property
    def verdict(self) -> str:
        """One sentence that says plainly what the model is worth; both errors count, squared and absolute."""
        squared = {name: _gain(scores, self.model, "mse") for name, scores in self.baselines.items()}
        absolute = {name: _gain(scores, self.model, "mae") for name, scores in self.baselines.items()}
        parts = [*_sentence(squared, "mean squared error"), *_sentence(absolute, "mean absolute error")]
        return "; ".join(parts) + _advice(list(squared.values()), list(absolute.values()))


TIE = 0.05
"""Per cent: a gain that is shown as 0.0 is none."""


def _advice(squared: list[float], absolute: list[float]) -> str:
    if not all(gain >= TIE for gain in squared):  # NaN is no gain
        return ": do not deploy this"
    return "" if all(gain >= TIE for gain in absolute) else ": a mixed result, to be weighed before it is deployed"


def _gain(baseline: Scores, model: Scores, error: str) -> float:
    """How much smaller the model's error is than the baseline's, in per cent of the baseline's."""
    theirs, own = (float(getattr(scores.test_standardised, error)) for scores in (baseline, model))
    return 100.0 * (theirs - own) / max(theirs, 1e-300)


def _sentence(gains: dict[str, float], error: str) -> list[str]:
    won = [f"{name} by {gain:.1f} %" for name, gain in gains.items() if gain >= TIE]
    even = [name for name, gain in gains.items() if abs(gain) < TIE]
    lost = [f"{name} by {abs(gain):.1f} %" for name, gain in gains.items() if not gain > -TIE]
    sentences = [f"beats {' and '.join(won)} in {error}"] if won else []
    sentences += [f"is no better than {' and '.join(even)} in {error}"] if even else []
    return sentences + ([f"loses to {' and '.join(lost)} in {error}"] if lost else [])


def compare(model: MultivariateLSTM, dataset: ForecastDataset, season: int | None) -> Comparison:
    """Scores the model, persistence, seasonal naive and a closed-form linear model on every test window.

    Args:
        model: in evaluation mode.
        dataset: where the windows come from.
        season: samples in a season; None finds it on the training rows.
    """
    season = season or season_of(dataset)
    targets, horizon = dataset.target_indices, dataset.horizon
    linear = linear_baseline(dataset)
    return Comparison(
        score(dataset, lambda x: model_forecast(model, x)),
        {
            "persistence": score(dataset, lambda x: persistence(x[:, :, targets], horizon)),
            "seasonal": score(dataset, lambda x: seasonal_naive(x[:, :, targets], horizon, season)),
            "linear": score(dataset, lambda x: linear.forecast(x[:, :, targets])),
        },
        season,
    )


def linear_baseline(dataset: ForecastDataset) -> LinearBaseline:
    """The closed-form linear model of the training windows."""
    targets = dataset.target_indices
    pairs = dataset.batches("train", EVALUATION_BATCH)
    windows = ((x[:, :, targets].double().numpy(), y.double().numpy()) for x, y in pairs)
    return fit_linear(windows, dataset.std[targets].numpy())


def score(dataset: ForecastDataset, forecast: Forecast) -> Scores:
    """Errors of a forecast over all test windows, horizon steps and targets."""
    pairs = dataset.batches("test", EVALUATION_BATCH)
    return scores_of(dataset, ((forecast(x.double().numpy()), y.double().numpy()) for x, y in pairs))


def stream_score(model: MultivariateLSTM, dataset: ForecastDataset) -> Scores:
    """Errors of the forecasts at the ends of all test windows, by a state that was carried through the series."""
    with torch.inference_mode():
        pairs = stream_forecasts(model, dataset, "test")
        return scores_of(dataset, ((_raw(model, answers), y.double().numpy()) for answers, y in pairs))


def scores_of(dataset: ForecastDataset, pairs: Iterable[tuple[Floats, Floats]]) -> Scores:
    """Errors over pairs of raw forecasts and raw truth, each `[windows, horizon, targets]`."""
    squared, absolute, windows = 0.0, 0.0, 0
    for forecast, truth in pairs:
        error = forecast - truth
        squared = squared + np.square(error).mean(axis=1).sum(axis=0)  # [targets]
        absolute = absolute + np.abs(error).mean(axis=1).sum(axis=0)
        windows += len(truth)
    std = dataset.std[dataset.target_indices].numpy()
    mse, mae = np.asarray(squared) / windows, np.asarray(absolute) / windows
    return Scores(
        Errors(float(mse.mean()), float(mae.mean())),
        Errors(float((mse / std**2).mean()), float((mae / std).mean())),
        {n: Errors(float(s), float(a)) for n, s, a in zip(dataset.signal.targets, mse, mae, strict=True)},
    )


def _raw(model: MultivariateLSTM, answers: Tensor) -> Floats:
    """From standard deviations to raw units, the forecast of quantiles alone."""
    return model.unscale(model.forecast_of(answers)).double().numpy()


def model_forecast(model: MultivariateLSTM, x: Floats) -> Floats:
    """Raw forecasts `[windows, horizon, targets]` of a module in evaluation mode."""
    with torch.inference_mode():
        forecast = model.unscale(model.last_standardised(torch.from_numpy(x).float()))
    return forecast.double().numpy()


def season_of(dataset: ForecastDataset) -> int:
    """Samples in one season of the targets, found on the training rows."""
    train = dataset.train_rows
    values = ((dataset.rows[train].double() - dataset.mean) / dataset.std)[:, dataset.target_indices]
    return find_season(values.numpy(), dataset.segments[train].numpy(), dataset.window_length)
