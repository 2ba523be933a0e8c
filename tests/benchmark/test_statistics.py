import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.benchmark.statistics import (
    change_interval,
    figure_intervals,
    median_ratio,
    noise_verdict,
    percentiles,
    ratio_interval,
    summarise,
    variation_of,
)
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
    assert (summary.p999_ns, summary.mean_ns) == (999, 500.5)


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
    "function",
    [
        summarise,
        lambda none: percentiles(none, (50,)),
        lambda none: median_ratio(none, none),
        lambda none: ratio_interval(none, none),
        lambda none: change_interval(none, [1]),
        figure_intervals,
        variation_of,
    ],
)
def test_no_samples_are_refused(function):
    with pytest.raises(InputError, match="at least one sample"):
        function([])


def test_a_ratio_over_different_rounds_is_refused():
    with pytest.raises(InputError, match="got 2 and 3 rounds"):
        median_ratio([1, 2], [1, 2, 3])
    with pytest.raises(InputError, match="got 2 and 3 rounds"):
        ratio_interval([1, 2], [1, 2, 3])


RATIOS = st.lists(st.tuples(st.integers(1, 10**9), st.integers(1, 10**9)), min_size=1, max_size=40)


@given(rounds=RATIOS)
def test_the_interval_holds_the_ratio_and_lies_among_the_rounds(rounds):
    reference, own = zip(*rounds, strict=True)
    low, high = ratio_interval(reference, own, draws=200)
    ratios = [a / b for a, b in rounds]
    assert min(ratios) * (1 - 1e-12) <= low <= high <= max(ratios) * (1 + 1e-12)


def test_rounds_that_agree_leave_no_doubt_and_noisy_ones_do():
    assert ratio_interval([200] * 9, [100] * 9) == (2.0, 2.0)
    noise = np.random.default_rng(0).uniform(0.5, 2.0, 200)
    few, many = (ratio_interval(200 * noise[:count], np.full(count, 100)) for count in (15, 200))
    for low, high in (few, many):
        assert low < median_ratio(200 * noise, np.full(200, 100)) < high
    assert many[1] - many[0] < few[1] - few[0]


def test_the_interval_is_of_the_median_and_not_of_single_rounds():
    low, high = ratio_interval([200, 200, 200, 200, 200, 200, 200, 200, 200, 90_000], [100] * 10)
    assert (low, high) == (2.0, 2.0)


def test_the_interval_is_the_same_for_the_same_samples_and_wider_for_more_confidence():
    noise = np.random.default_rng(1).uniform(100, 300, 30)
    own = np.full(30, 100)
    assert ratio_interval(noise, own) == ratio_interval(noise, own)
    half, most = (ratio_interval(noise, own, confidence=confidence) for confidence in (0.5, 0.99))
    assert most[0] < half[0] < half[1] < most[1]


def test_an_interval_covers_the_true_ratio_as_often_as_it_says():
    random = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        ratios = np.exp(random.normal(np.log(1.5), 0.2, 40))
        low, high = ratio_interval(1000 * ratios, np.full(40, 1000), draws=300)
        covered += low <= 1.5 <= high
    assert 180 <= covered <= 200


def test_an_interval_survives_a_coarse_clock():
    assert ratio_interval([5, 5, 5], [0, 0, 0]) == (5.0, 5.0)


def resampled(blocks, draws):
    """The slow way: the percentiles and means of whole blocks drawn with replacement."""
    random = np.random.default_rng(0)
    drawn = [blocks[places].ravel() for places in random.integers(0, len(blocks), (draws, len(blocks)))]
    figures = {
        f"p{share}": [np.percentile(samples, share, method="inverted_cdf") for samples in drawn]
        for share in (50, 90, 99)
    }
    figures["mean"] = [samples.mean() for samples in drawn]
    return {name: tuple(np.quantile(values, [0.025, 0.975])) for name, values in figures.items()}


@pytest.mark.parametrize("shape", [(1, 1), (7, 1), (1, 7), (9, 4), (40, 33)])
def test_intervals_are_those_of_the_slow_way(shape):
    blocks = np.random.default_rng(4).gamma(3, 1e5, shape).astype(np.int64)
    found, wanted = figure_intervals(blocks, draws=300), resampled(blocks, 300)
    assert found.keys() == wanted.keys()
    for name, interval in wanted.items():
        assert found[name] == pytest.approx(interval, rel=1e-12), name


def test_whole_rounds_are_resampled_and_not_calls():
    # Ten rounds, each of a hundred equal calls: as calls a thousand samples, as rounds ten.
    rounds = np.repeat(np.arange(100, 1100, 100), 100).reshape(10, 100)
    low, high = figure_intervals(rounds)["p50"]
    assert low <= 300 and high >= 700  # noqa: PT018 (one interval)
    low, high = figure_intervals(rounds.reshape(-1, 1))["p50"]
    assert 400 <= low <= high <= 600


def test_a_change_between_runs_of_unequal_length():
    assert change_interval([100] * 9, [150] * 5) == (1.5, 1.5)
    noise = np.random.default_rng(5)
    low, high = change_interval(noise.uniform(90, 110, 60), noise.uniform(90, 110, 40))
    assert low < 1.0 < high


def test_variation_is_standard_deviation_over_mean():
    assert variation_of([90, 110]) == pytest.approx(np.sqrt(200) / 100)
    assert variation_of([100] * 5) == variation_of([100]) == 0.0


def test_the_verdict_on_noise():
    assert noise_verdict(40, 0.25, (1.01, 1.3)) == noise_verdict(6, 0.0) == ""
    assert noise_verdict(40, 0.251) == "too noisy to tell: rounds vary by 25%, and 25% is the most"
    assert noise_verdict(5, 0.0) == "too noisy to tell: 5 rounds, and an interval needs 6"
    assert noise_verdict(1, 0.0).startswith("too noisy to tell: 1 round,")
    assert noise_verdict(40, 0.1, (0.97, 1.04)) == "too noisy to tell which is faster: the ratio is 0.97 to 1.04"
    assert noise_verdict(40, 0.1, (0.9, 0.99)) == ""
