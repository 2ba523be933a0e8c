"""No asset's answer depends on who else is in the call, whatever the graph and the machine make of a batch."""

import numpy as np
import pytest
from edge_graphs import TIME_FIRST, RecurrentGraph, by_place, by_size, clean
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.contract.graph_io import GraphSignature, SizeLimits, TensorSpec
from toolkit.edge import shared_calls
from toolkit.edge.shared_calls import LARGEST, Results, SharedCalls
from toolkit.errors import BundleError, InputError


def drawn(series, sequence=1, size=5, seed=0):
    draw = np.random.default_rng(seed)
    return (
        draw.standard_normal((series, sequence, 2)).astype(np.float32),
        draw.uniform(-1, 1, (series, size)).astype(np.float32),
    )


def settled(graph, sequence=1, **how):
    calls = SharedCalls(graph, **how)
    calls.settle(*drawn(LARGEST, sequence, calls.state_size))
    graph.calls.clear()
    return calls


def bits(results, place):
    return b"".join([results.states[place].tobytes(), *(array[place].tobytes() for array in results.answers.values())])


@pytest.mark.parametrize(("fault", "company"), [(clean, "any"), (by_size, "padded"), (by_place, "alone")])
def test_the_company_is_as_large_as_the_graph_bears(fault, company):
    assert settled(RecurrentGraph(fault)).company == company


def test_each_series_is_tried_at_several_places():
    def of_large_numbers(answers, places):
        late = (places[:, None, None, None] > 0) & (np.abs(answers) > 1)
        return np.where(late, answers * np.float32(1.0001), answers)

    calls = SharedCalls(RecurrentGraph(of_large_numbers))
    rows, states = drawn(LARGEST)
    rows[0] = 100.0  # the others, which stand at later places in the order in which they come, are small
    calls.settle(np.concatenate([rows[:1], rows[1:] * np.float32(0.1)]), states * np.float32(0.1))
    assert calls.company != "any"


