"""The files of a folder that nobody vouches for: sizes first, no links, each opened once.

The folder is opened once and every file by its name within it, so that a folder which is exchanged on the way mixes no
two bundles. A link that leads to the folder is followed (people point `current` at a version); one within it never is.
"""

import errno
import hashlib
import os
import stat
from types import TracebackType
from typing import Self

from toolkit.contract.manifest import FileEntry
from toolkit.errors import BundleError

MAX_FILE_BYTES = 1 << 30
PIECE = 1 << 20
"""Bytes of a file that is hashed and not kept: its size costs no memory."""

COPY_AGAIN = "copy the bundle again"


class BundleFolder:
    """An open folder; a context manager that closes it.

    Args:
        where: its path.

    Raises:
        BundleError: there is none.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        try:
            self._descriptor = os.open(where, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            absent = isinstance(error, ValueError) or error.errno in (errno.ENOENT, errno.ENOTDIR)
            reason = None if absent else getattr(error, "strerror", None)
            fix = "name a folder that 'lstm-edge export' wrote"
            raise BundleError(f"there is no bundle {where}", got=reason, fix=fix) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._descriptor)

    def names(self) -> list[str]:
        """Of everything in the folder."""
        return os.listdir(self._descriptor)

    def read(self, name: str, limit: int) -> bytes:
        """A plain file of at most `limit` bytes.

        Raises:
            BundleError: a name that leads elsewhere, no such file, a link, a file of several names, or a larger one.
        """
        descriptor = self._open(name, limit)
        try:
            return b"".join(iter(_Pieces(descriptor, limit + 1, limit + 1)))
        except OSError as error:
            raise _unreadable(f"{self.where}/{name}", error) from error
        finally:
            os.close(descriptor)

    def read_listed(self, name: str, entry: FileEntry) -> bytes:
        """The bytes of a file that a manifest describes; what is hashed is what is returned.

        Raises:
            BundleError: as `read`, or another size or hash.
        """
        content = self.read(name, min(entry.bytes, MAX_FILE_BYTES))
        self._check(name, entry, len(content), hashlib.sha256(content).hexdigest())
        return content

    def check_listed(self, name: str, entry: FileEntry) -> None:
        """Hashes a file that nobody here needs, piece by piece.

        Raises:
            BundleError: as `read_listed`.
        """
        limit = min(entry.bytes, MAX_FILE_BYTES)
        descriptor = self._open(name, limit)
        digest, size = hashlib.sha256(), 0
        try:
            for piece in _Pieces(descriptor, limit + 1, PIECE):
                digest.update(piece)
                size += len(piece)
        except OSError as error:
            raise _unreadable(f"{self.where}/{name}", error) from error
        finally:
            os.close(descriptor)
        self._check(name, entry, size, digest.hexdigest())

    def _check(self, name: str, entry: FileEntry, size: int, sha256: str) -> None:
        if (size, sha256) != (entry.bytes, entry.sha256):
            raise BundleError(
                f"{self.where}/{name} is not the file that the manifest describes",
                got="another size or SHA-256",
                fix="copy the bundle again, or export it again",
            )

    def _open(self, name: str, limit: int) -> int:
        if name in ("", ".", "..") or "/" in name or os.sep in name or not name.isprintable():
            raise BundleError(f"{self.where}: a file's name must not lead elsewhere", got=repr(name))
        path = f"{self.where}/{name}"
        try:
            # Non-blocking: opening a pipe must not wait for a writer.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(name, flags, dir_fd=self._descriptor)
        except OSError as error:
            raise _unreadable(path, error) from error
        try:
            _check_plain(descriptor, path, limit)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


class _Pieces:
    """The pieces of an open file, of at most so many bytes each and in all."""

    def __init__(self, descriptor: int, limit: int, piece: int) -> None:
        self._descriptor, self._left, self._piece = descriptor, limit, piece

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        part = os.read(self._descriptor, min(self._left, self._piece)) if self._left else b""
        if not part:
            raise StopIteration
        self._left -= len(part)
        return part


def _check_plain(descriptor: int, path: str, limit: int) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise BundleError(f"{path} is no plain file", fix=COPY_AGAIN)
    if status.st_size > limit:
        raise BundleError(f"{path} is too large", got=f"{status.st_size} bytes", allowed=f"{limit} bytes")
    if status.st_nlink > 1 and not _is_read_only(descriptor):
        raise BundleError(
            f"{path} has other names, under which it may be changed",
            got=f"{status.st_nlink} hard links",
            allowed="one, or a file system that is mounted read-only",
            fix="cp -r the bundle to a folder of its own",
        )


def _is_read_only(descriptor: int) -> bool:
    """An image whose files share their bytes (squashfs, ostree) is changed by nobody while it is mounted so."""
    return bool(os.fstatvfs(descriptor).f_flag & os.ST_RDONLY)


def _unreadable(path: str, error: OSError) -> BundleError:
    reason = "a link" if error.errno == errno.ELOOP else error.strerror
    return BundleError(f"cannot read {path}", got=reason, fix=COPY_AGAIN)
