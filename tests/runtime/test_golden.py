import dataclasses
import io
import pickle

import numpy as np
import pytest
import tiny_bundles

from toolkit.errors import BundleError, GoldenError
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.golden import check_golden, pack_golden, unpack_golden
from toolkit.runtime.golden_case import GoldenCase


@pytest.fixture(scope="module")
def cases(whole):
    return unpack_golden((whole / "golden.npz").read_bytes())


def test_a_fresh_bundle_passes_with_room_to_spare(whole):
    results = check_golden(load_bundle(whole))
    assert {(result.graph, result.output) for result in results} == {
        ("windowed", "forecast"),
        ("streaming", "forecast"),
        ("streaming", "hn"),
        ("streaming", "cn"),
    }
    assert all(0.0 <= result.worst < 0.5 for result in results)


def test_both_kinds_of_start_are_among_the_cases(cases):
    streams = [case for case in cases if case.graph == "streaming"]
    assert any(not case.inputs["h0"].any() and not case.inputs["c0"].any() for case in streams)
    assert any(case.inputs["h0"].any() and case.inputs["c0"].any() for case in streams)


def nudge(array):
    """Moves one weight of one row by a hundredth of the row's norm."""
    row = array.reshape(-1, array.shape[-1])[-1]
    row[1] += np.float32(1e-2 * np.linalg.norm(row))
    return array


@pytest.mark.parametrize("graph", ["windowed", "streaming"])
@pytest.mark.parametrize("weights", ["lstm.W_l0", "lstm.R_l0", "lstm.B_l0"])
def test_a_nudged_weight_is_found_though_every_hash_is_right(folder, graph, weights):
    tiny_bundles.damage_graph(folder, graph, tiny_bundles.change_weights(weights, nudge))
    with pytest.raises(GoldenError, match=f"the {graph} graph answers otherwise than where it was made") as caught:
        check_golden(load_bundle(folder))
    assert caught.value.exit_status == 1
    assert "times the tolerance" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fill", [np.nan, np.inf])
def test_an_answer_that_is_no_number_fails(folder, fill):
    fault = tiny_bundles.change_weights("output_offset", lambda array: np.full_like(array, fill))
    bundle = load_bundle(folder)  # which refuses such weights, but not all graphs that answer so
    tiny_bundles.damage_graph(folder, "windowed", fault)
    bundle.contents["windowed.onnx"] = (folder / "windowed.onnx").read_bytes()
    with pytest.raises(GoldenError, match="got inf times the tolerance in forecast"):
        check_golden(bundle)


def replace_cases(folder, cases):
    tiny_bundles.put(folder, "golden.npz", pack_golden(cases))


def changed(cases, graph, side, name, change):
    """The cases of the bundle with one tensor of each case of a graph changed."""
    return [
        dataclasses.replace(case, **{side: getattr(case, side) | {name: change(getattr(case, side)[name])}})
        if case.graph == graph
        else case
        for case in cases
    ]


def test_an_expected_answer_that_is_no_number_fails(folder, cases):
    replace_cases(folder, changed(cases, "streaming", "outputs", "cn", lambda array: array * np.float32(np.nan)))
    with pytest.raises(GoldenError, match="in cn"):
        check_golden(load_bundle(folder))


UNFIT = {
    "batch 0, which would abort the process": ("inputs", "x", lambda x: x[:0]),
    "sequence 0, which would zero the state": ("inputs", "x", lambda x: x[:, :0]),
    "NaN, which onnxruntime forgets": ("inputs", "x", lambda x: x * np.float32(np.nan)),
    "other channels": ("inputs", "x", lambda x: x[..., :1]),
    "float64": ("inputs", "x", lambda x: x.astype(np.float64)),
    "a state of batch 0": ("inputs", "h0", lambda h0: h0[:, :0]),
    "a state of another batch": ("inputs", "h0", lambda h0: np.concatenate([h0, h0], axis=1)),
    "an answer of another shape": ("outputs", "forecast", lambda forecast: forecast[..., :1]),
    "a state of another shape": ("outputs", "hn", lambda hn: hn[..., :1]),
}


