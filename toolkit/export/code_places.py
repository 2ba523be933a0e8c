"""Where in somebody's own code something happened: the file and line that they can mend."""

import os
import re
import sysconfig
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

import toolkit

_NOT_THEIRS = tuple(str(Path(str(package.__file__)).parent) + os.sep for package in (torch, toolkit))
_INSTALLED = tuple({sysconfig.get_path(name) + os.sep for name in ("purelib", "platlib", "stdlib")})
_FRAME = re.compile(r'File "(?P<file>[^"\n]+)", line (?P<line>\d+), in [^\n]*(?:\n +(?P<code>[^\n]+))?')


@dataclass(frozen=True)
class Place:
    """A line of somebody's code.

    Attributes:
        file: as Python knows it.
        line: counted from 1.
        code: what stands there, or empty.
    """

    file: str
    line: int
    code: str = ""

    def __str__(self) -> str:
        """`nets.py:12`, seen from the working directory."""
        path = Path(self.file)
        return f"{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}:{self.line}"


def place_of_error(error: BaseException) -> Place | None:
    """The innermost line of somebody's own code through which an exception came."""
    frames = traceback.extract_tb(error.__traceback__)
    return _innermost(Place(frame.filename, frame.lineno or 0, (frame.line or "").strip()) for frame in frames)


def place_in_stack(text: str) -> Place | None:
    """The same of a stack in words, which torch keeps for each node that it traces."""
    found = _FRAME.finditer(text)
    return _innermost(Place(m["file"], int(m["line"]), (m["code"] or "").strip()) for m in found)


def at(place: Place | None) -> str:
    """` at nets.py:12 (y[mask] = 0)` for the middle of a sentence, or nothing."""
    if place is None:
        return ""
    return f" at {place}" + (f" ({place.code[:80]})" if place.code else "")


def _innermost(places: Iterable[Place]) -> Place | None:
    """What is installed is theirs only where nothing else is: a library called with the wrong thing."""
    theirs = [place for place in places if not place.file.startswith((*_NOT_THEIRS, "<"))]
    own = [place for place in theirs if not place.file.startswith(_INSTALLED)]
    return next(iter((own or theirs)[-1:]), None)
