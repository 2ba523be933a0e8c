"""Why a recurrent node parts: each usual fault is mended alone, and named only if the node is then right.

The node is run by itself, on what it was given in the graph, with one thing changed to what the module has. Nothing
is said of a node that has two faults, or one that is not on the list.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper
from torch import nn

from toolkit.errors import BundleError
from toolkit.export.lowering import GATE_ORDER
from toolkit.parity.alignment import agrees
from toolkit.parity.graph_trace import OUTPUTS, PLAIN, GraphTrace
from toolkit.parity.torch_trace import RECURRENT_OUTPUTS, Traced
from toolkit.runtime.session import create_session, run_session

Array = NDArray[Any]

GATE_NAMES = {"LSTM": "iofc", "GRU": "zrh", "RNN": "i"}
"""ONNX's names of the gates, in its order."""

DEFAULTS: dict[str, object] = {"direction": "forward", "linear_before_reset": 0, "input_forget": 0}
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
STATES = (5, 6)


@dataclass(frozen=True)
class NodeCall:
    """A recurrent node and what it was given.

    Attributes:
        operator: `LSTM`, `GRU` or `RNN`.
        arrays: by the order of ONNX's inputs; None for one that is not given.
        attributes: as in the graph.
        opset: of the graph.
        ir_version: of the graph.
    """

    operator: str
    arrays: tuple[Array | None, ...]
    attributes: dict[str, Any]
    opset: int
    ir_version: int

    def with_array(self, place: int, array: Array | None) -> "NodeCall":
        """The same call with another input."""
        return replace(self, arrays=(*self.arrays[:place], array, *self.arrays[place + 1 :]))

    def run(self) -> list[Array]:
        """Y, Y_h and, of an LSTM, Y_c.

        Raises:
            BundleError: onnxruntime does not run it.
        """
        given = {name: array for name, array in zip(INPUTS, self.arrays, strict=False) if array is not None}
        names = [name if name in given else "" for name in INPUTS[: len(self.arrays)]]
        outputs = RECURRENT_OUTPUTS[: OUTPUTS[self.operator]]
        node = helper.make_node(self.operator, names, outputs, **self.attributes)
        kinds = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in given.items()}
        inputs = [helper.make_tensor_value_info(name, kind, given[name].shape) for name, kind in kinds.items()]
        graph = helper.make_graph([node], "one node", inputs, [onnx.ValueInfoProto(name=name) for name in outputs])
        imports = [helper.make_opsetid("", self.opset)]
        proto = helper.make_model(graph, opset_imports=imports, ir_version=self.ir_version)
        return run_session(create_session(proto.SerializeToString(), PLAIN), given)


def recurrent_cause(trace: GraphTrace, place: int, step: Traced, tolerance: float) -> str:
    """Why the recurrent node at `place` does not give what the module's layer gave in `step`; empty if not known."""
    call = _call(trace, place)
    if call is None or step.layer is None:
        return ""
    for cause, mended in _mended(call, step.layer.module, step.layer.states):
        try:
            outputs = mended.run()
        except (BundleError, ValueError):  # what it takes to mend this does not fit the node
            continue
        got = outputs[RECURRENT_OUTPUTS.index(step.what)].astype(np.float64)
        if agrees(got, step, tolerance):
            return cause
    return ""


def _call(trace: GraphTrace, place: int) -> NodeCall | None:
    """The node with its inputs; None where one of them is not known."""
    node = trace.proto.graph.node[place]
    arrays: list[Array | None] = []
    for name in node.input:
        value, constant = trace.value(name), trace.constant(name)
        if name and value is None and constant is None:
            return None
        arrays.append(constant if value is None else value.values.astype(np.float32))
    arrays += [None] * (len(INPUTS) - 1 - len(arrays) if node.op_type == "LSTM" else 6 - len(arrays))
    attributes = {attribute.name: _plain(helper.get_attribute_value(attribute)) for attribute in node.attribute}
    opset = next((entry.version for entry in trace.proto.opset_import if entry.domain in ("", "ai.onnx")), 1)
    return NodeCall(node.op_type, tuple(arrays), attributes, opset, trace.proto.ir_version)


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _mended(call: NodeCall, layer: nn.RNNBase, states: Sequence[Array]) -> Iterator[tuple[str, NodeCall]]:
    """Every fault that the node may have, and the node without it."""
    weights = _onnx_weights(layer, call.operator)
    cause = _weights_cause(call, weights)
    if cause:
        yield cause, replace(call, arrays=(call.arrays[0], *weights, *call.arrays[4:]))
    wanted = _attributes(layer, call.operator)
    for name in sorted({*call.attributes, *wanted} - {"hidden_size", "layout"}):
        default = DEFAULTS.get(name, "nothing")
        has, should = call.attributes.get(name, default), wanted.get(name, default)
        if has != should:
            attributes = {key: value for key, value in call.attributes.items() if key != name}
            attributes |= {name: wanted[name]} if name in wanted else {}
            yield f"{name} is {has} where the module has {should}", replace(call, attributes=attributes)
    x = call.arrays[0]
    if x is not None and x.ndim == 3:
        yield (
            "batch and sequence axes of its input are mixed up",
            call.with_array(0, np.ascontiguousarray(x.swapaxes(0, 1))),
        )
    if call.arrays[4] is not None:
        yield "sequence_lens cuts the series short", call.with_array(4, None)
    yield from _state_mended(call, states)


