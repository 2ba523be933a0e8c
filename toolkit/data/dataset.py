"""A table cut into training, validation and test windows, held as one contiguous tensor."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.contract.signals import Channel, SignalSpec, channel_from_name
from toolkit.data.config import DataConfig
from toolkit.data.tables import SensorTable, units_of
from toolkit.errors import DataError
from toolkit.signal.windows import PARTS, part_by_borders, part_by_fraction, window_starts


@dataclass(frozen=True)
class ForecastDataset:
    """Windows by index: nothing is copied until a batch is gathered.

    Attributes:
        signal: meaning and order of the channels.
        rows: raw readings, float32 `[rows, channels]`.
        starts: for each part the first rows of its windows, int64 `[windows]`.
        mean: of each channel over the training rows, float64 `[channels]`.
        std: population standard deviation over the training rows, float64 `[channels]`.
        train_rows: which rows belong to the training part, bool `[rows]`.
        segments: numbers of the unbroken series, int64 `[rows]`.
        window_length: samples of input.
        horizon: samples of forecast.
    """

    signal: SignalSpec
    rows: Tensor
    starts: dict[str, Tensor]
    mean: Tensor
    std: Tensor
    train_rows: Tensor
    segments: Tensor
    window_length: int
    horizon: int

    @property
    def target_indices(self) -> list[int]:
        """For each target its channel."""
        return list(self.signal.target_indices)

    def gather(self, starts: Tensor) -> tuple[Tensor, Tensor]:
        """Windows that begin at these rows.

        Returns:
            Inputs `[windows, window_length, channels]` and what came next `[windows, horizon, targets]`, raw.
        """
        steps = torch.arange(self.window_length + self.horizon)
        both = self.rows[starts[:, None] + steps]  # [windows, window_length + horizon, channels]
        return both[:, : self.window_length], both[:, self.window_length :, self.target_indices]

    def batches(self, part: str, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All windows of a part in time order, `batch_size` at a time, none dropped."""
        for starts in torch.split(self.starts[part], batch_size):
            yield self.gather(starts)


def build_dataset(table: SensorTable, config: DataConfig) -> ForecastDataset:
    """Cuts a table into windows and fits the scaling on its training rows.

    Raises:
        DataError: a part without a window, or a channel that is constant over the training rows.
    """
    parts = parts_of(table, config)
    starts = {name: _starts(table, parts, number, config) for number, name in enumerate(PARTS)}
    train = parts == 0
    mean, std = table.values[train].mean(axis=0), table.values[train].std(axis=0)
    _check_varies(table, train, std)
    return ForecastDataset(
        _signal(table, config),
        torch.from_numpy(table.values.astype(np.float32)),
        starts,
        torch.from_numpy(mean),
        torch.from_numpy(std),
        torch.from_numpy(train),
        torch.from_numpy(table.segments),
        config.window_length,
        config.horizon,
    )


def parts_of(table: SensorTable, config: DataConfig) -> NDArray[np.int64]:
    """The part of each row: 0 training, 1 validation, 2 test, -1 none."""
    if config.borders:
        return part_by_borders(table.times_us, config.borders)
    return part_by_fraction(table.times_us, config.split)


def test_stretches(dataset: ForecastDataset, count: int, length: int) -> Tensor:
    """Unbroken raw readings of the test part, for checks that should see what the model will see.

    Args:
        dataset: where they come from.
        count: stretches, spread evenly over the test windows.
        length: samples of each; shorter where no series of the test part is as long.

    Returns:
        float32 `[count, length, channels]`.
    """
    starts = dataset.starts["test"]
    left = torch.searchsorted(dataset.segments, dataset.segments[starts], right=True) - starts  # rows up to the break
    length = min(length, int(left.max()))
    fitting = starts[left >= length]
    chosen = fitting[torch.linspace(0, len(fitting) - 1, count).long()]
    return dataset.rows[chosen[:, None] + torch.arange(length)]


def _signal(table: SensorTable, config: DataConfig) -> SignalSpec:
    units = units_of(table.channel_names, config.units)
    channels = tuple(
        Channel(name, channel_from_name(name).variable, channel_from_name(name).feature, unit)
        for name, unit in zip(table.channel_names, units, strict=True)
    )
    return SignalSpec(channels, config.targets, table.interval_s)


def _starts(table: SensorTable, parts: NDArray[np.int64], number: int, config: DataConfig) -> Tensor:
    stride = config.stride if number == 0 else 1
    starts = window_starts(
        table.segments, parts, number, window_length=config.window_length, horizon=config.horizon, stride=stride
    )
    if not starts.size:
        longest = int(np.bincount(table.segments).max())
        raise DataError(
            f"{table.file_name}: the {PARTS[number]} part has no window",
            got=f"{int((parts == number).sum())} rows; the longest unbroken series of the table has {longest}",
            allowed=f"unbroken series of window + horizon = {config.window_length + config.horizon} rows or more",
            fix="give more rows, a shorter --window or --horizon, or another data.split",
        )
    return torch.from_numpy(starts)


def _check_varies(
    table: SensorTable,
    train: NDArray[np.bool_],
    std: NDArray[np.float64],
) -> None:
    """A channel must vary by more than float32, in which the model reads it, can resolve."""
    step = np.spacing(np.abs(table.values[train]).max(axis=0).astype(np.float32)).astype(np.float64)
    flat = np.flatnonzero(std <= step)
    if flat.size:
        name = table.channel_names[int(flat[0])]
        raise DataError(
            f"{table.file_name}: the channel {name!r} is constant over the training rows",
            got=f"standard deviation {std[flat[0]]:.3g}",
            allowed=f"more than {step[flat[0]]:.3g}, one float32 step",
            fix=f"leave it out with --exclude {name}",
        )
