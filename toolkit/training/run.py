"""A run folder: `config.toml`, `run.json`, weights, samples of the test part, `metrics.jsonl` and `training.json`.

The folder appears whole when training ends, or not at all.
"""

import hashlib
import json
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from toolkit import atomic_files
from toolkit.contract.manifest import SAMPLES, WEIGHTS
from toolkit.contract.model_spec import ModelSpec
from toolkit.contract.records import decode, encode
from toolkit.contract.reports import TrainingReport, report_to_json
from toolkit.contract.signals import SignalSpec
from toolkit.data.dataset import ForecastDataset, build_dataset, test_stretches
from toolkit.data.tables import SensorTable, read_table
from toolkit.errors import BundleError, ConfigError
from toolkit.model.lstm import MultivariateLSTM, model_from_spec
from toolkit.runtime.environment import environment
from toolkit.training.config import RunConfig
from toolkit.training.loop import FitResult, Progress, fit
from toolkit.training.scoring import Comparison, compare
from toolkit.training.weights import load_model, load_samples, samples_bytes, weights_bytes

RUN, CONFIG, METRICS, REPORT = "run.json", "config.toml", "metrics.jsonl", "training.json"
FILES = (CONFIG, METRICS, WEIGHTS, SAMPLES, REPORT)

STRETCHES, STRETCH_WINDOWS = 4, 8
"""How much of the test part goes into `samples.safetensors`, in stretches of so many windows."""


@dataclass(frozen=True)
class DataProvenance:
    """Which table a run was trained on."""

    file_name: str
    sha256: str
    rows: int
    assets: int
    dropped_rows: int


@dataclass(frozen=True)
class RunRecord:
    """`run.json`: what an export needs to know without the data; `files` holds their SHA-256."""

    name: str
    model: ModelSpec
    signal: SignalSpec
    data: DataProvenance
    files: dict[str, str]
    schema: str = "run/1"


@dataclass(frozen=True)
class Run:
    """A finished run, read back.

    Attributes:
        folder: where it lies.
        record: what was trained on what.
        model: with the trained weights, in evaluation mode.
        samples: raw readings of the test part, float32 `[stretches, samples, channels]`.
        report: the contents of `training.json`.
        config_toml: the text of the resolved configuration.
    """

    folder: Path
    record: RunRecord
    model: MultivariateLSTM
    samples: torch.Tensor
    report: dict[str, Any]
    config_toml: str


def train(config: RunConfig, folder: Path, progress: Progress, *, overwrite: bool = False) -> TrainingReport:
    """Trains on the table that `config` names and writes a run folder.

    Raises:
        DataError: the table cannot be used.
        ModelError: training diverged.
        OutputError: the folder exists and `overwrite` is off, or cannot be written.
    """
    atomic_files.check_free(folder, overwrite=overwrite, marker=RUN)
    table = read_table(config.data)
    dataset = build_dataset(table, config.data)
    with atomic_files.new_folder(folder, overwrite=overwrite, marker=RUN) as partial:
        spec = model_spec(config, dataset)
        model, result = _fit(spec, dataset, config, progress)
        report = _report(model, dataset, result, compare(model, dataset, config.data.season))
        files = _contents(config, dataset, model, result) | {REPORT: report_to_json(report).encode()}
        for name, content in files.items():
            (partial / name).write_bytes(content)
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        record = RunRecord(folder.name, spec, dataset.signal, _provenance(table), hashes)
        (partial / RUN).write_text(json.dumps(encode(record), indent=2) + "\n", encoding="utf-8")
    return report


def model_spec(config: RunConfig, dataset: ForecastDataset) -> ModelSpec:
    """The shape of the model that `config` asks for on these channels.

    Raises:
        ConfigError: a patch longer than the window.
    """
    if config.model.patch_length > config.data.window_length:
        allowed = f"at most the window length, {config.data.window_length}"
        raise ConfigError("model.patch_length", got=config.model.patch_length, allowed=allowed)
    return ModelSpec(
        len(dataset.signal.channels),
        config.model.hidden_size,
        config.model.num_layers,
        config.data.horizon,
        len(dataset.signal.targets),
        config.data.window_length,
        config.model.dropout,
        cell=config.model.cell,
        bidirectional=config.model.bidirectional,
        bias=config.model.bias,
        head=config.model.head,
        min_sequence=config.model.patch_length,
        normalisation=config.model.normalisation,
        patch_length=config.model.patch_length,
        channel_mixing=config.model.channel_mixing,
        target_channels=tuple(dataset.target_indices),
    )


