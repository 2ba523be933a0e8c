"""Writes a simulated plant's table to CSV or Parquet.

Columns: `timestamp` (the interval's start, UTC), `asset`, the channels variable-major, `fault` (the label). Numbers
stand with as many digits as it takes to read the same float64 back, so both formats hold the same table.
"""

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import polars as pl

from toolkit import atomic_files
from toolkit.errors import ConfigError, OutputError
from toolkit.signal.plant import PlantTable
from toolkit.signal.pump_station import FAULTS

TIMESTAMP, ASSET, FAULT = "timestamp", "asset", "fault"


def check_place(path: Path, *, overwrite: bool) -> None:
    """Refuses, before anything is simulated, a place that `write_plant` could not write.

    Raises:
        ConfigError: an ending that stands for no format.
        OutputError: a file that exists while `overwrite` is off, or a folder that is missing or cannot be written.
    """
    if path.suffix.lower() not in _FORMATS:
        raise ConfigError(f"no format for {path.name}", got=f"the ending {path.suffix!r}", allowed=", ".join(_FORMATS))
    # os.path, because in Python 3.11 the methods of Path raise where a folder may not be looked into.
    if os.path.isdir(path):
        raise OutputError(f"cannot write the file {path}", got="a folder of that name", fix="name another")
    if os.path.exists(path) and not overwrite:
        raise OutputError(f"the file {path} exists already", fix="name another, or add --overwrite")
    if not os.path.isdir(path.parent):
        raise OutputError(f"cannot write {path}", got=f"no folder {path.parent}", fix=f"mkdir -p {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {path}", got=f"{path.parent}, which is read-only to you", fix="name another")


def write_plant(table: PlantTable, path: Path, *, overwrite: bool = False) -> None:
    """Writes the table to `path`, whole or not at all, in the format that its ending stands for.

    Raises:
        ConfigError: an ending that stands for no format.
        OutputError: the place cannot be written.
    """
    check_place(path, overwrite=overwrite)
    content = io.BytesIO()
    _FORMATS[path.suffix.lower()](_frame(table), content)
    atomic_files.write_bytes(path, content.getvalue())


def _frame(table: PlantTable) -> pl.DataFrame:
    names = [channel.name for channel in table.channels]
    return pl.DataFrame(
        {
            TIMESTAMP: pl.Series(table.times_us).cast(pl.Datetime("us", "UTC")),
            ASSET: pl.Series(np.array(table.assets)[table.asset_index]),
            **dict(zip(names, table.values.T, strict=True)),
            FAULT: pl.Series(np.array(FAULTS)[table.labels]),
        }
    )


def _write_csv(frame: pl.DataFrame, content: io.BytesIO) -> None:
    frame.write_csv(content, datetime_format="%Y-%m-%dT%H:%M:%SZ")


def _write_parquet(frame: pl.DataFrame, content: io.BytesIO) -> None:
    frame.write_parquet(content)


_FORMATS: Mapping[str, Callable[[pl.DataFrame, io.BytesIO], None]] = MappingProxyType(
    {".csv": _write_csv, ".parquet": _write_parquet}
)
