"""What the predictors gain: beside torch eager, beside torch's default export in a plain session, beside one call.

    python benchmarks/runtime_speed.py --json benchmarks/results/runtime-speed.json

The plain joint LSTM of two layers of 64 units, nine channels, no window normalisation. Contenders take turns within one
process, each on one thread; bulk on two cores runs in a process for each contender, because torch's threads spin.
Answers are compared before anything is timed; a step gives its answer in memory that the next one overwrites. "Plain"
is an `InferenceSession` with onnxruntime's own options but one thread, called by `session.run`.
"""

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from export_speed import Subject, feed_of, in_a_fresh_process, torch_graph

from toolkit.atomic_files import write_text
from toolkit.benchmark.statistics import median_ratio, ratio_interval
from toolkit.benchmark.timing import SystemClock, measure_in_turns, warm_up
from toolkit.export.graphs import export_torch_graph
from toolkit.export.precision import to_int8
from toolkit.model.torch_graph import TorchGraph
from toolkit.runtime.bulk import BULK_POLICY, BulkPredictor
from toolkit.runtime.chunks import CHUNK
from toolkit.runtime.environment import environment, usable_cores
from toolkit.runtime.guarded_graph import GuardedGraph, check_feed
from toolkit.runtime.layer_states import open_layers
from toolkit.runtime.predictors import StreamingPredictor, WindowedPredictor
from toolkit.runtime.session import create_session

SUBJECT = {graph: Subject("forecaster", graph, 64, 2) for graph in ("windowed", "streaming")}
BULK, WINDOW = 1024, 60
TOLERANCE, INT8_TOLERANCE = 1e-5, 0.2
"""Largest difference between contenders, in the answers' unit; int8's error is judged where it is chosen."""

Call = Callable[[], Any]
Calls = dict[str, Call]


@dataclass(frozen=True)
class Claim:
    """`slow`'s time over `fast`'s, and what it must and should be."""

    name: str
    slow: str
    fast: str
    must: float
    aim: float


CLAIMS = (
    Claim("window of 60: torch eager / ours, fp32", "window 60, torch", "window 60, ours", 2, 2.3),
    Claim("window of 60: torch eager / ours, int8", "window 60, torch", "window 60, ours int8", 2.8, 3.5),
    Claim("window of 20: torch's export, plain / ours", "window 20, torch's export", "window 20, ours", 1.2, 1.35),
    Claim("one step: torch eager / step", "step, torch", "step, ours", 10, 14),
    Claim("one step: torch's export, plain / step", "step, torch's export", "step, ours", 2, 3),
    Claim("a new sample: window of 60 again / step", "again, plain", "again, step", 8, 11),
    Claim("bulk, one core: plain / BulkPredictor", "bulk, plain", "bulk, ours", 1.33, 1.5),
    Claim("bulk, two cores: torch eager / BulkPredictor", "torch, two cores", "ours, two cores", 1.3, 1.8),
    Claim("bulk, two cores: plain / BulkPredictor", "plain, two cores", "ours, two cores", 1.0, 1.0),
)


def plain(content: bytes, threads: int = 1) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(content, options)


def torch_call(graph: TorchGraph, feed: dict[str, np.ndarray]) -> Call:
    tensors = [torch.from_numpy(feed[tensor.name]) for tensor in graph.tensors.inputs]

    def call() -> Any:
        with torch.inference_mode():
            return graph.module(*tensors)

    return call


def run_call(session: Any, feed: dict[str, np.ndarray]) -> Call:
    return partial(session.run, None, feed)


def ours(graph: TorchGraph, content: bytes, *, one_series: bool = False) -> WindowedPredictor:
    return WindowedPredictor(create_session(content), graph.tensors, one_series=one_series)


def step_call(graph: TorchGraph, content: bytes, x: np.ndarray) -> Call:
    layers = partial(open_layers, content, graph.tensors, None)
    predictor = StreamingPredictor.of(GuardedGraph(create_session(content), graph.tensors, layers=layers))
    return partial(predictor.step, x, reuse=True)


@dataclass(frozen=True)
class Graphs:
    """The model in all its forms."""

    windowed: TorchGraph
    streaming: TorchGraph
    ours: bytes
    ours_int8: bytes
    ours_step: bytes
    theirs: bytes
    theirs_step: bytes


