"""Which processes a bundle's own contenders are, and what they are asked."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from toolkit.benchmark.bundle import bundle_feed
from toolkit.benchmark.scenarios import ONNXRUNTIME
from toolkit.benchmark.worker_protocol import Worker
from toolkit.contract.graph_entry import GraphEntry
from toolkit.runtime.bundle import Bundle, load_bundle
from toolkit.runtime.session import CPU

DEFAULT_SESSION = "default session"


def bundle_workers(folder: Path, providers: Sequence[str] = (CPU,), threads: int = 1) -> tuple[Worker, ...]:
    """onnxruntime on a bundle's graph: deployed as the toolkit does on each provider, and with its own defaults.

    Args:
        folder: of the bundle; its windowed graph is asked, or its streaming one where it has no other.
        providers: execution providers that really run.
        threads: within one operator, of the toolkit's predictor; the default session chooses for itself.

    Raises:
        BundleError: no bundle, or a damaged one.
    """
    bundle = load_bundle(folder)
    entry, request = asked_graph(bundle), request_line(bundle)
    command = (sys.executable, "-m", "toolkit.benchmark.worker")
    place = str(folder.resolve())
    own = [
        Worker(
            ONNXRUNTIME,
            (*command, "predictor", place, entry.name, entry.precision, provider, str(threads)),
            entry.name,
            provider,
            entry.precision,
            threads,
            request,
        )
        for provider in providers
    ]
    file = str(folder.resolve() / entry.file)
    plain = Worker(
        DEFAULT_SESSION,
        (*command, "default", file),
        entry.name,
        CPU,
        entry.precision,
        0,
        request,
        options={"session": "onnxruntime's own options", "threads": "onnxruntime's own choice"},
    )
    return (*own, plain)


def asked_graph(bundle: Bundle) -> GraphEntry:
    """The graph that processes are asked: the windowed one in its preferred precision, streaming where it is alone."""
    return bundle.manifest.graph("windowed" if "windowed" in bundle.manifest.names else "streaming")


def asked_sizes(bundle: Bundle) -> tuple[int, int]:
    """Batch and sequence of a request: one series, the model's window or one step."""
    entry = asked_graph(bundle)
    batch, sequence = entry.signature.batch_axis, entry.signature.sequence_axis
    if sequence is None:
        length = 1
    elif entry.name == "streaming":
        length = entry.limits.at_least(sequence)
    else:
        length = entry.limits.clipped(sequence, bundle.manifest.window_length)
    return 1 if batch is None else entry.limits.at_least(batch), length


def request_line(bundle: Bundle) -> str:
    """What a process reads first: inputs cut from the bundle's golden vectors."""
    feed = bundle_feed(bundle, asked_graph(bundle).name, *asked_sizes(bundle))
    return json.dumps([[name, list(array.shape), array.ravel().tolist()] for name, array in feed.items()])
