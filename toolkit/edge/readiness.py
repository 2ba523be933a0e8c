"""Whether a gateway on this machine may run a bundle, how fast it will be, and what it will do.

The bundle is tried first, in a process of its own, and looked at here only once that has gone well: see `trial`.
onnxruntime is imported no earlier either: a build that this processor cannot run kills whoever imports it.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.contract.frozen import dataclass
from toolkit.contract.readiness_reports import GraphLatency, JudgedBudget, ReadinessReport, TrialResult
from toolkit.contract.records import nearest
from toolkit.edge.settings import TrialSettings
from toolkit.edge.trial import try_bundle
from toolkit.errors import BundleError, ConfigError, ToolkitError
from toolkit.runtime.environment import machine

if TYPE_CHECKING:
    from toolkit.runtime.bundle import Bundle

TIMED_S = 0.5
"""For each graph: ten times what a gateway's own start spends on it."""

_Figure = Callable[[TrialResult, GraphLatency | None], float | None]

BUDGETS: dict[str, _Figure] = {
    "p50_ms": lambda _, latency: None if latency is None else latency.p50_ms,
    "p99_ms": lambda _, latency: None if latency is None else latency.p99_ms,
    "rss_mb": lambda trial, _: trial.rss_mb,
    "peak_rss_mb": lambda trial, _: trial.peak_rss_mb,
}
"""What a budget may be for: a window or step of the graph that the gateway runs, or the memory of the whole process."""


@dataclass(frozen=True)
class Budget:
    """A figure that must not be above its limit."""

    name: str
    limit: float


def parse_budgets(texts: Sequence[str]) -> tuple[Budget, ...]:
    """Reads `KEY=NUMBER`.

    Raises:
        ConfigError: an unknown key (the nearest known one is named), or no number of 0 or more.
    """
    return tuple(map(_budget, texts))


def check_readiness(
    folder: Path,
    budgets: Sequence[Budget] = (),
    settings: TrialSettings | None = None,
    session_file: Path | None = None,
    timed_s: float = TIMED_S,
) -> ReadinessReport:
    """Tries a bundle and says whether a gateway may run it.

    Args:
        folder: the bundle's.
        budgets: what its figures must keep.
        settings: limits of the trial; None means the default ones.
        session_file: of `lstm-edge tune-session`, or None.
        timed_s: for the timed calls of each graph.

    Raises:
        BundleError: it is no bundle, or a damaged one.
        ConfigError: the session file is none that fits.
    """
    if session_file is not None and not session_file.is_file():
        raise ConfigError(f"there is no session file {session_file}", fix="write it with 'lstm-edge tune-session'")
    trial = try_bundle(folder, settings, str(session_file or ""), timed_s=timed_s)
    if trial.outcome == "refused":
        raise BundleError(trial.problem)
    if not trial.digest:  # what it did to its own process it might do to this one
        about = {"name": folder.name, "manifest_sha256": ""}
        return ReadinessReport(about, False, (trial.problem,), trial, None, (), machine())
    from toolkit.runtime.bundle import load_bundle  # noqa: PLC0415 - after the trial

    bundle = load_bundle(folder)
    if trial.digest != bundle.digest:
        raise BundleError(f"{folder} changed while it was tried", fix="try again")
    return _report(bundle, trial, budgets, session_file)


def _report(
    bundle: "Bundle", trial: TrialResult, budgets: Sequence[Budget], session_file: Path | None
) -> ReadinessReport:
    from toolkit.edge.gateway_plan import plan_of  # noqa: PLC0415 - after the trial

    about = {"name": bundle.manifest.name, "manifest_sha256": bundle.digest}
    reasons = [] if trial.outcome == "passed" else [trial.problem]
    plan = None
    try:
        plan = plan_of(bundle, session_file) if not reasons or bundle.manifest.signal is None else None
    except ToolkitError as error:
        reasons.append(str(error))
    if plan is None:  # figures of a graph that nothing runs are kept by nobody
        return ReadinessReport(about, False, tuple(reasons), trial, None, (), machine())
    latency = next((one for one in trial.latency if one.graph == plan.graph), None)
    judged = tuple(_judged(budget, trial, latency) for budget in budgets)
    reasons += [_over(one) for one in judged if not one.kept]
    return ReadinessReport(about, not reasons, tuple(reasons), trial, plan, judged, machine())


def _judged(budget: Budget, trial: TrialResult, latency: GraphLatency | None) -> JudgedBudget:
    value = BUDGETS[budget.name](trial, latency)
    return JudgedBudget(budget.name, budget.limit, value, value is not None and value <= budget.limit)


def _over(budget: JudgedBudget) -> str:
    found = "not measured" if budget.value is None else f"{budget.value:.4g}"
    return f"{budget.name} is {found}, allowed at most {budget.limit:g}"


def _budget(text: str) -> Budget:
    name, equals, number = (part.strip() for part in text.partition("="))
    allowed = ", ".join(BUDGETS)
    if not equals:
        raise ConfigError("--budget", got=repr(text), allowed="KEY=NUMBER, such as p99_ms=2", fix=f"keys: {allowed}")
    if name not in BUDGETS:
        near = nearest(name, BUDGETS)
        fix = f"did you mean {near!r}?" if near else None
        raise ConfigError(f"--budget {text}: unknown key", got=repr(name), allowed=allowed, fix=fix)
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if not 0 <= limit < math.inf:
        raise ConfigError(f"--budget {name}", got=repr(number), allowed="a number of 0 or more")
    return Budget(name, limit)
