"""Whether onnxruntime computes what torch computes: by shape, beside torch's own error, along a stream."""

import math
from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator

from toolkit.contract.parity_reports import ParityCase, ParityReport, PlacedError, VariantCheck, WeightCheck
from toolkit.report.drawing import chart, colour, log_axis, name_axes, name_rows
from toolkit.report.figures import counted, listed, number, percent, short
from toolkit.report.heat import Cell, paint_heat
from toolkit.report.material import Material, label
from toolkit.report.page import Block, Chart, Charts, Facts, Heading, Missing, Section, Table, Words, table
from toolkit.report.verdict import parity_command

MOST_SIZES = 12
"""Columns of a heat map whose cells still have room for their numbers; larger grids are shown by their worst."""
MOST_POINTS = 2000
MOST_GRAPHS = 8
"""With charts of their own: a bundle has two, and a file may say what it likes."""
SMALLEST = 1e-12
"""Where an error of 0 stands on a logarithmic axis."""


def parity_section(material: Material) -> Section:
    """A part for each parity report; of a bundle alone what its manifest says."""
    blocks: list[Block] = []
    for place, one in enumerate(material.parity):
        name = label(material.parity, one)
        blocks += [Heading(name)] if name else []
        blocks += _blocks(one.report, f"parity{place}")
    if not material.parity:
        told = {} if material.bundle is None else material.bundle.manifest.parity
        pairs = tuple((short(str(key).replace("_", " "), 40), short(str(value), 40)) for key, value in told.items())
        blocks += [Words("What export recorded in the bundle:"), Facts(pairs)] if pairs else []
        blocks.append(
            Missing("the error by batch and sequence, beside torch's own, and along a stream", parity_command(material))
        )
    return Section("parity", "Parity", tuple(blocks))


def _blocks(report: ParityReport, key: str) -> Iterator[Block]:
    yield _headline(report)
    yield from _fault(report)
    yield Words(
        "The truth is the module in float64. Each case holds onnxruntime's error against a tolerance that comes of "
        f"torch float32's own error{', in ' + report.unit if report.unit else ''}."
    )
    graphs = list(dict.fromkeys(case.graph for case in report.cases))
    shown = enumerate(graphs[:MOST_GRAPHS])
    charts = [_heat_chart(report.cases, graph, f"{key}-heat{place}") for place, graph in shown]
    if report.cases:
        charts.append(_error_chart(report, f"{key}-errors"))
    profiled = range(min(len(report.profiles), MOST_GRAPHS))
    charts += [drawn for place in profiled for drawn in _profile_charts(report, place, key)]
    yield Charts(tuple(charts))
    yield from _tables(report)
    yield from (Words(f"Note: {note}.") for note in report.notes)
    if report.by_design:
        yield Words(f"By design: {report.by_design}.")


def _headline(report: ParityReport) -> Words:
    summary = report.summary
    if not report.passed:
        return Words(f"Failed: {summary.failed:,} of {counted(summary.cases, 'case')}.", "bad")
    used = max((case.used for case in report.cases), default=summary.used)
    return Words(
        f"Passed: {counted(summary.cases, 'case')}; at most {percent(used, 0)} of a tolerance is used.", "good"
    )


def _fault(report: ParityReport) -> Iterator[Block]:
    """Where a failing report says that the two part."""
    if report.divergence is not None:
        one = report.divergence
        places = (("step", one.step), ("series", one.batch), ("channel", one.channel))
        where = ", ".join(f"{name} {place}" for name, place in places if place is not None)
        yield Words(f"The first failing case parts in {short(one.tensor, 60)}{', ' + where if where else ''}.", "bad")
    if report.parting is not None:
        part = report.parting
        cause = f" Cause: {part.cause}." if part.cause else ""
        what = f"{short(part.operator, 40)} {short(part.node, 60)} ({short(part.module, 60)})"
        yield Words(f"Values first part at {what}, by {number(part.difference)}.{cause}", "bad")


