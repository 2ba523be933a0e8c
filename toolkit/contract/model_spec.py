"""The shape of a forecaster: enough to build the torch module again and to know every tensor of its graphs."""

from dataclasses import dataclass
from typing import Literal

from toolkit.errors import ModelError

Layout = Literal["batch-major", "time-major"]

LARGEST = 1_000_000
"""Of every size: far beyond a gateway, and small enough that their products stay numbers."""


@dataclass(frozen=True)
class ModelSpec:
    """A multivariate LSTM forecaster, in torch's words.

    Attributes:
        input_size: channels = variables x features.
        hidden_size: units of each LSTM layer.
        num_layers: stacked LSTM layers.
        horizon: forecast steps, in samples.
        targets: how many channels are forecast.
        window_length: samples of input that the model was trained on.
        dropout: between layers, in training only.
        layout: order of the first two axes of `x`; `batch-major` is `[batch, sequence, channels]`.
        min_sequence: the shortest input that gives an answer.
    """

    input_size: int
    hidden_size: int
    num_layers: int
    horizon: int
    targets: int
    window_length: int
    dropout: float = 0.0
    layout: Layout = "batch-major"
    min_sequence: int = 1

    def __post_init__(self) -> None:
        sizes = (
            "input_size",
            "hidden_size",
            "num_layers",
            "horizon",
            "targets",
            "window_length",
            "min_sequence",
        )
        for name in sizes:
            if not 1 <= getattr(self, name) <= LARGEST:
                raise ModelError(f"model: {name}", got=getattr(self, name), allowed=f"1 or more, at most {LARGEST}")
        if not 0.0 <= self.dropout < 1.0:
            raise ModelError("model: dropout", got=self.dropout, allowed="0 up to, not including, 1")

    @property
    def output_size(self) -> int:
        """Width of the linear layer: horizon x targets."""
        return self.horizon * self.targets

    @property
    def batch_first(self) -> bool:
        """torch's word for the layout."""
        return self.layout == "batch-major"
