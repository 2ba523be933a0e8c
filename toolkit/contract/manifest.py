"""`manifest.json`: what a bundle is, and what it must answer."""

import json
import math
import re
from collections import Counter
from dataclasses import field
from typing import Any

from toolkit.contract.entry_checks import check_entry
from toolkit.contract.frozen import dataclass
from toolkit.contract.graph_entry import GraphEntry, Precision
from toolkit.contract.graph_io import (
    SEQUENCE,
    GraphName,
    SizeLimits,
    shape_from_spec,
    signature,
)
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

SERVER_SUFFIXES = (".ort", ".required_operators.config")
"""Behind the name of a graph's file without `.onnx`: what else a bundle may hold of it."""
TRITON_SUFFIX = ".config.pbtxt"
"""Behind the name of a graph."""

_VERSION = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4}){1,2}")


@dataclass(frozen=True)
class FileEntry:
    """Size and SHA-256 (hexadecimal) of one file of the bundle."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Candidate:
    """A precision that was measured for one graph, on the machine that made the bundle.

    Attributes:
        graph: whose variant.
        precision: of its weights.
        speedup: fp32's time over this one's, the median over rounds; None where it was not timed. It is of one
            request: `series` of `samples` each.
        speedup_range: 95 % interval of that median.
        accuracy_loss: how much the forecast's mean absolute error on held-out readings grows, as a part of fp32's,
            over the whole horizon of the target that suffers most; None where there are no held-out readings.
        error: mean absolute error by target, in its unit.
        fp32_error: the same of the fp32 graph.
        bytes: size of its file.
        kept: whether it is the one that is run.
        reason: in words.
        series: in the call that was timed.
        samples: of each series in that call; None where the graph has no such axis.
        batch: series in the larger call that was timed too; None where there was none.
        batch_speedup: the same as `speedup` of that call.
        batch_speedup_range: 95 % interval of it.
        worst_step_loss: the same as `accuracy_loss` of the one target and step of the horizon that suffers most.
        windows: how many the errors are of. A stream is scored on fewer: every sample of a window is a call.
        golden_error: largest error on the golden vectors, as a part of what each answer varies by (one standard
            deviation); all that is known of its accuracy where there are no held-out readings.
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
    series: int = 1
    samples: int | None = None
    batch: int | None = None
    batch_speedup: float | None = None
    batch_speedup_range: tuple[float, ...] = ()
    worst_step_loss: float | None = None
    windows: int = 0
    golden_error: float | None = None


