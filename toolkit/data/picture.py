"""What a table looks like: its channels over time, its gaps, and how the parts of its split differ."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.picture_reports import ChannelTrace, DataReport, Distribution, Gap
from toolkit.contract.signals import SignalSpec
from toolkit.data.tables import SensorTable, of_channels
from toolkit.signal.windows import PARTS

MOST_TRACED, MOST_NAMED = 3, 12
"""How many assets have traces and gaps, and how many are named."""

MOST_SLICES, FEWEST_SLICES, MOST_IN_ALL = 400, 40, 24_000
"""Of one trace, and of all: a table of hundreds of channels is not to have a report of tens of megabytes."""

MOST_GAPS = 200
BINS, TAIL = 30, 0.001
"""The bins lie between these quantiles, so that one wild reading does not put all others into one bin."""

DIGITS = 5
"""Of a channel's usual range that its traces keep: a screen has fewer lines."""

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


def data_report(table: SensorTable, parts: Ints, signal: SignalSpec, notes: tuple[str, ...] = ()) -> DataReport:
    """What a report shows of the table that a model was trained on.

    Args:
        table: it has the channels of `signal`; others are left out.
        parts: of each row by its place in `PARTS`, -1 for none, int64 `[rows]`.
        signal: the channels in the order of the input, their units, and which are targets.
        notes: what the table was given that its file does not hold.
    """
    if table.channel_names != signal.channel_names:
        table = of_channels(table, signal.channel_names)
    seen = np.unique(table.assets).tolist()
    traced = sorted(seen, key=lambda asset: table.asset_names[asset])[:MOST_TRACED]
    rows_of = {name: np.flatnonzero(parts == number) for number, name in enumerate(PARTS)}
    rows_of = {name: rows for name, rows in rows_of.items() if rows.size}
    distributions = tuple(
        distribution(name, values, rows_of) for name, values in zip(table.channel_names, table.values.T, strict=True)
    )
    digits = [_decimals(each.edges[-1] - each.edges[0]) for each in distributions]
    gaps, gaps_in_all = _gaps(table, traced)
    return DataReport(
        file=table.file_name,
        sha256=table.sha256,
        rows=len(table.values),
        assets=tuple(sorted(table.asset_names)[:MOST_NAMED]),
        assets_in_all=len(table.asset_names),
        channels=table.channel_names,
        units=tuple(channel.unit for channel in signal.channels),
        targets=signal.targets,
        interval_s=table.interval_s,
        borders_s=tuple(float(table.times_us[rows_of[name]].min()) / 1e6 for name in PARTS[1:] if name in rows_of),
        end_s=float(table.times_us.max()) / 1e6,
        traces=tuple(itertools.chain.from_iterable(_traces(table, asset, digits, len(traced)) for asset in traced)),
        gaps=gaps,
        gaps_in_all=gaps_in_all,
        distributions=distributions,
        notes=notes,
    )


def distribution(channel: str, values: Array, rows_of: dict[str, Ints]) -> Distribution:
    """How a channel's readings are spread in each part.

    Args:
        channel: its name.
        values: of all rows, `[rows]`.
        rows_of: for each part the numbers of its rows, at least one; a part without any is left out.
    """
    column = np.ascontiguousarray(values)
    ordered = {name: np.sort(column[rows]) for name, rows in rows_of.items()}
    edges = _edges(np.concatenate([*ordered.values()]))
    shares = {name: tuple((_counts(part, edges) / part.size).tolist()) for name, part in ordered.items()}
    moved = shift(ordered["train"], ordered["test"]) if {"train", "test"} <= ordered.keys() else 0.0
    return Distribution(channel, tuple(edges.tolist()), shares, moved)


def shift(first: Array, second: Array) -> float:
    """The largest distance between the distribution functions of two samples (Kolmogorov-Smirnov), from 0 to 1.

    Between two neighbours of one sample its function stands still and the other's only rises. So the largest distance
    lies at a reading of the smaller sample or just before it, and no others are looked at.

    Args:
        first: rising, at least one reading.
        second: the same of the other sample.
    """
    places = min(first, second, key=len)
    apart = [
        np.abs(np.searchsorted(first, places, side) / first.size - np.searchsorted(second, places, side) / second.size)
        for side in ("left", "right")
    ]
    return float(np.max(apart))


