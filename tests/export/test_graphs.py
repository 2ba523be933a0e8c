import sys
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from toolkit.contract.graph_io import STANDARDISED, signature
from toolkit.errors import ModelError
from toolkit.export import export_graph, graph_problems
from toolkit.export.graphs import example_sizes
from toolkit.export.lint import axes_of
from toolkit.model import torch_graphs

SCALING = ("Sub", "Mul", "Add")


@pytest.fixture(scope="module")
def two_layers(forecaster):
    return forecaster(num_layers=2)


@pytest.fixture(scope="module")
def windowed(two_layers):
    return export_graph(two_layers, "windowed", {"graph": "windowed", "signal": '{"unit": "Pa"}'})


@pytest.fixture(scope="module")
def streaming(two_layers):
    return export_graph(two_layers, "streaming")


def raw_inputs(model, batch, sequence, *, state):
    """`x` in raw units, and a state where it is asked for."""
    torch.manual_seed(batch * 1000 + sequence)
    leading = (batch, sequence) if model.batch_first else (sequence, batch)
    x = torch.randn(*leading, 3) / model.input_scale + model.input_offset
    shape = (2, model.lstm.num_layers, batch, model.lstm.hidden_size)
    return (x, *torch.randn(shape).tanh()) if state else (x,)


def assert_computes_what_torch_does(model, graph, proto, run_graph):
    tolerance = (1e-5 * model.output_scale + 1e-2 * (model.output_offset.abs() > 1e4)).tolist()
    for batch, sequence in ((1, 1), (2, 5), (5, 60)):
        inputs = raw_inputs(model, batch, sequence, state=graph == "streaming")
        with torch.no_grad():
            wanted = model.stream(*inputs) if graph == "streaming" else (model(*inputs),)
        forecast, *states = run_graph(proto, *inputs)
        for target, allowed in enumerate(tolerance):
            torch.testing.assert_close(forecast[..., target], wanted[0][..., target], rtol=0, atol=allowed)
        torch.testing.assert_close(tuple(states), wanted[1:], rtol=0, atol=2e-6)


def test_many_exports_in_one_process_are_all_dynamic(forecaster, run_graph):
    for seed, graph in enumerate(("windowed", "streaming", "windowed", "streaming")):
        model = forecaster(seed, num_layers=1 + seed % 3, hidden_size=4 + seed, batch_first=seed < 2)
        proto = export_graph(model, graph)
        wanted = signature(graph, model.shape)
        assert [axes_of(value) for value in proto.graph.input] == [tensor.axes for tensor in wanted.inputs]
        assert [axes_of(value) for value in proto.graph.output] == [tensor.axes for tensor in wanted.outputs]
        assert graph_problems(proto, wanted) == ()
        assert_computes_what_torch_does(model, graph, proto, run_graph)


def test_the_opset_and_the_file_format_that_are_written(windowed, streaming):
    for proto in (windowed, streaming):
        assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 18)]
        assert proto.ir_version == 8


def test_nothing_of_the_machine_is_in_the_file(windowed, streaming):
    for proto in (windowed, streaming):
        content = proto.SerializeToString()
        for trace in (sys.prefix, str(Path(__file__).parent), str(Path.home()), "site-packages", ".py", "forward"):
            assert trace.encode() not in content, trace


def test_the_windowed_graph_of_two_layers_is_small(windowed):
    operators = [node.op_type for node in windowed.graph.node]
    assert len([operator for operator in operators if operator not in SCALING]) <= 9
    assert operators.count("LSTM") == 2
    assert not {"Shape", "Concat", "Expand"} & set(operators)


def test_no_state_is_a_constant(windowed, streaming):
    first, second = (node for node in windowed.graph.node if node.op_type == "LSTM")
    assert not any(first.input[4:])
    assert not any(second.input[4:])
    constants = {tensor.name for tensor in streaming.graph.initializer}
    for node in streaming.graph.node:
        if node.op_type == "LSTM":
            assert not constants & set(node.input[4:])


