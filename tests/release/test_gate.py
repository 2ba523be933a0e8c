"""Proof that the gate works: graphs with known faults, each of them refused."""

import shutil
import warnings

import numpy as np
import onnx
import pytest
import tiny_bundles
import torch
from onnx import helper, numpy_helper

from toolkit.contract.graph_io import signature
from toolkit.errors import GateError, ParityError
from toolkit.export import check_graph
from toolkit.export.lint import axes_of
from toolkit.parity import ParityGrid, check_parity
from toolkit.parity.told import raise_if_failed
from toolkit.release import Options, build_bundle

GRID = ParityGrid((1, 2, 3), (1, 2, 13, 29), (5, 0))
"""Holds the shape of the plain export's example among others: a baked graph is right there, and only there."""


def export_plainly(model, batch, sequence):
    """What torch's exporter makes of the module itself, both axes declared dynamic."""
    sizes = {place: torch.export.Dim(name, min=1) for place, name in enumerate(("batch", "sequence"))}
    x = torch.randn(batch, sequence, 2) / model.input_scale + model.input_offset
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            (x,),
            dynamo=True,
            dynamic_shapes=(sizes,),
            input_names=["x"],
            output_names=["forecast"],
            opset_version=18,
            verbose=False,
        )
    return program.model_proto


@pytest.fixture(scope="module")
def baked_sequence(run):
    """The second export of a process: torch 2.13 bakes the example's sequence, without a word."""
    for _ in range(2):
        proto = export_plainly(run.model, 3, 29)
    if axes_of(proto.graph.input[0])[1] != 29:
        pytest.skip("this torch bakes no sequence length any more")
    return proto


@pytest.fixture(scope="module")
def baked_batch(run):
    """An example batch of 1 is baked by every export."""
    proto = export_plainly(run.model, 1, 29)
    if axes_of(proto.graph.input[0])[0] != 1:
        pytest.skip("this torch bakes no batch of 1 any more")
    return proto


def bake_by_hand(proto):
    """The same fault whatever torch is installed: a Reshape whose sizes are the example's."""
    transpose = next(node for node in proto.graph.node if node.op_type == "Transpose")
    wire = transpose.output[0]
    transpose.output[0] = "loose"
    proto.graph.initializer.append(numpy_helper.from_array(np.array([29, -1, 2]), "sizes"))
    place = list(proto.graph.node).index(transpose) + 1
    nodes = list(proto.graph.node)
    nodes.insert(place, helper.make_node("Reshape", ["loose", "sizes"], [wire]))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def forge(proto):
    """Declares the axes and names the tensors that the contract wants, whatever the graph computes."""
    proto = onnx.ModelProto.FromString(proto.SerializeToString())
    *_, unscale, shift = proto.graph.node
    assert (unscale.op_type, shift.op_type) == ("Mul", "Add")
    wire = unscale.input[0]
    for node in proto.graph.node:
        for names in (node.input, node.output):
            names[:] = ["forecast_standardised" if name == wire else name for name in names]
    for place, name in enumerate(("batch", "sequence")):
        proto.graph.input[0].type.tensor_type.shape.dim[place].dim_param = name
    proto.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    del proto.graph.value_info[:]
    return proto


@pytest.mark.parametrize("which", ["baked_sequence", "baked_batch"])
def test_a_plain_export_with_a_baked_axis_is_refused_by_the_gate(run, request, which):
    proto = request.getfixturevalue(which)
    with pytest.raises(GateError, match="the windowed graph breaks the graph contract: input x has the axes") as caught:
        check_graph(proto, signature("windowed", run.model.shape), "windowed")
    assert f"baked: {which.removeprefix('baked_')}" in str(caught.value)
    assert caught.value.exit_status == 1


@pytest.mark.parametrize("which", ["baked_sequence", "baked_batch"])
def test_a_plain_export_with_forged_axes_is_refused_by_parity(run, request, which):
    proto = forge(request.getfixturevalue(which))
    report = check_parity(run.model, {"windowed": proto.SerializeToString()}, GRID, run.samples.numpy())
    right = {(case.batch, case.sequence) for case in report.cases if case.passed}
    if which == "baked_sequence":
        assert {sequence for _, sequence in right} == {29}
    else:
        assert {batch for batch, _ in right} == {1}
    with pytest.raises(ParityError, match="cases failed; first: windowed graph"):
        raise_if_failed(report)


