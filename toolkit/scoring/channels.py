"""From the columns that are read to the channels of the model, in its order."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.signals import SignalSpec
from toolkit.data.tables import ChannelReading
from toolkit.scoring.origins import Origins
from toolkit.signal.calendar import calendar_channels, calendar_names


@dataclass(frozen=True)
class ChannelMaking:
    """How channels come of columns.

    Attributes:
        order: for each channel of the signal its place among the columns that are read, and behind them the calendar.
        calendar: of `hour`, `weekday` and `yearday`.
        timezone: of the clock that the calendar follows.
    """

    order: tuple[int, ...]
    calendar: tuple[str, ...] = ()
    timezone: str = "UTC"

    @classmethod
    def of(cls, reading: ChannelReading, signal: SignalSpec) -> "ChannelMaking":
        """Of columns as a table's reader or, of raw samples, `toolkit.data.interval_table` gives them."""
        columns: tuple[str, ...] = reading.config.channels
        if reading.features is not None:
            columns = tuple(f"{name}.{feature}" for name in columns for feature in reading.features.of(name))
        columns = (*columns, *calendar_names(reading.calendar))
        order = tuple(columns.index(name) for name in signal.channel_names)
        return cls(order, reading.calendar, signal.timezone)

    def nothing(self) -> Origins:
        """No window."""
        none = np.empty(0, np.int64)
        return Origins(np.empty((0, len(self.order)), np.float32), none, none, none)

    def channels(self, values: NDArray[np.float64], times_us: NDArray[np.int64]) -> NDArray[np.float32]:
        """The channels of whole rows, float32 `[rows, channels]`."""
        if self.calendar:
            values = np.hstack([values, calendar_channels(times_us, self.calendar, self.timezone)])
        return values[:, list(self.order)].astype(np.float32)
