"""What a bundle is made of: a run's model, or somebody else's module."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from toolkit.contract.graph_entry import GraphEntry
from toolkit.contract.graph_io import GraphName, TensorSpec, horizon_of
from toolkit.contract.manifest import check_signal
from toolkit.contract.model_spec import Layout, ModelSpec
from toolkit.contract.records import encode
from toolkit.contract.signals import SignalSpec
from toolkit.errors import ConfigError
from toolkit.export.foreign_graph import foreign_graph, refuse_loops
from toolkit.export.turns import probed
from toolkit.model.lstm import MultivariateLSTM, model_from_spec
from toolkit.model.torch_graph import TorchGraph, TorchGraphs, torch_graphs
from toolkit.parity.held_out import HeldOut, held_out_of
from toolkit.release.held_out import Readings
from toolkit.runtime.environment import package_versions
from toolkit.training.run import Run

VERSIONS = ("lstm-edge-toolkit", "torch", "onnx", "onnxscript", "onnxruntime", "numpy")

ACCURACY = (
    "test",
    "test_standardised",
    "per_target",
    "baselines",
    "streaming",
    "verdict",
    "interval",
    "classes",
    "commonest",
    "model",
)
"""What a bundle tells of the training report: a model without quantiles has no interval, a forecaster no classes."""


@dataclass(frozen=True)
class Material:
    """Everything that goes into a bundle, before anything is exported.

    Attributes:
        graphs: the module as its graphs see it.
        module: whose weights travel.
        window_length: samples of an ordinary input.
        model: its shape; None for a foreign module.
        signal: meaning of the channels, or None.
        samples: stretches of raw readings, float32 `[stretches, samples, channels]`, or None.
        held_out: windows with what came next, to measure a precision's cost on, or None.
        accuracy: figures of the training report, or empty.
        provenance: versions, data and configuration.
    """

    graphs: TorchGraphs
    module: nn.Module
    window_length: int
    model: ModelSpec | None
    signal: SignalSpec | None
    samples: NDArray[np.float32] | None
    held_out: HeldOut | None
    accuracy: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def metadata(self, graph: GraphName) -> dict[str, str]:
        """What a graph says of itself when it is found without its manifest."""
        return {
            "graph": graph,
            "signal": json.dumps(encode(self.signal)),
            "model": json.dumps(encode(self.model)),
            "provenance": json.dumps(self.provenance),
        }


def material_of_run(run: Run, layout: Layout = "batch-major") -> Material:
    """A run's model behind inputs of the wanted layout."""
    spec = dataclasses.replace(run.record.model, layout=layout)
    model = _with_layout(run.model, spec)
    samples = run.samples.numpy()
    return Material(
        torch_graphs(model, spec.window_length, spec.min_sequence),
        model,
        spec.window_length,
        spec,
        run.record.signal,
        samples,
        None if spec.classes else held_out_of(samples, spec.window_length, spec.horizon, run.record.signal),
        {key: run.report[key] for key in ACCURACY if run.report.get(key) is not None},
        {
            "run": run.record.name,
            "versions": package_versions(VERSIONS),
            "data": encode(run.record.data),
            "config_sha256": hashlib.sha256(run.config_toml.encode()).hexdigest(),
        },
    )


def material_of_module(
    module: nn.Module,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[str] = (),
    states: dict[str, str] | None = None,
    *,
    signal: SignalSpec | None = None,
    readings: Readings | None = None,
    window_length: int = 60,
    made_from: str = "",
) -> Material:
    """Somebody else's module.

    Args:
        module: see `foreign_graph`, and so are the next three.
        inputs: names and axes.
        outputs: names.
        states: pairs of an input and an output.
        signal: meaning of the channels of the one input that takes readings, so that a gateway can feed it.
        readings: raw readings in the signal's order, to check and to measure on.
        window_length: samples of an ordinary input.
        made_from: what the module was built by, for the manifest.

    Raises:
        ModelError: the module does not run on such inputs.
        ConfigError: names or a signal that do not fit.
    """
    graph = foreign_graph(module, inputs, outputs, states, window_length=window_length)
    refuse_loops(graph)
    graph = probed(graph)
    if signal is not None:
        check_signal(signal, (entry_of(graph),), "--signal", ConfigError)
    samples = held_out = None
    if readings is not None and signal is not None:
        samples = readings.stretches(window_length)
        held_out = _held_out(readings, graph, signal, window_length)
    provenance = {"module": made_from or type(module).__qualname__, "versions": package_versions(VERSIONS)}
    return Material({graph.name: graph}, module, window_length, None, signal, samples, held_out, provenance=provenance)


def entry_of(graph: TorchGraph) -> GraphEntry:
    """The manifest's line for an fp32 graph, its tolerances still to be found."""
    tensors = graph.tensors
    return GraphEntry(
        graph.name,
        f"{graph.name}.onnx",
        "fp32",
        {},
        tensors.inputs,
        tensors.outputs,
        tensors.states,
        dict(graph.limits.least),
        dict(graph.limits.most),
        graph.mixes_series,
    )


def _held_out(readings: Readings, graph: TorchGraph, signal: SignalSpec, window_length: int) -> HeldOut | None:
    """Windows and what came next, where the answer is a forecast of the signal's targets."""
    horizon = horizon_of(graph.tensors.answers[0].axes, len(signal.targets))
    if horizon is None:
        return None
    return held_out_of(readings.stretches(window_length + horizon), window_length, horizon, signal)


def _with_layout(model: MultivariateLSTM, spec: ModelSpec) -> MultivariateLSTM:
    """The same weights behind inputs of the wanted layout."""
    same = model_from_spec(spec)
    same.load_state_dict(model.state_dict())
    return same.eval()
