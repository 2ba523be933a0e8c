"""Reads a latency report again, trusting nothing of it."""

import json
import os
import stat
from pathlib import Path
from typing import Any

from toolkit.contract.latency_reports import LatencyReport
from toolkit.contract.records import decode
from toolkit.errors import ReportError

SCHEMA = LatencyReport.schema
MAX_BYTES = 1 << 26


def read_latency_report(path: Path) -> LatencyReport:
    """A report that `lstm-edge benchmark --json` wrote.

    Raises:
        ReportError: it cannot be read, is no latency report, has another schema, or holds figures that are none.
    """
    value = _json(path)
    schema = value.get("schema") if isinstance(value, dict) else None
    if not isinstance(schema, str) or not schema.startswith("latency/"):
        got = f"schema {schema!r:.40}" if schema is not None else "no schema"
        raise ReportError(f"{path} is no latency report", got=got, fix="lstm-edge benchmark BUNDLE --json FILE")
    if schema != SCHEMA:
        raise ReportError(
            f"{path} has another schema",
            got=f"{schema:.40}",
            allowed=SCHEMA,
            fix="measure again: lstm-edge benchmark BUNDLE --json FILE",
        )
    report = decode(LatencyReport, value, str(path), ReportError)
    _check_figures(report, path)
    return report


def _json(path: Path) -> Any:
    try:
        # Non-blocking: opening a pipe must not wait for a writer.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ReportError(f"{path} is no plain file", fix="name a report that benchmark --json wrote")
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ReportError(f"cannot read {path}", got=error.strerror) from error
    if len(text) > MAX_BYTES:
        raise ReportError(f"{path} is too large for a report", allowed=f"{MAX_BYTES} bytes")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ReportError(f"{path} is no JSON", got=str(error)[:120]) from error


def _check_figures(report: LatencyReport, path: Path) -> None:
    """Times and sizes are above 0: they are divided by."""
    for place, row in enumerate(report.rows):
        _check(f"{path}: rows[{place}]: p50_ms", row.p50_ms)
        for median in row.block_medians_ms:
            _check(f"{path}: rows[{place}]: block_medians_ms", median)
        _check(f"{path}: rows[{place}]: cpu_s_per_1000", row.cpu_s_per_1000, least=0.0)
    for place, cold in enumerate(report.cold):
        for total in (cold.total_ms, *cold.totals_ms):
            _check(f"{path}: cold[{place}]: total_ms", total)
        _check(f"{path}: cold[{place}]: rss_mb", cold.rss_mb)
    for place, capacity in enumerate(report.capacities):
        _check(f"{path}: capacities[{place}]: assets", capacity.assets, least=0.0)


def _check(where: str, value: float | None, least: float | None = None) -> None:
    """Above 0, or `least` and more."""
    if value is not None and (value <= 0 if least is None else value < least):
        raise ReportError(where, got=value, allowed="above 0" if least is None else "0 or more")
