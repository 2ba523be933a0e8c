"""Training a classifier: cross-entropy of the logits after a window's last row, where its label stands."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from toolkit.data.dataset import ForecastDataset
from toolkit.model.lstm import MultivariateLSTM
from toolkit.training.config import TrainConfig
from toolkit.training.objectives import EVALUATION_BATCH, Objective, shuffled


class ClassObjective(Objective):
    """Cross-entropy, in nats, of the class of each window.

    Args:
        model: trained in place.
        dataset: where the windows come from, with labels.
        config: `class_weights`: `balanced` makes every class count alike, however many windows it has.
    """

    def __init__(self, model: MultivariateLSTM, dataset: ForecastDataset, config: TrainConfig) -> None:
        super().__init__(model, dataset)
        counts = class_counts(dataset, "train")
        balanced = config.class_weights == "balanced"
        self.weights = balanced_weights(counts) if balanced else torch.ones(len(counts), device=counts.device)

    def batches(self, generator: torch.Generator, batch_size: int) -> Sequence[Tensor]:
        """First rows of windows."""
        return shuffled(self.dataset.starts["train"], batch_size, generator)

    def forward(self, batch: Tensor) -> Tensor:
        """Over the windows that begin at these rows."""
        return self._losses(batch).mean()

    def validation(self) -> float:
        """Over every window of the validation part."""
        self.model.eval()
        starts = self.dataset.starts["validation"]
        with torch.inference_mode():
            total = sum(float(self._losses(batch).sum()) for batch in torch.split(starts, EVALUATION_BATCH))
        return total / len(starts)

    def _losses(self, starts: Tensor) -> Tensor:
        """Of each window, times the weight of its class: `[windows]`.

        torch's own weighting divides by the weights of the batch: a class would count less in a batch that it fills,
        and a batch that is shared out would have another mean than the whole.
        """
        x, _ = self.dataset.gather(starts)
        labels = self.dataset.labels_of(starts)
        losses = nn.functional.cross_entropy(self.model.last_standardised(x), labels, reduction="none")
        return losses * self.weights[labels]


def balanced_weights(counts: Tensor) -> Tensor:
    """Weights with which every class that occurs has the same sum over the windows, and a mean of 1 over them."""
    present = counts > 0
    weights = counts.sum() / (present.sum() * counts.clamp(min=1))
    return torch.where(present, weights, 0.0).float()


def class_counts(dataset: ForecastDataset, part: str) -> Tensor:
    """Windows of each class, int64 `[classes]`."""
    labels = dataset.labels_of(dataset.starts[part])
    return torch.bincount(labels, minlength=len(dataset.class_names))
