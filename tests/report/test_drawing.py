"""Charts: the reader's own settings do not show, names are text, and empty or odd data draws an axis and no error."""

import re

import matplotlib as mpl
import pytest
import report_sources as sources
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.contract.parity_reports import ParityCase
from toolkit.report.drawing import chart, colour, drawing, log_axis, mark_sizes, name_axes, name_rows
from toolkit.report.latency_spread import spread_chart
from toolkit.report.material import Material, Named
from toolkit.report.page import Chart, table
from toolkit.report.parity import parity_section

NOTHING = table("", ("a",), [])


def drawn(paint, **options) -> Chart:
    with drawing():
        return chart("key", "title <1>", "told & so", paint, NOTHING, **options)


def line(axes) -> None:
    axes.plot([1, 2, 3], [1, 4, 2], color=colour("c1"))


def test_the_readers_settings_of_matplotlib_do_not_show() -> None:
    plain = drawn(line)
    with mpl.rc_context(
        {"font.size": 30, "svg.fonttype": "path", "lines.linewidth": 9, "lines.solid_capstyle": "round"}
    ):
        assert drawn(line) == plain
        assert mpl.rcParams["font.size"] == 30


def test_names_are_text_as_they_are() -> None:
    def paint(axes) -> None:
        line(axes)
        name_axes(axes, "$x_1$ <b>", "温度 & \\frac")

    svg = drawn(paint).svg
    assert "$x_1$ &lt;b&gt;</text>" in svg
    assert "温度 &amp; \\frac</text>" in svg
    assert "title &lt;1&gt;" in svg
    assert "told &amp; so" in svg


def test_two_charts_share_no_id() -> None:
    with drawing():
        charts = [chart(key, "t", "t", line, NOTHING) for key in ("a", "b")]
    first, second = (set(re.findall(r' id="([^"]*)"', one.svg)) for one in charts)
    assert first
    assert not first & second


def test_a_chart_has_a_view_box_and_no_size_of_its_own() -> None:
    assert re.match(r'<svg viewBox="0 0 460 200" role="img" [^>]*>', drawn(line).svg)
    assert " width=" not in drawn(line).svg.partition(">")[0]


def test_rows_are_named_from_the_top_as_long_as_there_is_room() -> None:
    def paint(axes) -> None:
        axes.plot([1, 2], [0, 1], "o", color=colour("c1"))
        name_rows(axes, ["first", "second" * 10])

    svg = drawn(paint, lines="down", left=100).svg
    (first,) = re.findall(r'y="([\d.]+)"[^>]*>first<', svg)
    (second,) = re.findall(r'y="([\d.]+)"[^>]*>secondsecon[^<]*…<', svg)
    assert float(first) < float(second)


def test_marks_of_sizes_do_not_crowd() -> None:
    def paint(axes) -> None:
        axes.plot([1, 2, 1000], [1, 1, 1], color=colour("c1"))
        log_axis(axes, "x", [1, 1000])
        mark_sizes(axes, [1, 1.01, 1000])

    svg = drawn(paint).svg
    assert ">1<" in svg
    assert ">1000<" in svg
    assert ">1.01<" not in svg


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(1e-30, 1e30), min_size=1, max_size=5), st.booleans())
def test_any_times_can_be_drawn(medians: list[float], noisy: bool) -> None:
    row = sources.row(p50_ms=medians[0], p90_ms=None, p99=max(medians), block_medians_ms=tuple(medians))
    with drawing():
        made = spread_chart([row, row], "key")
    assert made.svg.count("<path") > 2


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.integers(1, 9), st.floats(0, 1e30) | st.just(float("nan")), st.booleans()),
        min_size=1,
        max_size=4,
    )
)
def test_any_errors_can_be_drawn(found: list[tuple[int, int, float, bool]]) -> None:
    cases: tuple[ParityCase, ...] = tuple(sources.case(b, s, error, passed=passed) for b, s, error, passed in found)
    report = sources.parity_report(cases=cases)
    with drawing():
        section = parity_section(Material(parity=(Named("parity.json", report),)))
    assert section.blocks


@pytest.mark.parametrize("values", [[], [0.0], [1.0], [1e-30, 1e30], [float("nan")]])
def test_a_logarithmic_axis_takes_what_there_is(values: list[float]) -> None:
    def paint(axes) -> None:
        axes.plot(values, values, "o", color=colour("c1"))
        log_axis(axes, "x", values)
        log_axis(axes, "y", values)

    assert drawn(paint).svg
