"""Three answers to a case: torch in float64 (the truth), torch in float32 with its neighbours, and onnxruntime's."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import TensorSpec
from toolkit.errors import BundleError
from toolkit.model.lstm import Standardised
from toolkit.model.torch_graph import TorchGraph
from toolkit.parity.cases import Case
from toolkit.parity.inputs import InputSource
from toolkit.parity.reference import Outputs, TorchReference, neighbours, references
from toolkit.parity.subject import Subject, raw_key
from toolkit.runtime.session import SessionPolicy
from toolkit.runtime.stream import Arrays, part_of, run_in_pieces

FAR_OFF = float("inf")
PIECES = 1e-9
"""Of the answer's scale: how far a module in float64 may stray when it is fed in pieces."""

NEIGHBOURS_SERIES = 16
UNSCALING_ULPS = 2.0
TINY = 1e-300

DOUBTFUL = 1e-3
"""Of the answer's scale: where torch's float32 is further from its float64, rounding has to explain it."""

EXPLAINED = 1e4
"""Times as far as the truth itself moves when its inputs move in the last bit of float32: a sum of ten thousand such
errors in one direction, or an amplification within the module that its inputs do not show."""


Figures = dict[str, NDArray[np.float64]]
"""By output, one number for each place of its last axis where that has a fixed size, else one in all.

Targets may have units of their own: what is nothing beside 101 325 Pa is everything beside 0.5 mm/s.
"""


@dataclass(frozen=True)
class TorchSide:
    """One graph's torch side: the truth, float32, and float32's neighbours."""

    graph: TorchGraph
    truth: TorchReference
    singles: tuple[TorchReference, ...]

    @property
    def is_own(self) -> bool:
        """Whether the module is the toolkit's own, which repeats its answers and mixes no series."""
        return type(self.graph.judged) is Standardised

    @property
    def answer(self) -> str:
        """The name of the first answer, whose figures a case carries."""
        return self.graph.tensors.answers[0].name

    @property
    def widths(self) -> dict[str, int]:
        """For each output how many figures it has; the units of a state are all of one kind."""
        states = self.graph.tensors.states.values()
        fixed = {
            tensor.name: tensor.axes[-1]
            for tensor in self.graph.tensors.outputs
            if tensor.axes and isinstance(tensor.axes[-1], int) and tensor.name not in states
        }
        return {tensor.name: fixed.get(tensor.name, 1) for tensor in self.graph.tensors.outputs}


def torch_side(source: InputSource, graph: TorchGraph, batch: int, sequence: int) -> TorchSide:
    """Copies of a graph's module in both precisions, tried on one input."""
    truth, single = references(graph, source.feed(graph.name, source.families[0], batch, sequence))
    return TorchSide(graph, truth, (single, *neighbours(graph, source.seed)))


@dataclass(frozen=True)
class Truth:
    """What torch says to a case; errors and scales by output, `[figures]`.

    Attributes:
        exact: float64's answers.
        rounded: float32's.
        error: of float32.
        reach: the largest error of float32 and of its neighbours.
        scale: the largest number of each output.
        problem: why there is no truth, or "".
        silent: torch's own float32 gives no number here, which is no fault of the graph on inputs this hard.
    """

    exact: Outputs = field(default_factory=dict)
    rounded: Outputs = field(default_factory=dict)
    error: Figures = field(default_factory=dict)
    reach: Figures = field(default_factory=dict)
    scale: Figures = field(default_factory=dict)
    problem: str = ""
    silent: bool = False


@dataclass(frozen=True)
class Finding:
    """How far one subject's answer to a case is from the truth, by output; infinite where it gives none."""

    case: Case
    policy: SessionPolicy
    truth: Truth
    error: Figures
    difference: Figures
    excess: Figures
    problem: str = ""


def ask_torch(case: Case, side: TorchSide) -> Truth:
    """The truth of a case, and how far float32 strays from it."""
    few = _few_series(case, side)
    try:
        exact = side.truth.run(case.feed)
        rounded = side.singles[0].run(case.feed)
        others = [single.run(few.of(case.feed, side.graph.tensors.inputs)) for single in side.singles[1:]]
        again = rounded if side.is_own else side.singles[0].run(case.feed)
    except Exception as error:  # whatever somebody else's module raises
        return Truth(problem=f"torch itself fails here: {type(error).__name__}: {' '.join(str(error).split())[:100]}")
    if not all(_finite(answers) for answers in (exact, rounded, *others)):
        return Truth(problem="torch itself gives NaN or infinity here", silent=case.hard)
    if not all(np.array_equal(again[name], rounded[name]) for name in rounded):
        return Truth(
            problem="the module itself answers otherwise when it is asked again: chance, or a state that it keeps"
        )
    truth = _measured(exact, rounded, others, few.of(exact, side.graph.tensors.outputs), side)
    return replace(truth, problem=_pieces_problem(case, truth, side) or _unexplained(case, truth, side))


