from toolkit.benchmark.profile_events import node_runs

END = {"cat": "Session", "name": "model_run", "ts": 0, "dur": 9}


def kernel(name, operator, ts, dur, given=(), got=()):
    shapes = {"input_type_shape": [{"float": list(s)} for s in given], "output_type_shape": [{"float": list(got)}]}
    told = {"op_name": operator, "provider": "CPUExecutionProvider", "node_index": "0", **shapes}
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "args": told}


def test_each_node_gets_its_median_over_the_calls():
    events = [{"cat": "Session", "name": "session_initialization", "ts": 0, "dur": 5}]
    for took in (7, 5, 90):
        events += [kernel("a", "LSTM", 0, took, [(6, 1, 9)], (6, 1, 1, 64)), kernel("b", "Gemm", 100, 2), END]
    lstm, gemm = node_runs(events)
    assert (lstm.name, lstm.operator, lstm.provider, lstm.runs) == ("a", "LSTM", "CPUExecutionProvider", 1)
    assert (lstm.inputs, lstm.outputs) == (((6, 1, 9),), ((6, 1, 1, 64),))
    assert lstm.recorded_us == 7.5  # 7 stands for anything from 7 to below 8
    assert gemm.recorded_us == 2.5


def test_records_are_whole_microseconds_but_their_median_is_not():
    events = [part for took in (2, 2, 2, 3) for part in (kernel("a", "Add", 0, took), END)]
    assert node_runs(events)[0].recorded_us == 2 + 2 / 3  # half of four lie below it: two of the three in 2..3


def test_cold_calls_do_not_count():
    events = [part for took in (900, 800, 5, 5) for part in (kernel("a", "Add", 0, took), END)]
    assert node_runs(events, skip=2)[0].recorded_us == 5.5
    assert node_runs(events, skip=4) == ()


def test_a_call_that_did_not_end_does_not_count():
    assert node_runs([kernel("a", "Add", 0, 5), END, kernel("a", "Add", 0, 500)])[0].recorded_us == 5.5


def test_a_loop_is_charged_with_what_its_body_does_not_take():
    body = [kernel("step", "LSTM", 10, 20), kernel("step", "LSTM", 40, 20)]
    events = [kernel("before", "Add", 0, 8), *body, kernel("loop", "Loop", 9, 60), END]
    before, step, loop = node_runs(events)
    assert (before.recorded_us, step.runs, step.recorded_us) == (8.5, 2, 41.0)
    assert (loop.runs, loop.recorded_us) == (1, 20.5)


def test_only_control_flow_has_a_body():
    events = [kernel("a", "Add", 10, 3), kernel("b", "Mul", 10, 6), END]
    assert [run.recorded_us for run in node_runs(events)] == [3.5, 6.5]


def test_a_branch_that_most_calls_do_not_take_costs_nothing():
    events = [kernel("rare", "Add", 0, 50), END, END, END]
    (rare,) = node_runs(events)
    assert (rare.runs, rare.recorded_us) == (0, 0.0)
