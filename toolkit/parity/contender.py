"""The torch module as a contender in a benchmark."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.benchmark.bundle import BenchmarkPlan, benchmark_bundle
from toolkit.benchmark.scenarios import TORCH, Contender
from toolkit.contract.latency_reports import LatencyReport
from toolkit.contract.manifest import WEIGHTS
from toolkit.model.torch_graph import TorchGraph
from toolkit.parity.bundle import graphs_of_bundle
from toolkit.runtime.bundle import Bundle


def benchmark_beside_torch(bundle: Bundle, plan: BenchmarkPlan, notes: Sequence[str] = ()) -> LatencyReport:
    """Measures a bundle's graphs and the torch module whose weights lie in it, in turns.

    Args:
        bundle: whose graphs to run.
        plan: what to measure.
        notes: what was not measured and why.
    """
    reason = None
    if bundle.manifest.model is None:
        reason = "the bundle was made from a module of somebody's own, which is not in it"
    elif WEIGHTS not in bundle.manifest.files:
        reason = f"the bundle holds no {WEIGHTS}"
    if reason is not None:
        return benchmark_bundle(bundle, plan, (), (*notes, f"torch not measured: {reason}"))
    graphs = graphs_of_bundle(bundle)
    return benchmark_bundle(
        bundle, plan, [lambda graph, feed: torch_contender(graphs[graph], feed, plan.threads)], notes
    )


def torch_contender(graph: TorchGraph, feed: Mapping[str, NDArray[np.float32]], threads: int) -> Contender:
    """Torch eager on the same inputs, in evaluation and inference mode.

    Args:
        graph: its module, in evaluation mode.
        feed: inputs by their names in the graph.
        threads: of torch, for the whole process.
    """
    torch.set_num_threads(threads)
    tensors = [torch.from_numpy(feed[tensor.name]) for tensor in graph.tensors.inputs]

    def call() -> object:
        with torch.inference_mode():
            return graph.module(*tensors)

    return Contender(TORCH, graph.name, "cpu", "fp32", threads, call)
