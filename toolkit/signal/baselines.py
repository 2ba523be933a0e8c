"""Forecasts that need no model. A model that loses to one of them should not be deployed.

Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd edition, section 5.2 (naive and seasonal
naive methods).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


def persistence(history: Array, horizon: int) -> Array:
    """The last value, repeated.

    Args:
        history: raw, or in any other unit, `[windows, window_length, targets]`.
        horizon: steps to forecast.

    Returns:
        `[windows, horizon, targets]`, in the unit of `history`.
    """
    return np.repeat(history[:, -1:], horizon, axis=1)


def seasonal_naive(history: Array, horizon: int, season: int) -> Array:
    """The value of one season ago; beyond one season the last season is repeated.

    Args:
        history: raw, or in any other unit, `[windows, window_length, targets]` with `window_length >= season`.
        horizon: steps to forecast.
        season: samples in a season.

    Returns:
        `[windows, horizon, targets]`, in the unit of `history`.
    """
    steps = history.shape[1] - season + np.arange(horizon) % season
    return history[:, steps]


@dataclass(frozen=True)
class LinearBaseline:
    """A linear map from a window to what comes next, the same for every target, in the window's last value's terms.

    Subtracting the last value lets a level that no training window had pass through; without it a linear model loses
    to persistence on drifting signals (Zeng et al., Are Transformers Effective for Time Series Forecasting?, AAAI 2023,
    where it is NLinear). Found by least squares in closed form, with a trace of ridge.

    Attributes:
        weights: float64 `[window_length, horizon]`.
        bias: float64 `[horizon]`, in standard deviations.
        scale: standard deviation of each target, float64 `[targets]`.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    scale: NDArray[np.float64]

    def forecast(self, history: Array) -> Array:
        """Forecasts.

        Args:
            history: raw, `[windows, window_length, targets]`.

        Returns:
            `[windows, horizon, targets]`, raw.
        """
        last = history[:, -1:]
        relative = (history - last) / self.scale
        steps = np.einsum("wlt,lh->wht", relative, self.weights, optimize=True) + self.bias[:, None]
        return np.asarray(steps * self.scale + last)


RIDGE = 1e-6
"""Of the mean of the squares on the diagonal: enough where a column is constant (the last one is 0), else nothing."""


def fit_linear(batches: Iterable[tuple[Array, Array]], scale: NDArray[np.float64]) -> LinearBaseline:
    """Least squares over training windows, a batch at a time: only sums of products are kept.

    Args:
        batches: raw windows `[windows, window_length, targets]` and what came next `[windows, horizon, targets]`.
        scale: standard deviation of each target, float64 `[targets]`.

    Raises:
        ValueError: no batch.
    """
    gram: Any = 0.0
    moment: Any = 0.0
    for history, future in batches:
        last = history[:, -1:]
        x, y = ((part - last) / scale for part in (history, future))
        rows = np.moveaxis(x, 2, 1).reshape(-1, x.shape[1])  # [windows x targets, window_length]
        rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
        gram = gram + rows.T @ rows
        moment = moment + rows.T @ np.moveaxis(y, 2, 1).reshape(-1, y.shape[1])
    if np.ndim(gram) == 0:
        raise ValueError("no window to fit a linear baseline on")
    penalty = RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    penalty[-1, -1] = 0.0
    solved = np.linalg.solve(gram + penalty, moment)
    return LinearBaseline(solved[:-1], solved[-1], scale)


def find_season(values: Array, segments: NDArray[np.int64], longest: int) -> int:
    """The season of at most `longest` samples in which these rows repeat themselves best.

    Judged on the rows' first differences, so that a drift does not shift the season (on the oil temperature of
    ETTh1 the readings themselves are nearest to those of 22 hours ago, their differences to 24). Of the lags
    that are better than both neighbours, the shortest one that is at least three quarters of the way from the
    typical lag to the best is taken: a week repeats as well as a day does.

    Args:
        values: `[rows, targets]` of the training part, in standard deviations.
        segments: `[rows]`, numbers of the unbroken series.
        longest: the longest season to try: the window length.

    Returns:
        Samples in a season; `longest` where nothing repeats.
    """
    together = segments[1:] == segments[:-1]
    changes = np.diff(values, axis=0)[together]
    distance = _mean_squared_differences(changes, segments[1:][together], longest + 1)
    dips = [lag for lag in range(2, longest + 1) if distance[lag] < min(distance[lag - 1], distance[lag + 1])]
    if not dips:
        return longest
    least = min(distance[lag] for lag in dips)
    bound = least + 0.25 * (float(np.median(distance[1:])) - least)
    return next(lag for lag in dips if distance[lag] <= bound)


def _mean_squared_differences(values: Array, segments: NDArray[np.int64], longest: int) -> NDArray[np.float64]:
    """`[longest + 1]`: the mean squared difference of rows a lag apart within a series, infinity where none are."""
    distance = np.full(longest + 1, np.inf)
    for lag in range(1, min(longest, len(values) - 1) + 1):
        together = segments[lag:] == segments[:-lag]
        if together.any():
            distance[lag] = np.mean(np.square(values[lag:] - values[:-lag])[together])
    return distance
