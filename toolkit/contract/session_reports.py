"""What `tune-session` writes with `--json`: every setting that was tried, and the one that won for each graph."""

from dataclasses import dataclass
from typing import Any

from toolkit.contract.graph_entry import Precision
from toolkit.contract.graph_io import GraphName


@dataclass(frozen=True)
class SessionSetting:
    """How one graph is run: the session's policy on the CPU, and the precision of the weights.

    Attributes:
        precision: of the weights.
        threads: within one operator.
        spinning: whether idle threads wait by spinning.
        arena: whether freed memory is kept in onnxruntime's arena.
        memory_pattern: whether the memory of a shape that comes again is planned as one block.
        optimisation: `all`, `basic` or `none`.
    """

    precision: Precision
    threads: int = 1
    spinning: bool = False
    arena: bool = False
    memory_pattern: bool = True
    optimisation: str = "all"


@dataclass(frozen=True)
class SessionTrial:
    """One setting beside the one in force at that moment, in turns.

    Attributes:
        graph: that was run, one series a call.
        step: what was varied: `precision`, `optimisation`, `arena`, `memory pattern`, `threads`, `spinning`; or
            `winner`, the last comparison, with the default.
        setting: that was tried.
        p50_ms: its median call.
        reference_p50_ms: that of the setting in force.
        cpu_s_per_1000: processor seconds per 1,000 calls.
        reference_cpu_s_per_1000: that of the setting in force.
        ratio: time of the setting in force over this one's, the median over rounds.
        ratio_interval: its 95 % interval.
        needed: what the lower end of the interval had to be above.
        kept: whether it became the setting in force.
        reason: in words.
        idle_cpu: part of a core that is used in the pause after a block; None where it was not measured.
        reference_idle_cpu: that of the setting in force.
        block_medians_ms: the median call of each round.
        reference_block_medians_ms: those of the setting in force, in the same rounds.
    """

    graph: GraphName
    step: str
    setting: SessionSetting
    p50_ms: float
    reference_p50_ms: float
    cpu_s_per_1000: float
    reference_cpu_s_per_1000: float
    ratio: float
    ratio_interval: tuple[float, ...]
    needed: float
    kept: bool
    reason: str
    idle_cpu: float | None = None
    reference_idle_cpu: float | None = None
    block_medians_ms: tuple[float, ...] = ()
    reference_block_medians_ms: tuple[float, ...] = ()


@dataclass(frozen=True)
class SessionWinner:
    """What one graph is to be run with on this machine.

    Attributes:
        graph: of the bundle.
        setting: that won.
        default: whether it is the one that runs without a session file.
        speedup: the default's time over this one's; 1 where the default won.
        speedup_interval: its 95 % interval; empty where the default won.
    """

    graph: GraphName
    setting: SessionSetting
    default: bool
    speedup: float = 1.0
    speedup_interval: tuple[float, ...] = ()


@dataclass(frozen=True)
class SessionReport:
    """The report of `tune-session`.

    Attributes:
        bundle: its name and the SHA-256 of its manifest.
        trials: in the order in which they were made.
        winners: one for each graph.
        notes: what was not tried and why.
        environment: machine and versions.
    """

    bundle: dict[str, str]
    trials: tuple[SessionTrial, ...]
    winners: tuple[SessionWinner, ...]
    notes: tuple[str, ...]
    environment: dict[str, Any]
    schema: str = "session-tuning/1"
