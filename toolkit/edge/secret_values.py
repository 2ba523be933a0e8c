"""`${NAME}` in settings: values that stand in the environment or among systemd's credentials, and are never shown."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit.errors import ConfigError

CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""The variable with which systemd names the folder of a service's credentials (`LoadCredential=`)."""
MAX_BYTES = 1 << 16

_REFERENCE = re.compile(r"\$\$|\$\{([^}]*)(\}?)")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class Expanded(str):
    """A text with what was fetched for it; messages and logs that show settings show what the file says."""

    __slots__ = ("written",)
    written: str
    """The text as the file has it."""

    def __repr__(self) -> str:
        return repr(self.written)


def expanded(value: Any, where: str, environment: Mapping[str, str]) -> Any:
    """Puts in place of every `${NAME}` in the texts of some tables what it stands for, and a dollar for every `$$`.

    Args:
        value: what the TOML parser gave.
        where: its place, for messages.
        environment: where names are looked up, and where the folder of the credentials is named.

    Raises:
        ConfigError: with the key and the name, never a value: it is in neither place, or cannot be one; or a text
            holds a NUL.
    """
    if isinstance(value, str):
        text = _text(value, where, environment) if "$" in value else value
        if "\0" in text:  # no path, name or topic can hold it, and each place would refuse it by another error
            raise ConfigError(f"{where} holds a NUL", allowed="text without one")
        return text
    if isinstance(value, dict):
        return {key: expanded(item, f"{where}: {key}", environment) for key, item in value.items()}
    if isinstance(value, list):
        return [expanded(item, f"{where}[{place}]", environment) for place, item in enumerate(value)]
    return value


def _text(text: str, where: str, environment: Mapping[str, str]) -> str:
    def replaced(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else _fetched(found[1], bool(found[2]), where, environment)

    found = Expanded(_REFERENCE.sub(replaced, text))
    found.written = text
    return found


def _fetched(name: str, closed: bool, where: str, environment: Mapping[str, str]) -> str:
    if not closed or not _NAME.fullmatch(name):
        allowed = "${NAME}, NAME of letters, digits, _, . and -; $$ is a dollar sign"
        raise ConfigError(f"{where} has a ${{ that names nothing", allowed=allowed)
    if name in environment:
        return environment[name]
    folder = environment.get(CREDENTIALS, "")
    if folder and os.path.lexists(Path(folder) / name):
        return _credential(Path(folder) / name, name, where)
    allowed = f"a variable of the environment, or a file in ${CREDENTIALS}"
    raise ConfigError(f"{where}: ${{{name}}} is not there", allowed=allowed, fix=f"LoadCredential={name}:/path/to/it")


def _credential(place: Path, name: str, where: str) -> str:
    try:
        with place.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        got = error.strerror if isinstance(error, OSError) else "no UTF-8"
        raise ConfigError(f"{where}: the credential {name} cannot be read", got=got) from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{where}: the credential {name} is too large", allowed=f"{MAX_BYTES} bytes")
    return text.removesuffix("\n").removesuffix("\r")
