"""Whether a precision is worth it, on this machine and on held-out readings: measured, decided, told in words."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.benchmark.statistics import median_ratio, ratio_interval
from toolkit.benchmark.timing import Clock, SystemClock, measure_in_turns, warm_up
from toolkit.contract.graph_entry import GraphEntry, Precision
from toolkit.contract.manifest import Candidate
from toolkit.parity.forecast_errors import Errors, Loss, growth, mean_errors, scored_windows
from toolkit.parity.held_out import HeldOut
from toolkit.runtime.guarded_graph import GuardedGraph
from toolkit.runtime.session import create_session

MAX_ACCURACY_LOSS = 0.01
"""Of the fp32 error: a tenth of what two trainings with other seeds differ by."""

MEASURED_S = 1.5
"""For one graph's contenders, warm-up included. A batch is measured for half as long: nothing hangs on it."""

LEAST_GAIN = 1.02
"""A variant that gains less than a fiftieth is not worth a second file."""

Feed = dict[str, NDArray[np.float32]]
Speed = tuple[float, tuple[float, float]]
"""fp32's time over a variant's, the median over rounds, and its interval."""


@dataclass(frozen=True)
class Request:
    """A call that is timed.

    Attributes:
        feed: its inputs.
        series: how many.
        samples: of each; None for a graph whose inputs have no such axis.
    """

    feed: Feed
    series: int
    samples: int | None


@dataclass(frozen=True)
class Variant:
    """One graph in one precision, ready to be run.

    Attributes:
        entry: its line in the manifest.
        content: its file.
        graph: it, behind its guards.
        golden_error: its largest error on the golden vectors, as a part of what each answer varies by; None where
            that is unknown.
    """

    entry: GraphEntry
    content: bytes
    graph: GuardedGraph
    golden_error: float | None = None


def variant(entry: GraphEntry, content: bytes) -> Variant:
    """Loads a graph behind its guards."""
    session = create_session(content, None, entry.file)
    graph = GuardedGraph(session, entry.signature, entry.limits, entry.one_series)
    return Variant(entry, content, graph)


def candidates(
    fp32: Variant,
    variants: Sequence[Variant],
    requests: Sequence[Request],
    held_out: HeldOut | None,
    *,
    max_accuracy_loss: float = MAX_ACCURACY_LOSS,
    must_be_faster: bool = True,
    seconds: float = MEASURED_S,
    clock: Clock | None = None,
) -> list[Candidate]:
    """Measures the variants of one graph beside its fp32 form.

    Args:
        fp32: the graph as it is.
        variants: of it.
        requests: what is timed: one series, which decides, and, where the graph takes one, a batch, which is told.
        held_out: what the forecast is scored on; None leaves the accuracy unknown.
        max_accuracy_loss: how much the mean absolute error of any target may grow, as a part of fp32's.
        must_be_faster: whether a variant that is not faster beyond noise is given up.
        seconds: for the timing of one series.
        clock: where time comes from; None means the system's.

    Returns:
        A candidate for each variant; at most one is kept, the fastest.
    """
    clock, share = clock or SystemClock(), (seconds, seconds / 2)
    timed = [_timed([fp32, *variants], r.feed, s, clock) for r, s in zip(requests, share, strict=False)]
    scored = None if held_out is None else scored_windows(fp32.graph, held_out)
    reference = None if scored is None else mean_errors(fp32.graph, scored)
    found = []
    for each, speeds in zip(variants, zip(*timed, strict=True), strict=True):
        errors = loss = None
        if scored is not None and reference is not None:
            errors = mean_errors(each.graph, scored)
            loss = growth(errors, reference, scored.targets)
        told = _Told(requests, speeds, loss, max_accuracy_loss, each.golden_error, asked=not must_be_faster)
        found.append(_candidate(fp32, each, told, (errors, reference), 0 if scored is None else len(scored.x)))
    best = max((c for c in found if c.kept), key=lambda c: c.speedup or 0.0, default=None)
    return [_slower_than(c, best) if c.kept and best is not None and c is not best else c for c in found]


def _candidate(
    fp32: Variant, own: Variant, told: "_Told", errors: tuple[Errors | None, Errors | None], windows: int
) -> Candidate:
    one, *batch = zip(told.requests, told.speeds, strict=False)
    against = told.against()
    return Candidate(
        graph=own.entry.name,
        precision=own.entry.precision,
        speedup=one[1][0],
        speedup_range=one[1][1],
        accuracy_loss=None if told.loss is None else _number(told.loss.target),
        error=_by_target(errors[0]),
        fp32_error=_by_target(errors[1]),
        bytes=len(own.content),
        kept=against is None,
        reason=against or told.in_favour(len(own.content) / len(fp32.content)),
        series=one[0].series,
        samples=one[0].samples,
        batch=batch[0][0].series if batch else None,
        batch_speedup=batch[0][1][0] if batch else None,
        batch_speedup_range=batch[0][1][1] if batch else (),
        worst_step_loss=None if told.loss is None else _number(told.loss.step),
        windows=windows,
        golden_error=own.golden_error,
    )


