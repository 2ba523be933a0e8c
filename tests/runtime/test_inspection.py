"""The sheet of a file, and every warning: given where it belongs, and nowhere else."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx_corpus import (
    FREE,
    GATES,
    changed,
    control_flow,
    external,
    functions,
    recurrent,
    small_model,
    sparse_initializer,
    tensor_of,
    torch_model,
)

from toolkit.runtime import graph_warnings, onnx_compatibility
from toolkit.runtime.inspection import Inspection, OperatorCount, inspect_onnx, installed_onnxruntime
from toolkit.runtime.onnx_compatibility import RELEASES, minimum_onnxruntime, reads
from toolkit.runtime.onnx_file import Opset, read_onnx
from toolkit.runtime.onnx_tensor import Property


def inspected(content: bytes, name: str = "m.onnx", installed: str | None = "1.32.0") -> Inspection:
    return inspect_onnx(read_onnx(content, name), name, installed)


def warnings_of(content: bytes, name: str = "m.onnx") -> list[str]:
    return list(inspected(content, name).warnings)


# the sheet


def test_the_sheet_of_a_layer() -> None:
    found = inspected(recurrent())
    assert (found.name, found.size_bytes, found.ir_version) == ("m.onnx", len(recurrent()), 8)
    assert found.opsets == (Opset("", 18),)
    assert found.minimum_onnxruntime == "1.14"
    assert [(v.name, v.element, v.axes) for v in found.inputs] == [("x", "float32", FREE)]
    assert [(v.name, v.axes) for v in found.outputs] == [("y", ("sequence", 1, "batch", 4))]
    assert found.symbolic_axes == ("sequence", "batch")
    assert found.operators == (OperatorCount("LSTM", "", 1),)
    assert (found.parameters, found.parameter_bytes) == (16 * 3 + 16 * 4 + 32, 4 * (16 * 3 + 16 * 4 + 32))
    assert Property("unit", "degC") in found.metadata
    assert found.warnings == ()


def test_operators_are_counted_wherever_they_are() -> None:
    counts = {(c.domain, c.op_type): c.count for c in inspected(control_flow()).operators}
    assert counts["", "If"] == 2
    assert counts["", "Mul"] == 1
    assert inspected(control_flow()).operators[0].op_type == "If"
    assert OperatorCount("scaled", "local", 1) in inspected(functions()).operators


def test_parameters_of_every_kind_are_counted() -> None:
    assert inspected(sparse_initializer()).parameters == 2
    assert inspected(external()).parameters == 4
    assert inspected(external()).parameter_bytes == 0
    constant = helper.make_node("Constant", [], ["k"], value=tensor_of("", (5,)))
    assert inspected(small_model([constant])).parameters == 5


def test_an_input_with_a_stored_default_is_not_to_be_fed() -> None:
    """Files of IR version 3 list their weights as inputs."""
    content = changed(recurrent(), lambda p: p.graph.input.append(helper.make_tensor_value_info("W", 1, [1, 16, 3])))
    assert [value.name for value in inspected(content).inputs] == ["x"]
    assert warnings_of(content) == []


@pytest.mark.parametrize("op", GATES)
def test_a_clean_layer_has_no_warning(op: str) -> None:
    before = [helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2])]
    assert warnings_of(recurrent(op)) == []
    assert warnings_of(recurrent(op, x=("batch", "sequence", 3), before=before)) == []
    assert warnings_of(recurrent(op, state=[1, "batch", 4])) == []


@pytest.mark.parametrize("graph", ["windowed", "streaming"])
def test_the_reference_bundle_has_no_warning(root, graph: str) -> None:
    content = (root / "exported" / "pump-station" / f"{graph}.onnx").read_bytes()
    found = inspected(content)
    assert found.warnings == ()
    assert found.symbolic_axes == ("batch", "sequence")


def test_torchs_own_export_has_no_warning_when_its_axes_are_free() -> None:
    assert [w for w in warnings_of(torch_model(False)) if "baked" in w] == []


# quantisation, domains, versions


def quantised(content: bytes, op: str = "MatMulInteger", domain: str = "") -> bytes:
    return changed(content, lambda p: p.graph.node.append(helper.make_node(op, ["q"], ["r"], domain=domain)))


def test_quantisation_that_did_nothing_for_the_layer() -> None:
    def by_quantiser(proto: onnx.ModelProto) -> None:
        proto.producer_name = "onnx.quantize"

    def with_domain(proto: onnx.ModelProto) -> None:
        proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))

    start = "quantisation did nothing for GRU layer: floating point still, though "
    content = recurrent("GRU")
    assert warnings_of(changed(content, by_quantiser)) == [f"{start}the producer is onnx.quantize"]
    assert warnings_of(changed(content, with_domain)) == [
        f"{start}com.microsoft is imported (and none of its operators used)"
    ]
    for op in ("MatMulInteger", "QuantizeLinear", "DynamicQuantizeLinear", "QLinearMatMul"):
        assert warnings_of(quantised(content, op)) == [f"{start}other operators are quantised"]


@pytest.mark.parametrize(("name", "warned"), [("m.int8.onnx", True), ("m-INT8.onnx", True), ("m.onnx", False)])
def test_a_name_that_says_int8_is_held_to_it(name: str, warned: bool) -> None:
    found = warnings_of(recurrent(), name)
    assert found == ([f"the name {name} says int8, and no operator is quantised"] if warned else [])
    assert not [line for line in warnings_of(quantised(recurrent()), name) if "says int8" in line]


def test_metadata_that_says_int8_is_held_to_it() -> None:
    content = changed(recurrent(), lambda p: p.metadata_props.add(key="precision", value="int8"))
    assert warnings_of(content) == ["the metadata precision says int8, and no operator is quantised"]


def test_weights_that_are_kept_as_integers_are_quantised() -> None:
    def keep(proto: onnx.ModelProto) -> None:
        proto.graph.initializer[0].name = "W_q"
        proto.graph.node.insert(0, helper.make_node("DequantizeLinear", ["W_q", "s"], ["W"]))

    assert warnings_of(changed(recurrent(), keep), "m.int8.onnx") == []


def test_operators_that_onnxruntime_fused_are_no_sign_of_quantisation() -> None:
    """A graph that onnxruntime optimised and saved imports `com.microsoft` too."""

    def fuse(proto: onnx.ModelProto) -> None:
        proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        proto.graph.node.append(helper.make_node("FusedMatMul", ["x", "x"], ["z"], domain="com.microsoft"))

    assert warnings_of(changed(recurrent(), fuse)) == [
        "operators outside ONNX, which run in onnxruntime alone: com.microsoft.FusedMatMul"
    ]


def test_onnxruntimes_own_quantiser(tmp_path) -> None:
    """It converts an LSTM; it leaves a GRU alone and says nothing."""
    from onnxruntime.quantization import quantize_dynamic

    found = {}
    for op in ("LSTM", "GRU"):
        (tmp_path / f"{op}.onnx").write_bytes(recurrent(op))
        quantize_dynamic(tmp_path / f"{op}.onnx", tmp_path / f"{op}.int8.onnx")
        found[op] = warnings_of((tmp_path / f"{op}.int8.onnx").read_bytes(), f"{op}.int8.onnx")
    assert found["GRU"] == [
        "quantisation did nothing for GRU layer: floating point still, though the producer is onnx.quantize",
        "the name GRU.int8.onnx says int8, and no operator is quantised",
    ]
    assert not [line for line in found["LSTM"] if "did nothing" in line or "says int8" in line]
    assert any("DynamicQuantizeLSTM" in line and "falls back from CUDA" in line for line in found["LSTM"])


def test_operators_outside_onnx() -> None:
    content = small_model([helper.make_node(op, ["x"], ["y"], domain=d) for d, op in (("acme", "A"), ("acme", "B"))])
    assert warnings_of(content) == [
        "operators outside ONNX, which run in a runtime that was given them alone: acme.A, acme.B"
    ]
    own = small_model([helper.make_node("FusedConv", ["x"], ["y"], domain="com.microsoft")])
    assert warnings_of(own) == ["operators outside ONNX, which run in onnxruntime alone: com.microsoft.FusedConv"]
    assert warnings_of(functions()) == []  # the file defines it
    assert warnings_of(small_model([helper.make_node("Scaler", ["x"], ["y"], domain="ai.onnx.ml")])) == []


def test_control_flow() -> None:
    assert any(line.startswith("control flow: If y, Loop z, If b: what runs") for line in warnings_of(control_flow()))


def test_a_layer_within_a_body_or_a_function_is_seen() -> None:
    clipped = helper.make_node("LSTM", ["x", "W", "R"], ["y"], hidden_size=4, clip=1.0)
    body = helper.make_graph([clipped], "body", [], [])
    within = small_model([helper.make_node("If", ["c"], ["z"], then_branch=body)])
    assert "LSTM y falls back from CUDA to the CPU: clip" in warnings_of(within)

    def define(proto: onnx.ModelProto) -> None:
        imports = [helper.make_opsetid("", 18)]
        proto.functions.append(helper.make_function("local", "f", ["x", "W", "R"], ["y"], [clipped], imports))

    # its x is its own, and not the graph's of the same name
    content = changed(recurrent(x=(29, "batch", 3)), define)
    assert warnings_of(content) == [
        "LSTM layer: the sequence axis is baked: axis 0 of input x [29, batch, 3] is a number",
        "LSTM y falls back from CUDA to the CPU: clip",
    ]


@pytest.mark.parametrize(
    ("opset", "ir", "ml", "minimum"),
    [(17, 8, 0, "1.12"), (18, 8, 0, "1.14"), (18, 10, 0, "1.18"), (7, 3, 0, "1.0"), (17, 8, 5, "1.18")],
)
def test_the_oldest_onnxruntime_is_the_later_of_what_each_version_asks_for(opset, ir, ml, minimum) -> None:
    imports = [helper.make_opsetid("", opset), *([helper.make_opsetid("ai.onnx.ml", ml)] if ml else [])]
    assert inspected(small_model(ir=ir, opset_imports=imports)).minimum_onnxruntime == minimum


def test_releases_read_more_and_more() -> None:
    numbers = [(release.opset, release.ir_version, release.ml_opset) for release in RELEASES]
    assert numbers == sorted(numbers)
    assert all(minimum_onnxruntime(*row) == release.version for row, release in zip(numbers, RELEASES, strict=True))
    assert minimum_onnxruntime(RELEASES[-1].opset + 1, 8) is None
    assert reads("1.32.0", "1.14")
    assert reads("1.9.0", "1.9")
    assert not reads("1.9.0", "1.14")


def test_the_installed_onnxruntime_reads_what_the_table_says() -> None:
    """Opset and IR version separately: the newest of each in the table's row loads, and one more does not."""
    installed = installed_onnxruntime()
    assert installed == onnxruntime.__version__
    newest = [release for release in RELEASES if reads(installed, release.version)][-1]
    if not reads(RELEASES[-1].version, ".".join(installed.split(".")[:2])):
        pytest.skip(f"onnxruntime {installed} is newer than the table")
    loads = {
        (opset, ir): _loads(small_model(opset=opset, ir=ir))
        for opset, ir in [
            (newest.opset, 8),
            (newest.opset + 1, 8),
            (12, newest.ir_version),
            (12, newest.ir_version + 1),
        ]
    }
    assert list(loads.values()) == [True, False, True, False]


