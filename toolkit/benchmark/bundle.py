"""Latency of a bundle's graphs, beside any other contender that is passed in, in turns within one process."""

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.benchmark.own_contenders import TUNED, Asked, Feed, own_contenders
from toolkit.benchmark.plan import BenchmarkPlan, Request, requests_of
from toolkit.benchmark.scenarios import Contender, Scenario, request_label, run_scenario
from toolkit.benchmark.surroundings import described_bundle, load_average, surroundings
from toolkit.benchmark.timing import Clock, SystemClock
from toolkit.contract.graph_entry import GraphEntry
from toolkit.contract.graph_io import GraphName
from toolkit.contract.latency_reports import LatencyReport, LatencyRow
from toolkit.contract.manifest import GOLDEN
from toolkit.errors import ContenderError
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.golden import unpack_golden
from toolkit.runtime.provider_nodes import require_provider
from toolkit.runtime.session import CPU, SessionPolicy

__all__ = [
    "BenchmarkPlan",
    "Feed",
    "OnStage",
    "OtherContender",
    "Turns",
    "benchmark_bundle",
    "bundle_feed",
    "measure_in_process",
]

OtherContender = Callable[[GraphName, Feed], Contender]
"""Builds a contender of another runtime for a graph and its inputs; `ContenderError` says that it does not work."""


OnStage = Callable[[str], None]
"""Hears the name of each measurement that begins."""


@dataclass(frozen=True, eq=False)
class Turns:
    """What contenders in turns gave.

    Attributes:
        rows: of the report.
        samples: int64 [rounds, calls in a block] nanoseconds, for each row.
        notes: contenders that do not work on a request, or were not warm when the measurement began.
    """

    rows: tuple[LatencyRow, ...]
    samples: tuple[NDArray[np.int64], ...]
    notes: tuple[str, ...]


def benchmark_bundle(
    bundle: Bundle,
    plan: BenchmarkPlan,
    others: Sequence[OtherContender] = (),
    notes: Sequence[str] = (),
    clock: Clock | None = None,
) -> LatencyReport:
    """Measures a bundle's graphs in turns with other contenders, within one process, and reports it.

    Args:
        bundle: whose graphs to run.
        plan: what to measure; scenarios that need processes of their own are left out.
        others: further contenders, such as torch.
        notes: what was not measured and why.
        clock: where time comes from; None means the system's.

    Raises:
        BundleError: a graph that does not load.
        ConfigError: a size that the model does not take.
    """
    load = load_average()
    turns = measure_in_process(bundle, plan, others, clock)
    about = described_bundle(bundle, plan)
    return LatencyReport(turns.rows, (*notes, *turns.notes), surroundings(bundle, plan, load), about)


def measure_in_process(
    bundle: Bundle,
    plan: BenchmarkPlan,
    others: Sequence[OtherContender] = (),
    clock: Clock | None = None,
    on_stage: OnStage = lambda name: None,
) -> Turns:
    """The scenarios whose contenders take turns, each told to `on_stage`; the rest is as in `benchmark_bundle`."""
    rows: list[LatencyRow] = []
    samples: list[NDArray[np.int64]] = []
    changing: list[str] = []
    absent: list[str] = []
    requests = requests_of(bundle, plan)
    _check_providers(bundle, plan, {request.graph for request in requests})
    for request in requests:
        on_stage(request.name)
        feed = bundle_feed(bundle, request.graph, request.batch, request.sequence)
        with ExitStack() as held:
            contenders = (*_built(request, feed, others, absent), *_own(bundle, plan, request, feed, held))
            scenario = Scenario(request.scenario, request.batch, request.sequence, contenders)
            found, measured = run_scenario(scenario, clock or SystemClock(), plan.seconds)
        rows += found
        samples += [measurement.calls_ns for measurement in measured]
        changing += [request_label(row) for row, one in zip(found, measured, strict=True) if not one.settled]
    note = f"still changing when their warm-up had to end: {'; '.join(changing)}"
    return Turns(tuple(rows), tuple(samples), (*dict.fromkeys(absent), *([note] if changing else [])))


def _check_providers(bundle: Bundle, plan: BenchmarkPlan, graphs: AbstractSet[GraphName]) -> None:
    """A provider that leaves nodes to the CPU is not what its rows would be taken for."""
    for name in plan.providers:
        for entry in _entries(bundle, name):
            if entry.name in graphs:
                require_provider(bundle, entry, SessionPolicy(threads=plan.threads, provider=name))


def _entries(bundle: Bundle, provider: str) -> list[GraphEntry]:
    """Graphs in the precisions that the provider has kernels for: int8 is the CPU's alone."""
    return [entry for entry in bundle.manifest.graphs if entry.precision != "int8" or provider == CPU]


def _built(request: Request, feed: Feed, others: Sequence[OtherContender], absent: list[str]) -> Iterator[Contender]:
    """Those that work on the request; why others do not is added to `absent`."""
    for other in others:
        try:
            yield other(request.graph, feed)
        except ContenderError as error:
            absent.append(str(error))


def _own(bundle: Bundle, plan: BenchmarkPlan, request: Request, feed: Feed, held: ExitStack) -> Iterator[Contender]:
    for name in plan.providers:
        policy = SessionPolicy(threads=plan.threads, provider=name)
        for entry in _entries(bundle, name):
            if entry.name == request.graph:
                yield from own_contenders(Asked(bundle, entry, request, feed, policy, held))
    if request.graph in plan.tuned:
        policy, precision = plan.tuned[request.graph]
        entry = bundle.manifest.graph(request.graph, precision)
        yield from own_contenders(Asked(bundle, entry, request, feed, policy, held, TUNED))


def bundle_feed(
    bundle: Bundle, graph: GraphName, batch: int, sequence: int, only: Sequence[str] | None = None
) -> dict[str, NDArray[np.float32]]:
    """Inputs of a size, cut from the bundle's golden vectors and repeated, so that they lie in the model's range.

    They are those of an ordinary window: another case may be the one that was hardest on the machine of the export.

    Args:
        bundle: whose graph is fed.
        graph: that is fed.
        batch: series.
        sequence: samples.
        only: the inputs that are wanted; None means all. States of many series take far longer than their readings.
    """
    tensors = bundle.signature(graph)
    cases = unpack_golden(bundle.read(GOLDEN))
    readings = tensors.data[0].name
    own = {case.name: case.inputs for case in cases if case.graph == graph}
    golden = own.get("window") or max(own.values(), key=lambda inputs: inputs[readings].size)
    sizes = {tensors.batch_axis: batch, tensors.sequence_axis: sequence}
    feed: dict[str, NDArray[np.float32]] = {}
    for tensor in tensors.inputs:
        if only is not None and tensor.name not in only:
            continue
        array = golden[tensor.name]
        for place, axis in enumerate(tensor.axes):
            if isinstance(axis, str) and axis in sizes:
                array = np.take(array, np.arange(sizes[axis]) % array.shape[place], axis=place)
        feed[tensor.name] = np.ascontiguousarray(array)
    return feed
