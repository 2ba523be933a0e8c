"""Reads a table of sensor readings from CSV or Parquet, and refuses what it would have to guess."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.records import decode, nearest
from toolkit.contract.signals import BREAK, Channel, Sampling, SignalSpec, channel_from_name, gap_policy
from toolkit.data.config import DataConfig
from toolkit.data.feature_config import FeatureConfig
from toolkit.data.gaps import (
    EVERY,
    GridRows,
    grid_origins,
    merge_places,
    nearest_places,
    policies_of,
    policy_of,
    whole_rows,
)
from toolkit.data.interval_table import channels_of, interval_rows, source_config
from toolkit.data.labels import Labels, placed
from toolkit.data.source import SourceFrame, leave_out, read_frame
from toolkit.errors import ConfigError, DataError
from toolkit.signal.calendar import calendar_channels, calendar_features, calendar_names
from toolkit.signal.features import feature_unit
from toolkit.signal.windows import GAP_INTERVALS, segment_ids

LARGEST = float(np.finfo(np.float32).max)
"""The model reads float32: a reading beyond this would be infinite there."""


@dataclass(frozen=True)
class SensorTable:
    """Readings in order: all rows of one asset stand together, in time order.

    Attributes:
        file_name: without its folder.
        sha256: of the file, hexadecimal.
        channel_names: in the order of the columns of `values`, variable-major.
        asset_names: in order of appearance; one empty name where the table has no asset column.
        assets: for each row its asset's place in `asset_names`, int64 `[rows]`.
        times_us: microseconds since 1970, UTC where the file states a zone, int64 `[rows]`.
        values: raw readings, float64 `[rows, channels]`, all finite.
        segments: for each row the number of its unbroken series, int64 `[rows]`.
        interval_s: seconds between rows.
        dropped_rows: rows left out because a reading was missing.
        gaps: the gap policy of each channel.
        filled: readings that a gap policy made up, by channel, for channels whose policy makes any.
        merged_rows: rows that gave way to a later one nearest to the same place of the grid.
        sampling: whether the file held rows, or raw samples of which these are the features.
        min_samples: of an interval of raw samples.
        labels: what each row is called, where `data.label` names a column.
        bad_quality: readings left out because their quality was not good.
        left_out: channels left out because they never change on the training rows.
    """

    file_name: str
    sha256: str
    channel_names: tuple[str, ...]
    asset_names: tuple[str, ...]
    assets: NDArray[np.int64]
    times_us: NDArray[np.int64]
    values: NDArray[np.float64]
    segments: NDArray[np.int64]
    interval_s: float
    dropped_rows: int
    gaps: tuple[str, ...] = ()
    filled: dict[str, int] = field(default_factory=dict)
    merged_rows: int = 0
    sampling: Sampling = "rows"
    min_samples: int = 1
    labels: Labels | None = None
    bad_quality: int = 0
    left_out: tuple[str, ...] = ()


def read_table(config: DataConfig, features: FeatureConfig | None = None) -> SensorTable:
    """Reads and checks the table that `config` names.

    Args:
        config: the file, its columns, and what a missing reading does.
        features: what becomes of raw samples; None where each row holds the channels as they are.

    Raises:
        ConfigError: `config` and `features` contradict each other.
        DataError: no such file, not a table, a column that is not there, text among numbers, times that do not
            rise, or a missing reading while `config.missing` is `error`. The message names file, row and column.
    """
    return with_calendar(_readings(config, features), config.calendar, config.timezone or "UTC")


def with_calendar(table: SensorTable, features: Sequence[str], timezone: str) -> SensorTable:
    """The same with what the time alone tells, behind the other channels: see `toolkit.signal.calendar`."""
    if not features:
        return table
    names = calendar_names(features)
    columns = calendar_channels(table.times_us, features, timezone)
    return replace(
        table,
        values=np.hstack([table.values, columns]),
        channel_names=(*table.channel_names, *names),
        gaps=(*table.gaps, *(BREAK for _ in names)),
    )


def _readings(config: DataConfig, features: FeatureConfig | None) -> SensorTable:
    if features is not None:
        return _of_samples(config, features)
    source = read_frame(config)
    _check_named("data.gaps", config.gaps, source.columns.columns, source.names)
    if any(text != BREAK for text in policies_of(source.columns.columns, config.gaps)):
        return _of_rows_on_grid(source, config)
    return _of_rows(source, config)


def _of_rows(source: SourceFrame, config: DataConfig) -> SensorTable:
    """Rows as they stand; one that lacks a reading is left out and ends its series."""
    values = source.columns.fill_null(float("nan")).to_numpy()
    names = tuple(source.columns.columns)
    keep = _rows_to_keep(_bad_readings(values, source, config), source)
    dropped = np.cumsum(~keep)[keep]  # rows left out before each kept one
    assets, times, values = source.assets[keep], source.times_us[keep], values[keep]
    interval_us = _interval_us(config, times, assets, source.names)
    # A row that was left out breaks its series as another asset would, however short the step across it is.
    segments = segment_ids(assets + dropped, times, int(GAP_INTERVALS * interval_us))
    return SensorTable(
        source.names,
        source.sha256,
        names,
        source.asset_names,
        assets,
        times,
        np.ascontiguousarray(values),
        segments,
        interval_us / 1e6,
        int(keep.size - keep.sum()),
        policies_of(names, config.gaps),
        labels=None if source.labels is None else source.labels.of_rows(np.flatnonzero(keep)),
        bad_quality=source.bad_quality,
    )


def _labelled(table: SensorTable, source: SourceFrame, early_us: float, late_us: float) -> SensorTable:
    """The same with the last label that stands so near the time of each row."""
    if source.labels is None:
        return table
    reach = math.ceil(early_us), math.ceil(late_us)
    labels = placed(source.labels, source.assets, source.times_us, (table.assets, table.times_us), reach)
    return replace(table, labels=labels)


def _of_rows_on_grid(source: SourceFrame, config: DataConfig) -> SensorTable:
    """Rows at the nearest places of a grid for each asset, gaps filled as the policies say."""
    values = source.columns.fill_null(float("nan")).to_numpy()
    values = np.where(_bad_readings(values, source, config), np.nan, values)
    interval_us = _interval_us(config, source.times_us, source.assets, source.names)
    origins = grid_origins(source.assets, source.times_us, len(source.asset_names))
    places = nearest_places(source.times_us - origins[source.assets], interval_us)
    rows, merged = merge_places(GridRows(source.assets, places, values))
    table = _on_grid(source, tuple(source.columns.columns), config, rows, interval_us)
    table = replace(table, times_us=table.times_us + origins[table.assets], merged_rows=merged)
    return _labelled(table, source, interval_us / 2, interval_us / 2)


def _of_samples(config: DataConfig, features: FeatureConfig) -> SensorTable:
    """Features of raw samples over intervals, gaps filled as the policies say."""
    source = read_frame(source_config(config, features))
    names = channels_of(source, config, features)
    for where, by_name in (("data.units", config.units), ("data.gaps", config.gaps)):
        _check_named(where, by_name, names, source.names)
    table = _on_grid(source, names, config, interval_rows(source, features), features.interval_us)
    table = replace(table, sampling="samples", min_samples=features.min_samples)
    return _labelled(table, source, 0, features.interval_us)


def _on_grid(
    source: SourceFrame, names: tuple[str, ...], config: DataConfig, rows: GridRows, interval_us: float
) -> SensorTable:
    """Times count from the grid's origin."""
    gaps = policies_of(names, config.gaps)
    whole = whole_rows(rows, [gap_policy(text, "data.gaps", ConfigError) for text in gaps])
    kept = whole.rows
    if not kept.places.size:
        raise _nothing_whole(source)
    return SensorTable(
        source.names,
        source.sha256,
        names,
        source.asset_names,
        kept.assets,
        np.rint(kept.places * interval_us).astype(np.int64),
        kept.values,
        segment_ids(kept.assets, kept.places, 1),
        interval_us / 1e6,
        whole.dropped,
        gaps,
        {name: int(n) for name, text, n in zip(names, gaps, whole.filled, strict=True) if text != BREAK},
        bad_quality=source.bad_quality,
    )


