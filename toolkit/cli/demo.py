"""`lstm-edge demo`: the main job on embedded data, from nothing to a measured model."""

from pathlib import Path

import click

from toolkit import atomic_files
from toolkit.cli.console import heading, quiet_option, require_extra, tell

PARITY, LATENCY, READINESS, PAGE = "parity.json", "latency.json", "readiness.json", "report.html"


@click.command(short_help="The whole job on simulated data, in under two minutes.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Where runs/demo and exported/demo are written; default: here.",
)
@quiet_option
def demo(out: Path) -> None:
    """Simulate pump stations, train an LSTM, export it, prove parity, measure latency, show it all on one page.

    Writes runs/demo-plant.csv, runs/demo, exported/demo and runs/demo-report, replacing those of an earlier demo; the
    page is runs/demo-report/report.html. The data is a demonstration: how well the model does on it says nothing about
    real machines.

    Example: lstm-edge demo
    """
    require_extra("train", "demo")
    from toolkit.cli.gateway_check import readiness_sheet
    from toolkit.cli.latency_tables import latency_table
    from toolkit.cli.parity_tables import parity_table
    from toolkit.cli.progress import TrainingProgress
    from toolkit.cli.tables import training_table
    from toolkit.contract.reports import report_to_json
    from toolkit.edge.readiness import check_readiness
    from toolkit.release import Options, build_bundle
    from toolkit.release.plant_demo import benchmark_demo, demo_config, write_demo_plant
    from toolkit.report.document import write_page
    from toolkit.training import load_run, train

    data, run, bundle = out / "runs" / "demo-plant.csv", out / "runs" / "demo", out / "exported" / "demo"
    shown = out / "runs" / "demo-report"
    heading("1  simulate", "as: lstm-edge simulate runs/demo-plant.csv --no-faults")
    click.echo(write_demo_plant(data))
    heading("2  train", "as: lstm-edge train runs/demo/config.toml --run runs/demo")
    config = demo_config(data)
    with TrainingProgress(config.training.max_epochs) as progress:
        click.echo(training_table(train(config, run, progress, overwrite=True)))
    heading("3  export and prove", "as: lstm-edge export runs/demo --out exported/demo")
    options = Options(overwrite=True, on_stage=lambda name, seconds: tell(f"{name:<14}{seconds:6.1f} s"))
    parity = build_bundle(load_run(run), bundle, options).parity
    click.echo(parity_table(parity))
    heading("4  measure", "as: lstm-edge benchmark exported/demo")
    latency = benchmark_demo(bundle)
    click.echo(latency_table(latency))
    heading("5  check", "as: lstm-edge gateway check exported/demo")
    readiness = check_readiness(bundle)
    click.echo(readiness_sheet(readiness))
    heading("6  show", f"as: lstm-edge report runs/demo exported/demo runs/demo-report/*.json --out {PAGE}")
    atomic_files.make_folder(shown)
    reports = {PARITY: parity, LATENCY: latency, READINESS: readiness}
    for name, report in reports.items():
        atomic_files.write_text(shown / name, report_to_json(report))
    write_page((run, bundle, *(shown / name for name in reports)), shown / PAGE)
    click.echo(f"Run: {run}\nBundle: {bundle}\nReport: {shown / PAGE}\nYour own data: lstm-edge init FILE")
