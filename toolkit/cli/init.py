"""`lstm-edge init`: a data file in, a commented configuration out."""

import os
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit import atomic_files
from toolkit.cli.console import require_extra
from toolkit.cli.text_table import table
from toolkit.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from toolkit.guessing.config_text import Setting

_REASON_WIDTH, _VALUE_WIDTH = 90, 40


@click.command(short_help="Write a commented configuration from a data file.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--out", default="lstm-edge.toml", show_default=True, type=click.Path(path_type=Path), help="File to write."
)
@click.option(
    "--timestamp", metavar="COLUMN", multiple=True, help="The time column; twice where date and time are apart."
)
@click.option("--timestamp-format", metavar="FORMAT", help="How times are written, such as %d/%m/%Y %H:%M.")
@click.option("--interval", "interval_s", type=float, metavar="SECONDS", help="Between rows, for a file without times.")
@click.option("--asset", metavar="COLUMN", help="The column that tells machines apart; {file}: each file is one.")
@click.option("--target", "targets", metavar="COLUMN", multiple=True, help="A column to forecast; repeatable.")
@click.option("--exclude", metavar="COLUMN", multiple=True, help="A column to leave out; repeatable.")
@click.option("--window", type=click.IntRange(1), metavar="N", help="Samples of input.")
@click.option("--horizon", type=click.IntRange(1), metavar="N", help="Samples of forecast.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def init(files: tuple[str, ...], out: Path, *, overwrite: bool, **options: Any) -> None:
    """Write a commented configuration for FILE..., CSV text of any kind or Parquet, to be checked and trained.

    Reads a sample, guesses how the file is written and what its columns are, and says why. Several files, or a
    pattern in quotes, are read as one table. What the file does not decide is left to you, as a comment.

    Example: lstm-edge init plant.csv --target temperature
    """
    require_extra("train", "init")
    from toolkit.guessing.config_text import config_text
    from toolkit.guessing.guess import guess_settings, open_questions
    from toolkit.guessing.source import Request

    _check_place(out, overwrite=overwrite)
    _check_interval(options["interval_s"])
    settings = guess_settings(Request(files, **options))
    text = config_text(settings, f"lstm-edge init {shlex.join(files)}")
    _check_place(out, overwrite=overwrite)  # it may have come meanwhile
    atomic_files.write_text(out, text)
    click.echo(_guess_table(settings))
    click.echo(f"Config: {out}")
    _ask(open_questions(settings), out)
    click.echo(f"Next: lstm-edge train {shlex.quote(str(out))}")


def _check_place(out: Path, *, overwrite: bool) -> None:
    atomic_files.check_file_place(out)
    if os.path.lexists(out) and not overwrite:
        raise OutputError(f"the file {out} exists already", fix="name another with --out, or add --overwrite")


def _check_interval(interval_s: float | None) -> None:
    if interval_s is not None and not 0 < interval_s <= 1e9:
        raise ConfigError("--interval", got=interval_s, allowed="more than 0, at most 1e9 seconds")


def _guess_table(settings: "Sequence[Setting]") -> str:
    """Setting, value, reason; long ones are cut, the file has them whole."""
    rows = []
    for setting in settings:
        key = setting.key if setting.table == "data" else f"{setting.table}.{setting.key}"
        cells = key, _cut(_shown(setting), _VALUE_WIDTH), _cut(setting.reason, _REASON_WIDTH)
        rows.append([_printable(cell) for cell in cells])
    return table(["setting", "guess", "why"], rows, left=3)


def _shown(setting: "Setting") -> str:
    """A value as the file has it; a long list by its length and its first items, an open question as one."""
    from toolkit.guessing.config_text import toml_value

    if setting.choices:
        return "?"
    if isinstance(setting.value, tuple) and len(setting.value) > 3:
        return f"{len(setting.value)}: {', '.join(map(str, setting.value))}"
    return toml_value(setting.value).replace("\n", " ")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else textwrap.shorten(text, width, placeholder=" ...")


def _printable(text: str) -> str:
    """A name from a file must not steer the terminal it is shown on."""
    return "".join(mark if mark.isprintable() else "?" for mark in text)


def _ask(questions: "Sequence[Setting]", out: Path) -> None:
    """Refuses to promise a training that could not work yet.

    Raises:
        ConfigError: a setting that the file does not decide.
    """
    if questions:
        keys = ", ".join(f"{setting.table}.{setting.key}" for setting in questions)
        shown = [list(choice) if isinstance(choice, tuple) else choice for choice in questions[0].choices]
        allowed = " or ".join(map(repr, shown))
        raise ConfigError(
            f"the file does not tell {keys}",
            got=questions[0].reason,
            allowed=allowed,
            fix=f"choose in {out}, then train",
        )
