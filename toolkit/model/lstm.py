"""A multivariate, multi-feature LSTM forecaster: raw units in, raw units out.

Inside, everything is time-major, `[sequence, batch, channels]`, as `nn.LSTM` has it by default. Scaling is part of
the module: its buffers are fitted on the training rows and end up in the exported graph, so that nobody has to
carry a scaler beside the model.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from toolkit.contract.graph_io import ForecasterShape
from toolkit.contract.model_spec import Layout, ModelSpec
from toolkit.errors import InputError, ModelError


class MultivariateLSTM(nn.Module):
    """LSTM -> last step -> linear layer of `output_size = horizon x targets`.

    Args:
        input_size: channels = variables x features, flattened variable-major.
        hidden_size: units of each LSTM layer.
        num_layers: stacked LSTM layers.
        output_size: width of the linear layer. Given alone, the forecast is `[batch, output_size]`.
        horizon: forecast steps. Given with `targets`, the forecast is `[batch, horizon, targets]`.
        targets: forecast channels.
        dropout: between layers, in training only; a single layer has none.
        batch_first: whether `x` is `[batch, sequence, channels]`; as in `nn.LSTM`, the default is time-major,
            `[sequence, batch, channels]`.

    Raises:
        ModelError: sizes that are missing or contradict each other.
    """

    input_offset: Tensor
    input_scale: Tensor
    output_offset: Tensor
    output_scale: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        output_size: int | None = None,
        *,
        horizon: int | None = None,
        targets: int | None = None,
        dropout: float = 0.0,
        batch_first: bool = False,
    ) -> None:
        super().__init__()
        self.forecast_shape = _forecast_shape(output_size, horizon, targets)
        self.batch_first = batch_first
        self.lstm = nn.LSTM(input_size, hidden_size, num_layers, dropout=dropout if num_layers > 1 else 0.0)
        self.head = nn.Linear(hidden_size, int(torch.Size(self.forecast_shape).numel()))
        self.unflatten = nn.Unflatten(-1, self.forecast_shape)
        self.register_buffer("input_offset", torch.zeros(input_size))
        self.register_buffer("input_scale", torch.ones(input_size))
        self.register_buffer("output_offset", torch.zeros(self.forecast_shape[-1]))
        self.register_buffer("output_scale", torch.ones(self.forecast_shape[-1]))

    @property
    def shape(self) -> ForecasterShape:
        """What the graph contract needs to know of this module."""
        layout: Layout = "batch-major" if self.batch_first else "time-major"
        lstm = self.lstm
        return ForecasterShape(lstm.input_size, lstm.hidden_size, lstm.num_layers, self.forecast_shape, layout)

    @torch.no_grad()
    def set_scaling(self, mean: Tensor, std: Tensor, target_indices: Sequence[int]) -> None:
        """Fits the scaling to statistics of the training rows.

        Args:
            mean: `[channels]`, in raw units.
            std: `[channels]`, in raw units, all positive.
            target_indices: for each target its channel.
        """
        self.input_offset.copy_(mean)
        # The reciprocal is taken once, in float64, so that the graph multiplies: a division would be slower and
        # rounded differently by different runtimes.
        self.input_scale.copy_(1.0 / std)
        self.output_offset.copy_(mean[list(target_indices)])
        self.output_scale.copy_(std[list(target_indices)])

    def forward(self, x: Tensor) -> Tensor:
        """Forecasts from a window of raw readings.

        Args:
            x: `[sequence, batch, channels]`, or `[batch, sequence, channels]` with `batch_first`.

        Returns:
            `[batch, horizon, targets]` or `[batch, output_size]`, in raw units.

        Raises:
            InputError: not three axes (torch would take two as one series without a word), or other channels.
        """
        return self.unscale(self.standardised(x))

    def standardised(self, x: Tensor) -> Tensor:
        """`forward` before un-scaling: the same shape, in standard deviations of the targets."""
        hidden, _ = self.lstm(self._scaled(x))  # [sequence, batch, hidden_size]
        forecast: Tensor = self.unflatten(self.head(hidden[-1]))  # [batch, horizon, targets]
        return forecast

    def stream(self, x: Tensor, h0: Tensor, c0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A forecast after every sample, carrying the state.

        Args:
            x: as for `forward`.
            h0: `[num_layers, batch, hidden_size]`.
            c0: the same shape.

        Returns:
            The forecast `[sequence, batch, horizon, targets]` (first two axes as in `x`), `hn` and `cn`.
        """
        forecast, hn, cn = self.stream_standardised(x, h0, c0)
        return self.unscale(forecast), hn, cn

    def stream_standardised(self, x: Tensor, h0: Tensor, c0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`stream` before un-scaling."""
        hidden, (hn, cn) = self.lstm(self._scaled(x), (h0, c0))  # [sequence, batch, hidden_size]
        if self.batch_first:
            hidden = hidden.transpose(0, 1)
        return self.unflatten(self.head(hidden)), hn, cn

    def unscale(self, forecast: Tensor) -> Tensor:
        """From standard deviations to raw units: one multiplication, one addition."""
        return forecast * self.output_scale + self.output_offset

    def zero_state(self, batch: int) -> tuple[Tensor, Tensor]:
        """`h0` and `c0` before the first sample, each `[num_layers, batch, hidden_size]`."""
        shape = (self.lstm.num_layers, batch, self.lstm.hidden_size)
        return self.output_scale.new_zeros(shape), self.output_scale.new_zeros(shape)

    def _scaled(self, x: Tensor) -> Tensor:
        """`[sequence, batch, channels]` in standard deviations.

        Subtracting first keeps what a large offset leaves: at 101 325 +- 50, `x * scale - offset * scale` would
        subtract two numbers near 2,000 and keep a hundredth of the accuracy.
        """
        if x.dim() != 3 or x.shape[-1] != self.lstm.input_size:
            raise InputError(
                "x has the wrong shape",
                got=list(x.shape),
                allowed=f"three axes, the last of {self.lstm.input_size} channels",
                fix="a single series needs a batch axis of 1",
            )
        scaled = (x - self.input_offset) * self.input_scale
        return scaled.transpose(0, 1) if self.batch_first else scaled


class StreamingForecaster(nn.Module):
    """`MultivariateLSTM.stream` as a module of its own, to be exported.

    Args:
        model: the model whose weights are used, not copied.
    """

    def __init__(self, model: MultivariateLSTM) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, h0: Tensor, c0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`MultivariateLSTM.stream`."""
        return self.model.stream(x, h0, c0)


def model_from_spec(spec: ModelSpec) -> MultivariateLSTM:
    """A module of that shape, with fresh weights."""
    return MultivariateLSTM(
        spec.input_size,
        spec.hidden_size,
        spec.num_layers,
        horizon=spec.horizon,
        targets=spec.targets,
        dropout=spec.dropout,
        batch_first=spec.batch_first,
    )


def _forecast_shape(output_size: int | None, horizon: int | None, targets: int | None) -> tuple[int, ...]:
    if (horizon is None) != (targets is None):
        raise ModelError("model: horizon and targets go together", got=f"horizon={horizon}, targets={targets}")
    if horizon is None or targets is None:
        if output_size is None:
            raise ModelError("model: the size of the output is missing", fix="give output_size, or horizon and targets")
        return (output_size,)
    if output_size not in (None, horizon * targets):
        raise ModelError("model: output_size", got=output_size, allowed=f"horizon x targets = {horizon * targets}")
    return (horizon, targets)
