"""The sample of all files as one frame, checked to be of one form, and the settings that describe that form."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from toolkit.data.file_lists import file_assets, listed_files
from toolkit.errors import DataError
from toolkit.guessing.config_text import Setting
from toolkit.guessing.text import SAMPLE_ROWS, FileSample, sample_file

MOST_FILES = 60


@dataclass(frozen=True)
class Request:
    """What the user has said already; the rest is guessed.

    Attributes:
        files: paths and patterns as typed.
        timestamp: the time column, or a date's and a time of day's.
        timestamp_format: how they are written.
        asset: the column that tells machines apart.
        targets: the channels to forecast.
        exclude: columns to leave out.
        window: samples of input.
        horizon: samples of forecast.
        interval_s: seconds between rows.
    """

    files: tuple[str, ...]
    timestamp: tuple[str, ...] = ()
    timestamp_format: str | None = None
    asset: str | None = None
    targets: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    window: int | None = None
    horizon: int | None = None
    interval_s: float | None = None


@dataclass(frozen=True)
class SampleSource:
    """What was read of all files.

    Attributes:
        given: as they were typed.
        form: of the first file; of all of them, in what the settings say.
        frame: the rows of all of them.
        tail: the last rows of those that were not read whole.
        file_codes: for each row the number of its file, int64 `[rows]`.
        files: how many there are.
        rows: of all files, about.
        whole: whether `frame` holds every row of every file.
    """

    given: tuple[str, ...]
    form: FileSample
    frame: pl.DataFrame
    tail: pl.DataFrame
    file_codes: NDArray[np.int64]
    files: int
    rows: int
    whole: bool


def read_source(given: Sequence[str]) -> SampleSource:
    """Reads a sample of the files.

    Raises:
        DataError: a file that is missing or no table, or files that differ in their form.
    """
    paths = listed_files(list(given))
    read = paths[:MOST_FILES]
    samples = [sample_file(path, max(SAMPLE_ROWS // len(read), 2000)) for path in read]
    for path, sample in zip(read[1:], samples[1:], strict=True):
        _check_alike(read[0], samples[0], path, sample)
    if len(paths) > 1:
        file_assets(paths)  # refuses files that would share a name
    frames = [sample.frame for sample in samples]
    return SampleSource(
        tuple(given),
        samples[0],
        pl.concat(frames, how="vertical_relaxed"),
        pl.concat([sample.tail for sample in samples if sample.tail.height] or [pl.DataFrame()]),
        np.repeat(np.arange(len(frames)), [frame.height for frame in frames]),
        len(paths),
        sum(sample.rows for sample in samples) * len(paths) // len(read),
        all(sample.whole for sample in samples) and len(read) == len(paths),
    )


def _check_alike(first: Path, form: FileSample, path: Path, sample: FileSample) -> None:
    for what in ("parquet", "separator", "header", "transposed"):
        if getattr(form, what) != getattr(sample, what):
            got = f"{what} {getattr(sample, what)!r}, in {first.name} {getattr(form, what)!r}"
            raise DataError(f"{path.name} is of another form than {first.name}", got=got, fix="give files of one form")
    if form.frame.columns != sample.frame.columns:
        differing = sorted(set(form.frame.columns) ^ set(sample.frame.columns)) or ["another order"]
        got = (
            f"{differing[0]!r} in only one of them"
            if len(differing) > 1 or differing[0] != "another order"
            else "another order"
        )
        raise DataError(f"{path.name} has other columns than {first.name}", got=got, fix="give files of one form")


def decimal_of(source: SampleSource) -> str:
    """The decimal mark to read the sample by, whether it is certain or not."""
    return source.form.decimal or source.form.decimal_seen


def form_settings(source: SampleSource) -> tuple[Setting, ...]:
    """How the files are to be opened."""
    files = source.given[0] if len(source.given) == 1 else source.given
    count = f"{source.files} files" if source.files > 1 else "one file"
    read = "all of them read" if source.whole else f"about; a sample of {source.frame.height} was read"
    settings = [Setting("file", files, f"{count}, {source.rows} rows, {read}")]
    if source.form.parquet:
        return tuple(settings)
    width = source.frame.width
    settings.append(
        Setting(
            "separator", source.form.separator, f"cuts every line into the same number of cells, {width} of them used"
        )
    )
    settings.append(_decimal_setting(source.form))
    if not source.form.header:
        reason = "the first line holds readings and no names; rename them as you like"
        settings.append(Setting("column_names", tuple(source.frame.columns), reason))
    if source.form.transposed:
        reason = f"numbers are alike along a line and not along a column: each of the {width} lines is a channel"
        settings.append(Setting("transposed", True, reason))
    return tuple(settings)


def _decimal_setting(form: FileSample) -> Setting:
    if form.decimal is not None:
        seen = "stands in numbers, and not as a thousands mark" if form.decimal_seen else "no number has decimals"
        return Setting("decimal", form.decimal, seen)
    mark = form.decimal_seen
    reason = (
        f"every {mark!r} stands before exactly three digits: 1{mark}234 may be one and a bit, or one thousand two "
        f"hundred and thirty-four"
    )
    if mark == ".":
        return Setting(
            "decimal",
            None,
            f"{reason}. Read as a decimal point; if it is a thousands mark, take it out of the file",
            (".",),
        )
    return Setting(
        "decimal", None, f"{reason}. If it is a thousands mark, take it out of the file", (",",), needed=True
    )
