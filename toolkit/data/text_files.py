"""Opens a text or Parquet file as a lazy table of named columns, and refuses what is none."""

import contextlib
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from toolkit.data.config import DataConfig
from toolkit.errors import DataError

NULL_WORDS = ["", "NA", "N/A", "n/a", "null", "NULL", "None", "-", "#N/A", "#VALUE!", "#DIV/0!", "#REF!", "#NUM!"]
"""What stands for no reading; the last ones are what a spreadsheet writes where a formula failed."""
LONGEST_HEADER = 1 << 20
SEPARATOR_WORDS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}
NO_MARK = "\x01"
"""Stands in no text file: with it as separator, a line is one cell."""


@dataclass(frozen=True)
class OpenFile:
    """A file of which nothing but the first line has been read.

    Attributes:
        path: where it is.
        rows: its columns under their names, as text or as Parquet's types.
        names: of its columns.
        unnamed: columns behind the last name, which must be empty.
        first_row: rows of the file before the first one here, for messages about a piece of it.
    """

    path: Path
    rows: pl.LazyFrame
    names: tuple[str, ...]
    unnamed: tuple[str, ...] = ()
    first_row: int = 0


def open_file(path: Path, config: DataConfig) -> OpenFile:
    """Opens a file in the form that the settings describe.

    Raises:
        DataError: empty, binary, separated otherwise than said, or with a header that names a column twice.
    """
    try:
        with path.open("rb") as file:
            head = file.readline(LONGEST_HEADER)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not head:
        raise DataError(f"{path.name} is empty", allowed="a CSV or Parquet file with a header")
    if head.startswith(b"PAR1"):
        if config.column_names:
            fix = "leave it out: Parquet names its columns itself"
            raise DataError(f"{path.name}: data.column_names is for text files", fix=fix)
        rows = pl.scan_parquet(path, glob=False)
        return OpenFile(path, rows, tuple(collected_names(path, rows)))
    if config.transposed:
        return _open_transposed(path, config)
    return _open_text(path, _first_line(path.name, head), config)


def collected(file: OpenFile, plan: pl.LazyFrame, config: DataConfig) -> pl.DataFrame:
    """Runs a plan on a file in pieces, so that its text is never held whole.

    Raises:
        DataError: it is not a table.
    """
    try:
        return plan.collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        if isinstance(error, pl.exceptions.ComputeError) and config.separator != " ":
            _check_no_row_is_longer(file, config)
        raise _no_table(file.path, error) from error
    except OSError as error:
        raise _unreadable(file.path, error) from error


def collected_names(path: Path, rows: pl.LazyFrame) -> list[str]:
    """The names of a plan's columns.

    Raises:
        DataError: it is not a table.
    """
    try:
        return rows.collect_schema().names()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _no_table(path, error) from error


def _open_text(path: Path, line: str, config: DataConfig) -> OpenFile:
    cells = _cells(line, config.separator)
    names = list(config.column_names) or _header(path, cells, config)
    unnamed = [f"\x00unnamed {place}" for place in range(len(names), len(cells))]
    if config.column_names and len(cells) != len(names):
        raise DataError(
            f"{path.name}: data.column_names do not fit",
            got=f"{len(names)} names, {len(cells)} cells in row 1",
            allowed="one name for each column",
        )
    if config.separator == " ":
        rows = _scan_blanks(path, names, skip_first=not config.column_names)
        return OpenFile(path, rows, tuple(names))
    # Everything as text first: a type guessed from the head of a file fails deep inside it, without a place.
    rows = pl.scan_csv(
        path,
        infer_schema=False,
        null_values=NULL_WORDS,
        separator=config.separator,
        has_header=not config.column_names,
        glob=False,
    )
    scanned = collected_names(path, rows)
    named = dict(zip(scanned, (*names, *unnamed), strict=False))
    return OpenFile(path, rows.rename(named), tuple(names), tuple(unnamed[: len(scanned) - len(names)]))


def text_rows(text: io.BytesIO, file: OpenFile, config: DataConfig) -> pl.LazyFrame:
    """Some whole rows of an open text file, under its columns' names; they hold no header."""
    if config.separator == " ":
        return _scan_blanks(text, file.names, skip_first=False)
    # A header of its own: polars counts columns by the first line, and a row may lack its last cells.
    names = [*file.names, *file.unnamed]
    plain = [f"c{place}" for place in range(len(names))]
    rows = pl.scan_csv(
        io.BytesIO(config.separator.join(plain).encode() + b"\n" + text.getbuffer()),
        schema=dict.fromkeys(plain, pl.String),
        null_values=NULL_WORDS,
        separator=config.separator,
    )
    return rows.rename(dict(zip(plain, names, strict=True)))


