"""A text file in pieces of whole rows, and a refusal of a quotation mark behind which rows would vanish.

Between two quotation marks a line end is part of a cell. A mark that was meant as one (12" pipe) so swallows all rows
up to the next one, and nothing else would say so.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from toolkit.data.config import DataConfig
from toolkit.errors import DataError

PIECE_BYTES = 1 << 22
LONGEST_ROW = 1 << 26


def check_quotes_of_file(path: Path, config: DataConfig) -> None:
    """`check_quotes` of all rows of a text file; between blanks, and in lines of one channel each, there are none.

    Raises:
        DataError: as `check_quotes`.
    """
    if config.separator == " " or config.transposed:
        return
    row = 1 if config.column_names else 0  # row 0 is the header
    with path.open("rb") as content:
        head = content.read(1 << 16)
        if head.startswith(b"PAR1") or b"\0" in head:  # what holds zeros is no text, as its reader will say
            return
        content.seek(0)
        for text in whole_rows(content, path.name, PIECE_BYTES, LONGEST_ROW):
            check_quotes(text, path.name, config.separator, row)
            row += row_count(text)


def check_quotes(text: bytes, file_name: str, separator: str, first_row: int) -> None:
    """Refuses whole rows in which a line end stands in quotes that do not enclose a cell.

    Args:
        text: whole rows.
        file_name: for the message.
        separator: of cells.
        first_row: the number of the first row here.

    Raises:
        DataError: with the row in which the quotation mark stands.
    """
    if b'"' not in text:
        return
    marks = np.frombuffer(text, np.uint8)
    quotes, lines = (np.flatnonzero(marks == ord(mark)) for mark in '"\n')
    opened, closed = quotes[::2], quotes[1::2]
    if closed.size < opened.size:
        closed = np.append(closed, marks.size)  # without an end
    edges = np.frombuffer(f'{separator}\r\n"'.encode(), np.uint8)
    around = np.concatenate([[ord("\n")], marks, np.frombuffer(b"\n\0", np.uint8)])  # a mark's neighbours; \0: no end
    encloses = np.isin(around[opened], edges) & np.isin(around[closed + 2], edges)
    swallows = np.searchsorted(lines, closed) > np.searchsorted(lines, opened)
    unclosed = closed == marks.size
    if (wrong := unclosed | (swallows & ~encloses)).any():
        row = first_row + row_count(text[: opened[int(wrong.argmax())]] + b"x") - 1
        raise DataError(
            f"{file_name}: a quotation mark that encloses no cell",
            got=f"one in row {row} behind which rows would vanish",
            fix='remove it, or put its cell in quotes and write it twice there: "12"" pipe"',
        )


def whole_rows(content: BinaryIO, file_name: str, size: int, longest: int, *, quoted: bool = True) -> Iterator[bytes]:
    """Text cut behind an end of line that stands in no quotes.

    Args:
        content: the rest of a file.
        file_name: for messages.
        size: bytes that are read at a time.
        longest: bytes that a row may have.
        quoted: whether quotation marks enclose cells.

    Raises:
        DataError: a row is longer.
    """
    rest = b""
    while more := content.read(size):
        rest += more
        cut = _last_row_end(rest, quoted=quoted)
        if cut:
            yield rest[:cut]
            rest = rest[cut:]
        elif len(rest) > longest:
            fix = "close the quotes that are open, or end its rows with line feeds"
            raise DataError(f"{file_name}: a row has no end", got=f"more than {longest >> 20} MB", fix=fix)
    if rest:
        yield rest


def row_count(text: bytes, *, quoted: bool = True) -> int:
    """Rows of text that begins with one; the last one may lack its end."""
    ends = _row_ends(text).size if quoted and b'"' in text else text.count(b"\n")
    return ends + (not text.endswith(b"\n"))


def _last_row_end(text: bytes, *, quoted: bool) -> int:
    """The place behind the last row that is whole, or 0."""
    if not quoted or b'"' not in text:
        return text.rfind(b"\n") + 1
    ends = _row_ends(text)
    return int(ends[-1]) + 1 if ends.size else 0


def _row_ends(text: bytes) -> NDArray[np.int64]:
    """Where line feeds stand that are in no quotes."""
    marks = np.frombuffer(text, np.uint8)
    quoted = np.cumsum(marks == ord('"')) % 2 == 1
    return np.flatnonzero((marks == ord("\n")) & ~quoted)
