"""The torch side of a comparison: the module in float32, and in float64 as the truth."""

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.contract.graph_io import BATCH, FORECAST, INPUT, SEQUENCE, STATE_PAIRS, leading_axes
from toolkit.model.lstm import MultivariateLSTM
from toolkit.parity.grid import FAMILIES, ParityGrid

Floats = NDArray[np.floating[Any]]
Feed = dict[str, NDArray[np.float32]]
Outputs = dict[str, NDArray[np.float64]]

STATE_SPREAD = 0.5
"""Standard deviation of the states that streaming cases start from; an LSTM's `h` lies within +-1."""


@dataclass(frozen=True)
class TorchReference:
    """A module in one precision, asked like a graph.

    Attributes:
        model: in evaluation mode, float32 or float64.
    """

    model: MultivariateLSTM

    def run(self, feed: Feed) -> Outputs:
        """Outputs by their names in the graph, the forecast in standard deviations, all as float64."""
        dtype = self.model.output_scale.dtype
        tensors = {name: torch.from_numpy(array).to(dtype) for name, array in feed.items()}
        with torch.inference_mode():
            results: tuple[torch.Tensor, ...] = (
                (self.model.standardised(tensors[INPUT]),)
                if len(feed) == 1
                else self.model.stream_standardised(*(tensors[name] for name in (INPUT, *STATE_PAIRS)))
            )
        names = (FORECAST, *STATE_PAIRS.values())
        return {name: tensor.double().numpy() for name, tensor in zip(names, results, strict=False)}

    def unscale(self, forecast: Floats) -> NDArray[np.float64]:
        """Raw units from standard deviations, in float64."""
        return np.asarray(
            forecast.astype(np.float64) * _array(self.model.output_scale) + _array(self.model.output_offset)
        )


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Keeps torch to one thread for a while: two were seen to make a check take 70 times longer on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def references(model: MultivariateLSTM) -> tuple[TorchReference, TorchReference]:
    """The module in float64 (truth) and in float32, with the same numbers as weights."""
    truth = copy.deepcopy(model).double().eval()
    single = copy.deepcopy(model).float().eval()
    return TorchReference(truth), TorchReference(single)


def make_feed(model: MultivariateLSTM, grid: ParityGrid, family: str, batch: int, sequence: int) -> Feed:
    """Raw inputs of a family for the windowed graph: the same for the same seed and shape."""
    random = np.random.default_rng([grid.seed, sorted(FAMILIES).index(family), batch, sequence])
    standard = FAMILIES[family](random, batch, sequence, model.lstm.input_size)
    raw = standard / _array(model.input_scale) + _array(model.input_offset)
    x = raw.astype(np.float32)  # [batch, sequence, channels]
    return {INPUT: x if model.batch_first else np.ascontiguousarray(x.swapaxes(0, 1))}


def add_state(feed: Feed, model: MultivariateLSTM, grid: ParityGrid, batch: int) -> Feed:
    """The same samples with a state to start from, for the streaming graph."""
    random = np.random.default_rng([grid.seed, batch])
    shape = (model.lstm.num_layers, batch, model.lstm.hidden_size)
    states = {name: random.normal(0, STATE_SPREAD, shape).astype(np.float32) for name in STATE_PAIRS}
    states["h0"] = np.tanh(states["h0"])
    return feed | states


def axis_of(model: MultivariateLSTM, name: str) -> int:
    """Where `batch` or `sequence` stands among the first two axes of `x`."""
    return leading_axes(model.shape.layout).index(name)


def sizes_of(model: MultivariateLSTM, feed: Feed) -> tuple[int, int]:
    """(batch, sequence) of a feed."""
    shape = feed[INPUT].shape
    return shape[axis_of(model, BATCH)], shape[axis_of(model, SEQUENCE)]


def _array(tensor: torch.Tensor) -> NDArray[np.float64]:
    return tensor.double().numpy()
