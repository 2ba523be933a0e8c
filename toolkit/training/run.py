"""A run folder: `config.toml`, `run.json`, weights, samples of the test part, `metrics.jsonl` and `training.json`.

The folder appears whole when training ends, or not at all.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from toolkit import atomic_files
from toolkit.contract.manifest import SAMPLES, WEIGHTS
from toolkit.contract.model_spec import ModelSpec
from toolkit.contract.records import decode, encode
from toolkit.contract.reports import TrainingReport, report_to_json
from toolkit.contract.signals import SignalSpec
from toolkit.data.dataset import ForecastDataset, build_dataset, test_stretches
from toolkit.data.tables import SensorTable, read_table
from toolkit.errors import BundleError, ModelError
from toolkit.model.lstm import MultivariateLSTM, model_from_spec
from toolkit.runtime.environment import environment
from toolkit.training.config import RunConfig
from toolkit.training.loop import FitResult, Progress, fit
from toolkit.training.scoring import Comparison, compare

RUN, CONFIG, METRICS, REPORT = "run.json", "config.toml", "metrics.jsonl", "training.json"

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
    """`run.json`: what an export needs to know without the data; the hash is that of `config.toml`."""

    name: str
    model: ModelSpec
    signal: SignalSpec
    data: DataProvenance
    config_sha256: str
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
    atomic_files.check_free(folder, overwrite=overwrite)
    table = read_table(config.data)
    dataset = build_dataset(table, config.data)
    with atomic_files.new_folder(folder, overwrite=overwrite) as partial:
        record = _record(folder.name, config, dataset, _provenance(table))
        (partial / CONFIG).write_bytes(config.to_toml().encode())
        (partial / RUN).write_text(json.dumps(encode(record), indent=2) + "\n", encoding="utf-8")
        model, result = _fit(record.model, dataset, config, progress)
        lines = [json.dumps(asdict(epoch)) + "\n" for epoch in result.records]
        (partial / METRICS).write_text("".join(lines), encoding="utf-8")
        (partial / WEIGHTS).write_bytes(weights_bytes(model))
        samples = test_stretches(dataset, STRETCHES, STRETCH_WINDOWS * config.data.window_length)
        (partial / SAMPLES).write_bytes(samples_bytes(samples))
        report = _report(model, dataset, result, compare(model, dataset, config.data.season))
        (partial / REPORT).write_text(report_to_json(report), encoding="utf-8")
    return report


def model_spec(config: RunConfig, dataset: ForecastDataset) -> ModelSpec:
    """The shape of the model that `config` asks for on these channels."""
    return ModelSpec(
        len(dataset.signal.channels),
        config.model.hidden_size,
        config.model.num_layers,
        config.data.horizon,
        len(dataset.signal.targets),
        config.data.window_length,
        config.model.dropout,
    )


def load_run(folder: Path) -> Run:
    """Reads a finished run folder.

    Raises:
        BundleError: no folder, a file of it is missing or damaged, or the weights do not fit.
    """
    if not folder.is_dir():
        raise BundleError(f"there is no run folder {folder}", fix="train one with 'lstm-edge train ... --run DIR'")
    missing = [name for name in (RUN, CONFIG, METRICS, WEIGHTS, SAMPLES, REPORT) if not (folder / name).is_file()]
    if missing:
        raise BundleError(
            f"{folder} is no finished run folder",
            got=f"no {missing[0]}",
            fix="train again with another or the same --run",
        )
    record = decode(RunRecord, _json(folder / RUN), str(folder / RUN), BundleError)
    model = model_from_spec(record.model)
    load_weights(model, (folder / WEIGHTS).read_bytes(), str(folder / WEIGHTS))
    config_toml = _config_text(folder / CONFIG, record.config_sha256)
    samples = load_samples(model, (folder / SAMPLES).read_bytes(), str(folder / SAMPLES))
    return Run(folder, record, model, samples, _json(folder / REPORT), config_toml)


def load_weights(model: MultivariateLSTM, content: bytes, where: str) -> None:
    """Loads a safetensors file into a model and puts it into evaluation mode.

    Raises:
        BundleError: the file is damaged.
        ModelError: its tensors do not fit the model, or hold NaN or infinity.
    """
    tensors = _tensors(content, where)
    expected = model.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        got, wanted = tensors.get(name), expected.get(name)
        if got is None or wanted is None or got.shape != wanted.shape or got.dtype != wanted.dtype:
            raise ModelError(
                f"{where} does not fit the model at {name!r}", got=_shape_text(got), allowed=_shape_text(wanted)
            )
        if not torch.isfinite(got).all():
            raise ModelError(f"{where}: {name!r} holds NaN or infinity", fix="train again")
    model.load_state_dict(tensors)
    model.eval()


def load_samples(model: MultivariateLSTM, content: bytes, where: str) -> torch.Tensor:
    """Reads `samples.safetensors`: raw readings, float32 `[stretches, samples, channels]`.

    Raises:
        BundleError: the file is damaged or does not fit the model.
    """
    samples = _tensors(content, where).get("x")
    if samples is None or samples.dim() != 3 or samples.shape[2] != model.lstm.input_size or not samples.numel():
        raise BundleError(
            f"{where} does not fit the model",
            got=_shape_text(samples),
            allowed=f"float32[stretches, samples, {model.lstm.input_size}]",
        )
    if samples.dtype != torch.float32 or not torch.isfinite(samples).all():
        raise BundleError(f"{where}: readings must be finite float32 numbers", fix="train again")
    return samples


def samples_bytes(samples: torch.Tensor) -> bytes:
    """The contents of a safetensors file that `load_samples` reads."""
    return safetensors.torch.save({"x": samples.contiguous()})


def _tensors(content: bytes, where: str) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise BundleError(f"{where} is damaged", got=str(error), fix="train again, or copy the file again") from error


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


def weights_bytes(model: MultivariateLSTM) -> bytes:
    """The contents of a safetensors file with all weights and buffers."""
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not JSON", got=str(error), fix="train again") from error
    if not isinstance(value, dict):
        raise BundleError(f"{path} is not a JSON table", fix="train again")
    return value


def _record(name: str, config: RunConfig, dataset: ForecastDataset, data: DataProvenance) -> RunRecord:
    config_sha256 = hashlib.sha256(config.to_toml().encode()).hexdigest()
    return RunRecord(name, model_spec(config, dataset), dataset.signal, data, config_sha256)


def _config_text(path: Path, sha256: str) -> str:
    """The resolved configuration; a part of it, or another, would pass for what the run was trained with."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BundleError(f"{path} is not what this run was trained with", fix="train again, or copy the file again")
    return content.decode()


def _shape_text(tensor: torch.Tensor | None) -> str:
    return "nothing" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
