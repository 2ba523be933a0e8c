"""The columns that a gateway's source must send for a bundle: variables of raw samples, or channels as they are."""

from toolkit.contract.frozen import dataclass
from toolkit.contract.signals import CALENDAR, SignalSpec
from toolkit.signal.features import FEATURES


@dataclass(frozen=True)
class Column:
    """One number that a source sends again and again.

    Attributes:
        name: the variable's name, or the channel's.
        unit: in which the bundle expects it; "" where that was never stated.
        channels: places, among the channels of the input, of what is made of it.
        features: the statistic that each of those channels is; empty where the number is taken as it is.
    """

    name: str
    unit: str
    channels: tuple[int, ...]
    features: tuple[str, ...] = ()


def columns_of(signal: SignalSpec) -> tuple[Column, ...]:
    """The columns of a bundle's signal in the order of its channels; the calendar's are sent by nobody."""
    sent = [(place, channel) for place, channel in enumerate(signal.channels) if channel.variable != CALENDAR]
    if signal.sampling == "rows":
        return tuple(Column(channel.name, channel.unit, (place,)) for place, channel in sent)
    columns = []
    for variable in dict.fromkeys(channel.variable for _, channel in sent):
        own = [(place, channel) for place, channel in sent if channel.variable == variable]
        units = [channel.unit for _, channel in own if FEATURES[channel.feature].unit == "variable"]
        columns.append(
            Column(
                variable,
                units[0] if units else "",
                tuple(place for place, _ in own),
                tuple(channel.feature for _, channel in own),
            )
        )
    return tuple(columns)
