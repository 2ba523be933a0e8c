"""Errors of a forecaster on every window of a table: overall, by target, by step of the horizon, by asset."""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import QUANTILES, GraphSignature, TensorSpec, horizon_of
from toolkit.contract.manifest import WEIGHTS
from toolkit.data.dataset import parts_of
from toolkit.data.tables import SensorTable, of_channels, read_channels, read_table
from toolkit.errors import BundleError, DataError
from toolkit.parity.bundle import model_of
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.predictors import WindowedPredictor
from toolkit.signal.windows import window_starts
from toolkit.training.config import config_from_tables
from toolkit.training.forecast_evaluation import evaluate
from toolkit.training.forecaster import Array, Forecaster, Windows, forecaster_of_model
from toolkit.training.run import Run
from toolkit.training.scoring import Floats, Forecast

__all__ = [
    "TEST",
    "Forecaster",
    "Windows",
    "evaluate",
    "forecaster_of_bundle",
    "forecaster_of_run",
    "of_graph",
    "own_table",
    "table_of",
]

TEST = 2
"""The number of the part that a model is judged on: see `toolkit.signal.windows.PARTS`."""


def forecaster_of_run(run: Run) -> Forecaster:
    """A run's torch module.

    Raises:
        BundleError: it is a classifier.
    """
    spec = run.record.model
    if spec.classes:
        raise BundleError(f"{run.folder} holds a classifier, which forecasts nothing")
    return forecaster_of_model(run.record.name, run.model, run.record.signal, spec.window_length, spec.horizon)


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
