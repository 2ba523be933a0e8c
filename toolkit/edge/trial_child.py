"""The process in which a bundle is tried: `python -m toolkit.edge.trial_child REQUEST`, see `trial`.

Limits come first. That on memory is set once everything is imported and before the bundle is looked at: it is for what
the bundle takes, not for what Python and onnxruntime take on this machine.
"""

import contextlib
import importlib
import json
import math
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO, cast

from toolkit.contract.frozen import dataclass
from toolkit.contract.graph_entry import GraphEntry, Precision
from toolkit.contract.graph_io import GraphName, TensorSpec
from toolkit.contract.readiness_reports import GoldenPart, GraphLatency, TrialResult
from toolkit.contract.records import decode, encode
from toolkit.edge.trial_request import TrialRequest
from toolkit.errors import BundleError, ConfigError, RequestError, ToolkitError

if TYPE_CHECKING:
    from toolkit.runtime.bundle import Bundle
    from toolkit.runtime.golden import GoldenResult
    from toolkit.runtime.golden_case import GoldenCase
    from toolkit.runtime.guarded_graph import Array, GuardedGraph
    from toolkit.runtime.session import SessionPolicy

NICE = 5
MB = 1e6
MOST_CALLS = 2000
WARM_UP = 3

_NO_MEMORY = re.compile(r"bad_alloc|allocate|BFCArena|out of memory", re.IGNORECASE)
"""How onnxruntime says that it got none."""


@dataclass(frozen=True)
class Used:
    """One graph as a gateway would run it, and its golden cases."""

    entry: GraphEntry
    graph: "GuardedGraph"
    cases: "list[GoldenCase]"


def main() -> None:
    """Tries the bundle and prints the result as one line of JSON."""
    began = time.perf_counter()
    out = _own_output()
    request = decode(TrialRequest, json.loads(sys.argv[1]), "the request", RequestError)
    _limit_time(request.time_s)
    _go_first()
    importlib.import_module("toolkit.runtime.golden")  # its memory is not the bundle's
    base = _status("VmSize")
    _limit_memory(base, request.memory_bytes)
    result = _tried(request)
    memory = {"rss_mb": _status("VmRSS"), "peak_rss_mb": _status("VmHWM")}
    peak = _status("VmPeak")
    told = {
        **encode(result),
        **{name: None if size is None else size / MB for name, size in memory.items()},
        "memory_mb": None if peak is None or base is None else (peak - base) / MB,
        "seconds": time.perf_counter() - began,
    }
    print(json.dumps(told), file=out, flush=True)


def _tried(request: TrialRequest) -> TrialResult:
    from toolkit.runtime.bundle import load_bundle  # noqa: PLC0415 - after the limits, as all that follow
    from toolkit.runtime.golden import GoldenResult, check_manifest, refuse_beyond  # noqa: PLC0415

    try:
        bundle = load_bundle(request.folder)
    except BundleError as error:
        return TrialResult("refused", str(error))
    except MemoryError:
        return TrialResult("failed", _too_much(request))
    results: list[GoldenResult] = []
    try:
        used = list(_used(bundle, request.session_file))
        for one in used:
            results += _golden(one, bundle.manifest.window_length, request.series)
        refuse_beyond(results)
        for one in used:
            check_manifest(one.graph, one.entry, one.cases)
        latency = tuple(_latency(one, request.timed_s) for one in used)
    except ConfigError as error:  # of the session file: the request was wrong, not the bundle
        return TrialResult("refused", str(error), bundle.digest)
    except (ToolkitError, MemoryError) as error:
        no_memory = isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)) is not None
        problem = _too_much(request) if no_memory else str(error)
        return TrialResult("failed", problem, bundle.digest, tuple(map(_part, results)))
    return TrialResult("passed", "", bundle.digest, tuple(map(_part, results)), latency)


def _used(bundle: "Bundle", session_file: str) -> Iterator[Used]:
    """Each graph in the precision and under the policy that a gateway opens it with."""
    from toolkit.runtime.golden import golden_cases  # noqa: PLC0415

    cases = golden_cases(bundle)
    for name in bundle.manifest.names:
        policy, precision = _policy(bundle, name, session_file)
        entry = bundle.manifest.graph(name, precision)
        yield Used(entry, bundle.guarded(entry, policy), cases[name])


def _policy(bundle: "Bundle", graph: GraphName, session_file: str) -> "tuple[SessionPolicy | None, Precision | None]":
    if not session_file:  # a user's own file is not the gateway's, whose user has no home
        return None, None
    from pathlib import Path  # noqa: PLC0415

    from toolkit.runtime.session_file import policy_for  # noqa: PLC0415

    return policy_for(bundle, graph, Path(session_file))


