"""A classifier on labelled windows: how well it tells them apart, in all and by asset, beside the commonest class."""

import functools
from dataclasses import dataclass

import numpy as np

from toolkit.contract.class_reports import ClassEvaluationReport
from toolkit.contract.signals import SignalSpec
from toolkit.data.dataset import ForecastDataset
from toolkit.data.tables import SensorTable, of_channels
from toolkit.model.lstm import MultivariateLSTM
from toolkit.runtime.environment import environment
from toolkit.training.class_scoring import Classify, class_scores, compare_classes, confusion_of, model_logits
from toolkit.training.classification import class_counts
from toolkit.training.forecaster import BATCH, Ints


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


def own_classifier(name: str, model: MultivariateLSTM, dataset: ForecastDataset) -> Classifier:
    """A torch module in evaluation mode that was trained on `dataset`."""
    names = dataset.class_names
    commonest = names[int(class_counts(dataset, "train").argmax())]
    classify = functools.partial(model_logits, model)
    return Classifier(name, classify, dataset.signal, dataset.window_length, names, commonest)


def own_labelled_windows(table: SensorTable, dataset: ForecastDataset) -> LabelledWindows:
    """The test windows of the table that `dataset` was made of; channels that it left out are left out."""
    names = dataset.signal.channel_names
    own = table if table.channel_names == names else of_channels(table, names)
    return LabelledWindows(own, dataset.labels.numpy(), dataset.starts["test"].numpy())


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
