"""Latency on CUDA or another provider beside this CPU: whole calls, copies and compute apart, and the crossover.

    python benchmarks/cuda.py --json benchmarks/results/cuda.json

See cuda.md for what has to be installed. On a machine where the provider does not run it ends with one line.
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

import onnxruntime

from toolkit.benchmark.crossover import BATCHES, crossovers
from toolkit.benchmark.device_copies import cpu_contenders, measure_on_device
from toolkit.benchmark.plan import BenchmarkPlan, requests_of
from toolkit.benchmark.surroundings import described_bundle, load_average, surroundings
from toolkit.benchmark.timing import SystemClock
from toolkit.cli.console import write_report
from toolkit.contract.latency_reports import LatencyReport, LatencyRow
from toolkit.errors import ToolkitError
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.golden import check_golden
from toolkit.runtime.provider_choice import running_providers
from toolkit.runtime.provider_nodes import require_provider
from toolkit.runtime.session import CPU, SessionPolicy

ROOT = Path(__file__).resolve().parent.parent


def measured(folder: Path, provider: str, batches: tuple[int, ...], threads: int, seconds: float) -> LatencyReport:
    (name,) = running_providers([provider])
    bundle = load_bundle(folder)
    check_golden(bundle)
    plan = BenchmarkPlan(batches, providers=tuple({CPU: None, name: None}), threads=threads, seconds=seconds)
    for graph in bundle.manifest.names:
        require_provider(bundle, bundle.manifest.graph(graph, "fp32"), SessionPolicy(provider=name))
    load, rows = load_average(), list[LatencyRow]()
    for request in requests_of(bundle, plan):
        with ExitStack() as held:
            others = cpu_contenders(bundle, request, threads, held)
            fresh = measure_on_device(bundle, request, name, others, clock=SystemClock(), seconds=seconds)
        show(fresh)
        rows += fresh
    found = crossovers(rows)
    about = described_bundle(bundle, plan)
    return LatencyReport(tuple(rows), (), surroundings(bundle, plan, load), about, crossovers=found)


def show(rows: list[LatencyRow]) -> None:
    for row in rows:
        parts = (row.copy_in_ms, row.compute_ms, row.copy_out_ms)
        split = "" if None in parts else "  in {:.4f}, compute {:.4f}, out {:.4f}".format(*parts)
        who = f"{row.provider.removesuffix('ExecutionProvider')} {row.options.get('predictor', '')}"
        sys.stdout.write(f"{row.graph:9} {row.batch:5} x {row.sequence:3}  {who:20} {row.p50_ms:10.4f} ms{split}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", nargs="?", type=Path, default=ROOT / "exported" / "pump-station")
    parser.add_argument("--provider", default="cuda")
    parser.add_argument("--batch", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each request")
    parser.add_argument("--json", help="where to write the report")
    asked = parser.parse_args()
    onnxruntime.set_default_logger_severity(4)  # what goes wrong is told once, below
    try:
        report = measured(asked.bundle, asked.provider, tuple(asked.batch), asked.threads, asked.seconds)
        write_report(report, asked.json)
    except ToolkitError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_status)
    for one in report.crossovers:
        told = f"from batch {one.batch} on" if one.batch else f"at no batch of {', '.join(map(str, one.batches))}"
        sys.stdout.write(f"{one.graph}: {one.provider} beats this CPU {told}\n")


if __name__ == "__main__":
    main()
