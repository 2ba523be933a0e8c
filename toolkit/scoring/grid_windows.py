"""Windows of rows on a grid of equal intervals, whose gaps are filled as the policies of the channels say.

The same windows as `toolkit.data.gaps` gives of the whole table, found a block at a time. A place of the grid is
settled once no row to come can change it: another row may fall on an asset's last place, and the reading behind a gap
decides what `interpolate` draws across it. A window is given when its last place is settled, so that a forecast never
stands on a reading that later turns out otherwise.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from toolkit.contract.signals import GapPolicy
from toolkit.data.feature_config import FeatureConfig
from toolkit.data.gaps import GridRows, merge_places, nearest_places, whole_rows
from toolkit.data.interval_table import interval_rows
from toolkit.data.row_places import RowPlaces
from toolkit.data.source import SourceFrame
from toolkit.data.tables import LARGEST
from toolkit.scoring.channels import ChannelMaking
from toolkit.scoring.origins import Origins, ends_of_windows, segment_firsts
from toolkit.scoring.row_order import AssetOrder, AssetRows, groups_of
from toolkit.scoring.table_blocks import TableBlock
from toolkit.signal.windows import segment_ids

Whole = NDArray[np.int64]

BEFORE_ALL = np.iinfo(np.int64).min // 4
AFTER_ALL = np.iinfo(np.int64).max // 4


@dataclass(frozen=True)
class _Tail:
    """What later rows of an asset need.

    Attributes:
        rows: of the grid, from the first place that a later window or gap may reach back to.
        settled: the last place that no later row can change.
        series_first: the first place of the unbroken series that holds the settled place; that place itself where
            none does.
    """

    rows: GridRows
    settled: int
    series_first: int


class GridWindows:
    """Finds windows as rows come.

    Args:
        making: how channels come of columns.
        policies: of each column.
        window: samples of input.
        interval_us: between places.
        stride: of each unbroken series the first window and every so many-th after it.
    """

    def __init__(
        self, making: ChannelMaking, policies: list[GapPolicy], window: int, interval_us: float, stride: int = 1
    ) -> None:
        self._making, self._policies, self._window = making, policies, window
        self._interval_us, self._stride = interval_us, stride
        self._limit = max((policy.limit for policy in policies), default=0)
        self._tails: dict[int, _Tail] = {}

    def take(self, rows: GridRows, origins_us: dict[int, int]) -> Origins:
        """The windows whose last place these rows settle, by time.

        Args:
            rows: asset by asset, behind those that came before.
            origins_us: the time of place 0 of each asset.
        """
        if not rows.assets.size:
            return self._making.nothing()
        tails = {asset: self._tails.get(asset) for asset, _ in groups_of(rows.assets)}
        merged, _ = merge_places(_joined(rows, tails))
        settled = {asset: self._settled(_part(merged, part)) for asset, part in groups_of(merged.assets)}
        return self._windows(merged, settled, origins_us)

    def finish(self, origins_us: dict[int, int]) -> Origins | None:
        """The windows at each asset's end, which no row settles any more."""
        if not self._tails:
            return None
        rows = [self._tails[asset].rows for asset in sorted(self._tails)]
        joined = GridRows(*(np.concatenate([getattr(r, n) for r in rows]) for n in ("assets", "places", "values")))
        return self._windows(joined, dict.fromkeys(self._tails, AFTER_ALL), origins_us)

    def _settled(self, rows: GridRows) -> int:
        """The last place of one asset that no later row can change."""
        last = int(rows.places[-1])
        settled = last - 1
        for column, policy in enumerate(self._policies):
            if policy.kind == "interpolate":
                known = rows.places[:-1][~np.isnan(rows.values[:-1, column])]
                if known.size and 1 < last - int(known[-1]) <= policy.limit + 1:
                    settled = min(settled, int(known[-1]))
        return settled

    def _windows(self, merged: GridRows, settled: dict[int, int], origins_us: dict[int, int]) -> Origins:
        whole = whole_rows(merged, self._policies).rows
        segments = segment_ids(whole.assets, whole.places, 1)[: whole.places.size]
        firsts = whole.places[segment_firsts(segments)] if segments.size else whole.places
        before = {asset: tail.settled for asset, tail in self._tails.items()}
        for asset, part in groups_of(whole.assets):
            _continue_series(firsts[part], whole.places[part], self._tails.get(asset))
        self._carry(merged, whole, firsts, settled)
        ends = ends_of_windows(segments, self._window)
        new = whole.places > _by_asset(whole.assets, before, BEFORE_ALL)
        new &= whole.places <= _by_asset(whole.assets, settled, BEFORE_ALL)
        new &= (whole.places - firsts - self._window + 1) % self._stride == 0
        times = np.rint(whole.places * self._interval_us).astype(np.int64) + _by_asset(whole.assets, origins_us, 0)
        chosen = ends[new[ends]]
        chosen = chosen[np.lexsort((whole.assets[chosen], times[chosen]))]
        values = self._making.channels(whole.values, times)
        return Origins(values, chosen - self._window + 1, times[chosen], whole.assets[chosen])

    def _carry(self, merged: GridRows, whole: GridRows, firsts: Whole, settled: dict[int, int]) -> None:
        own = dict(groups_of(whole.assets))
        for asset, part in groups_of(merged.assets):
            rows = _part(merged, part)
            least = min(settled[asset], settled[asset] + 2 - self._window) - self._limit - 1
            first = settled[asset]
            if asset in own:
                places = whole.places[own[asset]]
                at = int(np.searchsorted(places, settled[asset]))
                if at < places.size and places[at] == settled[asset]:
                    first = int(firsts[own[asset]][at])
            kept = _part(rows, slice(int(np.searchsorted(rows.places, least)), None))
            self._tails[asset] = _Tail(_copy(kept), settled[asset], first)


