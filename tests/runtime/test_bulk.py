"""Bulk answers are those of one call, whatever the batch, the chunk and the cores; bad input reaches no session."""

import dataclasses
import os
import signal
import threading
import time
import types

import numpy as np
import pytest

from toolkit.contract.graph_io import GraphSignature, SizeLimits, TensorSpec
from toolkit.errors import BundleError, ConfigError, InputError
from toolkit.runtime.bulk import BulkPredictor
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.chunks import CHUNK
from toolkit.runtime.environment import usable_cores
from toolkit.runtime.guarded_graph import GuardedGraph

CHANNELS = 2


@pytest.fixture(scope="module")
def bundle(whole):
    return load_bundle(whole)


@pytest.fixture(scope="module")
def bulk(bundle):
    with bundle.bulk() as predictor:
        yield predictor


def windows(count, length=9, seed=0):
    values = np.random.default_rng(seed).standard_normal((count, length, CHANNELS)).astype(np.float32)
    return values * np.float32([2, 50]) + np.float32([20, 101_325])


def one_call(bundle, x):
    """All series in one call of a session, without chunks."""
    return bundle.session("windowed").run(None, {"x": x})[0]


@pytest.mark.parametrize("count", [1, 2, 7, 8, 31, 32, 33, 65, 200])
def test_answers_are_those_of_one_call_to_the_bit(bundle, bulk, count):
    x = windows(count)
    assert np.array_equal(bulk.predict(x), one_call(bundle, x))


@pytest.mark.parametrize("chunk", [1, 5, 32, 1000])
def test_no_chunk_changes_an_answer(bundle, chunk):
    x = windows(53)
    with BulkPredictor([bundle.guarded(bundle.manifest.graph("windowed"))], chunk) as predictor:
        assert np.array_equal(predictor.predict(x), one_call(bundle, x))


def test_every_core_has_a_session_of_its_own(bundle, bulk):
    assert bulk.cores == usable_cores()
    with bundle.bulk(cores=1) as predictor:
        assert predictor.cores == 1


def test_windows_of_a_table_are_cut_as_they_stand(bundle, bulk):
    readings = windows(1, 120)[0]
    starts = np.array([0, 111, 3, 3, *range(60)])
    cut = np.stack([readings[start : start + 9] for start in starts])
    assert np.array_equal(bulk.predict_windows(readings, starts, 9), one_call(bundle, cut))


def test_windows_have_the_models_own_length_unless_told(bundle, bulk):
    length = bundle.manifest.window_length
    readings = windows(1, length + 3)[0]
    expected = one_call(bundle, np.stack([readings[start : start + length] for start in range(4)]))
    assert np.array_equal(bulk.predict_windows(readings, np.arange(4)), expected)


def test_a_time_major_graph(bulk):
    graph = Sums(("sequence", "batch", CHANNELS))
    with BulkPredictor([graph.guarded(), graph.guarded()]) as predictor:
        x = windows(50).transpose(1, 0, 2)
        assert np.array_equal(predictor.predict(x), x.sum(axis=0))
        readings = windows(1, 40)[0]
        expected = np.stack([readings[start : start + 9].sum(axis=0) for start in range(31)])
        assert np.array_equal(predictor.predict_windows(readings, np.arange(31), 9), expected)


class Sums:
    """Stands in a session's place: the sum over each window; it may fail, and remembers what reached it."""

    def __init__(self, axes=("batch", "sequence", CHANNELS), *, poison=None):
        self.axes, self.poison, self.calls = axes, poison, []

    def run(self, _, feed):
        self.calls.append(feed["x"].shape)
        if self.poison is not None and (feed["x"] == self.poison).any():
            raise RuntimeError("broken")
        return [feed["x"].sum(axis=self.axes.index("sequence"))]

    def guarded(self, limits=None):
        signature = GraphSignature((TensorSpec("x", self.axes),), (TensorSpec("forecast", ("batch", CHANNELS)),))
        return GuardedGraph(self, signature, limits or SizeLimits())


def test_small_batches_are_one_call_and_wake_no_thread():
    session = Sums()
    with BulkPredictor([session.guarded()] * 2) as predictor:
        predictor.predict(windows(7))
    assert session.calls == [(7, 9, CHANNELS)]


def test_both_sessions_work_and_no_chunk_is_larger_than_asked():
    sessions = [Sums(), Sums()]
    with BulkPredictor([session.guarded() for session in sessions], 5) as predictor:
        predictor.predict(windows(500))
    done = [shape[0] for session in sessions for shape in session.calls]
    assert sum(done) == 500
    assert max(done) <= 5


def test_sizes_that_a_graph_takes_are_kept():
    session = Sums()
    limits = SizeLimits({"batch": 4}, {"batch": 6})
    with BulkPredictor([session.guarded(limits)]) as predictor:
        predictor.predict(windows(19))
    assert {shape[0] for shape in session.calls} <= {4, 5, 6}


BAD = {
    "batch 0": windows(0),
    "sequence 0": windows(30, 0),
    "two axes": windows(1)[0],
    "other channels": np.zeros((30, 9, 3), np.float32),
    "float64": windows(30).astype(np.float64),
    "NaN in the last": np.concatenate([windows(29), np.full((1, 9, CHANNELS), np.nan, np.float32)]),
    "no array": [1.0],
}