def _heat_chart(cases: Sequence[ParityCase], graph: str, key: str) -> Chart:
    own = [case for case in cases if case.graph == graph]
    worst: dict[tuple[int, int], ParityCase] = {}
    for case in own:
        place = (case.batch, case.sequence)
        if place not in worst or _badness(case) > _badness(worst[place]):
            worst[place] = case
    batches, sequences = (_sizes(worst, axis) for axis in (0, 1))
    cells = [
        Cell(batches.index(b), sequences.index(s), _badness(case), _used(case), wrong=not case.passed)
        for (b, s), case in worst.items()
        if b in batches and s in sequences
    ]

    def paint(axes: Axes) -> None:
        paint_heat(axes, cells, [str(b) for b in batches], [str(s) for s in sequences])
        name_axes(axes, "batch", "sequence")

    top = max(own, key=_badness)
    told = (
        f"The largest error of {counted(len(own), 'case')} as a part of its tolerance: {_used(top)} "
        f"at batch {top.batch}, sequence {top.sequence}, input {short(top.input, 40)}. "
        f"{counted(sum(not case.passed for case in own), 'case')} failed."
    )
    rows = [
        (str(b), str(s), _used(case), number(case.ort_error, 3), short(case.input, 40), "yes" if case.passed else "NO")
        for (b, s), case in sorted(worst.items(), key=lambda pair: -_badness(pair[1]))
    ]
    header = ("batch", "sequence", "of tolerance", "error", "input", "passed")
    behind = table("The worst case of each size, the worst first", header, rows, left=0)
    legend = (("c1", "part of the tolerance that the error uses"), ("c4", "failed"))
    title = f"{short(graph, 30)}: largest error, % of tolerance"
    return chart(key, title, told, paint, behind, legend=legend, lines="none", height=74 + 22 * len(sequences))


def _badness(case: ParityCase) -> float:
    """The part of the tolerance that is used; what is not finite uses all of it and more."""
    return case.used if math.isfinite(case.used) else 1e9


def _used(case: ParityCase) -> str:
    used = 100 * case.used
    return f"{used:.0f} %" if used < 1000 else "over"


def _sizes(worst: dict[tuple[int, int], ParityCase], axis: int) -> list[int]:
    """All sizes, or of too many those whose worst cases are nearest to failing."""
    badness: dict[int, float] = {}
    for place, case in worst.items():
        badness[place[axis]] = max(badness.get(place[axis], 0.0), _badness(case))
    return sorted(sorted(badness, key=lambda size: -badness[size])[:MOST_SIZES])


def _error_chart(report: ParityReport, key: str) -> Chart:
    graphs = list(dict.fromkeys(case.graph for case in report.cases))[:MOST_GRAPHS]
    cases = [case for case in report.cases if math.isfinite(case.torch_error) and math.isfinite(case.ort_error)]
    cases = sorted(cases, key=lambda case: -_badness(case))[:MOST_POINTS]

    def paint(axes: Axes) -> None:
        for place, graph in enumerate(graphs):
            own = [case for case in cases if case.graph == graph]
            torch, ort = [_above(c.torch_error) for c in own], [_above(c.ort_error) for c in own]
            axes.plot(torch, ort, "os^D"[place % 4], color=colour(("c1", "c3")[place % 2]), markersize=3.5, alpha=0.7)
        bad = [case for case in cases if not case.passed]
        axes.plot([_above(c.torch_error) for c in bad], [_above(c.ort_error) for c in bad], "x", color=colour("c4"))
        ends = [_above(error) for case in cases for error in (case.torch_error, case.ort_error)] or [SMALLEST, 1.0]
        axes.plot([min(ends), max(ends)], [min(ends), max(ends)], color=colour("muted"), linewidth=0.9)
        log_axis(axes, "x", ends)
        log_axis(axes, "y", ends)
        name_axes(axes, "error of torch float32", "error of onnxruntime")

    larger = sum(case.ort_error > case.torch_error for case in cases)
    told = (
        f"Each dot is a case; on the line both err alike. onnxruntime errs more than torch in {larger} of {len(cases)}."
    )
    rows = [
        (
            *(short(case.graph, 20), short(case.input, 30), str(case.batch), str(case.sequence)),
            *(number(case.torch_error, 3), number(case.ort_error, 3), number(case.tolerance, 3)),
        )
        for case in cases
    ]
    header = ("graph", "input", "batch", "sequence", "torch", "onnxruntime", "tolerance")
    behind = table("Errors against float64, the nearest to its tolerance first", header, rows, left=2)
    legend = [(("c1", "c3")[place % 2], graph) for place, graph in enumerate(graphs)]
    if len(cases) < len(report.cases) or any(not case.passed for case in cases):
        legend.append(("c4", "failed"))
    return chart(key, "onnxruntime's error beside torch's own", told, paint, behind, legend=legend, height=250)


def _above(error: float) -> float:
    return max(error, SMALLEST)