def test_a_window_of_batch_0_does_not_reach_onnxruntime(folder, cases):
    replace_cases(folder, changed(cases, "windowed", "inputs", "x", lambda x: x[:0]))
    with pytest.raises(BundleError, match="x is empty; got batch 0"):
        check_golden(load_bundle(folder))


@pytest.mark.parametrize("name", UNFIT)
def test_a_case_that_does_not_fit_its_graph_is_refused(folder, cases, name):
    replace_cases(folder, changed(cases, "streaming", *UNFIT[name]))
    with pytest.raises(BundleError) as caught:
        check_golden(load_bundle(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [({}, {"forecast": 1}), ({"x": 1, "h0": 1}, {"forecast": 1}), ({"x": 1}, {}), ({"x": 1}, {"hn": 1})],
)
def test_a_case_that_lacks_a_tensor_is_refused(folder, cases, inputs, outputs):
    case = next(case for case in cases if case.graph == "windowed")
    tensors = {"x": case.inputs["x"], "h0": case.inputs["x"], **case.outputs, "hn": case.outputs["forecast"]}
    odd = GoldenCase("windowed", "odd", {n: tensors[n] for n in inputs}, {n: tensors[n] for n in outputs})
    replace_cases(folder, [*cases, odd])
    with pytest.raises(BundleError, match="odd"):
        check_golden(load_bundle(folder))


def test_a_graph_without_cases_is_refused(folder, cases):
    replace_cases(folder, [case for case in cases if case.graph == "windowed"])
    with pytest.raises(BundleError, match="holds no case for the streaming graph"):
        check_golden(load_bundle(folder))


def test_what_is_packed_is_what_is_unpacked(cases):
    again = unpack_golden(pack_golden(cases))
    assert [(case.graph, case.name) for case in again] == [(case.graph, case.name) for case in cases]
    for mine, other in zip(again, cases, strict=True):
        np.testing.assert_equal(mine.inputs, other.inputs)
        np.testing.assert_equal(mine.outputs, other.outputs)
    assert pack_golden(again) == pack_golden(cases)


class Malicious:
    ran = False

    def __reduce__(self):
        return (setattr, (Malicious, "ran", True))


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_pickled_objects_are_refused_and_not_run():
    content = npz(**{"windowed/a/in/x": np.array([Malicious()], dtype=object)})
    with pytest.raises(BundleError, match=r"golden\.npz is damaged"):
        unpack_golden(content)
    with pytest.raises(BundleError, match=r"golden\.npz is damaged"):
        unpack_golden(pickle.dumps(Malicious()))
    assert not Malicious.ran


@pytest.mark.parametrize("content", [b"", b"PK", b"hello", npz(x=np.ones(2))])
def test_what_is_no_file_of_golden_vectors(content):
    with pytest.raises(BundleError, match=r"golden\.npz is damaged") as caught:
        unpack_golden(content)
    assert "\n" not in str(caught.value)


def test_a_single_array_is_no_file_of_golden_vectors():
    file = io.BytesIO()
    np.save(file, np.ones(3))
    with pytest.raises(BundleError, match=r"golden\.npz is damaged"):
        unpack_golden(file.getvalue())


def test_a_damaged_file_is_refused_or_read_but_nothing_else(whole):
    content = (whole / "golden.npz").read_bytes()
    random, refused = np.random.default_rng(3), 0
    for _ in range(300):
        damaged = bytearray(content)
        for place in random.integers(0, len(content), 3):
            damaged[place] ^= 1 << int(random.integers(0, 8))
        try:
            unpack_golden(bytes(damaged))
        except BundleError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 100


def test_a_truncated_file_is_refused(whole):
    content = (whole / "golden.npz").read_bytes()
    for length in range(0, len(content) - 1, 97):
        with pytest.raises(BundleError, match=r"golden\.npz is damaged"):
            unpack_golden(content[:length])
