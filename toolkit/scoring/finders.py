"""Which way windows are found: of rows as they stand, on a grid, or of the features of raw samples."""

from typing import Protocol

from toolkit.contract.signals import BREAK, SignalSpec, gap_policy
from toolkit.data.gaps import policies_of
from toolkit.data.tables import ChannelReading
from toolkit.errors import ConfigError
from toolkit.scoring.channels import ChannelMaking
from toolkit.scoring.grid_windows import GriddedRows, GridWindows, SampledRows
from toolkit.scoring.origins import Origins
from toolkit.scoring.row_windows import RowWindows
from toolkit.scoring.table_blocks import TableBlock


class WindowFinder(Protocol):
    """Finds windows block by block."""

    def take(self, block: TableBlock) -> Origins:
        """Those that this block makes known."""

    def finish(self) -> Origins | None:
        """Those that the end of the table makes known."""


def finder_of(reading: ChannelReading, signal: SignalSpec, window: int, stride: int = 1) -> WindowFinder:
    """What finds the windows of a table that is read so, from its beginning on.

    Args:
        reading: how channels come out of the table.
        signal: the channels.
        window: samples of input.
        stride: of each unbroken series the first window and every so many-th after it.
    """
    making, interval_us = ChannelMaking.of(reading, signal), signal.interval_s * 1e6
    columns, features = reading.config.channels, reading.features
    if features is not None:
        columns = tuple(f"{name}.{feature}" for name in columns for feature in features.of(name))
    gaps = policies_of(columns, reading.config.gaps)
    if features is None and all(text == BREAK for text in gaps):
        return RowWindows(making, window, interval_us, stride)
    policies = [gap_policy(text, "data.gaps", ConfigError) for text in gaps]
    grid = GridWindows(making, policies, window, interval_us, stride)
    return GriddedRows(grid, interval_us) if features is None else SampledRows(grid, reading.config.channels, features)
