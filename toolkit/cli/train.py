"""`lstm-edge train`: a sensor table in, a run folder out."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.cli.console import json_option, quiet_option, require_extra, say, write_report
from toolkit.cli.data_options import data_options, data_settings, run_name
from toolkit.errors import ConfigError, TrainingInterruptedError

if TYPE_CHECKING:
    from toolkit.training import RunConfig
    from toolkit.training.tensorboard import TensorBoard


@click.command(short_help="Train an LSTM on a table of sensor readings.")
@data_options
@click.option("--run", "folder", type=click.Path(path_type=Path), help="Folder to write; default runs/NAME.")
@click.option("--seeds", type=int, metavar="N", help="Trainings from N seeds; the best on validation is kept.")
@click.option("--resume", is_flag=True, help="Go on after the last checkpoint of an interrupted training.")
@click.option("--overwrite", is_flag=True, help="Replace a run folder, or begin an interrupted training anew.")
@click.option("--tensorboard", metavar="DIR", type=click.Path(path_type=Path), help="Folder for TensorBoard's files.")
@json_option
@quiet_option
def train(
    config: Path | None,
    settings: tuple[str, ...],
    *,
    folder: Path | None,
    seeds: int | None,
    resume: bool,
    overwrite: bool,
    tensorboard: Path | None,
    json_file: str | None,
    **options: Any,
) -> None:
    """Train an LSTM on a table of sensor readings, from CONFIG (TOML) or from options.

    Prints the error on the test windows beside persistence, seasonal naive and a linear model. A checkpoint is kept
    after every epoch: `lstm-edge train --resume --run DIR` goes on after a crash or an interruption.

    Under torchrun the same command trains on several processes or machines together: torchrun --nproc-per-node 2
    --no-python -- lstm-edge train CONFIG

    Example: lstm-edge train --data plant.csv --timestamp time --target temperature.mean --window 60 --horizon 12
    """
    require_extra("train", "train")
    if tensorboard is not None:
        require_extra("tensorboard", "train --tensorboard")
    from toolkit.cli.progress import TrainingProgress
    from toolkit.cli.tables import training_table
    from toolkit.training import train as train_run
    from toolkit.training import training_config
    from toolkit.training.listeners import Listeners
    from toolkit.training.team import rank_from_environment
    from toolkit.training.workplace import interrupted_config, kept_epochs

    given = data_settings(options)
    if resume and config is None and folder is None and not any(given.values()):
        raise ConfigError("--resume of which run?", fix="name it with --run DIR, or give its configuration")
    if resume and config is None and folder is not None and not any(given.values()):
        config = interrupted_config(folder)
    changed = settings if seeds is None else (*settings, f"training.seeds={seeds}")
    resolved = training_config(config, given, changed)
    folder = folder or Path("runs") / run_name(resolved.data)
    leads = rank_from_environment().leads
    try:
        with (
            TrainingProgress(resolved.training.max_epochs, silent=not leads) as shown,
            _board(tensorboard, resolved) as board,
        ):
            progress = shown if board is None else Listeners(shown, board)
            report = train_run(resolved, folder, progress, overwrite=overwrite, resume=resume)
            if board is not None:
                board.on_report(report)
    except (KeyboardInterrupt, click.Abort):
        if epochs := kept_epochs(folder):
            raise TrainingInterruptedError(folder, epochs) from None
        raise
    if leads:
        say(training_table(report), json_file)
        say(f"Run: {folder}\nNext: lstm-edge export {folder}", json_file)
        write_report(report, json_file)


def _board(folder: Path | None, config: "RunConfig") -> "contextlib.AbstractContextManager[TensorBoard | None]":
    """Who writes for TensorBoard, where that was asked for."""
    if folder is None:
        return contextlib.nullcontext()
    from toolkit.training.tensorboard import TensorBoard

    return TensorBoard(folder, config)
