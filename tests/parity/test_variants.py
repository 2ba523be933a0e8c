"""Graphs in other precisions, judged beside fp32's."""

import dataclasses

import numpy as np
import onnx
import pytest
import tiny_bundles
from onnx import numpy_helper

from toolkit.contract.manifest import PrecisionDecision
from toolkit.errors import ParityError
from toolkit.export.precision import to_fp16, to_int8
from toolkit.parity import ParityGrid
from toolkit.parity.bundle import check_bundle
from toolkit.parity.told import raise_if_failed
from toolkit.parity.variants import check_variants
from toolkit.runtime.bundle import load_bundle

SAMPLES = "samples.safetensors"


def with_variant(folder, precision, fault=None, loss=10.0):
    bundle = load_bundle(folder)
    proto = onnx.load_model_from_string(bundle.read("windowed.onnx"))
    changed = to_fp16(proto) if precision == "fp16" else to_int8(proto, "windowed")
    if fault is not None:
        fault(changed)
    fp32 = bundle.manifest.graph("windowed")
    file = f"windowed.{precision}.onnx"
    own = dataclasses.replace(fp32, precision=precision, file=file, one_series=precision == "int8", preferred=False)
    decision = PrecisionDecision(precision, loss, 0, ())
    manifest = dataclasses.replace(bundle.manifest, graphs=(*bundle.manifest.graphs, own), precision=decision)
    return dataclasses.replace(
        bundle, manifest=manifest, contents={**bundle.contents, file: changed.SerializeToString()}
    )


def readings(bundle):
    from toolkit.parity.bundle import samples_of

    return samples_of(bundle)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_clean_variant_passes_with_its_error_in_the_targets_unit(whole, precision):
    bundle = with_variant(whole, precision)
    (check,) = check_variants(bundle, readings(bundle))
    assert check.passed
    assert (check.graph, check.precision, check.problems) == ("windowed", precision, ())
    assert check.windows > 0
    assert check.targets == bundle.manifest.signal.targets
    assert len(check.error) == len(check.fp32_error) == len(check.targets)
    wanted = max((e - f) / f for e, f in zip(check.error, check.fp32_error, strict=True))
    assert check.accuracy_loss == pytest.approx(wanted)


def test_a_loss_beyond_what_was_allowed(whole):
    bundle = with_variant(whole, "int8")
    (check,) = check_variants(bundle, readings(bundle))
    worse = dataclasses.replace(check, accuracy_loss=check.allowed * 1.01)
    assert not worse.passed
    assert check_variants(with_variant(whole, "int8", loss=1e-9), readings(bundle))[0].passed is (
        check.accuracy_loss <= 1e-9
    )


def scale_off(proto):
    """The int8 scale of one layer by one per cent."""
    scale = next(node.input[8] for node in proto.graph.node if node.op_type == "DynamicQuantizeLSTM")
    stored = next(tensor for tensor in proto.graph.initializer if tensor.name == scale)
    stored.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(stored) * np.float32(1.01), stored.name))


def test_a_scale_that_is_a_little_off_is_seen_at_the_weights(whole):
    (check,) = check_variants(with_variant(whole, "int8", scale_off), None)
    assert not check.passed
    assert "half a step" in check.problems[0] or "steps" in check.problems[0]


def test_parity_of_a_bundle_asks_its_variants(whole, monkeypatch):
    bundle = with_variant(whole, "int8", scale_off)
    monkeypatch.setattr("toolkit.parity.bundle.check_entry", lambda *_: None)
    report = check_bundle(bundle, ParityGrid((2,), (3,), ()))
    assert all(case.passed for case in report.cases)
    assert not report.passed
    with pytest.raises(ParityError, match="the windowed graph in int8: its weights are not fp32's"):
        raise_if_failed(report)


def test_without_readings_the_weights_alone_are_judged(folder):
    tiny_bundles.leave_out(folder, SAMPLES)
    (check,) = check_variants(with_variant(folder, "fp16"), None)
    assert check.passed
    assert check.accuracy_loss is None
