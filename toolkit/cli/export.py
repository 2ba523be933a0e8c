"""`lstm-edge export`: a run in, a bundle that proves itself out."""

from pathlib import Path

import click

from toolkit.cli.console import json_option, require_extra, say, write_report


@click.command(short_help="Export a run to a verified ONNX bundle.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Bundle folder to write; default exported/NAME.")
@click.option(
    "--layout",
    type=click.Choice(["batch-major", "time-major"]),
    default="batch-major",
    show_default=True,
    help="Order of the first two axes of the graphs' input x.",
)
@click.option("--without-weights", is_flag=True, help="Leave torch's weights out of the bundle.")
@click.option("--overwrite", is_flag=True, help="Replace an existing bundle.")
@json_option
def export(
    run: Path, *, out: Path | None, layout: str, without_weights: bool, overwrite: bool, json_file: str | None
) -> None:
    """Export the trained model in the run folder RUN to a bundle of ONNX graphs.

    No bundle is left behind unless its graphs keep the graph contract and equal torch on every case of the parity
    check. --json writes the parity report.

    Example: lstm-edge export runs/plant --out exported/plant
    """
    require_extra("train", "export")
    from toolkit.cli.tables import parity_line
    from toolkit.release import build_bundle
    from toolkit.training import load_run

    built = build_bundle(
        load_run(run),
        out or Path("exported") / run.absolute().name,
        layout="time-major" if layout == "time-major" else "batch-major",
        weights=not without_weights,
        overwrite=overwrite,
        on_stage=lambda name, seconds: click.echo(f"{name:<14}{seconds:6.1f} s", err=True),
    )
    say(parity_line(built.parity), json_file)
    say(f"Bundle: {built.folder}\nNext: lstm-edge benchmark {built.folder}", json_file)
    write_report(built.parity, json_file)
