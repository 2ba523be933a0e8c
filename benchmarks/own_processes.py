"""What users of either exporter get, timed in a process for each, in turns.

torch's graph as its documentation runs it: `InferenceSession(path)` with onnxruntime's own options, then `session.run`.
Ours behind the guards of its predictor. onnxruntime's default session has threads that spin when it is idle and slow
whoever runs next, so that each contender has a process, only one of them works at a time, and there is a pause before.
"""

import gc
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime

from toolkit.contract.graph_io import GraphSignature
from toolkit.runtime.bulk import BULK_POLICY, BulkPredictor
from toolkit.runtime.environment import usable_cores
from toolkit.runtime.guarded_graph import GuardedGraph
from toolkit.runtime.layer_states import open_layers
from toolkit.runtime.predictors import StreamingPredictor, WindowedPredictor
from toolkit.runtime.session import create_session

BLOCK_S, PAUSE_S = 0.05, 0.02
LEAD_IN = 20
"""Calls of a block that are not counted: the neighbour had the cache, and the pause let the clock rest."""
WAYS = ("torch_default", "ours_predictor", "ours_live", "ours_bulk")

_loaded: dict[str, Callable[[], object]] = {}
"""The one call that this process makes."""


@dataclass(frozen=True)
class Work:
    """What a process is given.

    Attributes:
        way: one of `WAYS`.
        content: the graph.
        tensors: its signature.
        feed: inputs by name.
    """

    way: str
    content: bytes
    tensors: GraphSignature
    feed: dict[str, np.ndarray]


def load(work: Work) -> None:
    """Makes this process ready for `block`."""
    _loaded.clear()
    _loaded["call"] = call_of(work)


def call_of(work: Work) -> Callable[[], object]:
    x = work.feed["x"]
    if work.way == "torch_default":
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            path.write_bytes(work.content)
            session = onnxruntime.InferenceSession(path)
        return lambda: session.run(None, work.feed)
    if work.way == "ours_bulk":
        graphs = [GuardedGraph(create_session(work.content, BULK_POLICY), work.tensors) for _ in range(usable_cores())]
        return partial(BulkPredictor(graphs).predict, x)
    session = create_session(work.content)
    if not work.tensors.states:
        return partial(WindowedPredictor.of(GuardedGraph(session, work.tensors, splits=True)).predict, x)
    layers = partial(open_layers, work.content, work.tensors, None)
    streaming = StreamingPredictor.of(GuardedGraph(session, work.tensors, layers=layers))
    state = {name: work.feed[name] for name in work.tensors.states}
    if work.way == "ours_live":
        return partial(streaming.step, x)
    return lambda: streaming.advance(x, state)


def block() -> float:
    """The median call of a block, in nanoseconds."""
    call, times = _loaded["call"], []
    for _ in range(LEAD_IN):
        call()
    gc.disable()
    end = time.perf_counter_ns() + int(BLOCK_S * 1e9)
    while not times or times[-1][1] < end:
        begin = time.perf_counter_ns()
        call()
        times.append((begin, time.perf_counter_ns()))
    gc.enable()
    return float(np.median([after - before for before, after in times]))


class OwnProcesses:
    """A process for each contender, kept for all measurements."""

    def __init__(self) -> None:
        self._pools = {way: ProcessPoolExecutor(1, mp_context=get_context("spawn")) for way in WAYS}

    def measure(self, works: list[Work], rounds: int) -> dict[str, list[float]]:
        """Block medians in nanoseconds by contender; number n of each is of the same round."""
        for work in works:
            self._pools[work.way].submit(load, work).result()
        blocks: dict[str, list[float]] = {work.way: [] for work in works}
        for turn in range(rounds):
            for way in list(blocks)[:: 1 if turn % 2 else -1]:
                time.sleep(PAUSE_S)
                blocks[way].append(self._pools[way].submit(block).result())
        return blocks

    def close(self) -> None:
        """Ends them."""
        for pool in self._pools.values():
            pool.shutdown()
