import numpy as np
import pytest
from onnx import helper, numpy_helper

from toolkit.benchmark.profile_events import NodeRun
from toolkit.benchmark.profile_work import SIGMOID, TANH, Product, work_of
from toolkit.runtime.onnx_file import read_onnx


def graph_file(*nodes, weights=()):
    graph = helper.make_graph(list(nodes), "g", [], [], list(weights))
    return read_onnx(helper.make_model(graph).SerializeToString(), "g.onnx")


def run(name, operator, given, got, runs=1):
    return NodeRun(name, operator, "CPUExecutionProvider", runs, 10.0, (given,), (got,))


def recurrent(operator, name="layer", **attributes):
    return helper.make_node(operator, ["x", "w", "r"], ["y"], name, hidden_size=64, **attributes)


def test_an_lstm_by_hand():
    file = graph_file(recurrent("LSTM"))
    work = work_of(file, [run("layer", "LSTM", (60, 2, 9), (60, 1, 2, 64))])
    (layer,) = work.layers
    assert layer.inputs == Product(256, 9, 120)  # every sample of every series at once
    assert layer.recurrent == Product(256, 64, 2, 60)  # one sample after the other
    assert (layer.inputs.flops, layer.recurrent.flops) == (2 * 256 * 9 * 120, 2 * 256 * 64 * 2 * 60)
    assert work.flops == {"layer": layer.inputs.flops + layer.recurrent.flops}
    assert layer.weight_count == 256 * (9 + 64)
    assert list(layer.gates) == ["input", "output", "forget", "cell"]
    assert layer.elementwise_flops("forget") == (2 + SIGMOID + 1) * 64 * 120
    assert layer.elementwise_flops("output") == (2 + SIGMOID + TANH + 1) * 64 * 120


@pytest.mark.parametrize(("operator", "gates"), [("GRU", ["update", "reset", "hidden"]), ("RNN", ["hidden"])])
def test_other_cells_have_other_gates(operator, gates):
    (layer,) = work_of(graph_file(recurrent(operator)), [run("layer", operator, (5, 1, 9), (5, 1, 1, 64))]).layers
    assert list(layer.gates) == gates
    assert layer.inputs.rows == 64 * len(gates)


def test_both_directions_double_the_work():
    shapes = (5, 1, 9), (5, 2, 1, 64)
    one, both = (
        work_of(graph_file(recurrent("LSTM", direction=way)), [run("layer", "LSTM", *shapes)]).layers[0]
        for way in ("forward", "bidirectional")
    )
    assert both.directions == 2
    assert both.inputs.flops == 2 * one.inputs.flops
    assert both.recurrent.flops == 2 * one.recurrent.flops
    assert both.elementwise_flops("cell") == 2 * one.elementwise_flops("cell")


def test_a_quantised_lstm_has_weights_of_one_byte():
    node = helper.make_node("DynamicQuantizeLSTM", ["x"], ["y"], "q", "", "com.microsoft", hidden_size=64)
    (layer,) = work_of(graph_file(node), [run("q", "DynamicQuantizeLSTM", (5, 1, 9), (5, 1, 1, 64))]).layers
    assert (layer.number_bytes, next(iter(layer.gates))) == (1, "input")


def test_layers_without_names_are_told_by_their_order():
    file = graph_file(recurrent("LSTM", "", direction="bidirectional"), recurrent("LSTM", ""))
    runs = [run("LSTM_4", "LSTM", (5, 1, 9), (5, 2, 1, 64)), run("LSTM_7", "LSTM", (5, 1, 128), (5, 1, 1, 64))]
    work = work_of(file, runs)
    assert [(layer.run.name, layer.directions, layer.input_size) for layer in work.layers] == [
        ("LSTM_4", 2, 9),
        ("LSTM_7", 1, 128),
    ]
    assert work.numbers == {"LSTM_4": 1, "LSTM_7": 2}


def test_work_in_a_loop_is_done_as_often():
    (layer,) = work_of(graph_file(recurrent("LSTM")), [run("layer", "LSTM", (1, 1, 9), (1, 1, 1, 64), 7)]).layers
    assert layer.recurrent == Product(256, 64, 1, 7)


def test_products_of_other_operators():
    weights = numpy_helper.from_array(np.zeros((8, 4, 5), np.float32), "kernel")
    file = graph_file(
        helper.make_node("Gemm", ["a", "b"], ["c"], "turned", transA=1),
        helper.make_node("Conv", ["x", "kernel"], ["y"], "conv"),
        weights=[weights],
    )
    runs = [
        run("turned", "Gemm", (64, 3), (3, 36)),
        run("fused head", "FusedGemm", (3, 64), (3, 36)),
        run("conv", "Conv", (1, 4, 24), (1, 8, 20)),
        run("sum", "Add", (3, 36), (3, 36)),
        run("gone", "Conv", (1, 4, 24), (1, 8, 20)),  # its weights are not to be found: not counted
    ]
    work = work_of(file, runs)
    assert work.products == (Product(36, 64, 3), Product(36, 64, 3), Product(8, 20, 20))
    assert work.flops == {"turned": 13_824, "fused head": 13_824, "conv": 6_400}
