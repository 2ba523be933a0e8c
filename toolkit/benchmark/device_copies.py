"""Calls on a device's own memory, so that copies to it and from it are measured apart from the work.

What a user of a GPU waits for is all three: readings lie in the processor's memory, and forecasts are wanted there. The
parts take turns with the whole, so that they are of the same moments; buffers are allocated once and used again. The
CPU is a device as well, whose copies cost what copying memory does.
"""

import dataclasses
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from toolkit.benchmark.bundle import bundle_feed
from toolkit.benchmark.own_contenders import Asked, own_contenders
from toolkit.benchmark.plan import Request
from toolkit.benchmark.scenarios import ONNXRUNTIME, Contender, Scenario, run_scenario
from toolkit.benchmark.timing import Clock
from toolkit.contract.graph_entry import GraphEntry
from toolkit.contract.latency_reports import LatencyRow
from toolkit.errors import ConfigError
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.guarded_graph import check_feed
from toolkit.runtime.provider_setup import NVIDIA, provider_options
from toolkit.runtime.session import Session, SessionPolicy

Feed = Mapping[str, NDArray[np.float32]]

PREDICTOR = "device buffers"


class DeviceCall:
    """A graph's call on buffers of a device, in its three parts.

    Args:
        session: of the graph.
        entry: of the graph.
        feed: inputs by their names, checked by `check_feed`.
        device: `cpu` or `cuda`, the first of them.

    Raises:
        ConfigError: an output whose shape the inputs do not tell.
    """

    def __init__(self, session: Session, entry: GraphEntry, feed: Feed, device: str) -> None:
        tensors = entry.signature
        sizes = check_feed(feed, tensors, entry.limits)
        unknown = {axis for tensor in tensors.outputs for axis in tensor.axes if isinstance(axis, str)} - sizes.keys()
        if unknown:
            raise ConfigError(f"size of {min(unknown)}", got="unknown", allowed="one that the inputs tell")
        self._session, self._binding = session, session.io_binding()
        self._given = [np.ascontiguousarray(feed[tensor.name]) for tensor in tensors.inputs]
        make: Any = onnxruntime.OrtValue
        # `ortvalue_from_numpy` would share the array's own memory on the CPU, and copy nothing there.
        self._inputs = [make.ortvalue_from_shape_and_type(array.shape, np.float32, device, 0) for array in self._given]
        shapes = [[a if isinstance(a, int) else sizes[a] for a in tensor.axes] for tensor in tensors.outputs]
        self._outputs = [make.ortvalue_from_shape_and_type(shape, np.float32, device, 0) for shape in shapes]
        self.copy_in()
        for tensor, value in zip(tensors.inputs, self._inputs, strict=True):
            self._binding.bind_ortvalue_input(tensor.name, value)
        for tensor, value in zip(tensors.outputs, self._outputs, strict=True):
            self._binding.bind_ortvalue_output(tensor.name, value)

    def copy_in(self) -> None:
        """The inputs, from the processor's memory to the device."""
        for value, array in zip(self._inputs, self._given, strict=True):
            value.update_inplace(array)
        self._binding.synchronize_inputs()

    def compute(self) -> None:
        """The graph, from buffers of the device to buffers of the device; it is done when this returns."""
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()

    def copy_out(self) -> list[NDArray[np.float32]]:
        """The answers, from the device into arrays of their own."""
        return [np.array(value.numpy()) for value in self._outputs]

    def whole(self) -> list[NDArray[np.float32]]:
        """One after the other."""
        self.copy_in()
        self.compute()
        return self.copy_out()


def measure_on_device(
    bundle: Bundle,
    request: Request,
    provider: str,
    others: tuple[Contender, ...] = (),
    *,
    clock: Clock,
    seconds: float,
) -> list[LatencyRow]:
    """Times a graph on a provider's device, its copies apart, in turns with other contenders on the same request.

    Args:
        bundle: whose graph to run, in fp32.
        request: its size.
        provider: that runs it; see `provider_nodes.require_provider`.
        others: on the same request, such as this CPU.
        clock: where time comes from.
        seconds: for all of it.

    Returns:
        A row for the whole call with `copy_in_ms`, `compute_ms` and `copy_out_ms`, then one for each other.
    """
    graph, batch, sequence = request.graph, request.batch, request.sequence
    entry = bundle.manifest.graph(graph, "fp32")
    policy = SessionPolicy(provider=provider)
    feed = bundle_feed(bundle, graph, batch, sequence)
    call = DeviceCall(bundle.open(entry, policy), entry, feed, device_of(provider))
    options = {"predictor": PREDICTOR, **provider_options(provider)}
    parts = [
        Contender(ONNXRUNTIME, graph, provider, "fp32", 1, part, options)
        for part in (call.whole, call.copy_in, call.compute, call.copy_out)
    ]
    rows, _ = run_scenario(Scenario(request.scenario, batch, sequence, (*parts, *others)), clock, seconds)
    whole, into, work, out, *rest = rows
    return [dataclasses.replace(whole, copy_in_ms=into.p50_ms, compute_ms=work.p50_ms, copy_out_ms=out.p50_ms), *rest]


def device_of(provider: str) -> str:
    """Where a provider's buffers lie: OpenVINO's and others' are the processor's own."""
    return "cuda" if provider in NVIDIA else "cpu"


def cpu_contenders(bundle: Bundle, request: Request, threads: int, held: ExitStack) -> tuple[Contender, ...]:
    """This CPU on the same request, in each way in which the toolkit deploys it, in fp32."""
    entry = bundle.manifest.graph(request.graph, "fp32")
    feed = bundle_feed(bundle, request.graph, request.batch, request.sequence)
    return tuple(own_contenders(Asked(bundle, entry, request, feed, SessionPolicy(threads), held)))
