"""One file in pieces of whole rows, each of which `toolkit.data.file_parts.read_part` reads as a file of its own."""

import dataclasses
import io
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from toolkit.data.config import DataConfig
from toolkit.data.text_files import LONGEST_HEADER, OpenFile, collected, text_rows
from toolkit.data.text_pieces import LONGEST_ROW, check_quotes, row_count, whole_rows

TEXT_BYTES = 1 << 22
"""Of a text file at a time: some ten thousand rows, enough for polars to be quick."""
PARQUET_NUMBERS = 1 << 21
"""Of a Parquet file at a time; a row group is decoded again for each piece that lies in it, so not too few."""
LEAST_ROWS = 1024
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
        quoted = config.separator != " "
        for text in whole_rows(content, file.path.name, TEXT_BYTES, LONGEST_ROW, quoted=quoted):
            piece = text.removeprefix(b"\xef\xbb\xbf") if first == 0 else text
            if quoted:
                check_quotes(piece, file.path.name, config.separator, first + 1)
            rows = row_count(piece, quoted=quoted)
            opened = dataclasses.replace(file, rows=text_rows(io.BytesIO(piece), file, config), first_row=first)
            yield FilePiece(opened, rows, not piece.strip(NOTHING), content.tell() / total)
            first += rows
