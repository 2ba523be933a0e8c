"""How fast rows follow each other, beside the interval that they are said to have."""

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import DataError
from toolkit.signal.windows import GAP_INTERVALS


def check_pace(
    assets: NDArray[np.int64], times_us: NDArray[np.int64], interval_us: float, file_name: str, least_steps: int = 1
) -> bool:
    """Refuses rows that come faster than the interval: a window would hold less time than the model learnt on.

    Rows that come slower need no word here: each step is a gap then, and no window is found.

    Args:
        assets: `[rows]`, all rows of one asset together.
        times_us: `[rows]`.
        interval_us: what one step is taken for.
        file_name: for the message.
        least_steps: fewer are not judged.

    Returns:
        Whether there were steps enough.

    Raises:
        DataError: most steps are shorter by the factor by which a gap is longer.
    """
    steps = np.diff(times_us)[np.diff(assets) == 0]
    if steps.size < max(least_steps, 1):
        return False
    usual = float(np.median(steps))
    if usual * GAP_INTERVALS < interval_us:
        raise DataError(
            f"{file_name}: rows follow each other too fast",
            got=f"one every {usual / 1e6:g} s",
            allowed=f"one every {interval_us / 1e6:g} s of each asset",
            fix="name the asset column if there are several machines; else keep one row for each interval",
        )
    return True
