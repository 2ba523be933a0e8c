"""A classifier's reports as plain tables."""

from statistics import mean, stdev

from toolkit.cli.text_table import table, wrapped
from toolkit.contract.class_reports import ClassEvaluationReport, ClassScores, ClassTrainingReport

SHOWN_CLASSES, SHOWN_ASSETS = 20, 20


def class_training_table(report: ClassTrainingReport) -> str:
    """The model beside the commonest class, class by class, and the verdict in words."""
    return (
        f"{_scores(report, 'test windows')}\n\n{_by_class(report)}\n"
        f"{wrapped(f'The model {report.verdict}.')}\n"
        f"{report.parameters} parameters, best epoch {report.best_epoch} of {report.epochs}, {report.seconds:.1f} s"
        f"{_seeds_text(report)}" + "".join(f"\n{wrapped(f'Note: {note}.')}" for note in report.notes)
    )


def class_evaluation_table(report: ClassEvaluationReport) -> str:
    """The model beside the commonest class; class by class, and asset by asset."""
    parts = [_scores(report, f"{report.windows} windows"), _by_class(report)]
    if len(report.by_asset) > 1:
        worst = sorted(report.by_asset.items(), key=lambda pair: pair[1].balanced_accuracy)[:SHOWN_ASSETS]
        width = _width(report)
        rows = [[name, *_row(scores)[:width]] for name, scores in worst]
        parts.append(table(["asset, worst first", *HEADER[:width]], rows))
    return "\n\n".join((*parts, wrapped(f"The model {report.verdict}.")))


HEADER = ["accuracy", "balanced", "F1 (macro)", "false alarms", "missed"]


def _scores(report: ClassTrainingReport | ClassEvaluationReport, windows: str) -> str:
    named = {"this model": report.model, f"always {report.commonest}": report.baselines["commonest"]}
    width = _width(report)
    return table([windows, *HEADER[:width]], [[name, *_row(scores)[:width]] for name, scores in named.items()])


def _width(report: ClassTrainingReport | ClassEvaluationReport) -> int:
    """Figures of a row: only of two classes one is the alarm."""
    return len(HEADER) if len(report.classes) == 2 else len(HEADER) - 2


def _row(scores: ClassScores) -> list[str]:
    figures = (
        scores.accuracy,
        scores.balanced_accuracy,
        scores.macro_f1,
        scores.false_alarm_rate,
        scores.missed_rate,
    )
    return [_figure(figure) for figure in figures]


def _by_class(report: ClassTrainingReport | ClassEvaluationReport) -> str:
    """Windows of each class by what the model told: its confusion matrix."""
    shown = report.classes[:SHOWN_CLASSES]
    rows = [
        [name, str(sum(row)), _figure(report.model.f1[name]), *map(str, row[:SHOWN_CLASSES])]
        for name, row in zip(shown, report.model.confusion, strict=False)
    ]
    return table(["class", "windows", "F1", *(f"told {name}" for name in shown)], rows)


def _figure(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.4f}"


def _seeds_text(report: ClassTrainingReport) -> str:
    """Mean and spread over the seeds; the spread is the sample standard deviation."""
    if not report.seeds:
        return ""
    balanced, f1 = ([getattr(seed, what) for seed in report.seeds] for what in ("balanced_accuracy", "macro_f1"))
    kept = next(seed.seed for seed in report.seeds if seed.kept)
    return "\n" + wrapped(
        f"{len(report.seeds)} seeds: balanced accuracy {mean(balanced):.4f} +- {stdev(balanced):.2g}, "
        f"F1 {mean(f1):.4f} +- {stdev(f1):.2g}; seed {kept}, the best on validation, is kept"
    )
