"""Earlier forecasts against what came since: how large their error is, and whether they beat persistence.

A forecast of place p for place p + k is compared with the row of place p + k, k = 1 to the horizon, if both belong to
one unbroken series: so were the errors counted that the bundle was released with, and what a machine does after a stop
no model was asked. Persistence is the last value before the forecast, repeated (Hyndman and Athanasopoulos,
Forecasting: Principles and Practice, 3rd edition, 5.2); the skill is 1 - error / error of persistence, as there in 5.8:
above 0 the model is worth having, below 0 it is worse than none.

The errors of each asset fade: a row that brought truth counts half after `ln 2 * MEMORY` = 693 further ones, so that a
model that has gone stale shows within a thousand rows, and one bad hour does not make an alarm for ever. They do not
depend on which assets' rows came together.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolkit.edge.series_rows import grown, slots_for
from toolkit.errors import InputError

Array = NDArray[np.float32]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MEMORY = 1000
"""Rows after which an error counts 1/e."""
BYTES_OF_AN_ASSET = 16_384
"""Of forecasts that wait for their truth. Of a longer horizon only every second, third, ... forecast is remembered."""
NEVER = -(1 << 62)
"""The place of no forecast."""


class Score(NamedTuple):
    """How well one target of one asset is forecast.

    Attributes:
        asset: its number.
        target: its place among the targets.
        mae: mean absolute error over all steps, in the target's unit, old errors faded.
        persistence_mae: the same of persistence.
        truths: comparisons that went in, unfaded.
    """

    asset: int
    target: int
    mae: float
    persistence_mae: float
    truths: int

    @property
    def skill(self) -> float:
        """1 - mae / persistence_mae; NaN where persistence makes no error."""
        return skill(self.mae, self.persistence_mae)


class StepTotals(NamedTuple):
    """Of all assets, by step and target, unfaded: sums that only rise.

    Attributes:
        error: sum of absolute errors, `[horizon, targets]`.
        persistence_error: the same of persistence.
        truths: comparisons, `[horizon, targets]`.
    """

    error: Floats
    persistence_error: Floats
    truths: Ints


def skill(mae: float, persistence_mae: float) -> float:
    """1 - mae / persistence_mae; NaN where persistence makes no error, or nothing is known yet."""
    return 1.0 - mae / persistence_mae if persistence_mae > 0 else float("nan")


class Truth:
    """The forecasts that wait for their truth, and the running errors. An asset is its number in the journal.

    Nothing of it is journalled: after a restart the errors begin anew.

    Args:
        horizon: places of a forecast.
        targets: of a forecast.
    """

    def __init__(self, horizon: int, targets: int) -> None:
        self._horizon, self._targets = horizon, targets
        room = BYTES_OF_AN_ASSET // (4 * horizon * targets)
        kept = min(max(room, 1), horizon)
        self.every = -(-horizon // kept)
        """Of how many places one forecast is remembered."""
        self._kept = -(-horizon // self.every)
        self._places: Ints = np.full((0, self._kept), NEVER)
        self._forecasts: Array = np.zeros((0, self._kept, horizon, targets), np.float32)
        self._last: Array = np.zeros((0, self._kept, targets), np.float32)
        self._sums: Floats = np.zeros((0, 3, targets))
        """Faded: error, error of persistence, comparisons."""
        self._truths: Ints = np.zeros((0, targets), np.int64)
        self._steps: Floats = np.zeros((3, horizon, targets))
        """Unfaded, of all assets: the same three."""

    def remember(self, assets: Ints, places: Ints, forecast: Array, last: Array) -> None:
        """New forecasts.

        Args:
            assets: numbers, int64 `[n]`, each once.
            places: of the rows that they were made behind, int64 `[n]`.
            forecast: finite, `[n, horizon, targets]`.
            last: the targets' values in those rows, `[n, targets]`.

        Raises:
            InputError: forecasts of another shape.
        """
        if forecast.shape != (len(assets), self._horizon, self._targets):
            allowed = [len(assets), self._horizon, self._targets]
            raise InputError("forecasts to remember", got=list(forecast.shape), allowed=allowed)
        self._reserve(assets)
        due = places % self.every == 0
        assets, places = assets[due], places[due]
        ring = places // self.every % self._kept
        self._places[assets, ring] = places
        self._forecasts[assets, ring] = forecast[due]
        self._last[assets, ring] = last[due]

    def arrived(self, assets: Ints, places: Ints, values: Array, starts_series: Bools) -> None:
        """New rows, before what is forecast behind them is remembered.

        Args:
            assets: numbers, int64 `[n]`, each once.
            places: of the rows, int64 `[n]`.
            values: the targets' values, `[n, targets]`; NaN where one was not measured but made up.
            starts_series: whether the row is the first of a series, bool `[n]`: earlier forecasts are forgotten.
        """
        if not len(assets):
            return
        self._reserve(assets)
        self._places[assets[starts_series]] = NEVER
        steps = places[:, None] - self._places[assets]  # [n, kept]
        waiting = (steps >= 1) & (steps <= self._horizon)
        some = waiting.any(axis=1)
        if some.any():
            self._compare(assets[some], values[some], steps[some], waiting[some])

    def snapshot(self) -> list[Score]:
        """The figures of every asset and target of which anything is known, by asset, then target."""
        known = np.argwhere(self._truths > 0)
        error, persistence, weight = (self._sums[known[:, 0], kind, known[:, 1]] for kind in range(3))
        figures = zip((error / weight).tolist(), (persistence / weight).tolist(), strict=True)
        counts = self._truths[known[:, 0], known[:, 1]].tolist()
        return [
            Score(asset, target, mae, other, count)
            for (asset, target), (mae, other), count in zip(known.tolist(), figures, counts, strict=True)
        ]

    def totals(self) -> list[Score]:
        """The figures of all assets together by target, under the number -1; each asset counts by its rows."""
        error, persistence, weight = self._sums.sum(axis=0)
        counts = self._truths.sum(axis=0).tolist()
        return [
            Score(-1, target, float(error[target] / weight[target]), float(persistence[target] / weight[target]), count)
            for target, count in enumerate(counts)
            if count
        ]

    def by_step(self) -> StepTotals:
        """A copy of the sums of all assets by step and target."""
        error, persistence, truths = self._steps.copy()
        return StepTotals(error, persistence, truths.astype(np.int64))

    def _reserve(self, assets: Ints) -> None:
        before = len(self._truths)
        slots = slots_for(int(assets.max(initial=-1)) + 1, before)
        if slots == before:
            return
        for name in ("_places", "_forecasts", "_last", "_sums", "_truths"):
            setattr(self, name, grown(getattr(self, name), slots))
        self._places[before:] = NEVER

    def _compare(self, assets: Ints, values: Array, steps: Ints, waiting: Bools) -> None:
        """Rows for which at least one forecast waits; steps and waiting are `[n, kept]`."""
        truth = values[:, None].astype(np.float64)  # [n, 1, targets]
        ring = np.arange(self._kept)
        step = np.where(waiting, steps, 1) - 1
        forecast = self._forecasts[assets[:, None], ring, step]  # [n, kept, targets]
        counted = waiting[:, :, None] & np.isfinite(truth)
        errors = np.where(counted, np.abs(forecast - truth), 0.0)
        others = np.where(counted, np.abs(self._last[assets] - truth), 0.0)
        self._fade(assets, errors, others, counted)
        places = (step[:, :, None] * self._targets + np.arange(self._targets)).reshape(-1)
        for kind, part in enumerate((errors, others, counted)):
            found = np.bincount(places, part.reshape(-1).astype(np.float64), self._steps[kind].size)
            self._steps[kind] += found.reshape(self._horizon, self._targets)

    def _fade(self, assets: Ints, errors: Floats, others: Floats, counted: Bools) -> None:
        """Adds one row's comparisons of each asset to its sums, which fade where the row brought any."""
        whole = np.stack([errors, others, counted])  # [3, n, kept, targets]
        sums = np.zeros((len(assets), 3, self._targets))
        for ring in range(self._kept):  # numpy's own sum takes another order for other shapes
            sums += whole[:, :, ring].swapaxes(0, 1)
        fading = np.where(sums[:, 2:] > 0, 1.0 - 1.0 / MEMORY, 1.0)
        self._sums[assets] = self._sums[assets] * fading + sums
        self._truths[assets] += sums[:, 2].astype(np.int64)
