"""Where the time of one call goes: Python, onnxruntime's overhead, and the work of operators, layers and gates."""

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from toolkit.benchmark.bundle import bundle_feed
from toolkit.benchmark.machine_peak import floor_us, measured_peaks
from toolkit.benchmark.profile_calls import (
    UNOPTIMISED,
    Feed,
    RecordedCall,
    bound_call,
    deployed_graph,
    empty_feed,
    empty_graph,
    recorded_call,
    users_call,
)
from toolkit.benchmark.profile_events import NodeRun
from toolkit.benchmark.profile_split import (
    US,
    CallTimes,
    Inflation,
    corrected,
    inflation_of,
    layer_work,
    node_times,
    operator_times,
)
from toolkit.benchmark.profile_work import Work, work_of
from toolkit.benchmark.timing import Call, Clock, Measurement, Plan, SystemClock, measure_in_turns, warm_up
from toolkit.contract.graph_entry import GraphEntry, Precision
from toolkit.contract.graph_io import GraphName
from toolkit.contract.model_spec import LARGEST
from toolkit.contract.profile_reports import MachinePeak, NodeTime, Profile
from toolkit.errors import ConfigError
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.environment import environment
from toolkit.runtime.onnx_file import read_onnx
from toolkit.runtime.session import CPU, SessionPolicy, create_session

COUNTING_CALLS = 3
LONGEST_CHAIN = 2_000
"""Nodes of the empty graph; of a graph that runs more of them the overhead is that many times as large."""
LONG_RANK = 4
"""Axes of the empty graph's tensors where the profiler has much to write."""
EVENTS_PER_S, MOST_EVENTS = 10_000, 20_000
"""Kernels that are recorded: each takes 500 bytes of the profile's file and 0.1 ms to be read again."""
PLAIN_SHARE, PEAK_SHARE = 0.5, 0.25
"""Of the time; what is left goes to calls under the profiler."""
NOISY = 0.1
FAR_SCALE = 1.25
UNCOUNTED = 0.25
"""Of the kernels' time: from then on an operator without counted arithmetic is told."""


@dataclass(frozen=True)
class _Request:
    """What is profiled."""

    bundle: Bundle
    entry: GraphEntry
    policy: SessionPolicy
    batch: int
    sequence: int

    @property
    def feed(self) -> Feed:
        """Inputs of that size."""
        return bundle_feed(self.bundle, self.entry.name, self.batch, self.sequence)


@dataclass(frozen=True)
class _Measured:
    """What was timed and recorded."""

    times: CallTimes
    runs: tuple[NodeRun, ...]
    inflation: Inflation
    calls: int
    profiled_calls: int
    variation: float


def profile_graph(
    bundle: Bundle,
    graph: GraphName,
    precision: Precision | None = None,
    *,
    batch: int = 1,
    sequence: int | None = None,
    seconds: float = 2.0,
    clock: Clock | None = None,
    policy: SessionPolicy | None = None,
) -> Profile:
    """Profiles one graph of a bundle on the CPU.

    Args:
        bundle: whose graph to run.
        graph: `windowed`, or one step of `streaming`.
        precision: of the weights; None means the preferred one.
        batch: series in a call.
        sequence: samples in a call; None means the model's window, or one step.
        seconds: for all of it, roughly.
        clock: where time comes from; None means the system's. onnxruntime's profile has a clock of its own.
        policy: of the sessions; None means the default one.

    Raises:
        BundleError: no such graph, or one that does not load.
        ConfigError: sizes that the graph does not take, seconds not above 0, or another provider than the CPU.
    """
    clock, policy = clock or SystemClock(), policy or SessionPolicy()
    if policy.provider != CPU:
        raise ConfigError("provider of a profile", got=policy.provider, allowed=CPU)
    entry = bundle.manifest.graph(graph, precision)
    length = _checked_length(entry, batch, sequence, bundle.manifest.window_length)
    request = _Request(bundle, entry, policy, batch, length)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        measured = _measured(request, clock, seconds, Path(folder))
    content, _ = deployed_graph(bundle, entry, request.feed)
    work = work_of(read_onnx(content, entry.file), measured.runs)
    return _profile(request, measured, work, measured_peaks(work.products, clock, seconds * PEAK_SHARE))


def _checked_length(entry: GraphEntry, batch: int, sequence: int | None, window: int) -> int:
    """Samples in a call, after a look at both sizes."""
    batch_axis, sequence_axis = entry.signature.batch_axis, entry.signature.sequence_axis
    usual = 1 if sequence_axis is None or entry.name == "streaming" else window
    length = entry.limits.clipped(sequence_axis, usual) if sequence is None else sequence
    _check_size("--batch of a profile", batch, entry, batch_axis)
    _check_size("--sequence of a profile", length, entry, sequence_axis)
    if entry.one_series and batch > 1:
        raise ConfigError("--batch of a profile", got=batch, allowed=f"1: {entry.precision} runs series one at a time")
    return length


def _check_size(what: str, size: int, entry: GraphEntry, axis: str | None) -> None:
    limits = entry.limits
    if axis is None and size != 1:
        raise ConfigError(what, got=size, allowed="1: this graph has a size of its own")
    if not 1 <= size <= LARGEST or limits.clipped(axis, size) != size:
        most = limits.most.get(axis or "", LARGEST)
        raise ConfigError(what, got=size, allowed=f"{limits.at_least(axis)} or more, at most {most}")


