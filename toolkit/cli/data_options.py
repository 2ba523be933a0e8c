"""The options that say what is trained on: a configuration file, the table and its columns, any setting."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from toolkit.errors import ConfigError

if TYPE_CHECKING:
    from toolkit.data.config import DataConfig

_MAGIC = frozenset("*?[")

Command = TypeVar("Command", bound=Callable[..., Any])

_SETTINGS = {
    "file": "file",
    "timestamp": "timestamp",
    "asset": "asset",
    "target": "targets",
    "exclude": "exclude",
    "window": "window_length",
    "horizon": "horizon",
}
"""For each option the setting of `[data]` that it gives."""

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.argument("config", required=False, type=click.Path(path_type=Path)),
    click.option("--data", "file", metavar="FILE", multiple=True, help="CSV or Parquet, or a pattern; repeatable."),
    click.option("--timestamp", metavar="COLUMN", multiple=True, help="Its time; repeatable for date and time apart."),
    click.option("--asset", metavar="COLUMN", help="The column that tells machines apart, if there are several."),
    click.option("--target", metavar="COLUMN", multiple=True, help="A column to forecast; repeatable."),
    click.option("--exclude", metavar="COLUMN", multiple=True, help="A column to leave out; repeatable."),
    click.option("--window", type=int, metavar="N", help="Samples of input."),
    click.option("--horizon", type=int, metavar="N", help="Samples of forecast."),
    click.option("--set", "settings", metavar="TABLE.KEY=VALUE", multiple=True, help="Any setting; repeatable."),
)


def data_options(command: Command) -> Command:
    """Adds the argument CONFIG and the options; `data_settings` takes what the command has in `**options`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def data_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as settings of `[data]`."""
    single = ("file", "timestamp")
    return {_SETTINGS[name]: one_or_several(value) if name in single else value for name, value in options.items()}


def run_name(data: "DataConfig") -> str:
    """A folder's name for a run on this data: the file's own, or that of the folder where a pattern begins."""
    first = Path(data.file if isinstance(data.file, str) else data.file[0])
    plain = [part for part in (first.stem, *(parent.name for parent in first.parents)) if part and not _MAGIC & {*part}]
    return plain[0] if plain else "run"


def one_or_several(values: tuple[str, ...]) -> str | tuple[str, ...] | None:
    """The one value of an option that may be repeated, all of them, or None where it was not given."""
    return values[0] if len(values) == 1 else values or None


def reading_settings(settings: Sequence[str]) -> dict[str, Any]:
    """How a file is read that belongs to a model already: `--set data.KEY=VALUE`.

    Raises:
        ConfigError: a setting that is of another form, or that does not say how a file is read.
    """
    from toolkit.contract.records import nearest
    from toolkit.contract.settings import override
    from toolkit.data.config import READING

    allowed = [f"data.{name}" for name in READING]
    tables = override({}, settings)
    for key in (f"{table}.{key}" for table in tables for key in tables[table]):
        if key not in allowed:
            near = nearest(key, allowed)
            fix = f"did you mean {near!r}?" if near else None
            raise ConfigError(
                "--set: no setting of how a file is read", got=repr(key), allowed=", ".join(allowed), fix=fix
            )
    return dict(tables.get("data", {}))
