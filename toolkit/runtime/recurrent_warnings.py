"""What may be wrong with the LSTM, GRU and RNN layers of an ONNX file.

Inputs and attributes are those of https://onnx.ai/onnx/operators/onnx__LSTM.html (GRU and RNN likewise):
X, W, R, B, sequence_lens, initial_h, initial_c, P. What falls back from CUDA follows onnxruntime's own rule,
`RNNNeedFallbackToCPU` in core/providers/cuda/cuda_execution_provider.cc.
"""

from collections.abc import Iterator

from toolkit.contract.graph_io import Axis
from toolkit.runtime.graph_wiring import RECURRENT, Wiring
from toolkit.runtime.onnx_compatibility import ONNX, QUANTISED_LSTM
from toolkit.runtime.onnx_file import Node
from toolkit.runtime.onnx_text import axes_text, node_label, shown

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_CUDNN_ACTIVATIONS = {
    "LSTM": (b"sigmoid", b"tanh", b"tanh"),
    "GRU": (b"sigmoid", b"tanh"),
    "RNN": (b"tanh",),
}
_STATES = {"initial_h": 5, "initial_c": 6}
_DIRECTIONS = (b"forward", b"reverse", b"bidirectional")


def is_recurrent(node: Node) -> bool:
    """Whether it is one of ONNX's recurrent operators, in floating point."""
    return node.op_type in RECURRENT and node.domain in ONNX


def carries_state(node: Node) -> bool:
    """Whether it is a recurrent operator, quantised or not."""
    return is_recurrent(node) or node.op_type == QUANTISED_LSTM


def layer_warnings(node: Node, wiring: Wiring) -> Iterator[str]:
    """Everything worth a warning about one recurrent node; each begins with the node's name."""
    label = node_label(node)
    for problem in (
        *_axis_problems(node, wiring),
        *_state_problems(node, wiring),
        *_shape_problems(node, wiring),
        *_attribute_problems(node),
    ):
        yield f"{label}: {problem}"
    reasons = list(_cpu_reasons(node))
    if reasons:
        yield f"{label} falls back from CUDA to the CPU: {', '.join(reasons)}"


def integer(node: Node, name: str, default: int) -> int:
    """A whole-number attribute of a node."""
    attribute = node.attribute(name)
    return attribute.ints[0] if attribute is not None and attribute.ints else default


def _axis_problems(node: Node, wiring: Wiring) -> Iterator[str]:
    """Axes of the graph's inputs that reach the layer as its sequence or its batch and are numbers."""
    batch_first = integer(node, "layout", 0) == 1
    roles = ("batch", "sequence") if batch_first else ("sequence", "batch")
    places = [(0, axis, role) for axis, role in enumerate(roles)]
    places += [(place, 0 if batch_first else 1, "batch") for place in _STATES.values()]
    for place, axis, role in places:
        origin = wiring.origin(node.input(place))
        axes: tuple[Axis, ...] = origin.value.axes or () if origin is not None else ()
        if origin is not None and isinstance(axes[origin.axes[axis]], int):
            name, number = shown(origin.value.name), origin.axes[axis]
            yield f"the {role} axis is baked: axis {number} of input {name} {axes_text(axes)} is a number"


def _state_problems(node: Node, wiring: Wiring) -> Iterator[str]:
    for name, place in _STATES.items():
        source = node.input(place)
        if not source or not wiring.is_constant(source):
            continue
        shape = wiring.shape(source)
        batch = shape[1] if shape is not None and len(shape) == 3 and integer(node, "layout", 0) == 0 else None
        size = "" if batch is None else f" for a batch of {batch}"
        yield f"{name} is a constant{size}: no other batch runs; make it an input or leave it out"


def _shape_problems(node: Node, wiring: Wiring) -> Iterator[str]:
    """Weights that contradict `hidden_size`: onnxruntime before 1.32 read out of bounds on them."""
    if not is_recurrent(node):
        return
    hidden, gates = integer(node, "hidden_size", 0), GATES[node.op_type]
    direction = node.attribute("direction")
    directions = 2 if direction is not None and direction.strings == (b"bidirectional",) else 1
    if hidden <= 0:
        yield "no hidden_size"
        return
    expected = {
        "W": (1, (directions, gates * hidden, None)),
        "R": (2, (directions, gates * hidden, hidden)),
        "B": (3, (directions, 2 * gates * hidden)),
    }
    for name, (place, wanted) in expected.items():
        shape = wiring.shape(node.input(place))
        if shape is not None and not _fits(shape, wanted):
            asked = axes_text(["any" if size is None else size for size in wanted])
            yield f"{name} is {axes_text(shape)} where hidden_size {hidden} asks for {asked}"


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(w in (None, size) for size, w in zip(shape, wanted, strict=True))


def _attribute_problems(node: Node) -> Iterator[str]:
    direction = node.attribute("direction")
    if direction is not None and direction.strings and direction.strings[0] not in _DIRECTIONS:
        yield f"direction {shown(direction.strings[0].decode(errors='replace'))} is none that ONNX has"
    if integer(node, "layout", 0) != 0:
        yield "layout=1, which onnxruntime refuses"
    if node.op_type == "GRU" and integer(node, "linear_before_reset", 0) == 0:
        yield "linear_before_reset=0, while torch's GRU computes with 1: the answers differ if it came from torch"


def _cpu_reasons(node: Node) -> Iterator[str]:
    if node.op_type == QUANTISED_LSTM:
        yield "there is no CUDA kernel for it"
        return
    for name in ("clip", "activation_alpha", "activation_beta"):
        if node.attribute(name) is not None:
            yield name
    activations = node.attribute("activations")
    if activations is not None and _custom(activations.strings, _CUDNN_ACTIVATIONS[node.op_type]):
        yield f"activations {shown(b', '.join(activations.strings).decode(errors='replace'))}"
    if integer(node, "input_forget", 0) != 0:
        yield "input_forget"
    lbr = node.attribute("linear_before_reset")
    if node.op_type == "GRU" and lbr is not None and lbr.ints != (1,):
        yield "linear_before_reset=0"
    if node.op_type == "LSTM" and node.input(7):
        yield "peepholes"


def _custom(activations: tuple[bytes, ...], supported: tuple[bytes, ...]) -> bool:
    """Both directions are compared with the same activations, upper and lower case alike."""
    return any(name.lower() != supported[place % len(supported)] for place, name in enumerate(activations))
