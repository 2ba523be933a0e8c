"""Files that others made: torch's exporters in their several ways, and one that does not fit its module."""

import warnings

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
