"""What tests of tables and of training share: small tables, and settings small enough to train in a second."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from toolkit.data import DataConfig, SensorTable
from toolkit.data.config import DataConfig as Data
from toolkit.signal.windows import segment_ids
from toolkit.training import EpochRecord, ModelConfig, RunConfig, TrainConfig

MINUTE_US = 60_000_000
START = "2026-01-01T00:00:00"


def moments(count: int) -> list[str]:
    """`count` minutes from the start on, as text."""
    return [str(np.datetime64(START) + np.timedelta64(minute, "m")) for minute in range(count)]


def wave(count: int, seed: int = 0) -> np.ndarray:
    """`[count, 2]`: a temperature that repeats every 12 rows and a pressure of 101 325 +- 50 that leads it."""
    steps = np.arange(count)
    noise = np.random.default_rng(seed).standard_normal((count, 2))
    waves = np.stack([np.sin(2 * np.pi * steps / 12), np.cos(2 * np.pi * steps / 12)], axis=1)
    return np.array([60.0, 101_325.0]) + np.array([5.0, 50.0]) * (waves + 0.1 * noise)


def lines(header: str, *columns: object) -> str:
    """The text of a CSV file."""
    rows = zip(*columns, strict=True)  # type: ignore[call-overload]
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"


def plain_csv(count: int = 240) -> str:
    """A table without a fault: `time`, `temperature`, `pressure`."""
    return lines("time,temperature,pressure", moments(count), *wave(count).T.tolist())


def write(folder: Path, content: str | bytes, name: str = "plant.csv") -> Path:
    """Writes a file and gives its path."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def data_config(path: Path | str, **changes: object) -> DataConfig:
    """Settings for `plain_csv`."""
    plain = Data(str(path), "time", ("temperature",), window_length=12, horizon=3)
    return replace(plain, **changes)  # type: ignore[arg-type]


def run_config(path: Path, *, data: dict | None = None, **training: object) -> RunConfig:
    """Settings for a training of a second."""
    quick = {"max_epochs": 3, "batch_size": 16, "learning_rate": 0.01}
    return RunConfig(
        data_config(path, **(data or {})),
        ModelConfig(hidden_size=8, num_layers=1, normalisation="none", patch_length=1, channel_mixing="joint"),
        TrainConfig(**{**quick, **training}),
    )


def sensor_table(values: np.ndarray, names: tuple[str, ...], assets: np.ndarray | None = None) -> SensorTable:
    """A table of one row a minute; every asset begins at the same moment."""
    assets = np.zeros(len(values), np.int64) if assets is None else assets
    times = np.concatenate([np.arange((assets == asset).sum()) for asset in np.unique(assets)]) * MINUTE_US
    asset_names = tuple(map(str, np.unique(assets)))
    segments = segment_ids(assets, times, int(1.5 * MINUTE_US))
    return SensorTable("plant.csv", "", names, asset_names, assets, times, values, segments, 60.0, 0)


class Silent:
    """Nobody watches."""

    def on_seed(self, seed: int, number: int, total: int) -> None:
        """Nothing."""

    def on_batch(self, epoch: int, done: int, total: int, loss: float) -> None:
        pass

    def on_epoch(self, record: EpochRecord) -> None:
        pass
