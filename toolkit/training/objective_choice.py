"""Which objective a configuration asks for."""

from toolkit.data.dataset import ForecastDataset
from toolkit.model.lstm import MultivariateLSTM
from toolkit.training.classification import ClassObjective
from toolkit.training.config import TrainConfig
from toolkit.training.objectives import Objective, WindowObjective
from toolkit.training.quantiles import PinballObjective
from toolkit.training.streaming import StreamObjective


def objective_of(
    model: MultivariateLSTM, dataset: ForecastDataset, config: TrainConfig, *, streaming: bool = False
) -> Objective:
    """What `config` says that the model is to be trained for.

    Args:
        model: trained in place.
        dataset: where the windows come from, on the model's device.
        config: how it is trained.
        streaming: as it is run sample by sample. A classifier learns from whole windows all the same: a label at every
            step would count a fault as many times as it is long.
    """
    if dataset.class_names:
        return ClassObjective(model, dataset, config)
    if streaming:
        return StreamObjective(model, dataset, config.loss)
    return PinballObjective(model, dataset) if model.quantiles else WindowObjective(model, dataset, config.loss)