def graphs() -> Graphs:
    windowed, streaming = (torch_graph(SUBJECT[name]) for name in ("windowed", "streaming"))
    proto = export_torch_graph(windowed)
    theirs, theirs_step = (in_a_fresh_process(SUBJECT[name]) for name in ("windowed", "streaming"))
    own, own_step = proto.SerializeToString(), export_torch_graph(streaming).SerializeToString()
    int8 = to_int8(proto, "windowed").SerializeToString()
    return Graphs(windowed, streaming, own, int8, own_step, theirs, theirs_step)


def groups(of: Graphs) -> list[Calls]:
    """Contenders that take turns with each other."""
    w60, w20, step = feed_of(of.windowed, 1, WINDOW), feed_of(of.windowed, 1, 20), feed_of(of.streaming, 1, 1)
    step |= {name: np.zeros_like(array) for name, array in step.items() if name != "x"}
    predictor, int8 = ours(of.windowed, of.ours), ours(of.windowed, of.ours_int8, one_series=True)
    bulk = feed_of(of.windowed, BULK, WINDOW)
    one_core = BulkPredictor([GuardedGraph(create_session(of.ours, BULK_POLICY), of.windowed.tensors)])
    return [
        {
            "window 60, torch": torch_call(of.windowed, w60),
            "window 60, ours": partial(predictor.predict, w60["x"]),
            "window 60, ours int8": partial(int8.predict, w60["x"]),
        },
        {
            "window 20, torch's export": run_call(plain(of.theirs), w20),
            "window 20, ours": partial(ours(of.windowed, of.ours).predict, w20["x"]),
        },
        {
            "step, torch": torch_call(of.streaming, step),
            "step, torch's export": run_call(plain(of.theirs_step), step),
            "step, ours": step_call(of.streaming, of.ours_step, step["x"]),
        },
        {
            "again, plain": run_call(plain(of.ours), w60),
            "again, step": step_call(of.streaming, of.ours_step, step["x"]),
        },
        {
            "bulk, plain": run_call(plain(of.ours), bulk),
            "bulk, torch's export": run_call(plain(of.theirs), bulk),
            "bulk, torch": torch_call(of.windowed, bulk),
            "bulk, ours": partial(one_core.predict, bulk["x"]),
        },
    ]


def first_answer(call: Call) -> np.ndarray:
    answer = call()
    return np.asarray(answer[0] if isinstance(answer, (list, tuple)) else answer)


def check_agreement(calls: Calls) -> None:
    """Ends the program where contenders answer differently. A step of ours goes on, so that its first answer counts."""
    answers = {name: first_answer(call) for name, call in calls.items() if not name.startswith("again")}
    exact = next(iter(answers.values()), None)
    for name, answer in answers.items():
        allowed = INT8_TOLERANCE if "int8" in name else TOLERANCE
        if answer.shape != exact.shape or not np.abs(answer - exact).max() <= allowed:
            raise SystemExit(f"{name} gives another answer: nothing to compare")


def measured(calls: Calls, seconds: float) -> dict[str, list[float]]:
    """Block medians in nanoseconds by contender, the same rounds for all."""
    check_agreement(calls)
    plan = warm_up([*calls.values()], SystemClock(), seconds)
    timed = measure_in_turns([*calls.values()], SystemClock(), plan)
    return {name: m.block_medians_ns.tolist() for name, m in zip(calls, timed, strict=True)}


def two_core_call(name: str) -> Call:
    """Made within the process that makes the call."""
    graph = torch_graph(SUBJECT["windowed"])
    feed = feed_of(graph, BULK, WINDOW)
    if name.startswith("torch"):
        torch.set_num_threads(2)
        return torch_call(graph, feed)
    if name.startswith("plain"):
        return run_call(plain(export_torch_graph(graph).SerializeToString(), 2), feed)
    content = export_torch_graph(graph).SerializeToString()
    guarded = [GuardedGraph(create_session(content, BULK_POLICY), graph.tensors) for _ in range(2)]
    return partial(BulkPredictor(guarded).predict, feed["x"])


_kept: dict[str, Call] = {}


def two_core_block(name: str) -> float:
    """The median of three calls, in nanoseconds; the first is not counted."""
    if name not in _kept:
        _kept[name] = two_core_call(name)
    times = []
    for _ in range(4):
        begin = time.perf_counter_ns()
        _kept[name]()
        times.append(time.perf_counter_ns() - begin)
    return float(np.median(times[1:]))


