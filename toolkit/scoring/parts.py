"""A table that is written in parts beside its place, and put together when all of them are there.

`OUT.partial` holds `part-00001.csv` and so on, each synced before it counts, and `progress.json`: what the parts are of
and how many there are. A process that is killed at any moment leaves a folder from which the next one goes on.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from toolkit import atomic_files
from toolkit.errors import ConfigError, OutputError
from toolkit.scoring.part_lock import LOCK

SCHEMA = "score/1"
PROGRESS = "progress.json"
ENDINGS = (".csv", ".parquet")
ROW_GROUP_NUMBERS = 1 << 22
"""Numbers in a row group of the finished Parquet file: what a reader holds at a time."""
COPY_BYTES = 1 << 20
_OWN_NAME = re.compile(r"part-\d+\.(csv|parquet)(\.new)?|whole\.(csv|parquet)|lock|\.?progress\.json(\.partial-\w+)?")


@dataclass(frozen=True)
class Made:
    """How far the parts are.

    Attributes:
        schema: the version of this record.
        plan: what the parts are of: bundle, files and options.
        parts: how many are whole.
        rows: of the table, in these parts.
        whole: of the finished file, once it is put together: its number on this file system and its bytes.
    """

    schema: str
    plan: dict[str, Any]
    parts: int = 0
    rows: int = 0
    whole: tuple[int, int] | None = None


def check_not_read(out: Path, files: Iterable[Path]) -> None:
    """Refuses a place at which a file stands that is read: it would be gone.

    Raises:
        OutputError: it is one of them.
    """
    for file in files:
        if os.path.exists(out) and os.path.samefile(out, file):
            raise OutputError(f"cannot write {out}", got="the table that is read", fix="name another place")


def folder_of(out: Path) -> Path:
    """Where the parts of a table lie."""
    return out.with_name(f"{out.name}.partial")


def check_place(out: Path, *, overwrite: bool, resume: bool) -> None:
    """Refuses, before anything is computed, a place that could not be written.

    Raises:
        ConfigError: an ending that stands for no format, or parts to go on from where there are none.
        OutputError: a file that stands there, parts of an earlier call, or a folder that cannot be written.
    """
    if out.suffix.lower() not in ENDINGS:
        raise ConfigError(f"no format for {out.name}", got=f"the ending {out.suffix!r}", allowed=", ".join(ENDINGS))
    atomic_files.check_file_place(out)
    folder = folder_of(out)
    has_parts = os.path.isfile(folder / PROGRESS)
    if os.path.lexists(folder) and not has_parts and not os.path.isfile(folder / LOCK):
        raise OutputError(f"{folder} is in the way", got="no parts of a table of forecasts", fix="move it elsewhere")
    if resume and not has_parts:
        raise ConfigError(f"--resume: there is no {folder}", fix="leave --resume out")
    if not resume and not overwrite and os.path.exists(out):
        raise OutputError(f"the file {out} exists already", fix="name another, or add --overwrite")
    if not resume and not overwrite and has_parts:
        fix = "go on with --resume, or begin anew with --overwrite"
        raise OutputError(f"{folder} holds the parts of an earlier call", fix=fix)


class Parts:
    """The parts of one table.

    Args:
        out: where the table is to stand.
        made: how far it is.
    """

    def __init__(self, out: Path, made: Made) -> None:
        self._out, self._made, self._folder = out, made, folder_of(out)
        self._csv = out.suffix.lower() == ".csv"

    @classmethod
    def begin(cls, out: Path, plan: dict[str, Any]) -> "Parts":
        """None yet; those of an earlier call are removed. The caller holds the folder's lock.

        Raises:
            OutputError: the folder cannot be written.
        """
        parts = cls(out, Made(SCHEMA, plan))
        parts.remove(keep=(LOCK,))
        atomic_files.make_folder(folder_of(out))
        parts._record(parts._made)
        return parts

    @classmethod
    def go_on(cls, out: Path, plan: dict[str, Any], *, overwrite: bool) -> "Parts":
        """Those that an earlier call left.

        Raises:
            OutputError: they are of another plan, or another file stands at the table's place.
        """
        made = _read(folder_of(out) / PROGRESS)
        other = next((name for name in plan if made.plan.get(name) != plan[name]), None)
        if other is not None:
            raise OutputError(
                f"{folder_of(out)} holds the parts of another call",
                got=f"another {other}",
                fix="give what was given then, or begin anew with --overwrite and without --resume",
            )
        parts = cls(out, made)
        if os.path.exists(out) and not overwrite and not parts.is_published:
            raise OutputError(f"the file {out} exists already", fix="move it elsewhere, or add --overwrite")
        return parts

    @property
    def made(self) -> Made:
        """How far it is."""
        return self._made

    @property
    def is_published(self) -> bool:
        """Whether the file at the table's place is that of these parts, which alone are left to be removed."""
        return self._made.whole is not None and _identity(self._out) == self._made.whole

    def add(self, frame: pl.DataFrame) -> None:
        """Writes the next part; it is on the disk when this returns.

        Raises:
            OutputError: the disk is full, or the folder is gone.
        """
        path = self._part(self._made.parts + 1)
        new = path.with_name(f"{path.name}.new")
        try:
            with new.open("wb") as file:
                if self._csv:
                    frame.write_csv(file, include_header=not self._made.parts, datetime_format=_time_format(frame))
                else:
                    frame.write_parquet(file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        except OSError as error:
            raise self._cannot_write(error) from error
        self._record(replace(self._made, parts=self._made.parts + 1, rows=self._made.rows + frame.height))

    def publish(self) -> None:
        """Puts the parts together at the table's place, in one step, and removes them.

        Raises:
            OutputError: the disk is full, or a part is gone.
        """
        if not self.is_published:
            whole = self._folder / f"whole{self._out.suffix.lower()}"
            try:
                self._put_together(whole)
                with whole.open("rb") as file:
                    os.fsync(file.fileno())
                self._record(replace(self._made, whole=_identity(whole)))
                whole.replace(self._out)
                atomic_files.sync_folder(self._out.parent)
            except (OSError, pl.exceptions.PolarsError) as error:
                raise self._cannot_write(error) from error
        self.remove()

    def remove(self, keep: tuple[str, ...] = ()) -> None:
        """Removes all parts, the record of them last, and their folder where nothing else lies in it."""
        with contextlib.suppress(OSError):
            own = [path for path in self._folder.iterdir() if _OWN_NAME.fullmatch(path.name) and path.name not in keep]
            for path in sorted(own, key=lambda path: (path.name == LOCK, path.name == PROGRESS)):
                path.unlink()
            self._folder.rmdir()

    def _put_together(self, whole: Path) -> None:
        paths = [self._part(number) for number in range(1, self._made.parts + 1)]
        if self._csv:
            with whole.open("wb") as file:
                for path in paths:
                    with path.open("rb") as part:
                        shutil.copyfileobj(part, file, COPY_BYTES)
            return
        rows = pl.scan_parquet(paths, glob=False)
        size = max(1024, ROW_GROUP_NUMBERS // len(rows.collect_schema()))
        rows.sink_parquet(whole, row_group_size=size, maintain_order=True)

    def _part(self, number: int) -> Path:
        return self._folder / f"part-{number:05d}{self._out.suffix.lower()}"

    def _record(self, made: Made) -> None:
        atomic_files.write_text(self._folder / PROGRESS, json.dumps(asdict(made), indent=1) + "\n")
        self._made = made

    def _cannot_write(self, error: Exception) -> OutputError:
        got = (error.strerror if isinstance(error, OSError) else None) or str(error).splitlines()[0]
        fix = "make room, and go on with --resume" if self._made.parts else "make room"
        return OutputError(f"cannot write {self._out}", got=got, fix=fix)


def _time_format(frame: pl.DataFrame) -> str:
    """ISO 8601, with as many digits of a second as there are."""
    zoned = any(getattr(kind, "time_zone", None) for kind in frame.dtypes)
    return f"%Y-%m-%dT%H:%M:%S%.f{'Z' if zoned else ''}"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size


def _read(path: Path) -> Made:
    try:
        found = json.loads(path.read_bytes())
        schema, plan, whole = found["schema"], found["plan"], found["whole"]
        made = Made(schema, plan, int(found["parts"]), int(found["rows"]), tuple(whole) if whole else None)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        fix = "begin anew with --overwrite and without --resume"
        raise OutputError(f"{path} cannot be read", got=type(error).__name__, fix=fix) from error
    if made.schema != SCHEMA or not isinstance(plan, dict):
        raise OutputError(f"{path} is of another version", got=str(schema)[:40], fix="begin anew with --overwrite")
    return made


def file_plan(path: Path) -> list[Any]:
    """What tells one file from another without reading all of it: name, bytes, time of change, and its first MB."""
    status = path.stat()
    with path.open("rb") as file:
        head = hashlib.sha256(file.read(COPY_BYTES)).hexdigest()
    return [str(path.absolute()), status.st_size, status.st_mtime_ns, head]
