"""A forecaster that was killed goes on as if nothing had happened; under another bundle it looks back, and says so."""

import numpy as np
import pytest
from edge_forecasters import FEW, ints, numpy_bundle, rows_of, step_one, take, with_policy
from edge_graphs import RecurrentGraph, by_place, by_size, clean
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.edge.forecaster import Forecaster
from toolkit.runtime.bundle import load_bundle


@pytest.fixture(scope="module")
def bundle(whole):
    return load_bundle(whole)


TURNS = st.lists(
    st.tuples(st.lists(st.integers(0, 5), min_size=1, unique=True), st.sampled_from("....skn")), max_size=30
)


@pytest.mark.parametrize(
    ("graph", "warm_up", "max_age", "fault"),
    [
        ("windowed", FEW, None, clean),
        ("windowed", FEW, None, by_size),
        ("windowed", FEW, None, by_place),
        ("streaming", FEW, None, clean),
        ("streaming", FEW, None, by_size),
        ("streaming", 2, 5, by_size),
        ("streaming", FEW, FEW, by_place),
        ("streaming", 6, 3, clean),
        ("streaming", 3, 0, clean),
        ("streaming", 0, None, clean),
    ],
)
def test_neither_company_nor_death_changes_a_forecast(bundle, monkeypatch, graph, warm_up, max_age, fault):
    def make(streams):
        return RecurrentGraph(fault, streams=streams)

    with monkeypatch.context() as patch:
        few = numpy_bundle(bundle, patch, [make], warm_up, max_age)

        @settings(max_examples=20, deadline=None)
        @given(TURNS)
        def check(turns):
            together, kept, apart, kept_apart = Forecaster(few, graph), {}, Forecaster(few, graph), {}
            draw = np.random.default_rng(0)
            for assets, event in turns:
                if event == "k":  # killed
                    together = Forecaster(few, graph)
                    for asset, one in kept.items():
                        one.put_back(together, asset, 2)
                rows = draw.standard_normal((len(assets), 2)).astype(np.float32)
                if event == "n":
                    rows[0] = np.nan
                starts = np.array([event == "s" or asset not in kept for asset in assets])
                got = take(together, kept, assets, rows, starts)
                for i, asset in enumerate(assets):
                    one = slice(i, i + 1)
                    assert take(apart, kept_apart, [asset], rows[one], starts[one]) == [got[i]]
                    assert kept[asset].state == kept_apart[asset].state
                    assert kept[asset].age == kept_apart[asset].age

        check()


@pytest.mark.parametrize("graph", ["windowed", "streaming"])
def test_a_real_graph_goes_on_after_a_restart_as_if_nothing_had_happened(bundle, graph):
    few = with_policy(bundle, 5)
    rows = rows_of(bundle, 4, 40)
    forecaster, kept, undisturbed, kept_too = Forecaster(few, graph), {}, Forecaster(few, graph), {}
    for step in range(40):
        if step in (3, 17, 18, 39):
            forecaster = Forecaster(few, graph)
            for asset, one in kept.items():
                one.put_back(forecaster, asset, 2)
        starts = np.full(4, step == 0)
        assert take(forecaster, kept, [3, 0, 2, 1], rows[:, step], starts) == take(
            undisturbed, kept_too, [3, 0, 2, 1], rows[:, step], starts
        )


def test_under_another_bundle_a_state_is_warmed_up_from_the_rows_of_the_series(bundle):
    few = with_policy(bundle, 5)
    rows = rows_of(bundle, 1, 30)[0]
    series = np.array([0] * 10 + [1] * 10)
    forecaster = Forecaster(few)
    forecaster.restore(2, rows[:20], series, 1, b"another bundle's", state_ok=False, age=20)
    expected, state = bundle.streaming().advance(rows[None, 15:20], bundle.streaming().zero_state(1))
    assert forecaster.ages_of(ints(2)) == [5]
    recalled = []
    for row in rows[20:30]:
        expected, state = bundle.streaming().advance(row[None, None], state)
        answers = step_one(forecaster, 2, row)
        assert answers.ready.all()
        assert np.array_equal(answers.outputs["forecast"], expected[:, -1])
        recalled.append(bool(answers.recalled[0]))
    assert recalled == [True] * 4 + [False] * 6  # until as many live rows have come as it takes to warm up


def test_a_short_series_warms_up_no_further_than_it_goes(bundle):
    rows = rows_of(bundle, 1, 30)[0]
    forecaster = Forecaster(with_policy(bundle, 5))
    forecaster.restore(0, rows[:20], np.array([0] * 17 + [1] * 3), 1, None, state_ok=False, age=0)
    assert forecaster.ages_of(ints(0)) == [3]
    assert [bool(step_one(forecaster, 0, row).ready[0]) for row in rows[20:22]] == [False, True]


def test_rows_of_a_series_that_has_ended_are_not_gone_back_to(bundle):
    rows = rows_of(bundle, 1, 20)[0]
    for graph in ("streaming", "windowed"):
        forecaster = Forecaster(with_policy(bundle, 5), graph)
        forecaster.restore(0, rows, np.zeros(20, np.int64), 1, None, state_ok=False, age=0)
        answers = step_one(forecaster, 0, rows[0])
        assert not answers.ready.any()
        assert not answers.recalled.any()


@pytest.mark.parametrize("damage", ["short", "nan", "count", "age", "none"])
def test_a_state_that_cannot_be_this_graphs_is_made_anew(bundle, damage):
    few = with_policy(bundle, 5)
    rows = rows_of(bundle, 1, 20)[0]
    forecaster = Forecaster(few)
    for place, row in enumerate(rows):
        step_one(forecaster, 0, row, place == 0)
    state, age = forecaster.state_of(0), 20
    numbers = np.frombuffer(state, "<f4").copy()
    if damage == "nan":
        numbers[3] = np.nan
    if damage == "count":
        numbers.view("<i4")[-1] = 6
    state = {"short": state[4:], "none": None}.get(damage, numbers.tobytes())
    forecaster.restore(0, rows, np.zeros(20, np.int64), 0, state, state_ok=True, age=-1 if damage == "age" else age)
    assert forecaster.ages_of(ints(0)) == [5]
    assert step_one(forecaster, 0, rows[0]).recalled.all()


def test_recalling_is_not_forgotten_by_a_second_restart(bundle):
    few = with_policy(bundle, 5)
    rows = rows_of(bundle, 1, 20)[0]
    series = np.zeros(10, np.int64)
    forecaster = Forecaster(few)
    forecaster.restore(0, rows[:10], series, 0, None, state_ok=False, age=0)
    step_one(forecaster, 0, rows[10])
    again = Forecaster(few)
    again.restore(0, rows[1:11], series, 0, forecaster.state_of(0), state_ok=True, age=forecaster.ages_of(ints(0))[0])
    assert [bool(step_one(again, 0, row).recalled[0]) for row in rows[11:16]] == [True, True, True, False, False]


def test_what_begins_with_its_series_is_not_recalled(bundle):
    rows = rows_of(bundle, 1, 20)[0]
    forecaster = Forecaster(with_policy(bundle, 5))
    forecaster.restore(0, rows[:10], np.zeros(10, np.int64), 0, None, state_ok=False, age=0)
    assert step_one(forecaster, 0, rows[10]).recalled.all()
    answers = [step_one(forecaster, 0, row, starts=place == 0) for place, row in enumerate(rows[11:17])]
    assert not any(answer.recalled[0] for answer in answers)
    assert [bool(answer.ready[0]) for answer in answers] == [False] * 4 + [True] * 2
