"""One verdict on an export, reached as building a bundle reaches it: two exports, the gate, parity on a small grid."""

from dataclasses import dataclass, replace

import onnx

from toolkit.contract.graph_io import TensorSpec
from toolkit.contract.parity_reports import ParityReport
from toolkit.errors import BundleError, GateError, ModelError
from toolkit.export.foreign_graph import foreign_graph
from toolkit.export.graphs import example_sizes, export_torch_graph
from toolkit.export.lint import check_graph, check_same
from toolkit.export.turns import probed
from toolkit.parity import ParityGrid, check_parity

GRID = ParityGrid((1, 2, 4), (1, 2, 11), (5, 0))
"""One sample of one series among others; neither example's batch nor its sequence (3 x 29, 5 x 31)."""

HARD_GRID = replace(GRID, hard=((2, 3), (1, 11)))
"""The same with inputs that no machine gives."""


@dataclass(frozen=True)
class Verdict:
    """What became of an export: which check refused it (`export`, `gate`, `parity`; "" where none did), and why."""

    refused_by: str = ""
    reason: str = ""
    proto: onnx.ModelProto | None = None
    report: ParityReport | None = None

    @property
    def passed(self):
        return not self.refused_by


def tensor(text):
    """`x: batch, sequence, 4`."""
    name, axes = text.split(": ")
    return TensorSpec(name, tuple(int(axis) if axis.isdigit() else axis for axis in axes.split(", ")))


def as_graph(module, inputs, outputs=(), states=None):
    """Anyone's module; inputs as texts."""
    return probed(foreign_graph(module, [tensor(text) for text in inputs], outputs, states))


BOTH = (0, 1)
"""Examples that are exported from: the second graph is there to be the same as the first."""


def verdict(module, inputs, outputs=(), states=None, grid=GRID, examples=BOTH):
    """On anyone's module; inputs as texts."""
    try:
        graph = as_graph(module, inputs, outputs, states)
    except ModelError as error:
        return Verdict("export", str(error))
    return verdict_on(graph, grid, examples=examples)


def verdict_on(graph, grid=GRID, samples=None, examples=BOTH):
    """On one graph of a module."""
    try:
        first, *others = (export_torch_graph(graph, sizes=example_sizes(graph, which)) for which in examples)
    except ModelError as error:
        return Verdict("export", str(error))
    return judged(graph, first, *others or (None,), grid, samples)


def judged(graph, proto, second=None, grid=GRID, samples=None):
    """On a graph that was made already, and on a second one of another example where there is one."""
    try:
        check_graph(proto, graph.tensors, graph.name)
        if second is not None:
            check_same(proto, second, graph.name)
    except GateError as error:
        return Verdict("gate", str(error), proto)
    return compared(graph, proto, grid, samples)


def compared(graph, proto, grid=GRID, samples=None):
    """By parity alone."""
    try:
        report = check_parity({graph.name: graph}, {graph.name: proto.SerializeToString()}, grid, samples)
    except BundleError as error:
        return Verdict("parity", str(error), proto)
    if report.passed:
        return Verdict("", "", proto, report)
    first = next((case for case in report.cases if not case.passed), None)
    if first is None:
        changed = next(check for check in report.weights if not check.passed)
        return Verdict("parity", f"weights: {changed}", proto, report)
    reason = f"batch {first.batch}, sequence {first.sequence}: {first.problem or first.ort_error}"
    return Verdict("parity", f"{reason}; parts at {report.parting}", proto, report)
