"""A run, a bundle and a report of every kind as tests of the page want them: small, and made without training."""

import hashlib
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

from latency_rows import CPU, cold, row

from toolkit.contract.class_reports import ClassEvaluationReport, ClassScores, ClassTrainingReport
from toolkit.contract.comparison_reports import Change, ComparisonReport
from toolkit.contract.latency_reports import AssetCapacity, Crossover, LatencyReport
from toolkit.contract.model_spec import ModelSpec
from toolkit.contract.parity_reports import ErrorProfile, ParityCase, ParityReport, ParitySummary, PlacedError
from toolkit.contract.picture_reports import ChannelTrace, DataReport, Distribution, ForecastExample, Gap
from toolkit.contract.profile_reports import OperatorTime, Profile
from toolkit.contract.readiness_reports import GraphLatency, JudgedBudget, ReadinessReport, TrialResult
from toolkit.contract.records import encode
from toolkit.contract.reports import Errors, EvaluationReport, IntervalScores, Scores, SeedScores, TrainingReport
from toolkit.contract.reports import report_to_json as to_json
from toolkit.contract.signals import Channel, SignalSpec

CHANNELS = ("temperature", "pressure")
UNITS = ("degC", "Pa")
START, MINUTE = 1_700_000_000.0, 60.0
MACHINE = {"cpu": "Test CPU", "cores": 4, "python": "3.11", "packages": {"numpy": "2.4.6", "onnxruntime": "1.32.0"}}
TABLE_HASH = "ab" * 32
CONFIG = '[data]\nfile = "/home/somebody/plant.csv"\ntargets = ["temperature"]\n'


def scores(mse, mae=None, targets=("temperature",)):
    errors = Errors(mse, math.sqrt(mse) if mae is None else mae)
    return Scores(errors, errors, dict.fromkeys(targets, errors))


def curve(count, phase=0.0, level=20.0):
    return tuple(level + math.sin(0.3 * place + phase) for place in range(count))


def times(count, first=START):
    return tuple(first + MINUTE * place for place in range(count))


def trace(channel, asset="pump-1", count=100):
    mean = curve(count)
    low, high = (tuple(value + shift for value in mean) for shift in (-1.0, 1.0))
    return ChannelTrace(asset, channel, times(count), low, mean, high)


def distribution(channel, shift=0.1):
    shares = {"train": (0.2, 0.5, 0.3), "validation": (0.2, 0.4, 0.4), "test": (0.1, 0.4, 0.5)}
    return Distribution(channel, (0.0, 1.0, 2.0, 3.0), shares, shift)


def data_report(channels=CHANNELS, **changes):
    whole = DataReport(
        file="plant.csv",
        sha256=TABLE_HASH,
        rows=200,
        assets=("pump-1", "pump-2"),
        assets_in_all=2,
        channels=tuple(channels),
        units=UNITS[: len(channels)],
        targets=(channels[0],),
        interval_s=MINUTE,
        borders_s=(START + 60 * MINUTE, START + 80 * MINUTE),
        end_s=START + 99 * MINUTE,
        traces=tuple(trace(channel, asset) for channel in channels for asset in ("pump-1", "pump-2")),
        gaps=(Gap("pump-1", START + 10 * MINUTE, START + 20 * MINUTE),),
        gaps_in_all=1,
        distributions=tuple(distribution(channel) for channel in channels),
        notes=("3 readings were held over a gap",),
    )
    return replace(whole, **changes)


def training_report(**changes):
    whole = TrainingReport(
        test=Errors(4.0, 1.5),
        test_standardised=Errors(0.2, 0.3),
        per_target={"temperature": Errors(4.0, 1.5)},
        baselines={"persistence": scores(1.0), "seasonal": scores(0.9)},
        season=24,
        epochs=3,
        best_epoch=2,
        seconds=12.5,
        parameters=1234,
        windows={"train": 100, "validation": 20, "test": 20},
        verdict="beats persistence by 80.0 % in mean squared error",
        environment=MACHINE,
        seeds=tuple(
            SeedScores(seed, 0.3 + seed / 10, Errors(0.2 + seed / 10, 0.3), 3, 2, seed == 0) for seed in range(3)
        ),
    )
    return replace(whole, **changes)


def example(kind="best", target="temperature", **changes):
    whole = ForecastExample(
        kind=kind,
        asset="pump-1",
        target=target,
        unit="degC",
        history_times_s=times(30),
        history=curve(30),
        times_s=times(12, START + 30 * MINUTE),
        truth=curve(12, 1.0),
        forecast=curve(12, 1.1),
        baselines={"persistence": (20.0,) * 12, "seasonal": curve(12, 2.0)},
        quantiles={"0.1": curve(12, 1.1, 19.0), "0.5": curve(12, 1.1), "0.9": curve(12, 1.1, 21.0)},
        error=0.25,
    )
    return replace(whole, **changes)


