"""Docstrings as they are written here, as Sphinx reads them.

Code stands between single marks, which Sphinx reads as emphasis; a drawing stands indented, which it reads as a
quotation.
"""

import re
from typing import Any

_CODE = re.compile(r"(?<![`:\w\\])`([^`\n]+)`(?![`_])(\w?)")
_BEFORE_NAPOLEON = 400


def as_read_by_sphinx(lines: list[str]) -> list[str]:
    """The lines with their code between double marks, and two colons before what is indented.

    Args:
        lines: of a docstring in Google's style.
    """
    found: list[str] = []
    drawn = False
    for line in lines:
        indented = line.startswith("    ")
        if indented and not drawn and len(found) > 1 and not found[-1] and not _is_title(found):
            found += ["::", ""]
            drawn = True
        elif line and not indented:
            drawn = False
        found.append(line if drawn else doubled(line))
    return found


def doubled(line: str) -> str:
    """The line with its code between double marks; text that follows at once is kept apart by an escaped blank."""
    return _CODE.sub(lambda found: f"``{found[1]}``" + (f"\\ {found[2]}" if found[2] else ""), line)


def _is_title(before: list[str]) -> bool:
    """Whether the section that the last line with text belongs to has entries, or goes on after a blank line."""
    last = next((line for line in reversed(before) if line), "")
    return last.startswith(" ") or last.endswith(":")


def _rewrite(*of_sphinx: Any) -> None:
    lines: list[str] = of_sphinx[-1]
    lines[:] = as_read_by_sphinx(lines)


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _rewrite, priority=_BEFORE_NAPOLEON)
    return {"parallel_read_safe": True}
