"""How training went: losses, learning rate, the best epoch, seeds, the model beside the baselines."""

from collections.abc import Iterator, Sequence
from statistics import mean, stdev

from matplotlib.axes import Axes

from toolkit.contract.reports import TrainingReport
from toolkit.report.classes import class_training_blocks
from toolkit.report.drawing import chart, colour, log_axis, name_axes, series_colour, whole_marks
from toolkit.report.figures import counted, number, short, with_unit
from toolkit.report.material import Epoch, Material, RunSource, label
from toolkit.report.page import Block, Chart, Charts, Facts, Heading, Missing, Section, Table, Words, table
from toolkit.report.verdict import TRAIN_COMMAND

MOST_EPOCHS = 5000


def training_section(material: Material) -> Section:
    """A part for each training report, and the run's curves."""
    blocks: list[Block] = []
    for place, one in enumerate(material.training):
        name = label(material.training, one)
        blocks += [Heading(name)] if name else []
        blocks += _blocks(one.report, material, f"training{place}")
    for place, found in enumerate(material.class_training):
        name = label(material.class_training, found)
        blocks += [Heading(name)] if name else []
        blocks += class_training_blocks(found.report, f"class-training{place}")
    if material.run is not None and material.run.epochs:
        blocks.append(Charts(tuple(_curves(material.run))))
    else:
        blocks.append(Missing("losses and the learning rate of each epoch, which lie in a run folder", TRAIN_COMMAND))
    if not material.training and not material.class_training:
        blocks.append(Missing("figures of the training", TRAIN_COMMAND))
    return Section("training", "Training", tuple(blocks))


def _blocks(report: TrainingReport, material: Material, key: str) -> Iterator[Block]:
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
    if report.per_target:
        yield _target_table(report, material)
    if report.streaming is not None:
        streaming, windowed = report.streaming.test_standardised, report.test_standardised
        yield Words(
            f"With its state carried on from sample to sample the standardised mean squared error is "
            f"{number(streaming.mse)}; by whole windows it is {number(windowed.mse)}."
        )
    if len(report.seeds) > 1:
        yield _seed_words(report)
        yield Charts((_seed_chart(report, f"{key}-seeds"),))


def _target_table(report: TrainingReport, material: Material) -> Table:
    names = list(report.baselines)
    rows = []
    for target, errors in report.per_target.items():
        others = [report.baselines[name].per_target.get(target) for name in names]
        cells = (number(other.mae) if other else "-" for other in others)
        rows.append((with_unit(short(target, 40), material.unit_of(target)), number(errors.mae), *cells))
    header = ("target", "this model", *(short(name, 20) for name in names))
    return table("Mean absolute error on the test windows, in each target's unit", header, rows)


def _curves(run: RunSource) -> Iterator[Chart]:
    epochs = run.epochs[:MOST_EPOCHS]
    yield _loss_chart(epochs)
    if len({epoch.learning_rate for epoch in epochs}) > 1:
        yield _rate_chart(epochs)


def _loss_chart(epochs: Sequence[Epoch]) -> Chart:
    numbers = [epoch.epoch for epoch in epochs]
    best = [epoch for epoch in epochs if epoch.best][-1:]

    def paint(axes: Axes) -> None:
        mark = "o" if len(epochs) <= 60 else ""
        axes.plot(numbers, [e.train_loss for e in epochs], color=colour("c1"), marker=mark)
        axes.plot(numbers, [e.validation_loss for e in epochs], color=colour("c2"), marker=mark)
        for epoch in best:
            axes.axvline(epoch.epoch, color=colour("ink"), linewidth=0.9, linestyle=(0, (3, 2)))
        positive = [loss for e in epochs for loss in (e.train_loss, e.validation_loss)]
        if all(loss > 0 for loss in positive):
            log_axis(axes, "y", positive)
        whole_marks(axes)
        name_axes(axes, "epoch", "loss, in standard deviations")

    told = f"Loss over {counted(len(epochs), 'epoch')}."
    for epoch in best:
        told += f" The best epoch is {epoch.epoch}, with a validation loss of {number(epoch.validation_loss)}."
    rows = [
        (
            str(e.epoch),
            number(e.train_loss),
            number(e.validation_loss),
            number(e.seconds, 3),
            "yes" if e in best else "",
        )
        for e in epochs
    ]
    header = ("epoch", "training", "validation", "seconds", "best")
    behind = table("Loss of each epoch", header, rows, thinned=True)
    legend = (("c1", "training"), ("c2", "validation"), ("ink", "best epoch"))
    return chart("training-loss", "Loss by epoch", told, paint, behind, legend=legend)


def _rate_chart(epochs: Sequence[Epoch]) -> Chart:
    def paint(axes: Axes) -> None:
        axes.plot([e.epoch for e in epochs], [e.learning_rate for e in epochs], color=colour("c3"))
        axes.set_ylim(bottom=0)
        whole_marks(axes)
        name_axes(axes, "epoch", "learning rate")

    rates = [epoch.learning_rate for epoch in epochs]
    told = f"The learning rate goes from {number(rates[0])} to {number(rates[-1])}."
    rows = [(str(epoch.epoch), number(epoch.learning_rate)) for epoch in epochs]
    behind = table("Learning rate of each epoch", ("epoch", "learning rate"), rows, thinned=True)
    return chart("training-rate", "Learning rate by epoch", told, paint, behind)


def _seed_words(report: TrainingReport) -> Words:
    errors = [seed.test_standardised.mse for seed in report.seeds]
    spread = f"{number(mean(errors))} +- {number(stdev(errors), 2)} (mean and standard deviation)"
    return Words(
        f"{len(errors)} seeds: mean squared error on the test windows {spread}; "
        "the one that is best on validation is kept."
    )


def _seed_chart(report: TrainingReport, key: str) -> Chart:
    seeds = report.seeds[:200]

    def paint(axes: Axes) -> None:
        for one in seeds:
            tone = colour("c2" if one.kept else "c1")
            axes.plot([one.validation_loss], [one.test_standardised.mse], "o", color=tone, markersize=6)
        name_axes(axes, "validation loss of the best epoch", "test MSE, in standard deviations")

    errors = [one.test_standardised.mse for one in seeds]
    told = f"Test errors of {len(seeds)} seeds lie between {number(min(errors))} and {number(max(errors))}."
    rows = [
        (
            *(str(one.seed), number(one.validation_loss), number(one.test_standardised.mse)),
            *(number(one.test_standardised.mae), str(one.best_epoch), "yes" if one.kept else ""),
        )
        for one in seeds
    ]
    header = ("seed", "validation loss", "test MSE", "test MAE", "best epoch", "kept")
    legend = (("c2", "kept"), (series_colour(0), "others"))
    behind = table("Trainings that differ by their seed alone", header, rows)
    return chart(key, "Seeds", told, paint, behind, legend=legend)
