"""A bundle over a table: read in blocks, answered in bulk, written in parts; at no moment is all of it in memory.

A block is read while the one before it is answered, and a part is written while the next one is.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime
import polars as pl

from toolkit import __version__
from toolkit.contract.manifest import MANIFEST
from toolkit.contract.signals import SignalSpec
from toolkit.data.config import FILE_ASSET
from toolkit.data.file_lists import listed_files, shown_names
from toolkit.data.interval_table import source_config
from toolkit.data.tables import ChannelReading, channel_reading
from toolkit.errors import ConfigError, DataError, RequestError, ScoringInterruptedError
from toolkit.runtime.bundle import Bundle, load_bundle
from toolkit.scoring.answers import Answers, answer_form, signal_of
from toolkit.scoring.finders import finder_of
from toolkit.scoring.forecast_frames import ForecastTable
from toolkit.scoring.origins import Origins, newest
from toolkit.scoring.part_lock import only_writer
from toolkit.scoring.parts import Parts, check_not_read, check_place, file_plan, folder_of
from toolkit.scoring.table_blocks import AssetNames, OpenTable, open_table

PART_WINDOWS = 1 << 14
PART_NUMBERS = 1 << 20
"""A part holds as many windows as make so many numbers, `PART_WINDOWS` at most."""
LEAST_WINDOWS = 64

Item = TypeVar("Item")
OnPart = Callable[[float, int], None]
"""Called with how much of the table is done, from 0 to 1, and how many forecasts there are."""


@dataclass(frozen=True)
class ScoreRequest:
    """What is to be scored, and how.

    Attributes:
        bundle: its folder.
        file: as `data.file`.
        timestamp: as `data.timestamp`.
        out: the table of forecasts, `.csv` or `.parquet`.
        asset: as `data.asset`.
        reading: how the file is read: settings of `[data]` that `toolkit.data.config.READING` names.
        stride: of each unbroken series the first origin and every so many-th after it.
        last: the newest window of each asset alone.
        long: a row for each origin and step.
        cores: sessions that answer at the same time; None means all that this process may use.
        overwrite: replace a table at `out`, or parts of one.
        resume: go on with the parts that an earlier call left.
    """

    bundle: Path
    file: str | tuple[str, ...]
    timestamp: str | tuple[str, ...]
    out: Path
    asset: str | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)
    stride: int = 1
    last: bool = False
    long: bool = False
    cores: int | None = None
    overwrite: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise ConfigError("--stride", got=self.stride, allowed="1 or more")
        if self.last and self.stride != 1:
            raise ConfigError("--stride beside --last", got=self.stride, fix="leave one of them out")


@dataclass(frozen=True)
class ScoreSummary:
    """What was written.

    Attributes:
        out: the table.
        rows: of it.
        resumed: of these, rows that an earlier call had made.
    """

    out: Path
    rows: int
    resumed: int


def score_table(request: ScoreRequest, on_part: OnPart | None = None) -> ScoreSummary:
    """Writes the forecasts of a bundle's windowed graph for every window of a table.

    They stand in the order of the table's rows. Where a gap policy or the features of raw samples put rows on a grid,
    those of one asset stand in the order of time, and each is written when a later row has settled it; a table that is
    held whole (see `open_table`) goes asset by asset.

    Raises:
        BundleError: no bundle, or one without a signal or a windowed graph.
        ConfigError: settings that contradict each other.
        DataError: the table cannot be used, or holds no window; nothing is left behind then.
        OutputError: the place cannot be written.
        ScoringInterruptedError: interrupted, and parts are kept.
    """
    check_place(request.out, overwrite=request.overwrite, resume=request.resume)
    bundle = load_bundle(request.bundle)
    work = _prepared(request, bundle)
    check_not_read(request.out, [file.path for file in work.table.files])
    plan = _plan(request, bundle, work)
    with only_writer(folder_of(request.out)):
        check_place(request.out, overwrite=request.overwrite, resume=request.resume)  # another call may have ended
        return _score(request, work, plan, on_part or (lambda done, forecasts: None))


def _score(request: ScoreRequest, work: "_Work", plan: dict[str, Any], on_part: OnPart) -> ScoreSummary:
    begun = Parts.go_on(request.out, plan, overwrite=request.overwrite) if request.resume else None
    parts = begun or Parts.begin(request.out, plan)
    resumed = parts.made.rows
    try:
        if not parts.is_published:
            _write_parts(work, parts, on_part)
        parts.publish()
    except DataError:
        parts.remove()
        raise
    except KeyboardInterrupt:
        if not parts.made.parts:
            parts.remove()
            raise
        raise ScoringInterruptedError(request.out, parts.made.rows) from None
    except RequestError:
        if not parts.made.parts:
            parts.remove()
        raise
    return ScoreSummary(request.out, parts.made.rows, resumed)


@dataclass(frozen=True)
class _Work:
    """A request that was looked at: what is read, how windows are found, what answers them, what is written."""

    request: ScoreRequest
    bundle: Bundle
    table: OpenTable
    reading: ChannelReading
    signal: SignalSpec
    forecasts: ForecastTable

    @property
    def window(self) -> int:
        return self.bundle.manifest.window_length

    @property
    def part_windows(self) -> int:
        columns = len(self.forecasts.columns) * (self.forecasts.form.horizon if self.request.long else 1)
        return max(LEAST_WINDOWS, min(PART_WINDOWS, PART_NUMBERS // columns))


def _prepared(request: ScoreRequest, bundle: Bundle) -> _Work:
    signal, form = signal_of(bundle), answer_form(bundle)
    reading = channel_reading(request.file, request.timestamp, signal, request.asset, reading=request.reading)
    columns = reading.config if reading.features is None else source_config(reading.config, reading.features)
    table = open_table(listed_files(columns.file), columns)
    asset = "asset" if request.asset == FILE_ASSET else request.asset
    timestamp = " ".join(reading.config.timestamps)
    forecasts = ForecastTable(form, timestamp, asset, table.zoned, request.long)
    return _Work(request, bundle, table, reading, signal, forecasts)


def _plan(request: ScoreRequest, bundle: Bundle, work: _Work) -> dict[str, Any]:
    """All that the parts depend on, as JSON gives it back."""
    options = {
        "timestamp": request.timestamp,
        "asset": request.asset,
        "reading": dict(request.reading),
        "stride": request.stride,
        "last": request.last,
        "long": request.long,
    }
    plan = {
        "bundle": hashlib.sha256((bundle.folder / MANIFEST).read_bytes()).hexdigest(),
        "input": [file_plan(file.path) for file in work.table.files],
        "option": options,
        "version of the toolkit, onnxruntime or polars": [__version__, onnxruntime.__version__, pl.__version__],
    }
    plain: dict[str, Any] = json.loads(json.dumps(plan))
    return plain


def _write_parts(work: _Work, parts: Parts, on_part: OnPart) -> None:
    """The parts that are still missing; those before them are found again and not answered."""
    assets, size = AssetNames(), work.part_windows
    skip = parts.made.parts * size
    pending: list[Origins] = []
    answered: list[np.ndarray[Any, np.dtype[np.float32]]] = []
    waiting, found = 0, 0
    with work.bundle.bulk(cores=work.request.cores) as predictor, _Writer(parts) as writer:
        answers = Answers(work.bundle, work.forecasts.form, predictor)
        for origins, end in _ahead(_origins(work, assets)):
            first = min(max(skip - found, 0), len(origins.starts))
            found += len(origins.starts)
            while first < len(origins.starts):
                piece = origins.part(first, first + size - waiting)
                answered.append(answers.of(piece))
                pending.append(_without_rows(piece))
                first, waiting = first + len(piece.starts), waiting + len(piece.starts)
                if waiting == size:
                    writer.write(_frame(work, pending, answered, assets))
                    pending, answered, waiting = [], [], 0
                    on_part(end, found - len(origins.starts) + first)
        if waiting:
            writer.write(_frame(work, pending, answered, assets))
            on_part(1.0, found)


def _frame(
    work: _Work, pending: list[Origins], answered: list[np.ndarray[Any, np.dtype[np.float32]]], assets: AssetNames
) -> pl.DataFrame:
    times, codes = (np.concatenate([getattr(each, name) for each in pending]) for name in ("times_us", "assets"))
    origins = Origins(pending[0].rows, np.zeros_like(codes), times, codes)
    return work.forecasts.frame(origins, np.concatenate(answered), assets.names)


def _without_rows(origins: Origins) -> Origins:
    """What is written of an origin: a view of its readings would keep a block in memory."""
    return Origins(np.empty((0, 0), np.float32), origins.starts, origins.times_us, origins.assets)


def _origins(work: _Work, assets: AssetNames) -> Iterator[tuple[Origins, float]]:
    """All windows that are asked for, and how much of the table was read for them."""
    if not work.request.last:
        yield from _all_origins(work, assets)
        return
    for each in newest((origins for origins, _ in _all_origins(work, assets)), work.window):
        yield each, 1.0


def _all_origins(work: _Work, assets: AssetNames) -> Iterator[tuple[Origins, float]]:
    finder, found, rows = finder_of(work.reading, work.signal, work.window, work.request.stride), 0, 0
    seen = np.zeros(len(work.reading.config.channels), np.bool_)
    for block in work.table.blocks(assets):
        rows += len(block.times_us)
        if not seen.all():
            seen |= np.isfinite(block.values).any(axis=0)
        origins = finder.take(block)
        found += len(origins.starts)
        yield origins, block.end
    last = finder.finish()
    if last is not None:
        found += len(last.starts)
        yield last, 1.0
    _check_found(work, found, rows, seen)


def _check_found(work: _Work, found: int, rows: int, seen: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
    name = shown_names([file.path for file in work.table.files])
    if not seen.all():
        column = work.reading.config.channels[int(np.argmin(seen))]
        raise DataError(f"{name}: the column {column!r} holds no reading at all", fix="the model needs all of them")
    if not found:
        raise DataError(
            f"{name} holds no window to forecast from",
            got=f"{rows} rows",
            allowed=f"{work.window} rows or more of one asset without a gap or a missing reading",
        )


def _ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, the next one made by another thread while one is used."""
    end = object()
    with ThreadPoolExecutor(1, "reader") as pool:
        future: Future[Any] = pool.submit(next, items, end)
        while (item := future.result()) is not end:
            future = pool.submit(next, items, end)
            yield item


class _Writer:
    """Writes one part at a time, in another thread."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._pool = parts, ThreadPoolExecutor(1, "writer")
        self._last: Future[None] | None = None

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, kind: object, error: object, at: object) -> None:
        self._pool.shutdown()
        if error is None:
            self._wait()

    def write(self, frame: pl.DataFrame) -> None:
        """Begins to write, when the part before it is written."""
        self._wait()
        self._last = self._pool.submit(self._parts.add, frame)

    def _wait(self) -> None:
        if self._last is not None:
            self._last.result()