def evaluation_report(**changes):
    steps = tuple(Errors(0.1 + step / 100, 0.2 + step / 50) for step in range(12))
    whole = EvaluationReport(
        name="tiny",
        file="other.csv",
        windows=50,
        standardised=True,
        model=scores(0.21),
        by_step=steps,
        by_asset={"pump-1": Errors(0.2, 0.3), "pump-2": Errors(0.4, 0.5)},
        baselines={"persistence": scores(1.0), "seasonal": scores(0.8)},
        season=24,
        verdict="beats persistence by 79.0 % in mean squared error",
        environment=MACHINE,
        interval=IntervalScores((0.1, 0.5, 0.9), 0.8, 0.78, 1.2, "degC", 0.1, (0.1, 0.5, 0.9), {"temperature": 1.2}),
        examples=tuple(example(kind) for kind in ("worst", "best", "median")),
        baselines_by_step={"persistence": tuple(Errors(1.0, 1.0) for _ in steps)},
    )
    return replace(whole, **changes)


def case(batch=1, sequence=5, error=1e-7, *, passed=True, **changes):
    whole = ParityCase("windowed", CPU, "fp32", batch, sequence, "data", 2e-7, 8e-8, error, 5e-7, passed, pool="data")
    return replace(whole, **changes)


def parity_report(**changes):
    placed = tuple(PlacedError(place, 1e-7, 2e-7, 1.0) for place in ("0-249", "250-499", "500-999"))
    cases = tuple(case(batch, sequence) for batch in (1, 2, 7) for sequence in (1, 5, 60))
    whole = ParityReport(
        passed=True,
        cases=(*cases, case(graph="streaming")),
        divergence=None,
        summary=ParitySummary(10, 0, 2e-7, 0.2),
        environment=MACHINE,
        profiles=(ErrorProfile("streaming", "data", placed, placed, placed, placed),),
    )
    return replace(whole, **changes)


def failed_parity():
    """One case that fails by a factor of four, and one whose answer was not finite."""
    cases = (case(), case(7, 60, 2e-6, passed=False, problem="too far"), case(2, 5, math.inf, passed=False))
    return parity_report(passed=False, cases=cases, summary=ParitySummary(3, 2, math.inf, math.inf))


def latency_report(**changes):
    medians = tuple(1.0 + 0.01 * (place % 7) for place in range(30))
    spread = {"intervals_ms": {"p50": (0.98, 1.03), "p99": (1.4, 1.7)}, "block_medians_ms": medians}
    rows = [row(batch=batch, p50_ms=float(batch), **spread) for batch in (1, 8, 64)]
    rows += [row(contender="torch", provider="cpu", options={}, p50_ms=2.5, **spread), row("stream", predictor="step")]
    rows += [row("paced", rate_hz=50.0, peak_rss_mb=66.0, noisy="too noisy to tell")]
    whole = LatencyReport(
        rows=tuple(rows),
        notes=("torchscript not measured",),
        environment={**MACHINE, "commit": "c" * 40, "threads": 1},
        bundle={"name": "tiny", "manifest_sha256": "f" * 64},
        cold=(replace(cold(), totals_ms=(110.0, 111.0, 115.0)), cold("torch", 250.0)),
        capacities=tuple(
            AssetCapacity("onnxruntime", "windowed", "fp32", r, int(900 / r), 1.0, 2.0) for r in (1.0, 10.0)
        ),
        crossovers=(Crossover("windowed", "CUDAExecutionProvider", 64, (1, 8, 64), (0.2, 0.8, 3.0)),),
    )
    return replace(whole, **changes)


def comparison_report(**changes):
    same = Change(
        *("single", "onnxruntime", "windowed", CPU, "fp32", "predict", 1, 60, 1, None),
        *("p50_ms", 1.0, 1.01, 1.01, (0.99, 1.03), "same"),
    )
    worse = replace(same, figure="p99_ms", ratio=1.4, interval=(1.2, 1.6), verdict="worse")
    return replace(ComparisonReport((same, worse), ("another load",), 5.0, 1), **changes)


