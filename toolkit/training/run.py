"""A run folder: what was trained, how it went, and what is kept to be looked at.

`config.toml`, `run.json`, weights, samples of the test part, `metrics.jsonl`, `training.json`, `data.json` and
`evaluation.json`. The folder appears whole when training ends, or not at all; until then its checkpoints lie beside
it, in `NAME.training`.
"""

import hashlib
import json
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from toolkit import atomic_files
from toolkit.contract.manifest import SAMPLES, WEIGHTS
from toolkit.contract.model_spec import ModelSpec
from toolkit.contract.records import decode, encode
from toolkit.contract.reports import report_to_json
from toolkit.contract.signals import SignalSpec
from toolkit.data.dataset import ForecastDataset, build_dataset, parts_of, test_stretches
from toolkit.data.picture import data_report
from toolkit.data.tables import SensorTable, read_table
from toolkit.errors import BundleError, ConfigError
from toolkit.model.lstm import MultivariateLSTM
from toolkit.training.config import RunConfig
from toolkit.training.defaults import settled
from toolkit.training.loop import Progress
from toolkit.training.reports import Reports, TrainedReport, reports_of
from toolkit.training.seeds import Trained, best_of, train_seeds
from toolkit.training.team import assembled, rank_from_environment
from toolkit.training.weights import load_model, load_samples, samples_bytes, weights_bytes
from toolkit.training.workplace import claimed

RUN, CONFIG, METRICS, REPORT = "run.json", "config.toml", "metrics.jsonl", "training.json"
DATA, EVALUATION = "data.json", "evaluation.json"
FILES = (CONFIG, METRICS, WEIGHTS, SAMPLES, REPORT)
PICTURES = (DATA, EVALUATION)
"""What is looked at: earlier versions wrote none, and their runs are as good without."""

STRETCHES, STRETCH_WINDOWS = 4, 8
"""How much of the test part goes into `samples.safetensors`, in stretches of so many windows."""


@dataclass(frozen=True)
class DataProvenance:
    """Which table a run was trained on, and what of it its file does not hold: see `SensorTable`."""

    file_name: str
    sha256: str
    rows: int
    assets: int
    dropped_rows: int
    filled: dict[str, int] = field(default_factory=dict)
    merged_rows: int = 0
    bad_quality: int = 0


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


def train(
    config: RunConfig, folder: Path, progress: Progress, *, overwrite: bool = False, resume: bool = False
) -> TrainedReport:
    """Trains on the table that `config` names and writes a run folder.

    Under `torchrun` the processes share every batch; the one of rank 0 writes, and all give the same report.

    Args:
        config: everything that the run depends on.
        folder: of the run; it appears whole when training ends.
        progress: hears how training goes.
        overwrite: replace a run, and begin anew where an interrupted training lies.
        resume: go on after the newest checkpoint of an interrupted training, if there is one.

    Raises:
        DataError: the table cannot be used.
        ConfigError: `resume`, and a setting or the table is not that of the interrupted training.
        ModelError: training diverged.
        OutputError: the folder exists and `overwrite` is off, another process trains there, or it cannot be written.
    """
    with assembled(rank_from_environment()) as team:
        if team.leads:
            atomic_files.check_free(folder, overwrite=overwrite, marker=RUN)
        table = read_table(config.data, config.features)
        dataset = build_dataset(table, config.data)
        begun, config = config, replace(config, model=settled(config.model, dataset, config.data.season))
        spec = model_spec(config, dataset)
        if not team.leads:
            trained = train_seeds(spec, dataset, config, progress, team=team)
            return reports_of(folder.name, config, table, dataset, trained).training
        with claimed(folder, begun, table.sha256, resume=resume, overwrite=overwrite) as workplace:
            trained = train_seeds(spec, dataset, config, progress, workplace=workplace, team=team)
            reports = reports_of(folder.name, config, table, dataset, trained)
            with atomic_files.new_folder(folder, overwrite=overwrite, marker=RUN) as partial:
                files = _contents(config, dataset, trained) | _report_files(config, dataset, table, reports)
                hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
                record = RunRecord(folder.name, spec, dataset.signal, _provenance(table), hashes)
                files[RUN] = (json.dumps(encode(record), indent=2) + "\n").encode()
                for name, content in files.items():
                    (partial / name).write_bytes(content)
    return reports.training


