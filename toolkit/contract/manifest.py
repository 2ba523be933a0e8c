"""`manifest.json`: what a bundle is, and what it must answer."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from toolkit.contract.graph_io import GraphName, GraphSignature, TensorSpec, shape_from_spec, signature
from toolkit.contract.model_spec import LARGEST, ModelSpec
from toolkit.contract.records import decode, encode
from toolkit.contract.signals import SignalSpec
from toolkit.errors import BundleError, RequestError

SCHEMA = "bundle/2"
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
SAMPLES = "samples.safetensors"
GOLDEN = "golden.npz"
MODEL_CARD = "README.md"

OPSET = 18
"""What is written unless another one is asked for: onnxruntime reads it from 1.14 on."""

Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True)
class FileEntry:
    """Size and SHA-256 (hexadecimal) of one file of the bundle."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class GraphEntry:
    """One graph of the bundle in one precision.

    Attributes:
        name: `windowed` or `streaming`.
        file: its file within the bundle.
        precision: of the weights: `fp32`; `fp16` (stored in half precision, arithmetic in single); `int8`.
        golden_atol: for each output, the largest allowed difference from the golden answer: one figure per
            target, in the target's unit, for a forecast; one figure for any other output.
        inputs: names and axes of what has to be fed.
        outputs: names and axes of what comes back.
        states: for each input that is a state, the output to be fed back into it.
        min_sizes: the smallest size that the graph takes, for the axes where that is above 1.
        one_series: whether the graph has to be run one series at a time: in int8 one outlier shifts the scale of
            everyone in its batch.
        preferred: whether this precision of the graph is the one that is run unless another is asked for.
    """

    name: GraphName
    file: str
    precision: Precision
    golden_atol: dict[str, tuple[float, ...]]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    states: dict[str, str] = field(default_factory=dict)
    min_sizes: dict[str, int] = field(default_factory=dict)
    one_series: bool = False
    preferred: bool = True

    @property
    def signature(self) -> GraphSignature:
        """Inputs and outputs, in their order."""
        return GraphSignature(self.inputs, self.outputs, self.states)


@dataclass(frozen=True)
class Candidate:
    """A precision that was measured for one graph, on the machine that made the bundle.

    Attributes:
        graph: whose variant.
        precision: of its weights.
        speedup: fp32's time over this one's, the median over rounds; None where it was not timed.
        speedup_range: 95 % interval of that median.
        accuracy_loss: how much the forecast's mean absolute error on held-out readings grows, as a part of fp32's;
            None where there are no held-out readings.
        error: mean absolute error by target, in its unit.
        fp32_error: the same of the fp32 graph.
        bytes: size of its file.
        kept: whether it is the one that is run.
        reason: in words.
    """

    graph: GraphName
    precision: Precision
    speedup: float | None
    speedup_range: tuple[float, ...]
    accuracy_loss: float | None
    error: tuple[float, ...]
    fp32_error: tuple[float, ...]
    bytes: int
    kept: bool
    reason: str


@dataclass(frozen=True)
class PrecisionDecision:
    """Which precision was asked for, what it was allowed to cost, and what was measured."""

    requested: str
    max_accuracy_loss: float
    windows: int
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class BundleManifest:
    """The manifest of a bundle.

    Attributes:
        schema: the version of this format, `bundle/2`.
        name: what the bundle is called.
        signal: meaning and order of the input's channels; None for a foreign module that came without, which no
            gateway runs.
        model: the model's shape; None for a foreign module.
        graphs: the graphs in the bundle.
        opset: of every graph.
        minimum_onnxruntime: the oldest release that reads the graphs.
        files: every file but the manifest itself, by name.
        window_length: samples of an ordinary input.
        precision: how the precision of the graphs was chosen; None where fp32 was asked for.
        accuracy: test figures of the training report and its baselines, or empty.
        parity: the parity report's summary.
        provenance: versions, data and configuration that the bundle was made from.
    """

    schema: str
    name: str
    signal: SignalSpec | None
    model: ModelSpec | None
    graphs: tuple[GraphEntry, ...]
    opset: int
    minimum_onnxruntime: str
    files: dict[str, FileEntry]
    window_length: int
    precision: PrecisionDecision | None = None
    accuracy: dict[str, Any] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_graphs()
        self._check_model()
        if self.signal is not None:
            check_signal(self.signal, self.graphs, "manifest.json: signal", BundleError)
        if not 1 <= self.window_length <= LARGEST:
            raise BundleError("manifest.json: window_length", got=self.window_length, allowed="1 or more")

    def _check_graphs(self) -> None:
        keys = [(entry.name, entry.precision) for entry in self.graphs]
        names = list(dict.fromkeys(name for name, _ in keys))
        preferred = [entry.name for entry in self.graphs if entry.preferred]
        if not names or len(keys) != len(set(keys)) or sorted(preferred) != sorted(names):
            shown = [f"{name} {precision}" for name, precision in keys]
            raise BundleError("manifest.json: graphs", got=shown, allowed="at least one, each once, one preferred")
        for entry in self.graphs:
            _check_entry(entry)

    def _check_model(self) -> None:
        if self.model is None:
            return
        if self.signal is None:
            raise BundleError("manifest.json: a model without its signal", fix="export it again")
        shape = self.model.input_size, self.model.targets
        if shape != (len(self.signal.channels), len(self.signal.targets)):
            raise BundleError(
                "manifest.json: signal and model do not fit",
                got=f"{len(self.signal.channels)} channels and {len(self.signal.targets)} targets for a model of "
                f"{shape[0]} and {shape[1]}",
                allowed="as many of each in both",
            )
        for entry in self.graphs:
            if entry.signature != signature(entry.name, shape_from_spec(self.model)):
                raise BundleError(f"manifest.json: the {entry.name} graph is not that of the model")

    @property
    def names(self) -> tuple[GraphName, ...]:
        """Which graphs there are, each once whatever its precisions."""
        return tuple(dict.fromkeys(entry.name for entry in self.graphs))

    def graph(self, name: GraphName, precision: Precision | None = None) -> GraphEntry:
        """The entry of that graph: in that precision, or in the preferred one.

        Raises:
            BundleError: the bundle has no such graph.
        """
        for entry in self.graphs:
            if entry.name == name and (entry.precision == precision or (precision is None and entry.preferred)):
                return entry
        wanted = name if precision is None else f"{name} {precision}"
        allowed = ", ".join(g.name if precision is None else f"{g.name} {g.precision}" for g in self.graphs)
        raise BundleError(f"the bundle {self.name} has no {wanted} graph", allowed=allowed)

    def to_json(self) -> str:
        """The text of `manifest.json`."""
        return json.dumps(encode(self), indent=2, allow_nan=False) + "\n"


