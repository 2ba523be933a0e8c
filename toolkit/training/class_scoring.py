"""How well a classifier tells windows apart, beside always saying the commonest class, on the same windows.

The label of the row before is no baseline: at the edge nobody knows it. Where it were known, no model would be needed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.contract.class_reports import ClassEvaluationReport, ClassScores, ClassSeed, ClassTrainingReport
from toolkit.data.dataset import ForecastDataset
from toolkit.model.lstm import MultivariateLSTM
from toolkit.training.classification import class_counts
from toolkit.training.objectives import EVALUATION_BATCH
from toolkit.training.scoring import Floats
from toolkit.training.seeds import Trained, best_of

Classify = Callable[[Floats], Floats]
"""From raw windows `[windows, window_length, channels]` to logits `[windows, classes]`."""

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class ClassComparison:
    """The model beside the commonest class on the same windows."""

    model: ClassScores
    commonest: ClassScores

    @property
    def verdict(self) -> str:
        """One sentence that says plainly what the model is worth.

        Balanced accuracy decides: where one window in a hundred is a fault, accuracy is won by never seeing one.
        """
        occurring = [name for name, row in zip(self.model.f1, self.model.confusion, strict=True) if sum(row)]
        if len(occurring) < 2:
            return f"was shown windows of {occurring[0]!r} alone, which tells nothing of the others: do not deploy this"
        balanced, plain = (self._gain(each) for each in ("balanced_accuracy", "accuracy"))
        parts = [(balanced, "balanced accuracy"), (plain, "accuracy")]
        won = [f"by {gain:.1f} points in {what}" for gain, what in parts if gain > 0]
        lost = [f"by {abs(gain):.1f} points in {what}" for gain, what in parts if not gain > 0]
        sentences = [f"beats the commonest class {' and '.join(won)}"] if won else []
        sentences += [f"loses to the commonest class {' and '.join(lost)}"] if lost else []
        return "; ".join(sentences) + _advice(balanced, plain)

    def _gain(self, figure: str) -> float:
        """In hundredths of the whole."""
        return 100.0 * float(getattr(self.model, figure) - getattr(self.commonest, figure))


def _advice(balanced: float, plain: float) -> str:
    if not balanced > 0:  # NaN is no gain
        return ": do not deploy this"
    return "" if plain > 0 else ": a mixed result, to be weighed before it is deployed"


def compare_classes(confusion: Counts, class_names: Sequence[str], commonest: str) -> ClassComparison:
    """A model's confusion matrix `[true, told]` beside that of always saying `commonest`."""
    always = np.zeros_like(confusion)
    always[:, list(class_names).index(commonest)] = confusion.sum(axis=1)
    return ClassComparison(
        class_scores(confusion, class_names, commonest), class_scores(always, class_names, commonest)
    )


def class_scores(confusion: Counts, class_names: Sequence[str], commonest: str) -> ClassScores:
    """Scores from a confusion matrix.

    Args:
        confusion: windows by true class and told class, int64 `[classes, classes]`, at least one.
        class_names: in its order.
        commonest: of two classes the normal one.
    """
    hits, true, told = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    occurs = true > 0
    f1 = [2.0 * float(h) / float(t + p) if t + p else None for h, t, p in zip(hits, true, told, strict=True)]
    known = [each for each in f1 if each is not None]
    return ClassScores(
        float(hits.sum() / true.sum()),
        float((hits[occurs] / true[occurs]).mean()),
        float(np.mean(known)),
        dict(zip(class_names, f1, strict=True)),
        tuple(tuple(int(n) for n in row) for row in confusion),
        *_alarm_rates(confusion, class_names, commonest),
    )


def _alarm_rates(confusion: Counts, class_names: Sequence[str], commonest: str) -> tuple[float | None, float | None]:
    """Of two classes: how often the normal one raises an alarm, and how often the other one raises none."""
    if len(class_names) != 2:
        return None, None
    normal = list(class_names).index(commonest)
    wrong = (confusion[normal, 1 - normal], confusion[1 - normal, normal])
    whole = (confusion[normal].sum(), confusion[1 - normal].sum())
    false_alarms, missed = (float(w / n) if n else None for w, n in zip(wrong, whole, strict=True))
    return false_alarms, missed


def confusion_of(told: Counts, true: Counts, classes: int) -> Counts:
    """`[true, told]`: how many windows."""
    return np.bincount(true * classes + told, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def model_logits(model: MultivariateLSTM, x: Floats) -> Floats:
    """Logits `[windows, classes]` of a module in evaluation mode."""
    with torch.inference_mode():
        return model.last_standardised(torch.from_numpy(np.asarray(x, np.float32))).double().numpy()


def class_report(
    dataset: ForecastDataset, trained: Sequence[Trained], evaluated: ClassEvaluationReport
) -> ClassTrainingReport:
    """What training came to.

    Args:
        dataset: where the windows come from.
        trained: from each seed; the one with the best validation loss is the run's.
        evaluated: that one on the test windows.
    """
    kept = best_of(trained)
    return ClassTrainingReport(
        classes=dataset.class_names,
        commonest=evaluated.commonest,
        model=evaluated.model,
        baselines=evaluated.baselines,
        class_windows={part: tuple(class_counts(dataset, part).tolist()) for part in dataset.starts},
        epochs=len(kept.result.records),
        best_epoch=kept.result.best_epoch,
        seconds=sum(one.result.seconds for one in trained),
        parameters=sum(parameter.numel() for parameter in kept.model.parameters()),
        windows={part: len(starts) for part, starts in dataset.starts.items()},
        verdict=evaluated.verdict,
        environment=evaluated.environment,
        seeds=_seeds(dataset, trained, evaluated) if len(trained) > 1 else (),
        notes=dataset.notes,
    )


def _seeds(
    dataset: ForecastDataset, trained: Sequence[Trained], evaluated: ClassEvaluationReport
) -> tuple[ClassSeed, ...]:
    names, kept = dataset.class_names, best_of(trained)
    scored = [
        evaluated.model
        if one is kept
        else class_scores(_test_confusion(one.model, dataset), names, evaluated.commonest)
        for one in trained
    ]
    return tuple(
        ClassSeed(
            one.seed,
            one.validation_loss,
            scores.accuracy,
            scores.balanced_accuracy,
            scores.macro_f1,
            len(one.result.records),
            one.result.best_epoch,
            one is kept,
        )
        for one, scores in zip(trained, scored, strict=True)
    )


def _test_confusion(model: MultivariateLSTM, dataset: ForecastDataset) -> Counts:
    classes = len(dataset.class_names)
    confusion = np.zeros((classes, classes), np.int64)
    for starts in torch.split(dataset.starts["test"], EVALUATION_BATCH):
        x, _ = dataset.gather(starts)
        told = model_logits(model, x.numpy()).argmax(axis=1)
        confusion += confusion_of(told, dataset.labels_of(starts).numpy(), classes)
    return confusion
