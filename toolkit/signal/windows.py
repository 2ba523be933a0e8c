"""Which rows may form a window: never across an asset's border, never across a gap in time."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

GAP_INTERVALS = 1.5
"""A step of more than this many intervals is a gap: half an interval of jitter is not, one missing row is."""

PARTS = ("train", "validation", "test")
UNUSED = -1


def segment_ids(assets: NDArray[np.int64], times_us: NDArray[np.int64], max_step_us: int) -> NDArray[np.int64]:
    """Numbers the unbroken series of a table whose rows are ordered by asset and time.

    Args:
        assets: `[rows]`.
        times_us: `[rows]`, microseconds.
        max_step_us: the longest step that is no gap.

    Returns:
        int64 `[rows]`, rising from 0 by one at each break.
    """
    breaks = (np.diff(assets) != 0) | (np.diff(times_us) > max_step_us)
    return np.concatenate([[0], np.cumsum(breaks)]).astype(np.int64)


def part_by_fraction(times_us: NDArray[np.int64], fractions: Sequence[float]) -> NDArray[np.int64]:
    """Splits rows by time so that the parts hold about these fractions of them.

    Args:
        times_us: `[rows]`, microseconds.
        fractions: of the parts, in their order; together at most 1.

    Returns:
        As `part_by_borders`.
    """
    borders = np.round(np.cumsum(fractions) * times_us.size).astype(int)
    return part_by_borders(times_us, borders.tolist())


def part_by_borders(times_us: NDArray[np.int64], borders: Sequence[int]) -> NDArray[np.int64]:
    """Splits rows by time at the moments of the rows numbered `borders` in time order.

    All assets are cut at the same moments, so that no asset's past tells of another's future.

    Args:
        times_us: `[rows]`, microseconds.
        borders: numbers of rows.

    Returns:
        int64 `[rows]`: 0 for training, 1 for validation, 2 for test, -1 for rows past the last border.
    """
    ordered = np.sort(times_us)
    cuts = [ordered[border] if border < ordered.size else ordered[-1] + 1 for border in borders]
    parts = np.searchsorted(np.asarray(cuts), times_us, side="right").astype(np.int64)
    parts[parts >= len(borders)] = UNUSED
    return parts


def window_starts(
    segments: NDArray[np.int64],
    parts: NDArray[np.int64],
    part: int,
    *,
    window_length: int,
    horizon: int,
    stride: int = 1,
) -> NDArray[np.int64]:
    """First rows of all windows whose forecast rows lie in `part`.

    The input of a training window lies in the training part as well. The input of a validation or test window
    may begin in the part before it, one window length early, as the literature does: no row is forecast twice
    and none is lost at a border.

    Args:
        segments: `[rows]`, numbers of the unbroken series: see `segment_ids`.
        parts: `[rows]`, numbers of the parts: see `part_by_borders`.
        part: 0 for training, 1 for validation, 2 for test.
        window_length: rows of input.
        horizon: rows of forecast.
        stride: rows from one window to the next.

    Returns:
        int64 `[windows]`, indices of rows, rising.
    """
    length = window_length + horizon
    starts = np.arange(0, max(segments.size - length + 1, 0), stride, dtype=np.int64)
    whole = segments[starts] == segments[starts + length - 1]
    first, last = parts[starts + window_length], parts[starts + length - 1]
    inside = (first == part) & (last == part)
    if part == 0:
        inside &= parts[starts] == part
    chosen: NDArray[np.int64] = starts[whole & inside]
    return chosen
