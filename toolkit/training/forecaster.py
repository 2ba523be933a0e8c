"""What forecasts, and the windows that it is asked about, whoever made them: a run's module or a bundle's graph."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.model_spec import MEDIAN
from toolkit.contract.signals import SignalSpec
from toolkit.data.dataset import ForecastDataset
from toolkit.data.tables import SensorTable, of_channels
from toolkit.model.lstm import MultivariateLSTM
from toolkit.training.intervals import model_quantiles
from toolkit.training.scoring import Floats, Forecast, model_forecast

BATCH = 256
"""How many windows are asked about at once."""

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Forecaster:
    """What is evaluated.

    Attributes:
        name: of the run or bundle.
        forecast: raw windows, float32 `[windows, window_length, channels]`, to raw forecasts `[windows, horizon,
            targets]`.
        signal: order of the channels, and which are the targets.
        window_length: samples of input.
        horizon: samples of forecast.
        scale: standard deviation of each target over the training rows, or None where it is not known.
        levels: the quantiles that it forecasts, or none.
        quantiles: where there are any, as `forecast`, with one more axis for them.
    """

    name: str
    forecast: Forecast
    signal: SignalSpec
    window_length: int
    horizon: int
    scale: Array | None
    levels: tuple[float, ...] = ()
    quantiles: Forecast | None = None

    def answers(self, x: Floats) -> tuple[Floats, Floats | None]:
        """The forecast and its quantiles, of which it is the median: the model is asked once."""
        if self.quantiles is None:
            return self.forecast(x), None
        quantiles = self.quantiles(x)
        return quantiles[..., self.levels.index(MEDIAN)], quantiles


@dataclass(frozen=True)
class Windows:
    """A table and the first rows of the windows to be forecast.

    Attributes:
        table: what was read; its channels are those of the signal, in its order.
        starts: int64 `[windows]`.
        season: samples in a season, where a run's settings or its training tell; None: to be found in the table.
        train: first rows of the windows that a run was trained on, where they are in the table: the linear model is
            fitted to them.
    """

    table: SensorTable
    starts: Ints
    season: int | None = None
    train: Ints | None = None


@dataclass(frozen=True)
class WindowBatch:
    """Some of the windows, gathered.

    Attributes:
        x: raw, float32 `[windows, window_length, channels]`.
        truth: what came next, float64 `[windows, horizon, targets]`.
        assets: of each window, int64 `[windows]`.
    """

    x: NDArray[np.float32]
    truth: Array
    assets: Ints


def forecaster_of_model(
    name: str, model: MultivariateLSTM, signal: SignalSpec, window_length: int, horizon: int
) -> Forecaster:
    """A torch module in evaluation mode."""
    scale = model.output_scale.double().numpy()
    quantiles = functools.partial(model_quantiles, model) if model.quantiles else None
    forecast = functools.partial(model_forecast, model)
    return Forecaster(name, forecast, signal, window_length, horizon, scale, model.quantiles, quantiles)


def own_windows(table: SensorTable, dataset: ForecastDataset, season: int | None) -> Windows:
    """The test windows of the table that `dataset` was made of.

    Args:
        table: it has the dataset's channels; others, which never change, are left out.
        dataset: its windows.
        season: samples in a season.
    """
    names, starts = dataset.signal.channel_names, {part: rows.numpy() for part, rows in dataset.starts.items()}
    own = table if table.channel_names == names else of_channels(table, names)
    return Windows(own, starts["test"], season, starts["train"])


def batches(forecaster: Forecaster, windows: Windows) -> Iterator[WindowBatch]:
    """All windows in their order, at most `BATCH` at a time."""
    length, targets = forecaster.window_length, list(forecaster.signal.target_indices)
    steps, table = np.arange(length + forecaster.horizon), windows.table
    for first in range(0, len(windows.starts), BATCH):
        starts = windows.starts[first : first + BATCH]
        both = table.values[starts[:, None] + steps]  # [windows, window_length + horizon, channels]
        yield WindowBatch(both[:, :length].astype(np.float32), both[:, length:][..., targets], table.assets[starts])