def test_a_graph_baked_by_hand_is_refused_by_parity_alone(run, clean):
    proto = clean()["windowed"]
    bake_by_hand(proto)
    report = check_parity(run.model, {"windowed": proto.SerializeToString()}, GRID, run.samples.numpy())
    assert {case.sequence for case in report.cases if case.passed} == {29}


def swap_gates(array):
    """i, o, f, c becomes i, f, o, c: the second and the third block of every four."""
    size = 8
    for start in range(0, array.shape[1], 4 * size):
        second, third = slice(start + size, start + 2 * size), slice(start + 2 * size, start + 3 * size)
        array[:, second], array[:, third] = array[:, third].copy(), array[:, second].copy()
    return array


def gates_swapped(proto):
    for name in ("lstm.W_l0", "lstm.R_l0", "lstm.B_l0"):
        tiny_bundles.change_weights(name, swap_gates)(proto)


def three_ulps(target):
    def change(array):
        for _ in range(3):
            array[target] = np.nextafter(array[target], np.float32(np.inf))
        return array

    return tiny_bundles.change_weights("output_offset", change)


def one_weight_off(array):
    row = array[0, 3]
    row[1] += np.float32(1e-2 * np.linalg.norm(row))
    return array


def step_off_by_one(proto):
    """The last step but one of the hidden sequence, in place of the last hidden state."""
    place, node = next((n, node) for n, node in enumerate(proto.graph.node) if node.op_type == "LSTM")
    wire = node.output[1]
    node.output[0], node.output[1] = "all_steps", "last_step"
    proto.graph.initializer.append(numpy_helper.from_array(np.array(-2), "last_but_one"))
    gather = helper.make_node("Gather", ["all_steps", "last_but_one"], [wire], axis=0)  # [1, batch, hidden_size]
    proto.graph.node.insert(place + 1, gather)


def crossed(first, second):
    def fault(proto):
        other = {first: second, second: first}
        for node in proto.graph.node:
            for names in (node.input, node.output):
                names[:] = [other.get(name, name) for name in names]

    return fault


def unscaled_twice(proto):
    multiply = next(node for node in proto.graph.node if "forecast_standardised" in node.input)
    place = list(proto.graph.node).index(multiply)
    again = helper.make_node("Mul", ["scaled_once", multiply.input[1]], list(multiply.output))
    multiply.output[0] = "scaled_once"
    proto.graph.node.insert(place + 1, again)


change = tiny_bundles.change_weights
WRONG_NUMBERS = {
    "two gates swapped": (("windowed", "streaming"), gates_swapped, "forecast"),
    "a bias dropped": (("windowed", "streaming"), change("lstm.B_l0", np.zeros_like), "forecast"),
    "the head's bias dropped": (("windowed", "streaming"), change("head.bias", np.zeros_like), "forecast"),
    "offsets of two channels swapped": (
        ("windowed", "streaming"),
        change("input_offset", lambda array: array[::-1].copy()),
        "forecast",
    ),
    "scales of two channels swapped": (
        ("windowed", "streaming"),
        change("input_scale", lambda array: array[::-1].copy()),
        "forecast",
    ),
    "one weight a hundredth off": (("windowed", "streaming"), change("lstm.R_l0", one_weight_off), "forecast"),
    "the offset of 101 325 off by 3 ulp": (("windowed", "streaming"), three_ulps(0), "un-scaling"),
    "the offset of the other target off by 3 ulp": (("windowed", "streaming"), three_ulps(1), "un-scaling"),
    "un-scaled twice": (("windowed", "streaming"), unscaled_twice, "un-scaling"),
    "the last step off by one": (("windowed",), step_off_by_one, "forecast"),
    "hn and cn crossed": (("streaming",), crossed("hn", "cn"), "hn"),
    "h0 and c0 crossed": (("streaming",), crossed("h0", "c0"), "forecast"),
}
"""For each fault the graphs that can have it and the tensor that must be named."""


@pytest.mark.parametrize(
    ("name", "graph"), [(name, graph) for name, (graphs, *_) in WRONG_NUMBERS.items() for graph in graphs]
)
def test_wrong_numbers_are_refused_by_parity_with_the_tensor_named(run, clean, name, graph):
    _, fault, tensor = WRONG_NUMBERS[name]
    proto = clean()[graph]
    fault(proto)
    check_graph(proto, signature(graph, run.model.shape), graph)  # nothing to be seen without running it
    report = check_parity(run.model, {graph: proto.SerializeToString()}, GRID, run.samples.numpy())
    assert not report.passed
    # A step too early cannot be taken from one sample: that case fails without a place within the tensor.
    assert report.divergence.tensor == tensor
    with pytest.raises(ParityError, match=f"parts first in {tensor}") as caught:
        raise_if_failed(report)
    assert caught.value.exit_status == 1


