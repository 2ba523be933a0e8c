import numpy as np
from parted_graphs import BATCH, HIDDEN, SEQUENCE, behind, copy_of, legacy_lstm, nodes, random_x

from toolkit.parity.graph_trace import trace_graph


def test_the_outputs_that_nobody_named_are_seen():
    proto = copy_of(legacy_lstm()[1])
    node = nodes(proto, "LSTM")[-1]
    del node.output[1:]
    trace = trace_graph(proto.SerializeToString(), random_x())
    place = list(proto.graph.node).index(node)
    assert [v.values.shape for v in trace.values if v.place == place] == [
        (SEQUENCE, 1, BATCH, HIDDEN),
        (1, BATCH, HIDDEN),
        (1, BATCH, HIDDEN),
    ]


def test_a_graph_that_fails_is_seen_up_to_the_node_that_fails():
    proto = copy_of(legacy_lstm()[1])
    behind(proto, nodes(proto, "LayerNormalization")[0], "Reshape", np.array([5, -1]))
    trace = trace_graph(proto.SerializeToString(), random_x())
    assert trace.label(trace.failed) == "put_in"
    assert "Reshape" in trace.problem
    assert trace.values[-1].tensor == "loose"
