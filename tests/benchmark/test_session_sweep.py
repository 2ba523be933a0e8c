import dataclasses
import random

import pytest

from toolkit.benchmark.session_sweep import Instrument, Space, needed_gain, sweep, thread_counts
from toolkit.benchmark.turns_apart import PAUSE_S, measure_apart
from toolkit.contract.session_reports import SessionSetting

US, MS, S = 1_000, 1_000_000, 1_000_000_000
FP32, INT8 = SessionSetting("fp32"), SessionSetting("int8")
ALL = Space("windowed", ("fp32", "int8"), cores=4, allow_spinning=True)


class FakeMachine:
    """Calls take what `cost` says of their setting; who spins uses a core in pauses."""

    def __init__(self, cost):
        self.time, self.cpu, self.cost = 5 * S, 3 * S, cost
        self.last, self.pauses, self.opened = None, 0, []

    def now_ns(self):
        return self.time

    def cpu_ns(self):
        return self.cpu

    def pause(self, seconds):
        self.pauses += 1
        self.time += round(seconds * S)
        self.cpu += round(seconds * S) if self.last.spinning else 0

    def open_call(self, setting):
        self.opened.append(setting)

        def call():
            self.last = setting
            took = round(self.cost(setting))
            self.time += took
            self.cpu += took * setting.threads

        return call

    def instrument(self):
        return Instrument(0.2, self, self.pause)


def swept(cost, default=FP32, space=ALL):
    machine = FakeMachine(cost)
    trials, winner = sweep(default, space, machine.open_call, machine.instrument())
    return trials, winner, machine


def steps(trials):
    return list(dict.fromkeys(trial.step for trial in trials))


def test_where_nothing_is_faster_the_default_stays():
    trials, winner, _ = swept(lambda _: 100 * US)
    assert (winner.setting, winner.default, winner.speedup, winner.speedup_interval) == (FP32, True, 1.0, ())
    assert steps(trials) == ["precision", "optimisation", "arena", "memory pattern", "threads", "spinning"]
    assert not any(trial.kept for trial in trials)
    assert {trial.reason for trial in trials} == {"not faster beyond noise"}
    assert {(t.ratio, t.p50_ms, t.reference_p50_ms) for t in trials} == {(1.0, 0.1, 0.1)}


def test_every_setting_is_tried_beside_the_one_in_force():
    trials, _, machine = swept(lambda _: 100 * US)
    tried = [dataclasses.replace(FP32, **change) for change in (
        {"precision": "int8"}, {"optimisation": "basic"}, {"optimisation": "none"}, {"arena": True},
        {"memory_pattern": False}, {"threads": 2}, {"threads": 3}, {"threads": 4},
        {"threads": 2, "spinning": True}, {"threads": 3, "spinning": True}, {"threads": 4, "spinning": True},
    )]  # fmt: skip
    assert [trial.setting for trial in trials] == tried
    assert machine.opened.count(FP32) == 6


def test_what_is_faster_takes_over_and_is_held_against_the_default_at_the_end():
    def cost(setting):
        return 100 * US / (1.25 if setting.arena else 1) / (1.6 if setting.precision == "int8" else 1)

    trials, winner, _ = swept(cost)
    assert winner.setting == dataclasses.replace(INT8, arena=True)
    assert not winner.default
    assert winner.speedup == pytest.approx(2.0)
    assert winner.speedup_interval == pytest.approx((2.0, 2.0))
    assert [(trial.step, trial.kept) for trial in trials if trial.kept] == [
        ("precision", True),
        ("arena", True),
        ("winner", True),
    ]
    assert next(t for t in trials if t.step == "optimisation").setting.precision == "int8"


def test_a_gain_below_a_fiftieth_is_none():
    trials, winner, _ = swept(lambda setting: 100 * US / (1.015 if setting.arena else 1))
    assert winner.default
    assert next(t for t in trials if t.step == "arena").reason == "gains less than the 2% that it has to"


def test_luck_that_does_not_last_does_not_win():
    """The arena is fast as long as only it is compared; against the default in the end it is not."""
    machine = FakeMachine(lambda _: 100 * US)
    machine.cost = lambda setting: (50 if setting.arena and len(machine.opened) < 10 else 100) * US
    trials, winner = sweep(FP32, ALL, machine.open_call, machine.instrument())
    assert next(t for t in trials if t.step == "arena").kept
    assert (trials[-1].step, trials[-1].kept) == ("winner", False)
    assert winner.default


