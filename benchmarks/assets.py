"""How many assets one core serves at 1, 10 and 100 ticks a second, by the windowed and the streaming graph.

    python benchmarks/assets.py exported/pump-station --json benchmarks/results/assets.json

The scenario `assets` of the benchmark runner by itself, a few times over: a capacity hangs on a 99th percentile, which
one stall of the machine moves, so that the median of some runs is what is told. Run it on a quiet machine.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from toolkit.atomic_files import write_text
from toolkit.benchmark.assets import RATES, asset_capacities
from toolkit.contract.latency_reports import AssetCapacity
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.environment import environment
from toolkit.runtime.golden import check_golden
from toolkit.runtime.session_file import manifest_sha256


def summary(runs: Sequence[Sequence[AssetCapacity]]) -> list[dict[str, Any]]:
    """By graph and rate: the median of the runs, and what each of them found."""
    return [
        {
            "graph": each[0].graph,
            "precision": each[0].precision,
            "rate_hz": each[0].rate_hz,
            "assets": int(median(one.assets for one in each)),
            "runs": [asdict(one) for one in each],
        }
        for each in zip(*runs, strict=True)
    ]


def _line(row: dict[str, Any]) -> str:
    found = ", ".join(str(run["assets"]) for run in row["runs"])
    return f"{row['graph']:9}  {row['precision']}  {row['rate_hz']:5g} Hz  {row['assets']:8,} assets  ({found})"


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="for one number of assets")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    bundle = load_bundle(options.bundle)
    check_golden(bundle)
    runs = [asset_capacities(bundle, RATES, options.seconds) for _ in range(options.runs)]
    rows = summary(runs)
    print("\n".join(map(_line, rows)))
    if options.json is not None:
        about = {"name": bundle.manifest.name, "manifest_sha256": manifest_sha256(bundle)}
        report = {"seconds": options.seconds, "bundle": about, "capacities": rows, "environment": environment()}
        write_text(options.json, json.dumps(report, indent=2, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
