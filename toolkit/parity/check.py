"""The verdict: is onnxruntime as near to the truth as torch itself is?

Each case has three answers: torch in float64 (truth), torch in float32 and onnxruntime. The tolerance follows from the
model and the inputs instead of being guessed: for each graph, output and family of inputs it is 4 times the larger of
torch float32's worst error over the family's whole grid and 4 units in the last place of the output's scale. torch's
error is that of the module and of five neighbours whose weights differ in the last bit: where a model amplifies
rounding, a single answer may be right by chance. All of that is judged before un-scaling, in standard deviations;
un-scaling itself is judged within 2 units in the last place.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import GraphName, GraphSignature
from toolkit.contract.reports import Divergence, ParityCase, ParityReport, ParitySummary, Parting
from toolkit.errors import BundleError
from toolkit.model.lstm import MultivariateLSTM
from toolkit.model.torch_graph import TorchGraph, TorchGraphs, torch_graphs
from toolkit.parity.divergence import locate
from toolkit.parity.grid import STREAM_BATCH, ParityGrid
from toolkit.parity.inputs import Feed, InputSource
from toolkit.parity.parting import first_parting
from toolkit.parity.reference import Outputs, TorchReference, neighbours, one_torch_thread, references
from toolkit.parity.stream import Arrays, run_in_pieces
from toolkit.parity.subject import RAW, Subject, open_subject
from toolkit.runtime.environment import environment
from toolkit.runtime.session import CPU, SessionPolicy

TIMES_TORCH = 4.0
ULPS_OF_SCALE = 4.0
UNSCALING_ULPS = 2.0
FAR_OFF = float("inf")
PIECES = 1e-9
"""Of the answer's scale: how far a module in float64 may stray when it is fed in pieces."""

OnCase = Callable[[int], None]
"""Called after each case with how many are done."""


@dataclass
class Measured:
    """One case before its verdict; errors by output, in standard deviations.

    `reach` is the largest error of torch float32 and of its neighbours.
    """

    graph: GraphName
    provider: str
    batch: int
    sequence: int
    family: str
    feed: Feed
    cuts: tuple[int, ...] = ()
    torch_error: dict[str, float] = field(default_factory=dict)
    reach: dict[str, float] = field(default_factory=dict)
    ort_error: dict[str, float] = field(default_factory=dict)
    difference: dict[str, float] = field(default_factory=dict)
    scale: dict[str, float] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class Torch:
    """One graph's torch side: the truth, float32, and float32's neighbours."""

    graph: TorchGraph
    truth: TorchReference
    singles: tuple[TorchReference, ...]

    @property
    def answer(self) -> str:
        """The name of the first answer, whose figures a case carries."""
        return self.graph.tensors.answers[0].name