def test_noise_does_not_win():
    lots = random.Random(1)
    _, winner, _ = swept(lambda _: lots.choice([50, 100, 200]) * US * 100)
    assert winner.default


@pytest.mark.parametrize(
    ("speeds", "count"),
    [
        ({2: 1.2, 3: 1.3, 4: 1.4}, 1),  # more threads, but none that earns its keep
        ({2: 1.6, 3: 1.8, 4: 1.9}, 2),  # the fastest takes two more for a fifth
        ({2: 1.9, 3: 2.8, 4: 3.6}, 4),
    ],
)
def test_a_further_thread_earns_its_keep(speeds, count):
    space = dataclasses.replace(ALL, allow_spinning=False)
    trials, winner, _ = swept(lambda setting: 100 * US / speeds.get(setting.threads, 1), space=space)
    assert winner.setting == dataclasses.replace(FP32, threads=count)
    threads = [trial for trial in trials if trial.step == "threads"]
    assert [trial.setting.threads for trial in threads if trial.kept] == [count][: count > 1]
    assert [trial.needed for trial in threads] == [1.25, 1.5, 1.75]
    assert threads[0].cpu_s_per_1000 == pytest.approx(threads[0].p50_ms * 2)


def spins_faster(setting):
    return 100 * US / (1.5 if setting.threads > 1 else 1) / (1.5 if setting.spinning else 1)


def test_spinning_is_not_taken_unless_it_is_allowed():
    trials, winner, machine = swept(spins_faster, space=dataclasses.replace(ALL, allow_spinning=False, cores=2))
    assert winner.setting == dataclasses.replace(FP32, threads=2)
    [spinning] = [trial for trial in trials if trial.step == "spinning"]
    assert not spinning.kept
    assert "--allow-spinning" in spinning.reason
    assert (spinning.idle_cpu, spinning.reference_idle_cpu) == (1.0, 0.0)
    assert machine.pauses


def test_spinning_is_taken_where_it_is_allowed():
    trials, winner, _ = swept(spins_faster, space=dataclasses.replace(ALL, cores=2))
    assert winner.setting == dataclasses.replace(FP32, threads=2, spinning=True)
    assert trials[-1].idle_cpu == 1.0


def test_one_thread_has_nothing_to_wait_for():
    trials, _, machine = swept(lambda _: 100 * US, space=dataclasses.replace(ALL, allow_spinning=False))
    assert "spinning" not in steps(trials)
    assert machine.pauses == 0


def test_one_core_and_one_precision():
    trials, _, _ = swept(lambda _: 100 * US, space=Space("streaming", ("fp32",), cores=1, allow_spinning=True))
    assert steps(trials) == ["optimisation", "arena", "memory pattern"]
    assert {trial.graph for trial in trials} == {"streaming"}


def test_from_int8_as_the_default_fp32_may_win():
    _, winner, _ = swept(lambda setting: 100 * US * (2 if setting.precision == "int8" else 1), default=INT8)
    assert (winner.setting, winner.default) == (FP32, False)


def test_calls_too_slow_for_the_time_are_still_measured_often_enough_for_an_interval():
    trials, _, _ = swept(lambda _: S)
    assert min(len(trial.block_medians_ms) for trial in trials) >= 6
    assert all(len(t.block_medians_ms) == len(t.reference_block_medians_ms) for t in trials)


def test_which_thread_counts_are_tried():
    assert [thread_counts(cores) for cores in (1, 2, 6, 20)] == [
        (1,),
        (1, 2),
        (1, 2, 3, 4, 6),
        (1, 2, 3, 4, 8, 16, 20),
    ]
    assert needed_gain(dataclasses.replace(FP32, threads=4), dataclasses.replace(FP32, threads=2)) == 1.5
    assert needed_gain(FP32, FP32) == 1.02


def test_a_pause_follows_each_block():
    machine = FakeMachine(lambda setting: setting.threads * MS)
    calls = [machine.open_call(FP32), machine.open_call(dataclasses.replace(FP32, threads=2, spinning=True))]
    quiet, spinning = measure_apart(calls, machine, 4.0, machine.pause)
    assert (quiet.idle_cpu, spinning.idle_cpu) == (0.0, 1.0)
    assert quiet.measurement.calls_ns.shape[0] == spinning.measurement.calls_ns.shape[0] == machine.pauses // 2
    assert machine.pauses * (PAUSE_S + 0.01) <= 4.0
    assert (quiet.measurement.calls_ns == MS).all()
    assert (spinning.measurement.calls_ns == 2 * MS).all()
