import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from toolkit.contract.parity_reports import ErrorProfile, PlacedError
from toolkit.model import torch_graphs
from toolkit.parity import ParityGrid, check_parity
from toolkit.parity.inputs import InputSource
from toolkit.parity.measure import torch_side
from toolkit.parity.profile import drifts, error_profile
from toolkit.parity.subject import open_subject
from toolkit.runtime.session import SessionPolicy


def profiled(model, name, content, steps=2000, targets=("one", "two")):
    own = torch_graphs(model, window_length=16)
    source = InputSource(own, None)
    side = torch_side(source, own[name], 1, 4)
    subject = open_subject(name, content, own[name].tensors, SessionPolicy())
    return error_profile(source, side, subject, targets, steps=steps)


def leaking(content):
    """Gives back a state that is a little too large each time."""
    proto = onnx.load_model_from_string(content)
    for node in proto.graph.node:
        node.output[:] = ["true cn" if name == "cn" else name for name in node.output]
    proto.graph.initializer.append(numpy_helper.from_array(np.float32(1.0001), "leak"))
    proto.graph.node.append(helper.make_node("Mul", ["true cn", "leak"], ["cn"]))
    return proto.SerializeToString()


def test_a_windowed_graph_by_target_and_horizon(model, graphs):
    profile = profiled(model, "windowed", graphs["windowed"])
    assert [point.place for point in profile.by_target] == ["one", "two"]
    assert [point.place for point in profile.by_horizon] == ["0", "1"]
    assert profile.by_position == profile.along_stream == ()
    assert all(0 <= point.ort_error < 1e-5 for point in (*profile.by_target, *profile.by_horizon))
    assert max(p.ort_error for p in profile.by_target) == max(p.ort_error for p in profile.by_horizon)


def test_a_streaming_graph_by_position_and_along_the_stream(model, graphs):
    profile = profiled(model, "streaming", graphs["streaming"])
    assert [point.place for point in profile.by_position][::7] == ["0-1", "14-15"]
    assert [p.place for p in profile.along_stream] == ["0-249", "250-499", "500-999", "1000-1999"]
    assert not drifts(profile)


def test_a_state_that_drifts_away_is_seen(model, graphs):
    assert drifts(profiled(model, "streaming", leaking(graphs["streaming"])))


@pytest.mark.parametrize(("ort", "drift"), [(3.9e-6, False), (4.1e-6, True), (float("nan"), True)])
def test_the_rule_is_paritys_own(ort, drift):
    points = (PlacedError("0-9", 1e-6, 1e-7, 0.5), PlacedError("10-19", 1e-7, ort, 0.5))
    assert drifts(ErrorProfile("streaming", "data", (), (), (), points)) is drift


def test_parity_fails_for_drift_alone(model, graphs):
    # Each call of the grid gives the right answer: the state alone is off, by less than its tolerance.
    report = check_parity(model, graphs, ParityGrid((2,), (3,), ()), profiled=True)
    assert report.passed
    assert [profile.graph for profile in report.profiles] == ["windowed", "streaming"]
    assert check_parity(model, graphs, ParityGrid((2,), (3,), ())).profiles == ()
