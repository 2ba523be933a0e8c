"""A streaming graph whose layers' states are inputs and outputs of their own.

The graph contract stacks the states of all layers in one tensor, which the graph takes apart and puts together again
at each step: four operators of seventeen, a seventh of a step of two layers of 64 units. The parts of the stack lie one
after the other in memory, so that a caller who binds buffers can give each layer its own part, of the same memory.

The rewritten graph is made in memory, of the bytes that were checked, and is used only where its answers are those of
the graph itself to the bit (see `live_stream`).
"""

from collections.abc import Mapping, Sequence

from toolkit.contract.frozen import dataclass
from toolkit.contract.graph_io import GraphSignature, TensorSpec
from toolkit.errors import BundleError
from toolkit.runtime.inner_shapes import blob, value_info
from toolkit.runtime.one_sample import for_one_sample
from toolkit.runtime.onnx_file import Node, OnnxFile, read_onnx
from toolkit.runtime.protobuf_wire import Budget, read_message, write_message
from toolkit.runtime.session import Session, SessionPolicy, create_session

LARGEST = 1 << 25
"""Bytes of a graph that is rewritten: of a larger one the weights in memory twice cost more than the step gains."""

MODEL_GRAPH, GRAPH_NODE, GRAPH_INPUT, GRAPH_OUTPUT = 7, 1, 11, 12
"""Fields of `onnx.proto`: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto."""


@dataclass(frozen=True)
class LayerStates:
    """The rewritten graph.

    Attributes:
        content: its bytes.
        parts: for each state, going in or coming out, the names of its parts, layer by layer.
    """

    content: bytes
    parts: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class LayerSession:
    """A session of the rewritten graph.

    Attributes:
        session: of it.
        parts: see `LayerStates`.
    """

    session: Session
    parts: Mapping[str, tuple[str, ...]]


def open_layers(
    content: bytes, tensors: GraphSignature, policy: SessionPolicy | None, one_sample: bool
) -> LayerSession | None:
    """A session of the rewritten graph, or None where there is none or onnxruntime does not take it.

    Args:
        content: a streaming graph that has been read before.
        tensors: its signature.
        policy: of the session.
        one_sample: whether it will get one sample of one series at a time (see `one_sample`).
    """
    try:
        found = rewritten(content, tensors, one_sample=one_sample)
        return None if found is None else LayerSession(create_session(found.content, policy), found.parts)
    except BundleError:
        return None


def rewritten(content: bytes, tensors: GraphSignature, *, one_sample: bool) -> LayerStates | None:
    """The graph as it is run step by step, or None where nothing can be taken out of it.

    Args:
        content: a streaming graph that has been read before.
        tensors: its signature.
        one_sample: as `open_layers`.
    """
    if len(content) > LARGEST or not tensors.states:
        return None
    apart = with_layer_states(content, tensors) or LayerStates(content, {})
    graph = for_one_sample(apart.content) if one_sample else apart.content
    return None if graph == content else LayerStates(graph, apart.parts)


def with_layer_states(content: bytes, tensors: GraphSignature) -> LayerStates | None:
    """Takes the stacks apart.

    Args:
        content: a streaming graph that has been read before.
        tensors: its signature.

    Returns:
        None where a state is not just split into its layers and put together from them.
    """
    if not tensors.states:
        return None
    file = read_onnx(content, "the streaming graph")
    splits = {given: _split_of(file, tensors.input(given)) for given in tensors.states}
    joins = {new: _join_of(file, tensors.output(new)) for new in tensors.states.values()}
    gone = [*splits.values(), *joins.values()]
    if None in gone:
        return None
    inputs = {given: node.outputs for given, node in splits.items() if node is not None}
    outputs = {new: node.inputs for new, node in joins.items() if node is not None}
    specs = {name: tensors.input(name) for name in inputs} | {name: tensors.output(name) for name in outputs}
    edited = _edited(content, {id(node) for node in gone}, file, (inputs, outputs), specs)
    return LayerStates(edited, inputs | outputs)


def _split_of(file: OnnxFile, state: TensorSpec) -> Node | None:
    """The node that splits a state input along its first axis, one part for each layer, if nothing else reads it."""
    readers = [node for node in file.nodes() if state.name in node.inputs]
    if len(readers) != 1 or readers[0].op_type != "Split" or not _is_stack(state, readers[0].outputs, readers[0]):
        return None
    sizes = readers[0].input(1)  # equal parts where it is left out
    return readers[0] if not sizes else None


def _join_of(file: OnnxFile, state: TensorSpec) -> Node | None:
    """The node that puts a state output together, if nothing else reads it, and its parts are not outputs already."""
    makers = [node for node in file.nodes() if state.name in node.outputs]
    readers = [node for node in file.nodes() if state.name in node.inputs]
    if len(makers) != 1 or readers or makers[0].op_type != "Concat":
        return None
    inner = {name for node in file.graph.nodes for name in node.outputs}
    parts = makers[0].inputs
    return makers[0] if _is_stack(state, parts, makers[0]) and inner.issuperset(parts) else None


def _is_stack(state: TensorSpec, parts: Sequence[str], node: Node) -> bool:
    axis = node.attribute("axis")
    along_layers = axis.ints == (0,) if axis is not None else node.op_type == "Split"
    return along_layers and state.axes[0] == len(parts) == len(set(parts)) and "" not in parts and not node.domain


def _edited(
    content: bytes,
    gone: set[int],
    file: OnnxFile,
    parts: tuple[Mapping[str, Sequence[str]], Mapping[str, Sequence[str]]],
    specs: Mapping[str, TensorSpec],
) -> bytes:
    model = read_message(memoryview(content), Budget())
    graph = model.message(MODEL_GRAPH)
    assert graph is not None  # it was read before
    fields = dict(graph.entries)
    pairs = zip(fields[GRAPH_NODE], file.graph.nodes, strict=True)
    fields[GRAPH_NODE] = [entry for entry, node in pairs if id(node) not in gone]
    for number, values, stacks in (
        (GRAPH_INPUT, file.graph.inputs, parts[0]),
        (GRAPH_OUTPUT, file.graph.outputs, parts[1]),
    ):
        kept = [entry for entry, value in zip(fields[number], values, strict=True) if value.name not in stacks]
        new = [blob(value_info(part, (1, *specs[name].axes[1:]))) for name, names in stacks.items() for part in names]
        fields[number] = [*kept, *new]
    return write_message({**model.entries, MODEL_GRAPH: [blob(write_message(fields))]})