def load_run(folder: Path) -> Run:
    """Reads a finished run folder.

    Raises:
        BundleError: no folder, a file of it is missing or damaged, or the weights do not fit.
    """
    if not folder.is_dir():
        raise BundleError(f"there is no run folder {folder}", fix="train one with 'lstm-edge train ... --run DIR'")
    missing = [name for name in (RUN, *FILES) if not (folder / name).is_file()]
    if missing:
        raise BundleError(
            f"{folder} is no finished run folder",
            got=f"no {missing[0]}",
            fix="train again with another or the same --run",
        )
    where = str(folder / RUN)
    record = decode(RunRecord, _json((folder / RUN).read_bytes(), where), where, BundleError)
    _check_files(folder, record)
    model = load_model(record.model, (folder / WEIGHTS).read_bytes(), str(folder / WEIGHTS))
    samples = load_samples(record.model.input_size, (folder / SAMPLES).read_bytes(), str(folder / SAMPLES))
    report = _json((folder / REPORT).read_bytes(), str(folder / REPORT))
    return Run(folder, record, model, samples, report, (folder / CONFIG).read_text(encoding="utf-8"))


def _contents(
    config: RunConfig, dataset: ForecastDataset, model: MultivariateLSTM, result: FitResult
) -> dict[str, bytes]:
    lines = [json.dumps(asdict(epoch)) + "\n" for epoch in result.records]
    samples = test_stretches(dataset, STRETCHES, STRETCH_WINDOWS * config.data.window_length)
    return {
        CONFIG: config.to_toml().encode(),
        METRICS: "".join(lines).encode(),
        WEIGHTS: weights_bytes(model),
        SAMPLES: samples_bytes(samples),
    }


def _check_files(folder: Path, record: RunRecord) -> None:
    """A file that was cut short or exchanged would pass for what the run was trained with."""
    if record.schema != RunRecord.schema:
        raise BundleError(f"{folder / RUN} is of another version", got=record.schema, allowed=RunRecord.schema)
    for name in FILES:
        if record.files.get(name) != hashlib.sha256((folder / name).read_bytes()).hexdigest():
            fix = "train again, or copy the folder again"
            raise BundleError(f"{folder / name} is damaged", got="not what this run wrote", fix=fix)
    config = tomllib.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if tuple(config["data"]["targets"]) != record.signal.targets:
        raise BundleError(f"{folder / RUN} and {CONFIG} name other targets", fix="copy the folder again")


def _fit(
    spec: ModelSpec, dataset: ForecastDataset, config: RunConfig, progress: Progress
) -> tuple[MultivariateLSTM, FitResult]:
    torch.set_num_threads(config.training.threads)
    torch.manual_seed(config.training.seed)
    model = model_from_spec(spec)
    model.set_scaling(dataset.mean, dataset.std, dataset.target_indices)
    return model, fit(model, dataset, config.training, progress)


def _report(
    model: MultivariateLSTM, dataset: ForecastDataset, result: FitResult, comparison: Comparison
) -> TrainingReport:
    return TrainingReport(
        test=comparison.model.test,
        test_standardised=comparison.model.test_standardised,
        per_target=comparison.model.per_target,
        baselines=comparison.baselines,
        season=comparison.season,
        epochs=len(result.records),
        best_epoch=result.best_epoch,
        seconds=result.seconds,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        windows={part: len(starts) for part, starts in dataset.starts.items()},
        verdict=comparison.verdict,
        environment=environment(),
    )


def _provenance(table: SensorTable) -> DataProvenance:
    return DataProvenance(table.file_name, table.sha256, len(table.values), len(table.asset_names), table.dropped_rows)


def _json(content: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where} is not JSON", got=str(error), fix="train again") from error
    if not isinstance(value, dict):
        raise BundleError(f"{where} is not a JSON table", fix="train again")
    return value
