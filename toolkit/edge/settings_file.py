"""`gateway.toml`: read strictly, its secrets fetched from where they are kept, its parts checked against each other.

A text value may hold `${NAME}`: a variable of the environment or, where there is none, a credential that systemd has
put into `$CREDENTIALS_DIRECTORY`. `$$` is a dollar sign. What was fetched so is never shown: in messages and in the
`repr` of the settings stands what the file says.
"""

import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from toolkit.contract.frozen import dataclass
from toolkit.contract.records import decode, nearest
from toolkit.contract.signals import SignalSpec
from toolkit.edge.columns import Column, columns_of
from toolkit.edge.payload_fields import feature_of, field_conversion
from toolkit.edge.secret_values import expanded
from toolkit.edge.settings import (
    Broker,
    ColumnLimits,
    FieldSettings,
    InputSettings,
    JournalSettings,
    OutputSettings,
    Settings,
    SignalSettings,
    Tls,
    TrialSettings,
    WatchSettings,
)
from toolkit.edge.topics import TopicPattern
from toolkit.edge.units import conversion
from toolkit.errors import ConfigError

MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class _GatewayFile:
    """The file as it is written; see `Settings`."""

    bundle: str
    input: tuple[InputSettings, ...]
    broker: Broker = field(default_factory=Broker)
    output: OutputSettings = field(default_factory=OutputSettings)
    signal: SignalSettings = field(default_factory=SignalSettings)
    limits: dict[str, ColumnLimits] = field(default_factory=dict)
    journal: JournalSettings = field(default_factory=JournalSettings)
    watch: WatchSettings = field(default_factory=WatchSettings)
    trial: TrialSettings = field(default_factory=TrialSettings)
    session_file: str = ""
    max_payload_bytes: int = 256 * 1024


