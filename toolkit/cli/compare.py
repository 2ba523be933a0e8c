"""`lstm-edge compare`: two benchmark reports, and what changed beyond noise."""

from pathlib import Path

import click

from toolkit.cli.console import json_option, say, write_report


@click.command(short_help="Compare two benchmark reports.")
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option("--least", default=5.0, show_default=True, metavar="PERCENT", help="The smallest change that matters.")
@click.option("--across", is_flag=True, help="Allow reports of another machine or model, and say so.")
@json_option
def compare(before: Path, after: Path, *, least: float, across: bool, json_file: str | None) -> None:
    """Compare two reports that 'lstm-edge benchmark --json' wrote on one machine, BEFORE and AFTER a change.

    A figure is worse or better where the interval of the ratio of its medians leaves 1 out and the change is at least
    --least per cent. Other runtimes are the control: they are shown, and where they changed too it was the machine.
    Exit status 1 where a figure of onnxruntime is worse.

    Example: lstm-edge compare before.json after.json
    """
    from toolkit.benchmark.compare import compare_reports, raise_if_worse
    from toolkit.benchmark.report_file import read_latency_report
    from toolkit.cli.latency_tables import comparison_table

    first, second = read_latency_report(before), read_latency_report(after)
    report = compare_reports(first, second, least_percent=least, across=across)
    say(comparison_table(report), json_file)
    write_report(report, json_file)
    raise_if_worse(report)
