"""Takes out of a traced graph what its answer does not need.

torch writes down what a module did: it transposes a whole sequence to pick one step, stretches zeros to the batch's
size for a state that is zero anyway, stacks the states of all layers to pick one. Every node costs a gateway time,
and a chain of Shape, Concat and Expand hides from a reader that both axes are free. onnxruntime's own optimiser
knows nothing of recurrent nodes and takes out none of this.
"""

from collections.abc import Callable, Iterator

import onnx

from toolkit.export.graph_view import RECURRENT, Y_H, GraphView, attribute, make_node, names_in, rename, used_names
from toolkit.export.state_rewrites import (
    Nodes,
    drop_zero_states,
    permutation,
    pick_from_pieces,
    pick_from_viewed_pieces,
    pick_step_first,
    slice_from_pieces,
    slice_to_pick,
    take_last_state,
)

Rewrite = Callable[[GraphView, onnx.NodeProto], Nodes | None]


def simplify(proto: onnx.ModelProto) -> None:
    """Rewrites a graph in place: the same inputs, outputs and numbers from fewer nodes.

    Names and order of the graph's inputs and outputs stay, and so does every tensor whose name survives. What is
    left over (initializers, types of tensors that are gone) is taken out. The result depends on the graph alone, and
    a second call changes nothing.

    Args:
        proto: of opset 13 or later, its recurrent nodes with the sequence first (`layout` 0), which is all that
            onnxruntime runs.
    """
    graph = proto.graph
    _name_last_states(graph)
    while _bypass_identity(graph) or _rewrite_one(graph):
        pass
    _sweep(graph)


def _rewrite_one(graph: onnx.GraphProto) -> bool:
    """The first rewrite that applies. The view is stale after it, hence one at a time."""
    view = GraphView(graph)
    for node in graph.node:
        for rewrite in REWRITES.get(node.op_type, ()) if node.domain == "" else ():
            replacement = rewrite(view, node)
            if replacement is not None:
                view.replace(node, replacement)
                return True
    return False


def merge_transposes(view: GraphView, node: onnx.NodeProto) -> Nodes | None:
    """Two Transposes in a row as one; none where nothing moves."""
    perm = attribute(node, "perm")
    if not isinstance(perm, list):
        return None
    if perm == sorted(perm):
        return [make_node("Identity", node.input, node.output)]
    before = view.producer(node.input[0], "Transpose")
    if before is None:
        return None
    first = permutation(before, len(perm))
    return [make_node("Transpose", before.input, node.output, perm=[first[place] for place in perm])]


def cancel_squeeze(view: GraphView, node: onnx.NodeProto) -> Nodes | None:
    """Nothing in place of a Squeeze and an Unsqueeze of the same axes, in either order."""
    before = view.producer(node.input[0], "Unsqueeze" if node.op_type == "Squeeze" else "Squeeze")
    if before is None or len(before.input) < 2 or len(node.input) < 2:
        return None
    axes = [view.integers(name) for name in (before.input[1], node.input[1])]
    if axes[0] is None or axes[1] is None or sorted(axes[0]) != sorted(axes[1]):
        return None
    return [make_node("Identity", before.input[:1], node.output)]


REWRITES: dict[str, tuple[Rewrite, ...]] = {
    "Gather": (take_last_state, pick_step_first, pick_from_pieces, pick_from_viewed_pieces),
    "Slice": (slice_to_pick, slice_from_pieces),
    "Transpose": (merge_transposes,),
    "Squeeze": (cancel_squeeze,),
    "Unsqueeze": (cancel_squeeze,),
    **dict.fromkeys(RECURRENT, (drop_zero_states,)),
}
"""What may take the place of a node, by its operator."""


def _name_last_states(graph: onnx.GraphProto) -> None:
    """Gives the last state of every recurrent node a name, so that it can be used; `_sweep` takes unused ones away."""
    taken = names_in(graph)
    for node in graph.node:
        if node.domain != "" or node.op_type not in RECURRENT:
            continue
        node.output.extend([""] * (Y_H + 1 - len(node.output)))
        if not node.output[Y_H]:
            stem = node.output[0] or node.name
            node.output[Y_H] = next(name for name in _numbered(f"{stem}_last") if name not in taken)
            taken.add(node.output[Y_H])


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    number = 1
    while True:
        yield f"{stem}_{number}"
        number += 1


def _bypass_identity(graph: onnx.GraphProto) -> bool:
    """Takes out the first Identity that can go; one that leads from an input or an output to an output has to stay."""
    outputs = {value.name for value in graph.output}
    computed = {name for node in graph.node for name in node.output}
    for place, node in enumerate(graph.node):
        if node.op_type != "Identity" or node.domain != "":
            continue
        source, name = node.input[0], node.output[0]
        if name in outputs and (source in outputs or source not in computed):
            continue
        graph.node.pop(place)
        if name in outputs:
            rename(graph, source, name)
        else:
            rename(graph, name, source)
        return True
    return False


def _sweep(graph: onnx.GraphProto) -> None:
    """Takes out what nothing reads: nodes, outputs of recurrent nodes, initializers, types."""
    for place in reversed(range(len(graph.node))):
        if not used_names(graph) & set(graph.node[place].output):
            graph.node.pop(place)
    used = used_names(graph)
    for node in graph.node:
        if node.domain == "" and node.op_type in RECURRENT:
            _trim_outputs(node, used)
    named = used | {name for node in graph.node for name in node.output}
    for values, kept in ((graph.initializer, used), (graph.value_info, named)):
        for place in reversed(range(len(values))):
            if values[place].name not in kept:
                values.pop(place)


def _trim_outputs(node: onnx.NodeProto, used: set[str]) -> None:
    names = [name if name in used else "" for name in node.output]
    while not names[-1]:
        names.pop()
    del node.output[:]
    node.output.extend(names)
