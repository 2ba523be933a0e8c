"""How good an interval is: whether it holds as many readings as it promises, and how narrow it is."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.contract.reports import IntervalScores
from toolkit.contract.signals import SignalSpec
from toolkit.data.dataset import ForecastDataset
from toolkit.model.lstm import MultivariateLSTM
from toolkit.training.objectives import EVALUATION_BATCH

Floats = NDArray[np.floating[Any]]
Array = NDArray[np.float64]


@dataclass
class IntervalSums:
    """Sums over windows and steps of the horizon; the interval is the one between the outermost quantiles.

    Attributes:
        levels: the quantiles, rising.
        scale: standard deviation of each target over the training rows, or None where it is not known.
        readings: how many of each target were seen.
        covered: how many of each target lay within, `[targets]`.
        below: how many lay at or below each quantile, `[quantiles]`.
        width: `[targets]`, raw.
        pinball: `[targets]`, raw, the mean over quantiles.
    """

    levels: Array
    scale: Array | None
    readings: int
    covered: Array
    below: Array
    width: Array
    pinball: Array

    @classmethod
    def empty(cls, levels: tuple[float, ...], targets: int, scale: Array | None) -> "IntervalSums":
        """Before the first window."""
        none = np.zeros(targets)
        return cls(np.asarray(levels), scale, 0, none, np.zeros(len(levels)), none, none)

    def add(self, quantiles: Floats, truth: Array) -> None:
        """Takes raw quantiles `[windows, horizon, targets, quantiles]` and what came, without the last axis."""
        exact = quantiles.astype(np.float64)
        error = truth[..., None] - exact
        self.readings += truth.shape[0] * truth.shape[1]
        self.below = self.below + (error <= 0).sum(axis=(0, 1, 2))
        self.covered = self.covered + ((error[..., 0] >= 0) & (error[..., -1] <= 0)).sum(axis=(0, 1))
        self.width = self.width + (exact[..., -1] - exact[..., 0]).sum(axis=(0, 1))
        losses = np.maximum(self.levels * error, (self.levels - 1) * error)
        self.pinball = self.pinball + losses.mean(axis=-1).sum(axis=(0, 1))

    def scores(self, signal: SignalSpec) -> IntervalScores:
        """The mean over everything that was added."""
        targets, unit = signal.targets, np.ones(len(signal.targets)) if self.scale is None else self.scale
        widths = self.width / self.readings
        alone = len(targets) == 1
        return IntervalScores(
            tuple(map(float, self.levels)),
            float(self.levels[-1] - self.levels[0]),
            float(self.covered.mean() / self.readings),
            float(widths[0] if alone else (widths / unit).mean()),
            signal.target_units[0] if alone else "mixed units" if self.scale is None else "standard deviations",
            float((self.pinball / self.readings / unit).mean()),
            tuple(float(count) / (self.readings * len(targets)) for count in self.below),
            dict(zip(targets, map(float, widths), strict=True)),
        )


def interval_scores(model: MultivariateLSTM, dataset: ForecastDataset) -> IntervalScores | None:
    """Over every test window; None of a model without quantiles.

    Args:
        model: in evaluation mode.
        dataset: where the windows come from.
    """
    if not model.quantiles:
        return None
    scale = dataset.std[dataset.target_indices].double().numpy()
    sums = IntervalSums.empty(model.quantiles, len(dataset.target_indices), scale)
    for x, y in dataset.batches("test", EVALUATION_BATCH):
        sums.add(model_quantiles(model, x.numpy()), y.double().numpy())
    return sums.scores(dataset.signal)


def model_quantiles(model: MultivariateLSTM, x: Floats) -> Floats:
    """Raw quantiles `[windows, horizon, targets, quantiles]` of raw windows, the module in evaluation mode."""
    with torch.inference_mode():
        answers = model.last_answers(torch.from_numpy(x).float())
        _, quantiles = model.unscale_all(model.forecast_of(answers), answers)
    return quantiles.double().numpy()
