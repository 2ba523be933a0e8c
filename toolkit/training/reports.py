"""What a finished training is worth, told twice: in short for `training.json`, and in full for `evaluation.json`.

The kept model forecasts every test window once; both reports come of those forecasts.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from toolkit.contract.class_reports import ClassEvaluationReport, ClassTrainingReport
from toolkit.contract.reports import EvaluationReport, SeedScores, TrainingReport
from toolkit.data.dataset import ForecastDataset
from toolkit.data.tables import SensorTable
from toolkit.training.class_evaluation import evaluate_classes, own_classifier, own_labelled_windows
from toolkit.training.class_scoring import class_report
from toolkit.training.config import RunConfig
from toolkit.training.forecast_evaluation import evaluate
from toolkit.training.forecaster import forecaster_of_model, own_windows
from toolkit.training.scoring import model_forecast, score, season_of, stream_score
from toolkit.training.seeds import Trained, best_of

TrainedReport = TrainingReport | ClassTrainingReport


@dataclass(frozen=True)
class Reports:
    """`training.json` and `evaluation.json`, the latter of the run's own test windows."""

    training: TrainedReport
    evaluation: EvaluationReport | ClassEvaluationReport


def reports_of(
    name: str, config: RunConfig, table: SensorTable, dataset: ForecastDataset, trained: Sequence[Trained]
) -> Reports:
    """Scores what was trained on the test windows.

    Args:
        name: of the run.
        config: of the run.
        table: that `dataset` was made of.
        dataset: where the windows come from.
        trained: from each seed, in evaluation mode; the one with the best validation loss is the run's.
    """
    model = best_of(trained).model
    if dataset.class_names:
        told = evaluate_classes(own_classifier(name, model, dataset), own_labelled_windows(table, dataset))
        return Reports(class_report(dataset, trained, told), told)
    scale = dataset.std[dataset.target_indices].numpy()
    forecaster = forecaster_of_model(name, model, dataset.signal, dataset.window_length, dataset.horizon)
    windows = own_windows(table, dataset, config.data.season or season_of(dataset))
    evaluation = evaluate(replace(forecaster, scale=scale), windows)
    return Reports(_training_report(dataset, trained, evaluation), evaluation)


def _training_report(
    dataset: ForecastDataset, trained: Sequence[Trained], evaluation: EvaluationReport
) -> TrainingReport:
    kept = best_of(trained)
    return TrainingReport(
        test=evaluation.model.test,
        test_standardised=evaluation.model.test_standardised,
        per_target=evaluation.model.per_target,
        baselines=evaluation.baselines,
        season=evaluation.season,
        epochs=len(kept.result.records),
        best_epoch=kept.result.best_epoch,
        seconds=sum(one.result.seconds for one in trained),
        parameters=sum(parameter.numel() for parameter in kept.model.parameters()),
        windows={part: len(starts) for part, starts in dataset.starts.items()},
        verdict=evaluation.verdict,
        environment=evaluation.environment,
        seeds=_seed_scores(dataset, trained, evaluation) if len(trained) > 1 else (),
        notes=dataset.notes,
        interval=evaluation.interval,
        streaming=stream_score(kept.model, dataset) if kept.model.streams else None,
    )


def _seed_scores(
    dataset: ForecastDataset, trained: Sequence[Trained], evaluation: EvaluationReport
) -> tuple[SeedScores, ...]:
    kept = best_of(trained)
    scored = [
        evaluation.model if one is kept else score(dataset, functools.partial(model_forecast, one.model))
        for one in trained
    ]
    return tuple(
        SeedScores(
            one.seed,
            one.validation_loss,
            scores.test_standardised,
            len(one.result.records),
            one.result.best_epoch,
            one is kept,
        )
        for one, scores in zip(trained, scored, strict=True)
    )
