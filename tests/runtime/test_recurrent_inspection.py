"""Warnings about LSTM, GRU and RNN layers and about stored numbers: given where they belong, and nowhere else."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_corpus import changed, external, recurrent, small_model, tensor_of

from toolkit.runtime.inspection import inspect_onnx
from toolkit.runtime.onnx_file import read_onnx


def warnings_of(content: bytes) -> list[str]:
    return list(inspect_onnx(read_onnx(content, "m.onnx"), "m.onnx", "1.32.0").warnings)


# baked axes


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"x": (29, "batch", 3)}, ["the sequence axis is baked: axis 0 of input x [29, batch, 3] is a number"]),
        ({"x": ("s", 5, 3)}, ["the batch axis is baked: axis 1 of input x [s, 5, 3] is a number"]),
        ({"state": [1, 5, 4]}, ["the batch axis is baked: axis 1 of input h0 [1, 5, 4] is a number"]),
        (
            {"x": (29, 5, 3)},
            [
                "the sequence axis is baked: axis 0 of input x [29, 5, 3] is a number",
                "the batch axis is baked: axis 1 of input x [29, 5, 3] is a number",
            ],
        ),
    ],
)
def test_a_baked_axis_of_an_input_is_named(options: dict, expected: list[str]) -> None:
    found = [line for line in warnings_of(recurrent(**options)) if "no symbolic" not in line]
    assert found == [f"LSTM layer: {line}" for line in expected]


def test_a_baked_axis_is_found_through_what_precedes_the_layer() -> None:
    before = [
        helper.make_node("Sub", ["x", "offset"], ["a"]),
        helper.make_node("MatMul", ["a", "mix"], ["b"]),
        helper.make_node("Transpose", ["b"], ["t"], perm=[1, 0, 2]),
    ]
    content = recurrent(x=("batch", 29, 3), before=before, weights={"offset": (3,), "mix": (3, 3)})
    assert warnings_of(content) == [
        "LSTM layer: the sequence axis is baked: axis 1 of input x [batch, 29, 3] is a number"
    ]
    swapped = [helper.make_node("Transpose", ["x"], ["t"])]  # without perm: reversed
    assert warnings_of(recurrent(x=(3, "batch", 29), before=swapped)) == [
        "LSTM layer: the sequence axis is baked: axis 2 of input x [3, batch, 29] is a number"
    ]


@pytest.mark.parametrize("broken", [{"perm": [0, 1]}, {"perm": [7, 8, 9]}, {"perm": [0, 0, 0]}])
def test_a_transpose_that_is_none_is_survived(broken: dict) -> None:
    assert warnings_of(recurrent(before=[helper.make_node("Transpose", ["x"], ["t"], **broken)])) == []


def test_nodes_in_a_circle_are_survived() -> None:
    circle = [helper.make_node("Identity", ["b"], ["a"]), helper.make_node("Identity", ["a"], ["b"])]
    assert warnings_of(recurrent(before=circle)) == []


def test_an_input_or_output_of_numbers_alone() -> None:
    content = recurrent(x=(29, 5, 3), y=(29, 1, 5, 4))
    assert warnings_of(content)[:2] == [
        "input x [29, 5, 3] has no symbolic axis",
        "output y [29, 1, 5, 4] has no symbolic axis",
    ]
    scalar = small_model(outputs=[helper.make_tensor_value_info("y", 1, [])])
    assert warnings_of(scalar) == []


def test_a_reshape_to_numbers_alone_bakes_the_axes() -> None:
    def reshape(shape: list[int]) -> bytes:
        kept = numpy_helper.from_array(np.array(shape), "shape")
        content = recurrent(before=[helper.make_node("Reshape", ["x", "shape"], ["t"], name="flat")])
        return changed(content, lambda p: p.graph.initializer.append(kept))

    assert warnings_of(reshape([29, 5, 3])) == [
        "Reshape flat: to the constant shape [29, 5, 3]: batch and sequence are baked"
    ]
    assert warnings_of(reshape([29, -1, 3])) == []
    offset = [helper.make_node("Reshape", ["offset", "shape"], ["o"]), helper.make_node("Sub", ["x", "o"], ["t"])]
    content = recurrent(before=offset, weights={"offset": (3,)})
    shape = numpy_helper.from_array(np.array([1, 1, 3]), "shape")
    assert warnings_of(changed(content, lambda p: p.graph.initializer.append(shape))) == []
    assert warnings_of(reshape([29, 0, 3])) == []


# states


@pytest.mark.parametrize("batch", [1, 5])
def test_a_stored_initial_state(batch: int) -> None:
    assert warnings_of(recurrent(state=(1, batch, 4))) == [
        f"LSTM layer: initial_h is a constant for a batch of {batch}: no other batch runs; make it an input or leave "
        "it out"
    ]


@pytest.mark.parametrize("maker", ["ConstantOfShape", "Expand", "Constant"])
def test_an_initial_state_made_of_constants(maker: str) -> None:
    shape = numpy_helper.from_array(np.array([1, 5, 4]), "shape")
    nodes = {
        "ConstantOfShape": helper.make_node("ConstantOfShape", ["shape"], ["raw"]),
        "Expand": helper.make_node("Expand", ["one", "shape"], ["raw"]),
        "Constant": helper.make_node("Constant", [], ["raw"], value=tensor_of("", (1, 5, 4))),
    }

    def add(proto: onnx.ModelProto) -> None:
        proto.graph.initializer.extend([shape, tensor_of("one", (1,))])
        proto.graph.node.insert(0, nodes[maker])
        proto.graph.node.insert(1, helper.make_node("Identity", ["raw"], ["h0"]))
        del proto.graph.initializer[3]

    content = changed(recurrent(state=(1, 5, 4)), add)
    assert [line[:50] for line in warnings_of(content)] == ["LSTM layer: initial_h is a constant for a batch of"]


def test_an_initial_state_whose_size_is_not_known() -> None:
    def add(proto: onnx.ModelProto) -> None:
        proto.graph.initializer[3].name = "raw"
        proto.graph.initializer.append(numpy_helper.from_array(np.array([1, -1, 4]), "shape"))
        proto.graph.node.insert(0, helper.make_node("Reshape", ["raw", "shape"], ["h0"]))

    assert warnings_of(changed(recurrent(state=(1, 5, 4)), add)) == [
        "LSTM layer: initial_h is a constant: no other batch runs; make it an input or leave it out"
    ]


def test_an_initial_state_of_the_inputs_shape_is_no_constant() -> None:
    def add(proto: onnx.ModelProto) -> None:
        del proto.graph.initializer[3]
        made = [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("ConstantOfShape", ["s"], ["h0"])]
        for node in reversed(made):
            proto.graph.node.insert(0, node)

    assert warnings_of(changed(recurrent(state=(1, 5, 4)), add)) == []


# weights


@pytest.mark.parametrize(
    ("op", "weights", "expected"),
    [
        ("LSTM", {"W": (1, 8, 3)}, "W is [1, 8, 3] where hidden_size 4 asks for [1, 16, any]"),
        ("LSTM", {"R": (1, 4, 1)}, "R is [1, 4, 1] where hidden_size 4 asks for [1, 16, 4]"),
        ("LSTM", {"B": (1, 16)}, "B is [1, 16] where hidden_size 4 asks for [1, 32]"),
        ("LSTM", {"W": (2, 16, 3)}, "W is [2, 16, 3] where hidden_size 4 asks for [1, 16, any]"),
        ("LSTM", {"R": (16, 4)}, "R is [16, 4] where hidden_size 4 asks for [1, 16, 4]"),
        ("GRU", {"W": (1, 16, 3)}, "W is [1, 16, 3] where hidden_size 4 asks for [1, 12, any]"),
        ("RNN", {"R": (1, 4, 3)}, "R is [1, 4, 3] where hidden_size 4 asks for [1, 4, 4]"),
    ],
)
def test_weights_that_contradict_the_hidden_size(op: str, weights: dict, expected: str) -> None:
    assert warnings_of(recurrent(op, weights=weights)) == [f"{op} layer: {expected}"]


def test_both_directions_are_counted() -> None:
    both = {"W": (2, 16, 3), "R": (2, 16, 4), "B": (2, 32)}
    assert warnings_of(recurrent(weights=both, direction="bidirectional")) == []
    assert len(warnings_of(recurrent(direction="bidirectional"))) == 3


def test_a_layer_without_a_hidden_size() -> None:
    assert warnings_of(recurrent(hidden=0)) == ["LSTM layer: no hidden_size"]


@pytest.mark.parametrize(("number", "word"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_weights_that_are_not_finite(number: float, word: str) -> None:
    def spoil(proto: onnx.ModelProto) -> None:
        proto.graph.initializer[1].CopyFrom(tensor_of("R", (1, 16, 4), number))

    assert warnings_of(changed(recurrent(), spoil)) == [f"the numbers R [1, 16, 4] hold {word}"]


def test_the_one_infinite_number_of_a_mask_is_no_fault() -> None:
    assert warnings_of(small_model(initializers=[tensor_of("mask", (), -np.inf)])) == []
    assert warnings_of(small_model(initializers=[tensor_of("scale", (), np.nan)])) == ["the numbers scale [] hold NaN"]
    assert warnings_of(small_model(initializers=[tensor_of("scale", (1,), np.inf)])) == [
        "the numbers scale [1] hold infinity"
    ]


def test_numbers_that_are_missing() -> None:
    short = TensorProto(name="w", data_type=1, dims=[1 << 31, 1 << 30], raw_data=b"\x00" * 16)
    assert warnings_of(small_model(initializers=[short])) == [
        "the numbers of w are not as many as its dims ask for; got 4 for [2147483648, 1073741824]"
    ]


def test_external_data_is_told_and_not_followed() -> None:
    assert warnings_of(external("weights.bin")) == ["external data: 1 tensors lie in weights.bin, which was not opened"]


# attributes


@pytest.mark.parametrize(
    ("op", "options", "reason"),
    [
        ("LSTM", {"clip": 3.0}, "clip"),
        ("LSTM", {"activations": ["Sigmoid", "Tanh", "Relu"]}, "activations Sigmoid, Tanh, Relu"),
        ("LSTM", {"activations": ["HardSigmoid", "Tanh", "Tanh"], "activation_alpha": [0.2]}, "activation_alpha, a"),
        ("LSTM", {"activation_beta": [0.5]}, "activation_beta"),
        ("LSTM", {"input_forget": 1}, "input_forget"),
        ("RNN", {"activations": ["Relu"]}, "activations Relu"),
        ("RNN", {"clip": 3.0}, "clip"),
        ("GRU", {"activations": ["Sigmoid", "Relu"]}, "activations Sigmoid, Relu"),
    ],
)
def test_what_falls_back_from_cuda(op: str, options: dict, reason: str) -> None:
    assert len(warnings_of(recurrent(op, **options))) == 1
    assert warnings_of(recurrent(op, **options))[0].startswith(f"{op} layer falls back from CUDA to the CPU: {reason}")


@pytest.mark.parametrize(
    ("op", "options"),
    [
        ("LSTM", {"activations": ["Sigmoid", "Tanh", "Tanh"], "input_forget": 0}),
        ("LSTM", {"activations": ["sigmoid", "tanh", "TANH"]}),
        ("GRU", {"activations": ["Sigmoid", "Tanh"]}),
        ("RNN", {"activations": ["Tanh"]}),
    ],
)
def test_what_stays_on_cuda(op: str, options: dict) -> None:
    assert warnings_of(recurrent(op, **options)) == []


def test_peepholes_fall_back_from_cuda() -> None:
    def add(proto: onnx.ModelProto) -> None:
        proto.graph.node[0].input.extend(["", "", "P"])
        proto.graph.initializer.append(tensor_of("P", (1, 12)))

    assert warnings_of(changed(recurrent(), add)) == ["LSTM layer falls back from CUDA to the CPU: peepholes"]


def test_a_direction_that_onnx_does_not_have() -> None:
    assert warnings_of(recurrent(direction="sideways\n")) == ["LSTM layer: direction sideways\\n is none that ONNX has"]
    assert warnings_of(recurrent(direction="reverse")) == []


def test_layout_1_is_refused_by_onnxruntime() -> None:
    content = recurrent(x=("batch", "sequence", 3), y=("batch", "sequence", 1, 4), layout=1)
    assert warnings_of(content) == ["LSTM layer: layout=1, which onnxruntime refuses"]
    with pytest.raises(Exception, match=r"layout|Batchwise"):
        onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("options", [{"linear_before_reset": 0}, {}])
def test_a_gru_that_torch_would_not_compute(options: dict) -> None:
    def drop(proto: onnx.ModelProto) -> None:
        kept = [a for a in proto.graph.node[0].attribute if a.name != "linear_before_reset" or options]
        del proto.graph.node[0].attribute[:]
        proto.graph.node[0].attribute.extend(kept)

    found = warnings_of(changed(recurrent("GRU", **options), drop))
    assert found[0].startswith("GRU layer: linear_before_reset=0, while torch's GRU computes with 1")
    assert len(found) == (2 if options else 1)  # given as 0, onnxruntime takes it off CUDA as well
