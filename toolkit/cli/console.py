"""What commands share in talking to people: extras, JSON output, what is said and what is kept quiet."""

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from toolkit import atomic_files
from toolkit.cli.output_places import check_output
from toolkit.contract.reports import report_to_json
from toolkit.errors import MissingExtraError

Command = TypeVar("Command", bound=Callable[..., Any])

EXTRAS = {
    "tables": ("polars",),
    "report": ("matplotlib", "jinja2"),
    "train": ("torch", "onnx", "onnxscript", "safetensors", "rich", "tomli_w", "polars", "matplotlib", "jinja2"),
    "tensorboard": ("tensorboard",),
    "tune": ("optuna",),
}


_QUIET = "toolkit.quiet"


def extra_is_installed(extra: str) -> bool:
    """Whether every package of the extra can be found."""
    return not _missing(extra)


def require_extra(extra: str, command: str) -> None:
    """Says what to install where an optional package is missing.

    Raises:
        MissingExtraError: a package of the extra is not installed.
    """
    missing = _missing(extra)
    if missing:
        raise MissingExtraError(
            f"'lstm-edge {command}' needs {', '.join(missing)}, which is not installed",
            fix=f"pip install 'lstm-edge-toolkit[{extra}]'",
        )


def _missing(extra: str) -> list[str]:
    return [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]


def json_option(command: Command) -> Command:
    """Adds `--json FILE`, `-` for standard output (the table then goes to standard error)."""
    text = "Write the report as JSON; - for standard output."
    return click.option("--json", "json_file", metavar="FILE", help=text, callback=_checked_place)(command)


def _checked_place(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Refuses, before any work is done, a place that the report could not be written to."""
    if value not in (None, "-"):
        check_output(Path(str(value)))
    return value


def write_report(report: object, json_file: str | None) -> None:
    """Writes the report where `--json` asked for it."""
    if json_file == "-":
        click.echo(report_to_json(report), nl=False)
    elif json_file is not None:
        atomic_files.write_text(Path(json_file), report_to_json(report))


def say(text: str, json_file: str | None = None) -> None:
    """Prints for a person: to standard error where standard output carries JSON."""
    click.echo(text, err=json_file == "-")


def quiet_option(command: Command) -> Command:
    """Adds `--quiet`: standard error stays empty unless something is wrong, standard output holds the result."""
    text = "No progress: the result alone."
    option = click.option("-q", "--quiet", is_flag=True, expose_value=False, help=text, callback=_keep_quiet)
    return option(command)


def _keep_quiet(context: click.Context, option: click.Parameter, value: bool) -> None:
    context.meta[_QUIET] = value


def is_quiet() -> bool:
    """Whether the command that runs was given `--quiet`."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_QUIET, False))


def tell(text: str) -> None:
    """A plain line of progress, on standard error; none with `--quiet`."""
    if not is_quiet():
        click.echo(text, err=True)


def draws(stream: TextIO | None = None) -> bool:
    """Whether colours and lines that are written over may go to a stream, which is standard error where none is named.

    Not with `--quiet`, not into files and pipes, not where NO_COLOR is set (https://no-color.org) or the terminal says
    that it is dumb: there progress is plain lines, the same as in a log.
    """
    stream = stream or sys.stderr
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not plain and not is_quiet()


def heading(title: str, remark: str) -> None:
    """The heading of a step of the work; bold on a terminal."""
    bold = click.style(title, bold=True) if draws(sys.stdout) else title
    click.echo(f"\n{bold}   ({remark})")
