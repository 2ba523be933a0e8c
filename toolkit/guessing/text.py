"""A bounded sample of a data file whose form nobody has stated: separator, header, decimal mark, which way it lies.

Only the head and the tail of a file are read, so that a file of any size is answered for in a second. What cannot be
a table of readings is refused here in one line, before a configuration is written that could not train.
"""

import csv
import os
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from toolkit.data.text_files import NULL_WORDS
from toolkit.errors import DataError

SAMPLE_BYTES = 4 << 20
SAMPLE_ROWS = 20_000
TAIL_BYTES = 1 << 16
EMPTY_WORDS = frozenset({*NULL_WORDS, "nan", "NaN", "NAN"})
NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)*|[.,]\d+)([eE][+-]?\d+)?")
TIME_NAME = re.compile(r"time|date|zeit|datum|uhr|stamp|^ts$|^t$|fecha|heure", re.IGNORECASE)
"""What a time column is usually called, in the languages that control rooms write."""

_DECIMAL_SURE = (
    r"[+-]?(\d*{mark}(\d{{1,2}}|\d{{4,}})|0*{mark}\d+|\d{{4,}}{mark}\d+)([eE][+-]?\d+)?|[+-]?\d*{mark}\d+[eE][+-]?\d+"
)
_MAYBE = r"[+-]?[1-9]\d{{0,2}}{mark}\d{{3}}"
_THOUSANDS = r"[+-]?[1-9]\d{{0,2}}({mark}\d{{3}}){{2,}}|[+-]?[1-9]\d{{0,2}}({mark}\d{{3}})+{other}\d+"
_MAGIC = {
    b"PK": "a ZIP archive or Excel workbook",
    b"\x1f\x8b": "a gzip archive",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
_STRANGE_KINDS = (pl.Binary, pl.Object, pl.Duration, pl.Time)
Rows = list[list[str]]


@dataclass(frozen=True)
class FileSample:
    """The head of one file, as columns.

    Attributes:
        frame: text as it stands, null where a cell is empty; a Parquet file's own types.
        tail: the file's last rows in the same columns, empty where `frame` holds the whole file.
        rows: of the whole file, about, where `frame` is not all of it.
        whole: whether `frame` is the whole file.
        parquet: whether it is a Parquet file.
        separator: between cells.
        header: whether the first line holds names.
        transposed: whether each line is a channel.
        decimal: "." or ",", or None where nothing in the file tells a decimal mark from a thousands mark.
        decimal_seen: the mark that stands in the numbers, "" where none does.
    """

    frame: pl.DataFrame
    rows: int
    whole: bool
    tail: pl.DataFrame = field(default_factory=pl.DataFrame)
    parquet: bool = False
    separator: str = ","
    header: bool = True
    transposed: bool = False
    decimal: str | None = "."
    decimal_seen: str = ""


def sample_file(path: Path, max_rows: int = SAMPLE_ROWS) -> FileSample:
    """Reads the head of a file and finds its form.

    Raises:
        DataError: no table, no numbers, a single column, or numbers with thousands marks.
    """
    try:
        with path.open("rb") as file:
            head = file.read(SAMPLE_BYTES)
        if head.startswith(b"PAR1"):
            return _sample_parquet(path, max_rows)
        return _sample_text(path, head, max_rows)
    except OSError as error:
        raise DataError(f"cannot read {path}", got=error.strerror or str(error)) from error
    except (pl.exceptions.PolarsError, csv.Error) as error:
        got = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise DataError(f"{path.name} is not a table", got=got, allowed="CSV (UTF-8) or Parquet") from error


def _sample_parquet(path: Path, max_rows: int) -> FileSample:
    lazy = pl.scan_parquet(path)
    rows = int(lazy.select(pl.len()).collect().item())
    frame = lazy.head(max_rows).collect()
    strange = [name for name, kind in frame.schema.items() if kind.is_nested() or kind in _STRANGE_KINDS]
    frame = frame.with_columns(pl.lit(str(frame.schema[name])).alias(name) for name in strange)  # left out like text
    if frame.is_empty() or frame.width < 2:
        got = f"{frame.width} columns of {rows} rows"
        raise DataError(f"{path.name} holds no table of readings", got=got, allowed="a time column and channels")
    return FileSample(frame, rows, whole=rows <= max_rows, parquet=True)


def _sample_text(path: Path, head: bytes, max_rows: int) -> FileSample:
    lines, read = _lines(path, head, max_rows + 1)
    separator = _separator(path.name, lines[:200])
    rows = split_lines(lines, separator)
    header = _has_header(path.name, rows)
    transposed = not header and _lies_on_its_side(rows)
    size = path.stat().st_size
    whole = read >= size
    sample = FileSample(
        _columns(path.name, rows, header=header, transposed=transposed),
        len(rows) - header if whole else round(len(rows) * size / max(read, 1)),
        whole,
        separator=separator,
        header=header,
        transposed=transposed,
    )
    if transposed:
        sample = replace(sample, rows=sample.frame.height)
    elif not whole:
        sample = replace(sample, tail=_tail(path, separator, sample.frame.columns))
    decimal, seen = _decimal(path.name, sample.frame)
    if decimal is None and separator == "," and seen == ".":  # who writes decimal commas separates cells otherwise
        decimal = "."
    return replace(sample, decimal=decimal, decimal_seen=seen)


def _lines(path: Path, head: bytes, count: int) -> tuple[list[str], int]:
    """The first non-empty lines, and how many bytes they take."""
    if not head.strip():
        raise DataError(f"{path.name} is empty", allowed="a CSV or Parquet file with readings in it")
    kind = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    if kind or b"\0" in head:
        raise DataError(
            f"{path.name} is not a table", got=kind or "binary content", fix="save it as CSV (UTF-8) or Parquet"
        )
    if len(head) == SAMPLE_BYTES:
        head = head[: head.rfind(b"\n") + 1]  # the last line is cut
    if not head:
        raise DataError(f"{path.name} has a line of more than {SAMPLE_BYTES >> 20} MB", fix="give one row per line")
    pieces = head.splitlines(keepends=True)[:count]
    read = sum(map(len, pieces))
    try:
        text = b"".join(pieces).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name} is not UTF-8 text", got=f"the byte {head[error.start]:#04x}", fix="save it as CSV (UTF-8)"
        ) from error
    return [line for line in _line_ends(text) if line.strip()], read


