import importlib
import logging
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from toolkit.errors import BundleError, ModelError
from toolkit.release import ort_format
from toolkit.release.ort_format import ort_files
from toolkit.runtime.session import create_session, run_session

REFERENCE = Path(__file__).parents[2] / "exported" / "pump-station"
SIZES = {"batch": 1, "sequence": 17}


@pytest.fixture(scope="module", params=["windowed", "streaming"])
def graph(request):
    return (REFERENCE / f"{request.param}.onnx").read_bytes()


@pytest.fixture(scope="module")
def int8_graph(tmp_path_factory):
    """The reference bundle's windowed graph with its weights in eight bits."""
    # Imported here, because it configures logging for the whole process.
    from onnxruntime.quantization import QuantType, quantize_dynamic

    target = tmp_path_factory.mktemp("int8") / "int8.onnx"
    quantize_dynamic(REFERENCE / "windowed.onnx", target, weight_type=QuantType.QInt8)
    return target.read_bytes()


@pytest.fixture(scope="module")
def branching_graph():
    """Adds or subtracts one, by the sign of the sum: operators that stand in bodies alone."""
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT

    def branch(operator):
        node = helper.make_node(operator, ["x", "one"], [f"{operator}_out"])
        return helper.make_graph(
            [node], operator, [], [helper.make_tensor_value_info(f"{operator}_out", float32, None)]
        )

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Greater", ["total", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=branch("Add"), else_branch=branch("Sub")),
    ]
    values = [onnx.numpy_helper.from_array(np.float32(value), name) for name, value in (("zero", 0), ("one", 1))]
    x, y = (helper.make_tensor_value_info(name, float32, ["batch"]) for name in ("x", "y"))
    proto = helper.make_model(
        helper.make_graph(nodes, "branching", [x], [y], values),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    return proto.SerializeToString()


def answers(content, seed=0):
    """What the content's graph answers through the toolkit's own session to inputs drawn at random."""
    session, rng = create_session(content), np.random.default_rng(seed)
    feed = {
        value.name: rng.normal(size=[SIZES.get(axis, axis) for axis in value.shape]).astype(np.float32)
        for value in session.get_inputs()
    }
    return run_session(session, feed)


def operators(files, name="x"):
    lines = files[f"{name}.required_operators.config"].decode().splitlines()
    assert lines[0].startswith("# ")
    assert lines[1:] == sorted(lines[1:], key=lambda line: (line.split(";")[0], int(line.split(";")[1])))
    return {(domain, int(opset)): names.split(",") for domain, opset, names in (line.split(";") for line in lines[1:])}


@pytest.mark.parametrize("seed", range(3))
def test_answers_are_the_same_to_the_bit(graph, seed):
    files = ort_files(graph, "x")
    assert list(files) == ["x.ort", "x.required_operators.config"]
    assert files["x.ort"][4:8] == b"ORTM"
    for expected, got in zip(answers(graph, seed), answers(files["x.ort"], seed), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_names_axes_and_metadata_are_kept(graph):
    one, two = (onnxruntime.InferenceSession(content) for content in (graph, ort_files(graph, "x")["x.ort"]))
    for values in ("get_inputs", "get_outputs"):
        assert [(v.name, v.shape, v.type) for v in getattr(one, values)()] == [
            (v.name, v.shape, v.type) for v in getattr(two, values)()
        ]
    assert one.get_modelmeta().custom_metadata_map == two.get_modelmeta().custom_metadata_map


def test_the_operators_of_an_lstm_graph():
    files = ort_files((REFERENCE / "windowed.onnx").read_bytes(), "x")
    assert operators(files) == {
        ("ai.onnx", 13): ["Gemm", "Squeeze", "Transpose"],
        ("ai.onnx", 14): ["Add", "LSTM", "Mul", "Reshape", "Sub"],
    }


def test_the_operators_of_an_int8_graph_are_those_after_optimisation(int8_graph):
    files = ort_files(int8_graph, "x")
    assert operators(files)["com.microsoft", 1] == ["DynamicQuantizeLSTM", "DynamicQuantizeMatMul"]
    assert b"MatMulInteger" not in files["x.required_operators.config"]
    for expected, got in zip(answers(int8_graph), answers(files["x.ort"]), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_the_operators_in_bodies_are_listed(branching_graph):
    files = ort_files(branching_graph, "x")
    assert operators(files)["ai.onnx", 14] == ["Add", "Sub"]
    for expected, got in zip(answers(branching_graph), answers(files["x.ort"]), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_onnxruntimes_own_reader_takes_the_list(graph, tmp_path):
    from onnxruntime.tools.reduced_build_config_parser import parse_config

    files = ort_files(graph, "x")
    config = tmp_path / "x.config"
    config.write_bytes(files["x.required_operators.config"])
    required, _ = parse_config(str(config))
    assert required == {"ai.onnx": {opset: set(names) for (_, opset), names in operators(files).items()}}


def test_the_same_bytes_every_time(graph, int8_graph):
    for content in (graph, int8_graph):
        first = ort_files(content, "x")
        assert all(ort_files(content, "x") == first for _ in range(4))


def kernel_types(content):
    """What the file says of each operator's types, in its order."""
    fbs = importlib.import_module("ort_flatbuffers_py.fbs")
    table = fbs.InferenceSession.InferenceSession.GetRootAs(content, 0).KernelTypeStrResolver()
    return [
        (entry.OpId(), [(kind.KernelTypeStr(), [(arg.ArgType(), arg.Index()) for arg in args]) for kind, args in kinds])
        for entry in (table.OpKernelTypeStrArgs(place) for place in range(table.OpKernelTypeStrArgsLength()))
        for kinds in [
            [
                (kind, [kind.Args(place) for place in range(kind.ArgsLength())])
                for kind in (entry.KernelTypeStrArgs(place) for place in range(entry.KernelTypeStrArgsLength()))
            ]
        ]
    ]


def test_the_table_of_kernel_types_is_onnxruntimes_own(graph):
    settled = ort_files(graph, "x")["x.ort"]
    assert kernel_types(settled) == kernel_types(ort_format._saved(graph, "x"))
    assert len(settled) % 16 == 0


def test_a_model_that_begins_between_words_is_taken_over_whole():
    fbs, builder = ort_format._bindings(), importlib.import_module("flatbuffers").Builder(0)
    fbs.KernelTypeStrResolver.Start(builder)
    kernels = fbs.KernelTypeStrResolver.End(builder)
    version = builder.CreateString("6")
    fbs.Model.Start(builder)
    fbs.Model.AddIrVersion(builder, 8)  # one field: the list of fields takes six bytes
    model = fbs.Model.End(builder)
    fbs.InferenceSession.Start(builder)
    fbs.InferenceSession.AddOrtVersion(builder, version)
    fbs.InferenceSession.AddModel(builder, model)
    fbs.InferenceSession.AddKernelTypeStrResolver(builder, kernels)
    builder.Finish(fbs.InferenceSession.End(builder))
    settled = ort_format._settled(bytes(builder.Output()), fbs)
    assert fbs.InferenceSession.InferenceSession.GetRootAs(settled, 0).Model().IrVersion() == 8


def test_nothing_of_this_machine_is_inside(graph, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for content in ort_files(graph, "x").values():
        assert str(tmp_path).encode() not in content
        assert b"graph.ort" not in content
    assert not list(tmp_path.iterdir())


def test_the_process_keeps_its_logging(graph, monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])
    for name in [name for name in sys.modules if name.startswith("onnxruntime.tools")]:
        monkeypatch.delitem(sys.modules, name)
    ort_files(graph, "x")
    assert logging.root.handlers == []


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x08"])
def test_what_onnxruntime_refuses_is_one_line(content):
    with pytest.raises(ModelError, match=r"^onnxruntime cannot save the\.graph in its own format; got .+$") as caught:
        ort_files(content, "the.graph")
    assert "\n" not in str(caught.value)


def test_a_damaged_ort_file_is_one_line(graph):
    with pytest.raises(BundleError, match="onnxruntime refuses it"):
        create_session(ort_files(graph, "x")["x.ort"][:5000], name="it")
