"""Which files a setting names: one, several, or all that match a pattern."""

import glob
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from toolkit.contract.records import nearest
from toolkit.errors import DataError


def listed_files(names: str | Sequence[str]) -> tuple[Path, ...]:
    """The files in the order given; those of a pattern in the order of their names.

    Raises:
        DataError: a file that is not there, a pattern without a match, or a file that is named twice.
    """
    found = [path for name in ([names] if isinstance(names, str) else names) for path in _matches(name)]
    for place, path in enumerate(found):
        if path in found[:place]:
            raise DataError(f"data.file names {path} twice", fix="name it once")
    return tuple(found)


def shown_names(files: Sequence[Path]) -> str:
    """What messages call the files."""
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return files[0].name + more


def file_assets(files: Sequence[Path]) -> tuple[str, ...]:
    """A name for each file's machine: its stem, with the folder before it where stems repeat.

    Raises:
        DataError: two files that even their folders do not tell apart.
    """
    stems = [path.stem for path in files]
    if len(set(stems)) < len(stems):
        stems = [f"{path.absolute().parent.name}/{path.stem}" for path in files]
    if repeated := [path for path, stem in zip(files, stems, strict=True) if stems.count(stem) > 1]:
        raise DataError(
            "data.asset = {file}: two files give one name", got=str(repeated[0]), fix="rename one, or its folder"
        )
    return tuple(stems)


def sha256_of(files: Sequence[Path]) -> str:
    """Of the one file; of several, the hash of their hashes in order."""
    hashes = []
    for path in files:
        with path.open("rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _matches(name: str) -> list[Path]:
    # os.path, because in Python 3.11 Path's methods raise on a name that is too long or may not be looked up.
    if os.path.isfile(name):
        return [Path(name)]
    if os.path.exists(name):
        raise DataError(f"{name} is no file", allowed="a CSV or Parquet file, or a pattern", fix=_pattern_for(name))
    if not glob.has_magic(name):
        raise DataError(f"there is no file {name}", fix=_similar_file(Path(name)))
    found = sorted(path for path in glob.glob(name, recursive=True) if os.path.isfile(path))
    if not found:
        raise DataError(f"no file matches {name}", fix="correct the pattern, or give the path of a file")
    return [Path(path) for path in found]


def _pattern_for(folder: str) -> str | None:
    return f"all in it: '{folder.rstrip('/')}/*.csv'" if os.path.isdir(folder) else None


def _similar_file(path: Path) -> str:
    names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = nearest(path.name, names)
    return f"did you mean {path.parent / near}?" if near else "give the path of a CSV or Parquet file"
