"""From sensor tables to arrays and windows."""

from toolkit.data.config import DataConfig
from toolkit.data.dataset import ForecastDataset, build_dataset
from toolkit.data.tables import SensorTable, read_table

__all__ = ["DataConfig", "ForecastDataset", "SensorTable", "build_dataset", "read_table"]
