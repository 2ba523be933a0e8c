"""Single faults for the mutation score of parity: what each changes, in which graphs, and what has to be named.

Two kinds. One stored tensor is changed a little: the comparison of weights has to name it. Or the graph computes
something else: numbers alone have to show it, and the node to be named is known from the fault itself, as the first
one that is not the clean graph's or reads a constant that is not.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx
import wrong_exports as wrong
from onnx import helper
from wrong_exports import (
    ALL,
    GRUS,
    HIDDEN,
    LSTMS,
    OWN,
    STREAMING,
    attribute,
    behind,
    change,
    change_recurrent,
    constant,
    recurrent,
    swapped_gates,
    weights,
)

Fault = Callable[[onnx.ModelProto], object]


@dataclass(frozen=True)
class Structural:
    """A graph that computes something else.

    Attributes:
        fault: what is done to a clean graph.
        subjects: the graphs that it is done to.
        cause: what else than the damaged node names the fault: a pattern of the cause that is told, or nothing.
    """

    fault: Fault
    subjects: tuple[str, ...]
    cause: str = ""


@dataclass(frozen=True)
class Stored:
    """One tensor of the module as it lies in a graph: a constant, and where in it.

    Attributes:
        tensor: its name in the module.
        constant: its name in the graph.
        part: the place of a direction, and the slice of one half of a bias.
    """

    tensor: str
    constant: str
    part: tuple[object, ...] = ()


def stored_tensors(proto: onnx.ModelProto) -> Iterator[Stored]:
    """Every weight, bias and scaling constant: known by the operator that reads it and in which place."""
    owner = recurrent(proto)[0].input[1].removeprefix("model.").split(".")[0]
    for layer, node in enumerate(recurrent(proto)):
        for direction, suffix in enumerate(("", "_reverse")[: 2 if "bidirectional" in str(node) else 1]):
            bias = dict(zip(("ih", "hh"), _halves(node), strict=True))
            for place, half in ((1, "ih"), (2, "hh")):
                yield Stored(f"{owner}.weight_{half}_l{layer}{suffix}", node.input[place], (direction,))
                yield Stored(f"{owner}.bias_{half}_l{layer}{suffix}", node.input[3], (direction, bias[half]))
    linear = [node.input[1] for node in proto.graph.node if node.op_type in ("Gemm", "MatMul")]
    yield Stored("head.weight", linear[-1])
    if len(linear) > 1:
        yield Stored("front.weight", linear[0])
    for tensor in proto.graph.initializer:
        plain = tensor.name.removeprefix("model.")
        if plain in ("head.bias", "front.bias") or plain.startswith(("input_", "output_")):
            yield Stored(plain, tensor.name)


def _halves(node: onnx.NodeProto) -> tuple[slice, slice]:
    rows = {"LSTM": 4, "GRU": 3}[node.op_type] * HIDDEN
    return slice(0, rows), slice(rows, 2 * rows)


def in_part(stored: Stored, how: Callable[[np.ndarray], np.ndarray]) -> Fault:
    """The fault that puts `how(part)` in place of the part."""

    def changed(array: np.ndarray) -> np.ndarray:
        array[stored.part or ...] = how(array[stored.part or ...].copy())
        return array

    return lambda proto: change(proto, stored.constant, changed)


def nudged(array: np.ndarray) -> np.ndarray:
    """One weight, in the middle, moved by a thousandth of its row's norm."""
    row = array[array.shape[0] // 2] if array.ndim > 1 else array
    row[row.size // 2] += 1e-3 * np.linalg.norm(row)
    return array


def one_bit(array: np.ndarray) -> np.ndarray:
    """The last number moved to the next that there is."""
    array.flat[-1] = np.nextafter(array.flat[-1], np.float32(np.inf))
    return array


def one_sign(array: np.ndarray) -> np.ndarray:
    array.flat[0] *= -1
    return array


def cut_to_11_bits(array: np.ndarray) -> np.ndarray:
    """As half precision keeps them, whatever their size: 101 325 is more than it holds."""
    return (array.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


def two_swapped(array: np.ndarray) -> np.ndarray:
    array.flat[[0, -1]] = array.flat[[-1, 0]]
    return array


SMALL: dict[str, tuple[Callable[[np.ndarray], np.ndarray], tuple[str, ...]]] = {
    "nudged by 1e-3 of its row": (nudged, ALL),
    "one number, the next one up": (one_bit, ("foreign gru",)),
    "one sign": (one_sign, ("foreign lstm",)),
    "two numbers swapped": (two_swapped, ("own gru",)),
    "cut to 11 bits": (cut_to_11_bits, ("own streaming",)),
}
"""Done to every stored tensor of the graphs."""


# Faults of structure.


def changed_node(operator: str, number: int, **fields: object) -> Fault:
    """Another operator, other attributes or other inputs of the n-th node of an operator."""

    def fault(proto: onnx.ModelProto) -> None:
        node = [node for node in proto.graph.node if node.op_type == operator][number]
        node.op_type = fields.get("op_type", operator)
        inputs = fields.get("inputs")
        node.input[:] = inputs(list(node.input)) if inputs else node.input

    return fault


def added(number: float, wire: Callable[[onnx.ModelProto], str]) -> Fault:
    return lambda proto: behind(proto, wire(proto), "Add", constant(proto, np.float32(number)))


def first_layer(proto: onnx.ModelProto) -> str:
    return next(name for name in recurrent(proto)[0].output if name)


def layer_input(proto: onnx.ModelProto) -> str:
    return recurrent(proto)[0].input[0]


def scaled_input(proto: onnx.ModelProto) -> str:
    return next(node for node in proto.graph.node if node.op_type == "Mul").output[0]


def scaled_twice(proto: onnx.ModelProto) -> None:
    node = next(node for node in proto.graph.node if node.op_type == "Mul")
    behind(proto, node.output[0], "Mul", node.input[1])


def offset_twice(proto: onnx.ModelProto) -> None:
    node = next(node for node in proto.graph.node if node.op_type == "Sub")
    behind(proto, node.output[0], "Sub", node.input[1])


def scale_before_offset(proto: onnx.ModelProto) -> None:
    """The constants of both steps exchanged, and the operators with them: x * scale - offset."""
    sub, mul = (next(node for node in proto.graph.node if node.op_type == kind) for kind in ("Sub", "Mul"))
    sub.op_type, mul.op_type = "Mul", "Sub"
    sub.input[1], mul.input[1] = mul.input[1], sub.input[1]


def head_transposed(proto: onnx.ModelProto) -> None:
    """The numbers of the head in the order of the other layout."""
    stored = next(each for each in stored_tensors(proto) if each.tensor == "head.weight")
    change(proto, stored.constant, lambda array: np.ascontiguousarray(array.T).reshape(array.shape))


def gate_transposed(array: np.ndarray) -> np.ndarray:
    array[0, :HIDDEN] = array[0, :HIDDEN].T.copy()
    return array


def units_reversed(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array[:, :, ::-1])


def half_of_bias_dropped(half: int) -> Callable[[np.ndarray], np.ndarray]:
    def how(array: np.ndarray) -> np.ndarray:
        np.split(array, 2, axis=1)[half][...] = 0
        return array

    return how


def other_direction_read(proto: onnx.ModelProto) -> None:
    """The last states of both directions in the other order."""
    first, second = (node for node in proto.graph.node if node.op_type == "Gather")
    first.input[1], second.input[1] = second.input[1], first.input[1]


def one_direction_twice(proto: onnx.ModelProto) -> None:
    first, second = (node for node in proto.graph.node if node.op_type == "Gather")
    second.input[1] = first.input[1]


def through_half(proto: onnx.ModelProto) -> None:
    """The first layer's values rounded to half precision and back."""
    wire = first_layer(proto)
    behind(proto, wire, "Cast", to=onnx.TensorProto.FLOAT16)
    place = next(n for n, node in enumerate(proto.graph.node) if "changed" in node.output)
    proto.graph.node[place].output[0] = "halved"
    proto.graph.node.insert(place + 1, helper.make_node("Cast", ["halved"], ["changed"], to=onnx.TensorProto.FLOAT))


def state_not_advanced(proto: onnx.ModelProto) -> None:
    """hn is h0."""
    node = wrong.producer(proto, "hn")
    node.op_type, node.input[:] = "Identity", ["h0"]
    del node.attribute[:]


def targets_of_horizon_mixed_up(proto: onnx.ModelProto) -> None:
    """The head's answers read as [targets, horizon]."""
    head = [node for node in proto.graph.node if node.op_type == "Reshape"][-1].input[0]
    behind(proto, head, "Gather", constant(proto, np.int64([0, 2, 1, 3])), axis=-1)


def torch_order(array: np.ndarray) -> np.ndarray:
    return swapped_gates(2, 3)(swapped_gates(1, 2)(array))


def one_series(proto: onnx.ModelProto) -> None:
    wrong.constant_state(proto, 1, hidden=True)


BIDIRECTIONAL = ("own bidirectional",)
FOREIGN = tuple(name for name in ALL if name not in OWN)
LAST = ("own lstm", "own gru", "foreign lstm", "foreign gru")
SWAPPED = "gates are swapped"

STRUCTURAL: dict[str, Structural] = {
    # Gates, biases and matrices of the recurrent layers.
    "gates i and o swapped": Structural(change_recurrent(0, swapped_gates(0, 1)), ("own lstm",)),
    "gates o and f swapped": Structural(change_recurrent(0, swapped_gates(1, 2)), ("own lstm", "foreign streaming")),
    "gates f and c swapped": Structural(change_recurrent(1, swapped_gates(2, 3)), ("own lstm", "own bidirectional")),
    "gates in torch's order": Structural(change_recurrent(1, torch_order), ("own streaming", "foreign lstm")),
    "gates z and r swapped": Structural(change_recurrent(0, swapped_gates(0, 1)), GRUS),
    "gates r and h swapped": Structural(change_recurrent(1, swapped_gates(1, 2)), GRUS),
    "gates of the biases swapped": Structural(change_recurrent(0, swapped_gates(0, 1), (3,)), ("own lstm", "own gru")),
    "gates of R swapped": Structural(change_recurrent(1, swapped_gates(0, 2), (2,)), ("own lstm", "foreign gru")),
    "halves of the bias swapped": Structural(change_recurrent(0, wrong.bias_halves_swapped, (3,)), GRUS),
    "the bias of layer 0 dropped": Structural(change_recurrent(0, np.zeros_like, (3,)), ALL),
    "the bias of layer 1 dropped": Structural(change_recurrent(1, np.zeros_like, (3,)), ("own lstm", "foreign gru")),
    "the bias beside the input dropped": Structural(change_recurrent(0, half_of_bias_dropped(0), (3,)), LAST),
    "the bias beside the state dropped": Structural(change_recurrent(1, half_of_bias_dropped(1), (3,)), LAST),
    "one gate of R transposed": Structural(change_recurrent(0, gate_transposed, (2,)), LAST),
    "units of R reversed": Structural(change_recurrent(1, units_reversed, (2,)), LAST),
    "R and B of the layers swapped": Structural(wrong.layers_swapped, ("own gru", "foreign lstm")),
    # Attributes.
    "linear_before_reset 0": Structural(attribute("linear_before_reset", 0), GRUS),
    "linear_before_reset 0 in layer 1": Structural(attribute("linear_before_reset", 0, 1), GRUS),
    "input_forget": Structural(attribute("input_forget", 1), ("own lstm", "foreign streaming")),
    "Relu for the cell's Tanh": Structural(attribute("activations", ["Sigmoid", "Relu", "Tanh"]), LSTMS),
    "Relu for the answer's Tanh": Structural(attribute("activations", ["Sigmoid", "Tanh", "Relu"], 1), ("own lstm",)),
    "HardSigmoid for the gates": Structural(
        attribute("activations", ["HardSigmoid", "Tanh", "Tanh"]), ("own lstm", "foreign streaming")
    ),
    "Relu for the GRU's Tanh": Structural(attribute("activations", ["Sigmoid", "Relu"], 1), GRUS),
    "hidden_size": Structural(attribute("hidden_size", HIDDEN // 2), ("own lstm", "foreign gru")),
    "layout 1": Structural(attribute("layout", 1), ("own lstm", "foreign gru"), "layout_ == 0 was false"),
    "layer 0 reversed": Structural(attribute("direction", "reverse"), LSTMS + GRUS),
    "layer 1 reversed": Structural(attribute("direction", "reverse", 1), ("own lstm", "foreign streaming")),
    # Directions, steps, layout and sizes.
    "directions swapped": Structural(change_recurrent(0, np.flipud), BIDIRECTIONAL),
    "directions swapped in layer 1": Structural(change_recurrent(1, np.flipud), BIDIRECTIONAL),
    "last states of the directions swapped": Structural(other_direction_read, BIDIRECTIONAL),
    "wrong gather index": Structural(one_direction_twice, BIDIRECTIONAL),
    "last step off by one": Structural(wrong.last_step_but_one, LAST),
    "first step for the last": Structural(wrong.first_step, LAST),
    "layout flipped": Structural(wrong.batch_and_sequence_mixed_up, ALL, "axes of its input are mixed up"),
    "sequence baked": Structural(wrong.sequence_baked, ("own lstm",)),
    "batch baked": Structural(wrong.batch_baked, ("foreign gru",)),
    "sequence cut": Structural(wrong.sequence_cut, ("own lstm", "foreign streaming")),
    "lengths of the example": Structural(wrong.lengths_of_the_example, ("own lstm",)),
    # States.
    "constant state of one series": Structural(one_series, ("own lstm", "foreign gru"), "initial_h"),
    "given state not used": Structural(one_series, STREAMING, "initial state that is given does not reach|initial_h"),
    "h0 and c0 crossed": Structural(wrong.wires_swapped("h0", "c0"), STREAMING, "initial_h and initial_c are crossed"),
    "hn and cn crossed": Structural(wrong.wires_swapped("hn", "cn"), STREAMING, "holds what the module gives as cn"),
    "states of the layers swapped": Structural(wrong.states_of_layers_swapped, STREAMING),
    "given states of the layers swapped": Structural(
        wrong.given_states_of_layers_swapped, STREAMING, "it starts from another state than the module"
    ),
    "hn is h0": Structural(state_not_advanced, STREAMING),
    # Scaling.
    "offsets of two channels swapped": Structural(weights("input_offset", two_swapped), ALL),
    "scales of two channels swapped": Structural(weights("input_scale", two_swapped), ALL),
    "offsets dropped": Structural(weights("input_offset", np.zeros_like), ("own lstm", "foreign streaming")),
    "scales dropped": Structural(weights("input_scale", np.ones_like), ("own lstm", "foreign gru")),
    "offset twice": Structural(offset_twice, ("own lstm", "foreign gru")),
    "scaled twice": Structural(scaled_twice, ("own lstm", "foreign gru")),
    "scale before offset": Structural(scale_before_offset, ("own lstm", "foreign gru")),
    "offset added": Structural(changed_node("Sub", 0, op_type="Add"), ("own lstm", "foreign gru")),
    "divided by the scale": Structural(changed_node("Mul", 0, op_type="Div"), ("own lstm", "foreign gru")),
    "un-scaled twice": Structural(wrong.unscaled_twice, ALL),
    "un-scaling dropped": Structural(weights("output_scale", np.ones_like), ALL),
    "scales of two targets swapped": Structural(
        weights("output_scale", two_swapped), ("own lstm", "foreign streaming")
    ),
    "offsets of two targets swapped": Structural(weights("output_offset", two_swapped), ALL),
    "un-scaled by division": Structural(changed_node("Mul", -1, op_type="Div"), ("own streaming", "foreign lstm")),
    # What stands around the recurrent layers.
    "the head's bias dropped": Structural(weights("head.bias", np.zeros_like), ALL),
    "head transposed": Structural(head_transposed, ALL),
    "horizon and targets mixed up": Structural(targets_of_horizon_mixed_up, ("own lstm", "own streaming")),
    "dropout's scale left": Structural(wrong.dropout_scale_left, LAST),
    "dropout's mask as a constant": Structural(wrong.dropout_frozen, ("own lstm", "foreign gru")),
    "a constant added before layer 0": Structural(added(0.01, layer_input), ("own lstm", "foreign gru")),
    "a constant added between the layers": Structural(added(0.01, first_layer), ("own lstm", "foreign streaming")),
    "a constant added before the head": Structural(added(0.01, wrong.answer_wire), ("own gru", "foreign lstm")),
    "half precision between the layers": Structural(through_half, ("own lstm", "foreign gru")),
    "Sigmoid for Tanh": Structural(changed_node("Tanh", 0, op_type="Sigmoid"), FOREIGN),
    "Tanh left out": Structural(changed_node("Tanh", 0, op_type="Identity"), ("foreign lstm",)),
}


def damaged_node(clean: onnx.ModelProto, damaged: onnx.ModelProto) -> str:
    """The first node, in the order of the graph, that computes what no node of the clean graph does.

    Its operator, attributes, inputs or constants are others. Only where none is, what it calls its outputs counts.
    """
    constants = {tensor.name: tensor.SerializeToString() for tensor in clean.graph.initializer}
    changed = {t.name for t in damaged.graph.initializer if t.SerializeToString() != constants.get(t.name)}
    for computed in (_without_outputs, _whole):
        own = {computed(node) for node in clean.graph.node}
        for node in damaged.graph.node:
            if computed(node) not in own or changed & set(node.input):
                return str(node.name or next(filter(None, node.output)))
    raise AssertionError("the graph is not damaged")


def _whole(node: onnx.NodeProto) -> bytes:
    return bytes(node.SerializeToString())


def _without_outputs(node: onnx.NodeProto) -> bytes:
    copied = onnx.NodeProto.FromString(_whole(node))
    del copied.output[:]
    return _whole(copied)
