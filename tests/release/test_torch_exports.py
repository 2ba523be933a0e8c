"""What torch's own exporters get wrong is flagged, and the toolkit's export of the same modules is right or refused."""

import pytest
import torch
import torch_exports
import verdicts
from torch import nn
from torch_exports import CHANNELS, HIDDEN, CellLoop, LastStep, by_dynamo, by_tracing, forged

from toolkit.errors import ModelError
from toolkit.export.graphs import export_torch_graph
from toolkit.export.lint import axes_of
from toolkit.model import MultivariateLSTM
from toolkit.parity import ParityGrid

GRID = ParityGrid((1, 2, 3), (1, 2, 7, 8))
"""Holds the example's shape among others: a baked graph is right there, and only there."""

KINDS = {
    "own": lambda: MultivariateLSTM(CHANNELS, HIDDEN, 2, classes=2, dropout=0.5, batch_first=True),
    "foreign": lambda: LastStep(nn.LSTM(CHANNELS, HIDDEN, batch_first=True)),
}


def made(kind):
    torch.manual_seed(4)
    return KINDS[kind]().eval()


@pytest.fixture(params=KINDS)
def module(request):
    return made(request.param)


def projected():
    return LastStep(nn.LSTM(CHANNELS, HIDDEN, proj_size=4, batch_first=True))


def right_shapes(result):
    return {(case.batch, case.sequence) for case in result.report.cases if case.passed}


def test_the_toolkit_exports_them(module):
    assert verdicts.verdict_on(torch_exports.as_graph(module), GRID).passed


@pytest.fixture(scope="module")
def second_exports():
    """What a process exports after the first `nn.LSTM`; of the toolkit's own another one from a larger example."""
    by_dynamo(made("foreign"))
    exports = {kind: by_dynamo(made(kind)) for kind in KINDS} | {"own, larger": by_dynamo(made("own"), 5, 9)}
    if axes_of(exports["own"].graph.input[0])[1] != 7:
        pytest.skip("this torch bakes no sequence length any more")
    return exports


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_dynamo_export_is_flagged(kind, second_exports):
    result = verdicts.judged(torch_exports.as_graph(made(kind)), second_exports[kind])
    assert result.refused_by == "gate"
    assert "input x has the axes [batch, 7, 3] instead of [batch, sequence, 3] (baked: sequence)" in result.reason


def test_a_second_dynamo_export_under_forged_axes_is_flagged(second_exports):
    # torch bakes the sizes of some modules into the declared axes alone: the foreign one is right once they are forged.
    graph = torch_exports.as_graph(made("own"))
    proto, other = forged(second_exports["own"]), forged(second_exports["own, larger"])
    result = verdicts.compared(graph, proto, GRID)
    assert result.refused_by == "parity"
    assert {sequence for _, sequence in right_shapes(result)} == {7}
    twice = verdicts.judged(graph, proto, other, GRID)
    assert twice.refused_by == "gate"
    assert "depends on the sizes of the example" in twice.reason


def test_a_dynamo_export_from_a_batch_of_1_is_flagged(module):
    graph, proto = torch_exports.as_graph(module), by_dynamo(module, batch=1)
    if axes_of(proto.graph.input[0])[0] != 1:
        pytest.skip("this torch bakes no batch of 1 any more")
    result = verdicts.judged(graph, proto)
    assert result.refused_by == "gate"
    assert "(baked: batch" in result.reason
    forgery = verdicts.compared(graph, forged(proto), GRID)
    assert forgery.refused_by == "parity"
    assert {batch for batch, _ in right_shapes(forgery)} <= {1}


def test_a_traced_export_without_declared_axes_is_flagged(module):
    graph, proto = torch_exports.as_graph(module), by_tracing(module, dynamic=False)
    result = verdicts.judged(graph, proto)
    assert result.refused_by == "gate"
    assert "(baked: batch, sequence)" in result.reason
    forgery = verdicts.compared(graph, forged(proto), GRID)
    assert forgery.refused_by == "parity"
    assert (1, 1) not in right_shapes(forgery)


@pytest.mark.parametrize(("exporter", "kind"), [(by_dynamo, "own"), (by_dynamo, "foreign"), (by_tracing, "foreign")])
def test_an_export_in_training_mode_is_flagged(exporter, kind):
    module = made(kind)
    graph = torch_exports.as_graph(module)
    options = {"training": torch.onnx.TrainingMode.TRAINING} if exporter is by_tracing else {}
    result = verdicts.judged(graph, forged(exporter(module.train(), **options)))
    assert result.refused_by == "gate"
    assert "the operator Dropout is not on the allow-list" in result.reason


def test_a_loop_over_cells_is_flagged_where_torch_unrolls_it():
    torch.manual_seed(5)
    module = CellLoop()
    graph = torch_exports.as_graph(module)
    unrolled = by_dynamo(module)
    result = verdicts.judged(graph, unrolled)
    assert result.refused_by == "gate"
    assert "(baked: sequence)" in result.reason
    for proto in (forged(unrolled), by_tracing(module)):
        result = verdicts.judged(graph, proto, grid=GRID)
        assert result.refused_by == "parity", "the axes are as they should be"
        assert {sequence for _, sequence in right_shapes(result)} == {7}


def test_a_loop_over_cells_is_told_as_unrolled_where_the_graph_runs_to_its_end():
    module = CellLoop()
    result = verdicts.judged(
        torch_exports.as_graph(module), by_tracing(module, sequence=4), grid=ParityGrid((2,), (9,))
    )
    assert result.refused_by == "parity"
    assert "the graph stops after 4 samples: its loop is unrolled" in result.reason


def test_a_loop_over_cells_is_refused_by_the_export():
    with pytest.raises(ModelError) as refused:
        export_torch_graph(torch_exports.as_graph(CellLoop()), sizes={"batch": 3, "sequence": 4})
    assert "a Python loop over LSTMCell" in str(refused.value)
    assert "fix: use nn.LSTM" in str(refused.value)


def test_a_projection_is_flagged_where_torch_cuts_its_weights():
    torch.manual_seed(6)
    module = projected()
    graph, proto = torch_exports.as_graph(module), by_dynamo(module)
    assert not verdicts.judged(graph, proto).passed
    result = verdicts.compared(graph, forged(proto), GRID)
    assert result.refused_by == "parity"
    assert not (result.report and right_shapes(result))
    assert "cannot run the graph" in result.reason


def test_a_projection_is_refused_by_the_export():
    result = verdicts.verdict(projected(), [f"x: batch, sequence, {CHANNELS}"])
    assert result.refused_by == "export"
    assert "proj_size=4" in result.reason
    assert "fix: put an nn.Linear behind the LSTM" in result.reason