def not_finite(proto):
    change("lstm.W_l0", lambda array: np.where(array == array.max(), np.float32(np.nan), array))(proto)


def layout_1(proto):
    node = next(node for node in proto.graph.node if node.op_type == "LSTM")
    node.attribute.append(helper.make_attribute("layout", 1))


def external_data(proto):
    onnx.external_data_helper.set_external_data(tiny_bundles.initializer(proto, "lstm.R_l0"), "weights.bin")


def unknown_operator(proto):
    proto.graph.node.append(helper.make_node("NonZero", ["forecast"], ["spare"]))


def further_output(proto):
    proto.graph.output.append(helper.make_tensor_value_info("forecast_standardised", onnx.TensorProto.FLOAT, None))


def renamed_axis(proto):
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "s77"


def wrong_opset(proto):
    proto.opset_import[0].version = 19


BROKEN_CONTRACT = {
    not_finite: "hold NaN or infinity",
    layout_1: "LSTM with layout=1",
    external_data: "lie outside the file",
    unknown_operator: "the operator NonZero is not on the allow-list",
    further_output: "outputs are forecast",
    renamed_axis: "input x has the axes",
    wrong_opset: "its opset is 19 instead of 18",
}


@pytest.mark.parametrize("graph", ["windowed", "streaming"])
@pytest.mark.parametrize("fault", BROKEN_CONTRACT, ids=lambda fault: fault.__name__)
def test_a_broken_contract_is_refused_by_the_gate(run, clean, graph, fault):
    proto = clean()[graph]
    check_graph(proto, signature(graph, run.model.shape), graph)
    fault(proto)
    with pytest.raises(GateError, match=f"the {graph} graph breaks the graph contract: .*{BROKEN_CONTRACT[fault]}"):
        check_graph(proto, signature(graph, run.model.shape), graph)


REFUSED = {
    "baked": ("windowed", bake_by_hand, ParityError),
    "two gates swapped": ("streaming", gates_swapped, ParityError),
    "one weight a hundredth off": ("windowed", change("lstm.W_l0", one_weight_off), ParityError),
    "un-scaling off by 3 ulp": ("streaming", three_ulps(0), ParityError),
    "hn and cn crossed": ("streaming", crossed("hn", "cn"), ParityError),
    "a weight that is no number": ("windowed", not_finite, GateError),
    "renamed axis": ("streaming", renamed_axis, GateError),
}


@pytest.mark.parametrize("name", REFUSED)
def test_no_bundle_is_left_of_a_faulty_graph(run, clean, exporting, tmp_path, name):
    graph, fault, error = REFUSED[name]
    protos = clean()
    fault(protos[graph])
    exporting(protos)
    with pytest.raises(error, match=graph) as caught:
        build_bundle(run, tmp_path / "tiny")
    assert caught.value.exit_status == 1
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_plain_export_leaves_no_bundle(run, clean, exporting, tmp_path, baked_sequence):
    exporting(clean() | {"windowed": baked_sequence})
    with pytest.raises(GateError, match="baked: sequence"):
        build_bundle(run, tmp_path / "tiny")
    exporting(clean() | {"windowed": forge(baked_sequence)})
    with pytest.raises((GateError, ParityError), match="windowed"):
        build_bundle(run, tmp_path / "tiny")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["two gates swapped", "renamed axis"])
def test_an_existing_bundle_is_left_as_it_was(run, whole, clean, exporting, tmp_path, name):
    folder = shutil.copytree(whole, tmp_path / "tiny")
    graph, fault, error = REFUSED[name]
    protos = clean()
    fault(protos[graph])
    exporting(protos)
    with pytest.raises(error):
        build_bundle(run, folder, Options(overwrite=True))
    assert tiny_bundles.contents(folder) == tiny_bundles.contents(whole)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_graph_that_depends_on_its_example_leaves_no_bundle(run, clean, monkeypatch, tmp_path):
    def depending(graph, metadata, sizes, opset):
        proto = clean()[graph.name]
        if sizes["batch"] == 5:
            proto.graph.node[0].output[0], proto.graph.node[1].input[0] = "other", "other"
        return proto

    monkeypatch.setattr("toolkit.release.build.export_torch_graph", depending)
    with pytest.raises(GateError, match="depends on the sizes of the example"):
        build_bundle(run, tmp_path / "tiny")
    assert not list(tmp_path.iterdir())
