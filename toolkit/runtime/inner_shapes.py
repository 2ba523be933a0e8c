"""Shapes of tensors within a graph whose free axes are all 1, as onnxruntime infers them before it runs anything.

Numbers cannot prove that a node moves nothing: all orders of zeros are the same, and a gateway may begin with zeros.
Shapes that are inferred hold for all numbers.
"""

from collections.abc import Iterable, Sequence

from toolkit.contract.graph_io import Axis
from toolkit.errors import BundleError
from toolkit.runtime.onnx_file import OnnxFile
from toolkit.runtime.protobuf_wire import BYTES, VARINT, Budget, Entry, read_message, write_message
from toolkit.runtime.session import SessionPolicy, create_session

MODEL_GRAPH, GRAPH_INPUT, GRAPH_OUTPUT, GRAPH_VALUE_INFO = 7, 11, 12, 13
"""Fields of `onnx.proto`: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto."""
FLOAT = 1


def inner_shapes(content: bytes, file: OnnxFile, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Shapes by name, of those that are known in full whatever the numbers are.

    Args:
        content: a graph that has been read before.
        file: what was read.
        names: of float32 tensors within the graph.
    """
    model = read_message(memoryview(content), Budget())
    graph = model.message(MODEL_GRAPH)
    assert graph is not None  # it was read before
    if any(value.axes is None or value.element != "float32" for value in file.graph.inputs):
        return {}
    fields = {
        **graph.entries,
        GRAPH_INPUT: [blob(value_info(value.name, _ones(value.axes or ()))) for value in file.graph.inputs],
        GRAPH_OUTPUT: [blob(write_message({1: [blob(name.encode())]})) for name in dict.fromkeys(names)],
        GRAPH_VALUE_INFO: [],  # what the file says of them is not inferred
    }
    probe = write_message({**model.entries, MODEL_GRAPH: [blob(write_message(fields))]})
    try:
        outputs = create_session(probe, SessionPolicy(optimisation="none")).get_outputs()
    except BundleError:
        return {}
    return {output.name: tuple(output.shape) for output in outputs if all(isinstance(n, int) for n in output.shape)}


def value_info(name: str, axes: Iterable[Axis]) -> bytes:
    """The `ValueInfoProto` of a float32 tensor."""
    shape = write_message({1: [blob(_axis(axis)) for axis in axes]})
    kind = write_message({1: [Entry(VARINT, FLOAT)], 2: [blob(shape)]})
    return write_message({1: [blob(name.encode())], 2: [blob(write_message({1: [blob(kind)]}))]})


def blob(content: bytes) -> Entry:
    """Bytes, a text or a message as an entry of another message."""
    return Entry(BYTES, memoryview(content))


def _ones(axes: Iterable[Axis]) -> list[int]:
    return [axis if isinstance(axis, int) else 1 for axis in axes]


def _axis(axis: Axis) -> bytes:
    return write_message({1: [Entry(VARINT, axis)]} if isinstance(axis, int) else {2: [blob(axis.encode())]})
