"""A streaming graph for one sample of one series at a time, without what moves axes of that size about.

Where batch and sequence are 1, swapping the two changes nothing, and the hidden state after all samples is that after
the first: the nodes that transpose, and that take the direction's axis off a layer's output, can go. Four of thirteen
for two layers. Only those go whose inferred shapes prove it: a square matrix that is transposed keeps its shape, and no
step on zeros would show that it went. As the graphs of `layer_states`, this one is made in memory and is used only
where its answers are those of the bundle's own graph to the bit.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from toolkit.runtime.inner_shapes import blob, inner_shapes
from toolkit.runtime.onnx_file import Node, OnnxFile, read_onnx
from toolkit.runtime.protobuf_wire import Budget, Entry, Message, read_message, write_message

MODEL_GRAPH, GRAPH_NODE, NODE_INPUT, NODE_OUTPUT = 7, 1, 1, 2
"""Fields of `onnx.proto`: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto."""
RECURRENT = ("LSTM", "GRU", "RNN")


def for_one_sample(content: bytes) -> bytes:
    """The graph without those nodes; the same bytes again where there are none.

    Args:
        content: a streaming graph that has been read before.
    """
    file = read_onnx(content, "the streaming graph")
    same = _proven(_same_values(file), content, file)
    if not same:
        return content
    kept = [node for node in file.graph.nodes if node.outputs[0] not in same]
    read = Counter(_end(name, same) for node in kept for name in node.inputs)
    read.update(value.name for value in file.graph.outputs)
    model = read_message(memoryview(content), Budget())
    graph = model.message(MODEL_GRAPH)
    assert graph is not None  # it was read before
    pairs = zip(graph.messages(GRAPH_NODE), file.graph.nodes, strict=True)
    nodes = [blob(_renamed(message, node, same, read)) for message, node in pairs if node.outputs[0] not in same]
    return write_message({**model.entries, MODEL_GRAPH: [blob(write_message({**graph.entries, GRAPH_NODE: nodes}))]})


def _same_values(file: OnnxFile) -> dict[str, str]:
    """For each output of a node that can go, the tensor that holds the same numbers in the same order."""
    makers = {name: node for node in file.graph.nodes for name in node.outputs}
    answers = {value.name for value in file.graph.outputs}
    found: dict[str, str] = {}
    for node in file.graph.nodes:
        source = _swapped(node) or _last_hidden(node, makers)
        if source and node.outputs[0] not in answers and not node.domain:
            found[node.outputs[0]] = source
    return found


def _proven(found: Mapping[str, str], content: bytes, file: OnnxFile) -> dict[str, str]:
    """Those of one sample: both tensors have one shape, and the first two axes, which alone change places, are 1."""
    shapes = inner_shapes(content, file, [*found, *found.values()]) if found else {}
    return {
        name: source
        for name, source in found.items()
        if shapes.get(name, ())[:2] == (1, 1) and shapes[name] == shapes.get(source)
    }


def _swapped(node: Node) -> str | None:
    """What a node transposes that swaps the first two axes and leaves the others."""
    order = node.attribute("perm")
    if node.op_type != "Transpose" or order is None or order.ints[:2] != (1, 0):
        return None
    return node.input(0) if order.ints[2:] == tuple(range(2, len(order.ints))) else None


def _last_hidden(node: Node, makers: Mapping[str, Node]) -> str | None:
    """The last hidden state of the layer whose output of all samples a node squeezes."""
    layer = makers.get(node.input(0))
    if node.op_type != "Squeeze" or layer is None or layer.op_type not in RECURRENT or layer.domain:
        return None
    direction, layout = layer.attribute("direction"), layer.attribute("layout")
    forward = direction is None or direction.strings == (b"forward",)
    steps_first = layout is None or layout.ints == (0,)
    has_both = len(layer.outputs) > 1 and layer.outputs[0] == node.input(0)
    whole = forward and steps_first and has_both and not layer.input(4)  # with sequences of one length
    return layer.outputs[1] or None if whole else None


def _end(name: str, same: Mapping[str, str]) -> str:
    while name in same:
        name = same[name]
    return name


def _renamed(message: Message, node: Node, same: Mapping[str, str], read: Mapping[str, int]) -> bytes:
    """A node that reads what is left; an output of a layer that nothing reads any more is not made."""
    outputs = list(node.outputs)
    if node.op_type in RECURRENT and not read[outputs[0]]:
        outputs[0] = ""
    return write_message(
        {
            **message.entries,
            NODE_INPUT: _texts(_end(name, same) for name in node.inputs),
            NODE_OUTPUT: _texts(outputs),
        }
    )


def _texts(names: Iterable[str]) -> list[Entry]:
    return [blob(name.encode()) for name in names]
