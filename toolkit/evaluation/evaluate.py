"""Errors of a forecaster on every window of a table: overall, by target, by step of the horizon, by asset."""

import functools
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import GraphSignature
from toolkit.contract.manifest import WEIGHTS
from toolkit.contract.reports import Errors, EvaluationReport, Scores
from toolkit.contract.signals import SignalSpec
from toolkit.data.dataset import parts_of
from toolkit.data.tables import SensorTable, read_channels, read_table
from toolkit.errors import BundleError, DataError
from toolkit.parity.bundle import model_of
from toolkit.parity.held_out import horizon_of
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.environment import environment
from toolkit.runtime.predictors import WindowedPredictor
from toolkit.signal.baselines import find_season, persistence, seasonal_naive
from toolkit.signal.windows import window_starts
from toolkit.training.config import config_from_tables
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
    """

    name: str
    forecast: Forecast
    signal: SignalSpec
    window_length: int
    horizon: int
    scale: Array | None


@dataclass(frozen=True)
class Windows:
    """A table and the first rows of the windows to be forecast."""

    table: SensorTable
    starts: NDArray[np.int64]


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
    return Forecaster(run.record.name, forecast, signal, spec.window_length, spec.horizon, scale)


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
    forecast = _of_graph(bundle.windowed(), tensors, (horizon, len(manifest.signal.targets)))
    return Forecaster(
        manifest.name, forecast, manifest.signal, manifest.window_length, horizon, _scale_of_bundle(bundle)
    )


def _of_graph(predictor: WindowedPredictor, tensors: GraphSignature, shape: tuple[int, int]) -> Forecast:
    time_major = tensors.data[0].axes[0] == tensors.sequence_axis
    axes = tensors.answers[0].axes

    def forecast(x: Floats) -> Floats:
        window = np.ascontiguousarray(x.swapaxes(0, 1) if time_major else x, np.float32)
        answer = predictor.predict(window)
        if tensors.sequence_axis in axes:  # one after every step: the last counts
            answer = np.take(answer, [-1], axis=axes.index(tensors.sequence_axis))
        return answer.reshape(len(x), *shape)

    return forecast


def _scale_of_bundle(bundle: Bundle) -> Array | None:
    if bundle.manifest.model is None or WEIGHTS not in bundle.manifest.files:
        return None
    scale: Array = model_of(bundle).output_scale.double().numpy()
    return scale


def own_table(run: Run, file: Path | None = None) -> Windows:
    """The test windows of the table that a run was trained on, or every window of another file of its columns.

    Raises:
        DataError: the table cannot be used, or holds no window.
    """
    config = config_from_tables(tomllib.loads(run.config_toml), f"{run.folder}/config.toml").data
    if file is not None:
        return table_of(forecaster_of_run(run), file, config.timestamp, config.asset)
    table = read_table(config)  # its columns are in the order of the run's signal, which was made of it
    return _windows(table, parts_of(table, config), config.window_length, config.horizon)


def table_of(forecaster: Forecaster, file: Path, timestamp: str, asset: str | None = None) -> Windows:
    """Every window of a file that has the forecaster's channels; one with a missing reading is left out.

    Raises:
        DataError: as `own_table`.
    """
    table = read_channels(file, timestamp, forecaster.signal, asset)
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
    """Errors on every window, beside persistence and seasonal naive.

    Args:
        forecaster: what is evaluated.
        windows: where.
        season: samples in a season; None finds it in the table.
    """
    targets, horizon = list(forecaster.signal.target_indices), forecaster.horizon
    season = season or _season(forecaster, windows)
    forecasts: dict[str, Forecast] = {
        "model": forecaster.forecast,
        "persistence": lambda x: persistence(x[:, :, targets], horizon),
        "seasonal": lambda x: seasonal_naive(x[:, :, targets], horizon, season),
    }
    sums = {name: _Sums.empty(forecaster, windows) for name in forecasts}
    for x, y, assets in _batches(forecaster, windows):
        for name, forecast in forecasts.items():
            sums[name].add(forecast(x).astype(np.float64) - y, assets)
    scores = {name: each.scores(forecaster) for name, each in sums.items()}
    own, baselines = sums["model"], {name: scores[name] for name in ("persistence", "seasonal")}
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
