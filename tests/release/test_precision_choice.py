"""Decisions on exact figures: the clock is moved by the graphs themselves, nothing is timed."""

import json
import random

import numpy as np
import pytest

from toolkit.contract.graph_entry import GraphEntry
from toolkit.contract.graph_io import ANY_SIZE, GraphSignature, TensorSpec
from toolkit.contract.records import encode
from toolkit.parity.held_out import HeldOut
from toolkit.release.precision_choice import Request, Variant, candidates, precisions

X, Y = TensorSpec("x", ("batch", "sequence", 2)), TensorSpec("forecast", ("batch", 3, 2))
TENSORS = GraphSignature((X,), (Y,))
WINDOWS = np.random.default_rng(0).standard_normal((5, 4, 2)).astype(np.float32)
TRUTH = np.random.default_rng(1).standard_normal((5, 3, 2)).astype(np.float32)
HELD_OUT = HeldOut(WINDOWS, TRUTH, ("a", "b"))
ONE = Request({"x": np.zeros((1, 4, 2), np.float32)}, 1, 4)
SIXTEEN = Request({"x": np.zeros((16, 4, 2), np.float32)}, 16, 4)


class MovedClock:
    now = 0

    def now_ns(self):
        return self.now

    def cpu_ns(self):
        return self.now


class FakeGraph:
    """Answers `error` beside the truth, and takes `takes_ns` of the clock's time; `batch_ns` where it is a batch."""

    limits = ANY_SIZE

    def __init__(self, clock, takes_ns, error, batch_ns=0):
        self.clock, self.takes_ns, self.error, self.tensors = clock, takes_ns, np.float32(error), TENSORS
        self.batch_ns = batch_ns

    def run(self, feed):
        takes_ns = self.batch_ns if len(feed["x"]) > 1 else self.takes_ns
        self.clock.now += takes_ns() if callable(takes_ns) else takes_ns
        place = int(np.argmin(np.abs(WINDOWS - feed["x"][:1]).sum((1, 2))))
        return {"forecast": TRUTH[place][None] + self.error}


def made(clock, precision, *answers, size=100):
    entry = GraphEntry("windowed", f"windowed.{precision}.onnx", precision, {}, TENSORS.inputs, TENSORS.outputs)
    return Variant(entry, b"x" * size, FakeGraph(clock, *answers))


def judged(*others, fp32=(1_000_000, 1.0), held_out=HELD_OUT, requests=(ONE,), **how):
    """Candidates for `others`: precision, nanoseconds, error and nanoseconds of a batch of each."""
    clock = MovedClock()
    variants = [made(clock, *other, size=40) for other in others]
    return candidates(made(clock, "fp32", *fp32), variants, requests, held_out, seconds=0.3, clock=clock, **how)


def test_faster_and_accurate_is_kept():
    (found,) = judged(("int8", 500_000, 1.005))
    assert found.kept
    assert (found.speedup, found.speedup_range) == (2.0, (2.0, 2.0))
    assert found.accuracy_loss == pytest.approx(0.005, abs=1e-6)
    np.testing.assert_allclose(found.fp32_error, (1.0, 1.0), rtol=1e-6)
    np.testing.assert_allclose(found.error, (1.005, 1.005), rtol=1e-6)
    assert (found.graph, found.precision, found.bytes) == ("windowed", "int8", 40)
    assert (found.series, found.samples, found.batch, found.windows) == (1, 4, None, 5)
    assert found.reason == (
        "kept: 2.00 times as fast as fp32 here (2.00 to 2.00) for one series of 4 samples; error +0.50 %, "
        "40 % of its size"
    )


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
    assert found.reason == "not worth it: 1.60 times slower than fp32 here (1.60 to 1.60) for one series of 4 samples"


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
    (unmeasured,) = judged(("fp16", 1_000_000, 9.0), must_be_faster=False, held_out=None)
    assert unmeasured.kept
    assert "error not measured" in unmeasured.reason


@pytest.mark.parametrize(
    ("takes_ns", "words"),
    [
        (500_000, "kept as asked: 2.00 times as fast as fp32 here (2.00 to 2.00) for one"),
        (990_000, "kept as asked, though it is no faster here: 1.01 times as fast as fp32 here (1.01 to 1.01) for one"),
        (1_010_000, "kept as asked, though it is no faster here: 0.99 times as fast as fp32 here (0.99 to 0.99) for"),
        (1_600_000, "kept as asked, though it is slower here: 1.60 times slower than fp32 here (1.60 to 1.60) for one"),
    ],
)
def test_what_was_asked_for_by_name_is_not_praised_for_a_gain_that_it_has_not(takes_ns, words):
    (found,) = judged(("int8", takes_ns, 1.0), must_be_faster=False)
    assert found.reason.startswith(words)


@pytest.mark.parametrize(
    ("batch_ns", "words"),
    [
        (14_400_000, "; a batch of 16 is 1.80 times slower than fp32 here (1.80 to 1.80); error"),
        (4_000_000, "; a batch of 16 is 2.00 times as fast as fp32 here (2.00 to 2.00); error"),
    ],
)
@pytest.mark.parametrize("asked", [True, False])
def test_what_becomes_of_a_batch_is_told_and_one_series_decides(batch_ns, words, asked):
    fp32, int8 = (1_000_000, 1.0, 8_000_000), ("int8", 500_000, 1.0, batch_ns)
    (found,) = judged(int8, fp32=fp32, requests=(ONE, SIXTEEN), must_be_faster=not asked)
    assert found.kept
    assert (found.speedup, found.batch) == (2.0, 16)
    assert found.batch_speedup == found.batch_speedup_range[0] == pytest.approx(8_000_000 / batch_ns)
    assert words in found.reason


def test_a_faster_batch_saves_no_variant_that_is_slower_for_one_series():
    fp32, int8 = (1_000_000, 1.0, 8_000_000), ("int8", 1_600_000, 1.0, 1_000_000)
    (found,) = judged(int8, fp32=fp32, requests=(ONE, SIXTEEN))
    assert not found.kept


def test_a_step_of_the_horizon_that_suffers_is_told_though_the_mean_decides():
    error = np.float32([[1.03, 1.0], [0.99, 1.0], [0.99, 1.0]])
    (found,) = judged(("int8", 500_000, error))
    assert found.kept
    assert found.accuracy_loss == pytest.approx(0.01 / 3, abs=1e-6)
    assert found.worst_step_loss == pytest.approx(0.03, abs=1e-6)
    assert "error +0.33 % (+3.00 % for a 1 sample ahead)," in found.reason


def test_a_request_is_told_as_it_was():
    step = Request({"x": np.zeros((1, 1, 2), np.float32)}, 1, 1)
    assert "for one series of 1 sample; error" in judged(("int8", 500_000, 1.0), requests=(step,))[0].reason
    pair = Request({"x": np.zeros((2, 4, 2), np.float32)}, 2, None)
    (found,) = judged(("fp16", 0, 1.0, 500_000), fp32=(0, 1.0, 1_000_000), requests=(pair,))
    assert "for 2 series; error" in found.reason


def test_fp32_that_is_no_number_is_nothing_to_be_held_against():
    (found,) = judged(("int8", 500_000, 1.0), fp32=(1_000_000, [1.0, np.nan]))
    assert not found.kept


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


def test_which_variants_a_request_asks_for():
    assert {name: precisions(name) for name in ("fp32", "fp16", "int8", "auto")} == {
        "fp32": (),
        "fp16": ("fp16",),
        "int8": ("int8",),
        "auto": ("fp16", "int8"),
    }
