"""What other servers want beside a graph: Triton's configuration, onnxruntime's own file format."""

from collections.abc import Mapping, Sequence

import numpy as np

from toolkit.contract.graph_entry import GraphEntry
from toolkit.errors import ConfigError, GateError
from toolkit.release.ort_format import ort_files
from toolkit.release.triton import triton_config
from toolkit.runtime.session import create_session

SERVERS = ("triton", "ort")


def server_files(
    bundle: str, entries: Sequence[GraphEntry], files: Mapping[str, bytes], servers: Sequence[str]
) -> dict[str, bytes]:
    """The files for the servers that were asked for, by name.

    Args:
        bundle: its name: a model of Triton's is called `<bundle>-<graph>`, for one repository holds many.
        entries: the graphs of the bundle.
        files: their contents.
        servers: `triton` gives `<graph>.config.pbtxt` for each preferred graph; `ort` gives, for each graph, `.ort` and
            `.required_operators.config`.

    Raises:
        GateError: a converted graph answers otherwise.
        ModelError: a graph that Triton cannot serve.
        ConfigError: another server.
    """
    unknown = next((server for server in servers if server not in SERVERS), None)
    if unknown is not None:
        raise ConfigError("--with", got=repr(unknown), allowed=", ".join(SERVERS))
    found: dict[str, bytes] = {}
    if "triton" in servers:
        for entry in (entry for entry in entries if entry.preferred):
            text = triton_config(
                f"{bundle}-{entry.name}",
                entry.signature,
                file=entry.file,
                one_series=entry.one_series,
                mixes_series=entry.mixes_series,
            )
            found[f"{entry.name}.config.pbtxt"] = text.encode()
    if "ort" in servers:
        for entry in entries:
            name = entry.file.removesuffix(".onnx")
            made = ort_files(files[entry.file], name)
            _check_same_answers(entry, files[entry.file], made[f"{name}.ort"])
            found |= made
    return found


def _check_same_answers(entry: GraphEntry, graph: bytes, converted: bytes) -> None:
    """The converted graph was optimised: on one input of each graph it must answer bit for bit as the original."""
    random = np.random.default_rng(0)
    sizes = {axis: entry.limits.clipped(axis, 2) for axis in entry.signature.symbolic_axes}
    if entry.one_series and entry.signature.batch_axis is not None:
        sizes[entry.signature.batch_axis] = 1
    feed = {
        tensor.name: random.standard_normal(
            [sizes[axis] if isinstance(axis, str) else axis for axis in tensor.axes]
        ).astype(np.float32)
        for tensor in entry.inputs
    }
    before, after = (create_session(content, None, entry.file).run(None, feed) for content in (graph, converted))
    if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(before, after, strict=True)):
        raise GateError(f"{entry.file} answers otherwise in onnxruntime's own format")
