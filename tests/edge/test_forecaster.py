"""An asset's forecasts rest on its own rows alone: whoever else is due, and however often the process was killed."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from edge_forecasters import FEW, ints, numpy_bundle, only, rows_of, step_one, take, with_policy
from edge_graphs import RecurrentGraph, by_place, by_size, clean

from toolkit.contract.graph_io import SizeLimits
from toolkit.contract.manifest import GOLDEN
from toolkit.edge import forecaster as room
from toolkit.edge.forecaster import Forecaster, chosen_graph, drawn_rows
from toolkit.errors import BundleError, ConfigError, InputError
from toolkit.runtime.bundle import Bundle, load_bundle
from toolkit.runtime.session import SessionPolicy
from toolkit.runtime.session_file import manifest_sha256


@pytest.fixture(scope="module")
def bundle(whole):
    return load_bundle(whole)


def test_auto_takes_the_stream_that_may_run_without_end(bundle):
    assert chosen_graph(with_policy(bundle, 8).manifest, "auto") == "streaming"
    assert chosen_graph(with_policy(bundle, 8, 100).manifest, "auto") == "windowed"
    assert chosen_graph(with_policy(bundle, 8, 100).manifest, "streaming") == "streaming"
    assert chosen_graph(only(bundle, "windowed").manifest, "auto") == "windowed"
    assert chosen_graph(only(with_policy(bundle, 8, 100), "streaming").manifest, "auto") == "streaming"


@pytest.mark.parametrize(("kept", "asked"), [("windowed", "streaming"), ("streaming", "windowed")])
def test_a_graph_that_is_not_there_cannot_be_asked_for(bundle, kept, asked):
    with pytest.raises(ConfigError, match=f"got {asked}; allowed: auto, {kept}; fix:"):
        Forecaster(only(bundle, kept), asked)


def test_a_bundle_without_a_signal_is_refused(bundle):
    with pytest.raises(BundleError, match="no signal"):
        Forecaster(Bundle(bundle.folder, dataclasses.replace(bundle.manifest, signal=None, model=None)))


def test_a_stream_that_takes_no_single_row_is_refused(bundle, monkeypatch):
    entries = tuple(
        dataclasses.replace(entry, min_sizes={"sequence": 2} if entry.name == "streaming" else {})
        for entry in bundle.manifest.graphs
    )
    manifest = dataclasses.replace(bundle.manifest, graphs=entries, model=None)
    with pytest.raises(BundleError, match="cannot be run row by row; got 2 samples"):
        Forecaster(Bundle(bundle.folder, manifest), "streaming")


def test_it_says_what_the_journal_must_keep(bundle):
    window = bundle.manifest.window_length
    assert Forecaster(with_policy(bundle, 3)).kept_rows == window
    assert Forecaster(with_policy(bundle, window + 5)).kept_rows == window + 5
    assert Forecaster(bundle, "windowed").kept_rows == window
    assert Forecaster(bundle).digest == manifest_sha256(bundle)


def test_windows_are_of_one_series(bundle):
    forecaster = Forecaster(bundle, "windowed")
    window = bundle.manifest.window_length
    rows = rows_of(bundle, 1, 3 * window)[0]
    predictor = bundle.windowed()
    breaks = {0: True, window + 3: True}
    start = 0
    for place, row in enumerate(rows):
        start = place if place in breaks else start
        answers = step_one(forecaster, 5, row, place in breaks)
        assert answers.ready.tolist() == [place - start + 1 >= window]
        assert not answers.recalled.any()
        if answers.ready[0]:
            expected = predictor.predict(rows[None, place + 1 - window : place + 1])
            assert np.array_equal(answers.outputs["forecast"], expected)


def test_a_stream_carries_on_each_state(bundle):
    forecaster = Forecaster(with_policy(bundle, 5))
    assert forecaster.graph == "streaming"
    predictor = bundle.streaming()
    rows = rows_of(bundle, 3, 20)
    state = predictor.zero_state(3)
    for step in range(20):
        starts = np.array([step == 0, step in (0, 9), step == 0])
        if step == 9:
            state = {name: array * np.float32([1, 0, 1])[:, None] for name, array in state.items()}
        expected, state = predictor.advance(rows[:, step : step + 1], state)
        answers = forecaster.step(ints(0, 1, 2), rows[:, step], starts)
        assert np.array_equal(answers.outputs["forecast"], expected[:, -1])
        ages = [step + 1, step + 1 if step < 9 else step - 8, step + 1]
        assert forecaster.ages_of(ints(0, 1, 2)) == ages
        assert answers.ready.tolist() == [age >= 5 for age in ages]
    h, c = (state[name] for name in predictor.graph.tensors.states)
    kept = np.frombuffer(forecaster.state_of(1), "<f4")
    assert np.array_equal(kept[:-1], np.concatenate([h[:, 1].ravel(), c[:, 1].ravel()]))
    assert forecaster.states_of(ints(2, 1))[1] == forecaster.state_of(1)


def test_a_state_that_is_too_old_is_begun_anew_from_the_last_rows(bundle):
    forecaster = Forecaster(with_policy(bundle, 3, 6), "streaming")
    rows = rows_of(bundle, 1, 12)[0]
    streaming = bundle.streaming()
    ages, recalled = [], []
    for place, row in enumerate(rows):
        answers = step_one(forecaster, 0, row, place == 0)
        ages += forecaster.ages_of(ints(0))
        recalled.append(bool(answers.recalled[0]))
        if place == 6:
            expected, _ = streaming.advance(rows[None, 4:7], streaming.zero_state(1))
            assert np.array_equal(answers.outputs["forecast"], expected[:, -1])
    assert ages == [1, 2, 3, 4, 5, 6, 3, 4, 5, 6, 3, 4]
    assert recalled == [False] * 6 + [True, True, False, False] + [True, True]


def test_a_state_never_goes_back_beyond_its_series(bundle):
    forecaster = Forecaster(with_policy(bundle, 3, 0), "streaming")
    ages = []
    for place, row in enumerate(rows_of(bundle, 1, 8)[0]):
        step_one(forecaster, 0, row, place in (0, 5))
        ages += forecaster.ages_of(ints(0))
    assert ages == [1, 2, 3, 3, 3, 1, 2, 3]


def test_a_refused_asset_begins_a_new_series_and_no_other_does(bundle):
    for graph in ("windowed", "streaming"):
        forecaster = Forecaster(with_policy(bundle, bundle.manifest.window_length), graph)
        window = bundle.manifest.window_length
        rows = rows_of(bundle, 2, window + 1)
        for step in range(window):
            forecaster.step(ints(0, 1), rows[:, step], np.full(2, step == 0))
        last = rows[:, window].copy()
        last[0, 0] = np.inf
        answers = forecaster.step(ints(0, 1), last, np.zeros(2, bool))
        assert answers.refused.tolist() == [True, False]
        assert answers.ready.tolist() == [False, True]
        assert forecaster.ages_of(ints(0)) == [0]
        answers = forecaster.step(ints(0, 1), rows[:, 0], np.zeros(2, bool))
        assert answers.ready.tolist() == [False, True]


@pytest.mark.parametrize("graph", ["windowed", "streaming"])
def test_a_step_that_cannot_be_run_leaves_all_as_it_was(bundle, monkeypatch, graph):
    graphs = [lambda streams: RecurrentGraph(streams=streams)]
    few = numpy_bundle(bundle, monkeypatch, graphs)
    forecaster, kept = Forecaster(few, graph), {}
    rows = np.random.default_rng(0).standard_normal((2, 8, 2)).astype(np.float32)
    for step in range(6):
        take(forecaster, kept, [0, 1], rows[:, step], np.full(2, step == 0))
    before = forecaster.states_of(ints(0, 1)), forecaster.ages_of(ints(0, 1))
    graphs[-1].broken = True
    with pytest.raises(BundleError):
        forecaster.step(ints(0, 1), rows[:, 6], np.array([True, False]))
    assert (forecaster.states_of(ints(0, 1)), forecaster.ages_of(ints(0, 1))) == before
    graphs[-1].broken = False
    undisturbed = Forecaster(few, graph)
    for asset in (0, 1):
        kept[asset].put_back(undisturbed, asset, 2)
    none = np.zeros(2, bool)
    assert take(forecaster, kept, [0, 1], rows[:, 7], none) == take(undisturbed, {}, [0, 1], rows[:, 7], none)


def test_no_asset_stands_twice_in_a_step(bundle):
    with pytest.raises(InputError, match="the same one twice"):
        Forecaster(bundle).step(ints(4, 4), np.zeros((2, 2), np.float32), np.ones(2, bool))


def test_a_step_without_assets_is_none(bundle):
    answers = Forecaster(bundle).step(ints(), np.zeros((0, 2), np.float32), np.zeros(0, bool))
    assert answers.outputs == {}
    assert len(answers.ready) == len(answers.recalled) == len(answers.refused) == 0


def test_of_an_asset_that_never_came_there_is_a_state_of_zeros(bundle):
    forecaster = Forecaster(with_policy(bundle, 5))
    assert not any(forecaster.state_of(1000))
    assert forecaster.ages_of(ints(3, 2000)) == [0, 0]
    assert Forecaster(bundle, "windowed").state_of(7) == b""


@pytest.mark.parametrize(("fault", "company"), [(clean, "any"), (by_size, "padded"), (by_place, "alone")])
def test_it_says_in_what_company_it_runs(bundle, monkeypatch, fault, company):
    few = numpy_bundle(bundle, monkeypatch, [lambda streams: RecurrentGraph(fault, streams=streams)])
    assert Forecaster(few, "windowed").company == company
    assert Forecaster(few, "streaming").company == company


def test_a_graph_that_takes_few_at_a_time_is_given_few(bundle, monkeypatch):
    limits = SizeLimits({}, {"batch": 3, "sequence": FEW})
    few = numpy_bundle(bundle, monkeypatch, [lambda streams: RecurrentGraph(limits=limits, streams=streams)], 7)
    forecaster = Forecaster(few, "streaming")
    forecaster.restore(0, np.ones((7, 2), np.float32), np.zeros(7, np.int64), 0, None, state_ok=False, age=0)
    rows = np.ones((8, 2), np.float32)
    assert forecaster.step(np.arange(8), rows, np.zeros(8, bool)).ready.tolist() == [True] + [False] * 7


def test_the_session_file_says_how_the_graph_is_run(bundle, monkeypatch, tmp_path):
    asked, opened = [], []
    tuned = SessionPolicy(arena=True)
    guarded = Bundle.guarded

    def policy_for(*given):
        asked.append(given)
        return tuned, None

    def noted(self, entry, policy=None):
        opened.append(policy)
        return guarded(self, entry, policy)

    monkeypatch.setattr(room, "policy_for", policy_for)
    monkeypatch.setattr(Bundle, "guarded", noted)
    Forecaster(bundle, "windowed")
    assert asked == []
    Forecaster(bundle, "windowed", session_file=tmp_path / "session.toml")
    assert asked == [(bundle, "windowed", tmp_path / "session.toml")]
    own = SessionPolicy(optimisation="basic")
    Forecaster(bundle, "windowed", own, session_file=tmp_path / "session.toml")
    assert opened == [None, tuned, own]


def test_rows_are_drawn_where_there_are_no_golden_vectors_too(bundle):
    files = {name: entry for name, entry in bundle.manifest.files.items() if name != GOLDEN}
    bare = Bundle(bundle.folder, dataclasses.replace(bundle.manifest, files=files))
    rows = drawn_rows(bare, "streaming", 5, 2)
    assert rows.shape == (5, 2, 2)
    assert rows.dtype == np.float32
    near = drawn_rows(bundle, "streaming", 5, 2)
    assert near[..., bundle.manifest.signal.channel_names.index("pressure")].min() > 90_000
    assert np.array_equal(near, drawn_rows(bundle, "streaming", 5, 2))


@pytest.mark.parametrize("graph", ["windowed", "streaming"])
def test_the_reference_bundle_answers_a_thousand_as_it_answers_one(root: Path, graph):
    reference = load_bundle(root / "exported" / "pump-station")
    together, one = Forecaster(reference, graph), Forecaster(reference, graph)
    steps, several = 61, 150
    rows = drawn_rows(reference, graph, several, steps)
    for step in range(steps):
        starts = np.full(several, step == 0)
        answers = together.step(np.arange(several), rows[:, step], starts)
        alone = one.step(ints(149), rows[149:, step], starts[149:])
        assert alone.ready[0] == answers.ready[149] == (step >= 59)
        if alone.ready[0]:
            assert np.array_equal(answers.outputs["forecast"][149:], alone.outputs["forecast"])
    assert answers.outputs["forecast"].shape == (several, 12, 3)
