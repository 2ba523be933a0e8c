"""A classifier on every labelled window of a table: how well it tells them apart, in all and by asset."""

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.class_reports import ClassEvaluationReport
from toolkit.contract.records import decode, encode
from toolkit.contract.signals import SignalSpec
from toolkit.data.config import DataConfig
from toolkit.data.dataset import class_starts, parts_of
from toolkit.data.labels import class_codes
from toolkit.data.tables import SensorTable, of_channels, read_channels, read_table
from toolkit.errors import BundleError, ConfigError, DataError
from toolkit.evaluation.evaluate import BATCH, TEST, of_graph
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.environment import environment
from toolkit.training.class_scoring import Classify, class_scores, compare_classes, confusion_of, model_logits
from toolkit.training.config import config_from_tables
from toolkit.training.run import Run

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Classifier:
    """What is evaluated.

    Attributes:
        name: of the run or bundle.
        classify: raw windows, float32 `[windows, window_length, channels]`, to logits `[windows, classes]`.
        signal: order of the channels.
        window_length: samples of input.
        class_names: in the order of the logits.
        commonest: the class of most training windows, or None where that is not known.
    """

    name: str
    classify: Classify
    signal: SignalSpec
    window_length: int
    class_names: tuple[str, ...]
    commonest: str | None


@dataclass(frozen=True)
class LabelledWindows:
    """A table, the class of each row, and the first rows of the windows to be classified."""

    table: SensorTable
    labels: Ints
    starts: Ints


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


def evaluate_classes(classifier: Classifier, windows: LabelledWindows) -> ClassEvaluationReport:
    """Scores over every window, and over those of each asset, beside the commonest class."""
    names, table = classifier.class_names, windows.table
    last = windows.starts + classifier.window_length - 1
    true, told, assets = windows.labels[last], _told(classifier, windows), table.assets[last]
    commonest = classifier.commonest or names[int(np.bincount(true, minlength=len(names)).argmax())]
    comparison = compare_classes(confusion_of(told, true, len(names)), names, commonest)
    by_asset = {
        table.asset_names[asset]: confusion_of(told[assets == asset], true[assets == asset], len(names))
        for asset in np.unique(assets)
    }
    return ClassEvaluationReport(
        classifier.name,
        table.file_name,
        len(last),
        names,
        commonest,
        comparison.model,
        {"commonest": comparison.commonest},
        comparison.verdict,
        environment(),
        {asset: class_scores(confusion, names, commonest) for asset, confusion in by_asset.items()},
    )


def _told(classifier: Classifier, windows: LabelledWindows) -> Ints:
    """The class of the largest logit, of each window."""
    steps, told = np.arange(classifier.window_length), []
    for first in range(0, len(windows.starts), BATCH):
        starts = windows.starts[first : first + BATCH]
        x = windows.table.values[starts[:, None] + steps].astype(np.float32)
        told.append(classifier.classify(x).argmax(axis=1))
    return np.concatenate(told).astype(np.int64)
