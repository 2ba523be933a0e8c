"""From raw samples to a table of features: every variable at a rate of its own, all on the same intervals."""

import itertools
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.records import nearest
from toolkit.contract.signals import channel_from_name
from toolkit.data.config import DataConfig
from toolkit.data.feature_config import FeatureConfig
from toolkit.data.gaps import GridRows
from toolkit.data.source import SourceFrame, leave_out
from toolkit.errors import ConfigError, DataError
from toolkit.signal.features import interval_features

LARGEST = float(np.finfo(np.float32).max)
"""The model reads float32. A sample or a feature beyond this is none."""


def source_config(config: DataConfig, features: FeatureConfig) -> DataConfig:
    """The settings by which raw samples are read: columns are variables there, while targets and units name channels.

    Raises:
        ConfigError: `data.interval_s` says otherwise than `features.interval_s`.
    """
    if config.interval_s not in (None, features.interval_s):
        fix = "leave data.interval_s out"
        raise ConfigError(
            "data.interval_s beside [features]", got=config.interval_s, allowed=features.interval_s, fix=fix
        )
    variables = dict.fromkeys(channel_from_name(target).variable for target in config.targets)
    return replace(config, targets=tuple(variables), units={}, gaps={})


def channels_of(source: SourceFrame, config: DataConfig, features: FeatureConfig) -> tuple[str, ...]:
    """`variable.feature` for each feature of each column, variable-major.

    Raises:
        DataError: a column without a sample, or a variable or target that is not there.
    """
    variables = source.columns.columns
    for variable in features.variables:
        if variable not in variables:
            raise _no_such("features.variables names no column of the file", variable, variables)
    for variable, readings in zip(variables, source.columns, strict=True):
        if not _usable(readings.to_numpy()).any():
            raise DataError(f"{source.names}: the column {variable!r} holds no reading at all", fix=leave_out(variable))
    channels = tuple(f"{variable}.{feature}" for variable in variables for feature in features.of(variable))
    for target in config.targets:
        if target not in channels:
            raise _no_such("a target is no channel; a channel is a variable and one of its features", target, channels)
    return channels


def interval_rows(source: SourceFrame, features: FeatureConfig) -> GridRows:
    """A row for every interval of every asset in which any variable has a sample.

    An empty cell, NaN, infinity and what float32 cannot hold are no samples.

    Returns:
        Rows whose places are intervals since 1970 UTC, and whose channels are `channels_of`.
    """
    borders = np.flatnonzero(np.diff(source.assets)) + 1
    ends = [0, *borders.tolist(), source.assets.size]
    columns = {variable: source.columns[variable].to_numpy() for variable in source.columns.columns}
    parts = [
        _of_asset(
            int(source.assets[first]),
            source.times_us[first:last],
            {variable: readings[first:last] for variable, readings in columns.items()},
            features,
        )
        for first, last in itertools.pairwise(ends)
    ]
    return GridRows(
        np.concatenate([part.assets for part in parts]),
        np.concatenate([part.places for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


def _of_asset(
    asset: int, times: NDArray[np.int64], columns: dict[str, NDArray[np.float64]], features: FeatureConfig
) -> GridRows:
    """Intervals without any sample are left out, which moves no sample into another: edges stand where samples do."""
    usable = {variable: _usable(readings) for variable, readings in columns.items()}
    sampled = times[np.logical_or.reduce([*usable.values()])]
    places = np.unique(sampled // features.interval_us)
    edges = np.append(places, places[-1:] + 1) * features.interval_us  # [intervals + 1]
    blocks = [
        _of_variable(times[usable[variable]], readings[usable[variable]], edges, features.of(variable), features)
        for variable, readings in columns.items()
    ]
    return GridRows(np.full(places.size, asset, np.int64), places, np.hstack(blocks))


def _of_variable(
    times: NDArray[np.int64],
    samples: NDArray[np.float64],
    edges: NDArray[np.int64],
    names: tuple[str, ...],
    features: FeatureConfig,
) -> NDArray[np.float64]:
    """Features `[intervals, features]`, NaN where there are too few samples or float32 cannot hold it."""
    if edges.size == 0:
        return np.empty((0, len(names)))
    table = interval_features(times, samples, edges, (*names, "count"))
    values, counts = table[:, :-1], table[:, -1:]
    return np.where((counts >= features.min_samples) & _usable(values), values, np.nan)


def _usable(readings: NDArray[np.float64]) -> NDArray[np.bool_]:
    """NaN compares false."""
    usable: NDArray[np.bool_] = np.abs(readings) <= LARGEST
    return usable


def _no_such(what: str, name: str, names: tuple[str, ...] | list[str]) -> DataError:
    near = nearest(name, names)
    return DataError(
        what, got=repr(name), allowed=", ".join(names[:30]), fix=f"did you mean {near!r}?" if near else None
    )
