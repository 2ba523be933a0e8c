"""What the numbers that go into a model mean: channels, their order, their units, the interval between rows."""

from collections.abc import Sequence
from typing import Literal

from toolkit.contract.frozen import dataclass
from toolkit.errors import DataError, RequestError

VALUE_FEATURE = "value"
"""The feature of a channel that is one reading per interval and no statistic of several."""

CALENDAR = "calendar"
"""The variable of channels that are computed from the time: see `toolkit.signal.calendar`. No sensor sends them."""


Sampling = Literal["rows", "samples"]
"""What a source gives: one row of readings per interval, or raw samples of which an interval's features are made."""

BREAK = "break"
"""The gap policy that makes nothing up."""
LONGEST_GAP = 10_000
"""Intervals that a policy may fill: readings that are made up are no signal, and each is a row in memory."""


@dataclass(frozen=True)
class GapPolicy:
    """What stands where a channel has no reading.

    Attributes:
        kind: `break` ends the series there. `hold` repeats the last reading for up to `limit` intervals, and ends the
            series where the gap is longer. `interpolate` draws a line across a gap of at most `limit` intervals and
            ends the series at a longer one; it needs the reading after the gap, which a gateway has not got yet and
            treats as `break`.
        limit: intervals; 0 for `break`.
    """

    kind: Literal["break", "hold", "interpolate"]
    limit: int = 0


def gap_policy(text: str, where: str, error: type[RequestError]) -> GapPolicy:
    """Reads `break`, `hold:N` or `interpolate:N`.

    Raises:
        RequestError: of the class `error`, with the place `where`: it is none of them.
    """
    if text == BREAK:
        return GapPolicy("break")
    kind, _, number = text.partition(":")
    limit = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0
    if kind == "hold" and 1 <= limit <= LONGEST_GAP:
        return GapPolicy("hold", limit)
    if kind == "interpolate" and 1 <= limit <= LONGEST_GAP:
        return GapPolicy("interpolate", limit)
    raise error(
        where, got=repr(text), allowed=f"break, hold:N or interpolate:N, N from 1 to {LONGEST_GAP}", fix="hold:3"
    )


@dataclass(frozen=True)
class Channel:
    """One feature of one variable: one column of the table, one number per step of the model's input.

    Attributes:
        name: the column's name in the table, `variable.feature` where several features exist.
        variable: the physical quantity, e.g. `pressure`.
        feature: the statistic over one interval, e.g. `mean`, or `value` for a single reading.
        unit: the engineering unit, "1" for a pure number, or "" where it was not stated.
        gap: what stands where a reading is missing: see `gap_policy`.
    """

    name: str
    variable: str
    feature: str
    unit: str = ""
    gap: str = BREAK

    def __post_init__(self) -> None:
        gap_policy(self.gap, f"the gap policy of the channel {self.name!r}", DataError)


@dataclass(frozen=True)
class SignalSpec:
    """The channels of a model's input in their order, and those of them that it forecasts.

    Attributes:
        channels: in the order of the last axis of `x`.
        targets: names of channels, in the order of the last axis of `forecast`.
        interval_s: seconds between two rows of one asset.
        sampling: `samples` where the channels are features of raw samples, over intervals that are aligned to UTC
            and closed on the left; `rows` where they are read as they come.
        min_samples: an interval with fewer samples of a variable has no reading of its channels.
        timezone: IANA name of the zone whose clock the channels of `CALENDAR` follow; they stand at the end.
    """

    channels: tuple[Channel, ...]
    targets: tuple[str, ...]
    interval_s: float
    sampling: Sampling = "rows"
    min_samples: int = 1
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        names = self.channel_names
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise DataError("a channel stands twice", got=repeated[0])
        unknown = [target for target in self.targets if target not in names]
        if unknown:
            raise DataError("a target is no channel", got=unknown[0], allowed=", ".join(names))
        self._check_calendar()
        if not self.interval_s > 0:
            raise DataError("the interval must be positive", got=f"{self.interval_s} s")
        for channel in self.channels:
            if self.sampling == "samples" and channel.name != f"{channel.variable}.{channel.feature}":
                allowed = f"{channel.variable}.{channel.feature}"
                raise DataError("a channel of raw samples is named otherwise", got=channel.name, allowed=allowed)
        if self.min_samples < 1:
            raise DataError("the fewest samples of an interval", got=self.min_samples, allowed="1 or more")

    def _check_calendar(self) -> None:
        if any(self.channels[index].variable == CALENDAR for index in self.target_indices):
            raise DataError("a target is computed from the time", got="a channel of the calendar", allowed="readings")
        if any(c.variable == CALENDAR for c in self.channels[: len(self.channels) - self.calendar_channels]):
            raise DataError("channels of the calendar stand before others", fix="put them at the end")

    @property
    def calendar_channels(self) -> int:
        """How many of the last channels are computed from the time."""
        return sum(channel.variable == CALENDAR for channel in self.channels)

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
