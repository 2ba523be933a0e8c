"""Answers as a table: wide, a row for each origin, or long, a row for each origin and step."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from toolkit.contract.model_spec import MEDIAN
from toolkit.errors import ConfigError, DataError
from toolkit.scoring.answers import AnswerForm
from toolkit.scoring.origins import Origins

Floats = NDArray[np.float32]

FIRST, STEP, TIME, CLASS = "first_forecast", "step", "forecast_time", "class"


@dataclass(frozen=True)
class ForecastTable:
    """The columns of a table of forecasts.

    Wide: the time of the window's last sample, the asset where there are several, the time of the first forecast, and
    for each target and step `TARGET+STEP`; of a model with quantiles behind each `TARGET+STEP q0.1` and so on, but for
    the median, which is the forecast itself. Long: time, asset, `step`, `forecast_time`, and a column for each target.
    Of a classifier: time, asset, `class`, and `p(NAME)` for each class.

    Attributes:
        form: of the answers.
        timestamp: the name of the column of time.
        asset: that of the column of assets, or None.
        zoned: whether times are UTC.
        long: the long form.
    """

    form: AnswerForm
    timestamp: str
    asset: str | None
    zoned: bool
    long: bool = False

    def __post_init__(self) -> None:
        if self.long and self.form.class_names:
            raise ConfigError("--long goes with a forecast", got="a classifier", fix="leave it out")
        names = self.columns
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise DataError("the table of forecasts would have two columns of one name", got=repr(twice[0]))

    @property
    def columns(self) -> list[str]:
        """All names, in their order."""
        keys = [self.timestamp, *([self.asset] if self.asset else [])]
        if self.form.class_names:
            return [*keys, CLASS, *(f"p({name})" for name in self.form.class_names)]
        return [*keys, *([STEP, TIME] if self.long else [FIRST]), *self._figures()]

    def _figures(self) -> list[str]:
        steps = [""] if self.long else [f"+{step}" for step in range(1, self.form.horizon + 1)]
        further = [f" q{level:g}" for level in self._further()]
        return [f"{target}{step}{more}" for target in self.form.targets for step in steps for more in ("", *further)]

    def _further(self) -> list[float]:
        return [level for level in self.form.levels if level != MEDIAN]

    def frame(self, origins: Origins, answers: Floats, asset_names: list[str]) -> pl.DataFrame:
        """The rows of some windows, in their order."""
        repeats = self.form.horizon if self.long else 1
        keys = [self._times(np.repeat(origins.times_us, repeats))]
        if self.asset:
            keys.append(pl.Series(asset_names, dtype=pl.String).gather(np.repeat(origins.assets, repeats)))
        if self.form.class_names:
            return self._named([*keys, *self._classes(answers)])
        own = self._figures_of(answers)
        steps = np.arange(1, repeats + 1)
        forecast_us = (origins.times_us[:, None] + np.rint(steps * self.form.interval_us).astype(np.int64)).reshape(-1)
        if self.long:
            keys.append(pl.Series(np.tile(steps, len(origins.times_us)), dtype=pl.Int32))
        return self._named([*keys, self._times(forecast_us), *own])

    def _times(self, times_us: NDArray[np.int64]) -> pl.Series:
        return pl.Series(times_us).cast(pl.Datetime("us", "UTC" if self.zoned else None))

    def _named(self, columns: list[pl.Series]) -> pl.DataFrame:
        return pl.DataFrame([column.rename(name) for column, name in zip(columns, self.columns, strict=True)])

    def _figures_of(self, answers: Floats) -> list[pl.Series]:
        """One column for each name of `_figures`."""
        figures = answers if self.form.levels else answers[..., None]  # [windows, horizon, targets, figures]
        if self.form.levels:
            order = [self.form.levels.index(level) for level in (MEDIAN, *self._further())]
            figures = figures[..., order]
        windows, horizon, targets, kinds = figures.shape
        if self.long:
            flat = figures.reshape(windows * horizon, targets * kinds)
        else:
            flat = figures.transpose(0, 2, 1, 3).reshape(windows, -1)
        return [pl.Series(column) for column in np.ascontiguousarray(flat.T)]

    def _classes(self, logits: Floats) -> list[pl.Series]:
        raised = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
        shares = (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)
        names = pl.Series(self.form.class_names, dtype=pl.String).gather(logits.argmax(axis=1))
        return [names, *(pl.Series(column) for column in np.ascontiguousarray(shares.T))]
