"""Anomalies of a water circulation testbed: the class of the last second of every window.

Files of SKAB (https://github.com/waico/SKAB), one experiment each: two accelerometers, current, pressure, two
temperatures, voltage and flow, about once a second, labelled. Several files are several machines: windows never cross
from one into the next. Run it: python examples/skab.py SKAB/data/valve1
"""

import argparse
from pathlib import Path

from toolkit.cli.progress import TrainingProgress
from toolkit.cli.tables import training_table
from toolkit.contract.class_reports import ClassTrainingReport
from toolkit.data import DataConfig
from toolkit.release import Options, build_bundle
from toolkit.training import load_run, train
from toolkit.training.config import ModelConfig, RunConfig, TrainConfig


def config(folder: Path, files: str, epochs: int) -> RunConfig:
    """Twenty seconds in, sound or not out; rare anomalies weigh as much as the sound seconds."""
    data = DataConfig(
        file=str(folder / files),
        timestamp="datetime",
        separator=";",
        asset="{file}",
        interval_s=1.0,
        gaps={"*": "hold:3"},  # the clock leaves out a second now and then
        exclude=("changepoint",),
        label="anomaly",
        window_length=20,
        split=(0.6, 0.1, 0.3),
    )
    model = ModelConfig(task="classify", num_layers=1, hidden_size=32)
    return RunConfig(data, model, TrainConfig(max_epochs=epochs, class_weights="balanced"))


def main(folder: Path, out: Path, files: str = "*.csv", epochs: int = 10) -> ClassTrainingReport:
    """Trains, exports and proves; the bundle lies in `out / "skab"`."""
    with TrainingProgress(epochs) as progress:
        report = train(config(folder, files, epochs), out / "run", progress, overwrite=True)
    assert isinstance(report, ClassTrainingReport)
    built = build_bundle(load_run(out / "run"), out / "skab", Options(overwrite=True))
    print(training_table(report))
    print(f"{built.manifest.name}: {built.parity.summary.cases} cases of parity, all passed")
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="SKAB/data/valve1, valve2 or other")
    parser.add_argument("--out", type=Path, default=Path("runs/skab"), help="Folder for the run and the bundle.")
    parser.add_argument("--files", default="*.csv", help="Which files of the folder.")
    parser.add_argument("--epochs", type=int, default=10)
    main(**vars(parser.parse_args()))