def test_scaling_subtracts_before_it_multiplies(windowed):
    subtract, multiply, *_, unscale, shift = windowed.graph.node
    assert [subtract.op_type, multiply.op_type, unscale.op_type, shift.op_type] == ["Sub", "Mul", "Mul", "Add"]
    assert subtract.input[0] == "x"
    assert multiply.input[0] == subtract.output[0]
    assert unscale.input[0] == STANDARDISED
    assert list(shift.output) == ["forecast"]


@pytest.mark.parametrize("graph", ["windowed", "streaming"])
@pytest.mark.parametrize(
    ("mean", "std"), [([0.0, 0.0, 0.0], [1.0, 1.0, 1.0]), ([5.0] * 3, [1.0] * 3), ([0.0] * 3, [2.0] * 3)]
)
def test_the_standardised_forecast_is_named_whatever_the_scaling(forecaster, run_graph, graph, mean, std):
    """torch's optimiser drops a subtraction of 0 and a multiplication by 1."""
    model = forecaster()
    model.set_scaling(torch.tensor(mean), torch.tensor(std), [0, 2])
    proto = export_graph(model, graph)
    inputs = raw_inputs(model, 2, 5, state=graph == "streaming")
    with torch.no_grad():
        exact = model.stream_standardised(*inputs)[0] if graph == "streaming" else model.standardised(*inputs)
    opened = onnx.ModelProto.FromString(proto.SerializeToString())
    names = {name for node in opened.graph.node for name in node.output}
    if STANDARDISED in names:
        opened.graph.output.append(onnx.helper.make_tensor_value_info(STANDARDISED, onnx.TensorProto.FLOAT, None))
    else:  # nothing is un-scaled
        assert mean[0] == 0.0
        assert std[0] == 1.0
    got = run_graph(opened, *inputs)[-1 if STANDARDISED in names else 0]
    torch.testing.assert_close(got, exact, rtol=0, atol=2e-6)


def test_metadata_is_in_the_file(windowed, streaming):
    assert {entry.key: entry.value for entry in windowed.metadata_props} == {
        "lstm_edge.graph": "windowed",
        "lstm_edge.signal": '{"unit": "Pa"}',
    }
    assert not streaming.metadata_props
    assert windowed.producer_name == "lstm-edge-toolkit"


def test_weights_are_inside_the_file(windowed):
    assert len(windowed.graph.initializer) > 0
    assert all(t.data_location != onnx.TensorProto.EXTERNAL for t in windowed.graph.initializer)


def test_the_same_module_gives_the_same_bytes(two_layers, windowed):
    again = export_graph(two_layers, "windowed", {"graph": "windowed", "signal": '{"unit": "Pa"}'})
    assert again.SerializeToString() == windowed.SerializeToString()


def test_exporting_leaves_the_model_as_it_was(forecaster):
    model = forecaster(training=True)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    export_graph(model, "windowed")
    assert model.training
    assert type(model.lstm) is nn.LSTM
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


class Wilful(nn.Linear):
    """A head whose way depends on the numbers: nothing that a graph can hold."""

    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else x[..., :4]


def test_a_module_that_torch_cannot_export_is_refused_on_one_line(forecaster):
    model = forecaster()
    model.head = Wilful(8, 4)
    with pytest.raises(ModelError, match="way depends on the numbers") as refused:
        export_graph(model, "windowed")
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_projection_is_refused_by_the_export(forecaster):
    model = forecaster()
    model.lstm = nn.LSTM(3, 8, proj_size=4)
    with pytest.raises(ModelError, match="proj_size=4"):
        export_graph(model, "windowed")


@pytest.mark.parametrize("graph", ["windowed", "streaming"])
def test_a_graph_does_not_depend_on_its_example(graph, two_layers):
    first = export_graph(two_layers, graph)
    second = export_graph(two_layers, graph, None, example_sizes(torch_graphs(two_layers)[graph], 1))
    assert first.SerializeToString() == second.SerializeToString()
