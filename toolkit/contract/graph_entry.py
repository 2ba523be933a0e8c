"""One graph's line in `manifest.json`."""

from dataclasses import field
from typing import Literal

from toolkit.contract.frozen import dataclass
from toolkit.contract.graph_io import GraphName, GraphSignature, SizeLimits, TensorSpec

Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True)
class GraphEntry:
    """One graph of the bundle in one precision.

    Attributes:
        name: `windowed` or `streaming`.
        file: its file within the bundle.
        precision: of the weights: `fp32`; `fp16` (stored in half precision, arithmetic in single); `int8`.
        golden_atol: for each output, the largest allowed difference from the golden answer: one figure per
            target, in the target's unit, for a forecast and its quantiles; one figure for any other output.
        inputs: names and axes of what has to be fed.
        outputs: names and axes of what comes back.
        states: for each input that is a state, the output to be fed back into it.
        min_sizes: the smallest size that the graph takes, for the axes where that is above 1.
        max_sizes: the largest size that the graph takes, for the axes where there is one.
        mixes_series: whether the answer for one series depends on the others in its call.
        one_series: whether the graph has to be run one series at a time: in int8 one outlier shifts the scale of
            everyone in its batch.
        preferred: whether this precision of the graph is the one that is run unless another is asked for.
    """

    name: GraphName
    file: str
    precision: Precision
    golden_atol: dict[str, tuple[float, ...]]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    states: dict[str, str] = field(default_factory=dict)
    min_sizes: dict[str, int] = field(default_factory=dict)
    max_sizes: dict[str, int] = field(default_factory=dict)
    mixes_series: bool = False
    one_series: bool = False
    preferred: bool = True

    @property
    def signature(self) -> GraphSignature:
        """Inputs and outputs, in their order."""
        return GraphSignature(self.inputs, self.outputs, self.states)

    @property
    def limits(self) -> SizeLimits:
        """Which sizes the graph takes."""
        return SizeLimits(self.min_sizes, self.max_sizes)
