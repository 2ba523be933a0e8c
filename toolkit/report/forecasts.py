"""What the model forecast beside what came: chosen windows, and the error by step, by target and by asset."""

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes

from toolkit.contract.picture_reports import ForecastExample
from toolkit.contract.reports import Errors, EvaluationReport
from toolkit.report.classes import class_evaluation_blocks
from toolkit.report.drawing import chart, colour, name_axes, name_rows, time_axis, whole_marks
from toolkit.report.figures import counted, moment, number, percent, short, with_unit
from toolkit.report.material import Material, label
from toolkit.report.page import Block, Chart, Charts, Heading, Missing, Section, Table, Words, table

MOST_EXAMPLES = 24
MOST_ASSETS = 20
LINE_STYLES = ((0, (4, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 3)))
BASELINE_COLOURS = ("c3", "c6", "c4", "c7")
EVALUATE = "lstm-edge evaluate RUN --data FILE --json evaluation.json"


def forecasts_section(material: Material) -> Section:
    """A part for each evaluation."""
    blocks: list[Block] = []
    for place, one in enumerate(material.evaluations):
        name = label(material.evaluations, one)
        blocks += [Heading(name)] if name else []
        blocks += _blocks(one.report, material, f"forecasts{place}")
    for place, found in enumerate(material.class_evaluations):
        name = label(material.class_evaluations, found)
        blocks += [Heading(name)] if name else []
        blocks += class_evaluation_blocks(found.report, f"classes{place}")
    if not blocks:
        blocks.append(Missing("forecasts beside what came, errors by step, target and asset", EVALUATE))
    return Section("forecasts", "Forecasts", tuple(blocks))


def _blocks(report: EvaluationReport, material: Material, key: str) -> Iterator[Block]:
    yield Words(f"{counted(report.windows, 'window')} of {short(report.file, 80)}.")
    if report.interval is not None:
        yield Words(f"{report.interval.sentence}.")
    examples = _ordered(report.examples)[:MOST_EXAMPLES]
    if examples:
        yield Words("The best, the median and the worst window of each target, by squared error.")
        yield Charts(tuple(_example_chart(one, f"{key}-window{place}") for place, one in enumerate(examples)))
    else:
        yield Missing("chosen windows beside what came", EVALUATE)
    charts = []
    if report.by_step:
        charts.append(_step_chart(report, f"{key}-steps"))
    beside = _beside_persistence(report)
    if beside:
        charts.append(_target_chart(beside, f"{key}-targets"))
    if len(report.by_asset) > 1:
        charts.append(_asset_chart(report, f"{key}-assets"))
    yield Charts(tuple(charts))
    yield _target_table(report, material)


def _ordered(examples: Sequence[ForecastExample]) -> list[ForecastExample]:
    """By target, the best first."""
    kinds = ("best", "median", "worst")
    targets = list(dict.fromkeys(one.target for one in examples))
    drawable = [one for one in examples if one.times_s]
    return sorted(
        drawable, key=lambda one: (targets.index(one.target), kinds.index(one.kind) if one.kind in kinds else 3)
    )


def _example_chart(one: ForecastExample, key: str) -> Chart:
    name = with_unit(one.target, one.unit)
    levels = sorted(one.quantiles, key=_level)
    baselines = list(one.baselines)[: len(BASELINE_COLOURS)]

    def paint(axes: Axes) -> None:
        axes.plot(one.history_times_s, one.history, color=colour("ink"), linewidth=1)
        axes.plot(_joined(one.history_times_s, one.times_s), _joined(one.history, one.truth), color=colour("ink"))
        if len(levels) > 1:
            low, high = one.quantiles[levels[0]], one.quantiles[levels[-1]]
            axes.fill_between(one.times_s, low, high, color=colour("c1"), alpha=0.25, linewidth=0)
        for place, other in enumerate(baselines):
            style, tone = LINE_STYLES[place], colour(BASELINE_COLOURS[place])
            axes.plot(one.times_s, one.baselines[other], color=tone, linestyle=style, linewidth=1.2)
        mark = "o" if len(one.times_s) <= 24 else ""
        axes.plot(one.times_s, one.forecast, color=colour("c2"), linewidth=1.8, marker=mark, markersize=3)
        axes.axvline(one.times_s[0], color=colour("muted"), linewidth=0.7)
        first = one.history_times_s[0] if one.history_times_s else one.times_s[0]
        time_axis(axes, first, one.times_s[-1])
        name_axes(axes, "UTC", name)

    legend = [("ink", "came"), ("c2", "forecast"), *zip(BASELINE_COLOURS, baselines, strict=False)]
    if len(levels) > 1:
        legend.append(("c1", f"quantiles {levels[0]} to {levels[-1]}"))
    asset = f" of {short(one.asset, 30)}" if one.asset else ""
    title = f"{one.kind.capitalize()} window, {short(one.target, 40)}{asset}"
    error = f"{number(one.error, 3)} {one.unit}".rstrip()
    told = f"{title}, from {moment(one.times_s[0])} UTC: mean absolute error {error}."
    return chart(key, f"{title}: off by {error}", told, paint, _example_table(one, levels), legend=legend, height=190)


