"""`lstm-edge score` beside `BulkPredictor` on the same windows in memory, and its peak memory by the size of the file.

    python benchmarks/score.py exported/pump-station --json benchmarks/results/score.json

The two take turns on a simulated plant's table, CSV and Parquet: `BulkPredictor.predict_windows` on readings that lie
in memory, opened before the clock starts; `score_table` from opening the bundle to the finished file. What is compared
is the median of each round's ratio. Memory is the peak of a process of its own (VmHWM), which scores a CSV and a
Parquet file of two sizes, the larger four times the smaller one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from toolkit.atomic_files import write_text
from toolkit.contract.records import encode
from toolkit.runtime.bundle import Bundle, load_bundle
from toolkit.runtime.environment import environment
from toolkit.scoring import ScoreRequest, score_table
from toolkit.signal.windows import segment_ids, window_starts

REQUIRED = 0.8
"""Of the raw throughput."""
MINUTE_US = 60_000_000
START = 1_767_225_600_000_000
PEAK = """
import sys
from pathlib import Path
from toolkit.scoring import ScoreRequest, score_table
bundle, table, out, stride, cores = sys.argv[1:]
request = ScoreRequest(Path(bundle), table, "time", Path(out), asset="asset", stride=int(stride), cores=int(cores))
rows = score_table(request).rows
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(rows, int(peak.split()[1]) / 1024)
"""


def write_table(path: Path, bundle: Bundle, rows: int, assets: int = 4) -> None:
    """Assets by turns, a row a minute, readings of six digits; written in slices, so that its size does not matter."""
    names = bundle.manifest.signal.channel_names
    rng, mean = np.random.default_rng(0), 100.0 * np.arange(1, len(names) + 1)
    slices = []
    for first in range(0, rows, 1 << 17):
        number = np.arange(first, min(first + (1 << 17), rows))
        readings = (mean + rng.standard_normal((number.size, len(names)))).round(4)
        times = pl.Series("time", START + number // assets * MINUTE_US).cast(pl.Datetime("us", "UTC"))
        asset = pl.Series("asset", [f"pump-{place}" for place in (number % assets).tolist()])
        slices.append(pl.DataFrame([times, asset, *(pl.Series(n, c) for n, c in zip(names, readings.T, strict=True))]))
    table = pl.concat(slices)
    if path.suffix == ".csv":
        table.write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%SZ")
    else:
        table.write_parquet(path)


def windows_of(path: Path, bundle: Bundle) -> tuple[Any, Any]:
    """The table's readings, float32, and the first row of every window."""
    table = pl.read_parquet(path).sort("asset", "time", maintain_order=True)
    assets = table["asset"].rank("dense").to_numpy().astype(np.int64)
    segments = segment_ids(assets, table["time"].cast(pl.Int64).to_numpy(), int(1.5 * MINUTE_US))
    window = bundle.manifest.window_length
    none = np.zeros(len(segments), np.int64)
    starts = window_starts(segments, none, 0, window_length=window - 1, horizon=1)
    names = bundle.manifest.signal.channel_names
    return np.ascontiguousarray(table.select(names).to_numpy().astype(np.float32)), starts


def seconds_of(call: Any) -> float:
    """Wall-clock seconds."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def throughput(folder: Path, source: Path, rows: int, rounds: int, cores: int) -> list[dict[str, Any]]:
    """A row for CSV and one for Parquet."""
    bundle = load_bundle(source)
    for ending in ("csv", "parquet"):
        write_table(folder / f"table.{ending}", bundle, rows)
    readings, starts = windows_of(folder / "table.parquet", bundle)
    seconds: dict[str, list[float]] = {"raw": [], "csv": [], "parquet": []}
    with bundle.bulk(cores=cores) as bulk:
        bulk.predict_windows(readings, starts[:2048])
        for _ in range(rounds):
            seconds["raw"].append(seconds_of(lambda: bulk.predict_windows(readings, starts)))
            for ending in ("csv", "parquet"):
                request = ScoreRequest(
                    source, str(folder / f"table.{ending}"), "time", folder / f"out.{ending}",
                    asset="asset", cores=cores, overwrite=True,
                )  # fmt: skip
                seconds[ending].append(seconds_of(lambda request=request: score_table(request)))
    return [
        {
            "table": ending,
            "cores": cores,
            "windows": len(starts),
            "raw_per_s": float(len(starts) / np.median(seconds["raw"])),
            "score_per_s": float(len(starts) / np.median(seconds[ending])),
            "ratio": float(np.median([raw / own for raw, own in zip(seconds["raw"], seconds[ending], strict=True)])),
            "seconds": {"raw": seconds["raw"], "score": seconds[ending]},
        }
        for ending in ("csv", "parquet")
    ]


def memory(folder: Path, source: Path, megabytes: int, stride: int, cores: int) -> list[dict[str, Any]]:
    """Peak memory at files of so many MB and four times as many."""
    bundle, found = load_bundle(source), []
    write_table(folder / "probe.csv", bundle, 10_000)
    per_row = (folder / "probe.csv").stat().st_size / 10_000
    for ending in ("csv", "parquet"):
        for size in (megabytes, 4 * megabytes):
            path = folder / f"large.{ending}"
            write_table(path, bundle, int(size * 1e6 / per_row))
            arguments = [source, path, folder / f"large-out.{ending}", stride, cores]
            result = subprocess.run(
                [sys.executable, "-c", PEAK, *map(str, arguments)], capture_output=True, text=True, check=True
            )
            (folder / f"large-out.{ending}").unlink()
            rows, peak = result.stdout.split()
            row = {"table": ending, "text_mb": size, "file_mb": path.stat().st_size / 1e6, "stride": stride}
            found.append({**row, "forecasts": int(rows), "peak_mb": float(peak)})
            print(f"{ending} {found[-1]['file_mb']:.0f} MB, {rows} forecasts: peak {float(peak):.0f} MB", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rows", type=int, default=60_000, help="of the table whose windows are counted")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--megabytes", type=int, default=50, help="of text; the larger file has four times as many")
    parser.add_argument("--stride", type=int, default=10, help="of the files whose memory is measured")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, speeds = Path(name), []
        for cores in given.cores:
            for row in throughput(folder, given.bundle, given.rows, given.rounds, cores):
                speeds.append(row)
                print(
                    f"{row['table']}, {cores} cores: raw {row['raw_per_s']:.0f}/s, score {row['score_per_s']:.0f}/s, "
                    f"ratio {row['ratio']:.2f} (must {REQUIRED})",
                    flush=True,
                )
        peaks = memory(folder, given.bundle, given.megabytes, given.stride, given.cores[-1])
    if given.json:
        report = {"required": REQUIRED, "throughput": speeds, "memory": peaks, "environment": encode(environment())}
        write_text(given.json, json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
