"""What `parity` found: cases, weights, other precisions, and where the error lies.

The rule for keys is that of `toolkit.contract.reports`.
"""

from dataclasses import dataclass
from typing import Any

NOT_FINITE = (
    "NaN and infinity are not compared: after a NaN torch's state is NaN for ever, onnxruntime's LSTM and GRU answer "
    "finite, wrong numbers at once and right ones some time later; the runtime refuses such input"
)


@dataclass(frozen=True)
class ParityCase:
    """One comparison of torch float64 (truth), torch float32 and onnxruntime, in standardised units.

    Attributes:
        graph: `windowed` or `streaming`.
        provider: the execution provider that ran.
        precision: of the graph's weights.
        batch: series in the call.
        sequence: samples of each.
        input: the family of inputs, or how the stream was cut.
        max_abs_diff: largest difference between torch float32 and onnxruntime.
        torch_error: largest difference between torch float32 and the truth.
        ort_error: largest difference between onnxruntime and the truth.
        tolerance: what `ort_error` was held against.
        passed: within tolerance, un-scaling included.
        problem: what went wrong, in words, or "".
        pool: the cases that share its tolerance: a family of inputs, `chunks`, or `turns` (sizes at which the module's
            code may go another way).
        threads: of the session.
        optimisation: of the session: `all`, `basic` or `none`.
    """

    graph: str
    provider: str
    precision: str
    batch: int
    sequence: int
    input: str
    max_abs_diff: float
    torch_error: float
    ort_error: float
    tolerance: float
    passed: bool
    problem: str = ""
    pool: str = ""
    threads: int = 1
    optimisation: str = "all"

    @property
    def used(self) -> float:
        """The part of its tolerance that the error used."""
        return self.ort_error / self.tolerance if self.tolerance else float(self.ort_error > 0) * float("inf")


@dataclass(frozen=True)
class Divergence:
    """The first place at which a failing case parts: tensor, step, series and channel, each counted from 0."""

    tensor: str
    step: int | None
    batch: int | None
    channel: str | None


@dataclass(frozen=True)
class Parting:
    """The node of a graph at which the values of a failing case first part from the module's.

    Attributes:
        node: its name, or its first output where it has none.
        operator: what it computes.
        module: what it stands for in the module, such as `lstm layer 1`.
        difference: the largest difference there.
        step: the first step that differs, counted from 0; None where there is no such axis.
        series: the first series.
        unit: the first unit or channel.
        cause: what was verified to be wrong, or "".
    """

    node: str
    operator: str
    module: str
    difference: float
    step: int | None
    series: int | None
    unit: str | None
    cause: str = ""


@dataclass(frozen=True)
class ChangedWeight:
    """A tensor of the module whose numbers a graph holds otherwise.

    Attributes:
        tensor: its name in the module.
        stored: the name of the graph's constant.
        differing: how many numbers differ.
        size: how many there are.
        difference: the largest.
        place: where that is in the module's tensor, counted from 0.
    """

    tensor: str
    stored: str
    differing: int
    size: int
    difference: float
    place: tuple[int, ...]


@dataclass(frozen=True)
class WeightCheck:
    """Weights, biases and scaling of one graph beside the module's.

    Attributes:
        graph: `windowed` or `streaming`.
        compared: tensors of the module.
        exact: those that the graph holds to the bit.
        changed: those that it holds otherwise.
        missing: those that are not found: folded into others, not used, or lost.
        strict: whether none may be missing, as in the toolkit's own modules.
    """

    graph: str
    compared: int
    exact: int
    changed: tuple[ChangedWeight, ...]
    missing: tuple[str, ...]
    strict: bool

    @property
    def passed(self) -> bool:
        """Whether the graph holds the module's weights, as far as that can be told."""
        return not self.changed and not (self.strict and self.missing)


@dataclass(frozen=True)
class VariantCheck:
    """A graph of a bundle in half precision or int8, judged beside the fp32 graph.

    Attributes:
        graph: `windowed` or `streaming`.
        precision: of its weights.
        problems: ways in which its weights are not fp32's, rounded.
        accuracy_loss: how much the forecast's mean absolute error grows of the target that suffers most, as a part of
            fp32's; None where there are no held-out readings.
        allowed: of that.
        windows: it was measured on.
        targets: names.
        error: mean absolute error by target, in its unit.
        fp32_error: the same of the fp32 graph.
    """

    graph: str
    precision: str
    problems: tuple[str, ...]
    accuracy_loss: float | None
    allowed: float
    windows: int
    targets: tuple[str, ...]
    error: tuple[float, ...]
    fp32_error: tuple[float, ...]

    @property
    def passed(self) -> bool:
        """Whether it holds the rounded weights, and the forecast stays as good as was allowed."""
        return not self.problems and (self.accuracy_loss is None or self.accuracy_loss <= self.allowed)


@dataclass(frozen=True)
class PlacedError:
    """The largest errors at one place.

    Attributes:
        place: a name, a number or a range, counted from 0.
        torch_error: of torch float32 against the truth.
        ort_error: of onnxruntime against the truth.
        scale: the largest number of the truth there; 0 where it was not asked.
    """

    place: str
    torch_error: float
    ort_error: float
    scale: float = 0.0


@dataclass(frozen=True)
class ErrorProfile:
    """Where the error of one graph lies, on ordinary inputs.

    Attributes:
        graph: `windowed` or `streaming`.
        input: the family of inputs.
        by_target: along the answer's last fixed axis.
        by_horizon: along the one before.
        by_position: along the sequence, where the answer has that axis.
        along_stream: steps of one long stream whose state is carried over.
    """

    graph: str
    input: str
    by_target: tuple[PlacedError, ...]
    by_horizon: tuple[PlacedError, ...]
    by_position: tuple[PlacedError, ...]
    along_stream: tuple[PlacedError, ...]


@dataclass(frozen=True)
class ParitySummary:
    """How many cases ran and failed, and how near the others came to it.

    Attributes:
        cases: comparisons.
        failed: of them.
        worst: the largest difference between torch and onnxruntime.
        used: the largest part of its tolerance that a case used. It tells more: at readings of thousands of standard
            deviations, which are tried as well, a large difference may be rounding.
    """

    cases: int
    failed: int
    worst: float
    used: float = 0.0


@dataclass(frozen=True)
class ParityReport:
    """The parity checker's report.

    Attributes:
        passed: every case.
        cases: one for each comparison.
        divergence: where the outputs of the first failing case part.
        summary: counts, and the largest difference.
        environment: versions and machine.
        notes: what could not be judged as usual, and why.
        parting: the node at which the first failing case parts.
        unit: of every error: standard deviations, or "" where the answer's own unit is not known.
        weights: what became of the module's weights in each graph.
        variants: graphs in other precisions.
        profiles: where the error lies; empty for a quick look.
        by_design: in which inputs torch and onnxruntime disagree without a fault of the graph.
    """

    passed: bool
    cases: tuple[ParityCase, ...]
    divergence: Divergence | None
    summary: ParitySummary
    environment: dict[str, Any]
    notes: tuple[str, ...] = ()
    parting: Parting | None = None
    unit: str = "standard deviations"
    weights: tuple[WeightCheck, ...] = ()
    variants: tuple[VariantCheck, ...] = ()
    profiles: tuple[ErrorProfile, ...] = ()
    by_design: str = NOT_FINITE
    schema: str = "parity/1"
