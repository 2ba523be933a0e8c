import numpy as np
import pytest

from toolkit.benchmark import machine_peak
from toolkit.benchmark.machine_peak import _Weights, capped_columns, floor_us, measured_peaks
from toolkit.benchmark.profile_work import Product
from toolkit.contract.profile_reports import MachinePeak


class TickingClock:
    """Each look at the clock takes the next of these times, and for ever the last; half of it is processor time."""

    def __init__(self, *ticks):
        self.ticks, self.time = list(ticks), 7_000

    def now_ns(self):
        self.time += self.ticks.pop(0) if len(self.ticks) > 1 else self.ticks[0]
        return self.time

    def cpu_ns(self):
        return self.time // 2


def numbers(rows, inner, columns=1):
    """Weights that a block goes through."""
    return max(1, machine_peak.BLOCK_FLOPS // (2 * rows * inner * columns)) * rows * inner


@pytest.fixture(autouse=True)
def _many_threads(monkeypatch):
    for name in machine_peak.ONE_THREAD:
        monkeypatch.delenv(name, raising=False)


def test_the_peak_is_the_best_block():
    # Start, then before and after each block: 500, 400 and, in all others, 1000 ns.
    clock = TickingClock(9, 9, 500, 9, 400, 1000)
    (peak,) = measured_peaks([Product(64, 32, 1)], clock, seconds=1e-9)
    assert (peak.columns, peak.rows, peak.inner) == (1, 64, 32)
    assert peak.gflops == 2 * numbers(64, 32) / 400
    assert peak.gb_per_s == 4 * numbers(64, 32) / 400
    assert peak.cores_used == pytest.approx(0.5, rel=0.01)


def test_each_number_of_columns_has_its_peak_and_the_best_shape_counts():
    products = [Product(64, 32, 1), Product(8, 3, 1), Product(64, 32, 100), Product(64, 32, 70)]
    peaks = measured_peaks(products, TickingClock(1000), seconds=1e-9)
    assert [peak.columns for peak in peaks] == [1, 64]
    assert peaks[0].gflops == 2 * max(numbers(64, 32), numbers(8, 3)) / 1000


@pytest.mark.parametrize(("columns", "stands_for"), [(0, 1), (1, 1), (3, 2), (60, 32), (64, 64), (5000, 64)])
def test_columns_are_measured_in_powers_of_two(columns, stands_for):
    assert capped_columns(columns) == stands_for


def test_the_floor_is_every_product_at_the_peak_for_its_columns():
    peaks = [MachinePeak(1, 256, 64, 40.0, 80.0, 1.0), MachinePeak(32, 256, 64, 80.0, 5.0, 1.0)]
    products = [Product(256, 64, 1, 60), Product(256, 9, 60)]
    assert floor_us(products, peaks) == pytest.approx((2 * 256 * 64 * 60 / 40 + 2 * 256 * 9 * 60 / 80) / 1e3)
    assert floor_us([], []) is None


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("pieces", [1, 3])
def test_pieces_and_orders_are_the_same_product(order, pieces):
    left, right, results = _Weights(rows=12, inner=5, columns=2, pieces=pieces, order=order).operands()
    np.matmul(left, right, out=results)
    assert results.shape[1:] == (pieces, 12 // pieces, 2)
    np.testing.assert_allclose(results[3, -1], left[0, -1] @ right[3, 0], rtol=1e-5)
    assert left.strides[0] == 0  # the same weights in memory over and over, so that they stay in the cache


def tried(monkeypatch, product):
    """The ways of laying weights out that are measured."""
    seen = []

    def block(weights, clock, seconds):
        seen.append((weights.pieces, weights.order))
        return MachinePeak(weights.columns, weights.rows, weights.inner, 1.0, 1.0, 1.0)

    monkeypatch.setattr(machine_peak, "_best_block", block)
    measured_peaks([product], TickingClock(1), 1.0)
    return seen


def test_what_blas_would_spread_over_threads_comes_in_pieces(monkeypatch):
    assert tried(monkeypatch, Product(64, 64, 1)) == [(1, "C"), (1, "F")]
    assert tried(monkeypatch, Product(256, 64, 1)) == [(2, "C"), (2, "F")]
    assert tried(monkeypatch, Product(4, 20_000, 1)) == [(4, "C"), (4, "F")]


def test_whole_ones_are_tried_where_blas_is_held_to_one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert tried(monkeypatch, Product(256, 64, 1)) == [(2, "C"), (2, "F"), (1, "C"), (1, "F")]
