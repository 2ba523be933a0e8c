"""Windows of rows that are read as they stand: a row that lacks a reading, or a gap in time, breaks the series.

The same windows as `toolkit.data.tables` and `window_starts` give of the whole table, found a block at a time: of each
asset the rows that a later window may begin with are carried from one block to the next.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.data.pace import check_pace
from toolkit.data.tables import LARGEST
from toolkit.scoring.channels import ChannelMaking
from toolkit.scoring.origins import Origins, Readings, ends_of_windows, segment_firsts
from toolkit.scoring.row_order import AssetOrder, AssetRows
from toolkit.scoring.table_blocks import TableBlock
from toolkit.signal.windows import GAP_INTERVALS, segment_ids

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class _Tail:
    """The last rows of the unbroken series in which an asset's rows ended.

    Attributes:
        values: float32 `[rows, channels]`.
        times_us: int64 `[rows]`.
        before: rows of the series before these.
    """

    values: Readings
    times_us: Whole
    before: int


@dataclass(frozen=True)
class _Joined:
    """Tails and the whole rows of a block behind them, asset by asset.

    Attributes:
        values: float32 `[rows, channels]`.
        times_us: int64 `[rows]`.
        assets: int64 `[rows]`.
        breaks: rows that were left out before each one, so far, int64 `[rows]`.
        numbers: where each row stands in the table, -1 of a tail's, int64 `[rows]`.
        before: rows of its series before the first one of a tail, there; 0 elsewhere, int64 `[rows]`.
    """

    values: Readings
    times_us: Whole
    assets: Whole
    breaks: Whole
    numbers: Whole
    before: Whole


_WHOLE = ("times_us", "assets", "breaks", "numbers", "before")


class RowWindows:
    """Finds the windows of one block after another.

    Args:
        making: how channels come of columns.
        window: samples of input.
        interval_us: between rows.
        stride: of each unbroken series the first window and every so many-th after it.
    """

    def __init__(self, making: ChannelMaking, window: int, interval_us: float, stride: int = 1) -> None:
        self._making, self._window, self._stride = making, window, stride
        self._interval_us, self._longest_step = interval_us, int(GAP_INTERVALS * interval_us)
        self._pace_is_known = False
        self._order = AssetOrder()
        self._tails: dict[int, _Tail] = {}

    def take(self, block: TableBlock) -> Origins:
        """The windows that end in this block, in the order of its rows.

        Raises:
            DataError: times that do not rise, or that follow each other too fast.
        """
        rows = self._order.ordered(block)
        self._pace_is_known = self._pace_is_known or check_pace(
            rows.assets, rows.times_us, self._interval_us, block.place[0], least_steps=self._window
        )
        usable = np.abs(rows.values) <= LARGEST  # NaN is not: it compares false
        keep: NDArray[np.bool_] = np.logical_and.reduce(usable, axis=1)
        joined = self._join(rows, keep)
        segments = segment_ids(joined.assets + joined.breaks, joined.times_us, self._longest_step)
        firsts = segment_firsts(segments[: joined.assets.size])
        place = np.arange(firsts.size) - firsts + joined.before[firsts]  # in its series
        self._carry(rows, keep, joined, firsts)
        ends = ends_of_windows(segments[: firsts.size], self._window)
        chosen = ends[(joined.numbers[ends] >= 0) & ((place[ends] - self._window + 1) % self._stride == 0)]
        chosen = chosen[np.argsort(joined.numbers[chosen], kind="stable")]
        return Origins(joined.values, chosen - self._window + 1, joined.times_us[chosen], joined.assets[chosen])

    def finish(self) -> Origins | None:
        """Nothing: a row as it stands is known when it is read."""
        return None

    def _join(self, rows: AssetRows, keep: NDArray[np.bool_]) -> _Joined:
        left_out = np.cumsum(~keep, dtype=np.int64)
        whole = np.flatnonzero(keep)
        values = self._making.channels(rows.values[keep], rows.times_us[keep])
        parts: list[_Joined] = []
        for asset, part in rows.groups():
            if asset in self._tails:
                dropped = int(left_out[part.start]) - int(not keep[part.start])
                parts.append(_of_tail(self._tails[asset], asset, dropped))
            own = slice(*np.searchsorted(whole, [part.start, part.stop]).tolist())
            index = whole[own]
            zeros = np.zeros(index.size, np.int64)
            parts.append(
                _Joined(
                    values[own], rows.times_us[index], rows.assets[index], left_out[index], rows.numbers[index], zeros
                )
            )
        return _Joined(
            np.concatenate([each.values for each in parts]),
            *(np.concatenate([getattr(each, name) for each in parts]) for name in _WHOLE),
        )

    def _carry(self, rows: AssetRows, keep: NDArray[np.bool_], joined: _Joined, firsts: Whole) -> None:
        """One row even of a window of one: it says where in its series the next block goes on."""
        length = max(self._window - 1, 1)
        for asset, part in rows.groups():
            end = int(np.searchsorted(joined.assets, asset, side="right"))
            self._tails.pop(asset, None)
            if keep[part.stop - 1]:
                first = int(firsts[end - 1])
                start = max(first, end - length)
                before = start - first + int(joined.before[first])
                self._tails[asset] = _Tail(joined.values[start:end].copy(), joined.times_us[start:end].copy(), before)


def _of_tail(tail: _Tail, asset: int, dropped: int) -> _Joined:
    size = tail.times_us.size
    before = np.zeros(size, np.int64)
    before[0] = tail.before
    assets, breaks, numbers = (np.full(size, number, np.int64) for number in (asset, dropped, -1))
    return _Joined(tail.values, tail.times_us, assets, breaks, numbers, before)