def _state_mended(call: NodeCall, states: Sequence[Array]) -> Iterator[tuple[str, NodeCall]]:
    """The node with the state that the module's layer started from."""
    has = [call.arrays[place] for place in STATES if place < len(call.arrays)]
    should: list[Array | None] = [np.asarray(state, np.float32) for state in states] or [None] * len(has)
    if len(has) != len(should):
        return
    mended = call
    for place, state in zip(STATES, should, strict=False):
        mended = mended.with_array(place, state)
    if not states:
        cause = "it starts from a state where the module starts from zeros"
    elif all(state is None or np.ptp(state) == 0 for state in has):
        cause = "the initial state that is given does not reach it"
    elif len(has) == 2 and _equal(has[0], should[1]) and _equal(has[1], should[0]):
        cause = "initial_h and initial_c are crossed"
    else:
        cause = "it starts from another state than the module"
    yield cause, mended


def _onnx_weights(layer: nn.RNNBase, operator: str) -> tuple[Array, Array, Array]:
    """The layer's W, R and B as ONNX wants them, both directions stacked."""
    suffixes = ["_l0", "_l0_reverse"][: 2 if layer.bidirectional else 1]

    missing = np.zeros(len(GATE_ORDER[operator]) * layer.hidden_size, np.float32)  # of a layer without biases

    def stacked(name: str) -> Array:
        tensors = [getattr(layer, f"{name}{suffix}", None) for suffix in suffixes]
        return np.stack([missing if t is None else t.detach().float().numpy() for t in tensors])

    def ordered(array: Array) -> Array:
        blocks = np.split(array, len(GATE_ORDER[operator]), axis=1)
        return np.concatenate([blocks[place] for place in GATE_ORDER[operator]], axis=1)

    biases = [ordered(stacked(name)) for name in ("bias_ih", "bias_hh")]
    return ordered(stacked("weight_ih")), ordered(stacked("weight_hh")), np.concatenate(biases, axis=1)


def _attributes(layer: nn.RNNBase, operator: str) -> dict[str, Any]:
    directions = 2 if layer.bidirectional else 1
    found: dict[str, Any] = {"direction": "bidirectional" if layer.bidirectional else "forward"}
    found |= {"linear_before_reset": 1} if operator == "GRU" else {}
    return found | ({"activations": ["Relu"] * directions} if layer.mode == "RNN_RELU" else {})


def _weights_cause(call: NodeCall, wanted: tuple[Array, Array, Array]) -> str:
    """What is wrong with the weights in words, the tensors with the same fault together; empty where all are right."""
    faults: dict[str, list[str]] = {}
    for name, has, should in zip("WRB", call.arrays[1:4], wanted, strict=True):
        fault = _fault(call.operator, has, should)
        if fault:
            faults.setdefault(fault, []).append(name)
    return "; ".join(
        fault.format(" and ".join(filter(None, (", ".join(n[:-1]), n[-1])))) for fault, n in faults.items()
    )


def _fault(operator: str, has: Array | None, should: Array) -> str:
    if has is None or (not has.any() and should.any()):
        dropped = "the bias is dropped: {} is missing or zero" if should.ndim == 2 else "{} is zero"
        return dropped if should.any() else ""
    if has.shape != should.shape:
        return "{} has not the shape of the module's weights"
    if _equal(has, should):
        return ""
    if len(has) == 2 and _equal(has[::-1], should):
        return "the weights of the two directions are swapped in {}"
    order = _gates(operator, has, should)
    if order:
        wanted = ", ".join(GATE_NAMES[operator])
        return f"gates are swapped in {{}}: they stand in the order {order} where ONNX wants {wanted}"
    return "{} is not the module's weights"


def _gates(operator: str, has: Array, should: Array) -> str:
    """The order in which the gates stand, if that is all that differs."""
    gates = len(GATE_ORDER[operator])
    width = has.shape[1] // gates if has.ndim == 3 else has.shape[1] // (2 * gates)
    rest = has.shape[2:]  # B has two rows of gates, one after the other
    found, wanted = (array.reshape(-1, gates, width, *rest) for array in (has, should))
    for order in permutations(range(gates)):
        if _equal(found, wanted[:, list(order)]):
            return ", ".join(GATE_NAMES[operator][place] for place in order)
    return ""


def _equal(first: Array | None, second: Array | None) -> bool:
    if first is None or second is None or first.shape != second.shape:
        return first is second
    return bool(np.allclose(first, second, rtol=1e-5, atol=1e-7))
