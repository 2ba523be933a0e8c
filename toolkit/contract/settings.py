"""Settings as they are typed on a command line: `table.key=value`."""

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.errors import ConfigError


def override(tables: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Applies `table.key=value` settings; a value is read as TOML, and as text where it is none.

    Raises:
        ConfigError: a setting that is not of that form.
    """
    changed = {name: dict(table) if isinstance(table, Mapping) else table for name, table in tables.items()}
    for setting in settings:
        name, equals, text = setting.partition("=")
        table, dot, key = name.strip().partition(".")
        if not (equals and dot and table and key):
            raise ConfigError("--set", got=repr(setting), allowed="table.key=value", fix="--set training.max_epochs=20")
        changed.setdefault(table, {})[key.strip()] = _toml_value(text.strip())
    return changed


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