def _scan_blanks(text: Path | io.BytesIO, names: Sequence[str], *, skip_first: bool) -> pl.LazyFrame:
    """Cells between runs of blanks: each line is read as one cell and split in the plan."""
    lines = pl.scan_csv(
        text, has_header=False, infer_schema=False, separator=NO_MARK, quote_char=None, glob=False,
        skip_rows=int(skip_first),
    )  # fmt: skip
    line = collected_names(text if isinstance(text, Path) else Path("the table"), lines)[0]
    cells = pl.col(line).str.strip_chars().str.replace_all(r"\s+", " ").str.split_exact(" ", len(names))
    rows = lines.drop_nulls().select(cells.struct.rename_fields([*names, MORE])).unnest(line)
    return rows.with_columns(pl.when(pl.col(name).is_in(NULL_WORDS).not_()).then(pl.col(name)) for name in names)


MORE = "\x00more"
"""The column of what stands behind the last cell of a line of blanks."""


def _open_transposed(path: Path, config: DataConfig) -> OpenFile:
    """One line for each channel: this form alone is held as text, because its columns stand in lines."""
    lines = list(_lines(path, config.separator))
    if len(lines) != len(config.column_names):
        raise DataError(
            f"{path.name}: data.column_names do not fit",
            got=f"{len(config.column_names)} names, {len(lines)} rows",
            allowed="one name for each row of a transposed file",
        )
    for place, cells in enumerate(lines):
        if len(cells) != len(lines[0]):
            raise DataError(
                f"{path.name}: rows of unequal length",
                got=f"{len(cells)} cells in row {place + 1}, {len(lines[0])} in row 1",
                allowed="one cell for each moment",
            )
    columns = [
        pl.Series(name, [None if cell.strip() in NULL_WORDS else cell for cell in cells], pl.String)
        for name, cells in zip(config.column_names, lines, strict=True)
    ]
    return OpenFile(path, pl.DataFrame(columns).lazy(), config.column_names)


def _lines(path: Path, separator: str) -> Iterator[list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if separator == " ":
                yield from filter(None, map(str.split, file))
            else:
                yield from filter(None, csv.reader(file, delimiter=separator))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _no_table(path, error) from error


def _first_line(file_name: str, head: bytes) -> str:
    """A text file's first line; polars would make names of any bytes."""
    try:
        line = head.decode("utf-8-sig")
    except UnicodeDecodeError:
        line = "\0"
    if "\0" in line:
        raise DataError(f"{file_name} is not a table", got="binary content", allowed="CSV (UTF-8) or Parquet")
    line = line.strip("\r\n ")
    if "\r" in line:
        raise DataError(f"{file_name}: its lines end in carriage returns alone", fix="end them with line feeds")
    return line


def _cells(line: str, separator: str) -> list[str]:
    if separator == " ":
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]


def _header(path: Path, cells: Sequence[str], config: DataConfig) -> list[str]:
    """The names in the first line, less those that are empty at its end; polars would rename one that stands twice."""
    names = list(cells)
    while len(names) > 1 and not names[-1]:
        names.pop()
    found = next((mark for mark in (",", ";", "\t", "|", " ") if mark in names[0]), None) if len(names) == 1 else None
    if found and found != config.separator and (found != " " or config.timestamps):
        raise DataError(
            f"{path.name}: its columns are not separated by {SEPARATOR_WORDS[config.separator]}",
            got=repr(names[0][:40]),
            fix=f"{setting_of_separator(found)}, and --set data.decimal=, for decimal commas; "
            f"'lstm-edge init {path}' finds the settings",
        )
    if repeated := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{path.name} has two columns of one name", got=repr(repeated[0]), fix="rename one of them")
    return names


def setting_of_separator(separator: str) -> str:
    """The option that says how a file's cells are separated, as it is typed into a shell."""
    if separator in "\t |":
        return f"""--set 'data.separator="{separator if separator != chr(9) else chr(92) + "t"}"'"""
    return f'--set data.separator="{separator}"'


def _check_no_row_is_longer(file: OpenFile, config: DataConfig) -> None:
    width = len(file.names) + len(file.unnamed)
    first = 1 if config.column_names else 0  # row 0 is the header
    with file.path.open(encoding="utf-8", errors="replace", newline="") as text, contextlib.suppress(csv.Error):
        for row, cells in enumerate(csv.reader(text, delimiter=config.separator), first):
            if len(cells) > width:
                raise longer_row(file.path.name, f"{len(cells)} cells in row {row}", width)


def longer_row(file_name: str, got: str, width: int) -> DataError:
    """A row with more cells than there are columns."""
    return DataError(
        f"{file_name}: a row is longer than the header",
        got=got,
        allowed=f"{width}, one for each column",
        fix="correct it; a cell that holds the separator must stand in quotes",
    )


def looks_like_no_header(names: Sequence[str]) -> bool:
    """Whether what was taken for names are readings."""
    return all(re.fullmatch(r"[-+]?[0-9.,]+([eE][-+]?[0-9]+)?", name) for name in names if name)


def _no_table(path: Path, error: Exception) -> DataError:
    text = str(error).strip()
    got = text.splitlines()[0][:120] if text else type(error).__name__
    return DataError(f"{path.name} is not a table", got=got, allowed="CSV (UTF-8) or Parquet")


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"cannot read {path}", got=error.strerror or str(error))