def _measured(request: _Request, clock: Clock, seconds: float, folder: Path) -> _Measured:
    """Plain and profiled calls in turns, so that both meet the same machine."""
    entry, policy = request.entry, request.policy
    content, feed = deployed_graph(request.bundle, entry, request.feed)
    nodes = _count_nodes(recorded_call(content, policy, feed, folder / "count"))
    chain = min(nodes, LONGEST_CHAIN)
    empty = empty_graph(chain, len(feed), len(entry.outputs))
    idle, nothing = replace(policy, optimisation=UNOPTIMISED), empty_feed(len(feed))
    recorded = recorded_call(content, policy, feed, folder / "graph")
    recorded_empty = [
        recorded_call(empty_graph(chain, len(feed), len(entry.outputs), rank), idle, empty_feed(len(feed), rank), place)
        for rank, place in ((1, folder / "short"), (LONG_RANK, folder / "long"))
    ]
    predict = users_call(request.bundle, entry, policy, request.feed, request.batch)
    bound = bound_call(create_session(content, policy), feed)
    plain = [predict, bound, bound_call(create_session(empty, idle), nothing)]
    calls: list[Call] = [*plain, recorded.call, *(each.call for each in recorded_empty)]
    plan = _with_profiled(warm_up(plain, clock, seconds * PLAIN_SHARE), nodes, seconds)
    taken = measure_in_turns(calls, clock, plan)
    runs, short, long = (each.runs(skip=COUNTING_CALLS) for each in (recorded, *recorded_empty))
    predict_us, bound_us, empty_us, profiled_us = (_median_us(measurement) for measurement in taken[:4])
    times = CallTimes(predict_us, bound_us, profiled_us, empty_us * max(nodes, 1) / max(chain, 1))
    blocks = taken[1].block_medians_ns
    return _Measured(
        times,
        runs,
        inflation_of(short, long),
        taken[0].calls_ns.size,
        taken[3].calls_ns.size,
        float(np.std(blocks) / max(float(np.mean(blocks)), 1.0)),
    )


def _count_nodes(recorded: RecordedCall) -> int:
    """Kernels that run in a call; the first is the plain one that `bound_call` makes to see the shapes."""
    for _ in range(COUNTING_CALLS):
        recorded.call()
    return sum(run.runs for run in recorded.runs(skip=1))


def _with_profiled(plan: Plan, nodes: int, seconds: float) -> Plan:
    """The same plan with the three recorded contenders, of as many calls as the profile's file should hold."""
    events = min(EVENTS_PER_S * seconds, MOST_EVENTS)
    most = max(1, int(events / (plan.rounds * max(nodes, 1))))
    count = min(most, max(plan.calls))
    return Plan(plan.rounds, (*plan.calls, count, count, count), (*plan.lead_in, 1, 1, 1))


def _median_us(measurement: Measurement) -> float:
    return float(np.median(measurement.block_medians_ns)) / US


def _profile(request: _Request, measured: _Measured, work: Work, peaks: tuple[MachinePeak, ...]) -> Profile:
    entry, times, inflation = request.entry, measured.times, measured.inflation
    nodes = node_times(measured.runs, times, inflation, work.numbers, work.flops)
    said = sum(corrected(measured.runs, inflation))
    floor = floor_us(work.products, peaks)
    scale = times.kernels_us / said if said > 0 else 1.0
    return Profile(
        bundle=request.bundle.manifest.name,
        graph=entry.name,
        precision=entry.precision,
        batch=request.batch,
        sequence=request.sequence,
        calls=measured.calls,
        profiled_calls=measured.profiled_calls,
        predict_us=times.predict_us,
        bound_us=times.bound_us,
        profiled_us=times.profiled_us,
        empty_us=times.empty_us,
        python_us=times.python_us,
        overhead_us=times.overhead_us,
        kernels_us=times.kernels_us,
        recorded_us=sum(run.recorded_us for run in measured.runs),
        inflation_us=statistics.fmean(map(inflation.of, measured.runs)) if measured.runs else 0.0,
        scale=scale,
        flops=sum(product.flops for product in work.products),
        weight_bytes=sum(product.weight_bytes for product in work.products),
        floor_us=floor,
        distance=None if floor is None else times.predict_us / floor,
        variation=measured.variation,
        python_share=times.python_us / times.whole_us,
        overhead_share=times.overhead_us / times.whole_us,
        kernels_share=times.kernels_us / times.whole_us,
        floor_share=None if floor is None else floor / times.whole_us,
        operators=operator_times(nodes),
        nodes=nodes,
        layers=layer_work(work.layers, nodes, peaks),
        peaks=peaks,
        notes=tuple(_notes(entry, measured, scale, nodes, peaks)),
        environment=environment(),
    )


def _notes(
    entry: GraphEntry, measured: _Measured, scale: float, nodes: Sequence[NodeTime], peaks: Sequence[MachinePeak]
) -> Iterator[str]:
    times = measured.times
    if measured.variation > NOISY:
        yield f"too noisy to tell: the rounds' medians vary by {100 * measured.variation:.0f} %"
    if times.predict_us < times.bound_us:
        yield "the predictor's call came out quicker than the bound call within it: noise, taken for 0"
    if times.empty_us >= times.bound_us:
        yield "a graph that does nothing came out no quicker: the kernels vanish in onnxruntime's overhead"
    elif not 1 / FAR_SCALE < scale < FAR_SCALE:
        yield f"the profile's kernels were scaled by {scale:.2f} to fit the plain call: small ones are uncertain"
    if entry.precision == "int8":
        yield "the floor is that of float32 weights; int8 reads a quarter of the bytes and may come below it"
    if any(peak.cores_used > 1 + NOISY for peak in peaks):
        yield "numpy's BLAS used more than one core for the peak: set OPENBLAS_NUM_THREADS=1"
    uncounted = [node for node in nodes if not node.flops and node.time_us > UNCOUNTED * times.kernels_us]
    if uncounted:
        names = ", ".join(dict.fromkeys(node.operator for node in uncounted))
        yield f"the floor counts matrix products alone, and nothing of {names}"
