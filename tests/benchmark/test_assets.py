import dataclasses

import pytest

from toolkit.benchmark import assets as room
from toolkit.benchmark.assets import CLOSE, LEAST_CALLS, asset_capacities, capacities
from toolkit.errors import ConfigError
from toolkit.runtime.bundle import load_bundle

US, MS, S = 1_000, 1_000_000, 1_000_000_000


class FakeClock:
    """Time passes only in calls; a tick takes what `cost` says of its assets and of how often they were called."""

    def __init__(self, cost):
        self.time, self.cost, self.asked, self.calls = 5 * S, cost, [], 0

    def now_ns(self):
        return self.time

    def cpu_ns(self):
        return self.time

    def call_for(self, assets):
        self.asked.append(assets)
        count = 0

        def tick():
            nonlocal count
            self.time += self.cost(assets, count)
            self.calls, count = self.calls + 1, count + 1

        return tick


def found(cost, rates=(1.0,), seconds=1.0, **limit):
    clock = FakeClock(cost)
    return capacities(clock.call_for, rates, seconds, clock, **limit), clock


@pytest.mark.parametrize("each_us", [3, 47, 700, 90_000])
@pytest.mark.parametrize("rate", [1.0, 10.0, 100.0])
def test_a_linear_tick_is_found_to_within_the_step(each_us, rate):
    true = int(1e6 / rate / each_us)
    [(_, tick, at_limit)], _ = found(lambda n, _: n * each_us * US, [rate])
    assert not at_limit
    assert (tick.assets if tick else 0) <= true
    assert (tick.assets if tick else 0) * CLOSE + 1 >= true
    if tick is not None:
        assert tick.median_ns == tick.p99_ns == tick.assets * each_us * US <= 1e9 / rate


