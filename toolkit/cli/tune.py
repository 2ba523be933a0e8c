"""`lstm-edge tune`: a search for better settings, and a configuration file that `train` takes."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from toolkit import atomic_files
from toolkit.cli.console import json_option, quiet_option, require_extra, say, write_report
from toolkit.cli.data_options import data_options, data_settings
from toolkit.cli.text_table import table, wrapped
from toolkit.errors import OutputError

if TYPE_CHECKING:
    from toolkit.tuning.report import SearchReport, Trial

SHOWN_TRIALS = 5


@click.command(short_help="Search for better settings on the validation part.")
@data_options
@click.option("--trials", default=30, show_default=True, metavar="N", help="Trainings, those of before among them.")
@click.option("--only", multiple=True, metavar="NAME", help="Search this setting alone; repeatable.")
@click.option("--metric", type=click.Choice(["mse", "mae"]), help="Of all trials, whatever their loss; default mse.")
@click.option("--timeout", type=float, metavar="SECONDS", help="End the search then, a running trial with it.")
@click.option("--storage", type=click.Path(path_type=Path), metavar="FILE.db", help="SQLite file, to go on later.")
@click.option("--study", default="search", show_default=True, metavar="NAME", help="The search's name in the file.")
@click.option("--seed", default=0, show_default=True, metavar="S", help="The same seed tries the same.")
@click.option(
    "--out", default=Path("best.toml"), show_default=True, type=click.Path(path_type=Path), metavar="FILE.toml"
)
@click.option("--overwrite", is_flag=True, help="Replace an existing FILE.toml.")
@json_option
@quiet_option
def tune(
    config: Path | None,
    settings: tuple[str, ...],
    *,
    trials: int,
    only: tuple[str, ...],
    metric: Literal["mse", "mae"] | None,
    timeout: float | None,
    storage: Path | None,
    study: str,
    seed: int,
    out: Path,
    overwrite: bool,
    json_file: str | None,
    **options: Any,
) -> None:
    """Search for settings with a lower error on the validation part, from CONFIG (TOML) or from options.

    The given settings are the first trial; the test part is never looked at. What is searched can be changed by a table
    [tune] in CONFIG, such as hidden_size = [32, 64] or learning_rate = {low = 1e-4, high = 1e-2, log = true}. With
    --storage the same command goes on after an interruption, or with more --trials.

    Example: lstm-edge tune lstm-edge.toml --trials 50 --storage search.db --out best.toml
    """
    require_extra("train", "tune")
    require_extra("tune", "tune")
    from toolkit.cli.progress import TuningProgress
    from toolkit.training.config import tuning_config
    from toolkit.tuning.report import SearchPlan
    from toolkit.tuning.search import tune as search

    resolved, space = tuning_config(config, data_settings(options), settings)
    _check_out(out, overwrite=overwrite)
    plan = SearchPlan(trials, metric, seed, timeout, storage, study)
    with TuningProgress(trials) as progress:
        best, report = search(resolved, space, plan, progress, only)
    atomic_files.write_text(out, f"# Found by lstm-edge tune. {report.verdict}\n{best.to_toml()}")
    say(_trial_table(report), json_file)
    say(f"{wrapped(report.verdict)}\nBest settings: {out}\nNext: lstm-edge train {shlex.quote(str(out))}", json_file)
    write_report(report, json_file)


def _check_out(out: Path, *, overwrite: bool) -> None:
    atomic_files.check_file_place(out)
    if os.path.lexists(out) and not overwrite:
        raise OutputError(f"{out} exists already", fix="name another --out, or give --overwrite")


def _trial_table(report: "SearchReport") -> str:
    """The best trials and the given settings, with what tells them apart; what became of the others."""
    ranking = report.ranking
    shown = [*ranking[:SHOWN_TRIALS], *(trial for trial in ranking[SHOWN_TRIALS:] if trial.given)]
    names = [name for name in shown[0].settings if len({str(trial.settings[name]) for trial in shown}) > 1]
    header = ["trial", f"validation {report.metric.upper()}", "epochs", "seconds", *names]
    counts = {
        name: sum(t.outcome == name for t in report.trials) for name in ("complete", "pruned", "refused", "failed")
    }
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return f"{table(header, [_row(trial, names) for trial in shown])}\n{len(report.trials)} trials: {told}"


def _row(trial: "Trial", names: list[str]) -> list[str]:
    values = [trial.settings[name] for name in names]
    cells = [f"{value:.3g}" if isinstance(value, float) else str(value) for value in values]
    label = f"{trial.number} (given)" if trial.given else str(trial.number)
    return [label, f"{trial.value:.4g}", str(trial.epochs), f"{trial.seconds:.1f}", *cells]
