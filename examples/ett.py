"""Hourly loads and oil temperature of a power transformer: a day ahead, beside forecasts that need no model.

ETTh1.csv is of the ETDataset (https://github.com/zhouhaoyi/ETDataset), split as the literature does: 12, 4 and 4 months
of 30 days. Run it: python examples/ett.py ETTh1.csv
"""

import argparse
from pathlib import Path

from toolkit.cli.progress import TrainingProgress
from toolkit.cli.tables import training_table
from toolkit.contract.reports import TrainingReport
from toolkit.data import DataConfig
from toolkit.release import Options, build_bundle
from toolkit.runtime.bundle import load_bundle
from toolkit.training import load_run, train
from toolkit.training.config import ModelConfig, RunConfig, TrainConfig

CHANNELS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
MONTHS = (8_640, 11_520, 14_400)


def config(file: Path, epochs: int, stride: int) -> RunConfig:
    """Four days in, a day out; a patch of 24 hours to a step, each channel by itself, the window's level taken out."""
    data = DataConfig(
        file=str(file),
        timestamp="date",
        targets=CHANNELS,
        borders=MONTHS,
        window_length=96,
        horizon=24,
        stride=stride,
    )
    model = ModelConfig(num_layers=1, normalisation="revin", patch_length=24, channel_mixing="independent")
    return RunConfig(data, model, TrainConfig(max_epochs=epochs, loss="mae", schedule="decay"))


def main(file: Path, out: Path, epochs: int = 12, stride: int = 1) -> TrainingReport:
    """Trains, exports and proves; the bundle lies in `out / "ett"`."""
    with TrainingProgress(epochs) as progress:
        report = train(config(file, epochs, stride), out / "run", progress, overwrite=True)
    assert isinstance(report, TrainingReport)
    built = build_bundle(load_run(out / "run"), out / "ett", Options(overwrite=True))
    print(training_table(report))
    print(f"{load_bundle(built.folder).manifest.name}: {built.parity.summary.cases} cases of parity, all passed")
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="ETTh1.csv")
    parser.add_argument("--out", type=Path, default=Path("runs/ett"), help="Folder for the run and the bundle.")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--stride", type=int, default=1, help="Every N-th window alone is trained on.")
    main(**vars(parser.parse_args()))
