import numpy as np
import pytest
from onnx import helper, numpy_helper
from parted_graphs import BATCH, HIDDEN, Foreign, change, copy_of, export, find, made, nodes
from torch import nn

from toolkit.export import lower


@pytest.fixture(scope="module")
def gru():
    """A bidirectional GRU in ONNX's own operator, and its module."""
    module = made(Foreign, nn.GRU, 2, bidirectional=True)
    return module, export(lower(module), dynamo=True)


def attribute(node, name, value):
    kept = [given for given in node.attribute if given.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def reset_before(proto):
    attribute(nodes(proto, "GRU")[0], "linear_before_reset", 0)


def directions_swapped(proto):
    for name in nodes(proto, "GRU")[1].input[1:4]:
        change(name, lambda array: array[::-1])(proto)


def constant_state(proto):
    node = nodes(proto, "GRU")[0]
    proto.graph.initializer.append(numpy_helper.from_array(np.full((2, BATCH, HIDDEN), 0.5, np.float32), "start"))
    node.input.extend(["", "start"])


GRU_FAULTS = {
    reset_before: ("layer layer 0", 0, "linear_before_reset is 0 where the module has 1"),
    directions_swapped: ("layer layer 1", 1, "the weights of the two directions are swapped in W, R and B"),
    constant_state: ("layer layer 0", 0, "it starts from a state where the module starts from zeros"),
}


@pytest.mark.parametrize("fault", GRU_FAULTS, ids=lambda fault: fault.__name__)
def test_faults_of_a_bidirectional_gru(gru, fault):
    module, clean = gru
    assert find(module, clean) is None
    proto = copy_of(clean)
    fault(proto)
    part, number, cause = GRU_FAULTS[fault]
    found = find(module, proto)
    assert (found.node, found.module, found.cause) == (nodes(proto, "GRU")[number].name, part, cause)


def test_two_faults_in_one_node_are_named_without_a_cause(gru):
    module, clean = gru
    proto = copy_of(clean)
    reset_before(proto)
    change(nodes(proto, "GRU")[0].input[2], lambda array: array * 1.1)(proto)
    found = find(module, proto)
    assert (found.node, found.cause) == (nodes(proto, "GRU")[0].name, "")