def _measured(exact: Outputs, rounded: Outputs, others: list[Outputs], few: Outputs, side: TorchSide) -> Truth:
    """Errors of float32 and of its neighbours, which are asked for a `few` series of the exact answers."""
    widths = side.widths
    error = distances(rounded, exact, widths)
    errors = [error, *(distances(other, few, widths) for other in others)]
    # A state of the toolkit's own is made of numbers near one, however closed its gates are.
    states = side.graph.tensors.states.values() if side.is_own else ()
    floors = {name: float(name in states) for name in exact}
    return Truth(
        exact,
        rounded,
        error,
        {name: np.max([each[name] for each in errors], axis=0) for name in exact},
        {name: np.maximum(_largest(values, widths[name]), floors[name]) for name, values in exact.items()},
    )


@dataclass(frozen=True)
class _Few:
    """The first series of a call, or all of them."""

    axis: str | None
    count: int

    def of(self, arrays: Mapping[str, NDArray[Any]], tensors: tuple[TensorSpec, ...]) -> dict[str, NDArray[Any]]:
        if self.axis is None:
            return dict(arrays)
        return {t.name: part_of(arrays[t.name], t, self.axis, 0, self.count) for t in tensors}


def _few_series(case: Case, side: TorchSide) -> _Few:
    """The series that the neighbours are asked for: of the toolkit's own modules, which mix none, a few tell enough.

    Three neighbours of 16 series beside float32's own 64 are 112 draws of its error; all of 64 would take most of an
    export's time.
    """
    axis = side.graph.tensors.batch_axis
    return _Few(axis, NEIGHBOURS_SERIES) if side.is_own and case.batch > NEIGHBOURS_SERIES else _Few(None, 0)


def ask_graph(case: Case, truth: Truth, side: TorchSide, subject: Subject, rtol: float = 0.0) -> Finding:
    """The graph's answer to a case, held against the truth.

    Args:
        case: what is asked.
        truth: torch's answers.
        side: torch's side.
        subject: the graph.
        rtol: each number's error less this part of the number is its excess.
    """
    widths = side.widths
    nothing = {name: np.full(width, FAR_OFF) for name, width in widths.items()}
    if truth.problem:
        return Finding(case, subject.policy, truth, nothing, nothing, nothing, truth.problem)
    try:
        answer = answer_of(case, subject)
    except BundleError as error:
        return Finding(case, subject.policy, truth, nothing, nothing, nothing, str(error))
    return Finding(
        case,
        subject.policy,
        replace(truth, exact={}, rounded={}),  # a grid's numbers are too many to keep
        distances(answer, truth.exact, widths),
        distances(answer, truth.rounded, widths),
        distances(answer, truth.exact, widths, rtol),
        _unscaling_problem(answer, side),
    )


def answer_of(case: Case, subject: Subject) -> Arrays:
    """The graph's outputs, and under their `raw_key` the answers as they are deployed.

    Raises:
        BundleError: onnxruntime cannot run the graph on these inputs.
    """
    if not case.cuts:
        return dict(subject.run(case.feed))
    raw = run_in_pieces(subject.run_raw, subject.tensors, case.feed, case.cuts)
    inner = run_in_pieces(subject.run, subject.tensors, case.feed, case.cuts)
    return {**inner, **{raw_key(tensor.name): raw[tensor.name] for tensor in subject.tensors.answers}}


def distances(first: Arrays | Outputs, second: Outputs, widths: Mapping[str, int], rtol: float = 0.0) -> Figures:
    """The largest differences of each output, less `rtol` of the number itself; infinite where shapes differ."""
    return {name: _distance(first[name], second[name], widths[name], rtol) for name in second}


def _distance(
    first: NDArray[np.floating[Any]], second: NDArray[np.float64], width: int, rtol: float = 0.0
) -> NDArray[np.float64]:
    if first.shape != second.shape:
        return np.full(width, FAR_OFF)
    difference = np.abs(first.astype(np.float64) - second) - rtol * np.abs(second)
    return _largest(np.where(np.isfinite(difference), np.maximum(difference, 0.0), FAR_OFF), width)


