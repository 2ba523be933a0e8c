"""What stands in a row where a channel has no reading: as `toolkit.data.gaps` in training, one row after the other.

A channel is held for as many places as its policy says since the place of its last reading, whether or not the row of
that place was whole. What was skipped altogether becomes rows of its own where every channel can be filled and at least
one of them is held: numbers that were only ever configured are no signal. A line across a gap (`interpolate`) needs the
reading behind it, which is still to come, and so such a gap ends the series here.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.frozen import dataclass
from toolkit.contract.signals import SignalSpec, gap_policy
from toolkit.edge.changes import Flag
from toolkit.edge.columns import Column, columns_of
from toolkit.edge.settings import ColumnLimits, MissingPolicy, missing_policy
from toolkit.errors import ConfigError
from toolkit.signal.features import interval_features

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NEVER = -(1 << 53)
"""The place of a channel's last reading where it had none."""


@dataclass(frozen=True, eq=False)
class LastReadings:
    """The last reading of each channel that is sent, of some assets.

    Attributes:
        places: int64 `[assets, channels]`, `NEVER` where there was none.
        values: float32 `[assets, channels]`: to the model a reading is no more than that.
    """

    places: Ints
    values: NDArray[np.float32]

    @classmethod
    def read(cls, held: Sequence[list[int]], channels: int) -> "LastReadings":
        """Of `AssetRecord.held`, as `written` gives it; of any other length nothing is known."""
        nothing = [NEVER] * channels + [0] * channels
        numbers = [each if len(each) == 2 * channels else nothing for each in held]
        table = np.array(numbers, np.int64).reshape(len(held), 2, channels)
        return cls(table[:, 0], table[:, 1].astype(np.int32).view(np.float32))

    def written(self) -> list[list[int]]:
        """For each asset the places, and behind them the bits of the values."""
        bits = np.ascontiguousarray(self.values).view(np.int32).astype(np.int64)
        written: list[list[int]] = np.hstack([self.places, bits]).tolist()
        return written

    def taken(self, assets: Ints) -> "LastReadings":
        """Of these assets, in this order."""
        return LastReadings(self.places[assets], self.values[assets])

    def after(self, places: Ints, values: Floats) -> "LastReadings":
        """With the readings of one more place each, NaN where there is none.

        Args:
            places: int64 `[assets]`.
            values: float64 `[assets, channels]`.
        """
        there = np.isfinite(values)
        return LastReadings(
            np.where(there, places[:, None], self.places), np.where(there, values, self.values).astype(np.float32)
        )


class Fillings:
    """The policies of the channels that are sent, in the order of the channels.

    Args:
        signal: of the bundle; its own policies hold where nothing else is said.
        columns: what is sent.
        limits: by the names of columns.

    Attributes:
        holds: whether any channel is held: whether last readings have to be known.

    Raises:
        ConfigError: a policy that is none.
    """

    def __init__(self, signal: SignalSpec, columns: Sequence[Column], limits: Mapping[str, ColumnLimits]) -> None:
        sent = len(signal.channels) - signal.calendar_channels
        self._limits = np.zeros(sent, np.int64)
        self._imputed = np.full(sent, np.nan)
        breaks = np.zeros(sent, np.bool_)
        for column in columns:
            channels = list(column.channels)
            for channel in channels:
                policy = _policy_of(signal.channels[channel].gap, column, limits)
                self._limits[channel] = policy.limit
                breaks[channel] = policy.kind == "break"
                if policy.kind == "impute":
                    self._imputed[channels] = _standing_still(policy.value, column)
        self.holds = bool(self._limits.any())
        self._fills_all = self.holds and not breaks.any()

    def empty_places(self, last: LastReadings, last_places: Ints, places: Ints) -> Ints:
        """How many of the places between an asset's last whole row and the next are filled, int64 `[assets]`.

        Args:
            last: readings before that row.
            last_places: of the last whole row, `NEVER` where there was none.
            places: of the next.
        """
        if not self._fills_all:
            return np.zeros(len(places), np.int64)
        held = self._limits > 0
        until = np.minimum((last.places[:, held] + self._limits[held]).min(axis=1), places - 1)
        # Behind a place that had readings and gave no row, nothing can be filled: there a channel had missed too long.
        follows_row = (last_places > NEVER) & (last.places.max(axis=1) <= last_places)
        counts: Ints = np.where(follows_row, np.maximum(until - last_places, 0), 0)
        return counts

    def filled(self, places: Ints, values: Floats, last: LastReadings) -> tuple[Floats, Ints]:
        """Fills what can be.

        Args:
            places: int64 `[rows]`.
            values: float64 `[rows, channels]`, NaN where there is no reading.
            last: for each row the readings before it.

        Returns:
            The values, NaN where nothing could be done, and bits of `Flag` for each row.
        """
        missing = np.isnan(values)
        if not missing.any():
            return values, np.zeros(len(places), np.int64)
        held = missing & (places[:, None] - last.places <= self._limits)  # a limit of 0 holds nothing
        imputed = missing & np.isfinite(self._imputed)
        values = np.where(held, last.values, np.where(imputed, self._imputed, values))
        flags = held.any(axis=1) * int(Flag.HELD) + imputed.any(axis=1) * int(Flag.IMPUTED)
        return values, flags


def interpolated_columns(signal: SignalSpec) -> tuple[str, ...]:
    """Names of the columns across whose short gaps training drew a line, and whose series end there on a gateway."""
    return tuple(
        column.name
        for column in columns_of(signal)
        if any(signal.channels[place].gap.startswith("interpolate") for place in column.channels)
    )


def _policy_of(gap: str, column: Column, limits: Mapping[str, ColumnLimits]) -> MissingPolicy:
    limit = limits.get(column.name)
    if limit is not None and limit.missing:
        return missing_policy(limit.missing, f"limits.{column.name}.missing")
    trained = gap_policy(gap, f"the gap policy of {column.name}", ConfigError)
    return MissingPolicy("hold", trained.limit) if trained.kind == "hold" else MissingPolicy("break")


def _standing_still(value: float, column: Column) -> Floats:
    """A column's channels in an interval whose one sample is `value`; that itself where it is taken as it is."""
    if not column.features:
        return np.array([value])
    channels: Floats = interval_features([0], [value], [0, 1], column.features)[0]
    return channels