def _profile_charts(report: ParityReport, place: int, key: str) -> Iterator[Chart]:
    profile = report.profiles[place]
    graph = short(profile.graph, 20)
    if profile.along_stream:
        yield _growth_chart(profile.along_stream, f"{graph}: growth along the stream", "steps", f"{key}-stream{place}")
    if profile.by_position:
        title = f"{graph}: error along the sequence"
        yield _growth_chart(profile.by_position, title, "place in the sequence", f"{key}-position{place}")
    if len(profile.by_horizon) > 1:
        title = f"{graph}: error by step ahead"
        yield _growth_chart(profile.by_horizon, title, "step ahead, counted from 0", f"{key}-horizon{place}")
    if len(profile.by_target) > 1:
        yield _placed_chart(profile.by_target, f"{graph}: error by target", f"{key}-target{place}")


def _growth_chart(points: Sequence[PlacedError], title: str, across: str, key: str) -> Chart:
    points = points[:200]
    places = range(len(points))

    def paint(axes: Axes) -> None:
        axes.plot(places, [_above(p.ort_error) for p in points], color=colour("c1"), marker="o")
        axes.plot(places, [_above(p.torch_error) for p in points], color=colour("c2"), marker="s", markersize=3)
        log_axis(axes, "y", [_above(error) for p in points for error in (p.ort_error, p.torch_error)])
        every = -(-len(points) // 5)
        axes.xaxis.set_major_locator(FixedLocator(places[::every]))
        axes.xaxis.set_major_formatter(FixedFormatter([short(p.place, 12) for p in points[::every]]))
        name_axes(axes, across, "largest error")

    growth = points[-1].ort_error / points[0].ort_error if points[0].ort_error > 0 else math.nan
    told = (
        f"onnxruntime's largest error is {number(points[0].ort_error, 3)} at {points[0].place} and "
        f"{number(points[-1].ort_error, 3)} at {points[-1].place}, {number(growth, 3)} times that."
    )
    return chart(key, title, told, paint, _placed_table(points, title), legend=_BOTH)


def _placed_chart(points: Sequence[PlacedError], title: str, key: str) -> Chart:
    shown = points[:20]

    def paint(axes: Axes) -> None:
        rows = range(len(shown))
        axes.plot([_above(p.ort_error) for p in shown], rows, "o", color=colour("c1"), markersize=6)
        axes.plot([_above(p.torch_error) for p in shown], rows, "s", color=colour("c2"), markersize=5)
        log_axis(axes, "x", [_above(error) for p in shown for error in (p.ort_error, p.torch_error)])
        name_rows(axes, [p.place for p in shown])
        name_axes(axes, "largest error")

    worst = max(points, key=lambda point: point.ort_error)
    told = f"onnxruntime's largest error is {number(worst.ort_error, 3)}, at {short(worst.place, 40)}."
    height = 66 + 22 * len(shown)
    return chart(
        key, title, told, paint, _placed_table(points, title), legend=_BOTH, lines="down", height=height, left=130
    )


_BOTH = (("c1", "onnxruntime"), ("c2", "torch float32"))


def _placed_table(points: Sequence[PlacedError], title: str) -> Table:
    rows = [(short(p.place, 40), number(p.ort_error, 3), number(p.torch_error, 3)) for p in points]
    return table(title, ("place", "onnxruntime", "torch float32"), rows)


def _tables(report: ParityReport) -> Iterator[Table]:
    if report.weights:
        yield _weight_table(report.weights)
    if report.variants:
        yield _variant_table(report.variants)
    failed = [case for case in report.cases if not case.passed and case.problem]
    if failed:
        rows = [
            (short(c.graph, 20), str(c.batch), str(c.sequence), short(c.input, 40), short(c.problem, 120))
            for c in failed
        ]
        yield table("Failing cases", ("graph", "batch", "sequence", "input", "problem"), rows)


def _weight_table(checks: Sequence[WeightCheck]) -> Table:
    rows = [
        [
            short(check.graph, 20),
            f"{check.exact:,} of {check.compared:,}",
            listed([one.tensor for one in check.changed], 3) or "none",
            listed(check.missing, 3) or "none",
        ]
        for check in checks
    ]
    header = ("graph", "equal to the bit", "changed", "not found")
    return table("The module's weights in each graph", header, rows, left=4)


def _variant_table(checks: Sequence[VariantCheck]) -> Table:
    rows = [
        [
            *(short(one.graph, 20), one.precision, percent(one.accuracy_loss), percent(one.allowed)),
            f"{one.windows:,}",
            "yes" if one.passed else "NO: " + listed(one.problems, 2),
        ]
        for one in checks
    ]
    header = ("graph", "precision", "error grows by", "allowed", "windows", "passed")
    return table("Graphs in other precisions", header, rows, left=2)
