"""What is kept to be looked at: a table's channels over time, and chosen forecasts beside what came.

The rule for keys is that of `toolkit.contract.reports`. Times are seconds since 1970 UTC.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ChannelTrace:
    """One channel of one asset over time, thinned to what an eye can tell apart.

    Attributes:
        asset: whose; "" where the table has no assets.
        channel: its name.
        times_s: the middle of each slice of time that holds a reading.
        low: the smallest reading of each slice.
        mean: their mean.
        high: the largest.
    """

    asset: str
    channel: str
    times_s: tuple[float, ...]
    low: tuple[float, ...]
    mean: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Distribution:
    """How one channel's readings are spread in each part of the split, over bins that the parts share.

    Attributes:
        channel: its name.
        edges: of the bins, rising, one more than bins.
        shares: for each part by name (`train`, `validation`, `test`) the part of its readings in each bin.
        shift: the largest distance between the distribution functions of training and test (Kolmogorov-Smirnov).
    """

    channel: str
    edges: tuple[float, ...]
    shares: dict[str, tuple[float, ...]]
    shift: float


@dataclass(frozen=True)
class Gap:
    """A time without rows of one asset."""

    asset: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class DataReport:
    """`data.json` of a run: the table that it was trained on.

    Attributes:
        file: the table, without its folder.
        sha256: of its bytes.
        rows: of all assets.
        assets: names; those after the first twelve are counted in `assets_in_all` alone.
        assets_in_all: how many there are.
        channels: names, in the order of the input.
        units: of each.
        targets: those that are forecast.
        interval_s: between two rows.
        borders_s: when validation begins and when test begins.
        end_s: of the last row.
        traces: of every channel of at most three assets.
        gaps: the longest of those assets, at most 200.
        gaps_in_all: of all assets.
        distributions: one for each channel.
        notes: what the table was given that its file does not hold.
    """

    file: str
    sha256: str
    rows: int
    assets: tuple[str, ...]
    assets_in_all: int
    channels: tuple[str, ...]
    units: tuple[str, ...]
    targets: tuple[str, ...]
    interval_s: float
    borders_s: tuple[float, ...]
    end_s: float
    traces: tuple[ChannelTrace, ...]
    gaps: tuple[Gap, ...]
    gaps_in_all: int
    distributions: tuple[Distribution, ...]
    notes: tuple[str, ...] = ()
    schema: str = "data/1"


@dataclass(frozen=True)
class ForecastExample:
    """One window's forecast of one target beside what came and what the baselines said.

    Attributes:
        kind: `best`, `median` or `worst` of all windows by the squared error of this target.
        asset: whose.
        target: the channel.
        unit: its unit.
        history_times_s: of the last rows of the window, at most 120.
        history: the target's readings there.
        times_s: of the steps of the horizon.
        truth: what came.
        forecast: of the model.
        baselines: by name.
        quantiles: by level as text, where the model gives them.
        error: mean absolute error of this window, in the unit.
    """

    kind: str
    asset: str
    target: str
    unit: str
    history_times_s: tuple[float, ...]
    history: tuple[float, ...]
    times_s: tuple[float, ...]
    truth: tuple[float, ...]
    forecast: tuple[float, ...]
    baselines: dict[str, tuple[float, ...]]
    quantiles: dict[str, tuple[float, ...]] = field(default_factory=dict)
    error: float = 0.0
