"""Reads a bundle, trusting nothing: sizes first, no links, every file's hash before it is used.

What a predictor is made of (the manifest, the graphs, the golden vectors) is read once and kept: what was checked is
what runs, whatever becomes of the folder. The other files are hashed and let go.
"""

import functools
import hashlib
from dataclasses import field, replace
from typing import TYPE_CHECKING

import onnxruntime

from toolkit.contract.frozen import dataclass
from toolkit.contract.graph_entry import GraphEntry, Precision
from toolkit.contract.graph_io import GraphName, GraphSignature
from toolkit.contract.manifest import GOLDEN, MANIFEST, BundleManifest, manifest_from_json
from toolkit.errors import BundleError, ConfigError
from toolkit.runtime.bundle_files import MAX_FILE_BYTES, BundleFolder
from toolkit.runtime.bundle_graphs import check_graph_file, check_tensors
from toolkit.runtime.guarded_graph import GuardedGraph
from toolkit.runtime.onnx_compatibility import blocked, reads
from toolkit.runtime.predictors import StreamingPredictor, WindowedPredictor
from toolkit.runtime.session import CPU, Session, SessionPolicy, create_session

if TYPE_CHECKING:
    from pathlib import Path

    from toolkit.runtime.bulk import BulkPredictor
    from toolkit.runtime.layer_states import LayerSession

__all__ = ["MAX_FILE_BYTES", "MAX_MANIFEST_BYTES", "Bundle", "load_bundle"]

MAX_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True)
class Bundle:
    """A folder with a manifest that has been read and checked.

    Attributes:
        place: the folder, as it was named.
        manifest: its contents.
        digest: SHA-256 of the manifest's bytes: with the hashes within it, of all the bundle.
        contents: the bytes that are kept, by the file's name: as many as the graphs' files have. They go with the
            bundle, and sessions hold copies of their own.
    """

    place: "Path | str"
    manifest: BundleManifest
    digest: str = ""
    contents: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)

    @functools.cached_property
    def folder(self) -> "Path":
        """Where it lies."""
        from pathlib import Path  # noqa: PLC0415 - 3 ms of a start that may do without it

        return Path(self.place)

    def read(self, name: str) -> bytes:
        """The bytes of one of the bundle's files, checked against the manifest.

        A file that was not kept is read from the folder again, and hashed again.

        Raises:
            BundleError: not in the manifest, missing, a link, or with another size or hash.
        """
        if name in self.contents:
            return self.contents[name]
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(f"the manifest of {self.place} lists no {name}", allowed=", ".join(self.manifest.files))
        with BundleFolder(str(self.place)) as folder:
            return folder.read_listed(name, entry)

    def signature(self, graph: GraphName) -> GraphSignature:
        """Inputs and outputs of a graph, the same in every precision."""
        return self.manifest.graph(graph).signature

    def session(
        self, graph: GraphName, policy: SessionPolicy | None = None, precision: Precision | None = None
    ) -> Session:
        """A session of one of the bundle's graphs, in the preferred precision unless another is asked for.

        Raises:
            BundleError: no such graph, a damaged file, or inputs and outputs other than the manifest's.
        """
        return self.open(self.manifest.graph(graph, precision), policy)

    def open(self, entry: GraphEntry, policy: SessionPolicy | None = None) -> Session:
        """A session of that graph in that precision.

        Raises:
            BundleError: as `session`.
        """
        return self._opened(entry, self.read(entry.file), policy)

    def _opened(self, entry: GraphEntry, content: bytes, policy: SessionPolicy | None) -> Session:
        session = create_session(content, policy, entry.file)
        # onnxruntime works out shapes of its own, and they may be others than the file declares.
        sides = session.get_inputs(), session.get_outputs()
        check_tensors(entry, *([(value.name, value.shape) for value in side] for side in sides))
        return session

    def guarded(self, entry: GraphEntry, policy: SessionPolicy | None = None) -> GuardedGraph:
        """That graph in that precision behind its guards."""
        return self._guarded(entry, self.read(entry.file), policy)

    def _guarded(self, entry: GraphEntry, content: bytes, policy: SessionPolicy | None) -> GuardedGraph:
        session = self._opened(entry, content, policy)
        layers = None
        if entry.name == "streaming" and session.get_providers() == [CPU]:
            layers = functools.partial(_layers, content, entry.signature, policy)
        return GuardedGraph(
            session, entry.signature, entry.limits, entry.one_series, splits=not entry.mixes_series, layers=layers
        )

    def windowed(self, policy: SessionPolicy | None = None, precision: Precision | None = None) -> WindowedPredictor:
        """A predictor for windows."""
        entry = self.manifest.graph("windowed", precision)
        return WindowedPredictor.of(self.guarded(entry, policy))

    def streaming(self, policy: SessionPolicy | None = None, precision: Precision | None = None) -> StreamingPredictor:
        """A predictor that carries a state."""
        entry = self.manifest.graph("streaming", precision)
        return StreamingPredictor.of(self.guarded(entry, policy))

    def bulk(
        self, policy: SessionPolicy | None = None, precision: Precision | None = None, cores: int | None = None
    ) -> "BulkPredictor":
        """A predictor for many windows, with a session for each core; it is closed after use.

        Args:
            policy: of each session, which has one thread; None means `BULK_POLICY`.
            precision: None means the preferred one.
            cores: None means all that this process may use.

        Raises:
            BundleError: as `session`, or a graph whose answer for one series depends on the others in its call.
            ConfigError: more cores than this process may use.
        """
        # Only here: thread pools and a look at the machine are no part of a gateway's start.
        from toolkit.runtime.bulk import BULK_POLICY, BulkPredictor  # noqa: PLC0415
        from toolkit.runtime.environment import usable_cores  # noqa: PLC0415

        entry = self.manifest.graph("windowed", precision)
        usable = usable_cores()
        if cores is not None and not 1 <= cores <= usable:
            raise ConfigError("cores", got=cores, allowed=f"1 to {usable}, this machine's")
        if entry.mixes_series:
            raise BundleError(
                f"{entry.file} cannot be run in chunks: the answer for one series depends on the others in its call",
                fix="use the windowed predictor",
            )
        policy = replace(policy or BULK_POLICY, threads=1)
        content = self.read(entry.file)  # once, however many sessions there are
        graphs = [self._guarded(entry, content, policy) for _ in range(cores or usable)]
        return BulkPredictor(graphs, window_length=self.manifest.window_length)


