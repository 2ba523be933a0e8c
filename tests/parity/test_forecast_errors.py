"""Which calls a graph is scored by, and what is made of its errors."""

import numpy as np
import pytest

from toolkit.contract.graph_io import ANY_SIZE, GraphSignature, SizeLimits, TensorSpec
from toolkit.parity.forecast_errors import growth, mean_errors, scored_windows
from toolkit.parity.held_out import HeldOut

WINDOWS = np.random.default_rng(0).standard_normal((5, 4, 2)).astype(np.float32)
X = TensorSpec("x", ("batch", "sequence", 2))


def held_out(x=WINDOWS, horizon=1, targets=("a", "b")):
    return HeldOut(x, np.zeros((len(x), horizon, len(targets)), np.float32), targets)


class Graph:
    """A windowed graph that answers the first and the last sample, and remembers what it was fed."""

    def __init__(self, limits=ANY_SIZE, answer=("batch", 2, 2)):
        self.limits, self.tensors, self.fed = limits, GraphSignature((X,), (TensorSpec("y", answer),)), []

    def run(self, feed):
        self.fed.append(feed["x"])
        return {"y": feed["x"][:, [0, -1]].reshape(-1, *self.tensors.outputs[0].axes[1:])}


class Summing:
    """A time-major streaming graph whose state is the sum of all samples, and so is its answer after each."""

    tensors = GraphSignature(
        (TensorSpec("x", ("T", "N", 2)), TensorSpec("h0", (1, "N", 2))),
        (TensorSpec("hn", (1, "N", 2)), TensorSpec("y", ("T", "N", 2))),
        {"h0": "hn"},
    )

    def __init__(self, limits=ANY_SIZE):
        self.limits, self.fed = limits, []

    def run(self, feed):
        self.fed.append(feed["x"].shape)
        y = feed["h0"] + np.cumsum(feed["x"], axis=0)
        return {"hn": y[-1:], "y": y}


def test_each_series_is_asked_alone():
    graph = Graph()
    errors = mean_errors(graph, held_out(horizon=2))
    np.testing.assert_allclose(errors, np.abs(WINDOWS[:, [0, -1]]).mean(axis=0), rtol=1e-6)
    assert [x.shape for x in graph.fed] == [(1, 4, 2)] * 5


def test_a_stream_is_fed_sample_by_sample_from_a_zero_state():
    graph = Summing()
    errors = mean_errors(graph, held_out())
    assert graph.fed == [(1, 1, 2)] * (5 * 4)
    np.testing.assert_allclose(errors, np.abs(WINDOWS.sum(axis=1)).mean(axis=0)[None], rtol=1e-5)


def test_a_stream_that_takes_more_at_a_time_is_cut_from_the_windows_end():
    graph = Summing(SizeLimits({"T": 3}))
    errors = mean_errors(graph, held_out())
    assert graph.fed == [(3, 1, 2)] * 5
    np.testing.assert_allclose(errors, np.abs(WINDOWS[:, 1:].sum(axis=1)).mean(axis=0)[None], rtol=1e-5)


def test_sizes_that_a_graph_does_not_take_are_not_asked_of_it():
    graph = Graph(SizeLimits({"batch": 2}, {"sequence": 3}))
    errors = mean_errors(graph, held_out(horizon=2))
    assert [x.shape for x in graph.fed] == [(2, 3, 2)] * 5
    np.testing.assert_allclose(errors, np.abs(WINDOWS[:, [1, -1]]).mean(axis=0), rtol=1e-6)


def test_a_horizon_of_one_target_needs_no_axis_of_targets():
    graph = Graph(answer=("batch", 4))
    np.testing.assert_allclose(
        mean_errors(graph, held_out(horizon=4, targets=("a",))),
        np.abs(WINDOWS[:, [0, -1]]).mean(axis=0).reshape(4, 1),
        rtol=1e-6,
    )


@pytest.mark.parametrize(("length", "count"), [(8, 256), (60, 136), (1000, 64)])
def test_a_stream_is_scored_on_fewer_windows_where_they_are_long(length, count):
    many = held_out(np.tile(np.arange(256, dtype=np.float32)[:, None, None], (1, length, 2)))
    scored = scored_windows(Summing(), many)
    assert len(scored.x) == len(scored.y) == count
    assert (scored.x[0, 0, 0], scored.x[-1, 0, 0]) == (0, 255)
    assert scored_windows(Graph(), many) is many


def test_growth_is_by_target_and_by_step():
    fp32 = np.array([[1.0, 2.0], [3.0, 2.0]])
    loss = growth(np.array([[1.0, 2.2], [3.04, 1.8]]), fp32, ("a", "b"))
    assert loss.target == pytest.approx(0.01)
    assert loss.step == pytest.approx(0.1)
    assert loss.where == ("b", 1)


def test_an_error_where_fp32_has_none_is_infinitely_larger():
    assert growth(np.array([[0.1]]), np.array([[0.0]]), ("a",)).target == np.inf
    assert growth(np.array([[0.0]]), np.array([[0.0]]), ("a",)).target == 0.0


@pytest.mark.parametrize(("errors", "fp32"), [(np.nan, 1.0), (np.inf, 1.0), (1.0, np.nan), (1.0, np.inf)])
def test_what_is_no_number_is_no_small_loss(errors, fp32):
    assert growth(np.array([[errors]]), np.array([[fp32]]), ("a",)).target == np.inf
