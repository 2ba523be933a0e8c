"""Files as plants write them, for tests that guess how they are to be read; each ends in a form that has a name."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

START = datetime(2026, 3, 1, tzinfo=UTC)


def waves(rows: int, columns: int = 2, seed: int = 0) -> np.ndarray:
    """`[rows, columns]`: waves with some noise, at 20, 40, 60 ..."""
    phase = np.arange(rows)[:, None] * np.linspace(0.3, 0.5, columns)
    noise = np.random.default_rng(seed).standard_normal((rows, columns))
    return 20.0 * np.arange(1, columns + 1) + 5 * np.sin(phase) + 0.3 * noise


def times(rows: int, step: timedelta, form: str = "%Y-%m-%d %H:%M:%S", start: datetime = START) -> list[str]:
    """Evenly spaced moments as text."""
    return [(start + place * step).strftime(form) for place in range(rows)]


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]], separator: str = ",") -> Path:
    """A text file; an empty header writes none."""
    lines = [separator.join(header)] if header else []
    lines += [separator.join(map(str, row)) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


def plain(path: Path, rows: int = 300, form: str = "%Y-%m-%d %H:%M:%S", step_s: float = 60.0) -> Path:
    """`time,temperature,pressure`."""
    moments = times(rows, timedelta(seconds=step_s), form)
    readings = [[f"{value:.4f}" for value in row] for row in waves(rows)]
    return write_rows(
        path, ["time", "temperature", "pressure"], [[m, *r] for m, r in zip(moments, readings, strict=True)]
    )


def air_quality(path: Path, rows: int = 500) -> Path:
    """Semicolons, decimal commas, date and time apart, -200 for no reading, empty columns and rows at the end."""
    values = waves(rows, 3)
    values[::9, 1] = -200
    values[5:400, 2] = -200
    moments = times(rows, timedelta(hours=1), "%d/%m/%Y;%H.%M.%S")
    lines = [
        f"{moment};" + ";".join("-200" if v == -200 else f"{v:.1f}".replace(".", ",") for v in row) + ";;"
        for moment, row in zip(moments, values, strict=True)
    ]
    path.write_text("\n".join(["Date;Time;CO(GT);PT08.S1(CO);NMHC(GT);;", *lines, ";;;;;;", ";;;;;;"]) + "\n")
    return path


def historian(path: Path, rows: int = 200) -> Path:
    """One reading a row: `timestamp;tag;value;quality`, some of them bad."""
    moments = times(rows, timedelta(minutes=1))
    readings = waves(rows)
    lines = [
        [moment, tag, f"{readings[place, column]:.3f}", "Bad" if place % 50 == 7 and column else "Good"]
        for place, moment in enumerate(moments)
        for column, tag in enumerate(("TI101.PV", "PI102.PV"))
    ]
    return write_rows(path, ["timestamp", "tag", "value", "quality"], lines, ";")


def raw_samples(path: Path, rows: int = 6000) -> Path:
    """One row a second; the temperature every second, the pressure every fifth, cells empty in between."""
    moments = times(rows, timedelta(seconds=1))
    readings = waves(rows)
    lines = [
        [moment, f"{readings[place, 0]:.3f}", f"{readings[place, 1]:.3f}" if place % 5 == 0 else ""]
        for place, moment in enumerate(moments)
    ]
    return write_rows(path, ["time", "temperature", "pressure"], lines)


def epoch_milliseconds(path: Path, rows: int = 300) -> Path:
    """`ts,a,b`, a row every ten seconds."""
    first = int(START.timestamp() * 1000)
    lines = [[first + 10_000 * place, *(f"{v:.4f}" for v in row)] for place, row in enumerate(waves(rows))]
    return write_rows(path, ["ts", "a", "b"], lines)
