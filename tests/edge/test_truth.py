"""What was forecast against what came: by place, within a series, fading."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.edge import truth as room
from toolkit.edge.truth import Truth, skill
from toolkit.errors import InputError


def ints(*numbers):
    return np.array(numbers, np.int64)


def floats(*numbers):
    return np.array(numbers, np.float32)


def arrive(truth, place, value, asset=0, starts=False):
    truth.arrived(ints(asset), ints(place), floats([value]), np.array([starts]))


def forecast(truth, place, steps, last, asset=0):
    truth.remember(ints(asset), ints(place), floats([[step] for step in steps]), floats([last]))


def test_nothing_is_known_before_any_truth():
    truth = Truth(2, 1)
    forecast(truth, 5, [1, 1], 1)
    assert truth.snapshot() == []
    assert truth.totals() == []
    assert truth.by_step().truths.sum() == 0


def test_each_step_is_held_against_the_row_of_its_place():
    truth = Truth(2, 1)
    forecast(truth, 5, [11, 13], 10)
    arrive(truth, 6, 12)  # 1 off, persistence 2
    steps = truth.by_step()
    assert steps.error.tolist() == [[1.0], [0.0]]
    assert steps.persistence_error.tolist() == [[2.0], [0.0]]
    arrive(truth, 7, 16)  # 3 off, persistence 6
    steps = truth.by_step()
    assert steps.error.tolist() == [[1.0], [3.0]]
    assert steps.truths.tolist() == [[1], [1]]
    arrive(truth, 8, 100)  # beyond the horizon
    assert truth.by_step().truths.sum() == 2
    (score,) = truth.snapshot()
    keep = 1 - 1 / room.MEMORY
    assert score.mae == pytest.approx((keep * 1 + 3) / (keep + 1))
    assert score.persistence_mae == pytest.approx((keep * 2 + 6) / (keep + 1))
    assert score.skill == pytest.approx(0.5)
    assert (score.asset, score.target, score.truths) == (0, 0, 2)


def test_a_missing_place_shifts_no_comparison():
    truth = Truth(3, 1)
    forecast(truth, 5, [1, 2, 3], 0)
    arrive(truth, 8, 3)
    assert truth.by_step().error.tolist() == [[0.0], [0.0], [0.0]]
    assert truth.by_step().truths.tolist() == [[0], [0], [1]]


def test_a_new_series_forgets_what_was_forecast_before_it():
    truth = Truth(3, 1)
    forecast(truth, 5, [1, 2, 3], 0)
    forecast(truth, 5, [1, 2, 3], 0, asset=1)
    arrive(truth, 6, 1, starts=True)
    arrive(truth, 7, 1)
    arrive(truth, 6, 1, asset=1)
    assert [(score.asset, score.truths) for score in truth.snapshot()] == [(1, 1)]


def test_an_old_forecast_never_stands_for_a_place_of_the_next_turn():
    truth = Truth(2, 1)
    forecast(truth, 4, [50, 50], 50)
    arrive(truth, 9, 1)
    arrive(truth, 4, 1)
    arrive(truth, 3, 1)
    assert truth.snapshot() == []


def test_a_value_that_was_made_up_is_no_truth():
    truth = Truth(1, 2)
    truth.remember(ints(0), ints(1), floats([[1, 2]]), floats([0, 0]))
    truth.arrived(ints(0), ints(2), floats([np.nan, 3]), np.array([False]))
    assert [(score.target, score.mae) for score in truth.snapshot()] == [(1, 1.0)]


def test_a_model_gone_stale_shows():
    truth = Truth(1, 1)
    for place in range(3000):
        arrive(truth, place, float(place % 2))
        forecast(truth, place, [float((place + 1) % 2)], float(place % 2))
    assert truth.snapshot()[0].skill == pytest.approx(1.0)
    for place in range(3000, 4000):
        arrive(truth, place, float(place % 2))
        forecast(truth, place, [5.0], float(place % 2))
    assert truth.snapshot()[0].skill < -1.0


def test_a_quiet_asset_keeps_its_figures():
    truth = Truth(1, 1)
    forecast(truth, 0, [2], 0)
    arrive(truth, 1, 1)
    before = truth.snapshot()
    for place in range(5, 500):
        arrive(truth, place, 7)
    assert truth.snapshot() == before


def test_the_skill_against_a_persistence_without_error_is_unknown():
    assert math.isnan(skill(0.0, 0.0))
    assert math.isnan(skill(math.nan, math.nan))
    assert skill(1.0, 2.0) == 0.5


def test_totals_join_all_assets():
    truth = Truth(1, 1)
    for asset, error in ((0, 1), (70, 3)):
        forecast(truth, 0, [error], 2, asset=asset)
        arrive(truth, 1, 0, asset=asset)
    (total,) = truth.totals()
    assert (total.asset, total.mae, total.persistence_mae, total.truths) == (-1, 2.0, 2.0, 2)


def test_rows_without_truth_let_nothing_fade():
    truth = Truth(1, 1)
    for asset, error in ((0, 1), (1, 3)):
        forecast(truth, 0, [error], 2, asset=asset)
        arrive(truth, 1, 0, asset=asset)
    for place in range(2, 300):
        forecast(truth, place - 1, [1], 1, asset=1)
        arrive(truth, place, np.nan, asset=1)
    assert truth.totals()[0].mae == 2.0


def test_a_long_horizon_is_remembered_within_bounds():
    truth = Truth(720, 7)
    assert truth._forecasts[:1].nbytes <= room.BYTES_OF_AN_ASSET + 4 * 720 * 7
    truth = Truth(96, 3)
    assert truth.every == 7
    for place in range(200):
        truth.arrived(ints(0), ints(place), np.full((1, 3), place, np.float32), np.array([False]))
        truth.remember(
            ints(0),
            ints(place),
            np.repeat(np.arange(place + 1, place + 97, dtype=np.float32)[None, :, None], 3, axis=2),
            np.full((1, 3), place, np.float32),
        )
    steps = truth.by_step()
    assert steps.error.sum() == 0
    assert (steps.truths > 0).all()
    assert steps.persistence_error[:, 0].tolist() == [
        step * count for step, count in zip(range(1, 97), steps.truths[:, 0].tolist(), strict=True)
    ]


def test_forecasts_of_another_shape_are_refused():
    with pytest.raises(InputError, match="forecasts to remember"):
        Truth(2, 1).remember(ints(0), ints(0), np.zeros((1, 3, 1), np.float32), np.zeros((1, 1), np.float32))


def test_nothing_arrives_without_assets():
    truth = Truth(2, 1)
    truth.arrived(ints(), ints(), np.zeros((0, 1), np.float32), np.zeros(0, bool))
    assert truth.snapshot() == []


class Plain:
    """One asset's errors, written as they are explained."""

    def __init__(self, horizon):
        self.horizon, self.waiting, self.sums, self.truths = horizon, [], [0.0, 0.0, 0.0], 0

    def arrived(self, place, value, starts):
        self.waiting = [] if starts else self.waiting
        pairs = [
            (abs(float(steps[place - made - 1]) - value), abs(float(last) - value))
            for made, steps, last in self.waiting
            if 1 <= place - made <= self.horizon
        ]
        if pairs:
            self.sums = [total * (1 - 1 / room.MEMORY) for total in self.sums]
            for error, other in pairs:
                self.sums = [a + b for a, b in zip(self.sums, (error, other, 1), strict=True)]
            self.truths += len(pairs)

    def remember(self, place, steps, last):
        self.waiting.append((place, steps, last))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.lists(st.tuples(st.integers(1, 5), st.booleans(), st.booleans()), max_size=25), st.data())
