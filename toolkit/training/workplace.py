"""Where a training lies until it ends: `NAME.training` beside the run folder `NAME`, locked, with its checkpoints."""

import contextlib
import os
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from toolkit import atomic_files
from toolkit.errors import ConfigError, ModelError, OutputError
from toolkit.training.checkpoint import Checkpoints
from toolkit.training.config import RunConfig

CONFIG, LOCK, TABLE = "config.toml", "lock", "table.sha256"
PLACE = frozenset({("data", "file")})
"""Settings that a resumed training may state otherwise: where the table lies; its content must be the same."""


@dataclass(frozen=True)
class Workplace:
    """The folder of a training that has not ended.

    Attributes:
        folder: it exists, and this process holds its lock.
        identity: of the configuration and the table; see `Checkpoints`.
    """

    folder: Path
    identity: str

    def checkpoints(self, seed: int) -> Checkpoints:
        """Of the training with that seed."""
        folder = self.folder / f"seed-{seed}"
        atomic_files.make_folder(folder)
        return Checkpoints(folder, f"{self.identity} seed {seed}")


def workplace_of(run: Path) -> Path:
    """The folder beside `run` in which its training lies until it ends."""
    return run.parent / f"{run.name}.training"


def interrupted_config(run: Path) -> Path:
    """The configuration of the training of `run` that was interrupted.

    Raises:
        ConfigError: there is none.
    """
    path = workplace_of(run) / CONFIG
    if not path.is_file():
        state = "a finished run" if (run / "run.json").is_file() else "nothing"
        raise ConfigError(f"no interrupted training of {run}", got=state, fix="give a configuration, or train anew")
    return path


def kept_epochs(run: Path) -> int:
    """Epochs of the interrupted training of `run` that a checkpoint holds, over all seeds."""
    seeds = [path for path in workplace_of(run).glob("seed-*") if path.is_dir()]
    return sum(max(Checkpoints(path, "").epochs(), default=0) for path in seeds)


@contextlib.contextmanager
def claimed(run: Path, config: RunConfig, sha256: str, *, resume: bool, overwrite: bool) -> Iterator[Workplace]:
    """Holds the workplace of `run`; it is removed when the block ends without an error.

    Args:
        run: the run folder to be.
        config: what is trained.
        sha256: of the table.
        resume: go on with what lies there.
        overwrite: begin anew whatever lies there.

    Raises:
        OutputError: another process trains there, or what an interrupted training left lies there and neither
            `resume` nor `overwrite` is on, or the place cannot be written.
        ConfigError: `resume`, and the interrupted training had another setting or another table.
    """
    folder = workplace_of(run)
    atomic_files.make_folder(folder)
    lock = filelock.FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        fix = "wait for it, or name another folder with --run"
        raise OutputError(f"another training writes into {run}", got=f"a lock on {folder / LOCK}", fix=fix) from None
    try:
        _settle(folder, config, sha256, resume=resume, overwrite=overwrite)
        yield Workplace(folder, f"{sha256} {_settings(config)}")
        shutil.rmtree(folder, ignore_errors=True)
    except ModelError:  # it diverged: gone on with, it would diverge again
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        lock.release()
        _remove_if_unused(folder)


def _settle(folder: Path, config: RunConfig, sha256: str, *, resume: bool, overwrite: bool) -> None:
    """Makes the folder hold this training, and nothing of another."""
    begun = any(folder.glob("seed-*/checkpoint-*"))
    if begun and not (resume or overwrite):
        fix = "go on with --resume, or begin anew with --overwrite"
        raise OutputError(f"{folder} holds an interrupted training", got="checkpoints", fix=fix)
    if begun and resume:
        _check_same(folder, config, sha256)
        return
    for path in folder.iterdir():
        if path.name != LOCK:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    atomic_files.write_text(folder / TABLE, sha256)
    atomic_files.write_text(folder / CONFIG, config.to_toml())


def _check_same(folder: Path, config: RunConfig, sha256: str) -> None:
    try:
        theirs = _flat(tomllib.loads((folder / CONFIG).read_text(encoding="utf-8")))
        table = (folder / TABLE).read_text(encoding="utf-8")
    except (OSError, ValueError, TypeError) as error:
        fix = "begin anew with --overwrite"
        raise OutputError(f"{folder} is damaged", got=str(error), fix=fix) from error
    ours = _flat(tomllib.loads(config.to_toml()))
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key) and key not in PLACE:
            raise ConfigError(
                f"a training is resumed with another {'.'.join(key)}",
                got=ours.get(key, "nothing"),
                allowed=theirs.get(key, "nothing"),
                fix="resume it as it was begun, or begin anew with --overwrite",
            )
    if table != sha256:
        fix = "give the table that it was begun with, or begin anew with --overwrite"
        raise ConfigError("a training is resumed with another table", got=f"SHA-256 {sha256[:12]}", fix=fix)


def _settings(config: RunConfig) -> str:
    return repr(sorted((key, repr(value)) for key, value in _flat(tomllib.loads(config.to_toml())).items()))


def _flat(tables: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """Settings by table and key, without those that may differ."""
    flat = {(table, key): value for table, values in tables.items() for key, value in dict(values).items()}
    return {key: value for key, value in flat.items() if key not in PLACE}


def _remove_if_unused(folder: Path) -> None:
    """A refused or failed training without a checkpoint leaves nothing behind."""
    if not os.path.isdir(folder) or any(folder.glob("seed-*/checkpoint-*")):
        return
    shutil.rmtree(folder, ignore_errors=True)