def _edges(values: Array) -> Array:
    """`[BINS + 1]`, rising also where nearly all readings, or all, are one number."""
    low, high = np.quantile(values, [TAIL, 1.0 - TAIL])
    if not _resolved(low, high):
        low, high = values.min(), values.max()
    if not _resolved(low, high):
        room = 1e-3 * max(1.0, abs(low))
        low, high = low - room, high + room
    return np.linspace(low, high, BINS + 1)


def _resolved(low: float, high: float) -> bool:
    """Whether float64 tells the edges between them apart."""
    return bool(high - low > 1e-12 * max(abs(low), abs(high)))


def _counts(ordered: Array, edges: Array) -> Ints:
    """How many rising readings lie in each bin; the outermost bins hold what lies beyond them as well."""
    inner = np.searchsorted(ordered, edges[1:-1], side="left")
    return np.diff(inner, prepend=0, append=ordered.size)


def _decimals(span: float) -> int:
    return int(np.clip(DIGITS - np.floor(np.log10(span)), -300, 300))


def _traces(table: SensorTable, asset: int, decimals: Sequence[int], assets: int) -> list[ChannelTrace]:
    """Of every channel of one of so many assets."""
    rows = np.flatnonzero(table.assets == asset)
    own = slice(int(rows[0]), int(rows[-1]) + 1)  # an asset's rows stand together
    slices = MOST_IN_ALL // (assets * len(table.channel_names))
    times, *figures = thinned(table.times_us[own], table.values[own], min(MOST_SLICES, max(FEWEST_SLICES, slices)))
    times_s = tuple(np.round(times, 3).tolist())
    name = table.asset_names[asset]
    return [
        ChannelTrace(name, channel, times_s, *(tuple(np.round(each[:, place], digits).tolist()) for each in figures))
        for place, (channel, digits) in enumerate(zip(table.channel_names, decimals, strict=True))
    ]


def thinned(times_us: Ints, values: Array, slices: int) -> tuple[Array, Array, Array, Array]:
    """Smallest, mean and largest reading in slices of time; a slice without a row is left out.

    Args:
        times_us: rising, microseconds since 1970 UTC, int64 `[rows]`, at least one.
        values: `[rows, channels]`.
        slices: how many of one length from the first row to the last; where no more rows are there than that, every
            row is one by itself.

    Returns:
        The middle of the rows of each slice in seconds `[slices]`, and smallest, mean and largest
        `[slices, channels]`.
    """
    span = float(times_us[-1] - times_us[0]) + 1.0
    number = np.arange(times_us.size)
    if times_us.size > slices:
        number = np.floor((times_us - times_us[0]).astype(np.float64) * slices / span).astype(np.int64)
    begins = np.flatnonzero(np.diff(number, prepend=-1))
    ends = np.append(begins[1:], times_us.size)
    low, high = (each.reduceat(values, begins, axis=0) for each in (np.minimum, np.maximum))
    mean = np.add.reduceat(values, begins, axis=0) / (ends - begins)[:, None]
    return (times_us[begins] + times_us[ends - 1]) / 2e6, low, np.clip(mean, low, high), high


def _gaps(table: SensorTable, traced: Sequence[int]) -> tuple[tuple[Gap, ...], int]:
    """The longest of the traced assets by asset and time, and how many all assets have."""
    times, assets = table.times_us, table.assets
    last = np.flatnonzero((np.diff(table.segments) != 0) & (np.diff(assets) == 0))  # the row before each
    shown = last[np.isin(assets[last], traced)]
    longest = np.argsort(times[shown] - times[shown + 1], kind="stable")[:MOST_GAPS]
    gaps = (
        Gap(table.asset_names[assets[row]], float(times[row]) / 1e6, float(times[row + 1]) / 1e6)
        for row in shown[np.sort(longest)]
    )
    return tuple(gaps), int(last.size)
