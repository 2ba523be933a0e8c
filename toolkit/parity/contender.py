"""torch and what is made of a torch module as contenders in a benchmark, and other runtimes beside them."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.benchmark.bundle import BenchmarkPlan, OtherContender, benchmark_bundle
from toolkit.benchmark.peers import PEERS, peer_contenders
from toolkit.benchmark.scenarios import TORCH, Contender
from toolkit.contract.graph_io import GraphName
from toolkit.contract.latency_reports import LatencyReport
from toolkit.contract.manifest import WEIGHTS
from toolkit.errors import ConfigError
from toolkit.model.torch_graph import TorchGraph
from toolkit.parity.bundle import graphs_of_bundle
from toolkit.parity.contender_builds import BUILDS, built_contender
from toolkit.runtime.bundle import Bundle

CONTENDERS = (TORCH, *BUILDS, *PEERS)
"""Every name that `other_contenders` knows."""


def benchmark_beside_torch(bundle: Bundle, plan: BenchmarkPlan, notes: Sequence[str] = ()) -> LatencyReport:
    """Measures a bundle's graphs and the torch module whose weights lie in it, in turns.

    Args:
        bundle: whose graphs to run.
        plan: what to measure.
        notes: what was not measured and why.
    """
    reason = _no_torch(bundle)
    if reason:
        return benchmark_bundle(bundle, plan, (), (*notes, f"torch not measured: {reason}"))
    graphs = graphs_of_bundle(bundle)
    return benchmark_bundle(
        bundle, plan, [lambda graph, feed: torch_contender(graphs[graph], feed, plan.threads)], notes
    )


def other_contenders(bundle: Bundle, names: Sequence[str], threads: int) -> tuple[list[OtherContender], list[str]]:
    """What else a bundle's graphs can be measured beside.

    Args:
        bundle: whose graphs are measured, with its weights for whatever is of torch.
        names: of `CONTENDERS`; each is taken once.
        threads: within one operator.

    Returns:
        Builders for `benchmark_bundle`, in the order of the names and other runtimes last; and a line for each that is
        not measured here. A builder raises `ContenderError` where its contender does not work on a request.

    Raises:
        ConfigError: an unknown name.
    """
    unknown = [name for name in names if name not in CONTENDERS]
    if unknown:
        raise ConfigError("--contender", got=unknown[0], allowed=", ".join(CONTENDERS))
    own = [name for name in dict.fromkeys(names) if name not in PEERS]
    peers, notes = peer_contenders(bundle, [name for name in names if name in PEERS], threads)
    reason = _no_torch(bundle) if own else ""
    if reason or not own:
        return peers, [*(f"{name} not measured: {reason}" for name in own), *notes]
    graphs = graphs_of_bundle(bundle)
    return [*(_builder(bundle, graphs, name, threads) for name in own), *peers], notes


def _builder(bundle: Bundle, graphs: Mapping[GraphName, TorchGraph], name: str, threads: int) -> OtherContender:
    def build(graph: GraphName, feed: Mapping[str, NDArray[np.float32]]) -> Contender:
        if name == TORCH:
            return torch_contender(graphs[graph], feed, threads)
        return built_contender(bundle, graphs[graph], feed, name, threads)

    return build


def _no_torch(bundle: Bundle) -> str:
    """Why a bundle's module cannot be had, or ""."""
    if bundle.manifest.model is None:
        return "the bundle was made from a module of somebody's own, which is not in it"
    return "" if WEIGHTS in bundle.manifest.files else f"the bundle holds no {WEIGHTS}"


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
