"""`lstm-edge train`: a sensor table in, a run folder out."""

from pathlib import Path
from typing import Any

import click

from toolkit.cli.console import json_option, require_extra, say, write_report

_DATA_OPTIONS = {
    "file": "file",
    "timestamp": "timestamp",
    "asset": "asset",
    "target": "targets",
    "exclude": "exclude",
    "window": "window_length",
    "horizon": "horizon",
}


@click.command(short_help="Train an LSTM on a table of sensor readings.")
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--data", "file", metavar="FILE", help="CSV or Parquet file.")
@click.option("--timestamp", metavar="COLUMN", help="Its time column: ISO 8601, or a number since 1970.")
@click.option("--asset", metavar="COLUMN", help="The column that tells machines apart, if there are several.")
@click.option("--target", metavar="COLUMN", multiple=True, help="A column to forecast; repeatable.")
@click.option("--exclude", metavar="COLUMN", multiple=True, help="A column to leave out; repeatable.")
@click.option("--window", type=int, metavar="N", help="Samples of input.")
@click.option("--horizon", type=int, metavar="N", help="Samples of forecast.")
@click.option("--set", "settings", metavar="TABLE.KEY=VALUE", multiple=True, help="Any setting; repeatable.")
@click.option("--run", "folder", type=click.Path(path_type=Path), help="Folder to write; default runs/NAME.")
@click.option("--overwrite", is_flag=True, help="Replace an existing run folder.")
@json_option
def train(
    config: Path | None,
    settings: tuple[str, ...],
    folder: Path | None,
    overwrite: bool,
    json_file: str | None,
    **options: Any,
) -> None:
    """Train an LSTM on a table of sensor readings, from CONFIG (TOML) or from options.

    Prints the error on the test windows beside persistence and seasonal naive.

    Example: lstm-edge train --data plant.csv --timestamp time --target temperature.mean --window 60 --horizon 12
    """
    require_extra("train", "train")
    from toolkit.cli.progress import TrainingProgress
    from toolkit.cli.tables import training_table
    from toolkit.training import train as train_run
    from toolkit.training import training_config

    resolved = training_config(config, {_DATA_OPTIONS[name]: value for name, value in options.items()}, settings)
    folder = folder or Path("runs") / Path(resolved.data.file).stem
    with TrainingProgress(resolved.training.max_epochs) as progress:
        report = train_run(resolved, folder, progress, overwrite=overwrite)
    say(training_table(report), json_file)
    say(f"Run: {folder}\nNext: lstm-edge export {folder}", json_file)
    write_report(report, json_file)