def _number(value: float) -> float | None:
    """For the manifest, which has no infinity."""
    return value if np.isfinite(value) else None


def _by_target(errors: Errors | None) -> tuple[float, ...]:
    return () if errors is None or not np.isfinite(errors).all() else tuple(map(float, errors.mean(axis=0)))


def _timed(contenders: Sequence[Variant], request: Feed, seconds: float, clock: Clock) -> list[Speed]:
    """fp32's time over each variant's, and its interval."""
    calls = [lambda graph=v.graph: graph.run(request) for v in contenders]
    reference, *others = measure_in_turns(calls, clock, warm_up(calls, clock, seconds))
    pairs = [(reference.block_medians_ns, other.block_medians_ns) for other in others]
    return [(median_ratio(*pair), ratio_interval(*pair)) for pair in pairs]


@dataclass(frozen=True)
class _Told:
    """What was measured of one variant, and what is said of it.

    Attributes:
        requests: what was timed.
        speeds: of these.
        loss: None where it was not measured.
        max_loss: what is allowed.
        golden_error: of the variant, for want of a loss.
        asked: whether the precision was asked for by name: then it need not be faster, and that is said.
    """

    requests: Sequence[Request]
    speeds: Sequence[Speed]
    loss: Loss | None
    max_loss: float
    golden_error: float | None
    asked: bool

    def against(self) -> str | None:
        """Why it is not kept; None where it is."""
        if self.loss is not None and not self.loss.target <= self.max_loss:
            grown = _percent(self.loss.target).removeprefix("+")
            return f"not kept: its error on held-out readings is {grown} larger, {100 * self.max_loss:g} % are allowed"
        if self.asked:
            return None
        if self.loss is None:
            return "not kept: no held-out readings of what its answer forecasts, to measure its error on"
        verdict, speed = _verdict(self.speeds[0]), self._speed()
        noise = ", no gain beyond noise" if verdict == "no faster" else ""
        return None if verdict == "faster" else f"not worth it: {speed}{noise}"

    def in_favour(self, size: float) -> str:
        """What is gained and what it costs."""
        verdict = _verdict(self.speeds[0])
        though = "" if verdict == "faster" else f", though it is {verdict} here"
        kept = f"kept as asked{though}" if self.asked else "kept"
        return f"{kept}: {self._speed()}{self._batch()}; {self._error()}, {100 * size:.0f} % of its size"

    def _speed(self) -> str:
        one = self.requests[0]
        series = "one series" if one.series == 1 else f"{one.series} series"
        samples = "" if one.samples is None else f" of {one.samples} sample{'s' * (one.samples != 1)}"
        return f"{_compared(self.speeds[0])} for {series}{samples}"

    def _batch(self) -> str:
        return "".join(
            f"; a batch of {request.series} is {_compared(speed)}"
            for request, speed in zip(self.requests[1:], self.speeds[1:], strict=False)
        )

    def _error(self) -> str:
        if self.loss is None:
            golden = self.golden_error
            off = f" (on golden vectors up to {100 * golden:.2g} % of what its answers vary by)" if golden else ""
            return f"error not measured{off}"
        target, ahead = self.loss.where
        samples = f"{ahead} sample{'s' * (ahead != 1)}"
        worst = f" ({_percent(self.loss.step)} for {target} {samples} ahead)" if self.loss.step > self.max_loss else ""
        return f"error {_percent(self.loss.target)}{worst}"


def _verdict(speed: Speed) -> str:
    low, high = speed[1]
    return "faster" if low >= LEAST_GAIN else "slower" if high < 1.0 / LEAST_GAIN else "no faster"


def _compared(speed: Speed) -> str:
    ratio, (low, high) = speed
    if _verdict(speed) == "slower":
        return f"{1 / ratio:.2f} times slower than fp32 here ({1 / high:.2f} to {1 / low:.2f})"
    return f"{ratio:.2f} times as fast as fp32 here ({low:.2f} to {high:.2f})"


def _percent(part: float) -> str:
    return f"{100 * part:+.2f} %" if np.isfinite(part) else "infinitely"


def _slower_than(candidate: Candidate, best: Candidate) -> Candidate:
    reason = f"not kept: {best.precision} is faster ({best.speedup or 0.0:.2f} times as fast as fp32)"
    return dataclasses.replace(candidate, kept=False, reason=reason)


def precisions(requested: str) -> tuple[Precision, ...]:
    """The variants that a request asks for, beside fp32 which is always there."""
    return {"fp32": (), "fp16": ("fp16",), "int8": ("int8",), "auto": ("fp16", "int8")}[requested]  # type: ignore[return-value]
