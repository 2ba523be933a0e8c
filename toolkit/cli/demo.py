"""`lstm-edge demo`: the main job on embedded data, from nothing to a measured model."""

from pathlib import Path

import click

from toolkit.cli.console import require_extra


@click.command(short_help="The whole job on simulated data, in under two minutes.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Where runs/demo and exported/demo are written; default: here.",
)
def demo(out: Path) -> None:
    """Simulate pump stations, train an LSTM, export it, prove parity, measure latency.

    Writes runs/demo-plant.csv, runs/demo and exported/demo, replacing those of an earlier demo. The data is a
    demonstration: how well the model does on it says nothing about real machines.

    Example: lstm-edge demo
    """
    require_extra("train", "demo")
    from toolkit.cli.latency_tables import latency_table
    from toolkit.cli.parity_tables import parity_table
    from toolkit.cli.progress import TrainingProgress
    from toolkit.cli.tables import training_table
    from toolkit.release import Options, build_bundle
    from toolkit.release.plant_demo import benchmark_demo, demo_config, write_demo_plant
    from toolkit.training import load_run, train

    data, run, bundle = out / "runs" / "demo-plant.csv", out / "runs" / "demo", out / "exported" / "demo"
    _heading("1  simulate", "lstm-edge simulate runs/demo-plant.csv --no-faults")
    click.echo(write_demo_plant(data))
    _heading("2  train", "lstm-edge train runs/demo/config.toml --run runs/demo")
    config = demo_config(data)
    with TrainingProgress(config.training.max_epochs) as progress:
        click.echo(training_table(train(config, run, progress, overwrite=True)))
    _heading("3  export and prove", "lstm-edge export runs/demo --out exported/demo")
    parity = build_bundle(load_run(run), bundle, Options(overwrite=True)).parity
    click.echo(parity_table(parity))
    _heading("4  measure", "lstm-edge benchmark exported/demo")
    click.echo(latency_table(benchmark_demo(bundle)))
    click.echo(f"\nRun: {run}\nBundle: {bundle}\nYour own data: lstm-edge init FILE")


def _heading(title: str, command: str) -> None:
    click.secho(f"\n{title}", bold=True, nl=False)
    click.echo(f"   (as: {command})")
