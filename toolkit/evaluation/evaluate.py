"""Errors of a forecaster on every window of a table: overall, by target, by step of the horizon, by asset."""

import functools
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import QUANTILES, GraphSignature, TensorSpec, horizon_of
from toolkit.contract.manifest import WEIGHTS
from toolkit.contract.model_spec import MEDIAN
from toolkit.contract.reports import Errors, EvaluationReport, Scores
from toolkit.contract.signals import SignalSpec
from toolkit.data.dataset import parts_of
from toolkit.data.tables import SensorTable, of_channels, read_channels, read_table
from toolkit.errors import BundleError, DataError
from toolkit.parity.bundle import model_of
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.environment import environment
from toolkit.runtime.predictors import WindowedPredictor
from toolkit.signal.baselines import LinearBaseline, find_season, fit_linear, persistence, seasonal_naive
from toolkit.signal.windows import window_starts
from toolkit.training.config import config_from_tables
from toolkit.training.intervals import IntervalSums, model_quantiles
from toolkit.training.run import Run
from toolkit.training.scoring import Comparison, Floats, Forecast, model_forecast

BATCH = 256
TEST = 2
"""The number of the part that a model is judged on: see `toolkit.signal.windows.PARTS`."""

Array = NDArray[np.float64]


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
        table: what was read.
        starts: int64 `[windows]`.
        season: samples in a season, where a run's settings or its training tell; None: to be found in the table.
        train: first rows of the windows that a run was trained on, where they are in the table: the linear model is
            fitted to them.
    """

    table: SensorTable
    starts: NDArray[np.int64]
    season: int | None = None
    train: NDArray[np.int64] | None = None


def forecaster_of_run(run: Run) -> Forecaster:
    """A run's torch module.

    Raises:
        BundleError: it is a classifier.
    """
    spec, model = run.record.model, run.model
    if spec.classes:
        raise BundleError(f"{run.folder} holds a classifier, which forecasts nothing")

    scale = model.output_scale.double().numpy()
    signal, forecast = run.record.signal, functools.partial(model_forecast, model)
    quantiles = functools.partial(model_quantiles, model) if model.quantiles else None
    name, window, horizon = run.record.name, spec.window_length, spec.horizon
    return Forecaster(name, forecast, signal, window, horizon, scale, model.quantiles, quantiles)


def forecaster_of_bundle(bundle: Bundle) -> Forecaster:
    """A bundle's windowed graph, in the precision that is run.

    Raises:
        BundleError: no signal, no windowed graph, further inputs, or an answer that is no forecast of the targets.
    """
    manifest = bundle.manifest
    if manifest.signal is None or "windowed" not in manifest.names:
        raise BundleError(
            f"{bundle.folder} cannot be evaluated on a table",
            got="no signal" if manifest.signal is None else "no windowed graph",
            fix="export it with --signal, and without --state",
        )
    tensors = manifest.graph("windowed").signature
    horizon = horizon_of(tensors.answers[0].axes, len(manifest.signal.targets))
    if horizon is None or len(tensors.data) != 1 or (manifest.model is not None and manifest.model.classes):
        raise BundleError(f"{bundle.folder}: its answer is no forecast of {', '.join(manifest.signal.targets)}")
    predictor, shape = bundle.windowed(), (horizon, len(manifest.signal.targets))
    levels = () if manifest.model is None else manifest.model.quantiles
    own, *further = (of_graph(predictor, tensors, each, shape) for each in tensors.answers[: 1 + bool(levels)])
    scale, window = _scale_of_bundle(bundle), manifest.window_length
    return Forecaster(manifest.name, own, manifest.signal, window, horizon, scale, levels, *further)


def of_graph(
    predictor: WindowedPredictor, tensors: GraphSignature, answer: TensorSpec, shape: tuple[int, ...]
) -> Forecast:
    """A windowed graph as a function of batch-major windows.

    Args:
        predictor: the graph.
        tensors: its inputs and outputs.
        answer: the output that is asked for.
        shape: of its answer to one window, before quantiles: `(horizon, targets)` or `(classes,)`.
    """
    time_major = tensors.data[0].axes[0] == tensors.sequence_axis
    further = answer.axes[-1:] if answer.name == QUANTILES else ()

    def forecast(x: Floats) -> Floats:
        window = np.ascontiguousarray(x.swapaxes(0, 1) if time_major else x, np.float32)
        found = predictor.graph.run({tensors.data[0].name: window})[answer.name]
        if tensors.sequence_axis in answer.axes:  # one after every step: the last counts
            found = np.take(found, [-1], axis=answer.axes.index(tensors.sequence_axis))
        return found.reshape(len(x), *shape, *further)

    return forecast


def _scale_of_bundle(bundle: Bundle) -> Array | None:
    if bundle.manifest.model is None or WEIGHTS not in bundle.manifest.files:
        return None
    scale: Array = model_of(bundle).output_scale.double().numpy()
    return scale


def own_table(
    run: Run, file: Path | str | tuple[str, ...] | None = None, reading: Mapping[str, Any] | None = None
) -> Windows:
    """The test windows of the table that a run was trained on, or every window of another file of its columns.

    Another file is read as the run's own was, but for what `reading` says otherwise. The season is that which was
    configured, and on the own table that of the run's report: the same windows have the same baselines.

    Raises:
        DataError: the table cannot be used, or holds no window.
    """
    settings = config_from_tables(tomllib.loads(run.config_toml), f"{run.folder}/config.toml")
    config = settings.data
    if file is not None:
        reading = config.reading | dict(reading or {})
        windows = table_of(forecaster_of_run(run), file, config.timestamp, config.asset, reading=reading)
        return replace(windows, season=config.season)
    table = of_channels(read_table(config, settings.features), run.record.signal.channel_names)
    window, horizon, parts = config.window_length, config.horizon, parts_of(table, config)
    train = window_starts(table.segments, parts, 0, window_length=window, horizon=horizon, stride=config.stride)
    return replace(_windows(table, parts, window, horizon), season=int(run.report["season"]), train=train)


def table_of(
    forecaster: Forecaster,
    file: Path | str | tuple[str, ...],
    timestamp: str | tuple[str, ...],
    asset: str | None = None,
    *,
    reading: Mapping[str, Any] | None = None,
) -> Windows:
    """Every window of a file that has the forecaster's channels; one with a missing reading is left out.

    See `read_channels` for the arguments that say how the file is read.

    Raises:
        DataError: as `own_table`.
    """
    table = read_channels(file, timestamp, forecaster.signal, asset, reading=reading)
    everywhere = np.full(len(table.values), TEST)
    return _windows(table, everywhere, forecaster.window_length, forecaster.horizon)


def _windows(table: SensorTable, parts: NDArray[np.int64], window: int, horizon: int) -> Windows:
    starts = window_starts(table.segments, parts, TEST, window_length=window, horizon=horizon)
    if not starts.size:
        raise DataError(
            f"{table.file_name} holds no window to forecast",
            got=f"a longest unbroken series of {int(np.bincount(table.segments).max())} rows",
            allowed=f"window + horizon = {window + horizon} rows or more",
        )
    return Windows(table, starts)


def evaluate(forecaster: Forecaster, windows: Windows, season: int | None = None) -> EvaluationReport:
    """Errors on every window, beside persistence, seasonal naive and, where its training windows are, a linear model.

    Args:
        forecaster: what is evaluated.
        windows: where.
        season: samples in a season; None takes that of `windows`, or finds it in the table.
    """
    targets, horizon = list(forecaster.signal.target_indices), forecaster.horizon
    season = season or windows.season or _season(forecaster, windows)
    forecasts: dict[str, Forecast] = {
        "persistence": lambda x: persistence(x[:, :, targets], horizon),
        "seasonal": lambda x: seasonal_naive(x[:, :, targets], horizon, season),
    }
    if windows.train is not None and forecaster.scale is not None:
        linear = _linear(forecaster, replace(windows, starts=windows.train), forecaster.scale)
        forecasts["linear"] = lambda x: linear.forecast(x[:, :, targets])
    sums = {name: _Sums.empty(forecaster, windows) for name in ("model", *forecasts)}
    intervals = IntervalSums.empty(forecaster.levels, len(targets), forecaster.scale)
    for x, y, assets in _batches(forecaster, windows):
        own_forecast, quantiles = forecaster.answers(x)
        sums["model"].add(own_forecast.astype(np.float64) - y, assets)
        if quantiles is not None:
            intervals.add(quantiles, y)
        for name, forecast in forecasts.items():
            sums[name].add(forecast(x).astype(np.float64) - y, assets)
    scores = {name: each.scores(forecaster) for name, each in sums.items()}
    own, baselines = sums["model"], {name: scores[name] for name in forecasts}
    return EvaluationReport(
        forecaster.name,
        windows.table.file_name,
        len(windows.starts),
        forecaster.scale is not None,
        scores["model"],
        own.by_step(forecaster),
        own.by_asset(forecaster, windows.table.asset_names),
        baselines,
        season,
        Comparison(scores["model"], baselines, season).verdict,
        environment(),
        intervals.scores(forecaster.signal) if forecaster.levels else None,
    )


def _batches(
    forecaster: Forecaster, windows: Windows
) -> Iterator[tuple[NDArray[np.float32], Array, NDArray[np.int64]]]:
    """Windows, what came next, and the asset of each."""
    window, horizon = forecaster.window_length, forecaster.horizon
    targets = list(forecaster.signal.target_indices)
    for first in range(0, len(windows.starts), BATCH):
        starts = windows.starts[first : first + BATCH]
        both = windows.table.values[starts[:, None] + np.arange(window + horizon)]
        yield both[:, :window].astype(np.float32), both[:, window:][..., targets], windows.table.assets[starts]


def _linear(forecaster: Forecaster, windows: Windows, scale: Array) -> LinearBaseline:
    """The closed-form linear model of these windows."""
    targets = list(forecaster.signal.target_indices)
    pairs = ((x[:, :, targets].astype(np.float64), y) for x, y, _ in _batches(forecaster, windows))
    return fit_linear(pairs, scale)


def _season(forecaster: Forecaster, windows: Windows) -> int:
    values = windows.table.values[:, list(forecaster.signal.target_indices)]
    spread = values.std(axis=0)
    return find_season(values / np.where(spread > 0, spread, 1.0), windows.table.segments, forecaster.window_length)


@dataclass
class _Sums:
    """Sums of squared and absolute errors, `[assets, horizon, targets]`, and windows of each asset."""

    squared: Array
    absolute: Array
    windows: NDArray[np.int64]

    @classmethod
    def empty(cls, forecaster: Forecaster, windows: Windows) -> "_Sums":
        assets = len(windows.table.asset_names)
        shape = (assets, forecaster.horizon, len(forecaster.signal.targets))
        return cls(np.zeros(shape), np.zeros(shape), np.zeros(assets, np.int64))

    def add(self, error: Array, assets: NDArray[np.int64]) -> None:
        """Errors `[windows, horizon, targets]`."""
        np.add.at(self.squared, assets, np.square(error))
        np.add.at(self.absolute, assets, np.abs(error))
        np.add.at(self.windows, assets, 1)

    def scores(self, forecaster: Forecaster) -> Scores:
        mse, mae = self._means((0, 1))  # [targets]
        names = forecaster.signal.targets
        return Scores(
            Errors(float(mse.mean()), float(mae.mean())),
            _errors(mse, mae, forecaster.scale),
            {name: Errors(float(s), float(a)) for name, s, a in zip(names, mse, mae, strict=True)},
        )

    def by_step(self, forecaster: Forecaster) -> tuple[Errors, ...]:
        mse, mae = self._means((0,))  # [horizon, targets]
        return tuple(_errors(s, a, forecaster.scale) for s, a in zip(mse, mae, strict=True))

    def by_asset(self, forecaster: Forecaster, names: tuple[str, ...]) -> dict[str, Errors]:
        found = {}
        for place, name in enumerate(names):
            if self.windows[place]:
                count = self.windows[place] * self.squared.shape[1]
                mse, mae = (sums[place].sum(axis=0) / count for sums in (self.squared, self.absolute))
                found[name] = _errors(mse, mae, forecaster.scale)
        return found

    def _means(self, axes: tuple[int, ...]) -> tuple[Array, Array]:
        count = self.windows.sum() * (self.squared.shape[1] if 1 in axes else 1)
        mse, mae = (sums.sum(axis=axes) / count for sums in (self.squared, self.absolute))
        return mse, mae


def _errors(mse: Array, mae: Array, scale: Array | None) -> Errors:
    """The mean over targets `[targets]`, in standard deviations where those are known."""
    unit = np.ones_like(mse) if scale is None else scale
    return Errors(float((mse / unit**2).mean()), float((mae / unit).mean()))
