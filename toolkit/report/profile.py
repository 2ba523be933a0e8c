"""Where the time of one call goes."""

from collections.abc import Iterator

from matplotlib.axes import Axes

from toolkit.contract.profile_reports import Profile
from toolkit.report.drawing import chart, colour, name_axes, name_rows
from toolkit.report.figures import number, percent, short
from toolkit.report.material import Material, label
from toolkit.report.page import Block, Chart, Charts, Heading, Section, Words, table

MOST_OPERATORS = 12


def profile_section(material: Material) -> Section | None:
    """A part for each profile; no section where none was given."""
    blocks: list[Block] = []
    for place, one in enumerate(material.profiles):
        name = label(material.profiles, one)
        blocks += [Heading(name)] if name else []
        blocks += _blocks(one.report, f"profile{place}")
    return Section("profile", "Where the time goes", tuple(blocks)) if blocks else None


def _blocks(report: Profile, key: str) -> Iterator[Block]:
    floor = ""
    if report.floor_us is not None and report.distance is not None:
        floor = f"; its products alone, at this machine's best, take {number(report.floor_us, 3)} us, "
        floor += f"{number(report.distance, 3)} times less"
    size = f"{report.batch} x {report.sequence}"
    yield Words(
        f"One call of the {short(report.graph, 20)} graph in {short(report.precision, 10)} with {size} takes "
        f"{number(report.predict_us)} us{floor}."
    )
    yield Charts((_share_chart(report, f"{key}-shares"), *_operator_charts(report, f"{key}-operators")))
    yield from (Words(f"Note: {note}.") for note in report.notes)


def _share_chart(report: Profile, key: str) -> Chart:
    parts = {
        "Python and guards": (report.python_us, report.python_share),
        "onnxruntime's overhead": (report.overhead_us, report.overhead_share),
        "kernels": (report.kernels_us, report.kernels_share),
    }
    if report.floor_us is not None:
        parts["products at their best"] = (report.floor_us, report.floor_share or 0.0)

    def paint(axes: Axes) -> None:
        left = 0.0
        for place, (time_us, _) in enumerate(parts.values()):
            begins = left if place < 3 else report.python_us + report.overhead_us
            axes.barh(place, time_us, 0.6, begins, color=colour("c1" if place < 3 else "c3"))
            left += time_us if place < 3 else 0.0
        axes.set_xlim(left=0)
        name_rows(axes, list(parts))
        name_axes(axes, "us of one call")

    told = ", ".join(f"{name} {number(time_us, 3)} us, {percent(share)}" for name, (time_us, share) in parts.items())
    rows = [(name, number(time_us, 3), percent(share)) for name, (time_us, share) in parts.items()]
    behind = table("Parts of one call", ("", "us", "share"), rows)
    return chart(
        key, "Parts of one call", f"{told}.", paint, behind, lines="down", height=62 + 26 * len(parts), left=150
    )


def _operator_charts(report: Profile, key: str) -> Iterator[Chart]:
    shown = sorted(report.operators, key=lambda one: -one.time_us)[:MOST_OPERATORS]
    if not shown:
        return

    def paint(axes: Axes) -> None:
        axes.barh(range(len(shown)), [one.time_us for one in shown], 0.6, color=colour("c1"))
        axes.set_xlim(left=0)
        name_rows(axes, [f"{one.operator} x {one.nodes}" for one in shown])
        name_axes(axes, "us of one call")

    told = f"The slowest operator is {short(shown[0].operator, 30)} with {percent(shown[0].share)} of the call."
    rows = [
        (short(one.operator, 40), str(one.nodes), number(one.time_us, 3), percent(one.share))
        for one in report.operators
    ]
    behind = table("Operators, the slowest first", ("operator", "nodes", "us", "share"), rows)
    yield chart(key, "Kernels by operator", told, paint, behind, lines="down", height=62 + 22 * len(shown), left=150)