def _layers(
    content: bytes, tensors: GraphSignature, policy: SessionPolicy | None, one_sample: bool
) -> "LayerSession | None":
    """Only a stream that runs on needs it: it is no part of a start."""
    from toolkit.runtime.layer_states import open_layers  # noqa: PLC0415

    return open_layers(content, tensors, policy, one_sample)


def load_bundle(folder: "Path | str") -> Bundle:
    """Reads the manifest, checks every file that it lists, and holds each graph's bytes against it.

    Raises:
        BundleError: no bundle, a file that is missing, foreign, a link or changed, another schema version, a graph that
            is another than the manifest says or is not to be trusted, or an onnxruntime that is blocked or too old.
    """
    where = str(folder)
    with BundleFolder(where) as files:
        found = files.names()
        if MANIFEST not in found:
            fix = "name a folder that 'lstm-edge export' wrote"
            raise BundleError(f"{where} is no bundle", got=f"no {MANIFEST}", fix=fix)
        text = files.read(MANIFEST, MAX_MANIFEST_BYTES)
        manifest = manifest_from_json(text, f"{where}/{MANIFEST}")
        foreign = sorted({*found} - {MANIFEST, *manifest.files})
        if foreign:
            raise BundleError(f"{where} holds a file that its manifest does not list", got=foreign[0], fix="remove it")
        _check_runtime(where, manifest.minimum_onnxruntime)
        contents = _checked_contents(files, manifest)
    return Bundle(folder, manifest, hashlib.sha256(text).hexdigest(), contents)


def _checked_contents(files: BundleFolder, manifest: BundleManifest) -> dict[str, bytes]:
    """The bytes of the graphs and the golden vectors; the other files are hashed alone."""
    contents = {}
    graphs = {entry.file: entry for entry in manifest.graphs}
    unlisted = next((name for name in graphs if name not in manifest.files), None)
    if unlisted is not None:
        raise BundleError(f"the manifest of {files.where} lists no {unlisted}", allowed=", ".join(manifest.files))
    for name, entry in manifest.files.items():
        if name not in graphs and name != GOLDEN:
            files.check_listed(name, entry)
            continue
        contents[name] = files.read_listed(name, entry)
        if name in graphs:
            check_graph_file(contents[name], graphs[name], manifest, files.where)
    return contents


def _check_runtime(where: str, needed: str) -> None:
    version = onnxruntime.__version__
    reason = blocked(version)
    if reason is not None:
        raise BundleError(
            f"onnxruntime {version} is blocked here: {reason}",
            got=f"onnxruntime {version}",
            fix="pip install --upgrade onnxruntime",
        )
    if not reads(version, needed):
        raise BundleError(
            f"{where} needs onnxruntime {needed} or newer, as its manifest says",
            got=f"onnxruntime {version}",
            fix=f"pip install 'onnxruntime>={needed}', or export it again with a lower --opset",
        )
