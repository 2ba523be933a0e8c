"""What the simulated plant of `toolkit.signal.plant` sends: each sample by itself, or a row per interval.

The numbers are those of the table that `simulate OUT` writes, to the last bit: JSON carries a float64 whole.
"""

import heapq
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

import numpy as np

from toolkit.contract.frozen import dataclass
from toolkit.contract.signals import CALENDAR, Channel, Sampling, SignalSpec
from toolkit.errors import BundleError, ConfigError
from toolkit.signal.features import FEATURES, FloatArray, IntArray, feature_unit, interval_features
from toolkit.signal.plant import CHANNELS, asset_name
from toolkit.signal.pump_station import (
    DAY_US,
    DEFAULT_START_US,
    SECOND_US,
    STEP_S,
    VARIABLES,
    RawSamples,
    Station,
    Variable,
)

MAX_ASSETS = 100_000
DAY_SECONDS = DAY_US // SECOND_US
INTERVALS = f"{2 * STEP_S} to {DAY_SECONDS} s, such as 30, 60, 300, 900 or 3600"
LINES_AT_A_TIME = 1024
"""Messages of one sensor whose times are written at once: a day of vibration is 864,000."""


class Message(NamedTuple):
    """One message of the plant.

    Attributes:
        due_us: when it is sent, by the plant's clock: microseconds since 1970 UTC.
        topic: `plant/ASSET` for a row, `plant/ASSET/VARIABLE` for a sample.
        payload: UTF-8 JSON.
    """

    due_us: int
    topic: str
    payload: bytes


