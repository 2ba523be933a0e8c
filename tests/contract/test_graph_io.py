import pytest

from toolkit.contract.graph_io import (
    STATE_PAIRS,
    ForecasterShape,
    GraphSignature,
    SizeLimits,
    TensorSpec,
    shape_from_spec,
    signature,
)
from toolkit.contract.model_spec import ModelSpec

SPEC = ModelSpec(9, 64, 2, horizon=12, targets=3, window_length=60)
STATE = (2, "batch", 64)


def axes(tensors):
    return {tensor.name: tensor.axes for tensor in tensors}


@pytest.mark.parametrize(
    ("layout", "leading"), [("batch-major", ("batch", "sequence")), ("time-major", ("sequence", "batch"))]
)
def test_signatures_are_those_of_the_graph_contract(layout, leading):
    shape = ForecasterShape(9, 64, 2, (12, 3), layout)
    windowed, streaming = signature("windowed", shape), signature("streaming", shape)
    assert axes(windowed.inputs) == {"x": (*leading, 9)}
    assert axes(windowed.outputs) == {"forecast": ("batch", 12, 3)}
    assert axes(streaming.inputs) == {"x": (*leading, 9), "h0": STATE, "c0": STATE}
    assert axes(streaming.outputs) == {"forecast": (*leading, 12, 3), "hn": STATE, "cn": STATE}


def test_a_spec_gives_the_shape():
    assert shape_from_spec(SPEC) == ForecasterShape(9, 64, 2, (12, 3), "batch-major")


def test_a_flat_forecast_has_one_axis_after_the_batch():
    assert axes(signature("windowed", ForecasterShape(6, 64, 2, (1,))).outputs) == {"forecast": ("batch", 1)}


def test_every_state_goes_back_into_its_own_input():
    streaming = signature("streaming", shape_from_spec(SPEC))
    for given, taken in STATE_PAIRS.items():
        assert streaming.input(given) == TensorSpec(given, STATE)
        assert TensorSpec(taken, STATE) in streaming.outputs


@pytest.mark.parametrize(
    ("axes", "batch", "sequence"),
    [
        (("batch", "sequence", 9), "batch", "sequence"),
        (("T", "N", 9), "N", "T"),
        (("series", 9, "time"), "series", "time"),
        ((9, "sequence"), None, "sequence"),
        ((3, 9), None, None),
    ],
)
def test_which_axis_is_which_goes_by_its_name(axes, batch, sequence):
    tensors = GraphSignature((TensorSpec("x", axes),), ())
    assert (tensors.batch_axis, tensors.sequence_axis) == (batch, sequence)


def test_the_axis_of_a_state_is_the_batch_whatever_it_is_called():
    tensors = GraphSignature(
        (TensorSpec("x", ("a", "b", 9)), TensorSpec("h", (1, "b", 4))), (TensorSpec("hn", (1, "b", 4)),), {"h": "hn"}
    )
    assert (tensors.batch_axis, tensors.sequence_axis) == ("b", "a")


@pytest.mark.parametrize(("size", "clipped"), [(1, 5), (5, 5), (6, 6), (7, 7), (8, 7)])
def test_a_size_is_moved_to_the_nearest_that_the_graph_takes(size, clipped):
    assert SizeLimits({"t": 5}, {"t": 7}).clipped("t", size) == clipped


def test_a_limit_on_one_side_leaves_the_other_free():
    assert SizeLimits({"t": 5}).clipped("t", 2) == 5
    assert SizeLimits(most={"t": 5}).clipped("t", 9) == 5
    assert SizeLimits({"t": 5}, {"t": 7}).clipped("other", 9) == SizeLimits({"t": 5}).clipped(None, 9) == 9
