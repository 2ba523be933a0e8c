"""Interval features from raw samples beside pandas and polars: the same statistics of the same samples.

    pip install pandas
    python benchmarks/features.py --json benchmarks/results/features.json

pandas is installed for this measurement alone: the toolkit does not use it. 10 million samples at 100 Hz go into
1-minute intervals, once as one variable and once as several that share the samples between them. All contenders
compute all of the toolkit's statistics, and must agree on them before anything is timed.

Each contender gets what it likes best, made before the clock starts: this toolkit arrays, pandas a Series with a
`DatetimeIndex`, polars a DataFrame with a sorted column of times. pandas is written as people write it, and as well as
it can be without leaving `resample().agg()`: built-in statistics by name where there is one, a function on numpy's
array of an interval where there is none. polars computes on all its threads unless POLARS_MAX_THREADS says otherwise:
the measurement sets it to 1, and `--polars-threads` to another number.
"""

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from toolkit.atomic_files import write_text
from toolkit.benchmark.statistics import median_ratio
from toolkit.benchmark.timing import Measurement, SystemClock, measure_in_turns, warm_up
from toolkit.runtime.environment import environment
from toolkit.signal.features import FEATURES, interval_edges, interval_features

SAMPLES = 10_000_000
VARIABLES = 10
STEP_US, INTERVAL_US = 10_000, 60_000_000
START_US = 1_767_225_600_000_000
OFFSET, SPREAD = 101_325.0, 50.0
REQUIRED, AIMED = 3.0, 6.0
"""How many times as fast as pandas."""
NAMES = tuple(FEATURES)

Floats = NDArray[np.float64]
Table = NDArray[np.float64]


@dataclass(frozen=True)
class Samples:
    """Several variables at the same moments, `[samples]` each."""

    times_us: NDArray[np.int64]
    columns: dict[str, Floats]


def samples_of(count: int, variables: int) -> Samples:
    """`count` samples altogether."""
    rng = np.random.default_rng(0)
    each = count // variables
    times = START_US + STEP_US * np.arange(each, dtype=np.int64)
    return Samples(times, {f"v{number}": OFFSET + SPREAD * rng.standard_normal(each) for number in range(variables)})


def by_toolkit(samples: Samples) -> Table:
    """`[intervals, variables x features]`."""
    edges = interval_edges(int(samples.times_us[0]), int(samples.times_us[-1]), INTERVAL_US)
    return np.hstack([interval_features(samples.times_us, column, edges, NAMES) for column in samples.columns.values()])


def pandas_statistics(start_s: float) -> list[Any]:
    """One for each of `NAMES`, in their order; `start_s` keeps the seconds of the slope small."""

    def std(x: Any) -> float:
        return float(x.to_numpy().std())

    def peak(x: Any) -> float:
        return float(np.abs(x.to_numpy()).max())

    def rms(x: Any) -> float:
        return float(np.sqrt(np.mean(x.to_numpy() ** 2)))

    def peak_to_peak(x: Any) -> float:
        return float(np.ptp(x.to_numpy()))

    def crest_factor(x: Any) -> float:
        values = x.to_numpy()
        return float(np.abs(values).max() / np.sqrt(np.mean(values**2)))

    def kurtosis(x: Any) -> float:
        values = x.to_numpy()
        deviations = values - values.mean()
        return float(np.mean(deviations**4) / np.mean(deviations**2) ** 2)

    def slope(x: Any) -> float:
        return float(np.polyfit(x.index.asi8 / 1e6 - start_s, x.to_numpy(), 1)[0])

    own = {
        "std": std,
        "peak": peak,
        "rms": rms,
        "peak_to_peak": peak_to_peak,
        "crest_factor": crest_factor,
        "kurtosis": kurtosis,
        "slope": slope,
    }
    return [own.get(name, name) for name in NAMES]


def pandas_call(samples: Samples) -> Callable[[], Any]:
    index = pd.DatetimeIndex(samples.times_us.astype("datetime64[us]"))
    frame = pd.DataFrame(samples.columns, index=index)
    statistics = pandas_statistics(START_US / 1e6)
    return lambda: frame.resample("1min").agg(statistics).to_numpy()


