"""Which model a configuration that says nothing gets, and why: the family side by side on real data.

    python benchmarks/defaults.py DATA --json benchmarks/results/defaults.json

DATA is a folder with `ett/ETTh1.csv`, `skab/valve1/*.csv` and `tep/d00_te.dat`, `d01_te.dat` (benchmarks/README.md says
where they come from). One seed, the same epochs and patience for all; errors on every test window, in standard
deviations of the training rows. What was trained before is not trained again: an interrupted run goes on.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from toolkit.atomic_files import write_text
from toolkit.data import DataConfig, build_dataset, read_table
from toolkit.data.dataset import ForecastDataset
from toolkit.model.lstm import model_from_spec
from toolkit.runtime.environment import environment
from toolkit.training import EpochRecord, ModelConfig, RunConfig, TrainConfig
from toolkit.training.defaults import settled
from toolkit.training.loop import fit
from toolkit.training.objective_choice import objective_of
from toolkit.training.run import model_spec
from toolkit.training.scoring import compare, stream_score

SKAB = (
    "Accelerometer1RMS",
    "Accelerometer2RMS",
    "Current",
    "Pressure",
    "Temperature",
    "Thermocouple",
    "Voltage",
    "Volume Flow RateRMS",
)
TEP = tuple(f"x{number:02d}" for number in range(1, 53))
"""Its 52 columns have no header; the first 22 are measured every three minutes and are forecast."""
TRAINING = TrainConfig(max_epochs=30, patience=6, schedule="decay")

MODELS = {
    "plain joint LSTM, trained sample by sample": ModelConfig(streaming=True),
    "plain joint LSTM, trained on windows": ModelConfig(
        normalisation="none", patch_length=1, channel_mixing="joint", num_layers=2
    ),
    "joint, revin": ModelConfig(patch_length=1, channel_mixing="joint", num_layers=2),
    "joint, revin, patches": ModelConfig(channel_mixing="joint"),
    "independent, last value, patches": ModelConfig(normalisation="last"),
    "the default: independent, revin, patches": ModelConfig(),
}


def data_sets(folder: Path) -> dict[str, DataConfig]:
    """Each with its window and horizon."""
    tep = {"separator": " ", "column_names": TEP, "interval_s": 180.0, "constant": "drop"}
    return {
        "ETTh1, 96 -> 24": DataConfig(
            str(folder / "ett" / "ETTh1.csv"),
            "date",
            ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"),
            window_length=96,
            horizon=24,
            borders=(8_640, 11_520, 14_400),
        ),
        "SKAB valve1, 60 -> 10": DataConfig(
            str(folder / "skab" / "valve1" / "*.csv"),
            "datetime",
            SKAB,
            asset="{file}",
            separator=";",
            exclude=("anomaly", "changepoint"),
            gaps={"*": "hold:3"},
            window_length=60,
            horizon=10,
        ),
        **{
            f"TEP {name}, 40 -> 10": DataConfig(
                str(folder / "tep" / f"{name}.dat"), "", TEP[:22], window_length=40, horizon=10, **tep
            )
            for name in ("d00_te", "d01_te")
        },
    }


class Silent:
    """Says nothing."""

    def on_seed(self, seed: int, number: int, total: int) -> None:
        """Nothing."""

    def on_batch(self, epoch: int, done: int, total: int, loss: float) -> None:
        """Nothing."""

    def on_epoch(self, record: EpochRecord) -> None:
        """Nothing."""


def measured(data: DataConfig, dataset: ForecastDataset, model: ModelConfig) -> dict[str, Any]:
    """One model, trained and scored."""
    model = settled(model, dataset, data.season)
    torch.manual_seed(0)
    module = model_from_spec(model_spec(RunConfig(data, model, TRAINING), dataset))
    module.set_scaling(dataset.mean, dataset.std, dataset.target_indices)
    result = fit(objective_of(module, dataset, TRAINING, streaming=model.streaming), TRAINING, 0, Silent())
    found = compare(module, dataset, data.season)
    streamed = stream_score(module, dataset).test_standardised if module.streams else None
    return {
        "mse": found.model.test_standardised.mse,
        "mae": found.model.test_standardised.mae,
        "streaming_mse": None if streamed is None else streamed.mse,
        "patch_length": model.patch_length,
        "epochs": len(result.records),
        "best_epoch": result.best_epoch,
        "baselines": {name: scores.test_standardised.mse for name, scores in found.baselines.items()},
        "season": found.season,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a row for each model, a column for each data set."""
    names = list(dict.fromkeys(row["data"] for row in rows))
    by_place = {(row["data"], row["model"]): row for row in rows}
    lines = ["| MSE, standardised | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for baseline in ("persistence", "seasonal", "linear"):
        values = (next(row["baselines"][baseline] for row in rows if row["data"] == name) for name in names)
        lines.append(f"| {baseline} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    for model in MODELS:
        cells = (by_place.get((name, model)) for name in names)
        lines.append(f"| {model} | " + " | ".join("" if row is None else f"{row['mse']:.3f}" for row in cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DATA")
    parser.add_argument("--json", type=Path, default=Path("runs/defaults.json"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = json.loads(given.json.read_text(encoding="utf-8"))["rows"] if given.json.is_file() else []
    done = {(row["data"], row["model"]) for row in rows}
    for name, data in data_sets(given.folder).items():
        left = {model: config for model, config in MODELS.items() if (name, model) not in done}
        dataset = build_dataset(read_table(data), data) if left else None
        for model, config in left.items():
            assert dataset is not None
            rows.append({"data": name, "model": model, **measured(data, dataset, config)})
            print(f"{name}: {model}: MSE {rows[-1]['mse']:.4f}", flush=True)
            report = {"environment": environment(), "training": asdict(TRAINING), "rows": rows}
            write_text(given.json, json.dumps(report, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
