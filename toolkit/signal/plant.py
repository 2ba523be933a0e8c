"""A simulated plant: many pump stations in one table, so that the main job runs with nothing downloaded.

This is a demonstration and no evidence: a forecaster that does well here has shown that the chain from table to
gateway works, and nothing about real machines. Claims about accuracy are made on real data only.

The machines and their sensors are in `pump_station`; here their raw samples become channels, by the same arithmetic
with which a gateway makes them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.signals import Channel
from toolkit.errors import ConfigError
from toolkit.signal.features import FloatArray, IntArray, interval_features
from toolkit.signal.pump_station import (
    DAY_US,
    DEFAULT_START_US,
    SECOND_US,
    STEP_S,
    VARIABLES,
    Fault,
    RawSamples,
    Station,
)

PLANT_FEATURES = ("mean", "std", "peak")
CHANNELS = tuple(Channel(f"{v.name}.{f}", v.name, f, v.unit) for v in VARIABLES for f in PLANT_FEATURES)
"""Variable-major: temperature.mean, temperature.std, temperature.peak, pressure.mean, ..."""

LabelArray = NDArray[np.int8]


@dataclass(frozen=True)
class PlantTable:
    """One row per asset and interval, ordered by asset, then by time.

    A row is left out where a sensor gave no sample during the interval, so a dropout is a gap in time.

    Attributes:
        assets: names; `asset_index` points into it.
        asset_index: int64 `[rows]`.
        times_us: int64 `[rows]`, the interval's start, microseconds since 1970 UTC.
        values: float64 `[rows, channels]`, in engineering units, all finite.
        labels: int8 `[rows]`, places in `pump_station.FAULTS`: the fault that was active in any part of the interval.
        channels: in the order of the last axis of `values`.
        interval_s: seconds per interval.
    """

    assets: tuple[str, ...]
    asset_index: IntArray
    times_us: IntArray
    values: FloatArray
    labels: LabelArray
    channels: tuple[Channel, ...]
    interval_s: int


def simulate_plant(
    assets: int = 4,
    days: float = 7.0,
    *,
    interval_s: int = 60,
    start_us: int = DEFAULT_START_US,
    seed: int = 0,
    faults: bool = True,
    dropouts: bool = True,
    on_asset: Callable[[str], None] = lambda name: None,
) -> PlantTable:
    """Simulates pump stations and tabulates three features of three variables per interval.

    Args:
        assets: number of machines, at least 1.
        days: length in days of 24 hours, above 0; only whole intervals become rows.
        interval_s: seconds per row: at least 20, so that the slowest sensor gives two samples, and a divisor of a day.
        start_us: microseconds since 1970 UTC, a whole minute.
        seed: at least 0; the same seed gives the same table.
        faults: let faults happen; without them the same machines run sound.
        dropouts: let sensors drop out.
        on_asset: called with the name of each finished asset, for progress.

    Raises:
        ConfigError: an argument out of its range, or a span that holds no whole interval.
    """
    _check_interval(interval_s)
    if assets < 1:
        raise ConfigError("a plant needs an asset", got=f"{assets} assets", allowed="1 or more")
    parts = []
    for asset in range(assets):
        station = Station(asset, days, start_us=start_us, seed=seed, with_faults=faults, with_dropouts=dropouts)
        parts.append(_tabulate(station, interval_s))
        on_asset(asset_name(asset))
    times, values, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    if not len(times):
        raise ConfigError(f"{days:g} days hold no interval of {interval_s} s", fix="more days or shorter intervals")
    return PlantTable(
        assets=tuple(asset_name(asset) for asset in range(assets)),
        asset_index=np.repeat(np.arange(assets), [len(part[0]) for part in parts]),
        times_us=times,
        values=values,
        labels=labels,
        channels=CHANNELS,
        interval_s=interval_s,
    )


def raw_samples(
    asset: int, days: float = 7.0, *, start_us: int = DEFAULT_START_US, seed: int = 0, faults: bool = True
) -> Iterator[RawSamples]:
    """What the sensors of one asset of `simulate_plant` give, a day and a sensor at a time, dropouts taken out.

    Args:
        asset: its number, from 0.
        days: of 24 hours.
        start_us: microseconds since 1970 UTC.
        seed: the same one gives the same samples.
        faults: whether bearing wear and cavitation occur.
    """
    return Station(asset, days, start_us=start_us, seed=seed, with_faults=faults).raw_samples()


def asset_name(asset: int) -> str:
    """`pump-001` is asset 0: a name that does not depend on how many assets there are."""
    return f"pump-{asset + 1:03d}"


def _check_interval(interval_s: int) -> None:
    if interval_s < 2 * STEP_S or DAY_US % (interval_s * SECOND_US):
        raise ConfigError(
            "the interval must divide a day",
            got=f"{interval_s} s",
            allowed=f"{2 * STEP_S} to 86400 s, such as 30, 60, 300, 900 or 3600",
        )


def _tabulate(station: Station, interval_s: int) -> tuple[IntArray, FloatArray, LabelArray]:
    """Times, values and labels of one asset's rows."""
    interval_us = interval_s * SECOND_US
    first = -(-station.start_us // interval_us)  # rounded up: only whole intervals
    last = max(first, station.end_us // interval_us)
    edges = np.arange(first, last + 1) * interval_us
    values = np.full((len(edges) - 1, len(CHANNELS)), np.nan)
    for samples in station.raw_samples():
        # Midnight is an edge, so a day's samples are whole intervals, but for the run's two ends.
        low = np.searchsorted(edges, samples.start_us)
        high = np.searchsorted(edges, samples.end_us, side="right") - 1
        column = VARIABLES.index(samples.variable) * len(PLANT_FEATURES)
        if low < high:
            values[low:high, column : column + len(PLANT_FEATURES)] = interval_features(
                samples.times_us, samples.values, edges[low : high + 1], PLANT_FEATURES
            )
    kept = np.isfinite(values).all(axis=1)
    return edges[:-1][kept], values[kept], _labels(station.faults, edges)[kept]


def _labels(faults: tuple[Fault, ...], edges: IntArray) -> LabelArray:
    labels = np.zeros(len(edges) - 1, np.int8)
    for fault in faults:
        first = max(0, int(np.searchsorted(edges, fault.start_us, side="right")) - 1)
        labels[first : np.searchsorted(edges, fault.end_us)] = fault.label
    return labels
