"""What `[model]` leaves open, settled: what wins on real data among windowed models, or what can stream.

`benchmarks/defaults.py` has the figures that the choice rests on.
"""

from dataclasses import replace

from toolkit.data.dataset import ForecastDataset
from toolkit.training.config import ModelConfig
from toolkit.training.scoring import season_of

PATCHES = 4
"""In how many patches a window is read where no season is found that goes into it twice."""


def settled(model: ModelConfig, dataset: ForecastDataset, season: int | None) -> ModelConfig:
    """The same with nothing left open.

    Args:
        model: as it was configured.
        dataset: what it is trained on.
        season: samples in a season, where that was configured; None finds it on the training rows.
    """
    calendar = dataset.signal.calendar_channels
    plain = model.streaming or model.task == "classify" or model.head == "every"
    patch = model.patch_length
    if patch is None:
        patch = 1 if plain else patch_length(dataset.window_length, season or season_of(dataset))
    return replace(
        model,
        num_layers=model.num_layers or (2 if plain else 1),
        normalisation=model.normalisation or ("none" if plain else "revin"),
        patch_length=patch,
        channel_mixing=model.channel_mixing or ("joint" if plain or calendar else "independent"),
    )


def patch_length(window_length: int, season: int) -> int:
    """A season, where the window holds two of them or more; else a quarter of the window.

    A patch is one step of the recurrent layers: of a day each, as in SegRNN, they need not carry a day across 24 steps.
    """
    return season if season > 1 and 2 * season <= window_length else max(1, window_length // PATCHES)
