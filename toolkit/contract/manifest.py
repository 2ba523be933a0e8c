"""`manifest.json`: what a bundle is, and what it must answer."""

import json
from dataclasses import dataclass, field
from typing import Any

from toolkit.contract.graph_io import GraphName
from toolkit.contract.model_spec import ModelSpec
from toolkit.contract.records import decode, encode
from toolkit.contract.signals import SignalSpec
from toolkit.errors import BundleError, RequestError

SCHEMA = "bundle/1"
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
SAMPLES = "samples.safetensors"
GOLDEN = "golden.npz"
MODEL_CARD = "README.md"

OPSET = 18
IR_VERSION = 8
"""The lowest file format that opset 18 allows; torch writes 10, which older gateways refuse for no need of ours."""
MINIMUM_ONNXRUNTIME = "1.14"
"""The first release that reads opset 18."""


@dataclass(frozen=True)
class FileEntry:
    """Size and SHA-256 (hexadecimal) of one file of the bundle."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class GraphEntry:
    """One graph of the bundle.

    Attributes:
        name: `windowed` or `streaming`.
        file: its file within the bundle.
        precision: of the weights: `fp32`.
        golden_atol: for each output, the largest allowed difference from the golden answer: one figure per
            target, in the target's unit, for `forecast`; one figure for a state.
    """

    name: GraphName
    file: str
    precision: str
    golden_atol: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class BundleManifest:
    """The manifest of a bundle.

    Attributes:
        schema: the version of this format, `bundle/1`.
        name: what the bundle is called.
        signal: meaning and order of the input's channels.
        model: the model's shape.
        graphs: the graphs in the bundle.
        opset: of every graph.
        minimum_onnxruntime: the oldest release that reads the graphs.
        files: every file but the manifest itself, by name.
        accuracy: test figures of the training report and its baselines, or empty.
        parity: the parity report's summary.
        provenance: versions, data and configuration that the bundle was made from.
    """

    schema: str
    name: str
    signal: SignalSpec
    model: ModelSpec
    graphs: tuple[GraphEntry, ...]
    opset: int
    minimum_onnxruntime: str
    files: dict[str, FileEntry]
    accuracy: dict[str, Any] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.model.input_size != len(self.signal.channels) or self.model.targets != len(self.signal.targets):
            raise BundleError(
                "manifest.json: signal and model do not fit",
                got=f"{len(self.signal.channels)} channels and {len(self.signal.targets)} targets for a model of "
                f"{self.model.input_size} and {self.model.targets}",
                allowed="as many of each in both",
            )

        names = [entry.name for entry in self.graphs]
        if not names or len(names) != len(set(names)):
            raise BundleError("manifest.json: graphs", got=names, allowed="at least one, each once")

    def graph(self, name: GraphName) -> GraphEntry:
        """The entry of that graph.

        Raises:
            BundleError: the bundle has no such graph.
        """
        for entry in self.graphs:
            if entry.name == name:
                return entry
        raise BundleError(f"the bundle {self.name} has no {name} graph", allowed=", ".join(g.name for g in self.graphs))

    def to_json(self) -> str:
        """The text of `manifest.json`."""
        return json.dumps(encode(self), indent=2, allow_nan=False) + "\n"


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
