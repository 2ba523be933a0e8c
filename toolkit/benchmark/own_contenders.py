"""The bundle's own contenders: each way in which a graph is run where it is deployed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from toolkit.benchmark.plan import Request
from toolkit.benchmark.scenarios import ONNXRUNTIME, Contender
from toolkit.contract.graph_entry import GraphEntry
from toolkit.runtime.bulk import BULK_POLICY
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.session import CPU, SessionPolicy

Feed = Mapping[str, NDArray[np.float32]]

TUNED = "tuned session"
"""The bundle's graphs as `tune-session` would have them run on this machine."""


@dataclass(frozen=True)
class Asked:
    """One request to one graph in one precision.

    Attributes:
        bundle: whose graph.
        entry: the graph.
        request: its size.
        feed: its inputs.
        policy: of its session.
        held: closes, when it ends, what contenders hold open.
        name: of the contender.
    """

    bundle: Bundle
    entry: GraphEntry
    request: Request
    feed: Feed
    policy: SessionPolicy
    held: ExitStack
    name: str = ONNXRUNTIME

    def contender(self, predictor: str, call: Callable[[], object]) -> Contender:
        """One way of running it."""
        entry, policy = self.entry, self.policy
        options = {"predictor": predictor, **policy_options(policy)}
        return Contender(self.name, entry.name, policy.provider, entry.precision, policy.threads, call, options=options)


def own_contenders(asked: Asked) -> Iterator[Contender]:
    """`predict` and, for a batch on the CPU, `bulk`; or `advance` and `step`."""
    entry, feed = asked.entry, dict(asked.feed)
    readings = feed.pop(entry.signature.data[0].name)
    if entry.name == "windowed":
        windowed = asked.bundle.windowed(asked.policy, entry.precision)
        yield asked.contender("predict", lambda: windowed.predict(readings, **feed))
        if asked.request.batch > 1 and not feed and not entry.mixes_series and asked.policy.provider == CPU:
            yield _bulk(asked, readings)
        return
    streaming = asked.bundle.streaming(asked.policy, entry.precision)
    state = {name: feed.pop(name) for name in entry.signature.states}
    yield asked.contender("advance", lambda: streaming.advance(readings, state, **feed))
    if not feed and not entry.mixes_series and asked.policy.provider == CPU:
        live = asked.bundle.streaming(asked.policy, entry.precision)
        assets = tuple(range(asked.request.batch))
        yield asked.contender("step", lambda: live.step(readings, assets, reuse=True))


def policy_options(policy: SessionPolicy) -> dict[str, str]:
    """The session's policy as a report tells it; provider and threads have keys of their own."""
    switches = {"spinning": policy.spinning, "arena": policy.arena, "memory_pattern": policy.memory_pattern}
    return {**{name: "on" if value else "off" for name, value in switches.items()}, "optimisation": policy.optimisation}


def _bulk(asked: Asked, readings: NDArray[np.float32]) -> Contender:
    """One single-threaded session on each of as many cores as the others have threads."""
    policy, cores = asked.policy if asked.name == TUNED else BULK_POLICY, asked.policy.threads
    bulk = asked.held.enter_context(asked.bundle.bulk(policy, precision=asked.entry.precision, cores=cores))
    as_run = replace(asked, policy=replace(policy, threads=cores))
    return as_run.contender("bulk", lambda: bulk.predict(readings))
