"""The torch side of a comparison: a module in float32, and in float64 as the truth."""

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.model.torch_graph import TorchGraph, flat
from toolkit.parity.inputs import Feed
from toolkit.parity.torch_trace import default_dtype

Floats = NDArray[np.floating[Any]]
Outputs = dict[str, NDArray[np.float64]]


NEIGHBOURS = 3


@dataclass(frozen=True)
class TorchReference:
    """A module in one precision, asked like a graph.

    Attributes:
        graph: whose module, in evaluation mode, answers in `dtype`.
        dtype: float32 or float64.
    """

    graph: TorchGraph
    dtype: torch.dtype

    def run(self, feed: Feed) -> Outputs:
        """Outputs by their names in the graph, the answers before un-scaling, all as float64."""
        return self._run(self.graph.judge, feed)

    def run_raw(self, feed: Feed) -> Outputs:
        """The same in raw units."""
        return self._run(self.graph.module, feed)

    def _run(self, module: torch.nn.Module, feed: Feed) -> Outputs:
        # Copies: a module may change its inputs in place, and the next one is asked on the same numbers.
        tensors = [torch.from_numpy(feed[t.name]).to(self.dtype, copy=True) for t in self.graph.tensors.inputs]
        with torch.inference_mode(), default_dtype(self.dtype):
            results = flat(module(*tensors))
        names = [tensor.name for tensor in self.graph.tensors.outputs]
        return {name: tensor.double().numpy() for name, tensor in zip(names, results, strict=True)}

    def unscale(self, name: str, answer: Floats) -> NDArray[np.float64]:
        """Raw units from standard deviations, in float64, of the answer of that name."""
        if name not in self.graph.unscaling:
            return answer.astype(np.float64)
        offset, scale = (tensor.double().numpy() for tensor in self.graph.unscaling[name])
        return np.asarray(answer.astype(np.float64) * scale + offset)


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Keeps torch to one thread for a while: two were seen to make a check take 35 times longer on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def references(graph: TorchGraph, feed: Feed | None = None) -> tuple[TorchReference, TorchReference]:
    """The module in float64 (truth) and in float32, with the same numbers as weights.

    Args:
        graph: its modules are copied, not changed.
        feed: inputs to try the float64 module on. One that holds itself to float32 has no such truth: then it is its
            own, and the tolerance rests on how far its neighbours stray from it.
    """
    truth = TorchReference(_copied(graph, torch.float64), torch.float64)
    single = TorchReference(_copied(graph, torch.float32), torch.float32)
    if feed is not None:
        try:
            truth.run(feed)
        except Exception:  # whatever somebody else's module raises on numbers of another type
            return single, single
    return truth, single


def neighbours(graph: TorchGraph, seed: int) -> tuple[TorchReference, ...]:
    """Copies in float32 whose every weight is moved to the next float32 above or below, at random.

    A trained LSTM can amplify rounding a thousand times on single series (near a switch of its state, say). How far
    torch's one answer strays there is one draw of chance; these are further draws of the same size.
    """
    copies = []
    for number in range(NEIGHBOURS):
        generator = torch.Generator().manual_seed(seed * NEIGHBOURS + number)
        moved = TorchReference(_copied(graph, torch.float32), torch.float32)
        with torch.no_grad():
            for weight in moved.graph.judge.parameters():
                upward = torch.rand(weight.shape, generator=generator) < 0.5
                weight.copy_(torch.nextafter(weight, torch.where(upward, torch.inf, -torch.inf)))
        copies.append(moved)
    return tuple(copies)


def _copied(graph: TorchGraph, dtype: torch.dtype) -> TorchGraph:
    return TorchGraph(
        graph.name,
        copy.deepcopy(graph.module).to(dtype).eval(),
        graph.tensors,
        copy.deepcopy(graph.judge).to(dtype).eval(),
        graph.readings,
        graph.unscaling,
        graph.limits,
        graph.window_length,
    )
