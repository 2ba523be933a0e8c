"""onnxruntime's own profile: what each kernel took in a call.

The file is a list of events (Chrome's trace format). Each kernel is one of category `Node`, written when it ends, with
its duration in whole microseconds; `model_run` ends a call. A loop's or a branch's kernel covers those of its body,
which are written before it: they are taken out of it, so that no time counts twice.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KERNEL = "_kernel_time"
END_OF_CALL = "model_run"
CONTAINERS = frozenset(["Loop", "If", "Scan"])

Shape = tuple[int, ...]
Event = Mapping[str, Any]
_Key = tuple[str, str, str]


@dataclass(frozen=True)
class NodeRun:
    """One node over all calls.

    Attributes:
        name: in the graph that onnxruntime made of the file.
        operator: its type.
        provider: that ran it.
        runs: in a call.
        recorded_us: in a call, all runs together, as recorded.
        inputs: shapes in the last run; weights that were packed beforehand are not among them.
        outputs: shapes in the last run.
    """

    name: str
    operator: str
    provider: str
    runs: int
    recorded_us: float
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]


@dataclass
class _Call:
    """Kernels of one call: microseconds and runs of each node."""

    spent: dict[_Key, list[int]]

    def add(self, key: _Key, own: int) -> None:
        entry = self.spent.setdefault(key, [0, 0])
        entry[0] += own
        entry[1] += 1


def node_runs(events: Iterable[Event], skip: int = 0) -> tuple[NodeRun, ...]:
    """The median of each node over the calls of a profile, in the order in which the nodes first ran.

    Durations are cut down to whole microseconds, so that a median of them would be a whole number as well. It is the
    median of grouped data that is taken: a duration of 5 stands for anything from 5 to below 6.

    Args:
        events: of the whole file, in its order.
        skip: calls at the beginning that do not count, the cold ones.
    """
    last: dict[_Key, Event] = {}
    counted = _calls(events, last)[skip:]
    return tuple(_node_run(key, event, counted) for key, event in last.items()) if counted else ()


def _calls(events: Iterable[Event], last: dict[_Key, Event]) -> list[_Call]:
    calls: list[_Call] = []
    current, open_kernels = _Call({}), list[tuple[int, int]]()
    for event in events:
        name = str(event.get("name", ""))
        if name == END_OF_CALL:
            calls.append(current)
            current, open_kernels = _Call({}), []
        elif event.get("cat") == "Node" and name.endswith(KERNEL):
            told = event["args"]
            key = (name.removesuffix(KERNEL), str(told.get("op_name", "")), str(told.get("node_index", "")))
            current.add(key, _own_time(event, key[1], open_kernels))
            last[key] = event
    return calls


def _own_time(event: Event, operator: str, before: list[tuple[int, int]]) -> int:
    """The kernel's duration without those of its body; `before` holds kernels that no other one covers yet."""
    start, duration = int(event["ts"]), int(event["dur"])
    inside = 0
    while operator in CONTAINERS and before and before[-1][0] >= start:
        inside += before.pop()[1]
    before.append((start, duration))
    return max(duration - inside, 0)


def _node_run(key: _Key, event: Event, calls: Sequence[_Call]) -> NodeRun:
    entries = [call.spent.get(key, [0, 0]) for call in calls]
    # Each run lost half a microsecond on average to cutting; a node that did not run lost nothing.
    middle = statistics.median_grouped([spent + runs / 2 for spent, runs in entries])
    runs = int(statistics.median_low([runs for _, runs in entries]))
    told = event["args"]
    return NodeRun(
        name=key[0],
        operator=key[1],
        provider=str(told.get("provider", "")),
        runs=runs,
        recorded_us=max(float(middle), 0.0) if runs else 0.0,
        inputs=_shapes(told.get("input_type_shape", ())),
        outputs=_shapes(told.get("output_type_shape", ())),
    )


def _shapes(told: Iterable[Mapping[str, Sequence[int]]]) -> tuple[Shape, ...]:
    return tuple(tuple(map(int, dims)) for entry in told for dims in entry.values())