def _golden(used: Used, window_length: int, series: int) -> "Iterator[GoldenResult]":
    """The golden cases, and the first series of one of them as many times as a gateway has assets, in one call."""
    from toolkit.runtime.golden import judge, run_cases  # noqa: PLC0415

    yield from run_cases(used.graph, used.entry, used.cases, window_length)
    axis = used.entry.signature.batch_axis
    if axis is None or used.entry.mixes_series:
        return
    many = _many(used, axis, used.entry.limits.clipped(axis, series))
    answers = used.graph.run(many.inputs)
    yield from (judge(used.entry, many, name, answers[name]) for name in many.outputs)


def _many(used: Used, axis: str, series: int) -> "GoldenCase":
    from toolkit.runtime.golden_case import GoldenCase  # noqa: PLC0415

    entry, case = used.entry, used.cases[0]
    batched = [tensor for tensor in entry.outputs if axis in tensor.axes]
    return GoldenCase(
        entry.name,
        "batch",
        _sized(case.inputs, entry.inputs, {axis: 1}, {axis: series}),
        _sized(case.outputs, batched, {axis: 1}, {axis: series}),
    )


def _sized(
    arrays: "Mapping[str, Array]", tensors: Sequence[TensorSpec], taken: Mapping[str, int], times: Mapping[str, int]
) -> "dict[str, Array]":
    """Those tensors with the first so many of an axis, repeated so many times."""
    from toolkit.runtime.stream import part_of  # noqa: PLC0415

    found = {}
    for tensor in tensors:
        array = arrays[tensor.name]
        for axis, size in taken.items():
            array = part_of(array, tensor, axis, 0, size)
        for axis, count in times.items():
            if axis in tensor.axes:
                array = array.repeat(count, tensor.axes.index(axis))
        found[tensor.name] = array
    return found


def _latency(used: Used, seconds: float) -> GraphLatency:
    """One series a call: a window, or of a stream the least that it takes."""
    entry, tensors = used.entry, used.entry.signature
    batch, sequence = tensors.batch_axis, tensors.sequence_axis
    taken = {} if batch is None else {batch: entry.limits.at_least(batch)}
    if entry.name == "streaming" and sequence is not None:
        taken[sequence] = entry.limits.at_least(sequence)
    feed = _sized(used.cases[0].inputs, entry.inputs, taken, {})
    samples = [
        a.shape[t.axes.index(sequence)] for t, a in zip(entry.inputs, feed.values(), strict=True) if sequence in t.axes
    ]
    times = sorted(_timed(lambda: used.graph.run(feed), seconds))
    p50, p99 = (times[math.ceil(share * len(times)) - 1] / 1e6 for share in (0.5, 0.99))  # nearest rank
    return GraphLatency(entry.name, entry.precision, samples[0] if samples else None, len(times), p50, p99)


def _timed(call: Callable[[], object], seconds: float) -> list[int]:
    """Nanoseconds of single calls, until the time is up; at least one."""
    for _ in range(WARM_UP):
        call()
    times: list[int] = []
    end = time.perf_counter_ns() + int(seconds * 1e9)
    while not times or (len(times) < MOST_CALLS and time.perf_counter_ns() < end):
        began = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - began)
    return times


def _part(result: "GoldenResult") -> GoldenPart:
    worst = result.worst if math.isfinite(result.worst) else None
    return GoldenPart(result.graph, cast("Precision", result.precision), result.case, result.output, worst)


def _too_much(request: TrialRequest) -> str:
    return f"it took more than {request.memory_bytes / MB:.0f} MB"


def _limit_time(seconds: float) -> None:
    """The child ends itself, whether its parent lives or not; and it leaves neither files nor a core behind."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    whole = math.ceil(seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (whole, whole + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with contextlib.suppress(OSError):  # a hardened service may not ask for it
        os.nice(NICE)


def _go_first() -> None:
    """Where memory runs out all the same, this process is the one to be ended: it shares the gateway's allowance."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")


def _limit_memory(base: int | None, memory_bytes: int) -> None:
    if base is None:  # a system that does not tell keeps to the limit on time
        return
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = base + memory_bytes
    if most != resource.RLIM_INFINITY:
        limit = min(limit, most)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _status(key: str) -> int | None:
    """Bytes, from `/proc/self/status`; None where that does not say."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            found = next((line.split()[1] for line in file if line.startswith(f"{key}:")), None)
    except OSError:
        return None
    return None if found is None else int(found) * 1024


def _own_output() -> TextIO:
    """Standard output for the answer alone: whatever a library prints goes to standard error."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return own


if __name__ == "__main__":
    main()
