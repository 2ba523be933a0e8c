"""Profiles as tables and pictures, on figures that are told by hand."""

import dataclasses
import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from toolkit.cli.profile_picture import BARS, WIDTH, _round_step, profile_svg
from toolkit.cli.profile_tables import profile_table
from toolkit.contract.profile_reports import GateWork, LayerWork, MachinePeak, NodeTime, OperatorTime, Profile

SVG = "{http://www.w3.org/2000/svg}"


def layer(number):
    gates = tuple(
        GateWork(name, 1000, 2000, 500, 5.0, 10.0, elementwise)
        for name, elementwise in (("input", 2.0), ("output", 4.0), ("forget", 2.0), ("cell", 2.0))
    )
    return LayerWork(number, f"lstm{number}", "LSTM", 1, 60, 1, 9, 64, 4096, 70.0, 0.35, gates)


def canned(**changes):
    """200 us: 20 Python, 10 onnxruntime, 2 x 70 in LSTMs, 30 in `Add`."""
    nodes = tuple(NodeTime(f"lstm{n}", "LSTM", "CPU", 1, n, 6000, 72.0, 70.0, 0.35) for n in (1, 2))
    figures = {
        "bundle": "plant & <pump>",
        "graph": "windowed",
        "precision": "fp32",
        "batch": 1,
        "sequence": 60,
        "calls": 500,
        "profiled_calls": 300,
        "predict_us": 200.0,
        "bound_us": 180.0,
        "profiled_us": 250.0,
        "empty_us": 10.0,
        "python_us": 20.0,
        "overhead_us": 10.0,
        "kernels_us": 170.0,
        "recorded_us": 180.0,
        "inflation_us": 2.4,
        "scale": 0.98,
        "flops": 6_179_328,
        "weight_bytes": 215_040,
        "floor_us": 100.0,
        "distance": 2.0,
        "variation": 0.02,
        "python_share": 0.1,
        "overhead_share": 0.05,
        "kernels_share": 0.85,
        "floor_share": 0.5,
        "operators": (OperatorTime("LSTM", 2, 140.0, 0.7), OperatorTime("Add", 1, 30.0, 0.15)),
        "nodes": (*nodes, NodeTime("add", "Add", "CPU", 1, None, 0, 32.0, 30.0, 0.15)),
        "layers": (layer(1), layer(2)),
        "peaks": (MachinePeak(1, 256, 64, 46.3, 92.6, 1.0),),
    }
    return Profile(**{**figures, **changes})


def boxes(picture):
    """Left end, top, width and tooltip of every box that has one."""
    root = ET.fromstring(picture)
    return [
        (*(float(rect.attrib[key]) for key in ("x", "y", "width")), rect.find(f"{SVG}title").text)
        for rect in root.iter(f"{SVG}rect")
        if rect.find(f"{SVG}title") is not None
    ]


def texts(picture):
    return [text.text for text in ET.fromstring(picture).iter(f"{SVG}text")]


def test_the_bar_of_a_call_is_made_of_its_parts_end_to_end():
    found = boxes(profile_svg(canned()))
    top = found[0][1]
    bar = [box for box in found if box[1] == top]
    told = [box[3] for box in bar]
    assert told[:5] == [
        "Python, guards, copies: 20.0 us",
        "onnxruntime's overhead: 10.0 us",
        "layer 1, input projection: 20.0 us",
        "layer 1, recurrent projection: 40.0 us",
        "layer 1, elementwise, gate input: 2.0 us",
    ]
    assert (len(bar), told[-1]) == (2 + 2 * 6 + 1, "Add: 30.0 us")
    for (x, _, width, _), (following, *_) in itertools.pairwise(bar):
        assert following == pytest.approx(x + width, abs=0.02)
    assert sum(box[2] for box in bar) == pytest.approx(BARS, abs=0.1)
    floor = next(box for box in found if box[3].startswith("products at this machine's peak"))
    assert (floor[0], floor[2]) == (bar[0][0], pytest.approx(BARS / 2))


