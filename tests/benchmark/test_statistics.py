import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.benchmark.statistics import median_ratio, percentiles, summarise
from toolkit.errors import InputError

SAMPLES = st.lists(st.integers(1, 10**12), min_size=1, max_size=200)


def test_percentiles_are_nearest_ranks():
    hundred = list(range(100, 0, -1))
    assert percentiles(hundred, (0, 1, 50, 90, 99, 99.9, 100)) == (1, 1, 50, 90, 99, 100, 100)
    assert percentiles([10, 20], (50, 51)) == (10, 20)


@given(samples=SAMPLES, share=st.floats(0.1, 100))
def test_a_percentile_is_the_smallest_sample_that_covers_the_share(samples, share):
    (found,) = percentiles(samples, (share,))
    assert found in samples
    assert sum(sample <= found for sample in samples) >= share / 100 * len(samples) - 1e-9
    smaller = [sample for sample in samples if sample < found]
    assert len(smaller) < share / 100 * len(samples) + 1e-9


def test_a_summary_gives_count_percentiles_and_maximum():
    summary = summarise(np.arange(1, 1001).reshape(10, 100))
    assert (summary.count, summary.p50_ns, summary.p90_ns, summary.p99_ns, summary.max_ns) == (
        1000,
        500,
        900,
        990,
        1000,
    )


@given(samples=SAMPLES)
def test_a_summary_is_ordered_and_does_not_depend_on_the_order_of_samples(samples):
    summary = summarise(samples)
    assert min(samples) <= summary.p50_ns <= summary.p90_ns <= summary.p99_ns <= summary.max_ns == max(samples)
    assert summary == summarise(sorted(samples, reverse=True))


def test_one_sample_is_every_percentile():
    summary = summarise([7])
    assert (summary.count, summary.p50_ns, summary.p99_ns, summary.max_ns) == (1, 7, 7, 7)


def test_the_ratio_is_taken_within_rounds():
    # The machine is ten times slower in the second half; within each round the reference takes twice as long.
    reference = [200, 200, 200, 2000, 2000]
    own = [100, 100, 100, 1000, 1000]
    assert median_ratio(reference, own) == 2.0
    # One round was disturbed: the median does not see it, a ratio of means would.
    assert median_ratio([200, 200, 90_000], [100, 100, 100]) == 2.0
    # Medians over the whole run would say 1000 / 100 = 10 here.
    assert median_ratio([1000, 200, 1000], [1000, 100, 100]) == 2.0


def test_the_ratio_keeps_half_nanoseconds_and_survives_a_coarse_clock():
    assert median_ratio([3.5], [2.5]) == 1.4
    assert median_ratio([5], [0]) == 5.0


@pytest.mark.parametrize(
    "function", [summarise, lambda none: percentiles(none, (50,)), lambda none: median_ratio(none, none)]
)
def test_no_samples_are_refused(function):
    with pytest.raises(InputError, match="at least one sample"):
        function([])


def test_a_ratio_over_different_rounds_is_refused():
    with pytest.raises(InputError, match="got 2 and 3 rounds"):
        median_ratio([1, 2], [1, 2, 3])