@pytest.mark.parametrize("x", BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_line(bulk, x):
    with pytest.raises(InputError, match="x "):
        bulk.predict(x)


def test_it_answers_after_a_refusal(bundle, bulk):
    with pytest.raises(InputError):
        bulk.predict(BAD["NaN in the last"])
    assert np.array_equal(bulk.predict(windows(60)), one_call(bundle, windows(60)))


def test_a_failure_begins_no_further_chunk():
    x = windows(1000)
    x[0, 0, 0] = 7
    session = Sums(poison=np.float32(7))
    with BulkPredictor([session.guarded()], 10) as predictor, pytest.raises(BundleError, match="cannot run"):
        predictor.predict(x)
    assert len(session.calls) == 1


def test_a_failure_on_one_core_stops_the_other():
    x = windows(1000)
    x[:, 0, 0] = 7  # whichever chunk it draws
    failing, slow = Sums(poison=np.float32(7)), Sums()
    plain_run = slow.run

    def run(names, feed):
        time.sleep(0.005)  # so that the failure comes before it has done all
        return plain_run(names, feed)

    slow.run = run
    with BulkPredictor([failing.guarded(), slow.guarded()], 10) as predictor, pytest.raises(BundleError):
        predictor.predict(x)
    assert len(failing.calls) + len(slow.calls) < 50


@pytest.mark.parametrize(
    ("starts", "length"), [([-1], 9), ([112], 9), ([0, 200], 9), ([], 9), ([0], 0), ([0], 121)], ids=str
)
def test_a_window_that_leaves_the_table_is_refused(starts, length):
    with BulkPredictor([Sums().guarded()]) as predictor, pytest.raises(InputError, match="window"):
        predictor.predict_windows(windows(1, 120)[0], np.array(starts, np.int64), length)


def test_threads_that_share_it_get_their_own_answers(bundle, bulk):
    got = {}

    def ask(seed):
        got[seed] = bulk.predict(windows(70, seed=seed))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(got[seed], one_call(bundle, windows(70, seed=seed))) for seed in range(4))


def test_what_cannot_be_cut_is_refused(bundle):
    entry = bundle.manifest.graph("windowed")
    mixed = dataclasses.replace(entry, mixes_series=True)
    manifest = types.SimpleNamespace(graph=lambda *_: mixed)
    with pytest.raises(BundleError, match="depends on the others in its call"):
        dataclasses.replace(bundle, manifest=manifest).bulk()
    streaming = bundle.guarded(bundle.manifest.graph("streaming"))
    with pytest.raises(InputError, match="a graph for bulk"):
        BulkPredictor([streaming])


@pytest.mark.parametrize("cores", [0, -1, 100_000])
def test_cores_that_are_not_there(bundle, cores):
    with pytest.raises(ConfigError, match="cores"):
        bundle.bulk(cores=cores)


def test_a_chunk_of_nothing(bundle):
    with pytest.raises(ConfigError, match="chunk"):
        BulkPredictor([bundle.guarded(bundle.manifest.graph("windowed"))], 0)


def test_a_predictor_of_windows_cuts_large_batches_too(bundle):
    entry = bundle.manifest.graph("windowed")
    session = Sums()
    signature = GraphSignature(
        (TensorSpec("x", ("batch", "sequence", CHANNELS)),), (TensorSpec("forecast", ("batch", CHANNELS)),)
    )
    graph = GuardedGraph(session, signature, splits=True)
    x = windows(100, 60)
    assert np.array_equal(graph.run({"x": x})["forecast"], x.sum(axis=1))
    assert max(shape[0] for shape in session.calls) <= CHUNK
    assert bundle.guarded(entry).splits
    assert not bundle.guarded(dataclasses.replace(entry, mixes_series=True)).splits


@pytest.mark.parametrize("count", [3, 60])
def test_masked_values_are_no_readings(bulk, count):
    x = np.ma.masked_greater(windows(count), 101_400)
    with pytest.raises(InputError, match="x holds masked values"):
        bulk.predict(x)
    assert bulk.predict(np.ma.array(windows(count))).shape[0] == count


def test_a_wrong_value_is_told_by_its_place_in_all_that_was_given(bulk):
    x = windows(60)
    x[50, 2, 1] = np.nan
    with pytest.raises(InputError, match=r"nan at \[50, 2, 1\]"):
        bulk.predict(x)
    table = x.reshape(-1, CHANNELS)
    table[3] = np.inf  # in no window
    with pytest.raises(InputError, match="nan in row 452, column 1"):
        bulk.predict_windows(table, np.arange(4, 500))


def test_starts_of_any_whole_numbers(bulk):
    table = windows(60).reshape(-1, CHANNELS)
    starts = np.arange(0, 200, 3)
    expected = bulk.predict_windows(table, starts)
    assert np.array_equal(bulk.predict_windows(table, starts.astype(np.uint64)), expected)


@pytest.mark.parametrize(
    ("starts", "words"),
    [
        ([1, 2], "the array of starts has the wrong type; got list"),
        (np.float32([1, 2]), "the array of starts has the wrong type; got float32"),
        (np.ma.array([1, 2], mask=[True, False]), "the array of starts holds masked values"),
    ],
)
def test_starts_that_are_none(bulk, starts, words):
    with pytest.raises(InputError, match=words):
        bulk.predict_windows(windows(60).reshape(-1, CHANNELS), starts)


def test_a_table_of_other_channels_or_none(bulk):
    starts = np.arange(20)
    with pytest.raises(InputError, match=r"the table has the wrong shape; got \[90, 6\]; allowed: \[rows, 2\]"):
        bulk.predict_windows(np.zeros((90, 6), np.float32), starts)
    with pytest.raises(InputError, match="the table has the wrong type; got float64"):
        bulk.predict_windows(np.zeros((90, 2)), starts)


def test_a_forked_process_has_threads_of_its_own(bundle):
    x = windows(60)
    with bundle.bulk() as predictor:
        expected = predictor.predict(x)
        child = os.fork()
        if not child:
            signal.alarm(20)  # it would wait for ever
            os._exit(0 if np.array_equal(predictor.predict(x), expected) else 1)
        assert os.waitpid(child, 0)[1] == 0
