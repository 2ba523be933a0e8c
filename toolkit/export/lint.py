"""What a graph must be before it is run at all."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from toolkit.contract.graph_entry import Precision
from toolkit.contract.graph_io import GraphSignature, TensorSpec
from toolkit.contract.manifest import OPSET
from toolkit.errors import GateError
from toolkit.runtime.operators import INT8_DOMAIN, INT8_OPERATORS, OPERATORS, RECURRENT


def check_graph(
    proto: onnx.ModelProto,
    tensors: GraphSignature,
    name: str,
    opset: int = OPSET,
    precision: Precision = "fp32",
) -> None:
    """Refuses a graph that breaks the contract.

    Args:
        proto: the graph.
        tensors: the inputs and outputs it must have, with their axes.
        name: what to call it in the message.
        opset: it must have.
        precision: of its weights.

    Raises:
        GateError: with the first problem and how many there are.
    """
    problems = graph_problems(proto, tensors, opset, precision)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise GateError(f"the {name} graph breaks the graph contract: {problems[0]}{more}")


def graph_problems(
    proto: onnx.ModelProto, tensors: GraphSignature, opset: int = OPSET, precision: Precision = "fp32"
) -> tuple[str, ...]:
    """Every way in which a graph breaks the contract, in words; empty for a good one.

    Args:
        proto: the graph.
        tensors: the inputs and outputs it must have, with their axes.
        opset: it must have.
        precision: of its weights: int8 graphs alone may hold operators of `com.microsoft`.
    """
    return (
        *_tensor_problems("input", proto.graph.input, tensors.inputs),
        *_tensor_problems("output", proto.graph.output, tensors.outputs),
        *_opset_problems(proto, opset, precision),
        *_node_problems(proto, precision),
        *_state_problems(proto),
        *_weight_problems(proto),
        *_checker_problems(proto),
    )


def check_same(first: onnx.ModelProto, second: onnx.ModelProto, name: str) -> None:
    """Refuses a graph that comes out otherwise when it is exported from an example of other sizes.

    A search for the example's sizes among the constants alarms on clean graphs too; two exports do not.

    Raises:
        GateError: names the first node, weight or tensor that differs.
    """
    if first.SerializeToString() == second.SerializeToString():
        return
    parts = ("input", "output", "node", "initializer", "value_info")
    pairs = ((a, b) for part in parts for a, b in zip_longest(getattr(first.graph, part), getattr(second.graph, part)))
    found = next((a or b for a, b in pairs if a != b), None)
    where = f"first at {found.name}" if found is not None else "in what surrounds the graph"
    raise GateError(f"the {name} graph depends on the sizes of the example it was exported from, {where}")


def axes_of(value: onnx.ValueInfoProto) -> tuple[str | int, ...]:
    """Each axis of a graph's input or output: its symbolic name, its size, or "?"."""
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in value.type.tensor_type.shape.dim
    )


def _tensor_problems(kind: str, values: Iterable[onnx.ValueInfoProto], wanted: tuple[TensorSpec, ...]) -> Iterator[str]:
    found = list(values)
    names = [value.name for value in found]
    if names != [tensor.name for tensor in wanted]:
        yield f"{kind}s are {', '.join(names) or 'missing'} instead of {', '.join(tensor.name for tensor in wanted)}"
        return
    for value, tensor in zip(found, wanted, strict=True):
        if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            yield f"{kind} {value.name} is not float32"
        axes = axes_of(value)
        if axes != tensor.axes:
            wrong = f"{_shown(axes)} instead of {_shown(tensor.axes)}"
            yield f"{kind} {value.name} has the axes {wrong}{_baked(axes, tensor)}"


def _baked(axes: tuple[str | int, ...], tensor: TensorSpec) -> str:
    if len(axes) != len(tensor.axes):
        return ""
    fixed = [str(w) for a, w in zip(axes, tensor.axes, strict=True) if isinstance(w, str) and isinstance(a, int)]
    return f" (baked: {', '.join(fixed)})" if fixed else ""


def _opset_problems(proto: onnx.ModelProto, opset: int, precision: Precision) -> Iterator[str]:
    domains = [entry.domain or "ai.onnx" for entry in proto.opset_import]
    for entry in proto.opset_import:
        if entry.domain not in ("", "ai.onnx"):
            if (entry.domain, precision) != (INT8_DOMAIN, "int8"):
                yield f"it needs the operator domain {entry.domain}"
        elif entry.version != opset:
            yield f"its opset is {entry.version} instead of {opset}"
    if len(domains) != len(set(domains)):
        yield "it names an operator domain twice"
    if proto.functions:
        yield "it holds functions of its own"


def _node_problems(proto: onnx.ModelProto, precision: Precision) -> Iterator[str]:
    for node in proto.graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        own = node.domain in ("", "ai.onnx") and node.op_type in OPERATORS
        quantised = precision == "int8" and node.domain == INT8_DOMAIN and node.op_type in INT8_OPERATORS
        if not own and not quantised:
            yield f"the operator {node.domain + '.' if node.domain else ''}{node.op_type} is not on the allow-list"
        if node.op_type in RECURRENT and attributes.get("layout", 0) != 0:
            yield f"{node.op_type} with layout=1, which onnxruntime refuses"
        if node.op_type in RECURRENT and "clip" in attributes:
            yield f"{node.op_type} with clip, which no CUDA provider runs"


def _state_problems(proto: onnx.ModelProto) -> Iterator[str]:
    """A state that is stored fits one batch alone, whatever the axes say."""
    stored = {tensor.name for tensor in proto.graph.initializer}
    stored |= {name for node in proto.graph.node if node.op_type == "Constant" for name in node.output}
    for node in proto.graph.node:
        if node.op_type in (*RECURRENT, *INT8_OPERATORS):
            constant = [name for name in node.input[5:7] if name in stored]
            if constant:
                yield f"{node.op_type} {node.name or node.output[0]} starts from the constant state {constant[0]}"


def _weight_problems(proto: onnx.ModelProto) -> Iterator[str]:
    for tensor in proto.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield f"the weights {tensor.name} lie outside the file"
            continue
        values = numpy_helper.to_array(tensor)
        if values.dtype.kind == "f" and not (np.isfinite(values).all() or _is_mask(values)):
            yield f"the weights {tensor.name} hold NaN or infinity"


def _is_mask(values: NDArray[Any]) -> bool:
    """Zeros and negative infinity, which an attention adds to what it must not see; no weight looks like that."""
    return bool(np.isin(values, (0.0, -np.inf)).all())


def _checker_problems(proto: onnx.ModelProto) -> Iterator[str]:
    try:
        onnx.checker.check_model(proto, full_check=True)
        onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        yield f"onnx.checker: {' '.join(str(error).split())[:200]}"


def _shown(axes: tuple[str | int, ...]) -> str:
    return f"[{', '.join(map(str, axes))}]"
