"""How well a classifier tells windows apart."""

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes

from toolkit.contract.class_reports import ClassEvaluationReport, ClassScores, ClassTrainingReport
from toolkit.report.drawing import chart, name_axes
from toolkit.report.figures import counted, number, percent, short
from toolkit.report.heat import Cell, paint_heat
from toolkit.report.page import Block, Chart, Charts, Facts, Table, Words, table

MOST_DRAWN = 20
"""Classes of a confusion matrix that still has room for its numbers."""


def class_training_blocks(report: ClassTrainingReport, key: str) -> Iterator[Block]:
    """Figures of a classifier's training."""
    windows = ", ".join(f"{count:,} {short(part, 20)}" for part, count in report.windows.items())
    yield Facts(
        (
            ("Epochs", f"{report.epochs}, the best is {report.best_epoch}"),
            ("Time", f"{number(report.seconds, 3)} s"),
            ("Parameters", f"{report.parameters:,}"),
            ("Windows", windows),
        )
    )
    yield from (Words(f"Note: {note}.") for note in report.notes)
    yield from _score_blocks(report.classes, report.model, report.baselines, key)
    if len(report.seeds) > 1:
        rows = [(str(s.seed), number(s.macro_f1), number(s.accuracy), "yes" if s.kept else "") for s in report.seeds]
        yield table("Trainings that differ by their seed alone", ("seed", "macro F1", "accuracy", "kept"), rows)


def class_evaluation_blocks(report: ClassEvaluationReport, key: str) -> Iterator[Block]:
    """What `evaluate` found of a classifier."""
    yield Words(f"{counted(report.windows, 'window')} of {short(report.file, 80)}; the model {report.verdict}.")
    yield from _score_blocks(report.classes, report.model, report.baselines, key)
    if len(report.by_asset) > 1:
        worst = sorted(report.by_asset.items(), key=lambda pair: pair[1].macro_f1)
        rows = [(short(name, 40), number(s.macro_f1), number(s.accuracy)) for name, s in worst]
        yield table("By asset, the worst first", ("asset", "macro F1", "accuracy"), rows)


def _score_blocks(
    classes: Sequence[str], model: ClassScores, baselines: dict[str, ClassScores], key: str
) -> Iterator[Block]:
    scores = {"this model": model, **baselines}
    rows = [
        (short(name, 40), percent(s.accuracy), percent(s.balanced_accuracy), number(s.macro_f1))
        for name, s in scores.items()
    ]
    yield table("On the same windows", ("", "accuracy", "balanced accuracy", "macro F1"), rows)
    if model.false_alarm_rate is not None or model.missed_rate is not None:
        alarms, missed = percent(model.false_alarm_rate), percent(model.missed_rate)
        yield Words(f"Of the normal windows {alarms} are told otherwise; of the others {missed} are missed.")
    yield _f1_table(classes, model)
    if len(classes) <= MOST_DRAWN:
        yield Charts((_confusion_chart(classes, model, key),))


def _f1_table(classes: Sequence[str], model: ClassScores) -> Table:
    rows = [
        (short(name, 40), number(model.f1.get(name)), f"{sum(row):,}")
        for name, row in zip(classes, model.confusion, strict=True)
    ]
    return table("By class", ("class", "F1", "windows"), rows)


def _confusion_chart(classes: Sequence[str], model: ClassScores, key: str) -> Chart:
    cells = []
    for down, row in enumerate(model.confusion):
        whole = max(sum(row), 1)
        cells += [Cell(across, down, count / whole, f"{count:,}") for across, count in enumerate(row)]

    def paint(axes: Axes) -> None:
        paint_heat(axes, cells, [short(name, 9) for name in classes], [short(name, 14) for name in classes])
        name_axes(axes, "told")

    right = sum(row[place] for place, row in enumerate(model.confusion))
    told = f"Of {sum(map(sum, model.confusion)):,} windows {right:,} are told right: those on the diagonal."
    rows = [
        (short(name, 30), *(f"{count:,}" for count in row)) for name, row in zip(classes, model.confusion, strict=True)
    ]
    behind = table("True class by row, told class by column", ("true", *(short(n, 20) for n in classes)), rows)
    height = 76 + 26 * len(classes)
    return chart(f"{key}-confusion", "Confusion matrix", told, paint, behind, lines="none", height=height, left=110)
