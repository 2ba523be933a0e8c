"""What a graph must not be, whoever made it: read from its bytes, before onnxruntime sees any of them.

What these checks let through is arithmetic on numbers that are there. How much memory and time that takes is for a
trial in a process of its own to find out.
"""

from collections.abc import Iterator

import numpy as np

from toolkit.contract.graph_entry import GraphEntry
from toolkit.errors import BundleError
from toolkit.runtime.onnx_compatibility import ONNX
from toolkit.runtime.onnx_file import Node, OnnxFile, stored_tensors
from toolkit.runtime.onnx_tensor import Tensor, not_finite, values
from toolkit.runtime.onnx_text import node_label, shown
from toolkit.runtime.operators import INT8_DOMAIN, INT8_OPERATORS, OPERATORS, RECURRENT

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1, "DynamicQuantizeLSTM": 4}
_FIX = "do not run it; export the model again"


def check_trust(file: OnnxFile, entry: GraphEntry) -> None:
    """Refuses a graph that no export of the toolkit writes.

    Raises:
        BundleError: numbers outside the file, functions or control flow, an operator beyond the allow-list, weights
            that are not finite or cannot be read, or recurrent weights of other shapes than `hidden_size` asks for.
    """
    problem = next(_problems(file, entry), None)
    if problem is not None:
        what, got, allowed = problem
        raise BundleError(f"{entry.file} {what}", got=got, allowed=allowed, fix=_FIX)


def _problems(file: OnnxFile, entry: GraphEntry) -> Iterator[tuple[str, str, str]]:
    outside = next((tensor for tensor in stored_tensors(file) if tensor.is_external), None)
    if outside is not None:
        yield "keeps numbers outside itself", outside.location or "no location", "a graph with all its weights"
    if file.functions:
        yield "defines operators of its own", shown(file.functions[0].name), "ONNX's operators alone"
    for node in file.nodes():
        yield from _operator_problems(node, entry)
    for _, tensor in _stored(file):
        if tensor.elements and not _is_finite(tensor, entry):
            yield "holds weights that are NaN or infinite", shown(tensor.name), "finite numbers"
    yield from _shape_problems(file)


def _operator_problems(node: Node, entry: GraphEntry) -> Iterator[tuple[str, str, str]]:
    own = node.domain in ONNX and node.op_type in OPERATORS
    quantised = entry.precision == "int8" and node.domain == INT8_DOMAIN and node.op_type in INT8_OPERATORS
    bodies = any(attribute.graphs for attribute in node.attributes)
    if bodies or not (own or quantised):
        name = f"{node.domain}.{node.op_type}" if node.domain not in ONNX else node.op_type
        allowed = "operators that an export writes: arithmetic without control flow"
        yield "holds an operator that is not on the allow-list", shown(name), allowed
    if node.op_type in RECURRENT and _integer(node, "layout") != 0:
        yield f"holds {node_label(node)} with layout=1", "1", "0"


def _stored(file: OnnxFile) -> Iterator[tuple[str, Tensor]]:
    """Initializers and the tensors of Constant nodes; a single number of those may be infinite, as a limit is."""
    yield from ((tensor.name, tensor) for tensor in file.graph.initializers)
    for node in file.graph.nodes:
        for attribute in node.attributes if node.op_type == "Constant" else ():
            yield from ((node.outputs[0], tensor) for tensor in attribute.tensors if tensor.dims and node.outputs)


def _is_finite(tensor: Tensor, entry: GraphEntry) -> bool:
    """Or zeros and negative infinity, which an attention adds to what it must not see: no weight looks like that."""
    try:
        return not not_finite(tensor) or bool(np.isin(values(tensor), (0.0, -np.inf)).all())
    except BundleError as error:
        raise BundleError(f"{entry.file}: {error}") from error


def _shape_problems(file: OnnxFile) -> Iterator[tuple[str, str, str]]:
    """Weights that contradict `hidden_size`: onnxruntime before 1.32 reads out of bounds on them.

    Weights that are no stored numbers, nor such behind a Cast, are left to onnxruntime.
    """
    recurrent = [node for node in file.nodes() if node.op_type in _GATES]
    if not recurrent:
        return
    dims = {name: tensor.dims for name, tensor in _stored(file)}
    for node in file.graph.nodes:
        if node.op_type == "Cast" and node.input(0) in dims and node.outputs:
            dims[node.outputs[0]] = dims[node.input(0)]
    for node in recurrent:
        for place, wanted in _wanted_shapes(node).items():
            found = dims.get(node.input(place))
            if found is not None and not _fits(found, wanted):
                asked = ["any" if size is None else size for size in wanted]
                what = f"holds {node_label(node)} with weights of another shape than its hidden_size asks for"
                yield what, f"{list(found)}", f"{asked}"


def _wanted_shapes(node: Node) -> dict[int, tuple[int | None, ...]]:
    """By the input's place, the shapes of W, R and B: https://onnx.ai/onnx/operators/onnx__LSTM.html."""
    hidden, gates = _integer(node, "hidden_size"), _GATES[node.op_type]
    direction = node.attribute("direction")
    directions = 2 if direction is not None and direction.strings == (b"bidirectional",) else 1
    bias = (directions, 2 * gates * hidden)
    if node.op_type in INT8_OPERATORS:  # transposed, see onnxruntime's docs/ContribOperators.md
        return {1: (directions, None, gates * hidden), 2: (directions, hidden, gates * hidden), 3: bias}
    return {1: (directions, gates * hidden, None), 2: (directions, gates * hidden, hidden), 3: bias}


def _fits(found: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(found) == len(wanted) and all(w in (None, size) for size, w in zip(found, wanted, strict=True))


def _integer(node: Node, name: str) -> int:
    attribute = node.attribute(name)
    return attribute.ints[0] if attribute is not None and attribute.ints else 0