def _level(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _joined(before: Sequence[float], after: Sequence[float]) -> list[float]:
    """The last value before and those after: one line without a hole."""
    return [*before[-1:], *after]


def _example_table(one: ForecastExample, levels: Sequence[str]) -> Table:
    columns = {"came": one.truth, "forecast": one.forecast, **one.baselines}
    columns |= {f"quantile {level}": one.quantiles[level] for level in levels}
    rows = [
        (moment(time), *(number(values[place], 5) for values in columns.values()))
        for place, time in enumerate(one.times_s)
    ]
    return table(
        with_unit(short(one.target, 40), one.unit), ("UTC", *(short(n, 20) for n in columns)), rows, thinned=True
    )


def _step_chart(report: EvaluationReport, key: str) -> Chart:
    curves: dict[str, tuple[Errors, ...]] = {"this model": report.by_step, **report.baselines_by_step}
    steps = range(1, len(report.by_step) + 1)
    tones = ("c2", *BASELINE_COLOURS)

    def paint(axes: Axes) -> None:
        for place, errors in enumerate(curves.values()):
            mark = "o" if len(steps) <= 48 else ""
            axes.plot(steps, [e.mae for e in errors], color=colour(tones[place % 5]), marker=mark, markersize=3)
        axes.set_ylim(bottom=0)
        whole_marks(axes)
        name_axes(axes, "step ahead", f"mean absolute error{_scale(report)}")

    first, last = report.by_step[0].mae, report.by_step[-1].mae
    told = f"The model's mean absolute error is {number(first)} at the first step and {number(last)} at the last."
    rows = [(str(step), *(number(errors[step - 1].mae) for errors in curves.values())) for step in steps]
    header = ("step", *(short(name, 20) for name in curves))
    behind = table(f"Mean absolute error by step{_scale(report)}", header, rows, thinned=True)
    legend = [(tones[place % 5], name) for place, name in enumerate(curves)]
    return chart(key, "Error by step of the horizon", told, paint, behind, legend=legend)


def _scale(report: EvaluationReport) -> str:
    return ", in standard deviations" if report.standardised else ", in raw units"


def _beside_persistence(report: EvaluationReport) -> dict[str, dict[str, float]]:
    """By target, each one's mean absolute error as a part of the first baseline's: units differ between targets."""
    first = next(iter(report.baselines.values()), None)
    if first is None:
        return {}
    found: dict[str, dict[str, float]] = {}
    for target, errors in list(report.model.per_target.items())[:MOST_ASSETS]:
        whole = first.per_target.get(target)
        if whole is not None and whole.mae > 0:
            others = {name: scores.per_target.get(target) for name, scores in report.baselines.items()}
            found[target] = {"this model": errors.mae / whole.mae}
            found[target] |= {name: other.mae / whole.mae for name, other in others.items() if other is not None}
    return found


def _target_chart(beside: dict[str, dict[str, float]], key: str) -> Chart:
    names = list(dict.fromkeys(name for parts in beside.values() for name in parts))
    tones = ("c2", *BASELINE_COLOURS)

    def paint(axes: Axes) -> None:
        for place, name in enumerate(names):
            points = [(parts[name], row) for row, parts in enumerate(beside.values()) if name in parts]
            mark = "o" if place == 0 else "sD^v"[(place - 1) % 4]
            axes.plot(*zip(*points, strict=True), mark, color=colour(tones[place % 5]), markersize=7 - place * 0.5)
        axes.set_xlim(left=0)
        name_rows(axes, list(beside))
        name_axes(axes, f"error as a part of {names[1] if len(names) > 1 else 'the baseline'}'s")

    best = {target: parts["this model"] for target, parts in beside.items()}
    told = "The model's mean absolute error as a part of the first baseline's: "
    told += ", ".join(f"{short(target, 30)} {percent(part, 0)}" for target, part in best.items())
    rows = [(short(target, 40), *(percent(parts.get(name)) for name in names)) for target, parts in beside.items()]
    behind = table("Mean absolute error as a part of the first baseline's", ("target", *names), rows)
    legend = [(tones[place % 5], name) for place, name in enumerate(names)]
    height = 70 + 26 * len(beside)
    return chart(key, "Error by target", told, paint, behind, legend=legend, lines="down", height=height, left=130)


def _asset_chart(report: EvaluationReport, key: str) -> Chart:
    worst = sorted(report.by_asset.items(), key=lambda pair: -pair[1].mae)
    shown = worst[:MOST_ASSETS]

    def paint(axes: Axes) -> None:
        axes.barh(range(len(shown)), [errors.mae for _, errors in shown], 0.6, color=colour("c1"))
        name_rows(axes, [name for name, _ in shown])
        name_axes(axes, f"mean absolute error{_scale(report)}")

    told = (
        f"The worst of {counted(len(worst), 'asset')} is {short(worst[0][0], 40)}, the best {short(worst[-1][0], 40)}."
    )
    rows = [(short(name, 40), number(errors.mae), number(errors.mse)) for name, errors in worst]
    behind = table(f"By asset, the worst first{_scale(report)}", ("asset", "MAE", "MSE"), rows)
    return chart(
        key, "Error by asset, the worst first", told, paint, behind, lines="down", height=66 + 20 * len(shown), left=120
    )


def _target_table(report: EvaluationReport, material: Material) -> Table:
    names = list(report.baselines)
    units = {one.target: one.unit for one in report.examples}
    rows = []
    for target, errors in report.model.per_target.items():
        others = [report.baselines[name].per_target.get(target) for name in names]
        unit = units.get(target) or material.unit_of(target)
        cells = (number(other.mae) if other else "-" for other in others)
        rows.append((with_unit(short(target, 40), unit), number(errors.mae), *cells))
    header = ("target", "this model", *(short(name, 20) for name in names))
    return table("Mean absolute error by target, in its unit", header, rows)
