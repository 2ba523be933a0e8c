"""`session.toml`: how this machine runs which bundle, as `tune-session` measured it.

It lies outside every bundle, because a bundle never changes once it is made, and holds an entry for each bundle and
processor: a folder of settings may be copied from gateway to gateway, and each takes what is its own. An entry counts
where the SHA-256 of the manifest, the processor's name and its instruction sets are those it was measured with, and
the process may use as many cores as it asks for.
"""

import hashlib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from toolkit.atomic_files import check_file_place, make_folder, write_text
from toolkit.contract.graph_entry import Precision
from toolkit.contract.graph_io import GRAPHS, GraphName
from toolkit.contract.manifest import MANIFEST
from toolkit.contract.records import decode
from toolkit.contract.session_reports import SessionSetting
from toolkit.errors import BundleError, ConfigError, OutputError
from toolkit.runtime.bundle import MAX_MANIFEST_BYTES, Bundle
from toolkit.runtime.environment import machine, usable_cores
from toolkit.runtime.session import LEVELS, SessionPolicy

SCHEMA = "session/1"
VARIABLE = "LSTM_EDGE_SESSION"
"""The environment variable that names another file."""
MAX_BYTES = 1 << 20
MOST_THREADS = 1024

_HEADER = """\
# Written by 'lstm-edge tune-session', which replaces the entry of a bundle on a processor and keeps the others.
"""


@dataclass(frozen=True)
class SessionEntry:
    """How one bundle is run on one processor.

    Attributes:
        bundle: its name, for people.
        manifest_sha256: of its manifest.
        cpu: the processor's name.
        cpu_features_sha256: of its instruction sets, see `cpu_key`.
        onnxruntime: the version that it was measured with.
        graphs: by the graph's name.
    """

    bundle: str
    manifest_sha256: str
    cpu: str
    cpu_features_sha256: str
    onnxruntime: str
    graphs: dict[str, SessionSetting]

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it count."""
        return self.manifest_sha256, self.cpu, self.cpu_features_sha256


@dataclass(frozen=True)
class SessionFile:
    """The contents of `session.toml`."""

    entries: tuple[SessionEntry, ...] = ()
    schema: str = SCHEMA


def policy_for(bundle: Bundle, graph: GraphName, file: Path | None = None) -> tuple[SessionPolicy, Precision | None]:
    """What to open a graph of a bundle with on this machine.

    Args:
        bundle: whose graph.
        graph: `windowed` or `streaming`.
        file: see `session_place`.

    Returns:
        The tuned policy and precision; the default policy and None, the preferred precision, where nothing was tuned.

    Raises:
        ConfigError: see `tuned_policies`.
    """
    tuned = tuned_policies(bundle, file).get(graph)
    return (SessionPolicy(), None) if tuned is None else (session_policy(tuned), tuned.precision)


def tuned_policies(bundle: Bundle, file: Path | None = None) -> dict[GraphName, SessionSetting]:
    """What was tuned for a bundle on this machine, by graph; empty where nothing was.

    Entries of other bundles and processors are passed over, and so is one that needs more cores than this process may
    use: a container's share is a machine of its own.

    Args:
        bundle: whose graphs are to be run.
        file: see `session_place`.

    Raises:
        ConfigError: a file that was named and is not there, or one that is damaged, of another version, holds an
            unknown key or a value of the wrong type, or names a graph or precision that the bundle has not.
    """
    place = session_place(file)
    if not os.path.lexists(place):
        if file is None and not os.environ.get(VARIABLE):
            return {}
        raise ConfigError(f"there is no session file {place}", fix="write it with 'lstm-edge tune-session'")
    entries = read_session_file(place).entries
    if not entries:
        return {}
    key = manifest_sha256(bundle), *cpu_key()
    entry = next((entry for entry in entries if entry.key == key), None)
    if entry is None or any(setting.threads > usable_cores() for setting in entry.graphs.values()):
        return {}
    _check_fits(entry, bundle, place)
    return {name: entry.graphs[name] for name in GRAPHS if name in entry.graphs}


def session_place(file: Path | None = None) -> Path:
    """Which file it is: the one that is given, or `LSTM_EDGE_SESSION`, or the user's own.

    The user's own is `lstm-edge/session.toml` in `XDG_CONFIG_HOME`, or in `~/.config` where that is not set; a
    relative path there is ignored, as the XDG Base Directory specification asks.
    """
    if file is not None:
        return file
    named = os.environ.get(VARIABLE)
    return Path(named) if named else _own_place()


def read_session_file(place: Path) -> SessionFile:
    """Reads the file strictly.

    Raises:
        ConfigError: see `tuned_policies`.
    """
    where = str(place)
    value = _toml_value(place)
    if value.get("schema") != SCHEMA:
        got = f"schema {repr(value.get('schema'))[:60]}"
        raise ConfigError(f"{where} is no session file that this toolkit reads", got=got, allowed=repr(SCHEMA))
    found = decode(SessionFile, value, where, ConfigError)
    for number, entry in enumerate(found.entries):
        _check_entry(entry, f"{where}: entries[{number}]")
        if entry.key in [other.key for other in found.entries[:number]]:
            raise ConfigError(f"{where} holds two entries of {entry.bundle} on {entry.cpu}", fix="remove one of them")
    return found


def session_entry(bundle: Bundle, graphs: Mapping[GraphName, SessionSetting]) -> SessionEntry:
    """An entry for this machine."""
    version = machine()["packages"]
    runtime = next((version[name] for name in version if name.startswith("onnxruntime")), "")
    by_name = {str(name): setting for name, setting in graphs.items()}
    return SessionEntry(bundle.manifest.name, manifest_sha256(bundle), *cpu_key(), runtime, by_name)


def check_session_place(place: Path, bundle: Bundle) -> None:
    """Refuses, before anything is measured, a place where no entry can be put.

    Raises:
        OutputError: within this bundle or another, or a place that cannot be written.
        ConfigError: a file stands there that is no session file.
    """
    folder = place.resolve().parent
    if folder.is_relative_to(bundle.folder.resolve()) or (folder / MANIFEST).exists():
        fix = "name a place outside: a bundle never changes once it is made"
        raise OutputError(f"{place} lies within a bundle", fix=fix)
    if place == _own_place():
        make_folder(place.parent)
    check_file_place(place)
    if os.path.lexists(place):
        read_session_file(place)


def put_entry(place: Path, entry: SessionEntry) -> None:
    """Writes an entry in place of the one with its key; the others are kept.

    Raises:
        OutputError: the file cannot be written.
        ConfigError: a file stands there that is no session file.
    """
    before = read_session_file(place).entries if os.path.lexists(place) else ()
    kept = tuple(other for other in before if other.key != entry.key)
    # A link is followed: people keep their settings elsewhere and link to them.
    write_text(place.resolve(), session_toml(SessionFile((*kept, entry))))


def session_toml(file: SessionFile) -> str:
    """The text of the file."""
    return _HEADER + f"schema = {_quoted(file.schema)}\n" + "".join(map(_entry_text, file.entries))


def session_policy(setting: SessionSetting) -> SessionPolicy:
    """The policy that opens a session so."""
    values = {field.name: getattr(setting, field.name) for field in fields(setting) if field.name != "precision"}
    return replace(SessionPolicy(), **values)


def manifest_sha256(bundle: Bundle) -> str:
    """The digest that a bundle goes by: of the bytes that were loaded, or of the file where none were.

    Raises:
        BundleError: the manifest cannot be read any more.
    """
    if bundle.digest:
        return bundle.digest
    try:
        with (bundle.folder / MANIFEST).open("rb") as file:
            return hashlib.sha256(file.read(MAX_MANIFEST_BYTES)).hexdigest()
    except OSError as error:
        raise BundleError(f"cannot read {bundle.folder / MANIFEST}", got=error.strerror) from error


def cpu_key() -> tuple[str, str]:
    """The processor's name, and the SHA-256 of its instruction sets that matter, joined by commas."""
    about = machine()
    return about["cpu"], hashlib.sha256(",".join(about["cpu_features"]).encode()).hexdigest()