def check_parity(
    model: MultivariateLSTM | TorchGraphs,
    graphs: Mapping[GraphName, bytes],
    grid: ParityGrid,
    samples: NDArray[np.float32] | None = None,
    *,
    providers: Iterable[str] = (CPU,),
    precision: str = "fp32",
    on_case: OnCase = lambda done: None,
) -> ParityReport:
    """Compares graphs with the module that they were made from.

    Args:
        model: the torch module, or any module's graphs; it is copied, not changed.
        graphs: contents of `.onnx` files by graph.
        grid: shapes and families of inputs.
        samples: stretches of raw readings for the families `data` and `noisy`, float32 `[stretches, samples,
            channels]`; None means made-up inputs.
        providers: execution providers to run the graphs on.
        precision: of the graphs' weights, for the report.
        on_case: told how many cases are done.

    Raises:
        BundleError: a graph that onnxruntime does not load at all. One that loads and then fails on a shape is a
            failed case instead.
    """
    own = torch_graphs(model) if isinstance(model, MultivariateLSTM) else model
    source = InputSource(own, samples, grid.seed)
    measured: list[Measured] = []
    subjects: dict[tuple[str, str], Subject] = {}
    with one_torch_thread():
        sides = {graph: _torch_side(own[graph], source, grid) for graph in graphs}
        for provider in providers:
            for graph, content in graphs.items():
                policy = SessionPolicy(provider=provider)
                subject = subjects[graph, provider] = open_subject(graph, content, own[graph].tensors, policy)
                for case in _cases(source, grid, graph, provider):
                    _measure(case, subject, sides[graph])
                    measured.append(case)
                    on_case(len(measured))
        tolerances = _tolerances(measured)
        cases = tuple(_judged(case, tolerances, precision, sides[case.graph].answer) for case in measured)
        failed = [place for place, case in enumerate(cases) if not case.passed]
        divergence = parting = None
        if failed:
            first = measured[failed[0]]
            divergence = _divergence(first, subjects[first.graph, first.provider], sides[first.graph], tolerances)
            same = [measured[place] for place in failed if measured[place].graph == first.graph]
            clearest = _clearest(same, own[first.graph].tensors)
            parting = _parting(clearest, graphs[first.graph], sides[first.graph], tolerances)
    summary = ParitySummary(len(cases), len(failed), max(case.max_abs_diff for case in cases))
    unit = "standard deviations" if all(graph.judged is not None for graph in own.values()) else ""
    return ParityReport(not failed, cases, divergence, summary, environment(), _notes(sides.values()), parting, unit)


def _torch_side(graph: TorchGraph, source: InputSource, grid: ParityGrid) -> Torch:
    batch, sequence = next(iter(grid.shapes_of(graph.tensors, graph.min_sizes)))
    truth, single = references(graph, source.feed(graph.name, source.families[0], batch, sequence))
    return Torch(graph, truth, (single, *neighbours(graph, source.seed)))


def _notes(sides: Iterable[Torch]) -> tuple[str, ...]:
    return tuple(
        f"the module of the {side.graph.name} graph does not run in float64: torch float32 stands for the truth"
        for side in sides
        if side.truth is side.singles[0]
    )


def _cases(source: InputSource, grid: ParityGrid, graph: GraphName, provider: str) -> Iterable[Measured]:
    own = source.graphs[graph]
    families = grid.families or source.families
    for family in families:
        for batch, sequence in grid.shapes_of(own.tensors, own.min_sizes):
            yield Measured(graph, provider, batch, sequence, family, source.feed(graph, family, batch, sequence))
    if own.tensors.states and own.tensors.sequence_axis is not None:
        sequence = max(grid.sequences)
        feed = source.feed(graph, families[0], STREAM_BATCH, sequence)
        least = own.min_sizes.get(own.tensors.sequence_axis, 1)
        for chunk in grid.chunks:
            cuts = tuple(grid.cuts(chunk))
            if min(cuts) >= least:
                name = f"{families[0]}, in chunks of {chunk or 'random size'}"
                yield Measured(graph, provider, STREAM_BATCH, sequence, name, feed, cuts)


def _measure(case: Measured, subject: Subject, torch: Torch) -> None:
    try:
        exact = torch.truth.run(case.feed)
        rounded, *others = (single.run(case.feed) for single in torch.singles)
    except Exception as error:  # whatever somebody else's module raises
        _fail(case, torch, f"torch itself fails here: {type(error).__name__}: {' '.join(str(error).split())[:100]}")
        return
    if not all(np.isfinite(values).all() for answers in (exact, rounded, *others) for values in answers.values()):
        _fail(case, torch, "torch itself gives NaN or infinity here")
        return
    again = torch.singles[0].run(case.feed)
    if not all(np.array_equal(again[name], rounded[name], equal_nan=True) for name in rounded):
        _fail(
            case, torch, "the module itself answers otherwise when it is asked again: chance, or a state that it keeps"
        )
        return
    case.torch_error = _distance(rounded, exact)
    errors = [case.torch_error, *(_distance(other, exact) for other in others)]
    case.reach = {name: max(error[name] for error in errors) for name in exact}
    case.scale = {name: float(np.abs(values).max(initial=0.0)) for name, values in exact.items()}
    try:
        answer = _answer(case, subject)
        case.ort_error = _distance(answer, exact)
        case.difference = _distance(answer, rounded)
        case.problem = _pieces_problem(case, exact, torch) or _unscaling_problem(answer, torch)
    except BundleError as error:
        case.problem = str(error)
        case.ort_error = case.difference = dict.fromkeys(exact, FAR_OFF)