def _largest(values: NDArray[np.floating[Any]], width: int) -> NDArray[np.float64]:
    """The largest magnitude at each place of the last axis, or in all."""
    found: NDArray[np.float64] = np.abs(values.reshape(-1, width)).max(axis=0, initial=0.0)
    return found


def _finite(answers: Outputs) -> bool:
    return all(bool(np.isfinite(values).all()) for values in answers.values())


def _pieces_problem(case: Case, truth: Truth, side: TorchSide) -> str:
    """Whether the module itself may be fed in pieces at all: its states must carry everything."""
    if not case.cuts or side.truth is side.singles[0]:
        return ""
    pieces = run_in_pieces(side.truth.run, side.graph.tensors, case.feed, case.cuts)[side.answer]
    exact = truth.exact[side.answer]
    if pieces.shape != exact.shape:
        return "torch itself answers in another shape in pieces"
    error = float(np.abs(pieces - exact).max(initial=0.0))
    if not error <= PIECES * max(float(truth.scale[side.answer].max()), 1.0):
        why = "its states do not carry everything, or a --state is missing or crossed"
        return f"torch itself answers otherwise in pieces, by {error:.2g}: {why}"
    return ""


def _unexplained(case: Case, truth: Truth, side: TorchSide) -> str:
    """Whether float32 and float64 go further apart than rounding can lead: a truth of something else is none.

    Such a module looks at the type of its numbers, or loses its digits in a difference of large ones. Its own error
    would widen the tolerance until every graph passes. On hard inputs a step of the module may lie where they are.
    """
    doubtful = {name for name, error in truth.error.items() if (error > DOUBTFUL * truth.scale[name]).any()}
    if not doubtful or case.hard or case.cuts:
        return ""
    moved = distances(side.truth.run(_nudged(case)), truth.exact, side.widths)
    for name in sorted(doubtful):
        worst = int(np.argmax(truth.error[name] / np.maximum(truth.scale[name], TINY)))
        if truth.error[name][worst] > EXPLAINED * moved[name][worst]:
            off = truth.error[name][worst]
            return (
                f"the module itself gives another {name} in float32 than in float64, by {off:.2g}, which "
                "rounding does not explain: it looks at the type of its numbers, or takes a small difference of large "
                "ones"
            )
    return ""


def _nudged(case: Case) -> dict[str, Any]:
    """The inputs moved to a neighbouring float32, up or down at random."""
    random = np.random.default_rng(case.batch + case.sequence)
    return {
        name: np.nextafter(array, np.where(random.random(array.shape) < 0.5, np.inf, -np.inf).astype(np.float32))
        for name, array in case.feed.items()
    }


def _unscaling_problem(answer: Arrays, side: TorchSide) -> str:
    """Whether every raw answer is the standardised one times the scale plus the offset, within 2 ulp."""
    problems = (_unscaled_wrongly(name, answer, side) for name in side.graph.unscaling)
    return next((problem for problem in problems if problem), "")


def _unscaled_wrongly(name: str, answer: Arrays, side: TorchSide) -> str:
    standardised, raw = answer[name].astype(np.float64), answer[raw_key(name)]
    wanted = side.truth.unscale(name, standardised)
    # A sum is rounded to the grid of its largest part, which may be finer for the sum itself.
    offset = side.truth.unscale(name, np.zeros_like(standardised))
    size = np.maximum(np.abs(wanted), np.maximum(np.abs(wanted - offset), np.abs(offset)))
    allowed = UNSCALING_ULPS * np.spacing(size.astype(np.float32)).astype(np.float64)
    if raw.shape != wanted.shape:
        return f"the raw {name} has the shape {list(raw.shape)} instead of {list(wanted.shape)}"
    excess = np.abs(raw.astype(np.float64) - wanted) / allowed
    worst = float(excess.max(initial=0.0)) if np.isfinite(excess).all() else FAR_OFF
    off = f"un-scaling is off by {worst * UNSCALING_ULPS:.3g} units in the last place of {name}"
    return off if worst > 1.0 else ""


def without_truth(sides: Iterable[TorchSide]) -> tuple[str, ...]:
    """Notes on modules that do not run in float64."""
    return tuple(
        f"the module of the {side.graph.name} graph does not run in float64: torch float32 stands for the truth"
        for side in sides
        if side.truth is side.singles[0]
    )
