"""How well a run or a bundle forecasts on a table, beside forecasts that need no model."""

from toolkit.evaluation.classify import (
    Classifier,
    classifier_of_bundle,
    classifier_of_run,
    evaluate_classes,
    labelled,
    own_labelled,
)
from toolkit.evaluation.evaluate import (
    Forecaster,
    evaluate,
    forecaster_of_bundle,
    forecaster_of_run,
    own_table,
    table_of,
)

__all__ = [
    "Classifier",
    "Forecaster",
    "classifier_of_bundle",
    "classifier_of_run",
    "evaluate",
    "evaluate_classes",
    "forecaster_of_bundle",
    "forecaster_of_run",
    "labelled",
    "own_labelled",
    "own_table",
    "table_of",
]
