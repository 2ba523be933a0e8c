"""Windows to look at: of each target the one that is forecast best, the median one and the worst."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.picture_reports import ForecastExample
from toolkit.training.forecaster import Array, Forecaster, Ints, Windows, batches
from toolkit.training.scoring import Floats, Forecast

KINDS = ("best", "median", "worst")
MOST_TARGETS = 12
"""Those after them have no example: nobody looks at hundreds of charts."""

MOST_HISTORY = 120
"""Rows of a window that are shown, the last ones."""


@dataclass(frozen=True)
class _Answers:
    """The chosen windows and what is said of them, each `[windows, horizon, targets]`, quantiles with one axis more."""

    starts: Ints
    truth: Array
    forecast: Floats
    quantiles: Floats | None
    baselines: dict[str, Floats]


def window_errors(error: Array) -> Array:
    """Mean squares `[windows, targets]` of errors `[windows, horizon, targets]`, of the targets that have examples."""
    errors: Array = np.square(error[..., :MOST_TARGETS]).mean(axis=1)
    return errors


def ranked(errors: Array) -> Ints:
    """For each of `KINDS` and each target the number of its window; of equal ones the first.

    The median is the lower one of an even number. NaN counts as worse than all numbers.

    Args:
        errors: `[windows, targets]`, at least one window.

    Returns:
        int64 `[kinds, targets]`.
    """
    known = np.where(np.isnan(errors), np.inf, errors)
    middle = (len(known) - 1) // 2
    median = np.partition(known, middle, axis=0)[middle]
    return np.stack([known.argmin(axis=0), (known == median).argmax(axis=0), known.argmax(axis=0)])


def examples_of(
    forecaster: Forecaster, windows: Windows, errors: Array, baselines: Mapping[str, Forecast]
) -> tuple[ForecastExample, ...]:
    """The windows that `ranked` chooses, target by target; they alone are forecast again.

    Args:
        forecaster: what forecasts.
        windows: all of them.
        errors: of each, `window_errors`.
        baselines: by name, each from raw windows to raw forecasts.
    """
    chosen = ranked(errors)
    numbers = np.unique(chosen)  # few enough for one batch
    answers = _answers(forecaster, replace(windows, starts=windows.starts[numbers]), baselines)
    places = np.searchsorted(numbers, chosen)  # [kinds, targets]
    return tuple(
        _example(kind, forecaster, windows, answers, (int(places[row, target]), target))
        for target in range(places.shape[1])
        for row, kind in enumerate(KINDS)
    )


def _answers(forecaster: Forecaster, windows: Windows, baselines: Mapping[str, Forecast]) -> _Answers:
    (batch,) = batches(forecaster, windows)
    forecast, quantiles = forecaster.answers(batch.x)
    told = {name: baseline(batch.x) for name, baseline in baselines.items()}
    return _Answers(windows.starts, batch.truth, forecast, quantiles, told)


def _example(
    kind: str, forecaster: Forecaster, windows: Windows, answers: _Answers, place: tuple[int, int]
) -> ForecastExample:
    """The window and target at `place` of the answers."""
    window, target = place
    signal, table, begin = forecaster.signal, windows.table, int(answers.starts[window])
    middle = begin + forecaster.window_length
    history = slice(max(begin, middle - MOST_HISTORY), middle)
    truth, forecast = answers.truth[window, :, target], answers.forecast[window, :, target]
    return ForecastExample(
        kind=kind,
        asset=table.asset_names[table.assets[begin]],
        target=signal.targets[target],
        unit=signal.target_units[target],
        history_times_s=_floats(table.times_us[history] / 1e6),
        history=_floats(table.values[history, signal.target_indices[target]]),
        times_s=_floats(table.times_us[middle : middle + forecaster.horizon] / 1e6),
        truth=_floats(truth),
        forecast=_floats(forecast),
        baselines={name: _floats(told[window, :, target]) for name, told in answers.baselines.items()},
        quantiles=_quantiles(forecaster, answers, place),
        error=float(np.abs(forecast - truth).mean()),
    )


def _quantiles(forecaster: Forecaster, answers: _Answers, place: tuple[int, int]) -> dict[str, tuple[float, ...]]:
    """By level as text; none of a forecaster without."""
    if answers.quantiles is None:
        return {}
    window, target = place
    steps = answers.quantiles[window, :, target]  # [horizon, quantiles]
    return {f"{level:g}": _floats(steps[:, number]) for number, level in enumerate(forecaster.levels)}


def _floats(values: NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(values.tolist())
