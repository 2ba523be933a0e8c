"""Whether a precision is worth it, on this machine and on held-out readings: measured, decided, told in words."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.benchmark.statistics import median_ratio, ratio_interval
from toolkit.benchmark.timing import Clock, SystemClock, measure_in_turns, warm_up
from toolkit.contract.graph_io import GraphSignature
from toolkit.contract.manifest import Candidate, GraphEntry, Precision
from toolkit.release.held_out import HeldOut
from toolkit.runtime.predictors import GuardedGraph
from toolkit.runtime.session import create_session

MAX_ACCURACY_LOSS = 0.01
"""Of the fp32 error: a tenth of what two trainings with other seeds differ by."""

MEASURED_S = 1.5
"""For one graph's contenders, warm-up included."""

LEAST_GAIN = 1.02
"""A variant that gains less than a fiftieth is not worth a second file."""

Feed = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Variant:
    """One graph in one precision, ready to be run."""

    entry: GraphEntry
    content: bytes
    graph: GuardedGraph


def variant(entry: GraphEntry, content: bytes) -> Variant:
    """Loads a graph behind its guards."""
    session = create_session(content, None, entry.file)
    graph = GuardedGraph(session, entry.signature, entry.min_sizes, entry.one_series)
    return Variant(entry, content, graph)


def candidates(
    fp32: Variant,
    variants: Sequence[Variant],
    request: Feed,
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
        request: what is timed: one series.
        held_out: what the forecast is scored on; None leaves the accuracy unknown.
        max_accuracy_loss: how much the mean absolute error of any target may grow, as a part of fp32's.
        must_be_faster: whether a variant that is not faster beyond noise is given up.
        seconds: for the timing.
        clock: where time comes from; None means the system's.

    Returns:
        A candidate for each variant; at most one is kept, the fastest.
    """
    timed = _timed([fp32, *variants], request, seconds, clock or SystemClock())
    reference = np.zeros(0) if held_out is None else mean_errors(fp32.graph, held_out)
    found = []
    for each, speed in zip(variants, timed, strict=True):
        errors = None if held_out is None else mean_errors(each.graph, held_out)
        loss = None if errors is None else _loss(errors, reference)
        against = _reason_against(speed, loss, max_accuracy_loss, must_be_faster=must_be_faster)
        size = len(each.content) / len(fp32.content)
        found.append(
            Candidate(
                graph=each.entry.name,
                precision=each.entry.precision,
                speedup=speed[0],
                speedup_range=speed[1],
                accuracy_loss=loss if loss is not None and np.isfinite(loss) else None,
                error=_finite(errors),
                fp32_error=_finite(reference),
                bytes=len(each.content),
                kept=against is None,
                reason=against or _reason_for(speed, loss, size),
            )
        )
    best = max((c for c in found if c.kept), key=lambda c: c.speedup or 0.0, default=None)
    return [_slower_than(c, best) if c.kept and best is not None and c is not best else c for c in found]


def _loss(errors: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """How much the error of the target grows that suffers most, as a part of fp32's; infinite where that is 0."""
    grown = errors - reference
    parts = np.divide(grown, reference, out=np.where(grown > 0, np.inf, 0.0), where=reference > 0)
    return float(np.max(parts)) if np.isfinite(errors).all() else np.inf


def _finite(errors: NDArray[np.float64] | None) -> tuple[float, ...]:
    """For the manifest, which has no infinity."""
    return () if errors is None or not np.isfinite(errors).all() else tuple(map(float, errors))


def mean_errors(graph: GuardedGraph, held_out: HeldOut) -> NDArray[np.float64]:
    """Mean absolute error of each target, in its unit, of the forecast after a window's last sample."""
    tensors = graph.tensors
    errors = np.zeros(held_out.y.shape[-1])
    for x, y in zip(held_out.x, held_out.y, strict=True):
        forecast = _last_answer(graph.run(_feed(tensors, x)), tensors).reshape(y.shape)
        errors += np.abs(forecast.astype(np.float64) - y).mean(axis=0)
    return np.asarray(errors / len(held_out.x))


def _feed(tensors: GraphSignature, x: NDArray[np.float32]) -> Feed:
    """One window as a batch of one, its states zero."""
    readings = tensors.data[0]
    window = x[None] if readings.axes[0] == tensors.batch_axis else x[:, None]
    states = {
        name: np.zeros([1 if isinstance(axis, str) else axis for axis in tensors.input(name).axes], np.float32)
        for name in tensors.states
    }
    return {readings.name: np.ascontiguousarray(window), **states}


def _last_answer(outputs: dict[str, NDArray[np.float32]], tensors: GraphSignature) -> NDArray[np.float32]:
    """The forecast of the one series, after its last step where there is one after each."""
    answer = tensors.answers[0]
    symbolic = sum(isinstance(axis, str) for axis in answer.axes)  # they stand in front: see `horizon_of`
    last: NDArray[np.float32] = outputs[answer.name][(-1,) * symbolic]
    return last


Speed = tuple[float, tuple[float, float]]


def _timed(contenders: Sequence[Variant], request: Feed, seconds: float, clock: Clock) -> list[Speed]:
    """fp32's time over each variant's, and its interval."""
    calls = [lambda graph=v.graph: graph.run(request) for v in contenders]
    reference, *others = measure_in_turns(calls, clock, warm_up(calls, clock, seconds))
    pairs = [(reference.block_medians_ns, other.block_medians_ns) for other in others]
    return [(median_ratio(*pair), ratio_interval(*pair)) for pair in pairs]


def _reason_against(speed: Speed, loss: float | None, max_loss: float, *, must_be_faster: bool) -> str | None:
    ratio, (low, high) = speed
    if loss is not None and not loss <= max_loss:
        grown = f"{100 * loss:.2f} % larger" if np.isfinite(loss) else "infinitely larger"
        return f"not kept: its error on held-out readings is {grown}, {100 * max_loss:g} % are allowed"
    if must_be_faster and loss is None:
        return "not kept: no held-out readings of what its answer forecasts, to measure its error on"
    if must_be_faster and high < 1.0 / LEAST_GAIN:
        return f"not worth it: {1 / ratio:.2f} times slower than fp32 here"
    if must_be_faster and low < LEAST_GAIN:
        return f"not worth it: {ratio:.2f} times as fast as fp32 here ({low:.2f} to {high:.2f}), no gain beyond noise"
    return None


def _reason_for(speed: Speed, loss: float | None, size: float) -> str:
    ratio, (low, high) = speed
    error = "error not measured" if loss is None else f"error {100 * loss:+.2f} %"
    speed_told = f"{ratio:.2f} times as fast as fp32 here ({low:.2f} to {high:.2f})"
    return f"kept: {speed_told}, {error}, {100 * size:.0f} % of its size"


def _slower_than(candidate: Candidate, best: Candidate) -> Candidate:
    reason = f"not kept: {best.precision} is faster ({best.speedup or 0.0:.2f} times as fast as fp32)"
    return dataclasses.replace(candidate, kept=False, reason=reason)


def precisions(requested: str) -> tuple[Precision, ...]:
    """The variants that a request asks for, beside fp32 which is always there."""
    return {"fp32": (), "fp16": ("fp16",), "int8": ("int8",), "auto": ("fp16", "int8")}[requested]  # type: ignore[return-value]
