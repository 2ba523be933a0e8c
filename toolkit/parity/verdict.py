"""How near to the truth onnxruntime has to be.

The tolerance follows from the model and the inputs instead of being guessed: for each graph, output and pool of cases
it is 4 times the larger of torch float32's worst error over the pool's whole grid and 4 units in the last place of the
output's scale; on hard inputs 8 times, and beyond 10 standard deviations a ten-thousandth of that scale at least. A
rule case by case alarms on 15 to 64 of 98 clean models. torch's error is that of the module and of three neighbours
whose weights differ in the last bit: where a model amplifies rounding, a single answer may be right by chance. All of
that is judged before un-scaling, in standard deviations.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.parity_reports import ParityCase
from toolkit.parity.families import HARD
from toolkit.parity.measure import Finding, TorchSide

TIMES_TORCH = 4.0
TIMES_TORCH_HARD = 8.0
ULPS_OF_SCALE = 4.0
PART_BEYOND = 1e-4
"""Of the output's scale, on inputs that show gross faults: a layer that normalises a thousand takes its variance by
another formula in each runtime, and torch's own error says little of that."""

BEYOND = frozenset(("zeros", "sparse", "whole", "denormal", "far", "enormous", "one channel far"))
"""Families beyond 10 standard deviations, or that may be: a raw zero lies there where a pressure is 101 325 +- 50."""

FINEST = 1e-3
SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)

Key = tuple[str, str, str]
Tolerances = Mapping[Key, NDArray[np.float64]]
"""By graph, pool and output, `[figures]`, in the unit in which errors are."""


@dataclass(frozen=True)
class Allowed:
    """A tolerance that a user gives: `atol + rtol * |exact|` for every number, as in `numpy.allclose`."""

    atol: float
    rtol: float = 0.0


def tolerances_of(findings: Iterable[Finding], explicit: Allowed | None = None) -> dict[Key, NDArray[np.float64]]:
    """What each pool of each output is allowed."""
    worst: dict[Key, NDArray[np.float64]] = {}
    scale: dict[Key, NDArray[np.float64]] = {}
    for finding in findings:
        for name, error in finding.error.items():
            key = (finding.case.graph, finding.case.pool, name)
            none = np.zeros_like(error)
            # A case without a truth must not widen what other cases are allowed.
            worst[key] = np.maximum(worst.get(key, none), finding.truth.reach.get(name, none))
            scale[key] = np.maximum(scale.get(key, none), finding.truth.scale.get(name, none))
    if explicit is not None:
        return {key: np.full_like(error, explicit.atol) for key, error in worst.items()}
    return {key: _allowed(key[1], _levelled(error), _levelled(scale[key])) for key, error in worst.items()}


def _allowed(pool: str, reach: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    least = ULPS_OF_SCALE * _ulp(scale)
    # A hard family has a few cases where an ordinary one has thirty: its worst is a smaller sample of torch's error.
    found = (TIMES_TORCH_HARD if pool in HARD else TIMES_TORCH) * np.maximum(reach, least)
    return np.maximum(found, PART_BEYOND * scale) if pool in BEYOND else found


def _levelled(figures: NDArray[np.float64]) -> NDArray[np.float64]:
    """No figure below a thousandth of the largest: one that is next to nothing by chance is rounded with the others."""
    levelled: NDArray[np.float64] = np.maximum(figures, FINEST * figures.max())
    return levelled


def _ulp(size: NDArray[np.float64]) -> NDArray[np.float64]:
    """A unit in the last place; of subnormal numbers the smallest normal one: a runtime may flush them to zero."""
    return np.maximum(np.spacing(size.astype(np.float32)).astype(np.float64), SMALLEST_NORMAL)


def judged(
    finding: Finding, tolerances: Tolerances, side: TorchSide, precision: str, explicit: Allowed | None = None
) -> ParityCase:
    """The verdict on a case.

    Its figures are the first answer's, at the place of its last axis that uses most of its tolerance; another output
    that strays is told as its problem.
    """
    case, answer = finding.case, side.answer
    allowed = {name: tolerances[case.graph, case.pool, name] for name in finding.error}
    good = bool((finding.excess[answer] <= allowed[answer]).all())
    problem = finding.problem or _other_problem(finding, allowed, answer)
    if case.turn is not None and case.turn.condition and (problem or not good):
        problem = _turn_problem(finding, problem)
    worst = _worst(finding.excess[answer], allowed[answer])
    relative = 0.0 if explicit is None else explicit.rtol * float(finding.truth.scale.get(answer, np.zeros(1)).max())
    return ParityCase(
        graph=case.graph,
        provider=finding.policy.provider,
        precision=precision,
        batch=case.batch,
        sequence=case.sequence,
        input=case.family,
        max_abs_diff=float(finding.difference[answer].max()),
        torch_error=float(finding.truth.error[answer][worst]) if finding.truth.error else 0.0,
        ort_error=float(finding.error[answer][worst]),
        tolerance=float(allowed[answer][worst]) + relative,
        passed=good and not problem,
        problem=problem,
        pool=case.pool,
        threads=finding.policy.threads,
        optimisation=finding.policy.optimisation,
    )


def _worst(error: NDArray[np.float64], allowed: NDArray[np.float64]) -> int:
    """The place that uses most of its tolerance."""
    return int(np.argmax(error / np.maximum(allowed, SMALLEST_NORMAL)))


def _other_problem(finding: Finding, allowed: Mapping[str, NDArray[np.float64]], answer: str) -> str:
    for name, excess in finding.excess.items():
        if name != answer and not (excess <= allowed[name]).all():
            worst = _worst(excess, allowed[name])
            error, most = finding.error[name][worst], allowed[name][worst]
            return f"{name} is {error:.3g} from the truth where {most:.3g} are allowed"
    return ""


def _turn_problem(finding: Finding, problem: str) -> str:
    turn = finding.case.turn
    assert turn is not None  # asked by the caller
    where = ", ".join(f"{axis} {size}" for axis, size in turn.sizes.items())
    way = problem or f"the graph is off by {max(float(error.max()) for error in finding.error.values()):.2g}"
    return (
        f"the module's code goes another way at {where} than in the trace, which had {turn.condition} ({way}); "
        "fix: replace the branch on a size by arithmetic, or write the size as a number in --input"
    )
