import dataclasses

import numpy as np
import pytest
import torch
from onnx import numpy_helper
from torch import nn
from wrong_exports import SUBJECTS, as_graph, change, clean, recurrent, subject

from toolkit.export.graphs import example_sizes, export_torch_graph
from toolkit.parity.weights import check_weights


def checked(name, fault):
    graph, proto = clean(name)
    fault(proto)
    return check_weights(graph, proto.SerializeToString())


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_tensor_of_a_clean_module_is_found_to_the_bit(name):
    found = check_weights(*subject(name))
    assert found.passed
    assert found.exact == found.compared > 10
    assert found.changed == found.missing == ()


def nudge(name, place):
    """One weight moved by a thousandth of its row's norm."""

    def fault(proto):
        def nudged(array):
            array[place] += 1e-3 * np.linalg.norm(array[place[:-1]])
            return array

        change(proto, name, nudged)

    return fault


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_nudge_of_one_weight_is_found_and_placed(name):
    _, proto = clean(name)
    layer = recurrent(proto)[-1]
    found = checked(name, nudge(layer.input[2], (0, 9, 3)))
    assert not found.passed
    (changed,) = found.changed
    assert (changed.differing, changed.stored) == (1, layer.input[2])
    assert "weight_hh_l1" in changed.tensor or "weight_hh_l0" in changed.tensor
    # ONNX's second gate is torch's fourth (o) of an LSTM and first (r) of a GRU; hidden size 8.
    assert changed.place == ((25, 3) if layer.op_type == "LSTM" else (1, 3))


def swap_channels(proto):
    def swapped(array):
        array[..., [0, 1]] = array[..., [1, 0]]
        return array

    change(proto, "input_offset", swapped)


FAULTS = {
    "a head's weight": (nudge("head.weight", (1, 2)), "head.weight"),
    "two channels' mean": (swap_channels, "input_offset"),
    "a dropped bias": (lambda proto: change(proto, "head.bias", np.zeros_like), "head.bias"),
}


@pytest.mark.parametrize("name", ["own lstm", "own gru", "own bidirectional"])
@pytest.mark.parametrize("fault", FAULTS)
def test_head_and_scaling_are_compared(name, fault):
    how, tensor = FAULTS[fault]
    found = checked(name, how)
    assert not found.passed
    assert tensor in (*(changed.tensor for changed in found.changed), *found.missing)


def test_of_somebodys_module_what_is_folded_is_told_and_no_alarm():
    class Folded(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.scale = nn.LSTM(3, 8, batch_first=True), nn.Parameter(torch.full((8,), 2.0))

        def forward(self, x):
            return self.lstm(x)[0] * torch.exp(self.scale)

    graph = as_graph(Folded(), ["x: batch, sequence, 3"])
    content = export_torch_graph(graph, sizes=example_sizes(graph)).SerializeToString()
    found = check_weights(graph, content)
    assert found.passed
    assert found.missing == ("scale",)
    assert not dataclasses.replace(found, strict=True).passed


def test_what_no_node_reads_is_no_weight():
    graph, proto = clean("own lstm")
    stored = next(one for one in proto.graph.initializer if one.name.endswith("head.weight"))
    kept = numpy_helper.from_array(numpy_helper.to_array(stored).copy(), "unused")
    nudge("head.weight", (1, 2))(proto)
    proto.graph.initializer.append(kept)
    assert not check_weights(graph, proto.SerializeToString()).passed


def test_a_nudge_that_no_answer_shows_fails_parity():
    from verdicts import compared

    graph, proto = clean("own lstm")
    change(proto, "head.weight", lambda array: np.nextafter(array, np.float32(9)) if array.ndim else array)
    found = compared(graph, proto)
    assert all(case.passed for case in found.report.cases)
    assert not found.report.passed
