"""The shape of a model: enough to build the torch module again and to know every tensor of its graphs."""

from dataclasses import dataclass
from typing import Literal

from toolkit.errors import ModelError

Layout = Literal["batch-major", "time-major"]
Cell = Literal["lstm", "gru"]
Head = Literal["last", "every"]

LARGEST = 1_000_000
"""Of every size: far beyond a gateway, and small enough that their products stay numbers."""


@dataclass(frozen=True)
class ModelSpec:
    """A multivariate forecaster or classifier, in torch's words.

    Attributes:
        input_size: channels = variables x features.
        hidden_size: units of each recurrent layer and direction.
        num_layers: stacked recurrent layers.
        horizon: forecast steps, in samples; 0 for a classifier.
        targets: how many channels are forecast; 0 for a classifier.
        window_length: samples of input that the model was trained on.
        dropout: between layers, in training only.
        layout: order of the first two axes of `x`; `batch-major` is `[batch, sequence, channels]`.
        min_sequence: the shortest input that gives an answer.
        cell: `lstm` or `gru`.
        bidirectional: whether each layer reads the window in both directions.
        bias: whether the recurrent layers have biases.
        head: whether the windowed graph answers after the last step or after every step.
        classes: how many classes a classifier tells apart; 0 for a forecaster.
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
    cell: Cell = "lstm"
    bidirectional: bool = False
    bias: bool = True
    head: Head = "last"
    classes: int = 0

    def __post_init__(self) -> None:
        least = {"horizon": 0, "targets": 0, "classes": 2} if self.classes else {"classes": 0}
        sizes = ("input_size", "hidden_size", "num_layers", "window_length", "min_sequence")
        for name in (*sizes, "horizon", "targets", "classes"):
            smallest = least.get(name, 1)
            if not smallest <= getattr(self, name) <= LARGEST:
                allowed = f"{smallest} or more, at most {LARGEST}"
                raise ModelError(f"model: {name}", got=getattr(self, name), allowed=allowed)
        if self.classes and (self.horizon or self.targets):
            raise ModelError("model: a classifier forecasts nothing", got=f"{self.horizon} steps", allowed="horizon 0")
        if not 0.0 <= self.dropout < 1.0:
            raise ModelError("model: dropout", got=self.dropout, allowed="0 up to, not including, 1")

    @property
    def answer_axes(self) -> tuple[int, ...]:
        """Axes of an answer after `batch`: `(horizon, targets)`, or `(classes,)`."""
        return (self.classes,) if self.classes else (self.horizon, self.targets)

    @property
    def output_size(self) -> int:
        """Width of the linear layer: horizon x targets, or classes."""
        return self.classes or self.horizon * self.targets

    @property
    def batch_first(self) -> bool:
        """torch's word for the layout."""
        return self.layout == "batch-major"