def on_two_cores(rounds: int) -> dict[str, list[float]]:
    names = ("torch, two cores", "plain, two cores", "ours, two cores")
    pools = {name: ProcessPoolExecutor(1, mp_context=get_context("spawn")) for name in names}
    blocks: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-1, rounds):
        for name in names[:: 1 if turn % 2 else -1]:
            time.sleep(0.1)  # until the last one's threads sleep
            block = pools[name].submit(two_core_block, name).result()
            blocks[name] += [block] if turn >= 0 else []
    for pool in pools.values():
        pool.shutdown()
    return blocks


def guards_us(of: Graphs) -> dict[str, float]:
    """What the guards cost alone: a call whose session does nothing, less its copies in and out."""
    return {f"window {length}": _guards_alone(of, length) for length in (20, WINDOW)}


def guards_share_in_bulk(of: Graphs) -> float:
    """The part of a chunk's call that its guards take; small calls have the quick way, chunks the long one."""
    x = feed_of(of.windowed, CHUNK, WINDOW)["x"]
    graph = GuardedGraph(create_session(of.ours), of.windowed.tensors)
    calls: Calls = {
        "call": partial(graph.run, {"x": x}),
        "guards": partial(check_feed, {"x": x}, graph.tensors, graph.limits),
    }
    timed = measure_in_turns([*calls.values()], SystemClock(), warm_up([*calls.values()], SystemClock(), 2.0))
    call, guards = (m.block_medians_ns for m in timed)
    return round(float(np.median(guards / call)), 4)


def _guards_alone(of: Graphs, length: int) -> float:
    predictor = ours(of.windowed, of.ours)
    x = feed_of(of.windowed, 1, length)["x"]
    for _ in range(3):
        predictor.predict(x)
    ((call,),) = predictor.graph.bound._free.values()  # the bound call of that shape
    call._run = lambda *_: None
    readings, got = call._readings, call._got[0]

    def copies() -> Any:
        readings[...] = x
        call._run(call._binding, None)
        return got.copy()

    calls: Calls = {"guarded": partial(predictor.predict, x), "copies": copies}
    timed = measure_in_turns([*calls.values()], SystemClock(), warm_up([*calls.values()], SystemClock(), 2.0))
    guarded, bare = (m.block_medians_ns for m in timed)
    return round(float(np.median(guarded - bare)) / 1000, 2)


def judged(claim: Claim, blocks: dict[str, list[float]]) -> dict[str, Any]:
    slow, fast = blocks[claim.slow], blocks[claim.fast]
    return {
        "claim": claim.name,
        "ratio": round(median_ratio(slow, fast), 3),
        "interval": [round(end, 3) for end in ratio_interval(slow, fast)],
        "must": claim.must,
        "aim": claim.aim,
    }


def line(record: dict[str, Any]) -> str:
    ratio, low = record["ratio"], record["must"]
    verdict = "aim met" if ratio >= record["aim"] else "must met" if ratio >= low else "MISSED"
    ends = " to ".join(f"{end:.2f}" for end in record["interval"])
    return f"{record['claim']:46} {ratio:6.2f} ({ends})   must {low:g}, aim {record['aim']:g}: {verdict}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="for each group of contenders (default 6)")
    parser.add_argument("--rounds", type=int, default=15, help="of the processes on two cores (default 15)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures are written")
    options = parser.parse_args()
    torch.set_num_threads(1)
    of = graphs()
    blocks: dict[str, list[float]] = {}
    for calls in groups(of):
        blocks |= measured(calls, options.seconds)
    if usable_cores() >= 2:
        blocks |= on_two_cores(options.rounds)
    records = [judged(claim, blocks) for claim in CLAIMS if {claim.slow, claim.fast} <= set(blocks)]
    guards = guards_us(of)
    print("\n".join(map(line, records)))
    share = guards_share_in_bulk(of)
    print(f"guards of a chunk of {CHUNK}: {100 * share:.2f} % of its call (must 5)")
    print("guards alone: " + ", ".join(f"{name} {cost:.2f} us" for name, cost in guards.items()))
    if options.json is not None:
        report = {
            "environment": environment(),
            "claims": records,
            "guards_us": guards,
            "guards_share_in_bulk": share,
            "p50_us": {name: round(float(np.median(values)) / 1000, 2) for name, values in blocks.items()},
            "block_medians_ns": {name: [round(value) for value in values] for name, values in blocks.items()},
        }
        write_text(options.json, json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
