import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from recurrent_graphs import CHANNELS, HIDDEN, changed, float_value, numpy_arrays, recurrent

from toolkit.export.precision import to_fp16, to_int8
from toolkit.export.quantised_lint import fp16_problems, halvable, quantisation_problems, survives_half


def one_off(step):
    def change(array):
        array.flat[7] += step
        return array

    return change


def rewired(proto, change):
    """A copy of a graph to which something was done."""
    damaged = onnx.ModelProto.FromString(proto.SerializeToString())
    change(damaged)
    return damaged


def node_of(proto, operator):
    return next(node for node in proto.graph.node if node.op_type == operator)


@pytest.fixture(scope="module")
def two_layers():
    return recurrent(layers=2)


@pytest.fixture(scope="module")
def int8(two_layers):
    return to_int8(two_layers, "windowed")


@pytest.fixture(scope="module")
def fp16(two_layers):
    return to_fp16(two_layers)


def matrix(**changes):
    values = np.random.default_rng(0).uniform(-0.1, 0.1, (16, 16)).astype(np.float32)
    values[changes["at"]] = changes["to"]
    return values


@pytest.mark.parametrize(
    ("values", "survives"),
    [
        (matrix(at=(3, 4), to=1e-8), True),  # one tiny weight among its neighbours is nothing
        (matrix(at=(3, 4), to=65_504.0), True),
        (matrix(at=(3, 4), to=65_520.0), False),
        (matrix(at=(3, 4), to=np.nan), False),
        (matrix(at=3, to=1.3e-7), False),  # a row: an output in tiny units
        (matrix(at=np.s_[:, 4], to=1.3e-7), False),  # a column: the weights of an input in pascal
        (matrix(at=np.s_[:, 4], to=0), True),  # pruned
        (np.float32([0.1, 0.2]), True),
        (np.zeros((0, 4), np.float32), False),
    ],
)
def test_what_survives_half_precision(values, survives):
    assert survives_half(values) == survives


def test_a_weight_that_is_added_or_fed_as_well_stays_in_float():
    proto = recurrent()
    proto.graph.node.append(helper.make_node("Add", ["R0", "R0"], ["twice"]))
    proto.graph.input.append(float_value("W0", 1, 4 * HIDDEN, CHANNELS))
    assert halvable(proto) == ("head.weight",)


def test_small_matrices_and_those_of_other_types_stay():
    arrays = {"a": np.ones((9, 7), np.float32), "b": np.ones((7, 10), np.float32), "c": np.ones((10, 10))}
    nodes = [helper.make_node("MatMul", ["x", name], [f"y{name}"]) for name in arrays]
    outputs = [float_value(f"y{name}", "batch", array.shape[1]) for name, array in arrays.items()]
    initializers = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "g", [float_value("x", "batch", "width")], outputs, initializers)
    assert halvable(helper.make_model(graph)) == ("b",)


def test_the_proofs_accept_what_is_right(two_layers, int8, fp16):
    assert quantisation_problems(two_layers, int8) == ()
    assert fp16_problems(two_layers, fp16) == ()


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("W0_scale", lambda a: a * np.float32(1.01), "W0_quantized: .* more than half a step off"),
        ("R1_scale", lambda a: a * np.float32(0.99), "R1_quantized: .* more than half a step off"),
        ("R0_quantized", one_off(1), "R0_quantized: 1 of 1024 weights are more than half a step off"),
        ("W1_zero_point", lambda a: a + np.int8(1), "W1_quantized: .* weights are more than half a step off"),
        ("W0_scale", lambda a: a * np.nan, "W0_quantized: scale .* no positive numbers"),
        ("W0_scale", lambda a: np.repeat(a, 3), r"W0_quantized: scale \[3\]"),
        ("W0_zero_point", lambda a: np.repeat(a, 64), r"W0_quantized: scale \[1\] and zero point \[64\]"),
        ("R0_quantized", lambda a: a.transpose(0, 2, 1), r"R0_quantized: int8 \[1, 64, 16\] instead of int8"),
        ("R0_quantized", lambda a: a.astype(np.int16), "R0_quantized: int16"),
        ("B0", one_off(1e-6), "B0 is not the float32 graph's"),
        ("input_scale", lambda a: a.astype(np.float64), "input_scale is not the float32 graph's"),
        ("head.weight", one_off(1e-6), "head.weight is not the float32 graph's"),
    ],
)
def test_damaged_numbers_of_an_int8_graph_are_named(two_layers, int8, name, change, problem):
    found = quantisation_problems(two_layers, changed(int8, name, change))
    assert re.match(problem, found[0])


def test_scales_of_a_shape_that_the_operator_does_not_take_are_named(two_layers, int8):
    damaged = changed(int8, "W0_scale", lambda a: np.repeat(a, 3))
    damaged = changed(damaged, "W0_zero_point", lambda a: np.repeat(a, 3))
    (found,) = quantisation_problems(two_layers, damaged)
    assert found.startswith("W0_quantized: scale [3] and zero point [3]")