def read_channels(
    file: Path | str | tuple[str, ...],
    timestamp: str | tuple[str, ...],
    signal: SignalSpec,
    asset: str | None = None,
    label: str | None = None,
    *,
    reading: Mapping[str, Any] | None = None,
) -> SensorTable:
    """A table's channels in the order of a signal's, as they were made in training: features, gaps and all.

    Where a reading is missing and no gap policy of the signal fills it, the series breaks.

    Args:
        file: as `data.file`.
        timestamp: as `data.timestamp`.
        signal: the channels.
        asset: as `data.asset`.
        label: as `data.label`.
        reading: how the file is read: settings of `[data]` that `toolkit.data.config.READING` names.

    Raises:
        ConfigError: the signal names a feature that does not exist, or a setting is wrong.
        DataError: as `read_table`.
    """
    how = channel_reading(file, timestamp, signal, asset, label, reading=reading)
    table = _readings(how.config, how.features)
    return of_channels(with_calendar(table, how.calendar, signal.timezone), signal.channel_names)


@dataclass(frozen=True)
class ChannelReading:
    """How the channels of a signal come out of a table.

    Attributes:
        config: the file, its columns and the gap policies.
        features: what becomes of raw samples; None where each row holds the channels as they are.
        calendar: what the time alone tells, behind the other channels.
    """

    config: DataConfig
    features: FeatureConfig | None
    calendar: tuple[str, ...]


