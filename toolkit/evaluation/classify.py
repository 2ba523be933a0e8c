"""A classifier on every labelled window of a table: how well it tells them apart, in all and by asset."""

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.records import decode, encode
from toolkit.data.config import DataConfig
from toolkit.data.dataset import class_starts, parts_of
from toolkit.data.labels import class_codes
from toolkit.data.tables import SensorTable, of_channels, read_channels, read_table
from toolkit.errors import BundleError, ConfigError, DataError
from toolkit.evaluation.evaluate import TEST, of_graph
from toolkit.runtime.bundle import Bundle
from toolkit.training.class_evaluation import Classifier, LabelledWindows, evaluate_classes
from toolkit.training.class_scoring import model_logits
from toolkit.training.config import config_from_tables
from toolkit.training.run import Run

__all__ = [
    "Classifier",
    "LabelledWindows",
    "classifier_of_bundle",
    "classifier_of_run",
    "evaluate_classes",
    "labelled",
    "own_labelled",
]

Ints = NDArray[np.int64]


def classifier_of_run(run: Run) -> Classifier:
    """A run's torch module."""
    spec = run.record.model
    classify = functools.partial(model_logits, run.model)
    names = spec.class_names or tuple(map(str, range(spec.classes)))
    return Classifier(
        run.record.name, classify, run.record.signal, spec.window_length, names, _known(run.report, names)
    )


def classifier_of_bundle(bundle: Bundle) -> Classifier:
    """A bundle's windowed graph, in the precision that is run.

    Raises:
        BundleError: it holds no classifier that the toolkit trained.
    """
    manifest = bundle.manifest
    spec, signal = manifest.model, manifest.signal
    if spec is None or signal is None or not spec.classes:
        raise BundleError(f"{bundle.folder} holds no classifier")
    names = spec.class_names or tuple(map(str, range(spec.classes)))
    tensors = manifest.graph("windowed").signature
    classify = of_graph(bundle.windowed(), tensors, tensors.answers[0], (spec.classes,))
    return Classifier(manifest.name, classify, signal, spec.window_length, names, _known(manifest.accuracy, names))


def _known(report: dict[str, object], names: tuple[str, ...]) -> str | None:
    commonest = report.get("commonest")
    return commonest if isinstance(commonest, str) and commonest in names else None


def own_labelled(
    run: Run, file: Path | str | tuple[str, ...] | None = None, reading: Mapping[str, Any] | None = None
) -> LabelledWindows:
    """The test windows of the table that a run was trained on, or every labelled window of a file of its columns.

    Raises:
        DataError: the table cannot be used, or holds no labelled window.
    """
    settings = config_from_tables(tomllib.loads(run.config_toml), f"{run.folder}/config.toml")
    classifier, config = classifier_of_run(run), settings.data
    if file is not None:
        readings = run.record.signal.channels[: len(run.record.signal.channels) - run.record.signal.calendar_channels]
        variables = dict.fromkeys(c.variable if settings.features else c.name for c in readings)
        files = str(file) if isinstance(file, Path) else file
        config = replace(config, file=files, channels=tuple(variables), exclude=(), missing="break")
        config = decode(DataConfig, encode(config) | dict(reading or {}), "data", ConfigError)
    table = read_table(config, settings.features)
    table = of_channels(table, classifier.signal.channel_names)
    return _labelled(classifier, table, parts_of(table, config) if file is None else None)


def labelled(
    classifier: Classifier,
    file: Path | str | tuple[str, ...],
    timestamp: str | tuple[str, ...],
    label: str,
    asset: str | None = None,
    *,
    reading: Mapping[str, Any] | None = None,
) -> LabelledWindows:
    """Every window of a file whose last row has a class; one with a missing reading is left out.

    Raises:
        DataError: as `own_labelled`.
    """
    return _labelled(classifier, read_channels(file, timestamp, classifier.signal, asset, label, reading=reading), None)


def _labelled(classifier: Classifier, table: SensorTable, parts: Ints | None) -> LabelledWindows:
    assert table.labels is not None  # whoever read the table named their column
    parts = np.full(len(table.values), TEST) if parts is None else parts
    labels = class_codes(table.labels, classifier.class_names, parts == TEST, table.file_name)
    starts = class_starts((table.segments, parts, labels), TEST, classifier.window_length)
    if not starts.size:
        raise DataError(
            f"{table.file_name} holds no labelled window",
            got=f"a longest unbroken series of {int(np.bincount(table.segments).max())} rows",
            allowed=f"{classifier.window_length} rows or more, the last one with a label",
        )
    return LabelledWindows(table, labels, starts)
