"""Quantiles of a forecast that cannot cross, whatever the weights.

A layer that answers each quantile by itself lets them cross where it is unsure, so that an interval has its lower end
above its upper one; sorting them afterwards hides that from training. Here the layer answers the median, and the steps
from each quantile to the next outward one, which softplus makes positive. Adding a number that is not negative never
lowers a sum, in float32 neither, and so the order survives rounding; the multiplications by a spread and by a scale,
both positive, and the additions of a level and an offset keep it as well.
"""

import torch
from torch import Tensor, nn


def outward(answers: Tensor, median: int) -> Tensor:
    """Rising quantiles.

    Args:
        answers: `[..., quantiles]`: at the median's place the median, at the others the step from the neighbour on the
            median's side, before softplus.
        median: the place of the median.

    Returns:
        `[..., quantiles]`, the median as it was given.
    """
    middle = answers[..., median : median + 1]
    steps = nn.functional.softplus(answers)
    # One addition after the other, and not a cumulative sum, which a graphics card adds up in another order.
    below, above = [middle], [middle]
    for place in range(median - 1, -1, -1):
        below.append(below[-1] - steps[..., place : place + 1])
    for place in range(median + 1, answers.shape[-1]):
        above.append(above[-1] + steps[..., place : place + 1])
    return torch.cat((*reversed(below), *above[1:]), dim=-1)