def _line_ends(text: str) -> list[str]:
    """Not `str.splitlines`, which also ends a line at marks that may stand within a cell."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def split_lines(lines: list[str], separator: str) -> Rows:
    """Cells without the blanks around them; several blanks in a row separate once."""
    if separator == " ":
        return [line.split() for line in lines]
    return [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]


def _separator(file_name: str, lines: list[str]) -> str:
    """The first mark that cuts nearly every line into the same number of cells, two or more.

    The rare marks come first: a comma may be a decimal comma, and a blank may stand inside a time.
    """
    for mark in ("\t", ";", "|", ",", " "):
        rows = split_lines(lines, mark)
        width, count = Counter(map(len, rows)).most_common(1)[0]
        if width >= 2 and count >= 0.95 * len(rows) and not (mark == "," and _cells_hold_several(rows[1:])):
            return mark
    single = all(NUMBER.fullmatch(line.strip()) for line in lines[1:])
    raise DataError(
        f"{file_name} has a single column" if single else f"{file_name} is not a table",
        got=repr(lines[0][:40]),
        allowed="two columns or more, separated by comma, semicolon, tab, bar or blanks",
        fix="give a table of readings" if not single else "add a time column, or another channel",
    )


def _cells_hold_several(rows: Rows) -> bool:
    """Whether a cell holds several numbers with blanks between them, as `1,5 2,5` would."""
    several = [any(len(c.split()) > 1 and all(map(NUMBER.fullmatch, c.split())) for c in row) for row in rows]
    return sum(several) > 0.5 * max(len(several), 1)


def _has_header(file_name: str, rows: Rows) -> bool:
    """The first line holds names where it has text in the columns whose other cells are numbers."""
    body = rows[1:201]
    names, numbers = 0, 0
    for column, first in enumerate(rows[0]):
        cells = [row[column] for row in body if column < len(row) and row[column] not in EMPTY_WORDS]
        is_number = sum(NUMBER.fullmatch(cell) is not None for cell in cells) > 0.5 * len(cells)
        if cells and is_number and first not in EMPTY_WORDS:
            numbers += NUMBER.fullmatch(first) is not None
            names += NUMBER.fullmatch(first) is None
    if not body or names + numbers == 0:
        got = repr(" ".join(rows[min(1, len(rows) - 1)])[:40]) if body else "one line"
        raise DataError(f"{file_name} holds no readings", got=got, allowed="rows with numbers in them")
    return names >= numbers


def _lies_on_its_side(rows: Rows) -> bool:
    """Whether each line is a channel: more columns than rows, and numbers alike within rows, not within columns."""
    if len(rows) < 2 or len(rows[0]) <= len(rows) or len({len(row) for row in rows}) > 1:
        return False
    try:
        values = np.array(rows, dtype=np.float64)
    except ValueError:
        return False
    sizes = np.sign(values) * np.log1p(np.abs(values))
    spread = float(sizes.var()) or 1.0
    return float(sizes.mean(axis=1).var()) > 0.8 * spread > 0.4 * spread > float(sizes.mean(axis=0).var())


def _columns(file_name: str, rows: Rows, *, header: bool, transposed: bool) -> pl.DataFrame:
    if transposed:
        rows = [list(column) for column in zip(*rows, strict=True)]
    width = len(rows[0]) if header else max(map(len, rows))
    longer = next((number for number, row in enumerate(rows) if len(row) > width), None)
    if longer is not None:
        raise DataError(
            f"{file_name}: a row is longer than the header",
            got=f"{len(rows[longer])} cells in row {longer}",
            allowed=f"{width}, one for each column",
            fix="correct it; a cell that holds the separator must stand in quotes",
        )
    names = rows[0] if header else [f"c{number + 1}" for number in range(width)]
    return _frame(file_name, names, rows[header:])


def _frame(file_name: str, names: list[str], rows: Rows) -> pl.DataFrame:
    """Text columns; a column without name and cells, as a line's trailing separators make, is left out."""
    columns: dict[str, list[str | None]] = {}
    for place, name in enumerate(names):
        cells = [row[place] if place < len(row) else "" for row in rows]
        column = [None if cell in EMPTY_WORDS else cell for cell in cells]
        if not name and not any(column):
            continue
        if name in columns:
            raise DataError(
                f"{file_name} has two columns of one name", got=repr(name), fix="rename one of them in its first line"
            )
        columns[name] = column
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    return frame.filter(~pl.all_horizontal(pl.all().is_null()))


