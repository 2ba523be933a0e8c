"""Training for quantiles: the pinball loss (Koenker and Bassett, Regression quantiles, Econometrica 1978)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from toolkit.data.dataset import ForecastDataset
from toolkit.model.lstm import MultivariateLSTM
from toolkit.training.objectives import EVALUATION_BATCH, Objective, shuffled, standardised


class PinballObjective(Objective):
    """The pinball loss of every quantile after a whole window, in standard deviations of the targets.

    Args:
        model: with quantiles; trained in place.
        dataset: where the windows come from.
    """

    def __init__(self, model: MultivariateLSTM, dataset: ForecastDataset) -> None:
        super().__init__(model, dataset)
        self.register_buffer("levels", model.output_scale.new_tensor(model.quantiles), persistent=False)

    levels: Tensor

    def batches(self, generator: torch.Generator, batch_size: int) -> Sequence[Tensor]:
        """First rows of windows."""
        return shuffled(self.dataset.starts["train"], batch_size, generator)

    def forward(self, batch: Tensor) -> Tensor:
        """Over the windows that begin at these rows."""
        return self._losses(*self.dataset.gather(batch)).mean()

    def validation(self) -> float:
        """Over every window of the validation part."""
        self.model.eval()
        total, count = 0.0, 0
        with torch.inference_mode():
            for x, y in self.dataset.batches("validation", EVALUATION_BATCH):
                losses = self._losses(x, y)
                total, count = total + float(losses.sum()), count + losses.numel()
        return total / count

    def _losses(self, x: Tensor, y: Tensor) -> Tensor:
        return pinball(self.model.last_answers(x), standardised(self.model, y), self.levels)


def pinball(answers: Tensor, truth: Tensor, levels: Tensor) -> Tensor:
    """A reading above a quantile costs `level` for each unit between them, one below it `1 - level`.

    Args:
        answers: `[..., quantiles]`.
        truth: the same without the last axis.
        levels: `[quantiles]`, each between 0 and 1.

    Returns:
        `[..., quantiles]`.
    """
    error = truth.unsqueeze(-1) - answers
    return torch.maximum(levels * error, (levels - 1) * error)
