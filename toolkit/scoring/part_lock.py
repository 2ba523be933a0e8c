"""One call at a time writes a table's parts: two at once would mix theirs."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from toolkit.errors import OutputError

LOCK = "lock"


@contextlib.contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Holds the lock that lies in a folder, which is made where it is missing; the end of the process frees it too.

    Raises:
        OutputError: another call holds it, or the folder cannot be written.
    """
    try:
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise OutputError(f"cannot write {folder}", got=error.strerror or str(error), fix="name another") from error
    try:
        if not _held(descriptor, folder / LOCK):
            raise OutputError(
                f"{folder} cannot be written", got="another call that writes there", fix="wait for its end"
            )
        yield
    finally:
        os.close(descriptor)


def _held(descriptor: int, path: Path) -> bool:
    """Whether the lock was free, and is still the one that lies there: a call that ends removes its own."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