@dataclass(frozen=True)
class PrecisionDecision:
    """Which precision was asked for, what it was allowed to cost, and what was measured.

    Attributes:
        requested: `fp16`, `int8` or `auto`.
        max_accuracy_loss: how much an error was allowed to grow, as a part of fp32's.
        windows: held-out windows at hand; how many of them a graph was scored on is the candidate's to say.
        candidates: every precision of every graph that was looked at.
    """

    requested: str
    max_accuracy_loss: float
    windows: int
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class StatePolicy:
    """When a streaming graph's state is begun anew, and from when on its forecasts count.

    A break in the series (a gap, a restart, another machine) always begins it anew, from zeros.

    Attributes:
        warm_up: samples before the first forecast that counts: as many as the model reads in a window.
        max_age: samples after which a state is older than any that the model was trained with, and is begun anew; None
            for a model that was trained as it is run, its state carried on without end.
    """

    warm_up: int
    max_age: int | None = None


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
        state: when a streaming graph's state is begun anew; None without such a graph.
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
    state: StatePolicy | None = None

    def __post_init__(self) -> None:
        self._check_graphs()
        self._check_model()
        self._check_files()
        if not _VERSION.fullmatch(self.minimum_onnxruntime):
            raise BundleError(
                "manifest.json: minimum_onnxruntime",
                got=repr(self.minimum_onnxruntime[:40]),
                allowed="a version such as 1.14",
            )
        if self.signal is not None:
            check_signal(self.signal, self.graphs, "manifest.json: signal", BundleError)
        if not 1 <= self.window_length <= LARGEST:
            raise BundleError("manifest.json: window_length", got=self.window_length, allowed="1 or more")
        self._check_state()
        for name in ("accuracy", "parity", "provenance"):
            _check_finite(getattr(self, name), f"manifest.json: {name}")

    def _check_graphs(self) -> None:
        keys = [(entry.name, entry.precision) for entry in self.graphs]
        names = list(dict.fromkeys(name for name, _ in keys))
        preferred = [entry.name for entry in self.graphs if entry.preferred]
        if not names or len(keys) != len(set(keys)) or sorted(preferred) != sorted(names):
            shown = [f"{name} {precision}" for name, precision in keys]
            raise BundleError("manifest.json: graphs", got=shown, allowed="at least one, each once, one preferred")
        for entry in self.graphs:
            check_entry(entry)
            first = next(other for other in self.graphs if other.name == entry.name)
            if (entry.signature, entry.limits, entry.mixes_series) != (
                first.signature,
                first.limits,
                first.mixes_series,
            ):
                what = f"manifest.json: the {entry.name} graph in {entry.precision}"
                raise BundleError(what, got="other tensors or sizes", allowed=f"those in {first.precision}")

    def _check_state(self) -> None:
        if self.state is None:
            return
        if all(entry.name != "streaming" for entry in self.graphs):
            raise BundleError("manifest.json: state", got="a policy", allowed="nothing without a streaming graph")
        for name, samples in (("warm_up", self.state.warm_up), ("max_age", self.state.max_age)):
            if samples is not None and not 0 <= samples <= LARGEST:
                raise BundleError(f"manifest.json: state: {name}", got=samples, allowed=f"0 to {LARGEST}")

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
        if self.model.calendar_channels != self.signal.calendar_channels:
            raise BundleError(
                "manifest.json: signal and model do not fit",
                got=f"{self.signal.calendar_channels} channels of the calendar",
                allowed=f"{self.model.calendar_channels}",
            )
        for entry in self.graphs:
            if entry.signature != signature(entry.name, shape_from_spec(self.model)):
                raise BundleError(f"manifest.json: the {entry.name} graph is not that of the model")
        self._check_model_sizes(self.model)

    def _check_model_sizes(self, model: ModelSpec) -> None:
        limits = SizeLimits({SEQUENCE: model.min_sequence} if model.min_sequence > 1 else {})
        for entry in self.graphs:
            if entry.limits != limits or entry.mixes_series:
                raise BundleError(
                    f"manifest.json: min_sizes, max_sizes and mixes_series of the {entry.name} graph",
                    got=f"{entry.min_sizes}, {entry.max_sizes} and {entry.mixes_series}",
                    allowed=f"the model's: {limits.least}, {limits.most} and False",
                )
        if self.window_length != model.window_length:
            allowed = f"the model's, {model.window_length}"
            raise BundleError("manifest.json: window_length", got=self.window_length, allowed=allowed)

    def _check_files(self) -> None:
        """A file that is none of these would travel unseen, and a graph without an entry would never be checked."""
        shared = [name for name, count in Counter(entry.file for entry in self.graphs).items() if count > 1]
        if shared:
            raise BundleError("manifest.json: graphs of the same file", got=shared[0], allowed="a file for each graph")
        stems = [entry.file.removesuffix(".onnx") for entry in self.graphs]
        known = {
            *(GOLDEN, WEIGHTS, SAMPLES, MODEL_CARD),
            *(entry.file for entry in self.graphs),
            *(f"{name}{TRITON_SUFFIX}" for name in self.names),
            *(stem + suffix for stem in stems for suffix in SERVER_SUFFIXES),
        }
        foreign = sorted(set(self.files) - known)
        if foreign:
            what = f"manifest.json: files lists {foreign[0]}, which is no graph's"
            raise BundleError(what, allowed=", ".join(sorted(known)), fix="export it again")

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

    Args:
        signal: what the channels are.
        graphs: that are to be fed.
        where: the signal's place, for messages.
        error: the class of error to raise.

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


def _check_finite(free: dict[str, Any], where: str) -> None:
    """Refuses NaN and infinity in what has no form of its own: JSON has none, though Python's parser takes them."""
    waiting: list[Any] = [free]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise BundleError(where, got=value, allowed="finite numbers", fix="export it again")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that stands twice one reader takes the first value and another the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice!r} twice")
    return found


def manifest_from_json(text: str | bytes, where: str) -> BundleManifest:
    """Reads a manifest, trusting nothing.

    Raises:
        BundleError: not JSON, another schema version, an unknown or missing key, or a value of the wrong type.
    """
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where} is not JSON", got=str(error), fix="copy the bundle again") from error
    schema = value.get("schema") if isinstance(value, dict) else None
    if schema != SCHEMA:
        raise BundleError(
            f"{where} is not of a version that this toolkit reads",
            got=f"schema {repr(schema)[:60]}",
            allowed=repr(SCHEMA),
        )
    try:
        return decode(BundleManifest, value, where, BundleError)
    except BundleError:
        raise
    except RequestError as error:  # a signal or a model that contradicts itself
        raise BundleError(f"{where}: {error}") from error
