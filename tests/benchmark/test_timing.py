import gc
import random

import numpy as np
import pytest

from toolkit.benchmark.timing import (
    LEAST_ROUNDS,
    WARMUP_CALLS,
    Plan,
    SystemClock,
    collector_held_off,
    measure_in_turns,
    warm_up,
)
from toolkit.errors import ConfigError, InputError

US, MS, S = 1_000, 1_000_000, 1_000_000_000


class FakeClock:
    """Time passes only where a call says so; the calls made are kept in `log`."""

    def __init__(self):
        self.time = 5 * S  # not 0: only differences may count
        self.cpu = 3 * S
        self.log = []

    def now_ns(self):
        return self.time

    def cpu_ns(self):
        return self.cpu

    def call(self, name, times, cpu_share=1):
        """A contender that takes the given times in turn, and for ever after the last of them."""
        rest = iter(times)
        current = times[-1]

        def work():
            nonlocal current
            current = next(rest, current)
            self.time += current
            self.cpu += current * cpu_share
            self.log.append(name)

        return work


@pytest.fixture
def clock():
    return FakeClock()


def test_every_call_is_kept_exactly(clock):
    slow = clock.call("slow", [100, 101, 102, 103])
    fast = clock.call("fast", [1, 2, 3, 4, 5, 6], cpu_share=2)
    slow_times, fast_times = measure_in_turns([slow, fast], clock, Plan(2, (2, 3), (0, 0)))
    np.testing.assert_array_equal(slow_times.calls_ns, [[100, 101], [102, 103]])
    np.testing.assert_array_equal(fast_times.calls_ns, [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(slow_times.cpu_ns, [201, 205])
    np.testing.assert_array_equal(fast_times.cpu_ns, [12, 30])
    np.testing.assert_array_equal(fast_times.block_medians_ns, [2, 5])
    assert fast_times.cpu_s_per_1000 == pytest.approx(7e-6)  # 42 ns in 6 calls


def test_the_lead_in_of_a_block_counts_nowhere(clock):
    cold = clock.call("cold", [900, 10, 11, 901, 12, 13])
    (times,) = measure_in_turns([cold], clock, Plan(2, (2,), (1,)))
    np.testing.assert_array_equal(times.calls_ns, [[10, 11], [12, 13]])
    np.testing.assert_array_equal(times.cpu_ns, [21, 25])


def test_contenders_take_turns_in_an_order_that_changes(clock):
    calls = [clock.call(name, [1]) for name in "abc"]
    measure_in_turns(calls, clock, Plan(20, (2, 2, 2), (0, 0, 0)), seed=7)
    blocks = [clock.log[start : start + 2] for start in range(0, len(clock.log), 2)]
    assert all(first == second for first, second in blocks)  # a block is one contender's alone
    rounds = ["".join(block[0] for block in blocks[start : start + 3]) for start in range(0, 60, 3)]
    assert all(sorted(order) == ["a", "b", "c"] for order in rounds)  # each has one block in each round
    assert len(set(rounds)) == 6  # every order occurs


def test_the_order_follows_the_seed_alone(clock):
    def order(seed):
        clock.log.clear()
        measure_in_turns([clock.call(name, [1]) for name in "abc"], clock, Plan(10, (1, 1, 1), (0, 0, 0)), seed)
        return list(clock.log)

    random.seed(1)
    first = order(3)
    random.seed(2)
    assert order(3) == first
    assert order(4) != first


def test_a_slow_and_a_fast_call_both_get_sensible_counts(clock):
    slow = clock.call("slow", [100 * MS])
    fast = clock.call("fast", [20 * US])
    start = clock.time
    plan = warm_up([slow, fast], clock, seconds=5)
    # A slow block is 1 call of 100 ms, a fast one 500 calls and a lead-in; 40 rounds of 110.02 ms fill 4.5 s.
    assert plan == Plan(rounds=40, calls=(1, 500), lead_in=(0, 1))
    measure_in_turns([slow, fast], clock, plan)
    assert 4.5 * S < clock.time - start <= 5.01 * S


def test_two_fast_calls_fill_the_budget(clock):
    calls = [clock.call("a", [20 * US]), clock.call("b", [50 * US])]
    start = clock.time
    plan = warm_up(calls, clock, seconds=2)
    assert plan == Plan(rounds=89, calls=(500, 200), lead_in=(1, 1))
    measure_in_turns(calls, clock, plan)
    assert 1.95 * S < clock.time - start <= 2 * S


def test_a_call_too_slow_for_the_budget_is_still_measured(clock):
    plan = warm_up([clock.call("glacial", [2 * S])], clock, seconds=1)
    assert plan == Plan(rounds=LEAST_ROUNDS, calls=(1,), lead_in=(0,))


def test_warm_up_goes_on_until_the_last_blocks_agree(clock):
    # 95 calls of 1 ms while something is compiled, then 100 us: the tenth of the time ends before three blocks agree.
    call = clock.call("compiled", [MS] * 95 + [100 * US])
    start = clock.time
    plan = warm_up([call], clock, seconds=1)
    assert (plan.calls, plan.unsettled) == ((100,), ())
    assert clock.time - start == 120 * MS  # nine slow blocks, one of both kinds whose median is quick, two quick ones
    assert plan.rounds == int(880 / 10.1)  # of what is left of the second


def test_blocks_that_never_agree_are_told_and_end_the_warm_up_at_its_limit(clock):
    wild = clock.call("wild", [length for _ in range(50) for length in [MS] * 10 + [2 * MS] * 5])
    steady = clock.call("steady", [MS])
    start = clock.time
    plan = warm_up([steady, wild], clock, seconds=1)
    assert plan.unsettled == (1,)
    assert clock.time - start == 50 * MS + 200 * MS
    assert plan.calls == (10, 10)  # the median call of the second half of what was seen


def test_blocks_agree_within_a_twentieth(clock):
    near = clock.call("near", [length for _ in range(99) for length in [1_000 * US] * 10 + [1_050 * US] * 10])
    far = clock.call("far", [length for _ in range(99) for length in [1_000 * US] * 10 + [1_060 * US] * 10])
    assert warm_up([near, far], clock, seconds=2).unsettled == (1,)


def test_warm_up_calls_each_contender_a_few_times_at_least(clock):
    warm_up([clock.call("a", [S]), clock.call("b", [S])], clock, seconds=1)
    assert clock.log.count("a") == clock.log.count("b") == WARMUP_CALLS


def test_a_clock_too_coarse_to_see_a_call_does_no_harm():
    clock = FakeClock()
    quick = clock.call("quick", [10 * MS, 0])
    assert warm_up([quick], clock, seconds=0.1) == Plan(rounds=8, calls=(100_000,), lead_in=(1,))
    (times,) = measure_in_turns([quick], clock, Plan(2, (3,), (0,)))
    assert times.calls_ns.max() == 0


def test_a_contender_is_needed(clock):
    with pytest.raises(InputError, match="needs a contender"):
        warm_up([], clock, seconds=1)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_time_to_measure_must_be_above_0(clock, seconds):
    with pytest.raises(ConfigError, match="above 0"):
        warm_up([clock.call("a", [1])], clock, seconds)


@pytest.mark.parametrize("plan", [Plan(1, (1, 1), (0, 0)), Plan(1, (1,), ()), Plan(0, (1,), (0,)), Plan(1, (0,), (0,))])
def test_a_plan_that_does_not_fit_is_refused(clock, plan):
    with pytest.raises(InputError, match="plan of a measurement"):
        measure_in_turns([clock.call("a", [1])], clock, plan)


def test_the_collector_is_held_off_within_blocks_only(clock):
    seen = []
    measure_in_turns([lambda: seen.append(gc.isenabled())], clock, Plan(2, (2,), (1,)))
    assert seen == [False] * 6
    assert gc.isenabled()


def test_the_collector_comes_back_after_an_error(clock):
    def broken():
        raise RuntimeError("provider lost")

    with pytest.raises(RuntimeError, match="provider lost"):
        measure_in_turns([broken], clock, Plan(1, (1,), (0,)))
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with collector_held_off():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_real_clock_counts_time_and_work():
    clock = SystemClock()
    now, cpu = clock.now_ns(), clock.cpu_ns()
    while clock.cpu_ns() == cpu:
        pass
    assert clock.now_ns() > now