def _fail(case: Measured, torch: Torch, problem: str) -> None:
    """A case without a truth to compare with; it must not widen what other cases are allowed."""
    case.problem = problem
    names = [tensor.name for tensor in torch.graph.tensors.outputs]
    case.torch_error, case.reach, case.scale = (dict.fromkeys(names, 0.0) for _ in range(3))
    case.ort_error = case.difference = dict.fromkeys(names, FAR_OFF)


def _answer(case: Measured, subject: Subject) -> Arrays:
    """The graph's outputs, and under `RAW` the first answer as it is deployed."""
    if not case.cuts:
        return dict(subject.run(case.feed))
    raw = run_in_pieces(subject.run_raw, subject.tensors, case.feed, case.cuts)
    inner = run_in_pieces(subject.run, subject.tensors, case.feed, case.cuts)
    return {**inner, RAW: raw[subject.tensors.answers[0].name]}


def _pieces_problem(case: Measured, exact: Outputs, torch: Torch) -> str:
    """Whether the module itself may be fed in pieces at all: its states must carry everything."""
    if not case.cuts or torch.truth is torch.singles[0]:
        return ""
    pieces = run_in_pieces(torch.truth.run, torch.graph.tensors, case.feed, case.cuts)
    answer = torch.answer
    if pieces[answer].shape != exact[answer].shape:
        return "torch itself answers in another shape in pieces"
    error = _largest(pieces[answer], exact[answer])
    if error > PIECES * max(case.scale[answer], 1.0):
        return f"torch itself answers otherwise in pieces, by {error:.2g}: its states do not carry everything"
    return ""


def _distance(first: Arrays | Outputs, second: Outputs) -> dict[str, float]:
    """The largest difference of each output; infinity where shapes differ or a value is not finite."""
    return {name: _largest(first[name], second[name]) for name in second}


def _largest(first: NDArray[np.floating[Any]], second: NDArray[np.float64]) -> float:
    if first.shape != second.shape:
        return FAR_OFF
    difference = np.abs(first.astype(np.float64) - second)
    return float(difference.max(initial=0.0)) if np.isfinite(difference).all() else FAR_OFF


def _unscaling_problem(answer: Arrays, torch: Torch) -> str:
    """Whether the raw forecast is the standardised one times the scale plus the offset, within 2 ulp."""
    if torch.graph.unscaling is None:
        return ""
    standardised, raw = answer[torch.answer].astype(np.float64), answer[RAW]
    wanted = torch.truth.unscale(standardised)
    # A sum is rounded to the grid of its largest part, which may be finer for the sum itself.
    offset = torch.truth.unscale(np.zeros_like(standardised))
    size = np.maximum(np.abs(wanted), np.maximum(np.abs(wanted - offset), np.abs(offset)))
    allowed = UNSCALING_ULPS * np.spacing(size.astype(np.float32)).astype(np.float64)
    if raw.shape != wanted.shape:
        return f"the raw forecast has the shape {list(raw.shape)} instead of {list(wanted.shape)}"
    excess = np.abs(raw.astype(np.float64) - wanted) / allowed
    worst = float(excess.max(initial=0.0)) if np.isfinite(excess).all() else FAR_OFF
    return f"un-scaling is off by {worst * UNSCALING_ULPS:.3g} units in the last place" if worst > 1.0 else ""


