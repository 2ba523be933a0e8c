import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from toolkit.contract.graph_io import GraphSignature, TensorSpec
from toolkit.errors import GateError
from toolkit.export import check_graph, graph_problems
from toolkit.export.lint import check_same

CHANNELS, HIDDEN = 3, 2
TENSORS = GraphSignature((TensorSpec("x", ("sequence", "batch", CHANNELS)),), (TensorSpec("hn", (1, "batch", HIDDEN)),))


@pytest.fixture
def proto():
    """One LSTM, good in every way."""
    values = np.random.default_rng(0)
    shapes = {"W": (1, 4 * HIDDEN, CHANNELS), "R": (1, 4 * HIDDEN, HIDDEN), "B": (1, 8 * HIDDEN)}
    weights = [numpy_helper.from_array(values.normal(size=s).astype(np.float32), n) for n, s in shapes.items()]
    node = helper.make_node("LSTM", ["x", "W", "R", "B"], ["", "hn"], hidden_size=HIDDEN)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["sequence", "batch", CHANNELS])],
        [helper.make_tensor_value_info("hn", TensorProto.FLOAT, [1, "batch", HIDDEN])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def axes(proto, kind="input"):
    return getattr(proto.graph, kind)[0].type.tensor_type.shape.dim


def attribute(name, value):
    return lambda proto: proto.graph.node[0].attribute.append(helper.make_attribute(name, value))


def operator(op_type, domain=""):
    return lambda proto: proto.graph.node.append(helper.make_node(op_type, ["hn"], ["spare"], domain=domain))


def weights(fill):
    def fault(proto):
        array = numpy_helper.to_array(proto.graph.initializer[1]).copy()
        array[0, 0, 0] = fill
        proto.graph.initializer[1].CopyFrom(numpy_helper.from_array(array, "R"))

    return fault


def outside(proto):
    onnx.external_data_helper.set_external_data(proto.graph.initializer[0], "weights.bin")


def fixed_axis(proto):
    axes(proto)[0].dim_value = 29


def other_name(proto):
    axes(proto)[1].dim_param = "s77"


def no_name(proto):
    axes(proto)[1].Clear()


def other_channels(proto):
    axes(proto)[2].dim_value = CHANNELS + 1


def fixed_output(proto):
    axes(proto, "output")[1].dim_value = 3


def other_rank(proto):
    del axes(proto)[0]


def other_type(proto):
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE


def renamed_input(proto):
    proto.graph.input[0].name = proto.graph.node[0].input[0] = "window"


def further_output(proto):
    proto.graph.node[0].output.append("cn")
    proto.graph.output.append(helper.make_tensor_value_info("cn", TensorProto.FLOAT, [1, "batch", HIDDEN]))


def no_output(proto):
    del proto.graph.output[:]


def other_opset(proto):
    proto.opset_import[0].version = 17


def other_domain(proto):
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def function(proto):
    node = helper.make_node("Relu", ["a"], ["b"])
    proto.functions.append(helper.make_function("own", "F", ["a"], ["b"], [node], proto.opset_import))


def cut_wire(proto):
    proto.graph.node[0].input[0] = "nowhere"


FAULTS = {
    "input x has the axes [29, batch, 3] instead of [sequence, batch, 3] (baked: sequence)": fixed_axis,
    "input x has the axes [sequence, s77, 3] instead of": other_name,
    "input x has the axes [sequence, ?, 3] instead of": no_name,
    "input x has the axes [sequence, batch, 4] instead of": other_channels,
    "input x has the axes [batch, 3] instead of": other_rank,
    "output hn has the axes [1, 3, 2] instead of [1, batch, 2] (baked: batch)": fixed_output,
    "input x is not float32": other_type,
    "inputs are window instead of x": renamed_input,
    "outputs are hn, cn instead of hn": further_output,
    "outputs are missing instead of hn": no_output,
    "its opset is 17 instead of 18": other_opset,
    "it needs the operator domain com.microsoft": other_domain,
    "it holds functions of its own": function,
    "the operator NonZero is not on the allow-list": operator("NonZero"),
    "the operator Loop is not on the allow-list": operator("Loop"),
    "the operator com.microsoft.Tanh is not on the allow-list": operator("Tanh", "com.microsoft"),
    "LSTM with layout=1, which onnxruntime refuses": attribute("layout", 1),
    "LSTM with clip, which no CUDA provider runs": attribute("clip", 5.0),
    "the weights W lie outside the file": outside,
    "the weights R hold NaN or infinity": weights(np.nan),
    "onnx.checker: ": cut_wire,
}


def test_a_good_graph_has_no_problem(proto):
    assert graph_problems(proto, TENSORS) == ()
    check_graph(proto, TENSORS, "windowed")


@pytest.mark.parametrize(("problem", "fault"), FAULTS.items(), ids=lambda value: getattr(value, "__name__", None))
def test_each_fault_is_told(proto, problem, fault):
    fault(proto)
    problems = graph_problems(proto, TENSORS)
    assert any(found.startswith(problem) for found in problems), problems
    assert not any("\n" in found for found in problems)
    with pytest.raises(GateError) as refused:
        check_graph(proto, TENSORS, "windowed")
    assert str(refused.value).startswith(f"the windowed graph breaks the graph contract: {problems[0]}")
    assert refused.value.exit_status == 1


def test_infinity_in_weights(proto):
    weights(-np.inf)(proto)
    assert graph_problems(proto, TENSORS) == ("the weights R hold NaN or infinity",)


def test_layout_0_may_be_written_out(proto):
    attribute("layout", 0)(proto)
    assert graph_problems(proto, TENSORS) == ()


def test_all_problems_are_counted(proto):
    other_opset(proto)
    weights(np.nan)(proto)
    with pytest.raises(GateError, match=r"instead of 18 \(and 1 more\)$"):
        check_graph(proto, TENSORS, "streaming")


def test_shapes_that_contradict_the_operators(proto):
    axes(proto, "output")[2].dim_value = HIDDEN + 1
    tensors = GraphSignature(TENSORS.inputs, (TensorSpec("hn", (1, "batch", HIDDEN + 1)),))
    (problem,) = graph_problems(proto, tensors)
    assert problem.startswith("onnx.checker: ")


def test_a_graph_that_depends_on_its_example_is_refused():
    def graph(sequence):
        shape = onnx.helper.make_tensor("shape", onnx.TensorProto.INT64, [1], [sequence])
        reshape = onnx.helper.make_node("Reshape", ["x", "shape"], ["y"], name="baked_reshape")
        x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["sequence"]) for name in "xy")
        return onnx.helper.make_model(onnx.helper.make_graph([reshape], "g", [x], [y], [shape]))

    check_same(graph(29), graph(29), "windowed")
    with pytest.raises(GateError, match="depends on the sizes of the example it was exported from, first at shape"):
        check_same(graph(29), graph(31), "windowed")
    longer = graph(29)
    longer.graph.node.append(onnx.helper.make_node("Identity", ["y"], ["z"], name="one_more"))
    with pytest.raises(GateError, match="first at one_more"):
        check_same(graph(29), longer, "windowed")
    other = graph(29)
    other.producer_name = "somebody"
    with pytest.raises(GateError, match="in what surrounds the graph"):
        check_same(graph(29), other, "windowed")
