"""Where a command may write a file that it was asked for: a stray one breaks a bundle, another one a run."""

import json
import os
from pathlib import Path
from typing import Any

from toolkit import atomic_files
from toolkit.errors import OutputError

MOST_BYTES = 1 << 24


def check_output(path: Path) -> None:
    """Refuses, before any work is done, a file that cannot be written, or that would spoil what lies beside it.

    A bundle is refused by every reader once it holds a file that its manifest does not list, and a run once one of its
    files is another.

    Raises:
        OutputError: with the place.
    """
    atomic_files.check_file_place(path)
    for marker, schema in atomic_files.SCHEMAS.items():
        found = _marked(path.parent / marker, schema)
        if found is None:
            continue
        if marker == "manifest.json":
            got = "a place within a bundle, which holds what its manifest lists and nothing else"
            raise OutputError(f"cannot write {path}", got=got, fix="name a place outside of it")
        if path.name == marker or path.name in found:
            raise OutputError(f"cannot write {path}", got="a file that the run there wrote", fix="name another")


def _marked(marker: Path, schema: str) -> "dict[str, Any] | None":
    """The files that a folder's marker lists; None where it is no folder of the toolkit's."""
    try:
        if not marker.is_file() or os.path.getsize(marker) > MOST_BYTES:
            return None
        found = json.loads(marker.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not str(found.get("schema")).startswith(schema):
        return None
    files = found.get("files")
    return files if isinstance(files, dict) else {}
