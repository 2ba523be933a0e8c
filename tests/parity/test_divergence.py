import numpy as np
import pytest

from toolkit.contract.graph_io import ForecasterShape, signature
from toolkit.contract.parity_reports import Divergence
from toolkit.parity.divergence import locate

BATCH, SEQUENCE = 4, 6


@pytest.fixture(scope="module")
def time_major(forecaster):
    return forecaster(batch_first=False)


def changed(shape, *places, by=1.0):
    array = np.zeros(shape)
    for place in places:
        array[place] = by
    return array


def find(name, got, model, tolerance=0.1, shape=None):
    """Of a windowed forecast where there is no sequence, of a streaming one otherwise."""
    shape = shape or model.shape
    graph = "windowed" if name == "forecast" and got.ndim == 1 + len(shape.answer_axes) else "streaming"
    tensors = signature(graph, shape)
    return locate(tensors.output(name), got, np.zeros_like(got), tolerance, tensors)


def test_nothing_differs(model):
    assert find("forecast", np.full((BATCH, 2, 2), 0.1), model) is None


def test_a_windowed_forecast(model):
    got = changed((BATCH, 2, 2), (3, 0, 0), (2, 1, 0))
    assert find("forecast", got, model) == Divergence("forecast", None, 2, "horizon step 1, target 0")


def test_in_a_stream_the_earliest_step_counts(model):
    got = changed((BATCH, SEQUENCE, 2, 2), (0, 4, 0, 0), (3, 2, 1, 1), (2, 2, 1, 1))
    assert find("forecast", got, model) == Divergence("forecast", 2, 2, "horizon step 1, target 1")


def test_a_time_major_stream(time_major):
    got = changed((SEQUENCE, BATCH, 2, 2), (4, 0, 0, 0), (2, 3, 1, 1), (2, 1, 0, 1))
    assert find("forecast", got, time_major) == Divergence("forecast", 2, 1, "horizon step 0, target 1")


@pytest.mark.parametrize("name", ["hn", "cn"])
def test_a_state(model, name):
    got = changed((2, BATCH, 8), (1, 0, 0), (1, 2, 5))
    assert find(name, got, model) == Divergence(name, None, 0, "layer 1, unit 0")


def test_an_output_without_a_horizon(model):
    shape = ForecasterShape(3, 8, 1, (5,))
    got = changed((BATCH, 5), (1, 3))
    assert find("forecast", got, model, shape=shape) == Divergence("forecast", None, 1, "output 3")
    stream = changed((BATCH, SEQUENCE, 5), (1, 4, 3), (2, 1, 0))
    assert find("forecast", stream, model, shape=shape) == Divergence("forecast", 1, 2, "output 0")


@pytest.mark.parametrize("fill", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_differs(model, fill):
    got = changed((BATCH, 2, 2), (1, 0, 1), by=fill)
    assert find("forecast", got, model) == Divergence("forecast", None, 1, "horizon step 0, target 1")


def test_another_shape_differs_without_a_place(model):
    tensors = signature("windowed", model.shape)
    found = locate(tensors.output("forecast"), np.zeros((BATCH, 2, 2)), np.zeros((BATCH, 2, 1)), 0.1, tensors)
    assert found == Divergence("forecast", None, None, None)
