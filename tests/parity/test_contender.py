import numpy as np
import pytest
import tiny_bundles
import torch

from toolkit.benchmark.bundle import BenchmarkPlan, bundle_feed
from toolkit.parity.bundle import graphs_of_bundle
from toolkit.parity.contender import benchmark_beside_torch, torch_contender
from toolkit.runtime.bundle import load_bundle

QUICK = BenchmarkPlan(batches=(1, 2), seconds=0.01)


@pytest.fixture(scope="module")
def bundle(whole):
    return load_bundle(whole)


@pytest.mark.parametrize("graph", ["windowed", "streaming"])
def test_torch_does_the_work_that_the_graph_does(bundle, graph):
    feed = bundle_feed(bundle, graph, 3, 9)
    contender = torch_contender(graphs_of_bundle(bundle)[graph], feed, threads=1)
    assert (contender.name, contender.graph, contender.provider, contender.precision) == ("torch", graph, "cpu", "fp32")
    assert torch.get_num_threads() == contender.threads == 1
    answers = contender.call()
    answers = answers if isinstance(answers, tuple) else (answers,)
    wanted = bundle.session(graph).run(None, feed)
    for mine, other in zip(answers, wanted, strict=True):
        np.testing.assert_allclose(mine.numpy(), other, rtol=1e-5, atol=1e-6)
        assert not mine.requires_grad


def test_torch_and_onnxruntime_stand_side_by_side(bundle):
    report = benchmark_beside_torch(bundle, QUICK, ["CUDA not measured: no GPU"])
    found = [(row.graph, row.batch, row.contender) for row in report.rows]
    assert list(dict.fromkeys(found)) == [
        (graph, batch, contender)
        for graph in ("windowed", "streaming")
        for batch in (1, 2)
        for contender in ("torch", "onnxruntime")
    ]
    for row in report.rows:
        assert row.ratio_to_torch == 1.0 if row.contender == "torch" else row.ratio_to_torch > 0
    assert report.notes[0] == "CUDA not measured: no GPU"


def test_without_weights_there_is_no_torch_and_a_note_says_so(folder):
    tiny_bundles.leave_out(folder, "weights.safetensors")
    report = benchmark_beside_torch(load_bundle(folder), QUICK)
    assert {row.contender for row in report.rows} == {"onnxruntime"}
    assert {row.ratio_to_torch for row in report.rows} == {None}
    assert report.notes[0] == "torch not measured: the bundle holds no weights.safetensors"
