"""Decisions on exact figures: the clock is moved by the graphs themselves, nothing is timed."""

import json
import random

import numpy as np
import pytest

from toolkit.contract.graph_io import GraphSignature, TensorSpec
from toolkit.contract.manifest import GraphEntry
from toolkit.contract.records import encode
from toolkit.release.held_out import HeldOut
from toolkit.release.precision_choice import Variant, candidates, mean_errors, precisions

X, Y = TensorSpec("x", ("batch", "sequence", 2)), TensorSpec("forecast", ("batch", 3, 2))
TENSORS = GraphSignature((X,), (Y,))
WINDOWS = np.random.default_rng(0).standard_normal((5, 4, 2)).astype(np.float32)
TRUTH = np.random.default_rng(1).standard_normal((5, 3, 2)).astype(np.float32)
HELD_OUT = HeldOut(WINDOWS, TRUTH, ("a", "b"))
REQUEST = {"x": np.zeros((1, 4, 2), np.float32)}


class MovedClock:
    now = 0

    def now_ns(self):
        return self.now

    def cpu_ns(self):
        return self.now


class FakeGraph:
    """Answers `error` beside the truth, and takes `takes_ns()` of the clock's time."""

    def __init__(self, clock, takes_ns, error, tensors=TENSORS):
        self.clock, self.takes_ns, self.error, self.tensors = clock, takes_ns, np.float32(error), tensors
        self.fed = []

    def run(self, feed):
        self.clock.now += self.takes_ns() if callable(self.takes_ns) else self.takes_ns
        self.fed.append(feed)
        place = int(np.argmin(np.abs(WINDOWS - feed["x"]).sum((1, 2))))
        return {"forecast": TRUTH[place][None] + self.error}


def made(clock, precision, takes_ns, error, size=100):
    entry = GraphEntry("windowed", f"windowed.{precision}.onnx", precision, {}, TENSORS.inputs, TENSORS.outputs)
    return Variant(entry, b"x" * size, FakeGraph(clock, takes_ns, error))


def judged(*others, fp32=(1_000_000, 1.0), held_out=HELD_OUT, **how):
    """Candidates for `others`: precision, nanoseconds and error of each."""
    clock = MovedClock()
    variants = [made(clock, *other, size=40) for other in others]
    return candidates(made(clock, "fp32", *fp32), variants, REQUEST, held_out, seconds=0.3, clock=clock, **how)


def test_faster_and_accurate_is_kept():
    (found,) = judged(("int8", 500_000, 1.005))
    assert found.kept
    assert (found.speedup, found.speedup_range) == (2.0, (2.0, 2.0))
    assert found.accuracy_loss == pytest.approx(0.005, abs=1e-6)
    np.testing.assert_allclose(found.fp32_error, (1.0, 1.0), rtol=1e-6)
    np.testing.assert_allclose(found.error, (1.005, 1.005), rtol=1e-6)
    assert (found.graph, found.precision, found.bytes) == ("windowed", "int8", 40)
    assert found.reason == "kept: 2.00 times as fast as fp32 here (2.00 to 2.00), error +0.50 %, 40 % of its size"


def test_faster_and_inaccurate_is_not():
    (found,) = judged(("int8", 500_000, 1.02))
    assert not found.kept
    assert found.reason == "not kept: its error on held-out readings is 2.00 % larger, 1 % are allowed"


def test_how_much_accuracy_may_be_lost_is_for_the_caller_to_say():
    assert judged(("int8", 500_000, 1.02), max_accuracy_loss=0.03)[0].kept
    assert not judged(("int8", 500_000, 1.005), max_accuracy_loss=0.0)[0].kept
    assert judged(("int8", 500_000, 1.0), max_accuracy_loss=0.0)[0].kept


@pytest.mark.parametrize("error", [[1.0, 1.02], [1.02, 0.5]])
def test_the_target_that_suffers_most_decides(error):
    (found,) = judged(("int8", 500_000, error))
    assert not found.kept
    assert found.accuracy_loss == pytest.approx(0.02, abs=1e-6)


def test_slower_is_not_worth_it():
    (found,) = judged(("int8", 1_600_000, 1.0))
    assert not found.kept
    assert found.reason == "not worth it: 1.60 times slower than fp32 here"


@pytest.mark.parametrize("takes_ns", [1_000_000, 990_000, 985_000])
def test_no_gain_to_speak_of_is_not_worth_a_file(takes_ns):
    (found,) = judged(("int8", takes_ns, 1.0))
    assert not found.kept
    assert found.reason.startswith("not worth it: 1.0")
    assert found.reason.endswith("no gain beyond noise")


def test_a_gain_within_the_noise_is_not_kept():
    noise = random.Random(0)
    (found,) = judged(("int8", lambda: noise.choice((600_000, 1_300_000)), 1.0))
    low, high = found.speedup_range
    assert low < 1.02 < found.speedup <= high  # it looks faster
    assert not found.kept
    assert "no gain beyond noise" in found.reason