def channel_reading(
    file: Path | str | tuple[str, ...],
    timestamp: str | tuple[str, ...],
    signal: SignalSpec,
    asset: str | None = None,
    label: str | None = None,
    *,
    reading: Mapping[str, Any] | None = None,
) -> ChannelReading:
    """The settings by which `read_channels` reads, for whoever reads in pieces. Nothing is opened.

    Raises:
        ConfigError: as `read_channels`.
    """
    names = signal.channel_names
    samples = signal.sampling == "samples"
    readings = signal.channels[: len(names) - signal.calendar_channels]
    computed = calendar_features(names[len(readings) :], str(file))
    settings = {
        "file": str(file) if isinstance(file, Path) else file,
        "timestamp": timestamp,
        "targets": () if label else signal.targets or names[:1],
        "asset": asset,
        "channels": tuple(dict.fromkeys(channel.variable if samples else channel.name for channel in readings)),
        "interval_s": signal.interval_s,
        "missing": "break",
        "gaps": {channel.name: channel.gap for channel in readings},
        "timezone": signal.timezone if computed and signal.timezone != "UTC" else None,
        "label": label,
    }
    config = decode(DataConfig, settings | dict(reading or {}), "data", ConfigError)
    return ChannelReading(config, _features_of(readings, signal) if samples else None, computed)


def of_channels(table: SensorTable, names: Sequence[str]) -> SensorTable:
    """The same with these channels alone, in this order."""
    order = [table.channel_names.index(name) for name in names]
    gaps = tuple(table.gaps[place] for place in order) if table.gaps else ()
    filled = {name: count for name, count in table.filled.items() if name in names}
    return replace(table, values=table.values[:, order], channel_names=tuple(names), gaps=gaps, filled=filled)


def _features_of(readings: Sequence[Channel], signal: SignalSpec) -> FeatureConfig:
    variables: dict[str, tuple[str, ...]] = {}
    for channel in readings:
        variables[channel.variable] = (*variables.get(channel.variable, ()), channel.feature)
    return FeatureConfig(signal.interval_s, variables=variables, min_samples=signal.min_samples)


def _check_named(where: str, by_name: Mapping[str, str], channels: Sequence[str], file_name: str) -> None:
    """A key that names nothing would do nothing, and nobody would notice."""
    named = [*dict.fromkeys([*channels, *(channel_from_name(name).variable for name in channels)])]
    for name in by_name:
        if name not in named and not (name == EVERY and where == "data.gaps"):
            near = nearest(name, named)
            raise DataError(
                f"{file_name}: {where} names no channel and no variable",
                got=repr(name),
                allowed=", ".join(named[:30]),
                fix=f"did you mean {near!r}?" if near else None,
            )


def _bad_readings(values: NDArray[np.float64], source: SourceFrame, config: DataConfig) -> NDArray[np.bool_]:
    """Which readings are missing or infinite, bool `[rows, channels]`; refused where no gap policy speaks of them."""
    names = source.columns.columns
    bad: NDArray[np.bool_] = ~(np.abs(values) <= LARGEST)  # NaN as well: it compares false
    empty = np.flatnonzero(bad.all(axis=0))
    if empty.size:
        name = names[int(empty[0])]
        raise DataError(f"{source.names}: the column {name!r} holds no reading at all", fix=leave_out(name))
    refused = bad & [policy_of(name, config.gaps) is None for name in names]
    if refused.any() and config.missing == "error":
        row, column = (int(place) for place in np.argwhere(refused)[0])
        reading = values[row, column]
        raise DataError(
            f"{source.names}: a missing or infinite reading in {int(refused.any(axis=1).sum())} of {len(bad)} rows",
            got=f"{'no number' if np.isnan(reading) else f'{reading:.3g}'} in {source.place(row, names[column])}",
            allowed=f"finite numbers, in float32: up to {LARGEST:.2g}",
            fix="correct them, or break the series there with --set data.missing=break",
        )
    return bad


def _rows_to_keep(bad: NDArray[np.bool_], source: SourceFrame) -> NDArray[np.bool_]:
    keep = np.logical_not(bad.any(axis=1))
    if not keep.any():
        raise _nothing_whole(source)
    return keep


def _nothing_whole(source: SourceFrame) -> DataError:
    fix = 'leave out the emptiest column with --exclude, or fill gaps with --set \'data.gaps={"*" = "hold:3"}\''
    return DataError(f"{source.names}: every row holds a missing reading", fix=fix)


def _interval_us(config: DataConfig, times: NDArray[np.int64], assets: NDArray[np.int64], file_name: str) -> float:
    if config.interval_s is not None:
        return config.interval_s * 1e6
    steps = np.diff(times)[np.diff(assets) == 0]
    if not steps.size:
        raise DataError(f"{file_name}: a single row per asset has no interval", fix="give more rows")
    return float(np.median(steps))


def units_of(names: Sequence[str], units: dict[str, str]) -> tuple[str, ...]:
    """The unit of each channel: stated for itself, or else that of its feature of its variable's unit, or else ""."""
    return tuple(units.get(name, _of_variable(name, units)) for name in names)


def _of_variable(name: str, units: dict[str, str]) -> str:
    channel = channel_from_name(name)
    return feature_unit(channel.feature, units.get(channel.variable, ""))
