"""What training lessens: the batches of an epoch, the loss of one, and the loss that tells the best epoch."""

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from toolkit.data.dataset import ForecastDataset
from toolkit.model.lstm import MultivariateLSTM

EVALUATION_BATCH = 512

Criterion = Callable[[Tensor, Tensor], Tensor]
LOSSES: dict[str, Criterion] = {
    "mse": nn.functional.mse_loss,
    "mae": nn.functional.l1_loss,
    "huber": nn.functional.huber_loss,
}


class Objective(nn.Module):
    """A model and what it is trained for; a module, so that torch can average its gradients over processes.

    Args:
        model: trained in place.
        dataset: where the windows come from, on the model's device.
    """

    def __init__(self, model: MultivariateLSTM, dataset: ForecastDataset) -> None:
        super().__init__()
        self.model = model
        self.dataset = dataset

    @abstractmethod
    def batches(self, generator: torch.Generator, batch_size: int) -> Sequence[Tensor]:
        """The batches of one epoch, in an order that `generator` draws; their first axis is that of the series."""

    @abstractmethod
    def forward(self, batch: Tensor) -> Tensor:
        """The mean loss of a batch, a number."""

    @abstractmethod
    def validation(self) -> float:
        """The loss over all of the validation part, the model in evaluation mode."""


class WindowObjective(Objective):
    """The error of a forecast after a whole window, in standard deviations of the targets.

    Args:
        model: trained in place.
        dataset: where the windows come from.
        loss: a key of `LOSSES`.
    """

    def __init__(self, model: MultivariateLSTM, dataset: ForecastDataset, loss: str) -> None:
        super().__init__(model, dataset)
        self.loss = loss

    def batches(self, generator: torch.Generator, batch_size: int) -> Sequence[Tensor]:
        """First rows of windows."""
        return shuffled(self.dataset.starts["train"], batch_size, generator)

    def forward(self, batch: Tensor) -> Tensor:
        """Over the windows that begin at these rows."""
        x, y = self.dataset.gather(batch)
        return LOSSES[self.loss](self.model.last_standardised(x), standardised(self.model, y))

    def validation(self) -> float:
        """Over every window of the validation part."""
        return mean_loss(self.model, self.dataset, "validation", self.loss)


def mean_loss(model: MultivariateLSTM, dataset: ForecastDataset, part: str, kind: str = "mse") -> float:
    """Mean loss in standard deviations over all windows of a part."""
    model.eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for x, y in dataset.batches(part, EVALUATION_BATCH):
            total += float(LOSSES[kind](model.last_standardised(x), standardised(model, y))) * len(x)
            count += len(x)
    return total / count


def shuffled(starts: Tensor, batch_size: int, generator: torch.Generator) -> Sequence[Tensor]:
    """Rows in an order that `generator` draws, `batch_size` at a time."""
    order = torch.randperm(len(starts), generator=generator)
    return torch.split(starts[order.to(starts.device)], batch_size)


def standardised(model: MultivariateLSTM, y: Tensor) -> Tensor:
    """Truth in standard deviations: the offset goes first, as in the model's own scaling."""
    return (y - model.output_offset) / model.output_scale
