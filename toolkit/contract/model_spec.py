"""The shape of a model: enough to build the torch module again and to know every tensor of its graphs."""

import itertools
from collections.abc import Sequence
from typing import Literal

from toolkit.contract.frozen import dataclass
from toolkit.errors import ModelError, RequestError

Layout = Literal["batch-major", "time-major"]
Cell = Literal["lstm", "gru"]
Head = Literal["last", "every"]
Normalisation = Literal["none", "last", "revin"]
ChannelMixing = Literal["joint", "independent"]

LARGEST = 1_000_000
"""Of every size: far beyond a gateway, and small enough that their products stay numbers."""

MEDIAN = 0.5
"""The quantile that is the forecast itself."""


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
        normalisation: what is taken out of each window and put back into its forecast: `none`, its `last` sample, or
            its mean and spread, `revin`.
        patch_length: samples that one step reads side by side.
        channel_mixing: `joint`: every step sees all channels; `independent`: each channel runs by itself.
        target_channels: for each target its channel; empty means the first ones.
        streaming: whether it was trained as it is run sample by sample, its state carried on.
        quantiles: of what may come, rising, each strictly between 0 and 1, the median among them, which is the
            forecast; empty means a forecast alone.
        class_names: of a classifier's classes, in the order of its logits; empty where nobody named them.
        calendar_channels: how many of the last channels are computed from the time: window normalisation leaves them.
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
    normalisation: Normalisation = "none"
    patch_length: int = 1
    channel_mixing: ChannelMixing = "joint"
    target_channels: tuple[int, ...] = ()
    quantiles: tuple[float, ...] = ()
    class_names: tuple[str, ...] = ()
    calendar_channels: int = 0
    streaming: bool = False

    def __post_init__(self) -> None:
        least = {"horizon": 0, "targets": 0, "classes": 2} if self.classes else {"classes": 0}
        sizes = ("input_size", "hidden_size", "num_layers", "window_length", "min_sequence", "patch_length")
        for name in (*sizes, "horizon", "targets", "classes"):
            smallest = least.get(name, 1)
            if not smallest <= getattr(self, name) <= LARGEST:
                allowed = f"{smallest} or more, at most {LARGEST}"
                raise ModelError(f"model: {name}", got=getattr(self, name), allowed=allowed)
        if self.classes and (self.horizon or self.targets):
            raise ModelError("model: a classifier forecasts nothing", got=f"{self.horizon} steps", allowed="horizon 0")
        self._check_window()
        self._check_names()
        check_quantiles(self.quantiles, "model: quantiles", ModelError, forecasts=not self.classes)
        if not 0.0 <= self.dropout < 1.0:
            raise ModelError("model: dropout", got=self.dropout, allowed="0 up to, not including, 1")

    def _check_window(self) -> None:
        if self.streaming and (self.needs_window or self.bidirectional):
            raise ModelError("model: what needs a whole window was not trained sample by sample", got="streaming")
        if self.needs_window and self.head == "every":
            raise ModelError(
                "model: an answer after every step needs no window",
                got=f"head every, normalisation {self.normalisation}, patch_length {self.patch_length}",
                fix="model.head = 'last'",
            )
        if self.classes and (self.normalisation != "none" or self.channel_mixing == "independent"):
            raise ModelError("model: a classifier has no forecast to put a level back into", fix="normalisation none")
        if self.min_sequence < self.patch_length:
            raise ModelError("model: min_sequence", got=self.min_sequence, allowed=f"a patch, {self.patch_length}")
        channels = self.target_channels
        if channels and (len(channels) != self.targets or not all(0 <= c < self.input_size for c in channels)):
            raise ModelError("model: target_channels", got=list(channels), allowed=f"{self.targets} of the channels")

    def _check_names(self) -> None:
        names = self.class_names
        if names and (len(names) != self.classes or len(set(names)) != len(names)):
            got = f"{len(set(names))} names for {self.classes} classes"
            raise ModelError("model: class_names", got=got, allowed="one for each class")
        channels = set(self.target_channels or range(self.targets))
        left = range(self.input_size - self.calendar_channels, self.input_size)
        if not 0 <= self.calendar_channels <= self.input_size or channels & set(left):
            raise ModelError(
                "model: calendar_channels", got=self.calendar_channels, allowed="channels at the end, no target"
            )
        if self.calendar_channels and self.channel_mixing == "independent":
            what = "model: channels of the calendar tell nothing where each channel runs by itself"
            raise ModelError(what, fix="model.channel_mixing = 'joint', or no data.calendar")

    @property
    def needs_window(self) -> bool:
        """Whether an answer is about a window as a whole, so that no sample can be answered by itself."""
        return self.normalisation != "none" or self.patch_length > 1

    @property
    def answer_axes(self) -> tuple[int, ...]:
        """Axes of an answer after `batch`: `(horizon, targets)`, or `(classes,)`."""
        return (self.classes,) if self.classes else (self.horizon, self.targets)

    @property
    def output_size(self) -> int:
        """Width of the linear layer: horizon x targets x quantiles, or classes."""
        return self.classes or self.horizon * self.targets * max(len(self.quantiles), 1)

    @property
    def batch_first(self) -> bool:
        """torch's word for the layout."""
        return self.layout == "batch-major"


def check_quantiles(
    quantiles: Sequence[float], where: str, error: type[RequestError], *, forecasts: bool = True
) -> None:
    """Refuses quantiles that name no interval around a forecast; none at all are fine.

    Args:
        quantiles: to be checked.
        where: the name of the setting, for the message.
        error: the class of error to raise.
        forecasts: whether the model has a forecast for an interval to lie around.

    Raises:
        RequestError: of the class `error`.
    """
    if not quantiles:
        return
    if not forecasts:
        raise error(f"{where} lie around a forecast", got="a model without one", allowed="horizon and targets")
    edges = (0.0, *quantiles, 1.0)
    rising = all(low < high for low, high in itertools.pairwise(edges))
    if not rising or MEDIAN not in quantiles or len(quantiles) < 2:
        allowed = f"two or more rising numbers strictly between 0 and 1, {MEDIAN} among them"
        raise error(where, got=list(quantiles), allowed=allowed, fix="for example [0.1, 0.5, 0.9]")
