"""Whether the model is worth more than the baselines, which cost nothing; by the rule of the training's own verdict."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toolkit.contract.class_reports import ClassScores
from toolkit.contract.reports import Scores, TrainingReport
from toolkit.report.figures import listed
from toolkit.report.material import Material, Named, RecordedAccuracy

TIE = 0.05
"""Per cent, as in the training's verdict: a gain that is shown as 0.0 is none."""
OF_THE_BUNDLE = "The bundle's manifest"


def beaten(material: Material) -> Iterator[str]:
    """A sentence for each report in which a baseline is at least as good."""
    for name, (model, baselines) in forecast_scores(material):
        words = _no_better(model, baselines)
        if words:
            yield f"{name}: the model {words} in mean squared error."
    for name, streaming, baselines in _streams(material):
        words = _no_better(streaming, baselines)
        if words:
            yield f"{name}: with its state carried on, as a gateway runs it, the model {words} in mean squared error."
    for name, own, others in class_scores(material):
        if sum(any(row) for row in own.confusion) < 2:
            yield f"{name}: windows of one class alone tell nothing of the others."
            continue
        better = [other for other, theirs in others.items() if not own.balanced_accuracy > theirs.balanced_accuracy]
        if better:
            yield f"{name}: the model is no better than {listed(better)} by balanced accuracy."


def is_scored(material: Material) -> bool:
    """Whether any source says how well the model does beside the baselines."""
    beside = [bool(baselines) for _, (_, baselines) in forecast_scores(material)]
    return any((*beside, *(bool(baselines) for _, _, baselines in class_scores(material))))


def forecast_scores(material: Material) -> Iterator[tuple[str, tuple[Scores, Mapping[str, Scores]]]]:
    """For each source that scores forecasts its name, the model's errors and the baselines'."""
    for evaluation in material.evaluations:
        yield evaluation.name, (evaluation.report.model, evaluation.report.baselines)
    shown = [evaluation.report.model.test_standardised for evaluation in material.evaluations]
    for training in material.training:
        if training.report.test_standardised in shown:
            continue  # the run's own evaluation is of the same windows
        yield training.name, (own_scores(training.report), training.report.baselines)
    if not material.evaluations and not material.training and material.bundle and material.bundle.accuracy:
        told = material.bundle.accuracy
        yield OF_THE_BUNDLE, (own_scores(told), told.baselines)


def class_scores(material: Material) -> Iterator[tuple[str, ClassScores, Mapping[str, ClassScores]]]:
    """The same of a classifier."""
    found: tuple[Named[Any], ...] = (*material.class_evaluations, *material.class_training)
    for one in found:
        yield one.name, one.report.model, one.report.baselines
    if not found and material.bundle is not None and material.bundle.class_accuracy is not None:
        told = material.bundle.class_accuracy
        yield OF_THE_BUNDLE, told.model, told.baselines


def own_scores(report: TrainingReport | RecordedAccuracy) -> Scores:
    """The model's errors of a training report, as one value."""
    return Scores(report.test, report.test_standardised, report.per_target)


def _streams(material: Material) -> Iterator[tuple[str, Scores, Mapping[str, Scores]]]:
    """Errors by a carried state, where that is how the model is run."""
    plans = [ready.report.plan for ready in material.readiness if ready.report.plan is not None]
    carried = any(plan.graph == "streaming" for plan in plans)
    if not plans:
        carried = material.model is not None and material.model.streaming
    if not carried:
        return
    for one in material.training:
        if one.report.streaming is not None:
            yield one.name, one.report.streaming, one.report.baselines
    told = None if material.bundle is None else material.bundle.accuracy
    if not material.training and told is not None and told.streaming is not None:
        yield OF_THE_BUNDLE, told.streaming, told.baselines


def _no_better(model: Scores, baselines: Mapping[str, Scores]) -> str:
    """`loses to persistence`; an error that is not finite loses to all. Nothing where the model beats each."""
    gains = {name: _gain(scores, model) for name, scores in baselines.items()}
    lost: Sequence[str] = [name for name, gain in gains.items() if not gain > -TIE]
    even: Sequence[str] = [name for name, gain in gains.items() if abs(gain) < TIE]
    parts = ([f"loses to {listed(lost)}"] if lost else []) + ([f"is no better than {listed(even)}"] if even else [])
    return " and ".join(parts)


def _gain(baseline: Scores, model: Scores) -> float:
    """Per cent by which the model's squared error is the smaller one."""
    theirs, own = baseline.test_standardised.mse, model.test_standardised.mse
    return 100.0 * (theirs - own) / max(theirs, 1e-300)
