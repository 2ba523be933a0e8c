"""What a bundle's trial found, and what `gateway check` writes with `--json`.

Keys are part of the contract: they are added to, never renamed; the schema's number rises when a meaning changes.
"""

from dataclasses import field
from typing import Any, Literal

from toolkit.contract.frozen import dataclass
from toolkit.contract.graph_entry import Precision
from toolkit.contract.graph_io import GraphName

Outcome = Literal["passed", "failed", "refused", "died"]


@dataclass(frozen=True)
class GoldenPart:
    """One output of one golden case on this machine.

    Attributes:
        graph: `windowed` or `streaming`.
        precision: of the weights.
        case: of the golden vectors; `batch` is one of their series, many times over in one call.
        output: the tensor's name.
        worst: the largest part of its tolerance that any value used; above 1 it fails. None where an answer is not
            finite.
    """

    graph: GraphName
    precision: Precision
    case: str
    output: str
    worst: float | None


@dataclass(frozen=True)
class GraphLatency:
    """Calls of one graph, one series each.

    Attributes:
        graph: `windowed`, a window a call, or `streaming`, a step a call.
        precision: of the weights.
        samples: in a call; None where the graph has no such axis.
        calls: that were timed.
        p50_ms: their median.
        p99_ms: their 99th percentile.
    """

    graph: GraphName
    precision: Precision
    samples: int | None
    calls: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class TrialResult:
    """The first run of a bundle in a process of its own.

    Attributes:
        outcome: `passed`; `failed`, it ran and something was wrong; `refused`, it is no sound bundle,
            or the session file is none; `died`, the
            process came to an end by itself or was ended.
        problem: why it did not pass, in one line; "" where it did.
        digest: SHA-256 of the manifest that was tried, "" where none was read.
        golden: each output of each golden case.
        latency: of each graph that a gateway may run.
        rss_mb: resident memory of the process after its calls; None where the system does not tell.
        peak_rss_mb: the largest.
        memory_mb: address space taken beyond that of a process which has loaded no bundle.
        seconds: from the process's start to its answer.
    """

    outcome: Outcome
    problem: str = ""
    digest: str = ""
    golden: tuple[GoldenPart, ...] = ()
    latency: tuple[GraphLatency, ...] = ()
    rss_mb: float | None = None
    peak_rss_mb: float | None = None
    memory_mb: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class ExpectedColumn:
    """One number that a source must send: its name, the unit in which the bundle takes it, and what is made of it."""

    name: str
    unit: str
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class GatewayPlan:
    """What a gateway will do with a bundle.

    Attributes:
        graph: that it runs.
        precision: of its weights.
        window_length: rows of a window; of a streaming graph, those that a state is warmed up with.
        horizon: steps of a forecast; None where the answer is no forecast.
        interval_s: seconds between two rows.
        sampling: `samples`, an interval's features are made of raw samples, or `rows`, taken as they come.
        min_samples: an interval with fewer samples of a variable has no reading of it.
        columns: what must be sent.
        targets: what is forecast, with its unit.
        timezone: of the calendar's channels, "" where there are none.
        interpolated: columns across whose short gaps training drew a line; here a gap of theirs ends the series.
    """

    graph: GraphName
    precision: Precision
    window_length: int
    horizon: int | None
    interval_s: float
    sampling: str
    min_samples: int
    columns: tuple[ExpectedColumn, ...]
    targets: dict[str, str]
    timezone: str = ""
    interpolated: tuple[str, ...] = ()


@dataclass(frozen=True)
class JudgedBudget:
    """A limit beside the figure that it is for; `value` is None where this machine does not give it."""

    name: str
    limit: float
    value: float | None
    kept: bool


@dataclass(frozen=True)
class ReadinessReport:
    """What `gateway check` found.

    Attributes:
        bundle: its name and the SHA-256 of its manifest.
        ready: whether a gateway on this machine may run it.
        reasons: why not, one line each.
        trial: of the bundle, on this machine.
        plan: what a gateway will do; None where it cannot run it.
        budgets: those that were asked for.
        environment: machine and versions.
    """

    bundle: dict[str, str]
    ready: bool
    reasons: tuple[str, ...]
    trial: TrialResult
    plan: GatewayPlan | None
    budgets: tuple[JudgedBudget, ...]
    environment: dict[str, Any] = field(default_factory=dict)
    schema: str = "readiness/1"
