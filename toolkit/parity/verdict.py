"""How near to the truth onnxruntime has to be.

The tolerance follows from the model and the inputs instead of being guessed: for each graph, output and pool of cases
it is 4 times the larger of torch float32's worst error over the pool's whole grid and 4 units in the last place of the
output's scale; 8 times on inputs beyond 10 standard deviations. A rule case by case alarms on 15 to 64 of 98 clean
models. torch's error is that of the module and of five neighbours whose weights differ in the last bit: where a model
amplifies rounding, a single answer may be right by chance. All of that is judged before un-scaling, in standard
deviations.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from toolkit.contract.reports import ParityCase
from toolkit.parity.measure import Finding, TorchSide

TIMES_TORCH = 4.0
TIMES_TORCH_FAR = 8.0
ULPS_OF_SCALE = 4.0
BEYOND = frozenset(("zeros", "sparse", "whole", "denormal", "far", "one channel far"))
"""Families beyond 10 standard deviations, or that may be: a raw zero lies there where a pressure is 101 325 +- 50."""

SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)

Key = tuple[str, str, str]
Tolerances = Mapping[Key, float]
"""By graph, pool and output, in the unit in which errors are."""


@dataclass(frozen=True)
class Allowed:
    """A tolerance that a user gives: `atol + rtol * |exact|` for every number, as in `numpy.allclose`."""

    atol: float
    rtol: float = 0.0


def tolerances_of(findings: Iterable[Finding], explicit: Allowed | None = None) -> dict[Key, float]:
    """What each pool of each output is allowed."""
    worst: dict[Key, float] = {}
    scale: dict[Key, float] = {}
    for finding in findings:
        for name in finding.error:
            key = (finding.case.graph, finding.case.pool, name)
            # A case without a truth must not widen what other cases are allowed.
            worst[key] = max(worst.get(key, 0.0), finding.truth.reach.get(name, 0.0))
            scale[key] = max(scale.get(key, 0.0), finding.truth.scale.get(name, 0.0))
    if explicit is not None:
        return dict.fromkeys(worst, explicit.atol)
    return {key: _times(key[1]) * max(error, ULPS_OF_SCALE * _ulp(scale[key])) for key, error in worst.items()}


def _times(pool: str) -> float:
    return TIMES_TORCH_FAR if pool in BEYOND else TIMES_TORCH


def _ulp(size: float) -> float:
    """A unit in the last place; of subnormal numbers the smallest normal one: a runtime may flush them to zero."""
    return max(float(np.spacing(np.float32(size))), SMALLEST_NORMAL)


def judged(finding: Finding, tolerances: Tolerances, side: TorchSide, precision: str) -> ParityCase:
    """The verdict on a case: its figures are the first answer's; another output that strays is told as its problem."""
    case, answer = finding.case, side.answer
    allowed = {name: tolerances[case.graph, case.pool, name] for name in finding.error}
    good = finding.excess[answer] <= allowed[answer]
    problem = finding.problem or _other_problem(finding, allowed, answer)
    if case.turn is not None and (problem or not good):
        problem = _turn_problem(finding, problem)
    return ParityCase(
        graph=case.graph,
        provider=finding.policy.provider,
        precision=precision,
        batch=case.batch,
        sequence=case.sequence,
        input=case.family,
        max_abs_diff=finding.difference[answer],
        torch_error=finding.truth.error.get(answer, 0.0),
        ort_error=finding.error[answer],
        tolerance=allowed[answer],
        passed=good and not problem,
        problem=problem,
        pool=case.pool,
        threads=finding.policy.threads,
        optimisation=finding.policy.optimisation,
    )


def _other_problem(finding: Finding, allowed: Mapping[str, float], answer: str) -> str:
    strayed = (
        f"{name} is {finding.error[name]:.3g} from the truth where {allowed[name]:.3g} are allowed"
        for name, excess in finding.excess.items()
        if name != answer and not excess <= allowed[name]
    )
    return next(strayed, "")


def _turn_problem(finding: Finding, problem: str) -> str:
    turn = finding.case.turn
    assert turn is not None  # asked by the caller
    where = ", ".join(f"{axis} {size}" for axis, size in turn.sizes.items())
    way = problem or f"the graph is off by {max(finding.error.values()):.2g}"
    return (
        f"the module's code goes another way at {where} than in the trace, which had {turn.condition} ({way}); "
        "fix: replace the branch on a size by arithmetic, or write the size as a number in --input"
    )
