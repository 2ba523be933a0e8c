"""Files and folders that appear whole or not at all.

A file is written under a temporary name beside its place, synced and renamed. A folder is filled under a
temporary name and renamed; where one stands already, the two are exchanged in one system call on Linux
(`renameat2`), so that no moment exists without a whole folder at the final name.
"""

import contextlib
import ctypes
import errno
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from toolkit.errors import OutputError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2

SCHEMAS = {"manifest.json": "bundle/", "run.json": "run/"}
"""The file by which a folder is known to be the toolkit's, and what its `schema` begins with in every version."""
_MAX_MARKER_BYTES = 1 << 24


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `content` to `path` so that a reader sees the old file or the new one, never a part.

    A device or a pipe is written to as it is: to put a file in its place would end `/dev/null` for everybody.

    Raises:
        OutputError: the folder does not exist, cannot be written, or the disk is full.
    """
    if _is_stream(path):
        with _as_output_error(path):
            # Non-blocking: a pipe that nobody reads would be waited for without end.
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.set_blocking(descriptor, True)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
        return
    partial = _partial_name(path)
    with _as_output_error(path):
        try:
            with partial.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def write_text(path: Path, content: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(path, content.encode())


def check_file_place(path: Path) -> None:
    """Refuses, before any work is done, a place that `write_bytes` would refuse at the end.

    Raises:
        OutputError: a folder stands there, or its folder is missing or cannot be written.
    """
    if os.path.isdir(path):
        raise OutputError(f"cannot write the file {path}", got="a folder of that name", fix="name another")
    if _is_stream(path):
        return
    if not os.path.isdir(path.parent) or not os.access(path.parent, os.W_OK | os.X_OK):
        reason = "cannot be written" if os.path.isdir(path.parent) else "is no folder"
        raise OutputError(f"cannot write {path}", got=f"{path.parent}, which {reason}", fix="name another place")


def _is_stream(path: Path) -> bool:
    """Whether a device or a pipe stands there, links followed.

    Raises:
        OutputError: it is a disk.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    if stat.S_ISBLK(mode):
        raise OutputError(f"cannot write the file {path}", got="a disk of that name", fix="name another")
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def make_folder(path: Path) -> None:
    """Makes a folder and its parents where they are missing.

    Raises:
        OutputError: it cannot be made, or something else stands there.
    """
    with _as_output_error(path):
        path.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def new_folder(path: Path, *, overwrite: bool = False, marker: str | None = None) -> Iterator[Path]:
    """Yields a temporary folder beside `path` that becomes `path` when the block ends without an error.

    Args:
        path: where the folder is to stand; its parents are made where they are missing.
        overwrite: exchange an existing folder at `path` for the new one instead of refusing.
        marker: a file of `SCHEMAS` that a folder must hold to be overwritten, and that must list what else it holds:
            `--out ~ --overwrite` must not cost a home, nor a bundle the notes that lie in it.

    Raises:
        OutputError: `path` exists and `overwrite` is off or it is not one of ours, or the place cannot be written.
    """
    check_free(path, overwrite=overwrite, marker=marker)
    partial = _partial_name(path)
    with _as_output_error(path):
        partial.mkdir(parents=True)
    try:
        with _as_output_error(path, within=partial):
            yield partial
        with _as_output_error(path):
            _sync_tree(partial)
            if overwrite:  # filling it may have taken hours
                check_free(path, overwrite=overwrite, marker=marker)
            _publish(partial, path, overwrite=overwrite)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_free(path: Path, *, overwrite: bool, marker: str | None = None) -> None:
    """Refuses, before any work is done, a place that `new_folder` would refuse at the end.

    Raises:
        OutputError: `path` exists and `overwrite` is off, is no folder or none that `marker` shows to be ours, or no
            folder can be made there.
    """
    # os.path, because in Python 3.11 Path's methods raise on a name that is too long or may not be looked up.
    if os.path.islink(path) or (os.path.exists(path) and not os.path.isdir(path)):
        raise OutputError(
            f"cannot write the folder {path}", got="something there that is no folder", fix="name another"
        )
    if os.path.exists(path) and not overwrite:
        raise OutputError(f"the folder {path} exists already", fix="name another, or add --overwrite")
    if os.path.exists(path) and marker is not None:
        with _as_output_error(path):
            _check_own(path, marker)
    whole = Path(os.path.abspath(path))
    if Path.cwd().is_relative_to(whole):
        raise OutputError(f"cannot write the folder {path}", got="the folder you are in", fix="name another")
    parent = next(p for p in whole.parents if os.path.exists(p))
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(
            f"cannot write the folder {path}", got=f"{parent}, which cannot be written", fix="name another"
        )


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` durable; a file system that cannot do that is left alone."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_own(folder: Path, marker: str) -> None:
    """Refuses a folder that is not empty and that the toolkit did not write, or not all of it."""
    names = sorted(os.listdir(folder))
    if not names:
        return
    what = f"the folder {folder} is not overwritten"
    if marker not in names:
        raise OutputError(what, got=f"no {marker} in it", fix="name another")
    files = _listed_files(folder / marker, SCHEMAS[marker])
    if files is None:
        raise OutputError(what, got=f"a {marker} that is not the toolkit's", fix="name another, or remove it yourself")
    ours = {marker, *files}
    foreign = [name for name in names if name not in ours or not _is_plain(folder / name)]
    if foreign:
        got = f"{foreign[0]}, which its {marker} does not list"
        raise OutputError(what, got=got, fix="move that elsewhere, or name another folder")


def _listed_files(path: Path, schema: str) -> set[str] | None:
    """The names under `files` in a marker of that schema; None where it is none."""
    try:
        if not _is_plain(path) or os.path.getsize(path) > _MAX_MARKER_BYTES:
            return None
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not str(found.get("schema")).startswith(schema):
        return None
    files = found.get("files")
    return set(files) if isinstance(files, dict) else None


def _is_plain(path: Path) -> bool:
    return os.path.isfile(path) and not os.path.islink(path)


def _partial_name(path: Path) -> Path:
    # Not with_name: it raises on "." and "/", which are refused in words elsewhere.
    return path.parent / f".{path.name}.partial-{secrets.token_hex(4)}"


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            sync_folder(path)
    sync_folder(folder)


def _publish(partial: Path, path: Path, *, overwrite: bool) -> None:
    """After this `path` is the new folder and `partial` is gone or holds the old one, to be removed."""
    if not path.exists():
        partial.rename(path)
    elif not overwrite:
        raise OutputError(f"the folder {path} exists already", fix="name another, or add --overwrite")
    elif not _exchange(partial, path):
        old = _partial_name(path)
        path.rename(old)
        try:
            partial.rename(path)
        except BaseException:
            old.rename(path)
            raise
        shutil.rmtree(old, ignore_errors=True)
    sync_folder(path.parent)


def _exchange(first: Path, second: Path) -> bool:
    """Swaps two names in one step; False where the system or the file system has no such call."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    names = os.fsencode(first), os.fsencode(second)
    return bool(renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0)


@contextlib.contextmanager
def _as_output_error(path: Path, within: Path | None = None) -> Iterator[None]:
    """Turns a failure to write into one line; `within` leaves alone what did not happen in that folder."""
    try:
        yield
    except OSError as error:
        elsewhere = within is not None and not str(error.filename or within).startswith(str(within))
        if elsewhere and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OutputError(f"cannot write {path}", got=error.strerror or str(error), fix="name another place") from error
