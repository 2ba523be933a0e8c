"""`lstm-edge report`: a run, a bundle and reports about them as one page to look at."""

from pathlib import Path

import click

from toolkit.cli.console import require_extra
from toolkit.cli.output_places import check_output


@click.command(short_help="One HTML page of a run, a bundle and JSON reports.")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SOURCE...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    default=Path("report.html"),
    show_default=True,
    help="The page, replaced where it exists.",
)
@click.option("--open", "open_page", is_flag=True, help="Show it in the browser.")
def report(sources: tuple[Path, ...], out: Path, open_page: bool) -> None:
    """Make one HTML page out of every SOURCE: a run folder, a bundle folder, JSON reports.

    Reports are those of train, evaluate, parity, benchmark (with --profile too), compare and gateway check. The page
    needs nothing else: it asks for nothing from anywhere, prints well and follows the reader's light or dark screen.
    What no source holds is told in a line, with the command that makes it. Two reports of one kind are shown one after
    the other under their files' names.

    \b
    Example: lstm-edge report runs/demo exported/demo runs/demo/*.json
    Or: lstm-edge report before.json after.json --out latency.html
    """  # noqa: D301 (click's mark for lines that are not to be joined)
    require_extra("report", "report")
    from toolkit.report.document import write_page

    check_output(out)
    write_page(sources, out)
    click.echo(f"Report: {out}")
    if open_page:
        _show(out)


def _show(page: Path) -> None:
    """A machine without a browser is no error: the page is written."""
    import webbrowser

    if not webbrowser.open(page.resolve().as_uri()):
        click.echo("No browser was found; open the file yourself", err=True)