def _tail(path: Path, separator: str, names: list[str]) -> pl.DataFrame:
    with path.open("rb") as file:
        file.seek(-min(TAIL_BYTES, path.stat().st_size), os.SEEK_END)
        lines = _line_ends(file.read().decode("utf-8", errors="replace"))[1:]  # the first is cut
    rows = [row for row in split_lines([line for line in lines if line.strip()], separator) if len(row) >= len(names)]
    return _frame(path.name, names, [row[: len(names)] for row in rows])


def _decimal(file_name: str, frame: pl.DataFrame) -> tuple[str | None, str]:
    """The decimal mark and the mark that was seen; time columns are left out, whose points are none."""
    cells = [
        cell
        for name in frame.columns
        if not TIME_NAME.search(name)
        for cell in frame[name].drop_nulls().head(500).to_list()
        if NUMBER.fullmatch(cell) and not cell.lstrip("+-").isdigit()
    ]
    sure = {mark: _matches(_DECIMAL_SURE, mark, cells) for mark in ".,"}
    maybe = {mark: _matches(_MAYBE, mark, cells) for mark in ".,"}
    for mark, other in ((".", ","), (",", ".")):
        if found := _matches(_THOUSANDS, mark, cells):
            got, fix = repr(found[0]), f"save it without thousands marks, {other!r} as decimal mark"
            raise DataError(f"{file_name}: numbers with a thousands mark", got=got, fix=fix)
    if sure["."] and sure[","]:
        got = f"{sure['.'][0]!r} and {sure[','][0]!r}"
        raise DataError(f"{file_name}: two decimal marks", got=got, fix="save it with one decimal mark")
    for mark in ".,":
        if sure[mark]:
            return mark, mark
    seen = max(".,", key=lambda mark: len(maybe[mark]))
    return (None, seen) if maybe[seen] else (".", "")


def _matches(pattern: str, mark: str, cells: list[str]) -> list[str]:
    other = "," if mark == "." else "."
    found = re.compile(pattern.format(mark=re.escape(mark), other=re.escape(other)))
    return [cell for cell in cells if found.fullmatch(cell)]
