"""The torch module as a contender in a benchmark."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.benchmark.bundle import BenchmarkPlan, benchmark_bundle
from toolkit.benchmark.scenarios import TORCH, Contender
from toolkit.contract.graph_io import INPUT, STATE_PAIRS, GraphName
from toolkit.contract.manifest import WEIGHTS
from toolkit.contract.reports import LatencyReport
from toolkit.model.lstm import MultivariateLSTM
from toolkit.parity.bundle import model_of
from toolkit.runtime.bundle import Bundle


def benchmark_beside_torch(bundle: Bundle, plan: BenchmarkPlan, notes: Sequence[str] = ()) -> LatencyReport:
    """Measures a bundle's graphs and the torch module whose weights lie in it, in turns.

    Args:
        bundle: whose graphs to run.
        plan: what to measure.
        notes: what was not measured and why.
    """
    if WEIGHTS not in bundle.manifest.files:
        return benchmark_bundle(bundle, plan, (), (*notes, f"torch not measured: the bundle holds no {WEIGHTS}"))
    model = model_of(bundle)
    return benchmark_bundle(
        bundle, plan, [lambda graph, feed: torch_contender(model, graph, feed, plan.threads)], notes
    )


def torch_contender(
    model: MultivariateLSTM, graph: GraphName, feed: Mapping[str, NDArray[np.float32]], threads: int
) -> Contender:
    """Torch eager on the same inputs, in evaluation and inference mode.

    Args:
        model: in evaluation mode.
        graph: what to compute.
        feed: inputs by their names in the graph.
        threads: of torch, for the whole process.
    """
    torch.set_num_threads(threads)
    tensors = [torch.from_numpy(feed[name]) for name in (INPUT, *STATE_PAIRS) if name in feed]
    compute = model.forward if graph == "windowed" else model.stream

    def call() -> object:
        with torch.inference_mode():
            return compute(*tensors)

    return Contender(TORCH, graph, "cpu", "fp32", threads, call)