def _own_place() -> Path:
    named = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    base = named if named.is_absolute() else Path(os.path.expanduser("~/.config"))
    return base / "lstm-edge" / "session.toml"


def _toml_value(place: Path) -> dict[str, Any]:
    try:
        if not os.path.isfile(place):  # opening a pipe would wait for a writer
            raise ConfigError(f"{place} is no file", fix="name a file that 'lstm-edge tune-session' wrote")
        with place.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {place}", got=error.strerror) from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{place} is too large", allowed=f"{MAX_BYTES} bytes")
    try:
        return tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        fix = "remove it and run 'lstm-edge tune-session' again"
        raise ConfigError(f"{place} is not TOML", got=error, fix=fix) from error


def _check_entry(entry: SessionEntry, where: str) -> None:
    unknown = [name for name in entry.graphs if name not in GRAPHS]
    if unknown or not entry.graphs:
        raise ConfigError(f"{where}: graphs", got=unknown[0] if unknown else "none", allowed=", ".join(GRAPHS))
    for name, setting in entry.graphs.items():
        if not 1 <= setting.threads <= MOST_THREADS:
            raise ConfigError(f"{where}: graphs.{name}: threads", got=setting.threads, allowed=f"1 to {MOST_THREADS}")
        if setting.optimisation not in LEVELS:
            allowed = ", ".join(LEVELS)
            raise ConfigError(f"{where}: graphs.{name}: optimisation", got=setting.optimisation, allowed=allowed)


def _check_fits(entry: SessionEntry, bundle: Bundle, place: Path) -> None:
    present = [(graph.name, graph.precision) for graph in bundle.manifest.graphs]
    for name, setting in entry.graphs.items():
        if (name, setting.precision) not in present:
            raise ConfigError(
                f"{place}: the entry of {entry.bundle}",
                got=f"{name} in {setting.precision}",
                allowed=", ".join(f"{graph} in {precision}" for graph, precision in present),
                fix="run 'lstm-edge tune-session' again",
            )


def _entry_text(entry: SessionEntry) -> str:
    lines = [
        "[[entries]]",
        *(f"{field.name} = {_quoted(getattr(entry, field.name))}" for field in fields(entry) if field.name != "graphs"),
        *(line for name, setting in entry.graphs.items() for line in _setting_lines(name, setting)),
    ]
    return "\n" + "\n".join(lines) + "\n"


def _setting_lines(name: str, setting: SessionSetting) -> Iterator[str]:
    yield f"[entries.graphs.{name}]"
    for field in fields(setting):
        value = getattr(setting, field.name)
        yield f"{field.name} = {_quoted(value) if isinstance(value, str) else str(value).lower()}"


def _quoted(text: str) -> str:
    """A TOML string: JSON's escapes are TOML's, but TOML forbids a bare DEL, and UTF-8 half of a surrogate pair."""
    whole = text.encode("utf-8", "replace").decode()
    return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")