def _loads(content: bytes) -> bool:
    onnxruntime.set_default_logger_severity(4)
    try:
        onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except Exception:  # onnxruntime raises several unrelated types
        return False
    finally:
        onnxruntime.set_default_logger_severity(2)
    return True


def test_versions_that_the_installed_onnxruntime_does_not_read() -> None:
    content = small_model(opset=23, ir=8)
    assert inspected(content, installed="1.20.1").warnings == (
        "onnxruntime 1.20.1 is installed and reads no opset ai.onnx 23, IR 8: from 1.23 on",
    )
    assert inspected(content, installed="1.23.0").warnings == inspected(content, installed=None).warnings == ()
    future = inspected(small_model(opset=99, ir=8))
    assert future.minimum_onnxruntime is None
    newest = onnx_compatibility.RELEASES[-1].version
    assert future.warnings == (
        f"opset ai.onnx 99, IR 8: newer than onnxruntime {newest}, the newest that is known here, reads",
    )


# what is printed


def test_names_cannot_break_a_line_or_reach_the_terminal() -> None:
    def rename(proto: onnx.ModelProto) -> None:
        proto.graph.node[0].name = "evil\n\x1b[31m" + "n" * 300

    line = warnings_of(changed(recurrent(clip=1.0), rename))[0]
    assert line.isprintable()
    assert "evil\\n\\x1b[31m" in line
    assert len(line) < 160


def test_an_error_that_becomes_a_warning_is_one_line_of_text() -> None:
    short = TensorProto(name="w\x1b[2J\n" + "n" * 500, data_type=1, dims=[9], raw_data=b"\x00" * 4)
    line = warnings_of(small_model(initializers=[short]))[0]
    assert line.isprintable()
    assert len(line) <= 300


def test_a_file_of_many_faults_is_not_told_one_by_one(monkeypatch) -> None:
    monkeypatch.setattr(graph_warnings, "MAX_WARNINGS", 3)
    content = small_model(initializers=[tensor_of(f"w{place}", (2,), np.nan) for place in range(10)])
    assert [line[:16] for line in warnings_of(content)] == [
        "the numbers w0 [",
        "the numbers w1 [",
        "the numbers w2 [",
        "and 7 more warni",
    ]
