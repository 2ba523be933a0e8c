import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from toolkit.contract.manifest import OPSET
from toolkit.errors import ConfigError, ModelError
from toolkit.export.foreign_graph import foreign_graph
from toolkit.export.graphs import export_torch_graph
from toolkit.export.input_spec import parse_tensor
from toolkit.export.opsets import check_opset, lowest_ir_version, oldest_onnxruntime, opsets
from toolkit.model.torch_graph import torch_graphs
from toolkit.runtime.onnx_compatibility import RELEASES

OPSETS = opsets()


class Mixed(nn.Module):
    """Layers whose operators changed between opsets: normalisation, padding, reductions."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 6, batch_first=True, bidirectional=True)
        self.norm, self.head = nn.LayerNorm(12), nn.Linear(12, 2)

    def forward(self, x):
        y = self.norm(nn.functional.silu(self.gru(nn.functional.pad(x, (0, 0, 1, 0)))[0]))
        weights = torch.softmax(y.mean(-1, keepdim=True), 1)
        return self.head((weights * y).sum(1)), y.amax(1)


@pytest.fixture(scope="module")
def graphs(forecaster):
    torch.manual_seed(0)
    foreign = foreign_graph(Mixed(), [parse_tensor("x: float32[batch, sequence, 4]")])
    return {**torch_graphs(forecaster()), "foreign": foreign}


@pytest.fixture(scope="module")
def exported(graphs):
    """Exports each graph at each opset once."""
    made = {}

    def export(name, opset):
        if (name, opset) not in made:
            made[name, opset] = export_torch_graph(graphs[name], opset=opset)
        return made[name, opset]

    return export


def answers(proto, graph):
    random = np.random.default_rng(0)
    sizes = {"batch": 2, "sequence": 7}
    feed = {
        tensor.name: random.standard_normal([sizes.get(axis, axis) for axis in tensor.axes]).astype(np.float32)
        for tensor in graph.tensors.inputs
    }
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feed)


# The foreign module has the most kinds of operators; of the others, which are made the same way, the ends will do.
CASES = [*(("foreign", opset) for opset in OPSETS), ("streaming", OPSETS[-1]), ("windowed", OPSETS[-1])]


@pytest.mark.parametrize(("name", "opset"), CASES)
def test_an_opset_that_is_asked_for_is_written_loads_and_answers_the_same(name, opset, graphs, exported):
    proto = exported(name, opset)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", opset)]
    assert proto.ir_version == lowest_ir_version(opset)
    onnx.checker.check_model(proto, full_check=True)
    for got, wanted in zip(answers(proto, graphs[name]), answers(exported(name, OPSETS[0]), graphs[name]), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=2e-6, atol=2e-7)


def test_an_opset_that_torch_does_not_write_for_a_module_is_an_error():
    """torch 2.13 writes 18 for a GELU in 26 or later, and only logs it."""
    graph = foreign_graph(nn.GELU(), [parse_tensor("x: float32[batch, 4]")])
    assert export_torch_graph(graph, opset=25).opset_import[0].version == 25
    try:
        proto = export_torch_graph(graph, opset=28)
    except ModelError as error:
        assert "torch cannot write this module in opset 28; got opset 18; fix: a lower --opset" in str(error)
    else:  # a later torch
        assert proto.opset_import[0].version == 28


def test_the_opsets_begin_with_the_ordinary_one_and_leave_none_out():
    assert OPSETS[0] == OPSET == 18
    assert list(OPSETS) == list(range(18, OPSETS[-1] + 1))
    assert OPSETS[-1] <= onnx.defs.onnx_opset_version()


def test_no_opset_is_offered_that_the_installed_onnxruntime_does_not_read(monkeypatch):
    monkeypatch.setattr("toolkit.export.opsets.installed_onnxruntime", lambda: "1.20.1")
    assert opsets() == (18, 19, 20, 21)
    with pytest.raises(ConfigError, match="--opset; got 22; allowed: 18 to 21"):
        check_opset(22)
    monkeypatch.setattr("toolkit.export.opsets.installed_onnxruntime", lambda: None)
    assert opsets() == ()


@pytest.mark.parametrize("opset", [17, 99, 0, -1])
def test_another_opset_is_refused_before_any_work(opset, graphs):
    with pytest.raises(ConfigError, match=f"--opset; got {opset}; allowed: 18 to ") as caught:
        export_torch_graph(graphs["windowed"], opset=opset)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "release", [release for release in RELEASES if release.opset in OPSETS], ids=lambda r: r.version
)
def test_the_oldest_onnxruntime_is_the_one_that_began_to_read_the_opset(release):
    proto = onnx.ModelProto(ir_version=lowest_ir_version(release.opset))
    proto.opset_import.add(domain="", version=release.opset)
    proto.opset_import.add(domain="com.microsoft", version=1)
    assert oldest_onnxruntime(proto) == release.version


def test_the_lowest_format_is_what_makes_old_runtimes_read_it():
    proto = onnx.ModelProto(ir_version=10)  # what torch writes
    proto.opset_import.add(domain="", version=18)
    assert oldest_onnxruntime(proto) == "1.18"
    proto.ir_version = lowest_ir_version(18)
    assert (proto.ir_version, oldest_onnxruntime(proto)) == (8, "1.14")


def test_an_opset_that_no_release_reads_is_refused():
    proto = onnx.ModelProto(ir_version=8)
    proto.opset_import.add(domain="ai.onnx", version=1000)
    with pytest.raises(ModelError, match="no known onnxruntime reads opset 1000"):
        oldest_onnxruntime(proto)
