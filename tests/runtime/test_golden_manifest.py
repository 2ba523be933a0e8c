"""A manifest that was changed by hand, held against golden vectors that were not."""

import dataclasses
import json

import numpy as np
import onnx
import pytest
import tiny_bundles

from toolkit.errors import BundleError
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.golden import check_golden, pack_golden, unpack_golden
from toolkit.runtime.golden_case import GoldenCase
from toolkit.runtime.golden_manifest import check_tolerances


def edit(folder, graph=None, **changes):
    """Changes keys of the manifest, or of one of its graphs."""
    value = json.loads((folder / "manifest.json").read_text())
    target = value if graph is None else next(each for each in value["graphs"] if each["name"] == graph)
    target |= changes
    (folder / "manifest.json").write_text(json.dumps(value))


def refused(folder, words):
    bundle = load_bundle(folder)
    with pytest.raises(BundleError, match=words) as caught:
        check_golden(bundle)
    assert str(caught.value).startswith("manifest.json: ")
    assert "golden.npz" not in str(caught.value)


def of_no_model(proto, key="lstm_edge.model"):
    next(each for each in proto.metadata_props if each.key == key).value = "null"


def of_no_signal(proto):
    of_no_model(proto, "lstm_edge.signal")


@pytest.fixture
def foreign(folder):
    """The bundle as if it were somebody else's module: nothing but the golden vectors tells of sizes and states."""
    for graph in ("windowed", "streaming"):
        tiny_bundles.damage_graph(folder, graph, of_no_model)
    edit(folder, model=None)
    return folder


def test_a_bundle_of_no_model_passes(foreign):
    assert check_golden(load_bundle(foreign))


@pytest.mark.parametrize("tolerance", [[1e9], [1e9, 1e-3], [1e-3, 1e9], [5.0, 1e-3]])
def test_a_tolerance_that_lets_wrong_answers_pass(folder, tolerance):
    edit(folder, "windowed", golden_atol={"forecast": tolerance})
    refused(
        folder, r"golden_atol of forecast of the windowed graph; got .*, at which wrong answers pass; allowed: at most"
    )


def test_a_tolerance_of_a_state_that_lets_wrong_answers_pass(folder):
    own = load_bundle(folder).manifest.graph("streaming").golden_atol
    tolerances = {"forecast": list(own["forecast"]), "hn": [0.5], "cn": [1e-5]}
    edit(folder, "streaming", golden_atol=tolerances)
    assert check_golden(load_bundle(folder))
    edit(folder, "streaming", golden_atol={**tolerances, "hn": [5.0]})
    refused(folder, "golden_atol of hn of the streaming graph; got 5")


def test_a_narrow_range_may_be_rounded(folder):
    """An answer that hardly moves still has the rounding of its size."""
    cases = unpack_golden((folder / "golden.npz").read_bytes())
    bundle = load_bundle(folder)
    flat = [
        dataclasses.replace(case, outputs={"forecast": np.full_like(case.outputs["forecast"], 101_325.0)})
        for case in cases
        if case.graph == "windowed"
    ]
    entry = dataclasses.replace(bundle.manifest.graph("windowed"), golden_atol={"forecast": (0.5, 0.5)})
    check_tolerances(entry, flat)
    with pytest.raises(BundleError, match="allowed: at most 2"):
        check_tolerances(dataclasses.replace(entry, golden_atol={"forecast": (0.5, 5.0)}), flat)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"min_sizes": {"sequence": 5}},
            r"min_sizes of the windowed graph; got \{'sequence': 5\}, .*'short' with sequence 2",
        ),
        ({"min_sizes": {"sequence": 61}}, "min_sizes of the windowed graph"),
        ({"max_sizes": {"sequence": 12}}, r"max_sizes of the windowed graph; .* 'rough' with sequence 13"),
        ({"max_sizes": {"batch": 2}}, "max_sizes of the windowed graph; .* 'window' with batch 3"),
    ],
)
def test_sizes_that_the_bundle_was_not_exported_with(foreign, changes, words):
    edit(foreign, "windowed", **changes)
    refused(foreign, words)


def test_a_smallest_size_that_was_taken_away(foreign):
    """The shortest case has two samples unless the graph needs more."""
    cases = unpack_golden((foreign / "golden.npz").read_bytes())
    window = next(case for case in cases if case.graph == "windowed" and case.name == "window")
    short = GoldenCase(
        "windowed", "short", {"x": window.inputs["x"][:1, :7]}, {"forecast": window.outputs["forecast"][:1]}
    )
    kept = [case for case in cases if (case.graph, case.name) != ("windowed", "short")]
    tiny_bundles.put(foreign, "golden.npz", pack_golden([short, *kept]))
    refused(foreign, "min_sizes of the windowed graph; got {}, .* 'short' with sequence 7")


@pytest.mark.parametrize("length", [11, 13, 60])
def test_another_window_length(foreign, length):
    edit(foreign, window_length=length)
    refused(
        foreign, f"window_length of the windowed graph; got {length}, and the golden case 'window' with sequence 12"
    )


def test_states_that_changed_places(foreign):
    edit(foreign, "streaming", states={"h0": "cn", "c0": "hn"})
    refused(foreign, "states of the streaming graph; got h0=cn, c0=hn, with which .* in two calls than in one")


def test_a_state_that_is_not_carried(foreign):
    for graph in ("windowed", "streaming"):
        tiny_bundles.damage_graph(foreign, graph, of_no_signal)
    edit(foreign, signal=None)
    edit(foreign, "streaming", states={"h0": "hn"})
    refused(foreign, "states of the streaming graph; got h0=hn")


def add_the_mean(proto):
    """Each series' answer is moved by the others'."""
    last = next(node for node in proto.graph.node if "forecast" in node.output)
    last.output[:] = ["own"]
    proto.graph.node.append(onnx.helper.make_node("CumSum", ["own", "first_axis"], ["forecast"]))
    proto.graph.initializer.append(onnx.helper.make_tensor("first_axis", onnx.TensorProto.INT64, [], [0]))
    proto.graph.node[-1].attribute.append(onnx.helper.make_attribute("reverse", 1))


def test_series_that_are_mixed_unseen(foreign):
    tiny_bundles.damage_graph(foreign, "windowed", add_the_mean)
    bundle = load_bundle(foreign)
    graph = bundle.guarded(bundle.manifest.graph("windowed"))
    cases = [
        dataclasses.replace(case, outputs=graph.run(case.inputs)) if case.graph == "windowed" else case
        for case in unpack_golden(bundle.read("golden.npz"))
    ]
    tiny_bundles.put(foreign, "golden.npz", pack_golden(cases))
    refused(foreign, "mixes_series of the windowed graph; got false")
    edit(foreign, "windowed", mixes_series=True)
    assert check_golden(load_bundle(foreign))
