"""Each asset's state follows its own samples, in whatever company they come."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import InputError
from toolkit.runtime import asset_streams
from toolkit.runtime.bundle import load_bundle

CHANNELS = 2


@pytest.fixture(scope="module")
def bundle(whole):
    return load_bundle(whole)


@pytest.fixture
def predictor(bundle):
    return bundle.streaming()


def samples(count, seed=0, steps=1):
    values = np.random.default_rng(seed).standard_normal((count, steps, CHANNELS)).astype(np.float32)
    return values * np.float32([2, 50]) + np.float32([20, 101_325])


def alone(bundle, parts):
    """What one asset gets from `advance`, sample by sample."""
    predictor = bundle.streaming()
    state, answers = predictor.zero_state(1), []
    for part in parts:
        answer, state = predictor.advance(part, state)
        answers.append(answer)
    return answers, state


def same_state(got, expected):
    return all(np.array_equal(got[name], expected[name]) for name in expected) and got.keys() == expected.keys()


def test_one_asset_needs_no_name(bundle, predictor):
    parts = [samples(1, seed) for seed in range(6)]
    expected, state = alone(bundle, parts)
    assert all(np.array_equal(predictor.step(part), answer) for part, answer in zip(parts, expected, strict=True))
    assert same_state(predictor.streams.state_of(""), state)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, unique=True), min_size=1, max_size=12))
def test_an_asset_gets_the_same_in_whatever_company(bundle, companies):
    predictor = bundle.streaming()
    given_parts = {asset: [] for asset in "abcd"}
    got = {asset: [] for asset in "abcd"}
    for turn, company in enumerate(companies):
        x = samples(len(company), turn)
        answer = predictor.step(x, company)
        for number, asset in enumerate(company):
            given_parts[asset].append(x[number : number + 1])
            got[asset].append(answer[number : number + 1])
    for asset, parts in given_parts.items():
        expected, state = alone(bundle, parts)
        assert all(np.array_equal(a, b) for a, b in zip(got[asset], expected, strict=True))
        assert same_state(predictor.streams.state_of(asset), state)


def test_the_same_company_stays_in_its_buffers(predictor):
    company = ("a", "b")
    for turn in range(4):
        predictor.step(samples(2, turn), company)
    first, second = (predictor.step(samples(2, turn), company, reuse=True) for turn in (4, 5))
    assert first is second  # nothing is allocated


def test_an_answer_is_the_callers_own(predictor):
    answers = [predictor.step(samples(1, turn), ["a"]) for turn in range(6)]
    copies = [answer.copy() for answer in answers]
    predictor.step(samples(1, 9), ["a"])
    assert all(np.array_equal(*pair) for pair in zip(answers, copies, strict=True))
    assert len({answer.tobytes() for answer in answers}) == 6


def test_a_state_can_be_put_away_and_given_back(bundle, predictor):
    parts = [samples(1, seed) for seed in range(5)]
    expected, _ = alone(bundle, parts)
    for part in parts[:3]:
        predictor.step(part, ["a"])
    kept = predictor.streams.state_of("a")
    predictor.step(samples(1, 99), ["a"])
    predictor.streams.restore("a", kept)
    assert np.array_equal(predictor.step(parts[3], ["a"]), expected[3])


def test_a_forgotten_asset_begins_anew(bundle, predictor):
    (first, _), _ = alone(bundle, [samples(1), samples(1)])
    predictor.step(samples(2), ["a", "b"])
    predictor.streams.forget("a")
    predictor.streams.forget("nobody")
    assert set(predictor.streams.assets) == {"b"}
    assert np.array_equal(predictor.step(samples(1), ["a"]), first)


BAD = {
    "NaN": np.full((2, 1, CHANNELS), np.nan, np.float32),
    "float64": samples(2).astype(np.float64),
    "batch 0": samples(0),
    "sequence 0": samples(2, steps=0),
    "one series": samples(1),
    "three series": samples(3),
    "no array": None,
}


@pytest.mark.parametrize("warm", [0, 4])
@pytest.mark.parametrize("x", BAD.values(), ids=BAD.keys())
def test_what_is_refused_changes_no_state(bundle, predictor, x, warm):
    for turn in range(warm):
        predictor.step(samples(2, turn), ["a", "b"])
    before = predictor.streams.state_of("b")
    with pytest.raises(InputError):
        predictor.step(x, ["a", "b"])
    assert same_state(predictor.streams.state_of("b"), before)
    assert set(predictor.streams.assets) == ({"a", "b"} if warm else set())


def test_an_asset_comes_once_in_a_call(predictor):
    with pytest.raises(InputError, match="the same one twice"):
        predictor.step(samples(2), ["a", "a"])


BAD_STATES = {
    "another name": lambda state: {"h9": state["h0"]},
    "half of it": lambda state: {"h0": state["h0"]},
    "of two series": lambda state: {name: np.repeat(array, 2, axis=1) for name, array in state.items()},
    "not finite": lambda state: {name: array * np.float32(np.nan) for name, array in state.items()},
    "float64": lambda state: {name: array.astype(np.float64) for name, array in state.items()},
}


@pytest.mark.parametrize("fault", BAD_STATES.values(), ids=BAD_STATES.keys())
def test_only_a_state_of_this_graph_is_given_back(predictor, fault):
    predictor.step(samples(1), ["a"])
    state = predictor.streams.state_of("a")
    with pytest.raises(InputError):
        predictor.streams.restore("a", fault(state))
    assert same_state(predictor.streams.state_of("a"), state)


def test_companies_beyond_the_limit_lose_their_buffers_and_not_their_states(bundle, predictor, monkeypatch):
    monkeypatch.setattr(asset_streams, "GROUPS_KEPT", 2)
    parts = {asset: [samples(1, 10 * n + m) for m in range(3)] for n, asset in enumerate("abcde")}
    got = {asset: [] for asset in parts}
    for turn in range(3):
        for asset, own in parts.items():
            got[asset].append(predictor.step(own[turn], [asset]))
    for asset, own in parts.items():
        expected, _ = alone(bundle, own)
        assert all(np.array_equal(a, b) for a, b in zip(got[asset], expected, strict=True))


def test_an_interruption_loses_no_state(predictor, monkeypatch):
    streams, company = predictor.streams, ("a", "b", "c")
    for seed in range(3):
        predictor.step(samples(3, seed), company)
    before = {asset: streams.state_of(asset) for asset in company}
    took_out = type(streams)._part

    def interrupted(self, state, number):
        if number == 1:
            raise KeyboardInterrupt
        return took_out(self, state, number)

    with monkeypatch.context() as patched:
        patched.setattr(type(streams), "_part", interrupted)
        with pytest.raises(KeyboardInterrupt):
            predictor.step(samples(1), ("a",))
    for asset in company:
        same_state(streams.state_of(asset), before[asset])
    predictor.step(samples(1), ("b",))
    same_state(streams.state_of("c"), before["c"])
    assert sorted(streams.assets) == ["a", "b", "c"]