def _continue_series(firsts: Whole, places: Whole, tail: _Tail | None) -> None:
    """Writes the true first place into the series that goes on from before what was carried."""
    if tail is None:
        return
    at = int(np.searchsorted(places, tail.settled))
    if at < places.size and places[at] == tail.settled:
        firsts[firsts == firsts[at]] = tail.series_first


def _joined(rows: GridRows, tails: dict[int, "_Tail | None"]) -> GridRows:
    parts = []
    for asset, part in groups_of(rows.assets):
        tail = tails[asset]
        parts += [tail.rows] if tail is not None else []
        parts.append(_part(rows, part))
    return GridRows(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("assets", "places", "values")))


def _by_asset(assets: Whole, found: dict[int, int], other: int) -> Whole:
    """For each row what was found for its asset."""
    result = np.full(assets.size, other, np.int64)
    for asset, part in groups_of(assets):
        result[part] = found.get(asset, other)
    return result


def _part(rows: GridRows, chosen: slice) -> GridRows:
    return GridRows(rows.assets[chosen], rows.places[chosen], rows.values[chosen])


def _copy(rows: GridRows) -> GridRows:
    """Of its own: a view would keep the whole block."""
    return GridRows(rows.assets.copy(), rows.places.copy(), rows.values.copy())


class GriddedRows:
    """Rows of readings, put on the grid that begins with each asset's first row."""

    def __init__(self, windows: GridWindows, interval_us: float) -> None:
        self._windows, self._interval_us = windows, interval_us
        self._order, self._origins = AssetOrder(), dict[int, int]()

    def take(self, block: TableBlock) -> Origins:
        """The windows that a block settles.

        Raises:
            DataError: times that do not rise.
        """
        rows = self._order.ordered(block)
        for asset, part in rows.groups():
            self._origins.setdefault(asset, int(rows.times_us[part.start]))
        elapsed = rows.times_us - _by_asset(rows.assets, self._origins, 0)
        values = np.where(np.abs(rows.values) <= LARGEST, rows.values, np.nan)
        return self._windows.take(
            GridRows(rows.assets, nearest_places(elapsed, self._interval_us), values), self._origins
        )

    def finish(self) -> Origins | None:
        """The windows at each asset's end."""
        return self._windows.finish(self._origins)


class SampledRows:
    """Raw samples: the features of an interval are made when a later sample of its asset ends it."""

    def __init__(self, windows: GridWindows, variables: tuple[str, ...], features: FeatureConfig) -> None:
        self._windows, self._variables, self._features = windows, variables, features
        self._order, self._open = AssetOrder(), dict[int, AssetRows]()

    def take(self, block: TableBlock) -> Origins:
        """The windows that a block settles.

        Raises:
            DataError: times that do not rise.
        """
        rows = self._order.ordered(block)
        ended: list[AssetRows] = []
        for asset, part in rows.groups():
            own = _rows(rows, part)
            joined = _one([self._open[asset], own]) if asset in self._open else own
            cut = int(joined.times_us[-1]) // self._features.interval_us * self._features.interval_us
            place = int(np.searchsorted(joined.times_us, cut))
            ended.append(_rows(joined, slice(0, place)))
            self._open[asset] = _one([_rows(joined, slice(place, None))])
        return self._windows.take(self._intervals(_one(ended)), {})

    def finish(self) -> Origins | None:
        """The windows of the last intervals, and those at each asset's end."""
        if not self._open:
            return None
        last = self._windows.take(self._intervals(_one([self._open[asset] for asset in sorted(self._open)])), {})
        end = self._windows.finish({})
        return last if end is None else _both(last, end)

    def _intervals(self, rows: AssetRows) -> GridRows:
        if not rows.assets.size:
            return GridRows(rows.assets, rows.assets, np.empty((0, 0)))
        columns = pl.DataFrame(dict(zip(self._variables, rows.values.T, strict=True)))
        places = RowPlaces(rows.numbers, ("",), np.zeros_like(rows.numbers))
        source = SourceFrame("", "", rows.times_us, rows.assets, (), columns, places)
        return interval_rows(source, self._features)


def _rows(rows: AssetRows, part: slice) -> AssetRows:
    return AssetRows(rows.assets[part], rows.times_us[part], rows.values[part], rows.numbers[part])


def _one(parts: list[AssetRows]) -> AssetRows:
    names = ("assets", "times_us", "values", "numbers")
    return AssetRows(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _both(first: Origins, second: Origins) -> Origins:
    rows = np.concatenate([first.rows, second.rows])
    starts = np.append(first.starts, second.starts + len(first.rows))
    return Origins(rows, starts, np.append(first.times_us, second.times_us), np.append(first.assets, second.assets))