def set_input(place, name):
    def change(proto):
        node_of(proto, "DynamicQuantizeLSTM").input[place] = name

    return change


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (set_input(3, "B1"), "DynamicQuantizeLSTM layer0_quant is not the float32 graph's LSTM layer0"),
        (
            lambda p: node_of(p, "DynamicQuantizeLSTM").output.reverse(),
            "DynamicQuantizeLSTM layer0_quant is not the float32 graph's LSTM layer0",
        ),
        (set_input(8, ""), "DynamicQuantizeLSTM layer0_quant: input (empty) is no weight of the graph"),
        (set_input(2, "x"), "DynamicQuantizeLSTM layer0_quant: input x is no weight of the graph"),
    ],
)
def test_a_quantised_layer_that_is_wired_otherwise_is_named(two_layers, int8, change, problem):
    assert problem in quantisation_problems(two_layers, rewired(int8, change))


def test_steps_that_are_too_coarse_or_use_every_bit_are_named(two_layers, int8):
    # all zeros lie within half a step of every weight, if only the step is long enough
    coarse = changed(changed(int8, "W0_quantized", np.zeros_like), "W0_scale", lambda a: a * 200)
    assert quantisation_problems(two_layers, coarse) == (
        "W0_quantized: its steps are longer than a 64th of the largest weight",
    )
    array = numpy_arrays(two_layers)["W0"]
    scale = np.abs(array).max() / 127
    fine = changed(int8, "W0_quantized", lambda a: np.rint(array / scale).transpose(0, 2, 1).astype(np.int8))
    fine = changed(fine, "W0_scale", lambda a: np.float32([scale]))
    (found,) = quantisation_problems(two_layers, fine)
    assert found == "W0_quantized: numbers beyond 64, whose products saturate on processors without VNNI"


def restore_second_lstm(two_layers):
    def change(proto):
        wanted = next(node for node in two_layers.graph.node if node.name == "layer1")
        next(node for node in proto.graph.node if node.name == "layer1_quant").CopyFrom(wanted)
        proto.graph.initializer.extend(t for t in two_layers.graph.initializer if t.name in ("W1", "R1"))

    return change


def test_an_lstm_left_in_float_is_named(two_layers, int8):
    damaged = rewired(int8, restore_second_lstm(two_layers))
    assert "LSTM layer1 is still in floating point" in quantisation_problems(two_layers, damaged)


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("W0_half", lambda a: np.nextafter(a, np.float16(9)), "W0_half: 320 of 320 numbers are not the nearest half"),
        ("R1_half", one_off(np.float16(0.01)), "R1_half: 1 of 1024 numbers are not the nearest half of R1"),
        ("R1_half", lambda a: a.reshape(1, -1), r"R1_half has the shape \[1, 1024\] instead of \[1, 64, 16\]"),
        ("B0", one_off(1e-6), "B0 is not the float32 graph's"),
        ("input_offset", lambda a: a + 1, "input_offset is not the float32 graph's"),
    ],
)
def test_damaged_numbers_of_an_fp16_graph_are_named(two_layers, fp16, name, change, problem):
    (found,) = fp16_problems(two_layers, changed(fp16, name, change))
    assert re.match(problem, found)


def test_a_scaling_constant_in_half_is_named(two_layers, fp16):
    half = numpy_helper.from_array(numpy_arrays(two_layers)["output_scale"].astype(np.float16), "output_scale_half")

    def change(proto):
        next(t for t in proto.graph.initializer if t.name == "output_scale").CopyFrom(half)
        proto.graph.node.insert(0, helper.make_node("Cast", [half.name], ["output_scale"], to=TensorProto.FLOAT))

    found = fp16_problems(two_layers, rewired(fp16, change))
    assert found == ("output_scale must not be stored in half precision",)


def test_a_graph_of_which_nothing_was_stored_in_half_is_named(two_layers):
    assert fp16_problems(two_layers, two_layers) == ("no weight is stored in half precision",)


def test_a_cast_that_does_not_lead_back_to_float32_is_named(two_layers, fp16):
    found = fp16_problems(two_layers, rewired(fp16, lambda p: setattr(node_of(p, "Cast").attribute[0], "i", 11)))
    assert "head.weight is missing" in found


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda p: node_of(p, "Gemm").attribute.add(name="alpha", type=1, f=2.0), "Gemm .* is not the float32 graph's"),
        (lambda p: node_of(p, "Sub").input.reverse(), "Sub centred is not the float32 graph's"),
        (lambda p: p.graph.node.pop(), "it has .* nodes"),
        (lambda p: p.graph.node.add(op_type="Identity", input=["x"], output=["z"]), "it has .* nodes"),
        (lambda p: p.graph.initializer.add(name="spare"), "spare is not in the float32 graph"),
        (lambda p: p.graph.initializer.pop(0), "input_offset is missing"),
        (lambda p: setattr(p.graph.input[0], "name", "z"), "input is not the float32 graph's"),
        (lambda p: setattr(p, "ir_version", 10), "ir_version is not the float32 graph's"),
        (lambda p: setattr(p.opset_import[0], "version", 19), "opset_import is not the float32 graph's"),
        (lambda p: p.opset_import.add(domain="other", version=1), "opset_import is not the float32 graph's"),
        (lambda p: p.metadata_props.pop(), "metadata_props is not the float32 graph's"),
    ],
)
@pytest.mark.parametrize("variant", ["int8", "fp16"])
def test_whatever_else_changed_is_named(two_layers, request, variant, change, problem):
    proofs = {"int8": quantisation_problems, "fp16": fp16_problems}
    damaged = rewired(request.getfixturevalue(variant), change)
    found = proofs[variant](two_layers, damaged)
    assert any(re.match(problem, text) for text in found)