def profile(**changes):
    operators = (OperatorTime("LSTM", 2, 80.0, 0.7), OperatorTime("Gemm", 1, 5.0, 0.05))
    whole = Profile(
        *("tiny", "windowed", "fp32", 1, 60, 1000, 100, 110.0, 100.0, 150.0, 10.0, 10.0, 10.0, 90.0),
        *(95.0, 0.5, 0.9, 1_000_000, 200_000, 60.0, 1.8, 0.05, 0.1, 0.1, 0.8, 0.5),
        operators=operators,
        nodes=(),
        layers=(),
        peaks=(),
        environment=MACHINE,
    )
    return replace(whole, **changes)


def readiness_report(**changes):
    trial = TrialResult("passed", latency=(GraphLatency("windowed", "fp32", 60, 500, 0.2, 0.4),), rss_mb=70.0)
    budgets = (JudgedBudget("p99_ms", 2.0, 0.4, kept=True),)
    bundle = {"name": "tiny", "manifest_sha256": "f" * 64}
    return replace(ReadinessReport(bundle, True, (), trial, None, budgets, MACHINE), **changes)


def class_scores(right):
    confusion = ((40, 10), (5, right))
    return ClassScores(0.9, 0.43 + right / 100, right / 100, {"normal": 0.9, "fault": 0.8}, confusion, 0.2, 0.1)


def class_evaluation(**changes):
    whole = ClassEvaluationReport(
        *("tiny", "plant.csv", 100, ("normal", "fault"), "normal"),
        model=class_scores(45),
        baselines={"commonest": class_scores(5)},
        verdict="beats the commonest class",
        environment=MACHINE,
        by_asset={"pump-1": class_scores(45), "pump-2": class_scores(30)},
    )
    return replace(whole, **changes)


def class_training(**changes):
    whole = ClassTrainingReport(
        *(("normal", "fault"), "normal", class_scores(45), {"commonest": class_scores(5)}),
        *({"train": (80, 20)}, 3, 2, 5.0, 100, {"train": 100}, "beats the commonest class", MACHINE),
    )
    return replace(whole, **changes)


REPORTS = {
    "data": data_report,
    "training": training_report,
    "evaluation": evaluation_report,
    "parity": parity_report,
    "latency": latency_report,
    "comparison": comparison_report,
    "profile": profile,
    "readiness": readiness_report,
    "class-evaluation": class_evaluation,
    "class-training": class_training,
}
"""By name, what makes a report of each kind."""


def write(folder, **reports):
    """Writes each report as `NAME.json`, an underscore in its name as a dash, and gives the files."""
    files = []
    for name, report in reports.items():
        files.append(Path(folder) / f"{name.replace('_', '-')}.json")
        files[-1].write_text(to_json(report), encoding="utf-8")
    return files


def write_all(folder):
    """A report of every kind."""
    return write(folder, **{name.replace("-", "_"): make() for name, make in REPORTS.items()})


def write_run(folder, channels=CHANNELS, **reports):
    """A run folder; `reports` by the name of their file without its ending, otherwise those of a forecaster."""
    folder.mkdir(parents=True)
    made = reports or {"data": data_report(channels), "training": training_report(), "evaluation": evaluation_report()}
    contents = {f"{name}.json": to_json(report) for name, report in made.items()}
    contents["config.toml"] = CONFIG
    epochs = [
        {
            "epoch": number,
            "train_loss": 0.5 / number,
            "validation_loss": 0.6 / number,
            "learning_rate": 0.01 / number,
            "seconds": 1.0,
            "best": number == 2,
        }
        for number in (1, 2, 3)
    ]
    contents["metrics.jsonl"] = "".join(json.dumps(epoch) + "\n" for epoch in epochs)
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "run.json").write_text(run_json(folder, channels, contents), encoding="utf-8")
    return folder


def run_json(folder, channels, contents):
    signal = SignalSpec(
        tuple(Channel(name, name, "value", unit) for name, unit in zip(channels, UNITS, strict=False)),
        (channels[0],),
        MINUTE,
    )
    hashes = {name: hashlib.sha256(content.encode()).hexdigest() for name, content in contents.items()}
    value = {
        "name": folder.name,
        "model": encode(ModelSpec(len(channels), 16, 1, 12, 1, 60)),
        "signal": encode(signal),
        "data": {"file_name": "plant.csv", "sha256": TABLE_HASH, "rows": 200, "assets": 2, "dropped_rows": 1},
        "files": hashes,
        "schema": "run/1",
    }
    return json.dumps(value)


def copy_bundle(root, folder):
    """The manifest of the reference bundle: a page needs no more of it."""
    folder.mkdir(parents=True)
    shutil.copy(root / "exported" / "pump-station" / "manifest.json", folder)
    return folder
