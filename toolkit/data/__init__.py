"""From sensor tables to arrays and windows.

Of these modules `dataset` alone imports torch. Its names are looked up when they are asked for, so that
`toolkit.scoring` reads tables on a machine that has polars and no torch.
"""

from typing import TYPE_CHECKING, Any

from toolkit.data.config import DataConfig
from toolkit.data.tables import SensorTable, read_table

if TYPE_CHECKING:
    from toolkit.data.dataset import ForecastDataset, build_dataset

__all__ = ["DataConfig", "ForecastDataset", "SensorTable", "build_dataset", "read_table"]


def __getattr__(name: str) -> Any:
    if name not in ("ForecastDataset", "build_dataset"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from toolkit.data import dataset  # noqa: PLC0415 - it imports torch

    return getattr(dataset, name)
