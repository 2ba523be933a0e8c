"""What this machine reaches at best in products of the model's own weights: the floor under a call's time.

numpy's BLAS computes the product of the same weights with many vectors in turn, in one call, so that Python has no part
in it and the weights stay in the cache. Both orders of the weights in memory are tried, for kernels differ in which one
they like. The best block counts: nothing makes a block faster than the machine.

OpenBLAS spreads a matrix-vector product over threads from 9,216 weights on, and a matrix product from 262,144
multiplications. Larger ones are computed in pieces below that, of whole rows: the same arithmetic on the same memory,
on one thread. Whole ones are tried as well where the environment holds BLAS to one thread; elsewhere its threads would
spin beside what is measured next. `cores_used` says whether it was one: another BLAS may think otherwise.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.benchmark.profile_work import Product
from toolkit.benchmark.timing import Clock, collector_held_off
from toolkit.contract.profile_reports import MachinePeak

Array = NDArray[np.float32]
F32 = np.float32

VECTOR_LIMIT, MATRIX_LIMIT = 9_216, 262_144
BLOCK_FLOPS = 8_000_000
"""In a block: a quarter of a millisecond or less, long against the 2 us of the call."""
LEAST_BLOCKS, MOST_BLOCKS = 5, 2_000
MOST_COLUMNS = 64
"""Beyond it no product became faster; a product of more columns counts as one of so many."""
MOST_SHAPES = 3
"""Of weights that are tried for one number of columns, the largest first."""
ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")


@dataclass(frozen=True)
class _Weights:
    """One way to lay weights out: in so many pieces, each by rows (`C`) or by columns (`F`)."""

    rows: int
    inner: int
    columns: int
    pieces: int
    order: str

    def operands(self) -> tuple[Array, Array, Array]:
        """The same weights over and over, vectors that differ, and room for the results."""
        draw = np.random.default_rng(0)
        piece = -(-self.rows // self.pieces)
        repeats = max(1, BLOCK_FLOPS // (2 * self.rows * self.inner * self.columns))
        turned = self.order == "F"
        stored = draw.standard_normal((self.pieces, *((self.inner, piece) if turned else (piece, self.inner))), F32)
        one = stored.transpose(0, 2, 1) if turned else stored
        weights = np.broadcast_to(one, (repeats, self.pieces, piece, self.inner))
        vectors = draw.standard_normal((repeats, 1, self.inner, self.columns), F32)
        return weights, vectors, np.empty((repeats, self.pieces, piece, self.columns), F32)


def capped_columns(columns: int) -> int:
    """The number of columns whose peak stands for this one: the power of two at or below it, at most 64."""
    return min(1 << (max(columns, 1).bit_length() - 1), MOST_COLUMNS)


def measured_peaks(products: Iterable[Product], clock: Clock, seconds: float) -> tuple[MachinePeak, ...]:
    """The peak for each number of columns among the products, the fewest columns first.

    Args:
        products: of the model.
        clock: where time comes from.
        seconds: for all of it; at least five blocks of each are computed.
    """
    shapes: dict[int, dict[tuple[int, int], None]] = {}
    for product in sorted(products, key=lambda product: -product.rows * product.inner):
        shapes.setdefault(capped_columns(product.columns), {})[product.rows, product.inner] = None
    chosen = {columns: list(known)[:MOST_SHAPES] for columns, known in sorted(shapes.items())}
    share = seconds / max(1, 4 * sum(map(len, chosen.values())))
    return tuple(
        max((_peak(*shape, columns, clock, share) for shape in known), key=lambda peak: peak.gflops)
        for columns, known in chosen.items()
    )


def floor_us(products: Iterable[Product], peaks: Iterable[MachinePeak]) -> float | None:
    """The time of the products at the peak for their columns; None where there is no product."""
    rates = {peak.columns: peak.gflops for peak in peaks}
    times = [product.flops / rates[capped_columns(product.columns)] / 1e3 for product in products]
    return sum(times) if times else None


def _peak(rows: int, inner: int, columns: int, clock: Clock, seconds: float) -> MachinePeak:
    """The best of both orders in memory, in pieces and, where that is safe, whole."""
    limit = VECTOR_LIMIT if columns == 1 else MATRIX_LIMIT // columns
    pieces = -(-rows // max(1, limit // inner))  # a row that is too long is a piece by itself
    numbers = (pieces, 1) if any(os.environ.get(name) == "1" for name in ONE_THREAD) else (pieces,)
    tried = [
        _best_block(_Weights(rows, inner, columns, number, order), clock, seconds)
        for number in dict.fromkeys(numbers)
        for order in ("C", "F")
    ]
    return max(tried, key=lambda peak: peak.gflops)


def _best_block(weights: _Weights, clock: Clock, seconds: float) -> MachinePeak:
    """The shortest block, and the processor time over the wall time of all of them."""
    left, right, results = weights.operands()
    np.matmul(left, right, out=results)
    start, cpu_start = clock.now_ns(), clock.cpu_ns()
    end, shortest, done = start, 1 << 62, 0
    with collector_held_off():
        while done < LEAST_BLOCKS or (end - start < seconds * 1e9 and done < MOST_BLOCKS):
            before = clock.now_ns()
            np.matmul(left, right, out=results)
            end, done = clock.now_ns(), done + 1
            shortest = min(shortest, end - before)
    shortest, numbers = max(shortest, 1), left.size
    return MachinePeak(
        columns=weights.columns,
        rows=weights.rows,
        inner=weights.inner,
        gflops=2 * numbers * weights.columns / shortest,
        gb_per_s=4 * numbers / shortest,
        cores_used=(clock.cpu_ns() - cpu_start) / max(end - start, 1),
    )
