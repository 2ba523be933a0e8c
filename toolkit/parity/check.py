"""The verdict: is onnxruntime as near to the truth as torch itself is?

Each case has three answers: torch in float64 (truth), torch in float32 and onnxruntime. The tolerance follows from the
model and the inputs instead of being guessed: for each graph, output and family of inputs it is 4 times the larger of
torch float32's worst error over the family's whole grid and 4 units in the last place of the output's scale. torch's
error is that of the module and of five neighbours whose weights differ in the last bit: where a model amplifies
rounding, a single answer may be right by chance. All of that is judged before un-scaling, in standard deviations;
un-scaling itself is judged within 2 units in the last place.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.graph_io import FORECAST, STATE_PAIRS, GraphName
from toolkit.contract.reports import Divergence, ParityCase, ParityReport, ParitySummary
from toolkit.errors import BundleError
from toolkit.model.lstm import MultivariateLSTM
from toolkit.parity.divergence import locate
from toolkit.parity.grid import STREAM_BATCH, ParityGrid
from toolkit.parity.inputs import Feed, InputSource
from toolkit.parity.reference import Outputs, TorchReference, neighbours, one_torch_thread, references
from toolkit.parity.stream import run_in_pieces
from toolkit.parity.subject import Answer, Subject, open_subject
from toolkit.runtime.environment import environment
from toolkit.runtime.session import CPU, SessionPolicy

TIMES_TORCH = 4.0
ULPS_OF_SCALE = 4.0
UNSCALING_ULPS = 2.0
FAR_OFF = float("inf")

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


def check_parity(
    model: MultivariateLSTM,
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
        model: the torch module; it is copied, not changed.
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
    truth, single = references(model)
    source = InputSource(model, samples, grid.seed)
    singles = (single, *neighbours(model, grid.seed))
    measured: list[Measured] = []
    subjects: dict[tuple[str, str], Subject] = {}
    with one_torch_thread():
        for provider in providers:
            for graph, content in graphs.items():
                subject = subjects[graph, provider] = open_subject(graph, content, SessionPolicy(provider=provider))
                for case in _cases(source, grid, graph, provider):
                    _measure(case, subject, truth, singles)
                    measured.append(case)
                    on_case(len(measured))
        tolerances = _tolerances(measured)
        cases = tuple(_judged(case, tolerances, precision) for case in measured)
        failed = [place for place, case in enumerate(cases) if not case.passed]
        worst = max(case.max_abs_diff for case in cases)
        divergence = None
        if failed:
            first = measured[failed[0]]
            divergence = _divergence(first, subjects[first.graph, first.provider], truth, tolerances)
    summary = ParitySummary(len(cases), len(failed), worst)
    return ParityReport(not failed, cases, divergence, summary, environment())


def _cases(source: InputSource, grid: ParityGrid, graph: GraphName, provider: str) -> Iterable[Measured]:
    families = grid.families or source.families
    for family in families:
        for batch, sequence in grid.shapes():
            yield Measured(graph, provider, batch, sequence, family, source.feed(graph, family, batch, sequence))
    if graph == "streaming":
        sequence = max(grid.sequences)
        feed = source.feed(graph, families[0], STREAM_BATCH, sequence)
        for chunk in grid.chunks:
            name = f"{families[0]}, in chunks of {chunk or 'random size'}"
            yield Measured(graph, provider, STREAM_BATCH, sequence, name, feed, tuple(grid.cuts(chunk)))


def _measure(case: Measured, subject: Subject, truth: TorchReference, singles: Sequence[TorchReference]) -> None:
    exact = truth.run(case.feed)
    rounded, *others = (single.run(case.feed) for single in singles)
    case.torch_error = _distance(rounded, exact)
    errors = [case.torch_error, *(_distance(other, exact) for other in others)]
    case.reach = {name: max(error[name] for error in errors) for name in exact}
    case.scale = {name: float(np.abs(values).max(initial=0.0)) for name, values in exact.items()}
    try:
        answer = _answer(case, subject, truth)
        case.ort_error = _distance(answer.standardised, exact)
        case.difference = _distance(answer.standardised, rounded)
        case.problem = _unscaling_problem(answer, truth)
    except BundleError as error:
        case.problem = str(error)
        case.ort_error = case.difference = dict.fromkeys(exact, FAR_OFF)


def _answer(case: Measured, subject: Subject, truth: TorchReference) -> Answer:
    return run_in_pieces(subject, truth.model, case.feed, case.cuts) if case.cuts else subject.run(case.feed)


def _distance(first: Outputs, second: Outputs) -> dict[str, float]:
    """The largest difference of each output; infinity where shapes differ or a value is not finite."""
    return {name: _largest(first[name], second[name]) for name in second}


def _largest(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    if first.shape != second.shape:
        return FAR_OFF
    difference = np.abs(first - second)
    return float(difference.max(initial=0.0)) if np.isfinite(difference).all() else FAR_OFF


def _unscaling_problem(answer: Answer, truth: TorchReference) -> str:
    """Whether the raw forecast is the standardised one times the scale plus the offset, within 2 ulp."""
    standardised = answer.standardised[FORECAST]
    wanted = truth.unscale(standardised)
    # A sum is rounded to the grid of its largest part, which may be finer for the sum itself.
    offset = truth.unscale(np.zeros_like(standardised))
    size = np.maximum(np.abs(wanted), np.maximum(np.abs(wanted - offset), np.abs(offset)))
    allowed = UNSCALING_ULPS * np.spacing(size.astype(np.float32)).astype(np.float64)
    if answer.raw.shape != wanted.shape:
        return f"the raw forecast has the shape {list(answer.raw.shape)} instead of {list(wanted.shape)}"
    excess = np.abs(answer.raw.astype(np.float64) - wanted) / allowed
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


def _judged(case: Measured, tolerances: Mapping[Key, float], precision: str) -> ParityCase:
    """The verdict on a case: its figures are the forecast's, a state that strays is told as its problem."""
    allowed = {name: tolerances[case.graph, _family(case), name] for name in case.ort_error}
    problem = case.problem or next(
        (
            f"{name} is {error:.3g} from the truth where {allowed[name]:.3g} are allowed"
            for name, error in case.ort_error.items()
            if name != FORECAST and not error <= allowed[name]
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
        max_abs_diff=case.difference[FORECAST],
        torch_error=case.torch_error[FORECAST],
        ort_error=case.ort_error[FORECAST],
        tolerance=allowed[FORECAST],
        passed=case.ort_error[FORECAST] <= allowed[FORECAST] and not problem,
        problem=problem,
    )


def _divergence(case: Measured, subject: Subject, truth: TorchReference, tolerances: Mapping[Key, float]) -> Divergence:
    """Re-runs a failing case and finds the first place at which it parts."""
    exact = truth.run(case.feed)
    try:
        answer = _answer(case, subject, truth).standardised
    except BundleError:
        return Divergence(FORECAST, None, None, None)
    for name in (FORECAST, *STATE_PAIRS.values()):
        tolerance = tolerances.get((case.graph, _family(case), name))
        if tolerance is not None:
            found = locate(name, answer[name], exact[name], tolerance, truth.model)
            if found is not None:
                return found
    return Divergence("un-scaling", None, None, None)
