"""A process that answers with onnxruntime beside one that answers with torch: its start, its memory, what it burns.

    python benchmarks/processes.py --json benchmarks/results/processes.json

Three contenders, each in a process of its own and one at a time: the toolkit's predictor as it is deployed, the same
graph in a session with onnxruntime's own options, and torch with the bundle's weights. Figures: from before the process
is made to its first answer, resident memory after a thousand calls, and the processor seconds of 1,000 predictions at
50 per second, the waiting between them included. Ratios are medians over rounds of the ratio within a round.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from toolkit.atomic_files import write_text
from toolkit.benchmark.cold import measure_cold, sum_up
from toolkit.benchmark.paced import PacedMeasurement, measure_paced
from toolkit.benchmark.scenarios import ONNXRUNTIME, TORCH
from toolkit.benchmark.statistics import median_ratio, ratio_interval
from toolkit.benchmark.worker_protocol import Worker
from toolkit.benchmark.workers import DEFAULT_SESSION, bundle_workers
from toolkit.parity.torch_worker import torch_worker_spec
from toolkit.runtime.environment import environment

MUST_AND_AIM = {"cpu": (10.0, 30.0), "start": (8.0, 11.0), "memory": (3.3, 4.2)}
"""Ratios: the default session's processor seconds over ours, torch's start and memory over ours."""
RATE_HZ = 50.0

Figures = dict[str, dict[str, list[float]]]
"""By claim and contender, one figure for each round."""


def contenders(folder: Path) -> tuple[Worker, ...]:
    torch = torch_worker_spec(folder)
    if torch is None:
        raise SystemExit(f"{folder} has no weights for torch: export it with them")
    return (*bundle_workers(folder), torch)


def figures(workers: Sequence[Worker], runs: int, seconds: float) -> tuple[Figures, dict[str, Any]]:
    """The rounds' figures, and what of a start each part takes."""
    cold, paced = measure_cold(workers, runs), measure_paced(workers, RATE_HZ, seconds)
    by_name = [(worker.contender, own) for worker, own in zip(workers, cold, strict=True)]
    starts = {name: [one.start.total_ns / 1e6 for one in own] for name, own in by_name}
    memory = {name: [one.memory.rss_mb or 0.0 for one in own] for name, own in by_name}
    cpu = {one.worker.contender: list(one.cpu_s_per_1000) for one in paced}
    parts = {row.contender: asdict(row) for row in sum_up(workers, cold)}
    return {"start": starts, "memory": memory, "cpu": cpu}, {"starts": parts, "service_ns": service_ns(paced)}


def service_ns(paced: Sequence[PacedMeasurement]) -> dict[str, list[list[int]]]:
    """Every call of `paced`, by rounds."""
    return {one.worker.contender: one.service_ns.tolist() for one in paced}


def verdicts(by_claim: Figures) -> dict[str, dict[str, Any]]:
    """Each claim's ratio with its interval, beside what is required."""
    told = {}
    for claim, of_contender in by_claim.items():
        theirs = of_contender[DEFAULT_SESSION if claim == "cpu" else TORCH]
        ours, (must, aim) = of_contender[ONNXRUNTIME], MUST_AND_AIM[claim]
        # Those statistics count in whole nanoseconds, and nothing below one.
        scaled = [[value * 1e6 for value in values] for values in (theirs, ours)]
        ratio = median_ratio(*scaled)
        told[claim] = {"ratio": ratio, "interval": ratio_interval(*scaled), "must": must, "aim": aim}
    return told


def lines(by_claim: Figures, told: dict[str, dict[str, Any]]) -> list[str]:
    units = {"start": "ms to the first answer", "memory": "MB resident", "cpu": f"CPU s per 1,000 at {RATE_HZ:g} Hz"}
    written = []
    for claim, of_contender in by_claim.items():
        medians = ", ".join(f"{name} {statistics.median(values):.4g}" for name, values in of_contender.items())
        one = told[claim]
        low, high = one["interval"]
        reached = "aim" if one["ratio"] >= one["aim"] else "must" if one["ratio"] >= one["must"] else "MISSED"
        written.append(
            f"{units[claim]:26} {medians}; ratio {one['ratio']:.2f} ({low:.2f} to {high:.2f}), "
            f"must {one['must']:g}, aim {one['aim']:g}: {reached}"
        )
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--bundle", type=Path, default=Path("exported/pump-station"), help="two layers of 64, 9 channels"
    )
    parser.add_argument("--runs", type=int, default=15, help="starts of each contender (default 15)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of requests to each contender (default 30)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures are written")
    options = parser.parse_args()
    by_claim, details = figures(contenders(options.bundle), options.runs, options.seconds)
    told = verdicts(by_claim)
    print("\n".join(lines(by_claim, told)), flush=True)
    if options.json is not None:
        report = {"environment": environment(), "rate_hz": RATE_HZ, "verdicts": told, "rounds": by_claim, **details}
        write_text(options.json, json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
