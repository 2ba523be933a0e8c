"""What commands share in talking to people: extras, JSON output, plain tables."""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from toolkit import atomic_files
from toolkit.contract.reports import report_to_json
from toolkit.errors import MissingExtraError

Command = TypeVar("Command", bound=Callable[..., Any])

EXTRAS = {
    "tables": ("polars",),
    "train": ("torch", "onnx", "onnxscript", "safetensors", "rich", "tomli_w", "polars"),
    "tensorboard": ("tensorboard",),
    "tune": ("optuna",),
}


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
        atomic_files.check_file_place(Path(str(value)))
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


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns aligned with blanks: the first `left` to the left, the others to the right."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(_aligned(line, widths, left) for line in lines)


def _aligned(line: Sequence[str], widths: Sequence[int], left: int) -> str:
    cells = (
        cell.ljust(width) if place < left else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(line, widths, strict=True))
    )
    return "  ".join(cells).rstrip()
