"""A module as a graph sees it: flat tensors in, flat tensors out, each with a name and named axes.

Export, parity and the golden vectors work on this alone, be the module the toolkit's own or somebody else's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from toolkit.contract.graph_io import (
    ANY_SIZE,
    FORECAST,
    QUANTILES,
    SEQUENCE,
    GraphName,
    GraphSignature,
    SizeLimits,
    graphs_of,
    signature,
)
from toolkit.model.lstm import MultivariateLSTM, Standardised, StreamingForecaster

Scaling = tuple[Tensor, Tensor]
"""Offset and scale along the last axes; standard deviations times scale plus offset are raw units."""


@dataclass(frozen=True)
class Turn:
    """Sizes beyond which a module's Python code may go another way than the example that is traced.

    Attributes:
        condition: that the example fulfils and these sizes do not, in the names of the axes; "" where a number of that
            size was found, and no more is known.
        sizes: of every symbolic axis.
    """

    condition: str
    sizes: dict[str, int]


@dataclass(frozen=True)
class TorchGraph:
    """One graph's torch side.

    Attributes:
        name: which graph it is.
        module: called with the graph's inputs in their order; gives one tensor or a flat tuple, in raw units.
        tensors: names and axes of what goes in and comes out.
        judged: the same call and answers before un-scaling, on which parity is judged; None means `module` itself.
        readings: scaling of the first input's last axis, to draw inputs of its size; None means standard deviations.
        unscaling: of each answer that is un-scaled, its scaling.
        limits: which sizes the module takes.
        window_length: samples of an ordinary input.
        turns: sizes at which the module may take another way than at ordinary ones; parity looks there too.
        mixes_series: whether the answer for one series depends on the others in its call.
        blind: why turns may have been missed, or "".
    """

    name: GraphName
    module: nn.Module
    tensors: GraphSignature
    judged: nn.Module | None = None
    readings: Scaling | None = None
    unscaling: Mapping[str, Scaling] = field(default_factory=dict)
    limits: SizeLimits = ANY_SIZE
    window_length: int = 60
    turns: tuple[Turn, ...] = ()
    mixes_series: bool = False
    blind: str = ""

    @property
    def judge(self) -> nn.Module:
        """The module whose answers parity is judged on."""
        return self.judged if self.judged is not None else self.module


TorchGraphs = Mapping[GraphName, TorchGraph]


def torch_graphs(
    model: MultivariateLSTM, window_length: int = 60, min_sequence: int = 1
) -> dict[GraphName, TorchGraph]:
    """The graphs of a forecaster: windowed, and streaming where it has one. The module is used, not copied."""
    shape = model.shape
    modules: dict[GraphName, nn.Module] = {"windowed": model, "streaming": StreamingForecaster(model)}
    return {
        name: TorchGraph(
            name,
            modules[name],
            signature(name, shape),
            Standardised(model),
            (model.input_offset, 1.0 / model.input_scale.double()),
            _unscaling(model),
            SizeLimits({} if min_sequence == 1 else {SEQUENCE: min_sequence}),
            window_length,
        )
        for name in graphs_of(shape)
    }


def _unscaling(model: MultivariateLSTM) -> dict[str, Scaling]:
    if model.classes:
        return {}
    offset, scale = model.output_offset, model.output_scale
    quantiles = {QUANTILES: (offset.unsqueeze(-1), scale.unsqueeze(-1))} if model.quantiles else {}
    return {FORECAST: (offset, scale), **quantiles}


def flat(result: Tensor | tuple[Tensor, ...] | list[Tensor]) -> tuple[Tensor, ...]:
    """What a module gave, as a tuple."""
    return (result,) if isinstance(result, Tensor) else tuple(result)