@pytest.mark.parametrize(
    "cost",
    [
        lambda n, _: 40 * US * n * (1 + (n > 500)),  # falls off at a size
        lambda n, _: 3 * MS + 10 * US * n,  # overhead first
        lambda n, _: 20 * MS * -(-n // 32),  # chunks
        lambda n, _: n * n * 100,
    ],
)
def test_ticks_that_do_not_grow_in_proportion(cost):
    [(_, tick, _)], _ = found(cost, [10.0])
    true = max(n for n in range(1, 20_000) if cost(n, 0) <= 100 * MS)
    assert tick.assets <= true <= tick.assets * CLOSE + 1


def test_not_even_one_fits():
    [(rate, tick, at_limit)], clock = found(lambda n, _: 20 * MS * n, [100.0])
    assert (rate, tick, at_limit) == (100.0, None, False)
    assert clock.asked == [1]


def test_the_search_ends_at_its_limit():
    results, clock = found(lambda n, _: n * US, [1.0, 100.0], limit=700)
    assert [(tick.assets, at_limit) for _, tick, at_limit in results] == [(700, True), (700, True)]
    assert max(clock.asked) == 700


def test_slower_rates_begin_where_faster_ones_ended_and_are_told_in_the_order_asked():
    results, clock = found(lambda n, _: n * 10 * US, [1.0, 100.0, 10.0])
    assert [rate for rate, _, _ in results] == [1.0, 100.0, 10.0]
    counts = {rate: tick.assets for rate, tick, _ in results}
    assert counts[100.0] < counts[10.0] < counts[1.0]
    first = clock.asked.index(counts[100.0])
    assert min(clock.asked[first:]) >= counts[100.0]
    assert len(clock.asked) < 40


def test_a_linear_growth_is_leapt_over_and_another_is_not():
    _, linear = found(lambda n, _: n * US)
    _, jagged = found(lambda n, _: n * (1 + n.bit_length() % 2) * US)
    assert linear.asked[:4] == [1, 2, 4, 900_000]
    assert jagged.asked[:8] == [1, 2, 4, 8, 16, 32, 64, 128]


def test_time_is_bounded():
    """A tick of almost a second is called few times, and one that is too long no more often."""
    _, clock = found(lambda n, _: n * 60 * MS, [1.0], seconds=2.0)
    assert clock.calls <= len(clock.asked) * (LEAST_CALLS + 1) + 40
    assert clock.time < 5 * S + 40 * S


def test_a_long_search_is_content_with_less():
    """Every trial of a machine on which a long tick is late now and then ends after few calls."""
    [(_, tick, _)], clock = found(lambda n, _: n * n * US, [1.0], seconds=0.01)
    assert tick.assets <= 1000 <= tick.assets * room.WIDE
    assert clock.time < 5 * S + (room.LONG_SEARCH + 10) * S
    _, late = found(lambda n, _: n * 2 * S, [1.0], seconds=2.0)
    assert late.calls == 3  # the one that is not counted, and two that are late


def test_one_late_call_in_a_hundred_is_allowed_and_two_are_not():
    def late_every(calls):
        return lambda n, count: 11 * MS if n <= 40 and count % calls == 0 else 245 * US * n

    [(_, tick, _)], _ = found(late_every(101), [100.0], seconds=5.0)
    assert 38 <= tick.assets <= 40
    assert tick.p99_ns < 10 * MS < tick.calls_ns.max()
    [(_, tick, _)], _ = found(late_every(40), [100.0], seconds=5.0)
    assert tick.assets <= 10  # where a few calls are seen to be enough


def test_of_few_calls_the_longest_counts():
    [(_, tick, _)], _ = found(lambda n, count: 100 * MS * n * (2 if count == 2 else 1), [1.0])
    assert tick.assets == 5


def test_a_stall_at_the_first_call_of_a_small_number_does_not_decide():
    [(_, tick, _)], _ = found(lambda n, count: n * 50 * US + (25 * MS if count == 1 else 0), [100.0], seconds=5.0)
    assert tick.assets >= 180


@pytest.fixture(scope="module")
def bundle(whole):
    return load_bundle(whole)


class Ticking:
    """Every look at the clock takes a millisecond, so that every tick takes one, whatever it does."""

    time = 0

    def now_ns(self):
        self.time += MS
        return self.time

    def cpu_ns(self):
        return self.time


def test_each_graph_of_a_bundle_at_each_rate(bundle, monkeypatch):
    monkeypatch.setattr(room, "LARGEST_BATCH", 1100)
    rows = asset_capacities(bundle, (10.0, 2000.0), 0.01, Ticking())
    assert [(row.graph, row.rate_hz, row.assets, row.at_limit) for row in rows] == [
        ("windowed", 10.0, 1100, True),
        ("windowed", 2000.0, 0, False),
        ("streaming", 10.0, 1100, True),
        ("streaming", 2000.0, 0, False),
    ]
    assert {(row.contender, row.precision) for row in rows} == {("onnxruntime", "fp32")}
    assert [(row.tick_ms, row.p99_ms) for row in rows] == [(1.0, 1.0), (None, None)] * 2


def test_memory_ends_the_search_too(bundle, monkeypatch):
    monkeypatch.setattr(room, "LARGEST_BYTES", 12 * 2 * 4 * 50)
    windowed = next(row for row in asset_capacities(bundle, (1.0,), 0.01, Ticking()) if row.graph == "windowed")
    assert (windowed.assets, windowed.at_limit) == (50, True)


def test_a_graph_whose_series_mix_serves_no_assets(bundle):
    graphs = tuple(dataclasses.replace(entry, mixes_series=True) for entry in bundle.manifest.graphs)
    mixing = dataclasses.replace(bundle.manifest, graphs=graphs, model=None)
    assert asset_capacities(dataclasses.replace(bundle, manifest=mixing), (1.0,), 0.01, Ticking()) == ()


@pytest.mark.parametrize(
    ("rates", "seconds"), [((0.0,), 1.0), ((1.0, -2.0), 1.0), ((1.0,), 0.0), ((1.0,), float("nan"))]
)
def test_what_cannot_be_asked_for(bundle, rates, seconds):
    with pytest.raises(ConfigError, match=r"ticks per second; got|seconds of a benchmark; got"):
        asset_capacities(bundle, rates, seconds, Ticking())
