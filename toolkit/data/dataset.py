"""A table cut into training, validation and test windows, held as one contiguous tensor."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.contract.signals import BREAK, CALENDAR, SignalSpec, channel_from_name
from toolkit.data.config import DataConfig
from toolkit.data.labels import class_codes, classes_of
from toolkit.data.table_notes import notes_of
from toolkit.data.tables import SensorTable, of_channels, units_of
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
        notes: what the table was given that its file does not hold.
        class_names: of a classifier's classes; empty for a forecaster. Its `horizon` is 0 and it has no targets.
        labels: for each row the place of its class in `class_names`, or -1, int64 `[rows]`; empty for a forecaster.
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
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    labels: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))

    @property
    def target_indices(self) -> list[int]:
        """For each target its channel."""
        return list(self.signal.target_indices)

    def on(self, device: torch.device) -> "ForecastDataset":
        """The same, the readings and the windows' rows on that device."""
        starts = {part: rows.to(device) for part, rows in self.starts.items()}
        moved = {name: getattr(self, name).to(device) for name in ("rows", "segments", "labels")}
        return replace(self, starts=starts, **moved)

    def gather(self, starts: Tensor) -> tuple[Tensor, Tensor]:
        """Windows that begin at these rows.

        Returns:
            Inputs `[windows, window_length, channels]` and what came next `[windows, horizon, targets]`, raw.
        """
        steps = torch.arange(self.window_length + self.horizon, device=self.rows.device)
        both = self.rows[starts[:, None] + steps]  # [windows, window_length + horizon, channels]
        return both[:, : self.window_length], both[:, self.window_length :, self.target_indices]

    def labels_of(self, starts: Tensor) -> Tensor:
        """The classes of the windows that begin at these rows, those of their last rows: int64 `[windows]`."""
        return self.labels[starts + self.window_length - 1]

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
    train = parts == 0
    table = _varying(table, train, config)
    class_names, labels = _classes(table, parts)
    starts = {name: _starts(table, parts, number, config, labels) for number, name in enumerate(PARTS)}
    mean, std = _scaling(table, train)
    return ForecastDataset(
        _signal(table, config),
        torch.from_numpy(table.values.astype(np.float32)),
        starts,
        torch.from_numpy(mean),
        torch.from_numpy(std),
        torch.from_numpy(train),
        torch.from_numpy(table.segments),
        config.window_length,
        0 if class_names else config.horizon,
        notes_of(table),
        class_names,
        torch.from_numpy(labels),
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
    gaps = table.gaps or (BREAK,) * len(units)
    channels = tuple(
        replace(channel_from_name(name, unit), gap=gap)
        for name, unit, gap in zip(table.channel_names, units, gaps, strict=True)
    )
    zone = config.timezone or "UTC"
    return SignalSpec(channels, config.targets, table.interval_s, table.sampling, table.min_samples, zone)


def _scaling(table: SensorTable, train: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each channel over the training rows.

    Channels of the calendar keep their -1 to 1: half a year's training rows would stretch the other half far beyond.
    """
    mean, std = table.values[train].mean(axis=0), table.values[train].std(axis=0)
    calendar = np.array([channel_from_name(name).variable == CALENDAR for name in table.channel_names])
    return np.where(calendar, 0.0, mean), np.where(calendar, 1.0, std)


def _classes(table: SensorTable, parts: NDArray[np.int64]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Names of the classes and the class of each row; both empty where the table has no label."""
    if table.labels is None:
        return (), np.empty(0, np.int64)
    names = classes_of(table.labels, parts == 0, table.file_name)
    return names, class_codes(table.labels, names, parts >= 0, table.file_name)


def class_starts(
    rows: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], part: int, window: int, stride: int = 1
) -> NDArray[np.int64]:
    """First rows of the windows whose last row lies in `part` and has a class; what comes after it does not matter.

    Args:
        rows: number of the unbroken series, part and class of each, int64 `[rows]`.
        part: the number of one.
        window: samples of input.
        stride: every how many rows a window may start.
    """
    segments, parts, labels = rows
    starts = window_starts(segments, parts, part, window_length=window - 1, horizon=1, stride=stride)
    chosen: NDArray[np.int64] = starts[labels[starts + window - 1] >= 0]
    return chosen


def _starts(
    table: SensorTable, parts: NDArray[np.int64], number: int, config: DataConfig, labels: NDArray[np.int64]
) -> Tensor:
    stride, window, horizon = (config.stride if number == 0 else 1), config.window_length, config.horizon
    if labels.size:
        starts = class_starts((table.segments, parts, labels), number, window, stride)
    else:
        starts = window_starts(table.segments, parts, number, window_length=window, horizon=horizon, stride=stride)
    if labels.size and not starts.size:
        raise DataError(
            f"{table.file_name}: the {PARTS[number]} part has no window with a label",
            got=f"{int((parts == number).sum())} rows, {int((labels[parts == number] >= 0).sum())} of them with one",
            allowed=f"unbroken series of {window} rows or more, the last one with a label",
            fix="give more rows, a shorter --window, or another data.split",
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


def _varying(table: SensorTable, train: NDArray[np.bool_], config: DataConfig) -> SensorTable:
    """A channel must vary by more than float32, in which the model reads it, can resolve; or it is left out."""
    _, std = _scaling(table, train)  # the calendar may stand still: it is known to move on
    step = np.spacing(np.abs(table.values[train]).max(axis=0).astype(np.float32)).astype(np.float64)
    flat = [int(place) for place in np.flatnonzero(std <= step)]
    refused = [place for place in flat if config.constant == "error" or table.channel_names[place] in config.targets]
    if refused or len(flat) == len(table.channel_names):
        place = (refused or flat)[0]
        raise _constant(table, place, f"{std[place]:.3g}", f"{step[place]:.3g}", config)
    if not flat:
        return table
    names = [name for place, name in enumerate(table.channel_names) if place not in flat]
    return replace(of_channels(table, names), left_out=tuple(table.channel_names[place] for place in flat))


def _constant(table: SensorTable, place: int, std: str, step: str, config: DataConfig) -> DataError:
    name = table.channel_names[place]
    # Of raw samples, --exclude names the columns, and a channel is one feature of them.
    one = f"take {name} out of [features]" if table.sampling == "samples" else f"leave it out with --exclude {name}"
    fix = f"{one}, or all such channels with --set data.constant=drop"
    return DataError(
        f"{table.file_name}: the channel {name!r} is constant over the training rows",
        got=f"standard deviation {std}",
        allowed=f"more than {step}, one float32 step",
        fix="name another target, or give other rows" if name in config.targets else fix,
    )
