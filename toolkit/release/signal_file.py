"""`--signal FILE`: what the channels of somebody else's module mean, as TOML or JSON.

interval_s = 60
channels = ["temperature.mean", "temperature.std", "pressure.mean"]   # the order of the input's last axis
targets = ["temperature.mean"]                                        # what is forecast; may be left out
timezone = "Europe/Berlin"                                            # of the clock that calendar.* channels follow

[units]
"pressure.mean" = "Pa"
"""

import json
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.contract.records import decode, nearest
from toolkit.contract.signals import SignalSpec, channel_from_name
from toolkit.errors import ConfigError, DataError

MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class SignalFile:
    """The keys of the file: names of the channels in the order of the input's last axis, seconds between two rows."""

    channels: tuple[str, ...]
    interval_s: float
    targets: tuple[str, ...] = ()
    units: dict[str, str] = field(default_factory=dict)
    timezone: str = "UTC"


def read_signal(path: Path) -> SignalSpec:
    """Reads a signal file.

    Raises:
        ConfigError: no such file, neither TOML nor JSON, an unknown or missing key, or names that do not fit.
    """
    content = decode(SignalFile, _tables(path), str(path), ConfigError)
    unknown = next((name for name in content.units if name not in content.channels), None)
    if unknown is not None:
        near = nearest(unknown, content.channels)
        fix = f"did you mean {near!r}?" if near else None
        raise ConfigError(f"{path}: units of a channel that is not there", got=repr(unknown), fix=fix)
    if not content.channels:
        raise ConfigError(f"{path}: channels", got="none", allowed="at least one name")
    try:
        channels = tuple(channel_from_name(name, content.units.get(name, "")) for name in content.channels)
        return SignalSpec(channels, content.targets, content.interval_s, timezone=content.timezone)
    except DataError as error:
        raise ConfigError(f"{path}: {error}") from error


def _tables(path: Path) -> object:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would wait for a writer, a device may never end
            raise ConfigError(f"{path} is no plain file", allowed="TOML or JSON")
        if status.st_size > MAX_BYTES:
            raise ConfigError(f"{path} is too large", got=f"{status.st_size} bytes", allowed=f"{MAX_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}", got=error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is neither TOML nor JSON", got=str(error)) from error
    try:
        return json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # both parsers' errors are ValueErrors
        raise ConfigError(f"{path} is neither TOML nor JSON", got=str(error), fix="correct it there") from error