def polars_call(samples: Samples) -> Callable[[], Any]:
    import polars as pl

    times = pl.Series("t", samples.times_us).cast(pl.Datetime("us")).set_sorted()
    frame = pl.DataFrame([times, *(pl.Series(name, column) for name, column in samples.columns.items())])
    expressions = [each.alias(f"{name} {n}") for name in samples.columns for n, each in enumerate(polars_ones(name))]
    return lambda: frame.group_by_dynamic("t", every="1m").agg(expressions).drop("t").to_numpy()


def polars_ones(name: str) -> list[Any]:
    """One for each of `NAMES`, in their order."""
    import polars as pl

    x = pl.col(name)
    seconds = (pl.col("t").cast(pl.Int64) - START_US) / 1e6
    rms = (x**2).mean().sqrt()
    ones = {
        "mean": x.mean(),
        "std": x.std(ddof=0),
        "min": x.min(),
        "max": x.max(),
        "peak": x.abs().max(),
        "rms": rms,
        "peak_to_peak": x.max() - x.min(),
        "count": x.count().cast(pl.Float64),
        "last": x.last(),
        "crest_factor": x.abs().max() / rms,
        "kurtosis": x.kurtosis(fisher=False),
        "slope": pl.cov(seconds, x, ddof=0) / seconds.var(ddof=0),
    }
    return [ones[feature] for feature in NAMES]


def check_agreement(expected: Table, other: Table, contender: str) -> None:
    """Ends the program where a contender gives other statistics: there is nothing to compare then."""
    if not np.allclose(expected, other, rtol=1e-6, atol=1e-7):
        wrong = NAMES[int(np.argmax(np.abs(expected - other).max(axis=0))) % len(NAMES)]
        raise SystemExit(f"{contender} gives another {wrong}: nothing to compare")


def measured(variables: int, count: int, seconds: float) -> dict[str, Any]:
    """One record: how many times as fast the toolkit is, and every round's time."""
    samples = samples_of(count, variables)
    calls = {
        "toolkit": partial(by_toolkit, samples),
        "pandas": pandas_call(samples),
        "polars": polars_call(samples),
    }
    answers = {name: call() for name, call in calls.items()}
    for name, answer in answers.items():
        check_agreement(answers["toolkit"], answer, name)
    contenders = [*calls.values()]
    timed = measure_in_turns(contenders, SystemClock(), warm_up(contenders, SystemClock(), seconds))
    return {
        "variables": variables,
        "samples_each": count // variables,
        "intervals": len(answers["toolkit"]),
        **figures(dict(zip(calls, timed, strict=True))),
        "required": {"pandas": REQUIRED},
        "aimed": {"pandas": AIMED},
    }


def figures(timed: dict[str, Measurement]) -> dict[str, Any]:
    blocks = {name: measurement.block_medians_ns for name, measurement in timed.items()}
    others = [name for name in blocks if name != "toolkit"]
    return {
        "ratio": {name: round(median_ratio(blocks[name], blocks["toolkit"]), 2) for name in others},
        "p50_ms": {name: round(float(np.median(values)) / 1e6, 2) for name, values in blocks.items()},
        "block_medians_ns": {name: [round(value) for value in values] for name, values in blocks.items()},
    }


def line(record: dict[str, Any]) -> str:
    times = ", ".join(f"{name} {value:,.0f} ms" for name, value in record["p50_ms"].items())
    ratios = ", ".join(f"{value:.2f} times as fast as {name}" for name, value in record["ratio"].items())
    return f"{record['variables']} x {record['samples_each']:,} samples: {times}; {ratios}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="for each measurement (default 120)")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="altogether (default 10 million)")
    parser.add_argument("--polars-threads", type=int, default=1, metavar="N", help="threads of polars (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures are written")
    options = parser.parse_args()
    os.environ["POLARS_MAX_THREADS"] = str(options.polars_threads)  # read when polars is imported
    records = []
    for variables in (1, VARIABLES):
        records.append(measured(variables, options.samples, options.seconds))
        print(line(records[-1]), flush=True)
    if options.json is not None:
        contenders = {name: version(name) for name in ("numpy", "pandas", "polars")}
        report = {
            "environment": environment(),
            "contenders": contenders,
            "polars_threads": options.polars_threads,
            "features": NAMES,
            "measurements": records,
        }
        write_text(options.json, json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