@pytest.mark.parametrize("fault", [clean, by_size, by_place])
@pytest.mark.parametrize("order", [("batch", "sequence"), TIME_FIRST])
@pytest.mark.parametrize("state_axes", [(1, "batch", 3), ("batch", 3), (3, "batch"), (3, 1)])
@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 150), min_size=1, max_size=150, unique=True))
def test_a_series_gets_the_same_in_whatever_company(fault, order, state_axes, chosen):
    calls = settled(RecurrentGraph(fault, order, state_axes=state_axes))
    rows, states = drawn(151, seed=1)
    whole = calls.run(rows[chosen], states[chosen])
    for place in {0, len(chosen) // 2, len(chosen) - 1}:
        one = slice(chosen[place], chosen[place] + 1)
        assert bits(whole, place) == bits(calls.run(rows[one], states[one]), 0)


def test_a_series_gets_what_the_graph_gives_it():
    graph = RecurrentGraph()
    calls = settled(graph)
    rows, states = drawn(7)
    results = calls.run(rows, states)
    feed = {"x": rows, "h": states[None, :, :3], "g": states[:, 3:]}
    expected = graph.run({name: np.ascontiguousarray(array) for name, array in feed.items()})
    assert np.array_equal(results.answers["y"], expected["y"][:, -1])
    assert np.array_equal(results.states, np.concatenate([expected["hn"][0], expected["gn"]], axis=1))
    assert not results.refused.any()


def test_a_graph_that_mixes_series_runs_each_alone_untried():
    graph = RecurrentGraph()
    calls = settled(graph, mixes_series=True)
    assert calls.company == "alone"
    calls.run(*drawn(5))
    assert {shape[0] for shape in graph.calls} == {1}


def test_a_state_without_an_axis_for_series_runs_each_alone():
    calls = settled(RecurrentGraph(state_axes=(3, 1)))
    assert calls.company == "alone"


def test_no_call_is_larger_than_those_that_were_tried():
    graph = RecurrentGraph()
    calls = SharedCalls(graph)
    calls.settle(*drawn(LARGEST))
    tried = {shape[0] for shape in graph.calls}
    assert {1, 2, 3, 17, 33, LARGEST} <= tried
    graph.calls.clear()
    calls.run(*drawn(1000))
    assert max(shape[0] for shape in graph.calls) <= max(tried)
    assert sum(shape[0] for shape in graph.calls) == 1000


@pytest.mark.parametrize("fault", [clean, by_size, by_place])
@pytest.mark.parametrize("limits", [SizeLimits({}, {"batch": 4}), SizeLimits({"batch": 4}), SizeLimits({"batch": 20})])
def test_sizes_that_the_graph_does_not_take_are_never_given(fault, limits):
    calls = settled(RecurrentGraph(fault, limits=limits))  # the graph asserts it
    for series in (1, 3, 5, 41):
        assert len(calls.run(*drawn(series)).states) == series


def test_blocks_are_filled_up_to_one_size():
    graph = RecurrentGraph(by_size)
    calls = settled(graph)
    calls.run(*drawn(2 * shared_calls.BLOCK + 1))
    assert [shape[0] for shape in graph.calls] == [shared_calls.BLOCK] * 3


@pytest.mark.parametrize("fault", [clean, by_size, by_place])
def test_a_bad_row_costs_no_other_series_anything(fault):
    calls = settled(RecurrentGraph(fault))
    rows, states = drawn(20)
    expected = calls.run(rows, states)
    rows[7, 0, 1] = np.nan
    got = calls.run(rows, states)
    assert np.flatnonzero(got.refused).tolist() == [7]
    assert not got.states[7].any()
    assert not got.answers["y"][7].any()
    assert all(bits(got, place) == bits(expected, place) for place in range(20) if place != 7)


def test_a_state_that_is_no_number_any_more_is_refused_at_once():
    calls = settled(RecurrentGraph())
    rows, states = drawn(3)
    states[1, 3:] = rows[1] = 3e38
    results = calls.run(rows, states)
    assert results.refused.tolist() == [False, True, False]
    assert np.isfinite(results.states).all()
    assert not results.states[1].any()


def test_where_all_are_refused_there_is_no_answer():
    calls = settled(RecurrentGraph())
    rows, states = drawn(3)
    results = calls.run(rows * np.float32(np.nan), states)
    assert results.refused.all()
    assert results.answers == {}
    assert results.states.shape == states.shape


def test_what_onnxruntime_cannot_run_is_no_fault_of_an_asset():
    graph = RecurrentGraph()
    calls = settled(graph)
    graph.broken = True
    with pytest.raises(BundleError):
        calls.run(*drawn(3))


def test_a_graph_that_takes_no_drawn_rows_is_refused_before_the_first_forecast():
    with pytest.raises(InputError):
        calls = SharedCalls(RecurrentGraph())
        rows, states = drawn(LARGEST)
        calls.settle(rows * np.float32(np.inf), states)


@pytest.mark.parametrize("most", [1, 3, 100])
def test_a_stretch_alone_is_cut_where_the_graph_wants_it(most):
    graph = RecurrentGraph(limits=SizeLimits({}, {"sequence": most}))
    calls = SharedCalls(graph)
    calls.settle(*drawn(LARGEST))
    rows, _ = drawn(1, sequence=8)
    results = calls.run_alone(rows[0], np.zeros(5, np.float32))
    state = np.zeros((1, 5), np.float32)
    for step in range(8):
        expected = calls.run(rows[:, step : step + 1], state)
        state = expected.states
    assert bits(results, 0) == bits(expected, 0)


def test_a_bad_row_within_a_stretch_ends_it():
    calls = settled(RecurrentGraph(limits=SizeLimits({}, {"sequence": 2})))
    rows = drawn(1, sequence=8)[0][0]
    rows[1] = np.nan
    results = calls.run_alone(rows, np.zeros(5, np.float32))
    assert results.refused.tolist() == [True]
    assert not results.states.any()


@pytest.mark.parametrize("axes", [(1, "batch", "width"), ("batch", "batch")])
def test_a_state_of_no_fixed_size_is_refused(axes):
    graph = RecurrentGraph()
    h, hn = TensorSpec("h", axes), TensorSpec("hn", axes)
    graph.tensors = GraphSignature((graph.tensors.inputs[0], h), (graph.tensors.outputs[0], hn), {"h": "hn"})
    with pytest.raises(BundleError, match="no gateway can carry h"):
        SharedCalls(graph)


@pytest.mark.parametrize("axes", [("batch", 4, 2), (4, "time", 2)])
def test_readings_without_an_axis_for_series_or_samples_are_refused(axes):
    graph = RecurrentGraph(streams=False)
    graph.tensors = GraphSignature((TensorSpec("x", axes),), graph.tensors.outputs)
    with pytest.raises(BundleError, match="no gateway can feed x"):
        SharedCalls(graph)


def test_results_come_apart_and_together_again():
    calls = settled(RecurrentGraph())
    whole = calls.run(*drawn(4))
    again = Results.joined([whole.part(place) for place in range(4)])
    assert all(bits(whole, place) == bits(again, place) for place in range(4))
