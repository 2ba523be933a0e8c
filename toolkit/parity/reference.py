"""The torch side of a comparison: the module in float32, and in float64 as the truth."""

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.contract.graph_io import FORECAST, INPUT, STATE_PAIRS, leading_axes
from toolkit.model.lstm import MultivariateLSTM
from toolkit.parity.inputs import Feed

Floats = NDArray[np.floating[Any]]
Outputs = dict[str, NDArray[np.float64]]


NEIGHBOURS = 5


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
    """Keeps torch to one thread for a while: two were seen to make a check take 35 times longer on a busy machine."""
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


def neighbours(model: MultivariateLSTM, seed: int) -> tuple[TorchReference, ...]:
    """Copies in float32 whose every weight is moved to the next float32 above or below, at random.

    A trained LSTM can amplify rounding a thousand times on single series (near a switch of its state, say). How far
    torch's one answer strays there is one draw of chance; these are further draws of the same size.
    """
    copies = []
    for number in range(NEIGHBOURS):
        generator = torch.Generator().manual_seed(seed * NEIGHBOURS + number)
        moved = copy.deepcopy(model).float().eval()
        with torch.no_grad():
            for weight in moved.parameters():
                upward = torch.rand(weight.shape, generator=generator) < 0.5
                weight.copy_(torch.nextafter(weight, torch.where(upward, torch.inf, -torch.inf)))
        copies.append(TorchReference(moved))
    return tuple(copies)


def axis_of(model: MultivariateLSTM, name: str) -> int:
    """Where `batch` or `sequence` stands among the first two axes of `x`."""
    return leading_axes(model.shape.layout).index(name)


def _array(tensor: torch.Tensor) -> NDArray[np.float64]:
    return tensor.double().numpy()