def test_every_part_is_told_in_words():
    shown = " | ".join(texts(profile_svg(canned())))
    for words in (
        "plant & <pump>: windowed, fp32, batch 1, sequence 60",
        "2.00 times its floor of 100.0 us",
        "200.0 us",
        "Python, guards, copies | 20.0 us, 10.0 %",
        "recurrent projection, all layers | 80.0 us, 40.0 %",
        "2 x LSTM | 140.0 us, 70.0 %",
        "Layer 2, LSTM 9 to 64",
        "output | 19.0 us, 9.5 %",
    ):
        assert words in shown


def test_lines_of_text_do_not_lie_on_one_another():
    root = ET.fromstring(profile_svg(canned(notes=("a note " * 40,))))
    ends = {}
    for text in root.iter(f"{SVG}text"):
        width = 0.62 * float(text.attrib["font-size"]) * len(text.text)
        x = float(text.attrib["x"]) - (width if text.attrib.get("text-anchor") == "end" else 0)
        ends.setdefault(float(text.attrib["y"]), []).append((x, x + width))
    for line in ends.values():
        spans = sorted(line)
        assert all(right <= left for (_, right), (left, _) in itertools.pairwise(spans))
        assert spans[0][0] >= 0
        assert spans[-1][1] <= WIDTH
    heights = sorted(ends)
    assert min(b - a for a, b in itertools.pairwise(heights)) >= 5


def test_a_graph_without_layers_or_products():
    picture = profile_svg(canned(layers=(), nodes=(), operators=(), floor_us=None, distance=None, floor_share=None))
    assert "No floor" in " ".join(texts(picture))
    assert not any("floor" in box[3] or "peak" in box[3] for box in boxes(picture))
    assert "No floor" in profile_table(canned(floor_us=None, distance=None, floor_share=None))


def test_a_call_of_no_time_is_drawn():
    none = dict.fromkeys(("predict_us", "python_us", "overhead_us", "kernels_us", "bound_us"), 0.0)
    ET.fromstring(profile_svg(canned(**none, layers=(), nodes=(), operators=(), floor_us=None, distance=None)))


def test_many_operators_and_layers_are_cut_short():
    operators = tuple(OperatorTime(f"Op{n}" + "x" * 30 * (n == 0), 1, 10.0, 0.05) for n in range(11))
    shown = texts(profile_svg(canned(operators=operators, layers=tuple(map(layer, range(1, 9))))))
    assert "3 others" in shown
    assert "Op0xxxxxxxxxxxxxxx…" in shown
    assert "Note: 2 more layers are not shown." in shown


def test_notes_are_told():
    assert any("too noisy" in text for text in texts(profile_svg(canned(notes=("too noisy to tell",)))))
    assert "Note: too noisy to tell." in profile_table(canned(notes=("too noisy to tell",)))


@pytest.mark.parametrize(("least", "step"), [(0.0, 0), (0.3, 0.5), (1.0, 1), (1.01, 2), (26, 50), (51, 100)])
def test_the_axis_has_round_numbers(least, step):
    assert _round_step(least) == pytest.approx(step)


def test_the_table_tells_parts_operators_layers_and_how():
    shown = profile_table(canned())
    plain = re.sub(r" +", " ", shown)
    for line in (
        "Python, guards, copies 20.0 10.0 %",
        "onnxruntime's overhead 10.0 5.0 %",
        "kernels 170.0 85.0 %",
        "LSTM 2 140.0 70.0 %",
        "layer 1, LSTM 9 -> 64",
        "\noutput 5.0 10.0 4.0 19.0 1.0 2.0 0.5",
        "\nall 20.0 40.0 10.0 70.0 4.0 8.0 2.0",
        "2.00 times its floor of 100.0 us: 6.18 MFLOP",
        "46.3 GFLOP/s, 92.6 GB/s",
        "a layer as a whole",
    ):
        assert line in re.sub(r"\s+", " ", plain) or line in plain
    both = dataclasses.replace(layer(1), directions=2)
    assert "LSTM 9 -> 64, both directions" in profile_table(canned(layers=(both,)))
