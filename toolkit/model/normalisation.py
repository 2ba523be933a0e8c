"""What a window goes through before the recurrent layers: its own level and spread taken out, samples put in patches.

A forecaster that sees levels it was not trained on (winter after summer) fails by the level alone. On ETTh1 taking it
out halves the squared error of a plain LSTM; patches of a day and one channel at a time bring the rest.

Normalisation: `last` subtracts the window's last sample; `revin` its mean, and divides by its standard deviation (Kim
et al., Reversible instance normalization, ICLR 2022, without the affine part). Patches: Lin et al., SegRNN, 2023.
"""

import torch
from torch import Tensor, nn

from toolkit.contract.model_spec import Normalisation

EPSILON = 1e-5
"""Added to a window's variance: a sensor that stands still has none."""


class WindowNormalisation(nn.Module):
    """Takes a window's level, and with `revin` its spread, out of every channel.

    Args:
        kind: `none`, `last` or `revin`.
        channels: of the window.
        calendar: how many of the last channels stay as they are: what hour it is lies in their level.
    """

    normalised: Tensor | None

    def __init__(self, kind: Normalisation, channels: int = 0, calendar: int = 0) -> None:
        super().__init__()
        self.kind = kind
        # Not among the weights: the model's shape says it. Without a calendar there is nothing of it in the graph.
        chosen = torch.arange(channels) < channels - calendar if calendar and kind != "none" else None
        self.register_buffer("normalised", chosen, persistent=False)

    def forward(self, window: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Normalises each series by itself.

        Args:
            window: `[sequence, batch, channels]`, in standard deviations.

        Returns:
            The window, and of each series the level and the spread, `[batch, channels]`; None for one that stays in.
        """
        if self.kind == "none":
            return window, None, None
        if self.kind == "last":
            level = self._or_left(window[-1], 0.0)
            return window - level, level, None
        # Means over the last axis: over the first onnxruntime sums number after number, and loses a digit in 400.
        level = self._or_left(window.permute(1, 2, 0).mean(dim=-1), 0.0)
        centred = window - level
        spread = self._or_left(torch.sqrt((centred * centred).permute(1, 2, 0).mean(dim=-1) + EPSILON), 1.0)
        return centred / spread, level, spread

    def _or_left(self, values: Tensor, neutral: float) -> Tensor:
        """Of each channel `[batch, channels]` its value, or what leaves a channel of the calendar as it is."""
        return values if self.normalised is None else torch.where(self.normalised, values, neutral)


def in_patches(window: Tensor, length: int, *, independent: bool) -> Tensor:
    """Puts samples side by side; of a window that is no multiple the newest part.

    Args:
        window: `[sequence, batch, channels]`.
        length: samples of a patch; 1 leaves every sample a step of its own.
        independent: whether each channel is a series of its own.

    Returns:
        `[sequence // length, batch, length * channels]`, or `[sequence // length, batch * channels, length]`.
    """
    if length == 1:
        return window.flatten(1, 2).unsqueeze(-1) if independent else window
    newest = window[window.shape[0] % length :]
    patches = newest.reshape(-1, length, *newest.shape[1:])  # [steps, length, batch, channels]
    if independent:
        return patches.permute(0, 2, 3, 1).flatten(1, 2)  # [steps, batch * channels, length]
    return patches.permute(0, 2, 1, 3).flatten(2, 3)  # [steps, batch, length * channels]
