"""One file in pieces of whole rows, each of which `toolkit.data.file_parts.read_part` reads as a file of its own."""

import dataclasses
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from toolkit.data.config import DataConfig
from toolkit.data.text_files import LONGEST_HEADER, OpenFile, collected, text_rows
from toolkit.errors import DataError

TEXT_BYTES = 1 << 22
"""Of a text file at a time: some ten thousand rows, enough for polars to be quick."""
PARQUET_NUMBERS = 1 << 21
"""Of a Parquet file at a time; a row group is decoded again for each piece that lies in it, so not too few."""
LEAST_ROWS = 1024
LONGEST_ROW = 1 << 26
NOTHING = b"\r\n \t,;|"
"""A piece of these alone holds empty rows."""


@dataclass(frozen=True)
class FilePiece:
    """Some rows of a file.

    Attributes:
        file: these rows as a file of its own.
        rows: how many there are.
        empty: whether nothing stands in any of them.
        end: how much of the file lies before the end of this piece, from 0 to 1.
    """

    file: OpenFile
    rows: int
    empty: bool
    end: float


def pieces_of(file: OpenFile, columns: int, config: DataConfig) -> Iterator[FilePiece]:
    """The rows of a file in their order; the pieces of a file are the same every time.

    Raises:
        DataError: it is not a table.
    """
    with file.path.open("rb") as content:
        is_parquet = content.read(4) == b"PAR1"
    yield from _parquet_pieces(file, columns, config) if is_parquet else _text_pieces(file, config)


def _parquet_pieces(file: OpenFile, columns: int, config: DataConfig) -> Iterator[FilePiece]:
    total = int(collected(file, file.rows.select(pl.len()), config).item())
    size = max(LEAST_ROWS, PARQUET_NUMBERS // (columns + 2))
    for first in range(0, total, size):
        rows = min(size, total - first)
        piece = dataclasses.replace(file, rows=file.rows.slice(first, rows), first_row=first)
        yield FilePiece(piece, rows, empty=False, end=(first + rows) / total)


def _text_pieces(file: OpenFile, config: DataConfig) -> Iterator[FilePiece]:
    total = max(file.path.stat().st_size, 1)
    with file.path.open("rb") as content:
        if not config.column_names:
            content.readline(LONGEST_HEADER)
        first = 0
        for text in _whole_rows(content, file.path.name):
            piece = text.removeprefix(b"\xef\xbb\xbf") if first == 0 else text
            rows = _row_count(piece)
            opened = dataclasses.replace(file, rows=text_rows(io.BytesIO(piece), file, config), first_row=first)
            yield FilePiece(opened, rows, not piece.strip(NOTHING), content.tell() / total)
            first += rows


def _whole_rows(content: io.BufferedReader, file_name: str) -> Iterator[bytes]:
    """Text cut behind an end of line that stands in no quotes."""
    rest = b""
    while more := content.read(TEXT_BYTES):
        rest += more
        cut = _last_row_end(rest)
        if cut:
            yield rest[:cut]
            rest = rest[cut:]
        elif len(rest) > LONGEST_ROW:
            fix = "close the quotes that are open, or end its rows with line feeds"
            raise DataError(f"{file_name}: a row has no end", got=f"more than {LONGEST_ROW >> 20} MB", fix=fix)
    if rest:
        yield rest


def _last_row_end(text: bytes) -> int:
    """The place behind the last row that is whole, or 0."""
    if b'"' not in text:
        return text.rfind(b"\n") + 1
    ends = _row_ends(text)
    return int(ends[-1]) + 1 if ends.size else 0


def _row_count(text: bytes) -> int:
    """Rows of text that begins with one; the last one may lack its end."""
    ends = text.count(b"\n") if b'"' not in text else _row_ends(text).size
    return ends + (not text.endswith(b"\n"))


def _row_ends(text: bytes) -> NDArray[np.int64]:
    """Where line feeds stand that are in no quotes."""
    marks = np.frombuffer(text, np.uint8)
    quoted = np.cumsum(marks == ord('"')) % 2 == 1
    return np.flatnonzero((marks == ord("\n")) & ~quoted)
