"""What is written reads back as it was, whatever the names; what is not finite is never written."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.contract.graph_entry import GraphEntry
from toolkit.contract.graph_io import GraphSignature, TensorSpec, shape_from_spec, signature
from toolkit.contract.manifest import BundleManifest, FileEntry
from toolkit.contract.model_spec import ModelSpec
from toolkit.contract.signals import SignalSpec, channel_from_name
from toolkit.edge.answer_form import AnswerForm, answer_form
from toolkit.edge.changes import Flag
from toolkit.edge.messages import ForecastWriter, quality_text, time_text
from toolkit.errors import BundleError

MINUTE = 60_000_000
STAMP = 1_772_323_200_000_000
FORM = AnswerForm("forecast", ("pressure.mean", "100 % humid"), ("Pa", '"'), 3)


def writer(form=FORM, interval_us=MINUTE):
    return ForecastWriter(form, "pump", "ab12", interval_us)


def message(outputs, form=FORM, flags=0, asset="P1", stamp=STAMP):
    payload = writer(form).payload(asset, stamp, outputs, flags, 1.25)
    return json.loads(payload, parse_int=float)  # as any reader of measurements takes numbers: -0 is one


def test_a_forecast_has_times_values_and_units():
    figures = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert message({"forecast": figures}) == {
        "asset": "P1",
        "interval_end": "2026-03-01T00:01:00Z",
        "times": ["2026-03-01T00:01:00Z", "2026-03-01T00:02:00Z", "2026-03-01T00:03:00Z"],
        "forecast": {
            "pressure.mean": {"unit": "Pa", "values": [0, 2, 4]},
            "100 % humid": {"unit": '"', "values": [1, 3, 5]},
        },
        "bundle": {"name": "pump", "digest": "ab12"},
        "quality": "good",
        "latency_ms": 1.25,
    }


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=6, max_size=6))
def test_every_value_reads_back_as_the_same_float32(figures):
    array = np.array(figures, np.float32).reshape(3, 2)
    told = message({"forecast": array})["forecast"]
    got = np.array([told["pressure.mean"]["values"], told["100 % humid"]["values"]], np.float32).T
    assert np.ascontiguousarray(got).tobytes() == array.tobytes()


@given(st.text(), st.text(), st.text())
def test_any_name_is_written_so_that_it_reads_back(asset, target, unit):
    form = AnswerForm("forecast", (target,), (unit,), 1)
    told = message({"forecast": np.ones((1, 1), np.float32)}, form, asset=asset)
    assert told["asset"] == asset
    assert told["forecast"] == {target: {"unit": unit, "values": [1]}}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_counted_and_not_written(bad):
    figures = np.zeros((3, 2), np.float32)
    figures[2, 1] = bad
    one = writer()
    assert one.payload("P1", STAMP, {"forecast": figures}, 0, 0.0) is None
    assert one.payload("P1", STAMP, {"forecast": np.zeros((3, 2), np.float32)}, 0, 0.0) is not None
    assert one.not_finite == 1


def test_quantiles_stand_beside_the_forecast():
    form = dataclasses.replace(FORM, levels=(0.1, 0.5, 0.9))
    quantiles = np.arange(18, dtype=np.float32).reshape(3, 2, 3)
    told = message({"forecast": quantiles[..., 1], "quantiles": quantiles}, form)["forecast"]
    assert told["pressure.mean"]["values"] == [1, 7, 13]
    assert told["100 % humid"]["quantiles"] == {"0.1": [3, 9, 15], "0.5": [4, 10, 16], "0.9": [5, 11, 17]}


def test_a_class_has_its_name_and_shares():
    form = AnswerForm("logits", class_names=("fine", 'le"ak'))
    told = message({"logits": np.array([0.0, math.log(3)], np.float32)}, form)
    assert told["class"] == 'le"ak'
    assert told["probabilities"] == pytest.approx({"fine": 0.25, 'le"ak': 0.75})
    assert told["logits"] == pytest.approx({"fine": 0.0, 'le"ak': math.log(3)})
    assert "times" not in told
    assert "forecast" not in told


def test_huge_logits_give_shares_all_the_same():
    form = AnswerForm("logits", class_names=("a", "b"))
    assert message({"logits": np.float32([-3e38, 3e38])}, form)["probabilities"] == {"a": 0, "b": 1}


def test_outputs_that_no_one_explained_are_told_as_they_are():
    form = AnswerForm("", further=("z", "scalar"))
    told = message({"z": np.float32([[1, 2], [3, 4.5]]), "scalar": np.float32(7)}, form)
    assert told["outputs"] == {"z": [[1, 2], [3, 4.5]], "scalar": 7}
    assert "times" not in told


def test_flags_are_told_by_name():
    assert message({"forecast": np.zeros((3, 2), np.float32)}, flags=Flag.HELD | Flag.TIMEOUT)["quality"] == [
        "held",
        "timeout",
    ]
    assert quality_text(0) == '"good"'


def test_a_time_between_two_seconds_keeps_its_microseconds():
    assert time_text(STAMP + 1) == "2026-03-01T00:00:00.000001Z"


def test_a_horizon_beyond_all_calendars_is_refused_at_once():
    with pytest.raises(BundleError, match="beyond the year 9999"):
        writer(interval_us=10**17)


def test_the_text_of_the_times_is_not_that_of_other_times():
    one = writer()
    figures = {"forecast": np.zeros((3, 2), np.float32)}
    ends = [json.loads(one.payload("P1", STAMP + n * MINUTE, figures, 0, 0.0))["interval_end"] for n in (0, 1, 0)]
    assert ends == ["2026-03-01T00:01:00Z", "2026-03-01T00:02:00Z", "2026-03-01T00:01:00Z"]


SIGNAL = SignalSpec((channel_from_name("a", "Pa"), channel_from_name("b")), ("b", "a"), 60.0)


def manifest(model=None, outputs=None, signal=SIGNAL):
    """Of a bundle with a windowed graph."""
    graph = GraphSignature((TensorSpec("x", ("batch", "sequence", 2)),), outputs or ())
    if model is not None:
        graph = signature("windowed", shape_from_spec(model))
    atol = {tensor.name: (1.0,) for tensor in graph.outputs}
    entry = GraphEntry("windowed", "windowed.onnx", "fp32", atol, graph.inputs, graph.outputs)
    files = {"windowed.onnx": FileEntry("0" * 64, 1)}
    return BundleManifest("bundle/2", "one", signal, model, (entry,), 18, "1.14", files, 4)


def test_the_form_of_a_forecaster():
    model = ModelSpec(2, 3, 1, 5, 2, 4, quantiles=(0.1, 0.5))
    form = answer_form(manifest(model), "windowed")
    assert form == AnswerForm("forecast", ("b", "a"), ("", "Pa"), 5, (0.1, 0.5))
    assert form.forecasts({"forecast": np.zeros((7, 5, 2), np.float32)}).shape == (7, 5, 2)


def test_the_form_of_a_classifier():
    model = ModelSpec(2, 3, 1, 0, 0, 4, classes=2)
    form = answer_form(manifest(model, signal=dataclasses.replace(SIGNAL, targets=())), "windowed")
    assert form == AnswerForm("logits", class_names=("0", "1"))


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        (("batch", "sequence", 3, 2), AnswerForm("y", ("b", "a"), ("", "Pa"), 3, further=("z",))),
        (("batch", 2), AnswerForm("y", ("b", "a"), ("", "Pa"), 1, further=("z",))),
        (("batch", 5), AnswerForm("", further=("y", "z"))),
    ],
)
def test_the_form_of_a_foreign_module_is_told_by_its_axes(axes, expected):
    outputs = (TensorSpec("y", axes), TensorSpec("z", ("batch", 4)))
    form = answer_form(manifest(outputs=outputs), "windowed")
    assert form == expected
    if form.horizon:
        assert form.forecasts({"y": np.zeros((7, form.horizon * 2), np.float32)}).shape == (7, form.horizon, 2)


def test_without_a_signal_nothing_can_be_told():
    with pytest.raises(BundleError, match="no signal"):
        answer_form(manifest(outputs=(TensorSpec("y", ("batch", 2)),), signal=None), "windowed")
