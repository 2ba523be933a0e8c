"""How well a run or a bundle forecasts on a table, beside forecasts that need no model."""

from toolkit.evaluation.evaluate import (
    Forecaster,
    evaluate,
    forecaster_of_bundle,
    forecaster_of_run,
    own_table,
    table_of,
)

__all__ = ["Forecaster", "evaluate", "forecaster_of_bundle", "forecaster_of_run", "own_table", "table_of"]
