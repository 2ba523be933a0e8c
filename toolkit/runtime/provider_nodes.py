"""Whether a provider that was asked for runs a bundle's graph, node by node.

A session on CUDA is made without complaint when half of its nodes run on the CPU: onnxruntime gives each node to the
first provider of its list that has a kernel for it. What really ran where stands in its profile.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from toolkit.contract.graph_entry import GraphEntry
from toolkit.contract.manifest import GOLDEN
from toolkit.errors import ProviderError
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.golden import unpack_golden
from toolkit.runtime.session import CPU, SessionPolicy, create_session, run_session

KERNEL = "_kernel_time"
COPY = "Memcpy"
SHAPE_TYPES = frozenset(["int64", "int32", "bool"])
"""What sizes of axes are computed in; readings, states and weights are floating point."""


class NodeOff(NamedTuple):
    """A node that did not run where it was asked for: its name, its operator and the provider that ran it."""

    name: str
    operator: str
    provider: str

    def __str__(self) -> str:
        return f"{self.name} ({self.operator}) on {self.provider}"


def nodes_off_provider(bundle: Bundle, entry: GraphEntry, policy: SessionPolicy) -> tuple[NodeOff, ...]:
    """The nodes of a graph whose kernels ran on another provider than the policy's.

    The graph is run once on golden inputs, with onnxruntime's profile on. Copies between devices are of no account,
    and neither is work on sizes of axes that is left to the CPU: CUDA's and other providers leave it there by design,
    for it costs nothing and its results are needed there.

    Args:
        bundle: whose graph to run.
        entry: the graph in the precision that is asked for.
        policy: of the session.

    Raises:
        BundleError: a graph that does not load or run.
        RequestError: the provider is not in this onnxruntime, or took no session.
    """
    cases = [case for case in unpack_golden(bundle.read(GOLDEN)) if case.graph == entry.name]
    feed = max(cases, key=lambda case: case.inputs[entry.signature.data[0].name].size).inputs
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        session = create_session(bundle.read(entry.file), policy, entry.file, Path(folder) / "nodes")
        run_session(session, feed)
        events = json.loads(Path(session.end_profiling()).read_bytes())
    return nodes_off(events, policy.provider)


def nodes_off(events: list[dict[str, Any]], provider: str) -> tuple[NodeOff, ...]:
    """The same from the events of a profile, each node once."""
    return tuple(dict.fromkeys(_off(events, provider)))


def require_provider(bundle: Bundle, entry: GraphEntry, policy: SessionPolicy) -> None:
    """Refuses a provider that leaves work of a graph to another: what is timed then is not that provider.

    Raises:
        ProviderError: it does; the message names the first node.
        BundleError, RequestError: as `nodes_off_provider`.
    """
    if policy.provider == CPU:
        return
    off = nodes_off_provider(bundle, entry, policy)
    if off:
        more = f", and {len(off) - 1} more" if len(off) > 1 else ""
        raise ProviderError(
            f"{policy.provider} leaves work of {entry.file} to another provider",
            got=f"{off[0]}{more}",
            fix=f"leave --provider {policy.provider} out, or --precision fp32",
        )


def _off(events: list[dict[str, Any]], provider: str) -> Iterator[NodeOff]:
    for event in events:
        told = event.get("args", {})
        name = str(event.get("name", ""))
        if event.get("cat") != "Node" or not name.endswith(KERNEL) or told.get("provider", provider) == provider:
            continue
        operator = str(told.get("op_name", ""))
        if not operator.startswith(COPY) and not (told["provider"] == CPU and _is_about_sizes(told)):
            yield NodeOff(name.removesuffix(KERNEL), operator, str(told["provider"]))


def _is_about_sizes(told: Mapping[str, Any]) -> bool:
    """Whether all that the node gave are whole numbers: a row of sizes, or one of them."""
    outputs = [(kind, dims) for each in told.get("output_type_shape", ()) for kind, dims in each.items()]
    return bool(outputs) and all(kind in SHAPE_TYPES and len(dims) <= 1 for kind, dims in outputs)
