"""Reads a bundle, trusting nothing: sizes first, no links, every file's hash before it is used."""

import errno
import hashlib
import os
import stat
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import onnxruntime

from toolkit.contract.frozen import dataclass
from toolkit.contract.graph_entry import GraphEntry, Precision
from toolkit.contract.graph_io import GraphName, GraphSignature
from toolkit.contract.manifest import MANIFEST, BundleManifest, manifest_from_json
from toolkit.errors import BundleError, ConfigError
from toolkit.runtime.bundle_graphs import check_graph_file, check_tensors
from toolkit.runtime.guarded_graph import GuardedGraph
from toolkit.runtime.onnx_compatibility import reads
from toolkit.runtime.predictors import StreamingPredictor, WindowedPredictor
from toolkit.runtime.session import CPU, Session, SessionPolicy, create_session

if TYPE_CHECKING:
    from toolkit.runtime.bulk import BulkPredictor
    from toolkit.runtime.layer_states import LayerSession

MAX_MANIFEST_BYTES = 1 << 20
MAX_FILE_BYTES = 1 << 30


@dataclass(frozen=True)
class Bundle:
    """A folder with a manifest that has been read and checked.

    Attributes:
        folder: where it lies.
        manifest: its contents.
    """

    folder: Path
    manifest: BundleManifest

    def read(self, name: str) -> bytes:
        """The bytes of one of the bundle's files, checked against the manifest; they are read once and used.

        Raises:
            BundleError: not in the manifest, missing, a link, or with another size or hash.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(f"the manifest of {self.folder} lists no {name}", allowed=", ".join(self.manifest.files))
        content = _read(self.folder, name, min(entry.bytes, MAX_FILE_BYTES))
        if len(content) != entry.bytes or hashlib.sha256(content).hexdigest() != entry.sha256:
            raise BundleError(
                f"{self.folder / name} is not the file that the manifest describes",
                got="another size or SHA-256",
                fix="copy the bundle again, or export it again",
            )
        return content

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
            layers = partial(_layers, content, entry.signature, policy)
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


def load_bundle(folder: Path) -> Bundle:
    """Reads the manifest, checks every file that it lists, and holds each graph's bytes against it.

    Raises:
        BundleError: no bundle, a file that is missing, foreign, a link or changed, another schema version, a graph that
            is another than the manifest says, or an onnxruntime that is too old for it.
    """
    if not folder.is_dir():
        raise BundleError(f"there is no bundle {folder}", fix="name a folder that 'lstm-edge export' wrote")
    if not (folder / MANIFEST).exists():
        raise BundleError(
            f"{folder} is no bundle", got=f"no {MANIFEST}", fix="name a folder that 'lstm-edge export' wrote"
        )
    where = str(folder / MANIFEST)
    bundle = Bundle(folder, manifest_from_json(_read(folder, MANIFEST, MAX_MANIFEST_BYTES), where))
    listed = {MANIFEST, *bundle.manifest.files}
    foreign = sorted(set(os.listdir(folder)) - listed)
    if foreign:
        raise BundleError(f"{folder} holds a file that its manifest does not list", got=foreign[0], fix="remove it")
    _check_runtime(bundle)
    graphs = {entry.file: entry for entry in bundle.manifest.graphs}
    for name in dict.fromkeys([*bundle.manifest.files, *graphs]):
        content = bundle.read(name)
        if name in graphs:
            check_graph_file(content, graphs[name], bundle.manifest, str(folder))
    return bundle


def _check_runtime(bundle: Bundle) -> None:
    needed = bundle.manifest.minimum_onnxruntime
    if not reads(onnxruntime.__version__, needed):
        raise BundleError(
            f"{bundle.folder} needs onnxruntime {needed} or newer, as its manifest says",
            got=f"onnxruntime {onnxruntime.__version__}",
            fix=f"pip install 'onnxruntime>={needed}', or export it again with a lower --opset",
        )


def _read(folder: Path, name: str, limit: int) -> bytes:
    """A plain file of at most `limit` bytes directly within `folder`; a link is never followed."""
    if name != Path(name).name or name in ("", ".", "..") or not name.isprintable():
        raise BundleError(f"{folder}: a file's name must not lead elsewhere", got=repr(name))
    path = folder / name
    try:
        # Non-blocking: opening a pipe must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reason = "a link" if error.errno == errno.ELOOP else error.strerror
        raise BundleError(f"cannot read {path}", got=reason, fix="copy the bundle again") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise BundleError(f"{path} is no plain file", fix="copy the bundle again")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > limit:
            raise BundleError(f"{path} is too large", got=f"{status.st_size} bytes", allowed=f"{limit} bytes")
        return file.read(limit + 1)
