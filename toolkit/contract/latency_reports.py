"""What `benchmark` writes with `--json`, and what `compare` reads again.

Keys are part of the contract: they are added to, never renamed; the schema's number rises when a meaning changes.
"""

from dataclasses import dataclass, field
from typing import Any

Interval = tuple[float, ...]
"""Lower and upper end of a 95 % bootstrap interval."""


@dataclass(frozen=True)
class LatencyRow:
    """One contender in one scenario; a figure that a scenario does not give is None.

    Attributes:
        scenario: `single` (one request after another), `bulk` (batch above 1), `stream` (one step), `paced` (requests
            at a rate).
        contender: `torch` or `onnxruntime`, or another runtime's name.
        graph: `windowed` or `streaming`.
        provider: execution provider, `cpu` for torch.
        precision: of the weights.
        batch: series in a call.
        sequence: samples in a call.
        threads: within one operator.
        count: timed calls.
        p50_ms: median time of a call.
        p90_ms: the 90th percentile.
        p99_ms: the 99th percentile.
        max_ms: the longest call.
        throughput_per_s: series (windowed) or samples (streaming) per second at the median.
        cpu_s_per_1000: processor seconds per 1,000 calls.
        rss_mb: resident memory after the calls.
        ratio_to_torch: torch's time over this contender's: the median over rounds of the ratio within a round.
        p999_ms: the 99.9th percentile.
        mean_ms: the mean call; one stall of the machine moves it.
        intervals_ms: by the name of a figure (`p50`, `p90`, `p99`, `mean`) its interval, resampled by rounds.
        ratio_interval: of `ratio_to_torch`.
        variation: coefficient of variation of the rounds' medians: standard deviation over mean.
        noisy: why these samples are too noisy to tell; empty where they are not.
        block_medians_ms: the median call of each round, in the rounds' order, the same rounds for all contenders of a
            scenario.
        rate_hz: requests per second that were asked for, in `paced`.
        peak_rss_mb: the largest resident memory of the contender's process.
        copy_in_ms: median copy of the inputs to the device, where copies are measured apart.
        copy_out_ms: median copy of the answers from the device.
        compute_ms: median call without copies.
        options: what else a contender was set to, such as its session's policy or its provider's options.
    """

    scenario: str
    contender: str
    graph: str
    provider: str
    precision: str
    batch: int
    sequence: int
    threads: int
    count: int
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    throughput_per_s: float | None
    cpu_s_per_1000: float | None
    rss_mb: float | None
    ratio_to_torch: float | None
    p999_ms: float | None = None
    mean_ms: float | None = None
    intervals_ms: dict[str, Interval] = field(default_factory=dict)
    ratio_interval: Interval | None = None
    variation: float | None = None
    noisy: str = ""
    block_medians_ms: tuple[float, ...] = ()
    rate_hz: float | None = None
    peak_rss_mb: float | None = None
    copy_in_ms: float | None = None
    copy_out_ms: float | None = None
    compute_ms: float | None = None
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ColdStart:
    """From nothing to the first answer, in fresh processes; medians over `runs` of them.

    Attributes:
        contender: as in `LatencyRow`.
        graph: that was asked.
        provider: as in `LatencyRow`.
        precision: of the weights.
        runs: processes.
        import_ms: of the packages, from the process's start.
        session_ms: from the file to something that can be called.
        first_answer_ms: of the first call.
        total_ms: from the process's start to the first answer.
        rss_mb: resident memory after a thousand calls.
        peak_rss_mb: the largest.
        totals_ms: each process's `total_ms`.
        ratio_to_torch: torch's `total_ms` over this one's, the median over rounds.
        memory_ratio_to_torch: torch's `rss_mb` over this one's.
    """

    contender: str
    graph: str
    provider: str
    precision: str
    runs: int
    import_ms: float
    session_ms: float
    first_answer_ms: float
    total_ms: float
    rss_mb: float | None
    peak_rss_mb: float | None
    totals_ms: tuple[float, ...] = ()
    ratio_to_torch: float | None = None
    memory_ratio_to_torch: float | None = None


@dataclass(frozen=True)
class AssetCapacity:
    """How many assets one core serves in one batched call a tick.

    Attributes:
        contender: as in `LatencyRow`.
        graph: that was asked.
        precision: of the weights.
        rate_hz: ticks per second.
        assets: the most whose tick is done within its time, by the 99th percentile of `tick_ms`.
        tick_ms: median call for that many.
        p99_ms: 99th percentile for that many.
        at_limit: whether even more would have fitted, and the search ended at its greatest batch.
    """

    contender: str
    graph: str
    precision: str
    rate_hz: float
    assets: int
    tick_ms: float | None
    p99_ms: float | None
    at_limit: bool = False


@dataclass(frozen=True)
class Crossover:
    """From which batch on another provider beats this CPU.

    Attributes:
        graph: that was asked.
        provider: beside the CPU.
        batch: the smallest measured batch from which on it is faster, beyond noise; None where it never was.
        batches: that were measured.
        ratios: the CPU's time over the provider's, for each of them.
    """

    graph: str
    provider: str
    batch: int | None
    batches: tuple[int, ...]
    ratios: tuple[float, ...]


@dataclass(frozen=True)
class LatencyReport:
    """The benchmark runner's report.

    Attributes:
        rows: scenarios whose calls are timed.
        notes: what was not measured and why.
        environment: machine and versions.
        bundle: the bundle's name and the SHA-256 of its manifest, and the sizes asked for, as `compare` needs.
        cold: scenario `cold`.
        capacities: scenario `assets`.
        crossovers: beside providers other than the CPU.
    """

    rows: tuple[LatencyRow, ...]
    notes: tuple[str, ...]
    environment: dict[str, Any]
    bundle: dict[str, str] = field(default_factory=dict)
    cold: tuple[ColdStart, ...] = ()
    capacities: tuple[AssetCapacity, ...] = ()
    crossovers: tuple[Crossover, ...] = ()
    schema: str = "latency/2"
