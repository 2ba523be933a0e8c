"""`lstm-edge score`: a bundle over a table of any size."""

from pathlib import Path
from typing import Any

import click

from toolkit.cli.console import quiet_option, require_extra
from toolkit.cli.data_options import one_or_several, reading_settings
from toolkit.cli.output_places import check_output
from toolkit.cli.work_progress import ScoringProgress


@click.command(short_help="Forecast from every window of a table, into a table.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--data", "file", multiple=True, required=True, metavar="FILE", help="CSV or Parquet; repeatable.")
@click.option("--timestamp", multiple=True, required=True, metavar="COLUMN", help="The time column of FILE.")
@click.option("--asset", metavar="COLUMN", help="The column that tells machines apart, if there are several.")
@click.option("--set", "settings", metavar="data.KEY=VALUE", multiple=True, help="How FILE is read; repeatable.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help=".csv or .parquet.")
@click.option("--stride", default=1, show_default=True, metavar="N", help="Every N-th origin of a series alone.")
@click.option("--last", is_flag=True, help="The newest window of each asset alone.")
@click.option("--long", is_flag=True, help="A row for each origin and step, a column for each target.")
@click.option("--cores", type=int, metavar="N", help="Default: all that this process may use.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file, or parts of one.")
@click.option("--resume", is_flag=True, help="Go on with the parts that an interrupted call left.")
@quiet_option
def score(
    bundle: Path, *, file: tuple[str, ...], timestamp: tuple[str, ...], settings: tuple[str, ...], **options: Any
) -> None:
    """Write the forecasts of BUNDLE from every window of a table, beside their times: a row for each origin.

    The columns: the time of the window's last row, the asset, first_forecast, and TARGET+STEP for each target and
    step (TARGET+STEP q0.1 for quantiles; class and p(NAME) of a classifier). Files of any size take the same memory.

    Rows must rise in time within each asset; assets may take turns. A window never crosses a gap or an asset.

    Example: lstm-edge score exported/plant --data new.csv --timestamp timestamp --asset asset --out forecasts.parquet
    """
    require_extra("tables", "score")
    check_output(options["out"])
    from toolkit.errors import ConfigError
    from toolkit.scoring import ScoreRequest, score_table

    files, times = one_or_several(file), one_or_several(timestamp)
    if files is None or times is None:  # click asks for both; an empty name is refused as any other
        raise ConfigError("a bundle is run over a table", fix="--data FILE --timestamp COLUMN")
    request = ScoreRequest(bundle, files, times, reading=reading_settings(settings), **options)
    with ScoringProgress() as progress:
        summary = score_table(request, progress.on_part)
    kept = f", {summary.resumed} of them from the parts of an earlier call" if summary.resumed else ""
    click.echo(f"{summary.out}: {summary.rows} rows{kept}")