def test_it_is_what_the_explanation_says_however_assets_come_together(horizon, turns, data):
    together, apart, plain = Truth(horizon, 1), Truth(horizon, 1), [Plain(horizon) for _ in range(3)]
    draw, places = np.random.default_rng(0), [0, 0, 0]
    for jump, starts, forecasts in turns:
        assets = data.draw(st.lists(st.integers(0, 2), min_size=1, unique=True))
        values = draw.standard_normal((len(assets), 1)).astype(np.float32)
        steps = draw.standard_normal((len(assets), horizon, 1)).astype(np.float32)
        for asset in assets:
            places[asset] += 1 if jump < 4 else jump
        at, flags = ints(*(places[asset] for asset in assets)), np.full(len(assets), starts)
        together.arrived(ints(*assets), at, values, flags)
        if forecasts:
            together.remember(ints(*assets), at, steps, values)
        for i, asset in enumerate(assets):
            one = slice(i, i + 1)
            apart.arrived(ints(asset), at[one], values[one], flags[one])
            plain[asset].arrived(places[asset], float(values[i, 0]), starts)
            if forecasts:
                apart.remember(ints(asset), at[one], steps[one], values[one])
                plain[asset].remember(places[asset], steps[i, :, 0], values[i, 0])
    assert together.snapshot() == apart.snapshot()
    expected = [(asset, one) for asset, one in enumerate(plain) if one.truths]
    got = together.snapshot()
    assert [(score.asset, score.truths) for score in got] == [(asset, one.truths) for asset, one in expected]
    for score, (_, one) in zip(got, expected, strict=True):
        assert score.mae == pytest.approx(one.sums[0] / one.sums[2])
        assert score.persistence_mae == pytest.approx(one.sums[1] / one.sums[2])
