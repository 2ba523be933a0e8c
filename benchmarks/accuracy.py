"""Forecast quality on ETTh1, from the exported ONNX graph: mean of three seeds, every test window.

    python benchmarks/accuracy.py ETTh1.csv --work runs/accuracy --json benchmarks/results/accuracy-etth1.json

The split is the literature's, 12/4/4 months of 30 days, scaled by the training rows; no window is dropped. Each seed is
trained by `toolkit.training.train`, exported by `toolkit.release.build_bundle` with its whole parity check, and scored
by onnxruntime on the bundle. What is in the work folder is not done again: an interrupted run goes on where it was.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.atomic_files import write_text
from toolkit.contract.records import encode
from toolkit.contract.reports import Scores
from toolkit.data import DataConfig, build_dataset, read_table
from toolkit.data.dataset import ForecastDataset
from toolkit.release import Options, build_bundle
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.environment import environment
from toolkit.signal.baselines import persistence, seasonal_naive
from toolkit.training import EpochRecord, load_run, train
from toolkit.training.config import ModelConfig, RunConfig, TrainConfig
from toolkit.training.scoring import Forecast, linear_baseline, score

TARGETS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
BORDERS = (8_640, 11_520, 14_400)
DAY = 24
TASKS = ((96, 24), (96, 96), (336, 96))
"""Window and horizon, in hours."""

SEEDS = (0, 1, 2)
MODEL = ModelConfig(
    hidden_size=64, num_layers=1, normalisation="revin", patch_length=DAY, channel_mixing="independent"
)  # fmt: skip
TRAINING = TrainConfig(max_epochs=12, min_epochs=5, patience=5, loss="mae", schedule="decay")


@dataclasses.dataclass(frozen=True)
class Seed:
    """One trained, exported and scored model.

    Attributes:
        seed: of its training.
        mse: of the ONNX graph, in standard deviations, over all test windows, steps and channels.
        mae: the same.
        seconds: of training, its scoring included.
        epochs: that were run.
    """

    seed: int
    mse: float
    mae: float
    seconds: float
    epochs: int


class _Silent:
    def on_seed(self, seed: int, number: int, total: int) -> None:
        """Nothing."""

    def on_batch(self, epoch: int, done: int, total: int, loss: float) -> None:
        """Nothing."""

    def on_epoch(self, record: EpochRecord) -> None:
        """One line."""
        print(f"  epoch {record.epoch:2d}  validation {record.validation_loss:.4f}  {record.seconds:.1f} s", flush=True)


def config_of(file: Path, window: int, horizon: int, seed: int) -> RunConfig:
    """Everything that a run depends on."""
    data = DataConfig(str(file), "date", TARGETS, window_length=window, horizon=horizon, borders=BORDERS, season=DAY)
    return RunConfig(data, MODEL, dataclasses.replace(TRAINING, seed=seed))


def run_seed(config: RunConfig, dataset: ForecastDataset, work: Path) -> Seed:
    """Trains and exports unless that is there already, and scores the graph."""
    name = f"{config.data.window_length}-{config.data.horizon}-{config.training.seed}"
    run, bundle, seconds = work / "runs" / name, work / "exported" / name, 0.0
    same = run.is_dir() and (run / "config.toml").read_text(encoding="utf-8") == config.to_toml()
    if not same:
        start = time.monotonic()
        train(config, run, _Silent(), overwrite=run.is_dir())
        seconds = time.monotonic() - start
    trained = load_run(run)
    if not (same and bundle.is_dir()):
        build_bundle(trained, bundle, Options(overwrite=bundle.is_dir()))
    found = score(dataset, graph_forecast(bundle)).test_standardised
    return Seed(
        config.training.seed, found.mse, found.mae, seconds or trained.report["seconds"], trained.report["epochs"]
    )


def graph_forecast(bundle: Path) -> Forecast:
    """The forecast of a bundle's windowed graph."""
    predictor = load_bundle(bundle).windowed()
    return lambda x: predictor.predict(np.ascontiguousarray(x, np.float32)).astype(np.float64)


def baselines(dataset: ForecastDataset) -> dict[str, Scores]:
    """Persistence, the same hour of yesterday, and the closed-form linear model, on the same windows."""
    targets, horizon, linear = dataset.target_indices, dataset.horizon, linear_baseline(dataset)
    return {
        "persistence": score(dataset, lambda x: persistence(x[:, :, targets], horizon)),
        "seasonal": score(dataset, lambda x: seasonal_naive(x[:, :, targets], horizon, DAY)),
        "linear": score(dataset, lambda x: linear.forecast(x[:, :, targets])),
    }


def rows(
    file: Path, work: Path, tasks: tuple[tuple[int, int], ...], seeds: tuple[int, ...]
) -> Iterator[dict[str, Any]]:
    """One row for each task: the mean over the seeds, and what it is made of."""
    for window, horizon in tasks:
        config = config_of(file, window, horizon, 0)
        dataset = build_dataset(read_table(config.data), config.data)
        found = []
        for seed in seeds:
            print(f"ETTh1 {window} -> {horizon}, seed {seed}", flush=True)
            found.append(run_seed(config_of(file, window, horizon, seed), dataset, work))
            print(f"  MSE {found[-1].mse:.4f}  MAE {found[-1].mae:.4f}  {found[-1].seconds:.0f} s", flush=True)
        yield {
            "dataset": "ETTh1",
            "window": window,
            "horizon": horizon,
            "mse": float(np.mean([seed.mse for seed in found])),
            "mae": float(np.mean([seed.mae for seed in found])),
            "seeds": encode(tuple(found)),
            "baselines": {name: encode(scores.test_standardised) for name, scores in baselines(dataset).items()},
            "config": encode(config_of(Path(file.name), window, horizon, seeds[0])),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="DATA", help="ETTh1.csv")
    parser.add_argument("--work", type=Path, default=Path("runs/accuracy"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--task", nargs=2, type=int, action="append", metavar=("WINDOW", "HORIZON"))
    given = parser.parse_args()
    tasks = tuple((window, horizon) for window, horizon in given.task) if given.task else TASKS
    found = []
    for row in rows(given.file, given.work, tasks, tuple(given.seeds)):
        found.append(row)
        print(f"{row['window']} -> {row['horizon']}: MSE {row['mse']:.4f}, MAE {row['mae']:.4f}", flush=True)
        if given.json is not None:
            write_text(given.json, json.dumps({"rows": found, "environment": environment()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