@dataclass(frozen=True)
class PlantSource:
    """Which machines send what, and for how long.

    Attributes:
        assets: number of machines.
        days: of 24 hours.
        sampling: `samples` for raw samples at each sensor's own rate, `rows` for the features of each interval.
        interval_s: seconds per row; of no account where samples are sent.
        channels: of a row; of samples, those whose variables are sent.
        start_us: microseconds since 1970 UTC, a whole minute.
        seed: the same seed gives the same messages.
        faults: let faults happen.

    Raises:
        ConfigError: a value out of its range; days and start are checked when the machines are built.
    """

    assets: int = 4
    days: float = 7.0
    sampling: Sampling = "rows"
    interval_s: int = 60
    channels: tuple[Channel, ...] = CHANNELS
    start_us: int = DEFAULT_START_US
    seed: int = 0
    faults: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.assets <= MAX_ASSETS:
            raise ConfigError("assets", got=self.assets, allowed=f"1 to {MAX_ASSETS}")
        if self.sampling == "rows" and (self.interval_s < 2 * STEP_S or DAY_SECONDS % self.interval_s):
            raise ConfigError("the interval must divide a day", got=f"{self.interval_s} s", allowed=INTERVALS)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Those that are measured, in the order of the plant."""
        wanted = {channel.variable for channel in self.channels}
        return tuple(variable for variable in VARIABLES if variable.name in wanted)

    def messages(self, meanwhile: Callable[[], None] = lambda: None) -> Iterator[Message]:
        """All messages in the order in which they are due.

        A day of samples is held at a time: 15 MB for each asset.

        Args:
            meanwhile: called after each asset while a day is worked out, which takes a while for many.

        Raises:
            ConfigError: days, start or seed out of their range; before the first message.
        """
        stations = [
            Station(asset, self.days, start_us=self.start_us, seed=self.seed, with_faults=self.faults)
            for asset in range(self.assets)
        ]
        return self._in_order([_days(station) for station in stations], meanwhile)

    def _in_order(
        self, stations: Sequence[Iterator[list[RawSamples]]], meanwhile: Callable[[], None]
    ) -> Iterator[Message]:
        while True:
            lanes: list[_Lane] = []
            for asset, station in enumerate(stations):
                if day := next(station, None):
                    lanes += self._lanes(asset_name(asset), day)
                meanwhile()
            if not lanes:
                return
            yield from heapq.merge(*(lane.messages() for lane in lanes))

    def _lanes(self, asset: str, day: list[RawSamples]) -> "list[_Lane]":
        if self.sampling == "rows":
            return [self._rows(asset, day)]
        return [
            _Lane(f"plant/{asset}/{one.variable.name}", ("value",), one.times_us, 0, one.values[:, None])
            for one in day
            if one.variable in self.variables
        ]

    def _rows(self, asset: str, day: list[RawSamples]) -> "_Lane":
        """Whole intervals alone; a row that lacks a number is left out, as in the table."""
        interval_us = self.interval_s * SECOND_US
        first, last = -(-day[0].start_us // interval_us), day[0].end_us // interval_us
        edges = np.arange(first, max(first, last) + 1) * interval_us
        values = np.full((len(edges) - 1, len(self.channels)), np.nan)  # [intervals, channels]
        for one in day:
            places = [place for place, c in enumerate(self.channels) if c.variable == one.variable.name]
            features = [self.channels[place].feature for place in places]
            if len(edges) > 1 and places:
                values[:, places] = interval_features(one.times_us, one.values, edges, features)
        whole = np.isfinite(values).all(axis=1)
        names = tuple(channel.name for channel in self.channels)
        return _Lane(f"plant/{asset}", names, edges[:-1][whole], interval_us, values[whole])


@dataclass(frozen=True, eq=False)
class _Lane:
    """What goes to one topic on one day: `times_us` `[messages]`, `values` `[messages, keys]`, due `delay_us` later."""

    topic: str
    keys: tuple[str, ...]
    times_us: IntArray
    delay_us: int
    values: FloatArray

    def messages(self) -> Iterator[Message]:
        names = [json.dumps(key).replace("%", "%%") for key in self.keys]
        line = '{"time": "%s", ' + ", ".join(f"{name}: %r" for name in names) + "}"
        for start in range(0, len(self.times_us), LINES_AT_A_TIME):
            times = self.times_us[start : start + LINES_AT_A_TIME]
            written = np.datetime_as_string(times.astype("datetime64[us]"), unit="ms", timezone="UTC").tolist()
            due, values = (times + self.delay_us).tolist(), self.values[start : start + LINES_AT_A_TIME].tolist()
            for moment, text, numbers in zip(due, written, values, strict=True):
                yield Message(moment, self.topic, (line % (text, *numbers)).encode())


def _days(station: Station) -> Iterator[list[RawSamples]]:
    """The sensors' samples of one UTC day after the other."""
    for _, day in groupby(station.raw_samples(), key=lambda one: one.start_us):
        yield list(day)


def source_of(signal: SignalSpec, plant: PlantSource) -> PlantSource:
    """The plant, sending what a bundle's gateway waits for.

    Args:
        signal: of the bundle.
        plant: its machines; sampling, interval and channels become the signal's.

    Raises:
        BundleError: the bundle waits for something that the plant does not measure, or at another pace.
    """
    sent = tuple(channel for channel in signal.channels if channel.variable != CALENDAR)
    for channel in sent:
        _check_channel(channel)
    if signal.sampling == "samples":
        return replace(plant, sampling="samples", channels=sent)
    interval_s = round(signal.interval_s)
    if interval_s != signal.interval_s or interval_s < 2 * STEP_S or DAY_SECONDS % interval_s:
        got = f"an interval of {signal.interval_s:g} s"
        raise BundleError("the plant's rows are of another pace", got=got, allowed=INTERVALS)
    return replace(plant, sampling="rows", channels=sent, interval_s=interval_s)


def _check_channel(channel: Channel) -> None:
    units = {variable.name: variable.unit for variable in VARIABLES}
    if channel.variable not in units or channel.feature not in FEATURES:
        allowed = f"features of {', '.join(units)}"
        raise BundleError("the plant has no such channel", got=repr(channel.name), allowed=allowed)
    unit = feature_unit(channel.feature, units[channel.variable])
    if channel.unit not in ("", unit):
        what = f"the plant measures {channel.name!r} in another unit"
        raise BundleError(what, got=f"{channel.unit} in the bundle", allowed=unit)
