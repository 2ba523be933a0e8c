"""Where a search lies: in memory, or in an SQLite file in which it goes on after an interruption."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock
import optuna

from toolkit import atomic_files
from toolkit.contract.records import encode
from toolkit.errors import ConfigError, OutputError
from toolkit.training.config import RunConfig
from toolkit.tuning.space import Space

IDENTITY = "identity"
PLACE = frozenset({"data.file", "training.threads", "training.device"})
"""Settings that may be others when a search goes on: where it runs and where its table lies."""
PATIENCE_S = 60.0
"""How long another program may hold the file, such as a viewer."""


def identity_of(config: RunConfig, space: Space, sha256: str, metric: str, seed: int) -> dict[str, Any]:
    """What must be the same for a search to go on, by name; of the data file its content."""
    settings = {
        f"{table}.{name}": value
        for table, values in encode(config).items()
        for name, value in (values or {}).items()
        if f"{table}.{name}" not in PLACE
    }
    ranges = {f"tune.{name}": encode(entry) for name, entry in space.items()}
    identity = {"the data file's SHA-256": sha256, "--metric": metric, "--seed": seed, **settings, **ranges}
    told: dict[str, Any] = json.loads(json.dumps(identity))
    return told


@contextlib.contextmanager
def opened_study(storage: Path | None, name: str, identity: Mapping[str, Any]) -> Iterator[optuna.Study]:
    """The search of that name, held by this process alone until the block ends.

    Args:
        storage: an SQLite file, made where there is none; None keeps the search in memory.
        name: of the search in the file.
        identity: see `identity_of`.

    Raises:
        ConfigError: the file holds a search of that name with another identity.
        OutputError: no such folder, no SQLite file, another search runs in it, or it cannot be written.
    """
    # Its lines about every trial would stand between ours; its warnings stay.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if storage is None:
        yield optuna.create_study(study_name=name)
        return
    atomic_files.check_file_place(storage)
    with _locked(storage), _as_output_error(storage):
        _check_file(storage)
        # A path may hold what means something in a URL: the connection is made by hand.
        arguments = {"creator": lambda: sqlite3.connect(storage, timeout=PATIENCE_S, check_same_thread=False)}
        database = optuna.storages.RDBStorage("sqlite:///search", engine_kwargs=arguments)
        try:
            study = optuna.create_study(storage=database, study_name=name, load_if_exists=True)
            _claim(study, storage, identity)
            yield study
        finally:
            database.remove_session()
            database.engine.dispose()


def _claim(study: optuna.Study, storage: Path, identity: Mapping[str, Any]) -> None:
    theirs = study.user_attrs.get(IDENTITY)
    if theirs is None and not study.trials:
        study.set_user_attr(IDENTITY, dict(identity))
        return
    fix = "give another --storage or --study, or the same settings"
    if theirs is None:
        raise ConfigError(f"the search {study.study_name!r} in {storage} was made by another program", fix=fix)
    for key in sorted(identity.keys() | theirs.keys()):
        if identity.get(key) != theirs.get(key):
            what = f"the search {study.study_name!r} in {storage} was begun with another {key}"
            raise ConfigError(what, got=_shown(identity.get(key)), allowed=_shown(theirs.get(key)), fix=fix)


def _shown(value: object) -> str:
    return "nothing" if value is None else json.dumps(value)


def _check_file(storage: Path) -> None:
    """Refuses another program's file; SQLite itself refuses what is none of its own."""
    with contextlib.closing(sqlite3.connect(storage, timeout=PATIENCE_S)) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        connection.execute("BEGIN IMMEDIATE")  # as a write begins
        connection.rollback()
    if tables and "studies" not in tables:
        got = f"tables of another program, such as {min(tables)}"
        raise OutputError(f"{storage} is no storage of a search", got=got, fix="name another file")


@contextlib.contextmanager
def _locked(storage: Path) -> Iterator[None]:
    place = storage.with_name(f"{storage.name}.lock")
    lock = filelock.FileLock(place)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        fix = "wait for it, or name another file"
        raise OutputError(f"another search runs in {storage}", got=f"a lock on {place}", fix=fix) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows keeps a file that is open
            place.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def _as_output_error(storage: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, optuna.exceptions.StorageInternalError) as error:
        reason = error.__cause__ or error
        raise OutputError(f"cannot use the storage {storage}", got=str(reason), fix="name another file") from error