def test_a_gain_beyond_the_noise_is_kept():
    noise = random.Random(0)
    (found,) = judged(("int8", lambda: noise.randint(400_000, 800_000), 1.0))
    low, high = found.speedup_range
    assert 1.02 < low < found.speedup < high
    assert found.kept


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_that_are_worth_it_the_faster_is_kept(order):
    found = judged(*[("fp16", 800_000, 1.0), ("int8", 500_000, 1.0)][::order])
    by_precision = {each.precision: each for each in found}
    assert [each.precision for each in found] == ["fp16", "int8"][::order]
    assert by_precision["int8"].kept
    assert not by_precision["fp16"].kept
    assert by_precision["fp16"].reason == "not kept: int8 is faster (2.00 times as fast as fp32)"


def test_of_two_that_are_as_fast_one_is_kept():
    assert [each.kept for each in judged(("fp16", 500_000, 1.0), ("int8", 500_000, 1.0))] == [True, False]


def test_the_slower_is_kept_where_the_faster_is_inaccurate():
    assert [each.kept for each in judged(("fp16", 800_000, 1.0), ("int8", 500_000, 1.5))] == [True, False]


def test_without_held_out_readings_nothing_is_chosen():
    (found,) = judged(("int8", 500_000, 9.0), held_out=None)
    assert not found.kept
    assert "no held-out readings" in found.reason
    assert (found.accuracy_loss, found.error, found.fp32_error) == (None, (), ())


def test_what_was_asked_for_by_name_is_kept_though_it_is_slower():
    (found,) = judged(("int8", 1_600_000, 1.0), must_be_faster=False)
    assert found.kept
    assert found.reason.startswith("kept: 0.62 times as fast")
    (unmeasured,) = judged(("fp16", 1_000_000, 9.0), must_be_faster=False, held_out=None)
    assert unmeasured.kept
    assert "error not measured" in unmeasured.reason


def test_what_was_asked_for_by_name_must_be_accurate_all_the_same():
    (found,) = judged(("int8", 500_000, 1.02), must_be_faster=False)
    assert not found.kept
    assert "2.00 % larger, 1 % are allowed" in found.reason


@pytest.mark.parametrize("error", [np.nan, np.inf])
def test_an_answer_that_is_no_number_is_not_kept_and_can_be_written_down(error):
    (found,) = judged(("int8", 500_000, [1.0, error]))
    assert not found.kept
    assert (found.accuracy_loss, found.error) == (None, ())
    json.dumps(encode(found), allow_nan=False)


def test_an_error_where_fp32_has_none_is_not_kept_and_can_be_written_down():
    (found,) = judged(("int8", 500_000, [0.0, 0.1]), fp32=(1_000_000, [0.0, 1.0]))
    assert found.kept
    (found,) = judged(("int8", 500_000, [0.1, 0.1]), fp32=(1_000_000, [0.0, 1.0]))
    assert not found.kept
    assert "infinitely larger" in found.reason
    json.dumps(encode(found), allow_nan=False)


def test_each_series_is_asked_alone():
    graph = FakeGraph(MovedClock(), 1, [0.25, 0.5])
    np.testing.assert_allclose(mean_errors(graph, HELD_OUT), (0.25, 0.5), rtol=1e-6)
    assert [feed["x"].shape for feed in graph.fed] == [(1, 4, 2)] * 5


class Streaming:
    """A time-major graph with states, an answer after each step; only the last one is right."""

    tensors = GraphSignature(
        (TensorSpec("x", ("T", "N", 2)), TensorSpec("h0", (1, "N", 6))),
        (TensorSpec("hn", (1, "N", 6)), TensorSpec("y", ("T", "N", 2))),
        {"h0": "hn"},
    )

    def run(self, feed):
        assert feed["x"].shape == (4, 1, 2)
        np.testing.assert_array_equal(feed["h0"], np.zeros((1, 1, 6), np.float32))
        y = np.full((4, 1, 2), 1e9, np.float32)
        y[-1] = 0.5
        return {"hn": np.zeros((1, 1, 6), np.float32), "y": y}


def test_a_stream_is_scored_after_its_last_step_and_from_a_zero_state():
    held_out = HeldOut(WINDOWS, np.zeros((5, 1, 2), np.float32), ("a", "b"))
    np.testing.assert_array_equal(mean_errors(Streaming(), held_out), (0.5, 0.5))


def test_a_horizon_of_one_target_needs_no_axis_of_targets():
    graph = FakeGraph(MovedClock(), 1, 0.0, GraphSignature((X,), (TensorSpec("forecast", ("batch", 3)),)))
    graph.run = lambda feed: {"forecast": np.float32([[1, 2, 3]])}
    held_out = HeldOut(WINDOWS, np.zeros((5, 3, 1), np.float32), ("a",))
    np.testing.assert_array_equal(mean_errors(graph, held_out), (2.0,))


def test_which_variants_a_request_asks_for():
    assert {name: precisions(name) for name in ("fp32", "fp16", "int8", "auto")} == {
        "fp32": (),
        "fp16": ("fp16",),
        "int8": ("int8",),
        "auto": ("fp16", "int8"),
    }
