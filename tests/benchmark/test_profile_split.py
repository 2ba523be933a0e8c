import pytest

from toolkit.benchmark.profile_events import NodeRun
from toolkit.benchmark.profile_split import (
    CallTimes,
    Inflation,
    figures,
    inflation_of,
    layer_work,
    node_times,
    operator_times,
)
from toolkit.benchmark.profile_work import GATES, Recurrence
from toolkit.contract.profile_reports import MachinePeak

NONE = Inflation(0.0, 0.0)


def run(name, recorded, operator="Add", runs=1, shape=(1,)):
    return NodeRun(name, operator, "CPUExecutionProvider", runs, recorded, (shape,), (shape,))


def test_the_three_parts_add_up_to_the_call():
    times = CallTimes(predict_us=120.0, bound_us=100.0, profiled_us=180.0, empty_us=8.0)
    assert (times.python_us, times.overhead_us, times.kernels_us, times.whole_us) == (20.0, 8.0, 92.0, 120.0)


def test_noise_makes_no_part_negative():
    times = CallTimes(predict_us=4.0, bound_us=5.0, profiled_us=9.0, empty_us=6.0)
    assert (times.python_us, times.overhead_us, times.kernels_us, times.whole_us) == (0.0, 5.0, 0.0, 5.0)


def test_what_profiling_adds_grows_with_what_is_written_down():
    short, long = [run(name, 2.4) for name in "ab"], [run(name, 3.0, shape=(1, 1, 1, 1)) for name in "ab"]
    assert (figures(short[0]), figures(long[0])) == (4, 10)
    inflation = inflation_of(short, long)
    assert inflation.per_figure_us == pytest.approx(0.1)
    assert inflation.of(short[0]) == pytest.approx(2.4)
    assert inflation.of(run("c", 9.0, runs=3, shape=(60, 1, 64))) == pytest.approx(3 * (2.0 + 8 * 0.1))
    assert inflation_of([], []) == NONE


def test_longer_shapes_that_came_out_quicker_are_noise():
    assert inflation_of([run("a", 2.4)], [run("a", 2.2, shape=(1, 1))]) == Inflation(2.4, 0.0)


def test_nodes_share_what_the_plain_call_leaves_the_kernels():
    times = CallTimes(120.0, 100.0, 180.0, 10.0)
    runs = [run("lstm", 62.0, "LSTM"), run("add", 12.0), run("nothing", 1.0)]
    lstm, add, nothing = node_times(runs, times, Inflation(2.0, 0.0), {"lstm": 1}, {"lstm": 500})
    assert (lstm.time_us, add.time_us, nothing.time_us) == pytest.approx((90 * 60 / 70, 90 * 10 / 70, 0.0))
    assert (lstm.layer, lstm.flops, lstm.recorded_us, add.layer, add.flops) == (1, 500, 62.0, None, 0)
    assert lstm.share == pytest.approx(lstm.time_us / 120)


def test_nodes_that_vanish_in_the_inflation_share_alike():
    times = CallTimes(5.0, 5.0, 9.0, 2.0)
    nodes = node_times([run("a", 1.0), run("b", 1.5, runs=2)], times, Inflation(9.0, 0.0), {}, {})
    assert [node.time_us for node in nodes] == pytest.approx([1.0, 2.0])
    assert node_times([], times, NONE, {}, {}) == ()


def test_operators_are_summed_and_the_slowest_comes_first():
    runs = [run("a", 1.0), run("lstm", 6.0, "LSTM"), run("b", 3.0)]
    nodes = node_times(runs, CallTimes(20.0, 10.0, 0.0, 0.0), NONE, {}, {})
    found = [(o.operator, o.nodes, o.time_us, o.share) for o in operator_times(nodes)]
    assert found == [("LSTM", 1, 6.0, 0.3), ("Add", 2, 4.0, 0.2)]


def test_a_layers_time_is_shared_by_work_at_the_measured_rates():
    lstm = run("lstm", 100.0, "LSTM")
    layer = Recurrence(lstm, GATES["LSTM"], 1, steps=64, batch=1, input_size=32, hidden_size=32, number_bytes=4)
    (node,) = node_times([lstm], CallTimes(100.0, 100.0, 0.0, 0.0), NONE, {"lstm": 1}, {})
    peaks = [MachinePeak(1, 128, 32, 10.0, 20.0, 1.0), MachinePeak(64, 128, 32, 40.0, 1.0, 1.0)]
    (found,) = layer_work([layer], [node], peaks)
    assert (found.layer, found.weight_bytes, found.time_us) == (1, 4 * 128 * 64, 100.0)
    assert sum(gate.time_us for gate in found.gates) == pytest.approx(100.0)
    forget = found.gates[2]
    # As much arithmetic in both products of a gate, but four times as fast where all samples go at once.
    assert forget.input_flops == forget.recurrent_flops == 2 * 32 * 32 * 64
    assert forget.recurrent_us == pytest.approx(4 * forget.input_us)
    assert forget.elementwise_us / forget.recurrent_us == pytest.approx(
        forget.elementwise_flops / forget.recurrent_flops
    )
    assert len({gate.recurrent_us for gate in found.gates}) == 1