def model_spec(config: RunConfig, dataset: ForecastDataset) -> ModelSpec:
    """The shape of the model that `config` asks for on these channels.

    Raises:
        ConfigError: a patch longer than the window.
    """
    model, window_length = settled(config.model, dataset, config.data.season), config.data.window_length
    patch = model.patch_length or 1
    if patch > window_length:
        raise ConfigError("model.patch_length", got=patch, allowed=f"at most the window length, {window_length}")
    return ModelSpec(
        len(dataset.signal.channels),
        model.hidden_size,
        model.num_layers or 1,
        dataset.horizon,
        len(dataset.signal.targets),
        window_length,
        model.dropout,
        cell=model.cell,
        bidirectional=model.bidirectional,
        bias=model.bias,
        head=model.head,
        min_sequence=patch,
        normalisation=model.normalisation or "none",
        patch_length=patch,
        channel_mixing=model.channel_mixing or "joint",
        target_channels=tuple(dataset.target_indices),
        quantiles=model.quantiles,
        classes=len(dataset.class_names),
        class_names=dataset.class_names,
        calendar_channels=dataset.signal.calendar_channels,
        streaming=model.streaming and model.task == "forecast",
    )


def load_run(folder: Path) -> Run:
    """Reads a finished run folder.

    Raises:
        BundleError: no folder, a file of it is missing or damaged, or the weights do not fit.
    """
    if not folder.is_dir():
        raise BundleError(f"there is no run folder {folder}", fix="train one with 'lstm-edge train ... --run DIR'")
    _check_there(folder, (RUN, *FILES))
    where = str(folder / RUN)
    record = decode(RunRecord, _json((folder / RUN).read_bytes(), where), where, BundleError)
    _check_files(folder, record)
    model = load_model(record.model, (folder / WEIGHTS).read_bytes(), str(folder / WEIGHTS))
    samples = load_samples(record.model.input_size, (folder / SAMPLES).read_bytes(), str(folder / SAMPLES))
    report = _json((folder / REPORT).read_bytes(), str(folder / REPORT))
    return Run(folder, record, model, samples, report, (folder / CONFIG).read_text(encoding="utf-8"))


def _contents(config: RunConfig, dataset: ForecastDataset, trained: Sequence[Trained]) -> dict[str, bytes]:
    kept = best_of(trained)
    lines = [json.dumps(asdict(epoch)) + "\n" for epoch in kept.result.records]
    samples = test_stretches(dataset, STRETCHES, STRETCH_WINDOWS * config.data.window_length)
    return {
        CONFIG: config.to_toml().encode(),
        METRICS: "".join(lines).encode(),
        WEIGHTS: weights_bytes(kept.model),
        SAMPLES: samples_bytes(samples),
    }


def _report_files(
    config: RunConfig, dataset: ForecastDataset, table: SensorTable, reports: Reports
) -> dict[str, bytes]:
    data = data_report(table, parts_of(table, config.data), dataset.signal, dataset.notes)
    shown = {REPORT: reports.training, DATA: data, EVALUATION: reports.evaluation}
    return {name: report_to_json(report).encode() for name, report in shown.items()}


def _check_there(folder: Path, names: Sequence[str]) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        fix = "train again with another or the same --run"
        raise BundleError(f"{folder} is no finished run folder", got=f"no {missing[0]}", fix=fix)


def _check_files(folder: Path, record: RunRecord) -> None:
    """A file that was cut short or exchanged would pass for what the run was trained with."""
    if record.schema != RunRecord.schema:
        raise BundleError(f"{folder / RUN} is of another version", got=record.schema, allowed=RunRecord.schema)
    pictures = [name for name in PICTURES if name in record.files]
    _check_there(folder, pictures)
    for name in (*FILES, *pictures):
        if record.files.get(name) != hashlib.sha256((folder / name).read_bytes()).hexdigest():
            fix = "train again, or copy the folder again"
            raise BundleError(f"{folder / name} is damaged", got="not what this run wrote", fix=fix)
    config = tomllib.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if tuple(config["data"]["targets"]) != record.signal.targets:
        raise BundleError(f"{folder / RUN} and {CONFIG} name other targets", fix="copy the folder again")


def _provenance(table: SensorTable) -> DataProvenance:
    return DataProvenance(
        table.file_name,
        table.sha256,
        len(table.values),
        len(table.asset_names),
        table.dropped_rows,
        table.filled,
        table.merged_rows,
        table.bad_quality,
    )


def _json(content: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where} is not JSON", got=str(error), fix="train again") from error
    if not isinstance(value, dict):
        raise BundleError(f"{where} is not a JSON table", fix="train again")
    return value
