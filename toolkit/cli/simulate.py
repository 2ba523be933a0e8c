"""`lstm-edge simulate`: plant data to try everything else on, as a table or as messages."""

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.cli.console import draws, require_extra
from toolkit.cli.play_plant import PlayingOptions, check_places, play, playing_options
from toolkit.errors import ConfigError

if TYPE_CHECKING:
    from toolkit.signal.plant import PlantTable


@click.command(short_help="Write plant data to a CSV or Parquet file, or play it to an MQTT broker.")
@click.argument("out", type=click.Path(path_type=Path), required=False)
@click.option("--assets", default=4, show_default=True, metavar="N", help="Machines.")
@click.option("--days", default=7.0, show_default=True, metavar="D", help="Days of 24 hours.")
@click.option("--interval", default=60, show_default=True, metavar="SECONDS", help="Seconds per row.")
@click.option("--start", default="2026-01-05T00:00:00Z", show_default=True, metavar="TIME", help="UTC, a whole minute.")
@click.option("--seed", default=0, show_default=True, metavar="S", help="The same seed gives the same table.")
@click.option("--faults/--no-faults", default=True, show_default=True, help="Bearing wear and cavitation.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@playing_options
@click.pass_context
def simulate(
    context: click.Context,
    /,
    out: Path | None,
    *,
    assets: int,
    days: float,
    interval: int,
    start: str,
    seed: int,
    faults: bool,
    overwrite: bool,
    **playing: Any,
) -> None:
    """Write a simulated plant's table to OUT, a .csv or .parquet file, or play it to a broker.

    Pump stations with temperature, pressure and vibration; mean, std and peak of each per interval; the fault that
    was active. A demonstration: how well a model does on it says nothing about real machines.

    With --mqtt mqtt://127.0.0.1 and no OUT, each row goes to the topic plant/ASSET when it is due, or with
    --samples each raw sample to plant/ASSET/VARIABLE.

    Example: lstm-edge simulate plant.csv --assets 4 --days 7
    """
    plays = check_places(context, out)
    start_us = _microseconds(start)
    if plays:
        from toolkit.edge.plant_messages import PlantSource

        plant = PlantSource(assets, days, interval_s=interval, start_us=start_us, seed=seed, faults=faults)
        play(context, plant, PlayingOptions(**playing))
        return
    assert out is not None
    require_extra("tables", "simulate")
    from toolkit.data.plant_files import check_place, write_plant
    from toolkit.signal.plant import simulate_plant

    check_place(out, overwrite=overwrite)
    with _progress(assets) as step:
        table = simulate_plant(
            assets, days, interval_s=interval, start_us=start_us, seed=seed, faults=faults, on_asset=step
        )
    write_plant(table, out, overwrite=overwrite)
    click.echo(_summary(table, out))
    click.echo(f"next: {_next_command(out)}")


@contextlib.contextmanager
def _progress(assets: int) -> Iterator[Callable[[str], None]]:
    """A bar on a terminal and nothing elsewhere; yields what is to be called after each asset."""
    with click.progressbar(length=assets, label="simulating", file=sys.stderr, hidden=not draws()) as bar:
        yield lambda name: bar.update(1)


def _microseconds(start: str) -> int:
    """Microseconds since 1970 of an ISO date or time; UTC where it names no zone."""
    try:
        time = datetime.fromisoformat(start)
    except ValueError:
        raise ConfigError("--start is no time", got=repr(start), allowed="ISO, such as 2026-01-05T00:00:00Z") from None
    since_1970 = time.replace(tzinfo=time.tzinfo or UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since_1970.days * 86_400 + since_1970.seconds) * 1_000_000 + since_1970.microseconds


def _summary(table: "PlantTable", out: Path) -> str:
    first, last = (datetime.fromtimestamp(int(t) // 1_000_000, UTC) for t in (min(table.times_us), max(table.times_us)))
    span = f"{first:%Y-%m-%dT%H:%M:%SZ} to {last:%Y-%m-%dT%H:%M:%SZ}"
    return f"{out}: {len(table.times_us)} rows of {len(table.channels)} channels, {len(table.assets)} assets, {span}"


def _next_command(out: Path) -> str:
    return (
        f"lstm-edge train --data {shlex.quote(str(out))} --timestamp timestamp --asset asset --exclude fault "
        f"--target temperature.mean --window 60 --horizon 12 --run {shlex.quote(f'runs/{out.stem}')}"
    )
