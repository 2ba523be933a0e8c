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


def test_names_of_classes_are_one_for_each():
    classifier = replace(SPEC, horizon=0, targets=0, classes=2, class_names=("fine", "worn"))
    assert classifier.output_size == 2
    for names in (("fine",), ("fine", "fine"), ("a", "b", "c")):
        with pytest.raises(ModelError, match=r"model: class_names; got \d names for 2 classes; allowed: one for each"):
            replace(classifier, class_names=names)
    with pytest.raises(ModelError, match="names for 0 classes"):
        replace(SPEC, class_names=("fine",))


@pytest.mark.parametrize("count", [-1, 7, 10])
def test_channels_of_the_calendar_are_the_last_and_no_targets(count):
    assert replace(SPEC, calendar_channels=6).calendar_channels == 6
    with pytest.raises(ModelError, match=f"model: calendar_channels; got {count}"):
        replace(SPEC, calendar_channels=count)
