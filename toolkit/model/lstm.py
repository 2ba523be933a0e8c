"""A multivariate, multi-feature recurrent forecaster: raw units in, raw units out.

Inside, everything is time-major, `[sequence, batch, channels]`, as `nn.LSTM` has it by default. Scaling is part of
the module: its buffers are fitted on the training rows and end up in the exported graph, so that nobody has to
carry a scaler beside the model.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from toolkit.contract.graph_io import FORECAST, LOGITS, ForecasterShape
from toolkit.contract.model_spec import MEDIAN, Cell, ChannelMixing, Head, ModelSpec, Normalisation, check_quantiles
from toolkit.errors import InputError, ModelError
from toolkit.model.answers import answer_axes
from toolkit.model.normalisation import WindowNormalisation, in_patches
from toolkit.model.quantiles import outward

CELLS: dict[Cell, type[nn.LSTM | nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


class MultivariateLSTM(nn.Module):
    """LSTM (or GRU) -> last step -> linear layer of `output_size = horizon x targets`.

    Args:
        input_size: channels = variables x features, flattened variable-major.
        hidden_size: units of each recurrent layer and direction.
        num_layers: stacked recurrent layers.
        output_size: width of the linear layer. Given alone, the forecast is `[batch, output_size]`.
        horizon: forecast steps. Given with `targets`, the forecast is `[batch, horizon, targets]`.
        targets: forecast channels.
        classes: in place of a forecast, the logits of so many classes, `[batch, classes]`.
        dropout: between layers, in training only; a single layer has none.
        batch_first: whether `x` is `[batch, sequence, channels]`; as in `nn.LSTM`, the default is time-major,
            `[sequence, batch, channels]`.
        cell: `lstm` or `gru`.
        bidirectional: whether each layer reads the window both ways. The answer then rests on what either direction
            holds when it has read the whole window: at the last step the backward one has seen a single sample.
            With `head="every"` it rests on what either holds at that step, the last one's as well.
        bias: whether the recurrent layers have biases.
        head: `last` answers after the last step, `every` after every step.
        normalisation: see `toolkit.model.normalisation`, and so is the next.
        patch_length: samples that one step reads side by side, through a linear layer.
        channel_mixing: `joint`, or `independent`: each channel is a series of its own, with the same weights.
        target_channels: for each target its channel; by default the first ones.
        calendar_channels: how many of the last channels window normalisation leaves.
        quantiles: of what may come, see `ModelSpec`. The forecast is their median, and they are a second answer, with
            one more axis.

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
        classes: int = 0,
        dropout: float = 0.0,
        batch_first: bool = False,
        cell: Cell = "lstm",
        bidirectional: bool = False,
        bias: bool = True,
        head: Head = "last",
        normalisation: Normalisation = "none",
        patch_length: int = 1,
        channel_mixing: ChannelMixing = "joint",
        target_channels: Sequence[int] = (),
        quantiles: Sequence[float] = (),
        calendar_channels: int = 0,
    ) -> None:
        super().__init__()
        self.answer_axes = answer_axes(output_size, horizon, targets, classes)
        self.batch_first, self.cell, self.every_step, self.classes = batch_first, cell, head == "every", classes
        self.input_size, self.patch_length = input_size, patch_length
        self.independent = channel_mixing == "independent"
        self.target_channels = tuple(target_channels) or tuple(range(self.answer_axes[-1]))
        if (self.independent or normalisation != "none") and horizon is None:
            raise ModelError("model: each target needs its channel", fix="give horizon and targets")
        check_quantiles(quantiles, "model: quantiles", ModelError, forecasts=horizon is not None)
        self.quantiles = tuple(quantiles)
        self.normalise = WindowNormalisation(normalisation, input_size, calendar_channels)
        between = dropout if num_layers > 1 else 0.0
        width = (1 if self.independent else input_size) * patch_length
        self.embedding = nn.Sequential(nn.Linear(width, hidden_size), nn.ReLU()) if patch_length > 1 else nn.Identity()
        # Under its own name, so that the keys of the weights say what they are: `lstm.weight_ih_l0`, `gru....`.
        steps = hidden_size if patch_length > 1 else width
        layers = CELLS[cell](steps, hidden_size, num_layers, bias, False, between, bidirectional)
        self.add_module(cell, layers)
        own_axes = (self.answer_axes[0],) if self.independent else self.answer_axes  # of one series
        own_axes = (*own_axes, len(self.quantiles)) if self.quantiles else own_axes
        self.head = nn.Linear(hidden_size * (2 if bidirectional else 1), int(torch.Size(own_axes).numel()))
        self.unflatten = nn.Unflatten(-1, own_axes)
        self.register_buffer("input_offset", torch.zeros(input_size))
        self.register_buffer("input_scale", torch.ones(input_size))
        if not classes:
            self.register_buffer("output_offset", torch.zeros(self.answer_axes[-1]))
            self.register_buffer("output_scale", torch.ones(self.answer_axes[-1]))

    @property
    def recurrent(self) -> nn.RNNBase:
        """The recurrent layers."""
        layer = getattr(self, self.cell)
        assert isinstance(layer, nn.Module)  # for the type checker; while it is exported it is a lowered layer
        return layer  # type: ignore[return-value] # a lowered layer has what is asked of it here

    @property
    def shape(self) -> ForecasterShape:
        """What the graph contract needs to know of this module."""
        layer = self.recurrent
        return ForecasterShape(
            self.input_size,
            layer.hidden_size,
            layer.num_layers,
            self.answer_axes,
            "batch-major" if self.batch_first else "time-major",
            self.cell,
            layer.bidirectional,
            "every" if self.every_step else "last",
            LOGITS if self.classes else FORECAST,
            self.needs_window,
            self.independent,
            len(self.quantiles),
        )

    @property
    def needs_window(self) -> bool:
        """Whether window normalisation or patches make an answer one about a whole window."""
        return self.normalise.kind != "none" or self.patch_length > 1

    @property
    def streams(self) -> bool:
        """Whether it can answer sample by sample."""
        return not (self.needs_window or self.recurrent.bidirectional)

    @property
    def state_size(self) -> int:
        """The last axis of a state."""
        return self.shape.state_size

    @torch.no_grad()
    def set_scaling(self, mean: Tensor, std: Tensor, target_indices: Sequence[int] = ()) -> None:
        """Fits the scaling to statistics of the training rows.

        Args:
            mean: `[channels]`, in raw units.
            std: `[channels]`, in raw units, all positive.
            target_indices: for each target its channel; a classifier has none.
        """
        if not self.classes and (self.independent or self.needs_window):
            self._check_targets(tuple(target_indices))
        self.input_offset.copy_(mean)
        # The reciprocal is taken once, in float64, so that the graph multiplies: a division would be slower and
        # rounded differently by different runtimes.
        self.input_scale.copy_(1.0 / std)
        if not self.classes:
            self.output_offset.copy_(mean[list(target_indices)])
            self.output_scale.copy_(std[list(target_indices)])

    def _check_targets(self, indices: tuple[int, ...]) -> None:
        if indices != self.target_channels:
            raise ModelError("model: target_channels", got=list(self.target_channels), allowed=list(indices))

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Answers a window of raw readings.

        Args:
            x: `[sequence, batch, channels]`, or `[batch, sequence, channels]` with `batch_first`.

        Returns:
            `[batch, horizon, targets]` or `[batch, output_size]`, in raw units, or logits `[batch, classes]`; with
            `head="every"` one for each step, the first two axes as in `x`. Where the model has quantiles those as
            well, with one more axis.

        Raises:
            InputError: not three axes (torch would take two as one series without a word), or other channels.
        """
        answers = self._of_window(x)
        return self.unscale_all(self.forecast_of(answers), answers) if self.quantiles else self.unscale(answers)

    def standardised(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """`forward` before un-scaling: the same shape, in standard deviations of the targets."""
        answers = self._of_window(x)
        return (self.forecast_of(answers), answers) if self.quantiles else answers

    def _of_window(self, x: Tensor) -> Tensor:
        """Before un-scaling, after the last step or after every one: the quantiles where the model has any."""
        if not self.every_step:
            return self.last_answers(x)
        return self._at_every_step(self.recurrent(self._steps(self._scaled(x)))[0])

    def forecast_of(self, answers: Tensor) -> Tensor:
        """The forecast among the answers: itself, or of quantiles the median, to the bit."""
        return answers[..., self.quantiles.index(MEDIAN)] if self.quantiles else answers

    def last_standardised(self, x: Tensor) -> Tensor:
        """The forecast after the last step, before un-scaling, whatever the head: `[batch, horizon, targets]`.

        It is what the model is scored by.
        """
        return self.forecast_of(self.last_answers(x))

    def last_answers(self, x: Tensor) -> Tensor:
        """The answers after the last step, before un-scaling, whatever the head; what the model is trained on.

        Returns:
            `[batch, horizon, targets]`, or `[batch, horizon, targets, quantiles]` where the model has quantiles.
        """
        window, level, spread = self.normalise(self._scaled(x))
        hidden, state = self.recurrent(self._steps(window))  # [steps, series, directions x hidden_size]
        if self.recurrent.bidirectional and not self.every_step:
            hn = state[0] if self.cell == "lstm" else state  # [layers x directions, series, hidden_size]
            last = torch.cat((hn[-2], hn[-1]), dim=-1)
        else:
            last = hidden[-1]
        answer = self._answers(last)  # [batch, horizon, targets], and quantiles where there are any
        if spread is not None:
            answer = answer * self._of_targets(spread)
        return answer if level is None else answer + self._of_targets(level)

    def stream(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """An answer after every sample, carrying the state.

        Args:
            x: as for `forward`.
            state: `h0` and, for an LSTM, `c0`, each `[num_layers, batch, hidden_size]`.

        Returns:
            The answers `[sequence, batch, horizon, targets]` (first two axes as in `x`), the quantiles with one more
            axis where the model has any, and the new state.

        Raises:
            ModelError: a bidirectional model, which reads the window from its end as well.
        """
        answers, *states = self.stream_answers(x, *state)
        if not self.quantiles:
            return self.unscale(answers), *states
        return *self.unscale_all(self.forecast_of(answers), answers), *states

    def stream_standardised(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """`stream` before un-scaling."""
        answers, *states = self.stream_answers(x, *state)
        return (self.forecast_of(answers), answers, *states) if self.quantiles else (answers, *states)

    def stream_answers(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """`last_answers` after every sample, first two axes as in `x`, and the new state."""
        if not self.streams:
            raise ModelError("a model that needs its whole window cannot stream")
        own = tuple(self._by_series(each) for each in state)
        hidden, last = self.recurrent(self._steps(self._scaled(x)), own if self.cell == "lstm" else own[0])
        return self._at_every_step(hidden), *(self._by_batch(s) for s in (last if self.cell == "lstm" else (last,)))

    def unscale(self, answer: Tensor) -> Tensor:
        """From standard deviations to raw units: one multiplication, one addition. Logits stay as they are."""
        return answer if self.classes else answer * self.output_scale + self.output_offset

    def unscale_all(self, forecast: Tensor, quantiles: Tensor) -> tuple[Tensor, Tensor]:
        """`unscale` of a forecast and of its quantiles: number by number alike, so that the median is the forecast."""
        scale, offset = self.output_scale.unsqueeze(-1), self.output_offset.unsqueeze(-1)  # [targets, 1]
        return self.unscale(forecast), quantiles * scale + offset

    def zero_state(self, batch: int) -> tuple[Tensor, ...]:
        """The state before the first sample: `h0` and, for an LSTM, `c0`, each `[num_layers, batch, hidden_size]`."""
        shape = (self.recurrent.num_layers, batch, self.state_size)
        return tuple(self.input_scale.new_zeros(shape) for _ in range(2 if self.cell == "lstm" else 1))

    def _steps(self, window: Tensor) -> Tensor:
        """What the recurrent layers read, step by step: `[steps, series, features]`."""
        steps: Tensor = self.embedding(in_patches(window, self.patch_length, independent=self.independent))
        return steps

    def _answers(self, hidden: Tensor) -> Tensor:
        """`[..., series, width]` to `[..., batch, *answer_axes]`."""
        answers: Tensor = self.unflatten(self.head(hidden))
        if self.quantiles:
            answers = outward(answers, self.quantiles.index(MEDIAN))
        if not self.independent:
            return answers
        series = -3 if self.quantiles else -2  # the axis before the horizon
        leading, own = answers.shape[:series], answers.shape[series + 1 :]
        by_channel = answers.reshape(
            *leading, -1, self.input_size, *own
        )  # [..., batch, channels, horizon] and quantiles
        return self._of_channels(by_channel, series).transpose(series, series + 1)

    def _of_targets(self, of_window: Tensor) -> Tensor:
        """`[batch, channels]` to `[batch, 1, targets]`, and one more axis where the model has quantiles."""
        values = self._of_channels(of_window, -1).unsqueeze(1)
        return values.unsqueeze(-1) if self.quantiles else values

    def _of_channels(self, values: Tensor, axis: int) -> Tensor:
        """The targets' places of an axis of channels."""
        if self.target_channels == tuple(range(self.input_size)):
            return values
        return values.index_select(axis, torch.tensor(self.target_channels, device=values.device))

    def _by_series(self, state: Tensor) -> Tensor:
        """`[layers, batch, state_size]` to `[layers, series, hidden_size]`."""
        return state.reshape(state.shape[0], -1, self.recurrent.hidden_size) if self.independent else state

    def _by_batch(self, state: Tensor) -> Tensor:
        """The way back."""
        return state.reshape(state.shape[0], -1, self.state_size) if self.independent else state

    def _at_every_step(self, hidden: Tensor) -> Tensor:
        """`[sequence, series, width]` to answers, the first two axes as in `x`."""
        if not self.independent:
            return self._answers(hidden.transpose(0, 1) if self.batch_first else hidden)
        answers = self._answers(hidden)
        return answers.transpose(0, 1) if self.batch_first else answers

    def _scaled(self, x: Tensor) -> Tensor:
        """`[sequence, batch, channels]` in standard deviations.

        Subtracting first keeps what a large offset leaves: at 101 325 +- 50, `x * scale - offset * scale` would
        subtract two numbers near 2,000 and keep a hundredth of the accuracy.
        """
        if x.dim() != 3 or x.shape[-1] != self.input_size:
            raise InputError(
                "x has the wrong shape",
                got=list(x.shape),
                allowed=f"three axes, the last of {self.input_size} channels",
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

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """`MultivariateLSTM.stream`."""
        return self.model.stream(x, *state)


class Standardised(nn.Module):
    """A model's answers before un-scaling, called as its graph is: without a state, or with one and giving one back.

    Args:
        model: the model whose weights are used, not copied.
    """

    def __init__(self, model: MultivariateLSTM) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """`MultivariateLSTM.standardised`, or `stream_standardised` where a state is given."""
        if state:
            return self.model.stream_standardised(x, *state)
        answer = self.model.standardised(x)
        return answer if isinstance(answer, tuple) else (answer,)


def model_from_spec(spec: ModelSpec) -> MultivariateLSTM:
    """A module of that shape, with fresh weights."""
    return MultivariateLSTM(
        spec.input_size,
        spec.hidden_size,
        spec.num_layers,
        horizon=None if spec.classes else spec.horizon,
        targets=None if spec.classes else spec.targets,
        classes=spec.classes,
        dropout=spec.dropout,
        batch_first=spec.batch_first,
        cell=spec.cell,
        bidirectional=spec.bidirectional,
        bias=spec.bias,
        head=spec.head,
        normalisation=spec.normalisation,
        patch_length=spec.patch_length,
        channel_mixing=spec.channel_mixing,
        target_channels=spec.target_channels,
        quantiles=spec.quantiles,
        calendar_channels=spec.calendar_channels,
    )
