"""The rows of a block asset by asset, and a refusal where their times do not rise."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import DataError
from toolkit.scoring.table_blocks import TableBlock

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class AssetRows:
    """Rows of a block: all of one asset together, in the order of time.

    Attributes:
        assets: int64 `[rows]`, rising.
        times_us: int64 `[rows]`, rising within an asset.
        values: float64 `[rows, columns]`.
        numbers: where each row stands among all rows of the table, int64 `[rows]`.
    """

    assets: Whole
    times_us: Whole
    values: NDArray[np.float64]
    numbers: Whole

    def groups(self) -> list[tuple[int, slice]]:
        """Each asset and its rows."""
        return groups_of(self.assets)


def groups_of(assets: Whole) -> list[tuple[int, slice]]:
    """Each asset and its rows, of rows that stand asset by asset."""
    borders = [0, *(np.flatnonzero(np.diff(assets)) + 1).tolist(), assets.size]
    return [(int(assets[a]), slice(a, b)) for a, b in itertools.pairwise(borders) if b > a]


class AssetOrder:
    """Puts rows of one asset together; remembers the last time of each asset, so that no block falls behind another."""

    def __init__(self) -> None:
        self._last_us: dict[int, int] = {}

    def ordered(self, block: TableBlock) -> AssetRows:
        """The rows of a block.

        Raises:
            DataError: times of an asset that do not rise.
        """
        order = np.argsort(block.assets, kind="stable")
        rows = AssetRows(block.assets[order], block.times_us[order], block.values[order], block.numbers[order])
        wrong = np.append(False, (np.diff(rows.assets) == 0) & (np.diff(rows.times_us) <= 0))
        for asset, part in rows.groups():
            last = self._last_us.get(asset)
            wrong[part.start] = last is not None and rows.times_us[part.start] <= last
            self._last_us[asset] = int(rows.times_us[part.stop - 1])
        if wrong.any():
            first = int(np.flatnonzero(wrong)[np.argmin(rows.numbers[wrong])])
            raise _not_rising(block, int(order[first]), int(rows.times_us[first]))
        return rows


def _not_rising(block: TableBlock, place: int, time_us: int) -> DataError:
    name, before = block.place
    return DataError(
        f"{name}: timestamps that do not rise",
        got=f"{np.datetime64(time_us, 'us')} in row {before + place + 1}, after the same or a later one",
        allowed="rising times within each asset",
        fix="sort the file by time; name the asset column with --asset if there are several machines; a small file "
        "goes with --set data.sort=true or data.duplicates=last",
    )
