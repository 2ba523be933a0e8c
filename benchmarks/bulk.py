"""How many series a call should hold, and what a second core brings.

    python benchmarks/bulk.py --json benchmarks/results/bulk.json

1,024 windows of 60, the plain joint LSTM of two layers of 64 units, nine channels. One call of a plain session beside
chunks of several sizes, all on one thread and in turns; then all cores that this process may use. Every answer is that
of the one call, to the bit, or the program ends.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from export_speed import Subject, feed_of, torch_graph
from runtime_speed import plain

from toolkit.atomic_files import write_text
from toolkit.benchmark.statistics import median_ratio
from toolkit.benchmark.timing import SystemClock, measure_in_turns, warm_up
from toolkit.export.graphs import export_torch_graph
from toolkit.runtime.bulk import BULK_POLICY, BulkPredictor
from toolkit.runtime.environment import environment, usable_cores
from toolkit.runtime.guarded_graph import GuardedGraph
from toolkit.runtime.session import SessionPolicy, create_session

SERIES, WINDOW = 1024, 60
CHUNKS = (1, 4, 8, 12, 16, 24, 32, 48, 64, 128, 1024)

Call = Callable[[], Any]


def calls() -> dict[str, Call]:
    graph = torch_graph(Subject("forecaster", "windowed", 64, 2))
    content = export_torch_graph(graph).SerializeToString()
    x = feed_of(graph, SERIES, WINDOW)["x"]

    def bulk(chunk: int | None, cores: int, policy: SessionPolicy = BULK_POLICY) -> Call:
        graphs = [GuardedGraph(create_session(content, policy), graph.tensors) for _ in range(cores)]
        return partial(BulkPredictor(graphs, chunk).predict, x)

    made = {"one plain call": partial(plain(content).run, None, {"x": x})}
    made |= {f"chunks of {chunk}": bulk(chunk, 1) for chunk in CHUNKS}
    made["chunks of 32, arena off"] = bulk(32, 1, SessionPolicy())
    made[f"chunks of 32 on {usable_cores()} cores"] = bulk(None, usable_cores())
    return made


def check_agreement(made: dict[str, Call]) -> None:
    first, *others = [np.asarray(call()).reshape(SERIES, -1) for call in made.values()]
    if not all(np.array_equal(first, other) for other in others):
        raise SystemExit("chunks give another answer than one call: nothing to compare")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="for all of them (default 60)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures are written")
    options = parser.parse_args()
    made = calls()
    check_agreement(made)
    plan = warm_up([*made.values()], SystemClock(), options.seconds)
    timed = measure_in_turns([*made.values()], SystemClock(), plan)
    blocks = {name: m.block_medians_ns for name, m in zip(made, timed, strict=True)}
    whole = blocks["one plain call"]
    ratios = {name: round(median_ratio(whole, own), 3) for name, own in blocks.items()}
    for name, own in blocks.items():
        print(f"{name:26} {np.median(own) / 1e6:7.1f} ms   {ratios[name]:.2f} times as fast as one plain call")
    if options.json is not None:
        raw = {name: [round(value) for value in own] for name, own in blocks.items()}
        report = {"environment": environment(), "ratios": ratios, "block_medians_ns": raw}
        write_text(options.json, json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
