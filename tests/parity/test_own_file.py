"""Files that others made: torch's exporters in their several ways, and one that does not fit its module."""

import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import nn

from toolkit.contract.graph_io import TensorSpec
from toolkit.errors import BundleError, ConfigError, ModelError
from toolkit.parity import ParityGrid
from toolkit.parity.own_file import OwnFile, check_file, file_inputs
from toolkit.parity.verdict import Allowed

GRID = ParityGrid((1, 2, 4), (1, 2, 11), (5, 0), hard=((2, 3),))
NAMED = {"x": {0: "batch", 1: "sequence"}, "y": {0: "batch"}}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.lstm, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


class Stream(Net):
    def forward(self, x, h0, c0):
        y, (hn, cn) = self.lstm(x, (h0, c0))
        return self.head(y), hn, cn


def exported(module, path, axes, inputs=("x",), outputs=("y",)):
    example = [torch.randn(3, 29, 4), torch.randn(1, 3, 8), torch.randn(1, 3, 8)][: len(inputs)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(example),
            path,
            dynamo=False,
            dynamic_axes=axes,
            input_names=inputs,
            output_names=outputs,
        )
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return exported(Net(), tmp_path_factory.mktemp("plain") / "net.onnx", NAMED)


def test_a_file_of_torchs_older_exporter_passes(plain):
    report = check_file(Net(), OwnFile(plain), GRID)
    assert report.passed
    assert report.notes == ()
    assert {(case.batch, case.sequence) for case in report.cases} >= {(1, 1), (4, 11)}
    assert (report.weights[0].exact, report.weights[0].compared) == (6, 6)


def test_another_modules_file_fails_and_says_at_which_weight(plain):
    other = Net()
    with torch.no_grad():
        other.head.weight[1, 3] += 1e-3
    report = check_file(other, OwnFile(plain), GRID)
    assert not report.passed
    (changed,) = report.weights[0].changed
    assert (changed.tensor, changed.place, changed.differing) == ("head.weight", (1, 3), 1)


def test_a_stream_with_its_states(tmp_path):
    axes = NAMED | {"y": NAMED["x"]} | {name: {1: "batch"} for name in ("h0", "c0", "hn", "cn")}
    path = exported(Stream(), tmp_path / "stream.onnx", axes, ("x", "h0", "c0"), ("y", "hn", "cn"))
    report = check_file(Stream(), OwnFile(path, states={"h0": "hn", "c0": "cn"}), GRID)
    assert report.passed
    assert {case.input for case in report.cases} >= {"normal, in chunks of 5", "normal, in chunks of random size"}
    crossed = check_file(Stream(), OwnFile(path, states={"h0": "cn", "c0": "hn"}), GRID)
    assert not crossed.passed


def test_a_fixed_axis_is_told_and_fails_where_it_should_be_free(tmp_path):
    path = exported(Net(), tmp_path / "baked.onnx", {"x": {0: "batch"}})
    report = check_file(Net(), OwnFile(path), GRID)
    assert report.passed
    assert report.notes == ("baked.onnx: axis 1 of x is fixed at 29, so that no other size was compared",)
    free = OwnFile(path, (TensorSpec("x", ("batch", "sequence", 4)),))
    assert not check_file(Net(), free, GRID).passed


def test_weights_beside_the_file_are_read(plain, tmp_path):
    proto = onnx.load(plain)
    onnx.save(proto, tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    assert check_file(Net(), OwnFile(tmp_path / "net.onnx"), GRID).passed
    outside = tmp_path / "in" / "net.onnx"
    outside.parent.mkdir()
    outside.write_bytes((tmp_path / "net.onnx").read_bytes().replace(b"net.data", b"../a.dat"))
    with pytest.raises(BundleError, match="outside"):
        check_file(Net(), OwnFile(outside), GRID)


def test_a_tolerance_of_ones_own_is_in_the_answers_unit(plain):
    def scaled():
        net = Net()
        with torch.no_grad():
            net.head.weight *= 1000
        return net

    changed = onnx.load(plain)
    for tensor in changed.graph.initializer:
        if tensor.name == "head.weight":
            tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * 1000.001, tensor.name))
    onnx.save(changed, plain.parent / "scaled.onnx")
    file = OwnFile(plain.parent / "scaled.onnx")
    numbers = [check_file(scaled(), file, GRID, allowed=allowed) for allowed in (Allowed(1e-4), Allowed(0.1, 0.0))]
    relative = check_file(scaled(), file, GRID, allowed=Allowed(1e-3, 1e-4))
    passed = [all(case.passed for case in report.cases) for report in (*numbers, relative)]
    assert passed == [False, True, True]
    assert numbers[0].unit == ""


def test_names_are_made_up_where_a_file_has_none(tmp_path):
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, "seq-length", 4])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, None, 4])
    graph = helper.make_graph([helper.make_node("Tanh", ["x"], ["y"])], "g", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "t.onnx")
    assert file_inputs(tmp_path / "t.onnx") == (TensorSpec("x", ("batch", "sequence", 4)),)
    assert check_file(nn.Tanh(), OwnFile(tmp_path / "t.onnx"), GRID).passed


