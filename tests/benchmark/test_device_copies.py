from contextlib import ExitStack

import numpy as np
import pytest

from toolkit.benchmark.bundle import bundle_feed
from toolkit.benchmark.device_copies import DeviceCall, cpu_contenders, device_of, measure_on_device
from toolkit.benchmark.plan import Request
from toolkit.benchmark.timing import SystemClock
from toolkit.errors import InputError
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.session import CPU


@pytest.fixture(scope="module")
def bundle(whole):
    return load_bundle(whole)


@pytest.mark.parametrize("graph", ["windowed", "streaming"])
def test_the_parts_do_what_a_call_does(bundle, graph):
    entry = bundle.manifest.graph(graph, "fp32")
    feed = bundle_feed(bundle, graph, 3, 9)
    session = bundle.open(entry)
    wanted = session.run([tensor.name for tensor in entry.outputs], feed)
    call = DeviceCall(session, entry, feed, "cpu")
    for got in (call.whole(), call.whole()):
        for mine, other in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(mine, other)


def test_only_copying_in_brings_new_readings_to_the_device(bundle):
    entry = bundle.manifest.graph("windowed", "fp32")
    feed = bundle_feed(bundle, "windowed", 2, 9)
    call = DeviceCall(bundle.open(entry), entry, feed, "cpu")
    before = call.whole()[0]
    call._given[0][...] += 1
    call.compute()
    np.testing.assert_array_equal(call.copy_out()[0], before)
    assert not np.array_equal(call.whole()[0], before)
    call.copy_in()
    call.compute()
    kept = call.copy_out()[0]
    copy = kept.copy()
    call._given[0][...] += 1
    call.whole()
    np.testing.assert_array_equal(kept, copy)  # an answer is the caller's own


def test_onnxruntime_never_sees_a_value_that_is_not_finite(bundle):
    entry = bundle.manifest.graph("windowed", "fp32")
    feed = {name: np.full_like(array, np.nan) for name, array in bundle_feed(bundle, "windowed", 1, 9).items()}
    with pytest.raises(InputError, match="not finite"):
        DeviceCall(bundle.open(entry), entry, feed, "cpu")


def test_one_row_holds_copies_and_compute_apart_and_the_others_follow(bundle):
    request = Request("bulk", "windowed", 2, 9)
    with ExitStack() as held:
        others = cpu_contenders(bundle, request, 1, held)
        rows = measure_on_device(bundle, request, CPU, others, clock=SystemClock(), seconds=0.02)
    assert [row.options["predictor"] for row in rows] == ["device buffers", "predict", "bulk"]
    first, *rest = rows
    assert min(first.copy_in_ms, first.compute_ms, first.copy_out_ms) > 0
    assert {row.copy_in_ms for row in rest} == {None}
    assert {(row.batch, row.sequence, row.scenario) for row in rows} == {(2, 9, "bulk")}


def test_nvidias_buffers_lie_on_the_gpu():
    assert device_of("CUDAExecutionProvider") == device_of("TensorrtExecutionProvider") == "cuda"
    assert device_of(CPU) == device_of("OpenVINOExecutionProvider") == "cpu"
