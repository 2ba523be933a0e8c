"""Latency of a bundle's graphs, beside any other contender that is passed in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.benchmark.scenarios import Contender, Scenario, run_scenario
from toolkit.benchmark.timing import Clock, SystemClock
from toolkit.contract.graph_entry import GraphEntry
from toolkit.contract.graph_io import GraphName, SizeLimits
from toolkit.contract.latency_reports import LatencyReport, LatencyRow
from toolkit.contract.manifest import GOLDEN
from toolkit.contract.model_spec import LARGEST
from toolkit.errors import ConfigError
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.environment import environment, usable_cores
from toolkit.runtime.golden import unpack_golden
from toolkit.runtime.session import CPU, SessionPolicy

LONGEST_S = 3600.0
"""For one scenario."""

Feed = Mapping[str, NDArray[np.float32]]
OtherContender = Callable[[GraphName, Feed], Contender]
"""Builds a contender of another runtime for a graph and its inputs."""


@dataclass(frozen=True)
class BenchmarkPlan:
    """What to measure.

    Attributes:
        batches: series in a call.
        sequences: samples in a windowed call; empty means the model's window. A streaming call takes one sample.
        providers: execution providers that really run.
        threads: within one operator.
        seconds: for each scenario, warm-up included.
    """

    batches: tuple[int, ...] = (1, 64)
    sequences: tuple[int, ...] = ()
    providers: tuple[str, ...] = (CPU,)
    threads: int = 1
    seconds: float = 2.0

    def __post_init__(self) -> None:
        for name, values in (("--batch", self.batches), ("--sequence", self.sequences), ("--threads", (self.threads,))):
            wrong = [value for value in values if not 1 <= value <= LARGEST]
            if wrong:
                raise ConfigError(name, got=wrong[0], allowed=f"1 or more, at most {LARGEST}")
        if self.threads > usable_cores():
            raise ConfigError("--threads", got=self.threads, allowed=f"1 to {usable_cores()}, this machine's cores")
        if not 0 < self.seconds <= LONGEST_S:
            raise ConfigError("--seconds", got=self.seconds, allowed=f"more than 0, up to {LONGEST_S}")


def benchmark_bundle(
    bundle: Bundle,
    plan: BenchmarkPlan,
    others: Sequence[OtherContender] = (),
    notes: Sequence[str] = (),
    clock: Clock | None = None,
) -> LatencyReport:
    """Measures a bundle's graphs in turns with other contenders, within one process.

    Args:
        bundle: whose graphs to run.
        plan: what to measure.
        others: further contenders, such as torch.
        notes: what was not measured and why.
        clock: where time comes from; None means the system's.

    Raises:
        BundleError: a graph that does not load.
        ConfigError: a sequence shorter than the model takes.
    """
    rows: list[LatencyRow] = []
    for graph, batch, sequence in _requests(bundle, plan):
        feed = bundle_feed(bundle, graph, batch, sequence)
        entries = [entry for entry in bundle.manifest.graphs if entry.name == graph]
        own = [
            own_contender(bundle, entry, feed, SessionPolicy(plan.threads, provider=name))
            for name in plan.providers
            for entry in entries
            if entry.precision != "int8" or name == CPU  # no other provider has a kernel for it
        ]
        contenders = (*(other(graph, feed) for other in others), *own)
        scenario = Scenario(_scenario_name(graph, batch), batch, sequence, contenders)
        rows += run_scenario(scenario, clock or SystemClock(), plan.seconds)[0]
    return LatencyReport(tuple(rows), tuple(notes), environment())


def bundle_feed(bundle: Bundle, graph: GraphName, batch: int, sequence: int) -> dict[str, NDArray[np.float32]]:
    """Inputs of a size, cut from the bundle's golden vectors and repeated, so that they lie in the model's range."""
    tensors = bundle.signature(graph)
    cases = unpack_golden(bundle.read(GOLDEN))
    readings = tensors.data[0].name
    golden = max((case for case in cases if case.graph == graph), key=lambda case: case.inputs[readings].size).inputs
    sizes = {tensors.batch_axis: batch, tensors.sequence_axis: sequence}
    feed: dict[str, NDArray[np.float32]] = {}
    for tensor in tensors.inputs:
        array = golden[tensor.name]
        for place, axis in enumerate(tensor.axes):
            if isinstance(axis, str) and axis in sizes:
                array = np.take(array, np.arange(sizes[axis]) % array.shape[place], axis=place)
        feed[tensor.name] = np.ascontiguousarray(array)
    return feed


def _requests(bundle: Bundle, plan: BenchmarkPlan) -> list[tuple[GraphName, int, int]]:
    requests: list[tuple[GraphName, int, int]] = []
    for name in bundle.manifest.names:
        entry = bundle.manifest.graph(name)
        batch_axis, sequence_axis = entry.signature.batch_axis, entry.signature.sequence_axis
        sequences = plan.sequences or (entry.limits.clipped(sequence_axis, bundle.manifest.window_length),)
        _check_sizes("--sequence", sequences, entry.limits, sequence_axis)
        _check_sizes("--batch", plan.batches, entry.limits, batch_axis)
        step = entry.limits.at_least(sequence_axis)
        lengths = (step,) if name == "streaming" else sequences if sequence_axis is not None else (1,)
        batches = plan.batches if batch_axis is not None else (1,)
        requests += [(name, batch, sequence) for sequence in lengths for batch in batches]
    return requests


def _check_sizes(option: str, sizes: Sequence[int], limits: SizeLimits, axis: str | None) -> None:
    for size in sizes:
        if axis is not None and limits.clipped(axis, size) != size:
            most = f", at most {limits.most[axis]}" if axis in limits.most else ""
            raise ConfigError(option, got=size, allowed=f"{limits.at_least(axis)} or more{most} for this model")


def _scenario_name(graph: GraphName, batch: int) -> str:
    if graph == "streaming":
        return "stream"
    return "single" if batch == 1 else "bulk"


def own_contender(bundle: Bundle, entry: GraphEntry, feed: Feed, policy: SessionPolicy) -> Contender:
    """onnxruntime as it is deployed: behind the guards."""
    graph = bundle.guarded(entry, policy)
    given = dict(feed)
    return Contender(
        "onnxruntime", entry.name, policy.provider, entry.precision, policy.threads, lambda: graph.run(given)
    )