def test_what_cannot_be_compared(plain, tmp_path):
    x = helper.make_tensor_value_info("x", onnx.TensorProto.INT64, ["batch", 4])
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [x],
        [
            x.__class__.FromString(
                helper.make_tensor_value_info("y", onnx.TensorProto.INT64, ["batch", 4]).SerializeToString()
            )
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "i.onnx")
    with pytest.raises(BundleError, match="x cannot be compared; got int64; allowed: float32 tensors"):
        check_file(nn.Identity(), OwnFile(tmp_path / "i.onnx"), GRID)
    with pytest.raises(ModelError, match="does not fit"):
        check_file(nn.LSTM(4, 8, batch_first=True), OwnFile(plain), GRID)
    with pytest.raises(ConfigError, match=r"--input; got z; allowed: those of .*net\.onnx: x"):
        check_file(Net(), OwnFile(plain, (TensorSpec("z", ("batch", "sequence", 4)),)), GRID)
    with pytest.raises(ConfigError, match="another number of axes"):
        check_file(Net(), OwnFile(plain, (TensorSpec("x", ("batch", 4)),)), GRID)
    with pytest.raises(BundleError, match="is a folder"):
        check_file(Net(), OwnFile(tmp_path), GRID)


class Meter(Net):
    """Two targets of very different size."""

    def forward(self, x):
        return super().forward(x) * torch.tensor([0.1, 900.0]) + torch.tensor([0.5, 101_000.0])


def behind(path, target, *nodes, **constants):
    """Puts nodes between what made `y` and `y`."""
    proto = onnx.load(path)
    for node in proto.graph.node:
        node.output[:] = ["before" if name == "y" else name for name in node.output]
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items())
    proto.graph.node.extend(nodes)
    onnx.save(proto, target)
    return target


def test_a_small_target_is_not_judged_by_a_large_ones_rounding(tmp_path):
    path = exported(Meter(), tmp_path / "meter.onnx", NAMED)
    assert check_file(Meter(), OwnFile(path), GRID).passed
    add = helper.make_node("Add", ["before", "shift"], ["y"])
    wrong = behind(path, tmp_path / "shifted.onnx", add, shift=np.float32([0.001, 0.0]))  # 1 % of its deviation
    assert not check_file(Meter(), OwnFile(wrong), GRID).passed


def test_a_right_copy_that_nothing_comes_of_proves_nothing(plain, tmp_path):
    proto = onnx.load(plain)
    stored = next(tensor for tensor in proto.graph.initializer if list(tensor.dims) == [1, 32, 4])
    right = onnx.numpy_helper.to_array(stored).copy()
    nudged = right.copy()
    nudged[0, 3, 1] += 1e-6
    stored.CopyFrom(onnx.numpy_helper.from_array(nudged, stored.name))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(right, "copy"))
    proto.graph.node.insert(0, helper.make_node("Identity", ["copy"], ["nowhere"]))
    onnx.save(proto, tmp_path / "copy.onnx")
    report = check_file(Net(), OwnFile(tmp_path / "copy.onnx"), GRID)
    (changed,) = report.weights[0].changed
    assert changed.tensor == "lstm.weight_ih_l0"


@pytest.mark.parametrize("name", ["batch", "sequence"])
def test_a_graph_that_decides_by_a_size_beyond_the_grid(plain, tmp_path, name):
    place, limit = (0, 65.0) if name == "batch" else (1, 250.0)
    nodes = (
        helper.make_node("Shape", ["x"], ["sizes"]),
        helper.make_node("Gather", ["sizes", "place"], ["size"]),
        helper.make_node("Cast", ["size"], ["number"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Greater", ["number", "limit"], ["larger"]),
        helper.make_node("Cast", ["larger"], ["one"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Add", ["before", "one"], ["y"]),
    )
    wrong = behind(plain, tmp_path / "turning.onnx", *nodes, place=np.int64(place), limit=np.float32(limit))
    report = check_file(Net(), OwnFile(wrong), GRID)
    assert {getattr(case, name) for case in report.cases if not case.passed} == {int(limit) + 1, 2 * int(limit)}


class Branching(Net):
    """Code that an older exporter bakes without a word."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        return super().forward(self.how(x))


def test_a_number_in_the_modules_own_code_is_tried(tmp_path):
    module = Branching(lambda x: x[:, -min(x.shape[1], 70) :].mean(1, keepdim=True))
    report = check_file(module, OwnFile(exported(module, tmp_path / "cut.onnx", NAMED)), GRID)
    assert {case.sequence for case in report.cases if not case.passed} == {71, 140}


@pytest.mark.parametrize(
    ("how", "note"),
    [
        (lambda x: x * (1.0 if len(x[0]) < 1000 else 2.0), "turns the size of sequence into a plain number"),
        (lambda x: x if x.mean() < 20 else x * 0, "torch cannot trace the module"),
    ],
)
def test_what_cannot_be_seen_is_told(tmp_path, how, note):
    module = Branching(how)
    report = check_file(module, OwnFile(exported(module, tmp_path / "net.onnx", NAMED)), GRID)
    assert any(note in each for each in report.notes)


def test_an_enormous_input_shows_a_branch_on_numbers(tmp_path):
    module = Branching(lambda x: x * 0 if x.abs().max() > 1e6 else x)
    report = check_file(module, OwnFile(exported(module, tmp_path / "net.onnx", NAMED)), GRID)
    assert {case.input for case in report.cases if not case.passed} == {"enormous"}
