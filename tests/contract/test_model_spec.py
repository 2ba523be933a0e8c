from dataclasses import replace

import pytest

from toolkit.contract.model_spec import ModelSpec
from toolkit.errors import ModelError

SPEC = ModelSpec(9, 64, 2, horizon=12, targets=3, window_length=60)


def test_output_and_layout_follow_from_the_spec():
    assert SPEC.output_size == 36
    assert SPEC.batch_first
    assert not replace(SPEC, layout="time-major").batch_first
    assert SPEC.min_sequence == 1


@pytest.mark.parametrize(
    "name", ["input_size", "hidden_size", "num_layers", "horizon", "targets", "window_length", "min_sequence"]
)
def test_a_size_below_one_is_refused(name):
    with pytest.raises(ModelError, match=f"model: {name}; got 0; allowed: 1 or more"):
        replace(SPEC, **{name: 0})


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_a_dropout_outside_its_range_is_refused(dropout):
    with pytest.raises(ModelError, match="model: dropout; got"):
        replace(SPEC, dropout=dropout)
