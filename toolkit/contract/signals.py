"""What the numbers that go into a model mean: channels, their order, their units, the interval between rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from toolkit.errors import DataError

VALUE_FEATURE = "value"
"""The feature of a channel that is one reading per interval and no statistic of several."""


@dataclass(frozen=True)
class Channel:
    """One feature of one variable: one column of the table, one number per step of the model's input.

    Attributes:
        name: the column's name in the table, `variable.feature` where several features exist.
        variable: the physical quantity, e.g. `pressure`.
        feature: the statistic over one interval, e.g. `mean`, or `value` for a single reading.
        unit: the engineering unit, or "" where it was not stated.
    """

    name: str
    variable: str
    feature: str
    unit: str = ""


@dataclass(frozen=True)
class SignalSpec:
    """The channels of a model's input in their order, and those of them that it forecasts.

    Attributes:
        channels: in the order of the last axis of `x`.
        targets: names of channels, in the order of the last axis of `forecast`.
        interval_s: seconds between two rows of one asset.
    """

    channels: tuple[Channel, ...]
    targets: tuple[str, ...]
    interval_s: float

    def __post_init__(self) -> None:
        names = self.channel_names
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise DataError("a channel stands twice", got=repeated[0])
        unknown = [target for target in self.targets if target not in names]
        if unknown:
            raise DataError("a target is no channel", got=unknown[0], allowed=", ".join(names))
        if not self.interval_s > 0:
            raise DataError("the interval must be positive", got=f"{self.interval_s} s")

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names in the order of the input's last axis."""
        return tuple(channel.name for channel in self.channels)

    @property
    def target_indices(self) -> tuple[int, ...]:
        """For each target its place among the channels."""
        return tuple(self.channel_names.index(target) for target in self.targets)

    @property
    def target_units(self) -> tuple[str, ...]:
        """For each target its unit."""
        return tuple(self.channels[index].unit for index in self.target_indices)


def channel_from_name(name: str, unit: str = "") -> Channel:
    """`pressure.mean` is the feature `mean` of the variable `pressure`; `OT` is a plain reading of `OT`."""
    variable, dot, feature = name.rpartition(".")
    return Channel(name, variable, feature, unit) if dot and variable else Channel(name, name, VALUE_FEATURE, unit)


def variable_major(names: Sequence[str]) -> tuple[str, ...]:
    """Orders channels so that all features of a variable stand together, else as given.

    `a.mean, b.mean, a.std, b.std` becomes `a.mean, a.std, b.mean, b.std`: the flattening of a
    `[variables, features]` table by rows, so that `input_size = variables x features`.
    """
    variables = list(dict.fromkeys(channel_from_name(name).variable for name in names))
    return tuple(sorted(names, key=lambda name: variables.index(channel_from_name(name).variable)))
