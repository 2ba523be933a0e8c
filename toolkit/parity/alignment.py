"""When a value of a graph is a value of a module: the same numbers, whatever the order of the axes.

An ONNX graph moves axes and adds ones of size 1 where torch does not, and the other way round; names tell nothing in a
graph that somebody else made. So tensors are compared by what they hold.
"""

from itertools import permutations

import numpy as np

from toolkit.parity.torch_trace import Floats, Traced

MOST_AXES = 4
"""Beyond it axes are not permuted: 120 orders and more to try."""

TIMES_TORCH = 16.0
"""How many times torch float32's largest error in a tensor a graph's value may be away. In clean graphs (hidden sizes
4-64, 1-3 layers, 1-200 samples) the worst recurrent layer of 192 needed 6.3, nearly all 4 and less."""

RELATIVE = 2e-6
"""Of a tensor's spread: onnxruntime rounds sigmoid and tanh otherwise than torch, which may be right by chance."""

RELATIVE_UNKNOWN = 1e-4
"""The same where torch's own rounding is not known."""

ULPS = 8.0


def sizes(values: Floats) -> tuple[int, ...]:
    """The sizes above 1 in falling order: what two tensors must share to hold the same."""
    return tuple(sorted((size for size in values.shape if size > 1), reverse=True))


def aligned(got: Floats, like: Floats) -> Floats | None:
    """`got` in the shape of `like`, axes in the order that brings them nearest; None where the sizes differ."""
    if sizes(got) != sizes(like):
        return None
    core = got.reshape([size for size in got.shape if size > 1])
    wanted = [size for size in like.shape if size > 1]
    orders = permutations(range(core.ndim)) if core.ndim <= MOST_AXES else iter([tuple(range(core.ndim))])
    fitting = [order for order in orders if [core.shape[axis] for axis in order] == wanted]
    found = [core.transpose(order).reshape(like.shape) for order in fitting]
    return min(found, key=lambda values: float(distance(values, like).sum()), default=None)


def distance(got: Floats, wanted: Floats) -> Floats:
    """Absolute differences; infinity where one is no number."""
    with np.errstate(invalid="ignore"):
        found = np.abs(got - wanted)
    return np.where(np.isfinite(found), found, np.inf)


def allowed(values: Floats, rounding: Floats | None, tolerance: float) -> Floats:
    """How far a graph's value may be away, for each entry of the last axis.

    The last axis may hold channels of different units (101 325 Pa beside 20 degrees), so each is measured by itself,
    and by the spread of its values rather than by their size.

    Args:
        values: of the module.
        rounding: how far torch float32 is away from them; None where that is not known.
        tolerance: the least that is allowed.
    """
    rows = _rows(values)
    if not np.isfinite(rows).all():
        return np.zeros(rows.shape[-1])
    spreads = _spreads(rows)
    limits = np.maximum(ULPS * np.finfo(np.float32).eps * np.abs(rows).max(axis=0), tolerance)
    if rounding is None:
        return np.asarray(np.maximum(limits, RELATIVE_UNKNOWN * spreads.max()))
    # Few numbers may be right by chance, so the worst channel counts for all, as it is or by its share of the spread.
    torch_error = rounding.reshape(rows.shape).max(axis=0)
    share = np.minimum(torch_error.max(), (torch_error / spreads).max() * spreads)
    return np.asarray(np.maximum(np.maximum(limits, RELATIVE * spreads.max()), TIMES_TORCH * share))


def _rows(values: Floats) -> Floats:
    """`[everything else, channels]`."""
    return values.reshape(-1, values.shape[-1] if values.ndim else 1)


def _spreads(rows: Floats) -> Floats:
    """How far the values of each channel lie apart; all channels together where there is but one row. Above 0."""
    spread = np.ptp(rows, axis=0) if len(rows) > 1 else np.full(rows.shape[-1], np.ptp(rows))
    return np.asarray(np.maximum(spread, np.finfo(np.float32).tiny))


def agrees(got: Floats, step: Traced, tolerance: float) -> bool:
    """Whether a value of a graph is the one that the module computed in `step`."""
    if step.values is None:
        return False
    return equal(got, step.values, allowed(step.values, step.rounding, tolerance))


def equal(got: Floats, wanted: Floats, limits: Floats) -> bool:
    """Whether `got` lies within `limits` (for each entry of the last axis) of `wanted`, in any order of the axes."""
    if got.size != wanted.size:
        return False
    # Most pairs are told apart by their sums, which no order of axes changes.
    with np.errstate(invalid="ignore"):
        if not abs(float(got.sum()) - float(wanted.sum())) <= (got.size + 1) * float(limits.max()):
            return False
    found = aligned(got, wanted)
    return found is not None and bool((distance(found, wanted) <= limits).all())


def is_comparable(step: Traced) -> bool:
    """Whether a step has numbers to be found again."""
    return step.values is not None and step.values.size > 0 and bool(np.isfinite(step.values).all())


def looseness(step: Traced, tolerance: float) -> float:
    """What is allowed, as a share of the spread of the values.

    A pressure at 101 325 +- 50 proves little, and a constant nothing: it is found again by chance.
    """
    if step.values is None:
        return float("inf")
    return float(np.median(allowed(step.values, step.rounding, tolerance) / _spreads(_rows(step.values))))
