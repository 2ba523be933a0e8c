"""What `compare` writes with `--json`.

Keys are part of the contract: they are added to, never renamed; the schema's number rises when a meaning changes.
"""

from dataclasses import dataclass
from typing import Literal

from toolkit.contract.latency_reports import Interval

Verdict = Literal["worse", "better", "same", "too noisy to tell"]


@dataclass(frozen=True)
class Change:
    """One figure of one contender in two reports.

    Attributes:
        scenario: of the row, or `cold` or `assets`.
        contender: as in `LatencyRow`, and so are the next ones.
        graph: that was asked.
        provider: execution provider.
        precision: of the weights.
        predictor: through which the graph was run; empty where it has but one.
        batch: None in `cold` and `assets`.
        sequence: as `batch`.
        threads: as `batch`.
        rate_hz: in `paced` and `assets`.
        figure: what is compared, such as `p50_ms`; by rounds where `interval` is given.
        before: in the first report.
        after: in the second.
        ratio: `after / before`.
        interval: 95 % bootstrap interval of the ratio; None of a figure that has no rounds.
        verdict: `worse` and `better` are beyond noise and beyond the least change that matters.
        reference: whether it is somebody else's runtime, which is no regression of ours.
    """

    scenario: str
    contender: str
    graph: str
    provider: str
    precision: str
    predictor: str
    batch: int | None
    sequence: int | None
    threads: int | None
    rate_hz: float | None
    figure: str
    before: float
    after: float
    ratio: float
    interval: Interval | None
    verdict: Verdict
    reference: bool = False


@dataclass(frozen=True)
class ComparisonReport:
    """Two latency reports beside each other.

    Attributes:
        changes: of every figure that both have.
        notes: rows that one report alone has, and what else sets the two apart.
        least_percent: the smallest change that matters.
        regressions: how many figures of ours are worse.
    """

    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    least_percent: float
    regressions: int
    schema: str = "comparison/1"
