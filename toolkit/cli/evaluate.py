"""`lstm-edge evaluate`: how well a run or a bundle forecasts on a table."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.cli.console import json_option, require_extra, say, write_report
from toolkit.errors import ConfigError

if TYPE_CHECKING:
    from toolkit.evaluation import Forecaster
    from toolkit.evaluation.evaluate import Windows


@click.command(short_help="Score a run or a bundle on a table, beside the baselines.")
@click.argument("source", metavar="RUN|BUNDLE", type=click.Path(path_type=Path))
@click.option("--data", "file", type=click.Path(path_type=Path), metavar="FILE", help="Default: a run's own test part.")
@click.option("--timestamp", metavar="COLUMN", help="The time column of FILE, for a bundle.")
@click.option("--asset", metavar="COLUMN", help="The column that tells machines apart, for a bundle.")
@click.option("--season", type=int, metavar="N", help="Samples in a season; default: found in the table.")
@json_option
def evaluate(source: Path, *, season: int | None, json_file: str | None, **options: Any) -> None:
    """Score the run or bundle RUN|BUNDLE on every window of a table: overall, by target, horizon step and asset.

    A run is scored by its torch module, on the test part of the table that it was trained on or on every window of
    FILE; a bundle by its exported graph, on FILE.

    Example: lstm-edge evaluate exported/plant --data new.csv --timestamp timestamp --asset asset
    """
    require_extra("train", "evaluate")
    from toolkit.cli.tables import evaluation_table
    from toolkit.evaluation import evaluate as score

    forecaster, windows = _opened(source, **options)
    if season is not None and not 1 <= season <= forecaster.window_length:
        allowed = f"1 to the window length, {forecaster.window_length}"
        raise ConfigError("--season", got=season, allowed=allowed)
    report = score(forecaster, windows, season)
    say(evaluation_table(report), json_file)
    write_report(report, json_file)


def _opened(source: Path, file: Path | None, timestamp: str | None, asset: str | None) -> "tuple[Forecaster, Windows]":
    from toolkit.contract.manifest import MANIFEST
    from toolkit.evaluation import forecaster_of_bundle, forecaster_of_run, own_table, table_of
    from toolkit.runtime.bundle import load_bundle
    from toolkit.training import load_run

    if (source / MANIFEST).exists():
        if file is None or timestamp is None:
            fix = "--data FILE --timestamp COLUMN"
            raise ConfigError("a bundle is evaluated on a file: it holds no table", got="none", fix=fix)
        forecaster = forecaster_of_bundle(load_bundle(source))
        return forecaster, table_of(forecaster, file, timestamp, asset)
    if timestamp is not None or asset is not None:
        raise ConfigError("--timestamp and --asset go with a bundle", fix="leave them out: a run knows its columns")
    run = load_run(source)
    return forecaster_of_run(run), own_table(run, file)