def check_signal(signal: SignalSpec, graphs: tuple[GraphEntry, ...], where: str, error: type[RequestError]) -> None:
    """Whether the channels are the last axis of the one input that takes readings, so that a gateway can feed it.

    Raises:
        RequestError: of the class `error`.
    """
    for entry in graphs:
        data = entry.signature.data
        symbolic = [axis for axis in data[0].axes if isinstance(axis, str)] if data else []
        if len(data) != 1 or len(data[0].axes) != 3 or len(symbolic) != 2:
            raise error(
                f"{where}: no gateway can feed the {entry.name} graph",
                got=", ".join(f"{tensor.name} {list(tensor.axes)}" for tensor in data) or "no input",
                allowed="one input of readings with the axes batch, sequence and channels",
            )
        if data[0].axes[-1] != len(signal.channels):
            raise error(
                f"{where} names other channels than {data[0].name} of the {entry.name} graph has",
                got=len(signal.channels),
                allowed=data[0].axes[-1],
            )


def _check_entry(entry: GraphEntry) -> None:
    """What the guards rely on: unique names, states that are an input and an output of the same axes, sane sizes."""
    tensors = entry.signature
    where = f"manifest.json: the {entry.name} graph"
    for side in (tensors.inputs, tensors.outputs):
        names = [tensor.name for tensor in side]
        if not names or len(names) != len(set(names)):
            raise BundleError(f"{where}: tensors", got=names, allowed="at least one, each name once")
        wrong = [n for tensor in side for n in tensor.axes if isinstance(n, int) and not 1 <= n <= LARGEST]
        if wrong:
            raise BundleError(f"{where}: size of an axis", got=wrong[0], allowed=f"1 or more, at most {LARGEST}")
    inputs, outputs = ({tensor.name: tensor.axes for tensor in side} for side in (tensors.inputs, tensors.outputs))
    for given, new in tensors.states.items():
        if given not in inputs or inputs[given] != outputs.get(new):
            raise BundleError(f"{where}: state {given}={new}", allowed="an input and an output of the same axes")
    if entry.precision == "int8" and not entry.one_series:
        raise BundleError(f"{where} in int8: one_series", got="false", allowed="true: one scale serves a whole batch")
    if not tensors.data or not tensors.answers:
        raise BundleError(f"{where} has nothing but states")
    if not set(entry.min_sizes) <= set(tensors.symbolic_axes) or not all(n >= 1 for n in entry.min_sizes.values()):
        raise BundleError(f"{where}: min_sizes", got=entry.min_sizes, allowed="sizes of its symbolic axes")


def manifest_from_json(text: str | bytes, where: str) -> BundleManifest:
    """Reads a manifest, trusting nothing.

    Raises:
        BundleError: not JSON, another schema version, an unknown or missing key, or a value of the wrong type.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where} is not JSON", got=str(error), fix="copy the bundle again") from error
    schema = value.get("schema") if isinstance(value, dict) else None
    if schema != SCHEMA:
        raise BundleError(
            f"{where} is not of a version that this toolkit reads",
            got=f"schema {schema!r}",
            allowed=repr(SCHEMA),
        )
    try:
        return decode(BundleManifest, value, where, BundleError)
    except BundleError:
        raise
    except RequestError as error:  # a signal or a model that contradicts itself
        raise BundleError(f"{where}: {error}") from error
