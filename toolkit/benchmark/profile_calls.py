"""What a profile calls: a graph on bound buffers, with onnxruntime's profiler on, and a graph that does nothing."""

import functools
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.benchmark.profile_events import NodeRun, node_runs
from toolkit.benchmark.timing import Call
from toolkit.contract.graph_entry import GraphEntry
from toolkit.runtime.bound_calls import Buffers, direct_call
from toolkit.runtime.bundle import Bundle
from toolkit.runtime.layer_states import rewritten
from toolkit.runtime.live_stream import LiveStream
from toolkit.runtime.protobuf_wire import BYTES, VARINT, Entry, write_message
from toolkit.runtime.session import Session, SessionPolicy, create_session, run_session

Feed = Mapping[str, NDArray[np.float32]]

UNOPTIMISED = "none"
"""Of a graph that does nothing: otherwise onnxruntime takes all of its nodes out."""


@dataclass(frozen=True)
class RecordedCall:
    """A call whose session keeps onnxruntime's profile.

    Attributes:
        call: on bound buffers.
        session: with the profiler on.
    """

    call: Call
    session: Session

    def runs(self, skip: int = 0) -> tuple[NodeRun, ...]:
        """Ends the profile, and reads it; see `node_runs`."""
        path = Path(self.session.end_profiling())
        events = json.loads(path.read_bytes())
        path.unlink()
        return node_runs(events, skip)


def users_call(bundle: Bundle, entry: GraphEntry, policy: SessionPolicy, feed: Feed, batch: int) -> Call:
    """The call that a gateway makes, guards included."""
    data = [tensor.name for tensor in entry.signature.data]
    x, others = feed[data[0]], {name: feed[name] for name in data[1:]}
    if entry.name == "windowed":
        windowed = bundle.windowed(policy, entry.precision)
        return functools.partial(windowed.predict, x, **others)
    streaming = bundle.streaming(policy, entry.precision)
    if others:  # what `step` does not take
        stream = LiveStream(streaming, {name: feed[name] for name in entry.signature.states})
        return functools.partial(stream.step, x, reuse=True, **others)
    return functools.partial(streaming.step, x, tuple(range(batch)), reuse=True)


def deployed_graph(bundle: Bundle, entry: GraphEntry, feed: Feed) -> tuple[bytes, Feed]:
    """The graph that is run, which for a step is rewritten in memory, and its inputs."""
    content, tensors = bundle.read(entry.file), entry.signature
    x = feed[tensors.data[0].name]
    one_sample = entry.name == "streaming" and x.shape[:2] == (1, 1)
    found = rewritten(content, tensors, one_sample=one_sample) if len(tensors.data) == 1 else None
    if found is None:
        return content, feed
    given: dict[str, NDArray[np.float32]] = {}
    for name, array in feed.items():
        parts = found.parts.get(name)
        given |= {name: array} if parts is None else {part: array[n : n + 1] for n, part in enumerate(parts)}
    return found.content, given


def bound_call(session: Session, feed: Feed) -> Call:
    """`run` on buffers that are bound once, filled with the feed: no guard, no copy, no Python around it."""
    names = [value.name for value in session.get_outputs()]
    answers = [np.asarray(answer) for answer in run_session(session, dict(feed), names)]
    given, got = Buffers([array.shape for array in feed.values()]), Buffers([answer.shape for answer in answers])
    binding = session.io_binding()
    for name, buffer in zip(feed, given.arrays, strict=True):
        buffer[...] = feed[name]
        binding.bind_input(name, "cpu", 0, np.float32, buffer.shape, buffer.ctypes.data)
    for name, buffer in zip(names, got.arrays, strict=True):
        binding.bind_output(name, "cpu", 0, np.float32, buffer.shape, buffer.ctypes.data)
    run, bound = direct_call(session, binding)

    def call(_kept: Any = (given, got, binding)) -> None:
        """onnxruntime knows addresses alone: the buffers live as long as the call."""
        run(bound, None)

    return call


def recorded_call(graph: bytes, policy: SessionPolicy, feed: Feed, profile: Path) -> RecordedCall:
    """A bound call whose session keeps a profile; `profile` is how the file's name begins."""
    session = create_session(graph, policy, "the profiled graph", profile)
    return RecordedCall(bound_call(session, feed), session)


def empty_graph(nodes: int, inputs: int, outputs: int, rank: int = 1) -> bytes:
    """An ONNX file of so many nodes that hand one number on, in as many chains as there are outputs.

    It costs what onnxruntime takes to get to its kernels and back: to call it, to look at what is bound, to go from
    node to node. Field numbers are those of onnx/onnx.proto3.

    Args:
        nodes: all chains together; at least one for each output.
        inputs: `i0`, `i1`, ..., float32.
        outputs: `o0`, `o1`, ..., float32.
        rank: axes of each tensor, all of size 1.
    """
    graph = [_field(2, b"empty")]
    for chain in range(outputs):
        length = max(1, nodes // outputs + (chain < nodes % outputs))
        names = [f"i{chain % inputs}", *(f"c{chain}_{place}" for place in range(1, length)), f"o{chain}"]
        graph += [_field(1, _identity(*pair)) for pair in itertools.pairwise(names)]
    graph += [_field(11, _value(f"i{place}", rank)) for place in range(inputs)]
    graph += [_field(12, _value(f"o{place}", rank)) for place in range(outputs)]
    opset = _field(2, 17)
    return _field(1, 8) + _field(7, b"".join(graph)) + _field(8, opset)


def empty_feed(inputs: int, rank: int = 1) -> dict[str, NDArray[np.float32]]:
    """What `empty_graph` takes."""
    return {f"i{place}": np.ones((1,) * rank, np.float32) for place in range(inputs)}


def _identity(given: str, got: str) -> bytes:
    return _field(1, given.encode()) + _field(2, got.encode()) + _field(3, got.encode()) + _field(4, b"Identity")


def _value(name: str, rank: int) -> bytes:
    shape = _field(1, _field(1, 1)) * rank
    tensor = _field(1, 1) + _field(2, shape)
    return _field(1, name.encode()) + _field(2, _field(1, tensor))


def _field(number: int, content: int | bytes) -> bytes:
    entry = Entry(VARINT, content) if isinstance(content, int) else Entry(BYTES, memoryview(content))
    return write_message({number: [entry]})
