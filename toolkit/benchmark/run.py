"""All scenarios of one benchmark, the report over them, and the raw samples beside it."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit import atomic_files
from toolkit.benchmark.assets import asset_capacities
from toolkit.benchmark.bundle import OnStage, OtherContender, measure_in_process
from toolkit.benchmark.cold import cold_starts
from toolkit.benchmark.crossover import crossovers
from toolkit.benchmark.device_copies import device_of, measure_on_device
from toolkit.benchmark.paced import paced_rows
from toolkit.benchmark.plan import BenchmarkPlan, requests_of
from toolkit.benchmark.surroundings import described_bundle, load_average, surroundings
from toolkit.benchmark.timing import Clock, SystemClock
from toolkit.benchmark.worker_protocol import Worker
from toolkit.benchmark.workers import bundle_workers
from toolkit.contract.latency_reports import LatencyReport, LatencyRow
from toolkit.contract.records import encode
from toolkit.runtime.bundle import Bundle


@dataclass(frozen=True, eq=False)
class Benchmark:
    """What was measured.

    Attributes:
        report: rows, cold starts, capacities and crossovers.
        samples: int64 [rounds, calls in a block] nanoseconds, each call of the report's first rows: those whose
            contenders take turns within this process.
    """

    report: LatencyReport
    samples: tuple[NDArray[np.int64], ...]


def run_benchmark(
    bundle: Bundle,
    plan: BenchmarkPlan,
    others: Sequence[OtherContender] = (),
    *,
    workers: Sequence[Worker] = (),
    notes: Sequence[str] = (),
    clock: Clock | None = None,
    on_stage: OnStage = lambda name: None,
) -> Benchmark:
    """Measures whatever the plan asks for.

    Args:
        bundle: whose graphs to run.
        plan: what to measure.
        others: further contenders within this process, such as torch.
        workers: further contenders in processes of their own, for `paced` and `cold`.
        notes: what was not measured and why.
        clock: where the time of this process comes from; None means the system's.
        on_stage: hears the name of each measurement that begins; `stages_of` says which there will be.

    Raises:
        BundleError: a graph that does not load.
        ConfigError: a size that the model does not take.
        RequestError: a process that dies or hangs.
    """
    load = load_average()
    clock = clock or SystemClock()
    turns = measure_in_process(bundle, plan, others, clock, on_stage)
    rows = (*turns.rows, *_device_rows(bundle, plan, clock, on_stage))
    report = LatencyReport(rows, (*notes, *turns.notes), {}, described_bundle(bundle, plan))
    report = _with_processes(replace(report, crossovers=crossovers(rows)), bundle, plan, workers, on_stage)
    if plan.includes("assets"):
        on_stage("assets")
        report = replace(report, capacities=asset_capacities(bundle, plan.asset_rates, plan.seconds, clock))
    return Benchmark(replace(report, environment=surroundings(bundle, plan, load)), turns.samples)


def write_samples(benchmark: Benchmark, path: Path) -> None:
    """Writes every call's time: an array `row_0000` for each row, and `rows`, JSON text that says whose they are.

    Raises:
        OutputError: the place cannot be written.
    """
    names = [f"row_{place:04}" for place in range(len(benchmark.samples))]
    kept = ("scenario", "contender", "graph", "provider", "precision", "batch", "sequence", "threads", "options")
    told = [encode(row) for row in benchmark.report.rows[: len(names)]]
    rows = [{"array": name, **{key: row[key] for key in kept}} for name, row in zip(names, told, strict=True)]
    arrays: dict[str, Any] = {"rows": np.array(json.dumps(rows)), **dict(zip(names, benchmark.samples, strict=True))}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    atomic_files.write_bytes(path, content.getvalue())


def stages_of(bundle: Bundle, plan: BenchmarkPlan) -> tuple[str, ...]:
    """The measurements of a plan by their names, in their order.

    Raises:
        ConfigError: as `requests_of`.
    """
    requests = [request.name for request in requests_of(bundle, plan)]
    devices = [f"{name} on {device}" for device in _devices(plan) for name in requests]
    return (*requests, *devices, *(name for name in ("paced", "cold", "assets") if plan.includes(name)))


def _devices(plan: BenchmarkPlan) -> list[str]:
    """Providers with memory of their own."""
    return [provider for provider in plan.providers if device_of(provider) != "cpu"]


def _device_rows(bundle: Bundle, plan: BenchmarkPlan, clock: Clock, on_stage: OnStage) -> list[LatencyRow]:
    """The same requests with copies measured apart, where a provider has memory of its own."""
    rows: list[LatencyRow] = []
    for provider in _devices(plan):
        for request in requests_of(bundle, plan):
            on_stage(f"{request.name} on {provider}")
            rows += measure_on_device(bundle, request, provider, clock=clock, seconds=plan.seconds)
    return rows


def _with_processes(
    report: LatencyReport, bundle: Bundle, plan: BenchmarkPlan, others: Sequence[Worker], on_stage: OnStage
) -> LatencyReport:
    if not (plan.includes("paced") or plan.includes("cold")):
        return report
    workers = (*bundle_workers(bundle.folder, plan.providers, plan.threads), *others)
    if plan.includes("paced"):
        on_stage("paced")
        rows = paced_rows(bundle.folder, workers, plan.rate_hz, plan.seconds)
        report = replace(report, rows=(*report.rows, *rows))
    if plan.includes("cold"):
        on_stage("cold")
        report = replace(report, cold=cold_starts(workers, plan.cold_runs))
    return report
