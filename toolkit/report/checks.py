"""What a report must hold true to be shown: curves as long as their times, times on a calendar, one verdict."""

from collections.abc import Sequence

from toolkit.contract.class_reports import ClassEvaluationReport, ClassScores, ClassTrainingReport
from toolkit.contract.latency_reports import LatencyReport
from toolkit.contract.parity_reports import ParityReport
from toolkit.contract.picture_reports import ChannelTrace, DataReport, ForecastExample
from toolkit.contract.readiness_reports import ReadinessReport
from toolkit.contract.reports import EvaluationReport
from toolkit.errors import ReportError
from toolkit.report.figures import EARLIEST_S, LATEST_S

MOST_POINTS = 5000
"""Of one curve: far more than an eye can tell apart, and few enough for a page."""
MOST_CLASSES = 100


def check_report(report: object, where: str) -> None:
    """Refuses what cannot be drawn, and what says of itself both that it passed and that it did not.

    Raises:
        ReportError: with the place, what stands there and what is allowed.
    """
    if isinstance(report, DataReport):
        _check_data(report, where)
    elif isinstance(report, EvaluationReport):
        for place, example in enumerate(report.examples):
            _check_example(example, f"{where}: examples[{place}]")
        for name, steps in report.baselines_by_step.items():
            _same(f"{where}: baselines_by_step.{name:.40}", len(steps), len(report.by_step))
    elif isinstance(report, (ClassEvaluationReport, ClassTrainingReport)):
        _check_classes(report, where)
    elif isinstance(report, LatencyReport):
        for place, crossover in enumerate(report.crossovers):
            _same(f"{where}: crossovers[{place}]: ratios", len(crossover.ratios), len(crossover.batches))
    elif isinstance(report, (ParityReport, ReadinessReport)):
        _check_passed(report, where)


def _check_passed(report: ParityReport | ReadinessReport, where: str) -> None:
    """What says that it passed holds nothing that did not."""
    if isinstance(report, ParityReport):
        failed = max(report.summary.failed, sum(not case.passed for case in report.cases))
        if report.passed and failed:
            raise ReportError(f"{where} contradicts itself", got=f"passed, with {failed} cases that failed")
    elif report.ready:
        broken = [budget.name for budget in report.budgets if not budget.kept]
        against = [*report.reasons, *broken, *([] if report.trial.outcome == "passed" else [report.trial.outcome])]
        if against:
            raise ReportError(f"{where} contradicts itself", got=f"ready, with {against[0]:.60}")


def _check_data(report: DataReport, where: str) -> None:
    _same(f"{where}: units", len(report.units), len(report.channels))
    _times(f"{where}: borders_s", report.borders_s)
    _times(f"{where}: end_s", (report.end_s,))
    for place, trace in enumerate(report.traces):
        _check_trace(trace, f"{where}: traces[{place}]")
    for place, gap in enumerate(report.gaps):
        _times(f"{where}: gaps[{place}]", (gap.start_s, gap.end_s))
    for place, one in enumerate(report.distributions):
        bins = len(one.edges) - 1
        if not 1 <= bins <= MOST_POINTS:
            raise ReportError(f"{where}: distributions[{place}]: edges", got=len(one.edges), allowed="two or more")
        for part, shares in one.shares.items():
            _same(f"{where}: distributions[{place}]: shares.{part:.40}", len(shares), bins)


def _check_trace(trace: ChannelTrace, where: str) -> None:
    for name in ("low", "mean", "high"):
        _same(f"{where}: {name}", len(getattr(trace, name)), len(trace.times_s))
    _times(f"{where}: times_s", trace.times_s)


def _check_example(example: ForecastExample, where: str) -> None:
    _same(f"{where}: history", len(example.history), len(example.history_times_s))
    curves = {"truth": example.truth, "forecast": example.forecast}
    for name, curve in (curves | example.baselines | example.quantiles).items():
        _same(f"{where}: {name:.40}", len(curve), len(example.times_s))
    _times(f"{where}: history_times_s", example.history_times_s)
    _times(f"{where}: times_s", example.times_s)


def _check_classes(report: ClassEvaluationReport | ClassTrainingReport, where: str) -> None:
    classes = len(report.classes)
    if not 1 <= classes <= MOST_CLASSES:
        raise ReportError(f"{where}: classes", got=classes, allowed=f"1 to {MOST_CLASSES}")
    scores: dict[str, ClassScores] = {"model": report.model, **report.baselines}
    for name, one in scores.items():
        for row in (one.confusion, *one.confusion):
            _same(f"{where}: {name:.40}: confusion", len(row), classes)


def _same(where: str, length: int, wanted: int) -> None:
    if length != wanted:
        raise ReportError(where, got=f"{length} values", allowed=f"{wanted}, one for each place")


def _times(where: str, times_s: Sequence[float]) -> None:
    if len(times_s) > MOST_POINTS:
        raise ReportError(where, got=f"{len(times_s)} times", allowed=f"at most {MOST_POINTS}")
    wrong = [time for time in times_s if not EARLIEST_S < time < LATEST_S]
    if wrong:
        raise ReportError(where, got=wrong[0], allowed="seconds since 1970, within the calendar")