def load_settings(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Reads a file.

    Args:
        path: of `gateway.toml`. Paths in it that are relative are relative to its folder.
        environment: where `${NAME}` is looked up.

    Raises:
        ConfigError: it cannot be read, is no TOML, holds an unknown key, a value of the wrong type or out of range or a
            `${NAME}` that is nowhere, or its inputs and outputs do not fit together.
    """
    tables = _tables(path)
    where = str(path)
    _check_names(tables, where)
    tables = expanded(_with_whole_columns(tables), where, environment)
    file = decode(_GatewayFile, tables, where, ConfigError)
    settings = _absolute(_settings(file), Path(os.path.abspath(path)).parent)
    _check_topics(settings, where)
    return settings


def warnings_of(path: Path) -> tuple[str, ...]:
    """What of a file is allowed and unwise: each a line without any value.

    Raises:
        ConfigError: the file cannot be read or is no TOML.
    """
    broker = _tables(path).get("broker")
    if not isinstance(broker, Mapping) or not broker.get("password"):
        return ()
    found = []
    if "${" not in str(broker["password"]):
        found.append(f"{path}: broker.password stands there in clear; write ${{NAME}} and keep it in the environment")
        if path.stat().st_mode & stat.S_IROTH:
            found.append(f"{path} holds a password and can be read by everybody; chmod o-r")
    if "tls" not in broker and broker.get("host", Broker.host) not in ("localhost", "127.0.0.1", "::1"):
        found.append(f"{path}: the password crosses the network in clear; add [broker.tls]")
    return tuple(found)


def check_against(settings: Settings, signal: SignalSpec) -> None:
    """Whether the settings are those of a bundle: every column comes from one input, in a unit that is understood.

    Raises:
        ConfigError: a column that the bundle has not or that no input sends, limits of an unknown column, or a unit
            that cannot be turned into the bundle's.
    """
    columns = {column.name: column for column in columns_of(signal)}
    sent = {name: one for settings_input in settings.inputs for name, one in settings_input.columns.items()}
    for name in sent:
        _check_known(name, columns, "input.columns")
    for name in settings.limits:
        _check_known(name, columns, "limits")
    missing = [name for name in columns if name not in sent]
    if missing:
        raise ConfigError(
            f"no input sends the column {missing[0]!r}",
            got=", ".join(sent),
            allowed=f"all of {', '.join(columns)}",
            fix=f'add it to the [input.columns] of the message that carries it: "{missing[0]}" = "FIELD"',
        )
    for name, one in sent.items():
        field_conversion(one, columns[name])
        _check_feature(one, columns[name], signal)


def _check_known(name: str, columns: Mapping[str, Column], where: str) -> None:
    if name not in columns:
        near = nearest(name, columns)
        raise ConfigError(
            f"{where} names a column that the bundle has not",
            got=repr(name),
            allowed=", ".join(columns),
            fix=f"did you mean {near!r}?" if near else None,
        )


def _check_feature(one: FieldSettings, column: Column, signal: SignalSpec) -> None:
    """A column goes by its name alone; a channel that is named after another statistic would be turned wrongly."""
    feature = signal.channels[column.channels[0]].feature
    if column.features or not (one.unit or one.unit_field) or feature == feature_of(column):
        return
    units = (one.unit or column.unit, column.unit)
    if conversion(*units, feature) != conversion(*units, feature_of(column)) or one.unit_field:
        got = f"the feature {feature} by another name"
        fix = f"send it in {column.unit} and leave out unit and unit_field"
        raise ConfigError(f"the unit of the column {column.name}", got=got, fix=fix)


def _tables(path: Path) -> dict[str, Any]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(f"{path} is no plain file", allowed="a TOML file of at most 1 MB")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        fix = "write one with 'lstm-edge gateway init BUNDLE'" if isinstance(error, FileNotFoundError) else None
        raise ConfigError(f"cannot read {path}", got=error.strerror, fix=fix) from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path} is too large", allowed=f"{MAX_BYTES} bytes")
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no UTF-8", got=f"byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        got = "tables within tables without end" if isinstance(error, RecursionError) else error
        raise ConfigError(f"{path} is no TOML", got=got) from error


def _check_names(tables: Mapping[str, Any], where: str) -> None:
    """A column `pressure.mean` is one key, which TOML takes for two unless it stands in quotes."""
    columns = [one.get("columns") for one in _inputs(tables)]
    for place, names in [("limits", tables.get("limits")), *(("input.columns", one) for one in columns)]:
        known = ColumnLimits if place == "limits" else FieldSettings
        for name, value in names.items() if isinstance(names, Mapping) else ():
            allowed = known.__dataclass_fields__
            for rest, item in value.items() if isinstance(value, Mapping) else ():
                if rest in allowed or not (isinstance(item, Mapping) or nearest(rest, allowed) is None):
                    break
                raise ConfigError(
                    f"{where}: {place}.{name}.{rest}",
                    allowed=", ".join(allowed),
                    fix=f'a name with dots stands in quotes: "{name}.{rest}"',
                )


def _inputs(tables: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    inputs = tables.get("input")
    yield from (one for one in inputs if isinstance(one, dict)) if isinstance(inputs, list) else ()


def _with_whole_columns(tables: dict[str, Any]) -> dict[str, Any]:
    """`name = "field"` is short for `name = { field = "field" }`."""
    for one in _inputs(tables):
        columns = one.get("columns")
        if isinstance(columns, dict):
            whole = {name: {"field": text} if isinstance(text, str) else text for name, text in columns.items()}
            one["columns"] = whole
    return tables


def _settings(file: _GatewayFile) -> Settings:
    values = {name: getattr(file, name) for name in _GatewayFile.__dataclass_fields__ if name != "input"}
    return Settings(inputs=file.input, **values)


def _absolute(settings: Settings, folder: Path) -> Settings:
    def placed(text: str) -> str:
        return str(folder / text) if text else ""

    broker = settings.broker
    if broker.tls is not None:
        files = {name: placed(getattr(broker.tls, name)) for name in ("ca_file", "certificate_file", "key_file")}
        broker = replace(broker, tls=Tls(**files, server_name=broker.tls.server_name))
    return replace(
        settings,
        bundle=placed(settings.bundle),
        session_file=placed(settings.session_file),
        journal=replace(settings.journal, folder=placed(settings.journal.folder)),
        broker=broker,
    )


def _check_topics(settings: Settings, where: str) -> None:
    """No message is of two inputs, no column comes from two, and the gateway does not read what it writes."""
    if not settings.inputs:
        raise ConfigError(f"{where} has no [[input]]", allowed="at least one")
    for one, other in combinations(settings.inputs, 2):
        if TopicPattern(one.topic).overlaps(TopicPattern(other.topic)):
            got = f"{one.topic!r} and {other.topic!r}"
            raise ConfigError(f"{where}: two inputs have a topic in common", got=got, allowed="topics that differ")
        twice = [name for name in one.columns if name in other.columns]
        if twice:
            got = f"{twice[0]!r} in {one.topic!r} and {other.topic!r}"
            raise ConfigError(f"{where}: a column comes from two inputs", got=got, allowed="one input for each column")
    for name in ("topic", "status_topic"):
        text = getattr(settings.output, name)
        looped = [one.topic for one in settings.inputs if text and TopicPattern(text).overlaps(TopicPattern(one.topic))]
        if looped:
            got = f"output.{name} = {text!r} and an input of {looped[0]!r}"
            raise ConfigError(f"{where}: the gateway would read what it writes", got=got, allowed="topics that differ")
