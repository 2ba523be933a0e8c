"""The verdict: is onnxruntime as near to the truth as torch itself is? See `verdict` for the rule."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from toolkit.contract.graph_io import GraphName
from toolkit.contract.parity_reports import Divergence, ParityReport, ParitySummary, Parting, WeightCheck
from toolkit.export.turns import near_numbers
from toolkit.model.lstm import MultivariateLSTM
from toolkit.model.torch_graph import TorchGraphs, torch_graphs
from toolkit.parity.cases import cases_of
from toolkit.parity.divergence import locate
from toolkit.parity.grid import ParityGrid
from toolkit.parity.inputs import InputSource
from toolkit.parity.measure import (
    Finding,
    TorchSide,
    answer_of,
    ask_graph,
    ask_torch,
    torch_side,
    without_truth,
)
from toolkit.parity.parting import first_parting
from toolkit.parity.profile import drifts, error_profile
from toolkit.parity.reference import one_torch_thread
from toolkit.parity.size_hints import size_hints
from toolkit.parity.subject import open_subject
from toolkit.parity.verdict import Allowed, Tolerances, judged, tolerances_of
from toolkit.parity.weights import check_weights
from toolkit.runtime.environment import environment
from toolkit.runtime.session import SessionPolicy
from toolkit.runtime.stream import part_of

FINER = (1.0, 4.0, 16.0)
TRIED = 3
OnCase = Callable[[int], None]
"""Called after each case with how many are done."""


def check_parity(
    model: MultivariateLSTM | TorchGraphs,
    graphs: Mapping[GraphName, bytes],
    grid: ParityGrid,
    samples: NDArray[np.float32] | None = None,
    *,
    policies: Iterable[SessionPolicy] = (SessionPolicy(),),
    allowed: Allowed | None = None,
    profiled: bool = False,
    targets: Sequence[str] = (),
    on_case: OnCase = lambda done: None,
) -> ParityReport:
    """Compares fp32 graphs with the module that they were made from.

    Args:
        model: the torch module, or any module's graphs; it is copied, not changed.
        graphs: contents of `.onnx` files by graph.
        grid: shapes and families of inputs.
        samples: stretches of raw readings for the families `data` and `noisy`, float32 `[stretches, samples,
            channels]`; None means made-up inputs.
        policies: sessions to run the graphs in; torch is asked once for all of them.
        allowed: a tolerance in the answers' own unit instead of the one that follows from torch's error.
        profiled: whether to look where the error lies as well, which takes seconds.
        targets: names of the answer's targets, for the profile.
        on_case: told how many cases are done.

    Raises:
        BundleError: a graph that onnxruntime does not load at all. One that loads and then fails on a shape is a
            failed case instead.
    """
    own = torch_graphs(model) if isinstance(model, MultivariateLSTM) else model
    asked = own
    if allowed is not None:
        asked = {name: dataclasses.replace(graph, judged=None, unscaling={}) for name, graph in own.items()}
    source = InputSource(asked, samples, grid.seed)
    opened = allowed is None
    with one_torch_thread():
        checks = [_GraphCheck(source, grid, name, graphs[name], tuple(policies), opened=opened) for name in graphs]
        weights = tuple(check_weights(own[name], content) for name, content in graphs.items())
        done = 0
        for check in checks:
            for number in check.run(allowed.rtol if allowed else 0.0):
                done += number
                on_case(done)
        report = _report(checks, allowed, weights)
        if not profiled or not report.passed:
            return report
        profiles = tuple(error_profile(source, check.side, check.subjects[0], targets) for check in checks)
        return dataclasses.replace(report, profiles=profiles, passed=not any(map(drifts, profiles)))


class _GraphCheck:
    """One graph's torch side, its sessions, and what was found."""

    def __init__(
        self,
        source: InputSource,
        grid: ParityGrid,
        name: GraphName,
        content: bytes,
        policies: tuple[SessionPolicy, ...],
        *,
        opened: bool,
    ) -> None:
        graph = source.graphs[name]
        batch, sequence = grid.shapes_of(graph.tensors, graph.limits)[0]
        self.source, self.grid, self.name, self.content = source, grid, name, content
        self.side = torch_side(source, graph, batch, sequence)
        self.subjects = [open_subject(name, content, graph.tensors, policy, opened=opened) for policy in policies]
        self.findings: list[Finding] = []
        self.silent: dict[str, int] = {}

    def run(self, rtol: float) -> Iterable[int]:
        """Asks every case; gives how many comparisons each was."""
        numbers = size_hints(onnx.load_model_from_string(self.content))
        further = near_numbers(self.source.graphs[self.name], numbers) if self.grid.hard else ()
        for case in cases_of(self.source, self.grid, self.name, further):
            truth = ask_torch(case, self.side)
            if truth.silent:
                self.silent[case.family] = self.silent.get(case.family, 0) + 1
                continue
            self.findings += [ask_graph(case, truth, self.side, subject, rtol) for subject in self.subjects]
            yield len(self.subjects)

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be compared."""
        silent = tuple(
            f"{self.name} graph, input {family}: torch itself gives NaN or infinity in {count} cases, not compared"
            for family, count in self.silent.items()
        )
        blind = self.side.graph.blind
        return (*silent, f"{self.name} graph: {blind}") if blind else silent


def _report(checks: list[_GraphCheck], allowed: Allowed | None, weights: tuple[WeightCheck, ...]) -> ParityReport:
    tolerances = tolerances_of((finding for check in checks for finding in check.findings), allowed)
    verdicts = [
        (check, finding, judged(finding, tolerances, check.side, "fp32", allowed))
        for check in checks
        for finding in check.findings
    ]
    cases = tuple(case for _, _, case in verdicts)
    failed = [(check, finding) for check, finding, case in verdicts if not case.passed]
    divergence, parting = _where(failed, tolerances) if failed else (None, None)
    worst = max((case.max_abs_diff for case in cases), default=0.0)
    graphs = [check.side.graph for check in checks]
    return ParityReport(
        not failed and all(check.passed for check in weights),
        cases,
        divergence,
        ParitySummary(len(cases), len(failed), worst, max((case.used for case in cases), default=0.0)),
        environment(),
        (*without_truth(check.side for check in checks), *_mixing(checks), *(n for c in checks for n in c.notes)),
        parting,
        "standard deviations" if all(graph.judged is not None for graph in graphs) else "",
        weights,
    )


def _mixing(checks: list[_GraphCheck]) -> tuple[str, ...]:
    return tuple(
        f"{check.name} graph: the answer for one series depends on the others in its call, as in the module"
        for check in checks
        if check.side.graph.mixes_series
    )


def _where(
    failed: list[tuple[_GraphCheck, Finding]], tolerances: Tolerances
) -> tuple[Divergence | None, Parting | None]:
    """Where the first failing case parts: in the outputs, and at which node of the graph."""
    check, first = failed[0]
    divergence = _divergence(first, check, tolerances)
    own = [finding for other, finding in failed if other is check]
    same = [finding for finding in own if finding.case.turn is None or not finding.case.turn.condition]
    tried = (_parting(finding, check, tolerances) for finding in _clearest(same, check.side)[:TRIED])
    return divergence, next((parting for parting in tried if parting is not None), None)


def _divergence(finding: Finding, check: _GraphCheck, tolerances: Tolerances) -> Divergence:
    """Re-runs a failing case and finds the first place at which it parts."""
    case, side = finding.case, check.side
    subject = next(subject for subject in check.subjects if subject.policy == finding.policy)
    try:
        exact = side.truth.run(case.feed)
        answer = answer_of(case, subject)
    except Exception:  # onnxruntime's refusal, or whatever somebody else's module raises
        return Divergence(side.answer, None, None, None)
    tensors = side.graph.tensors
    for tensor in (*tensors.answers, *(t for t in tensors.outputs if t not in tensors.answers)):
        tolerance = tolerances[case.graph, case.pool, tensor.name]  # [figures], broadcast along the last axis
        found = locate(tensor, answer[tensor.name].astype(np.float64), exact[tensor.name], tolerance, tensors)
        if found is not None:
            return found
    return Divergence("un-scaling" if side.graph.unscaling else side.answer, None, None, None)


def _clearest(findings: list[Finding], side: TorchSide) -> list[Finding]:
    """The failing cases in the order in which a node is easy to find in them: an axis is known by its size.

    Sizes should differ from each other and from the fixed ones, and the fault should be plain.
    """
    fixed = {axis for tensor in side.graph.tensors.inputs for axis in tensor.axes if isinstance(axis, int)}

    def unclear(finding: Finding) -> tuple[bool, bool, bool, float]:
        case = finding.case
        sizes = {case.batch, case.sequence}
        ambiguous = 1 in sizes or len(sizes) == 1 or bool(sizes & fixed)
        error = float(finding.excess[side.answer].max())
        return bool(case.cuts), case.hard or case.turn is not None, ambiguous, -error

    return sorted(findings, key=unclear)


def _parting(finding: Finding, check: _GraphCheck, tolerances: Tolerances) -> Parting | None:
    """The node at which a failing case parts; of a stream in pieces the first piece is looked at."""
    case, side = finding.case, check.side
    # Within the graph numbers are of the size of one, whatever the answer's own unit is.
    scale = np.maximum(finding.truth.scale.get(side.answer, np.ones(1)), 1.0)
    tolerance = float((tolerances[case.graph, case.pool, side.answer] / scale).min())
    feed = case.feed
    if case.cuts:
        axis, first = side.graph.tensors.sequence_axis, case.cuts[0]
        feed = {t.name: part_of(feed[t.name], t, axis, 0, first) for t in side.graph.tensors.inputs}
    # A fault that is just beyond the answer's tolerance may be within it at each node on the way.
    finer = (tolerance / part for part in FINER)
    found = (first_parting(side.graph.module, side.graph.tensors, check.content, feed, each) for each in finer)
    return next((parting for parting in found if parting is not None), None)
