"""The JSON reports about a classifier. Keys are part of the contract, as in `toolkit.contract.reports`."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ClassScores:
    """How well windows are told apart.

    Attributes:
        accuracy: part of the windows whose class is told right.
        balanced_accuracy: mean over the classes that occur of the part of their windows that is told right.
        macro_f1: mean of `f1` over the classes that it is defined for.
        f1: of each class: twice the hits over twice the hits, the misses and the false calls; None where it neither
            occurs nor is told.
        confusion: for each true class a row, for each told class a column: how many windows.
        false_alarm_rate: where there are two classes, the part of the normal windows that are told otherwise.
        missed_rate: where there are two classes, the part of the others that are told normal.
    """

    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    f1: dict[str, float | None]
    confusion: tuple[tuple[int, ...], ...]
    false_alarm_rate: float | None = None
    missed_rate: float | None = None


@dataclass(frozen=True)
class ClassSeed:
    """One of several trainings that differ by their seed alone: see `toolkit.contract.reports.SeedScores`."""

    seed: int
    validation_loss: float
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    epochs: int
    best_epoch: int
    kept: bool


@dataclass(frozen=True)
class ClassTrainingReport:
    """`training.json` of a classifier.

    Attributes:
        classes: in the order of the logits, and of rows and columns of a confusion matrix.
        commonest: the class of most training windows: what the baseline always says, and the normal one of two.
        model: on the test windows.
        baselines: `commonest` on the same windows.
        class_windows: how many windows of each class each part had, in the order of `classes`.
        epochs: epochs run.
        best_epoch: the epoch whose weights were kept, counted from 1.
        seconds: wall-clock time of training.
        parameters: trainable numbers.
        windows: how many windows each part had.
        verdict: one sentence: whether it beats the commonest class.
        environment: versions and machine.
        seeds: each training, where there were several; the other figures are those of the one that is kept.
        notes: what the table was given that its file does not hold.
    """

    classes: tuple[str, ...]
    commonest: str
    model: ClassScores
    baselines: dict[str, ClassScores]
    class_windows: dict[str, tuple[int, ...]]
    epochs: int
    best_epoch: int
    seconds: float
    parameters: int
    windows: dict[str, int]
    verdict: str
    environment: dict[str, Any]
    seeds: tuple[ClassSeed, ...] = ()
    notes: tuple[str, ...] = ()
    schema: str = "class-training/1"


@dataclass(frozen=True)
class ClassEvaluationReport:
    """What `evaluate` found of a classifier on the labelled windows of a table.

    Attributes:
        name: of the run or bundle.
        file: the table, without its folder.
        windows: that were classified.
        classes: in the order of the logits.
        commonest: what the baseline always says: the commonest class of training, or of this table where that is not
            known.
        model: over all windows.
        by_asset: for each asset that has a window.
        baselines: `commonest` on the same windows.
        verdict: one sentence: whether it beats the commonest class.
        environment: versions and machine.
    """

    name: str
    file: str
    windows: int
    classes: tuple[str, ...]
    commonest: str
    model: ClassScores
    baselines: dict[str, ClassScores]
    verdict: str
    environment: dict[str, Any]
    by_asset: dict[str, ClassScores] = field(default_factory=dict)
    schema: str = "class-evaluation/1"
