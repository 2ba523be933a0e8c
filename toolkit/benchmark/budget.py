"""Budgets: what a figure may be, as `--budget p99_ms=2` or `stream.p99_ms=0.1` says it.

A budget is judged on what is deployed: onnxruntime on the CPU, in the precision that the bundle prefers, through the
predictor that is there for the scenario. A key without a scenario means the windowed graph in `single`, or, where a
process of its own is needed to know, `cold`.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from toolkit.benchmark.plan import BenchmarkPlan, requests_of
from toolkit.benchmark.scenarios import ONNXRUNTIME
from toolkit.contract.graph_io import GraphName
from toolkit.contract.latency_reports import ColdStart, LatencyReport, LatencyRow
from toolkit.contract.records import nearest
from toolkit.errors import BudgetError, ConfigError
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.session import CPU

AT_LEAST = "throughput_per_s"
"""The one key whose figure must not be below; no other must be above."""

_TIMED = ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "mean_ms", "max_ms", AT_LEAST, "cpu_s_per_1000")
_MEMORY = ("rss_mb", "peak_rss_mb")
_COLD = ("total_ms", "import_ms", "session_ms", "first_answer_ms", *_MEMORY)
KEYS = {
    "single": _TIMED,
    "bulk": _TIMED,
    "stream": _TIMED,
    "paced": (*(key for key in _TIMED if key != AT_LEAST), *_MEMORY),  # its rate is what was asked for
    "cold": _COLD,
}
"""By scenario, the figures that it gives."""

_CALLS_NEEDED = {"p90_ms": 10, "p99_ms": 100, "p999_ms": 1000}
"""Of fewer calls than these the percentile is the longest one."""
_ALL_KEYS = tuple(dict.fromkeys(key for keys in KEYS.values() for key in keys))
_DEPLOYED_BY = {"single": "predict", "bulk": "bulk", "stream": "step"}


@dataclass(frozen=True)
class Budget:
    """One limit: the scenario and the figure that it is for."""

    scenario: str
    key: str
    limit: float

    @property
    def name(self) -> str:
        """As it is asked for."""
        return f"{self.scenario}.{self.key}"


@dataclass(frozen=True)
class Judged:
    """A budget beside one figure of the report.

    Attributes:
        budget: the limit.
        where: the request, such as `1 x 60`, and whether it was made too seldom; empty in `cold`.
        value: None where the scenario could not give the figure on this machine, which keeps no budget.
    """

    budget: Budget
    where: str
    value: float | None

    @property
    def kept(self) -> bool:
        """Whether the figure is within its limit."""
        if self.value is None:
            return False
        limit = self.budget.limit
        return self.value >= limit if self.budget.key == AT_LEAST else self.value <= limit

    @property
    def line(self) -> str:
        """What is told of it."""
        found = "not measured" if self.value is None else f"{self.value:.4g}"
        bound = "at least" if self.budget.key == AT_LEAST else "at most"
        where = f" ({self.where})" if self.where else ""
        return f"{self.budget.name}{where} is {found}, allowed {bound} {self.budget.limit:g}"


def parse_budgets(texts: Sequence[str]) -> tuple[Budget, ...]:
    """Reads `KEY=NUMBER` and `SCENARIO.KEY=NUMBER`.

    Raises:
        ConfigError: an unknown key or scenario (the nearest known one is named), or no number of 0 or more.
    """
    return tuple(_budget(text) for text in texts)


def plan_for(bundle: Bundle, plan: BenchmarkPlan, budgets: Sequence[Budget]) -> BenchmarkPlan:
    """The plan with the scenarios that the budgets need, refused where the bundle or the plan cannot give them.

    Raises:
        ConfigError: a budget for a graph that the bundle has not, or for the CPU where it is not measured.
    """
    if not budgets:
        return plan
    if CPU not in plan.providers:
        raise ConfigError(
            "--budget is judged on the CPU", got=", ".join(plan.providers), fix="give --provider cpu as well"
        )
    for budget in budgets:
        graph = _graph(budget.scenario)
        if graph is not None and graph not in bundle.manifest.names:
            raise ConfigError(
                f"--budget {budget.name}",
                got=f"a bundle without a {graph} graph",
                fix="name another scenario, such as " + ("stream." if graph == "windowed" else "single.") + budget.key,
            )
    asked = plan.scenarios or tuple(request.scenario for request in requests_of(bundle, plan))
    scenarios = tuple(dict.fromkeys([*asked, *(budget.scenario for budget in budgets)]))
    wider = dataclasses.replace(plan, scenarios=scenarios)
    requests_of(bundle, wider)  # refuses now what it would refuse then
    return wider


def judge(report: LatencyReport, budgets: Sequence[Budget], bundle: Bundle) -> tuple[Judged, ...]:
    """Every budget beside every figure that it is for."""
    return tuple(judged for budget in budgets for judged in _judged(report, budget, bundle))


def raise_if_broken(judged: Sequence[Judged]) -> None:
    """Ends a command whose budget is broken.

    Raises:
        BudgetError: with all lines that broke.
    """
    broken = [one.line for one in judged if not one.kept]
    if broken:
        raise BudgetError(f"the budget is broken: {', and '.join(broken)}")


def _budget(text: str) -> Budget:
    name, equals, number = text.partition("=")
    scenario, dot, key = name.strip().rpartition(".")
    if not equals:
        raise ConfigError("--budget", got=repr(text), allowed="KEY=NUMBER or SCENARIO.KEY=NUMBER, such as p99_ms=2")
    if dot and scenario not in KEYS:
        _refuse(f"--budget {text}: unknown scenario", scenario, tuple(KEYS))
    if key not in _ALL_KEYS:
        _refuse(f"--budget {text}: unknown key", key, KEYS[scenario] if dot else _ALL_KEYS)
    scenario = scenario or ("single" if key in _TIMED else "cold")
    if key not in KEYS[scenario]:
        _refuse(f"--budget {text}: {scenario} gives no {key}", key, KEYS[scenario])
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if not 0 <= limit < math.inf:
        raise ConfigError(f"--budget {name.strip()}", got=repr(number), allowed="a number of 0 or more")
    return Budget(scenario, key, limit)


def _refuse(what: str, got: str, allowed: Sequence[str]) -> None:
    near = nearest(got, [name for name in allowed if name != got])
    raise ConfigError(what, got=repr(got), allowed=", ".join(allowed), fix=f"did you mean {near!r}?" if near else None)


def _graph(scenario: str) -> GraphName | None:
    """The graph that a budget of the scenario is judged on; None where it is whichever the bundle has."""
    if scenario in ("paced", "cold"):
        return None
    return "streaming" if scenario == "stream" else "windowed"


def _judged(report: LatencyReport, budget: Budget, bundle: Bundle) -> list[Judged]:
    if budget.scenario == "cold":
        found = [Judged(budget, "", getattr(cold, budget.key)) for cold in report.cold if _is_deployed(cold, bundle)]
    else:
        rows = _smallest([row for row in report.rows if _is_for(row, budget.scenario, bundle)])
        found = [Judged(budget, _where(row, budget.key), getattr(row, budget.key)) for row in rows]
    return found or [Judged(budget, "", None)]


def _where(row: LatencyRow, key: str) -> str:
    """The request, and how few the calls were where the figure is but the longest of them."""
    needed = _CALLS_NEEDED.get(key, 1)
    few = f", the longest of {row.count} calls; {needed:,} tell more" if row.count < needed else ""
    return f"{row.batch} x {row.sequence}{few}"


def _is_for(row: LatencyRow, scenario: str, bundle: Bundle) -> bool:
    """Whether it is the deployed way of the scenario; a way that the bundle does not have leaves the plain one."""
    if row.scenario != scenario or not _is_deployed(row, bundle):
        return False
    graph = _graph(scenario)
    return graph is None or row.graph == graph


def _is_deployed(row: LatencyRow | ColdStart, bundle: Bundle) -> bool:
    deployed = {(entry.name, entry.precision) for entry in bundle.manifest.graphs if entry.preferred}
    return (row.contender, row.provider) == (ONNXRUNTIME, CPU) and (row.graph, row.precision) in deployed


def _smallest(rows: Sequence[LatencyRow]) -> list[LatencyRow]:
    """Through the scenario's own predictor where it was measured; of a stream, the smallest call.

    A stream is asked sample by sample unless somebody says otherwise; a bulk has no size that is meant.
    """
    if not rows:
        return []
    scenario = rows[0].scenario
    own = [row for row in rows if row.options.get("predictor") == _DEPLOYED_BY.get(scenario)]
    chosen = own or list(rows)
    if scenario == "stream":
        least = min((row.batch, row.sequence) for row in chosen)
        chosen = [row for row in chosen if (row.batch, row.sequence) == least]
    return chosen