Key = tuple[str, str, str]


def _tolerances(measured: list[Measured]) -> dict[Key, float]:
    """By graph, family and output, in standard deviations."""
    worst: dict[Key, float] = {}
    scale: dict[Key, float] = {}
    for case in measured:
        for name, error in case.reach.items():
            key = (case.graph, _family(case), name)
            worst[key] = max(worst.get(key, 0.0), error)
            scale[key] = max(scale.get(key, 0.0), case.scale[name])
    return {
        key: TIMES_TORCH * max(error, ULPS_OF_SCALE * float(np.spacing(np.float32(scale[key]))))
        for key, error in worst.items()
    }


def _family(case: Measured) -> str:
    return "chunks" if case.cuts else case.family


def _judged(case: Measured, tolerances: Mapping[Key, float], precision: str, answer: str) -> ParityCase:
    """The verdict on a case: its figures are the first answer's; another output that strays is told as its problem."""
    allowed = {name: tolerances[case.graph, _family(case), name] for name in case.ort_error}
    problem = case.problem or next(
        (
            f"{name} is {error:.3g} from the truth where {allowed[name]:.3g} are allowed"
            for name, error in case.ort_error.items()
            if name != answer and not error <= allowed[name]
        ),
        "",
    )
    return ParityCase(
        graph=case.graph,
        provider=case.provider,
        precision=precision,
        batch=case.batch,
        sequence=case.sequence,
        input=case.family,
        max_abs_diff=case.difference[answer],
        torch_error=case.torch_error[answer],
        ort_error=case.ort_error[answer],
        tolerance=allowed[answer],
        passed=case.ort_error[answer] <= allowed[answer] and not problem,
        problem=problem,
    )


def _divergence(case: Measured, subject: Subject, torch: Torch, tolerances: Mapping[Key, float]) -> Divergence:
    """Re-runs a failing case and finds the first place at which it parts."""
    try:
        exact = torch.truth.run(case.feed)
        answer = _answer(case, subject)
    except Exception:  # onnxruntime's refusal, or whatever somebody else's module raises
        return Divergence(torch.answer, None, None, None)
    tensors = torch.graph.tensors
    for tensor in (*tensors.answers, *(t for t in tensors.outputs if t not in tensors.answers)):
        tolerance = tolerances[case.graph, _family(case), tensor.name]
        found = locate(tensor, answer[tensor.name].astype(np.float64), exact[tensor.name], tolerance, tensors)
        if found is not None:
            return found
    return Divergence("un-scaling", None, None, None)


def _clearest(cases: list[Measured], tensors: GraphSignature) -> Measured:
    """The failing case in which a node is easiest to find: an axis is known by its size, so sizes should differ."""
    fixed = {axis for tensor in tensors.inputs for axis in tensor.axes if isinstance(axis, int)}

    def unclear(case: Measured) -> tuple[bool, bool]:
        sizes = {case.batch, case.sequence}
        return bool(case.cuts), 1 in sizes or len(sizes) == 1 or bool(sizes & fixed)

    return min(cases, key=unclear)


def _parting(case: Measured, content: bytes, torch: Torch, tolerances: Mapping[Key, float]) -> Parting | None:
    """The node at which a failing case parts; of a stream in pieces the first piece is looked at."""
    # Within the graph numbers are of the size of one, whatever the answer's own unit is.
    tolerance = tolerances[case.graph, _family(case), torch.answer] / max(case.scale[torch.answer], 1.0)
    feed = case.feed
    if case.cuts:
        axis = torch.graph.tensors.sequence_axis
        first = range(case.cuts[0])
        feed = {
            tensor.name: feed[tensor.name].take(first, tensor.axes.index(axis))
            if axis in tensor.axes
            else feed[tensor.name]
            for tensor in torch.graph.tensors.inputs
        }
    return first_parting(torch.graph.module, torch.graph.tensors, content, feed, tolerance)
