"""Why torch cannot export a module, in words: the operator, the line of somebody's code, what to write instead.

torch wraps whatever went wrong in pages of advice on its own source.
"""

import contextlib
import re
import traceback
from collections.abc import Iterator, Mapping

import onnx
import torch
from torch import nn

from toolkit.errors import ModelError, ToolkitError
from toolkit.export.code_places import Place, at, place_in_stack, place_of_error
from toolkit.model.torch_graph import TorchGraph
from toolkit.runtime.operators import OPERATORS

CELLS = (nn.LSTMCell, nn.GRUCell, nn.RNNCell)

STACK = "pkg.torch.onnx.stack_trace"
"""Under which torch keeps with a node the lines of Python that it came from."""

MAX_POOL = "nn.MaxPool1d in place of F.max_pool1d"

INSTEAD = {
    r"cummax|cummin": "a maximum over the last n samples, nn.MaxPool1d(n, stride=1), or over all: x.amax(1)",
    r"cumprod": "torch.exp(torch.cumsum(torch.log(x), 1)) where x > 0",
    r"hypot": "torch.sqrt(x * x + y * y)",
    r"searchsorted": "torch.bucketize(x, boundaries)",
    r"median": "x.quantile(0.5, dim=1)",
    r"\bmode\b": "x.quantile(0.5, dim=1)",
    r"amax|amin": "name its axes, x.amax((0, 1, 2)), or x.max()",
    r"scaled_dot_product_attention": "give query, key and value an axis of heads, q[:, None], and take it off, y[:, 0]",
    r"max_pool1d": MAX_POOL,
    r"masked_select|nonzero|NonZero|Compress": "keep every value and choose by arithmetic: y = torch.where(mask, 0, y) "
    "in place of y[mask] = 0, (x * mask).sum() in place of x[mask].sum()",
    r"\brand|Random|Bernoulli|dropout|Dropout|Multinomial": "leave chance out in evaluation mode: `if self.training:`",
    r"\bunique|Unique": "what a value occurs as cannot be counted in a graph: one column for each value it may have",
}
"""What to write in place of operators that have no graph, by patterns of their names or of the line they stand in."""


@contextlib.contextmanager
def as_model_error(graph: TorchGraph) -> Iterator[None]:
    """Raises torch's failure to export again, in one line.

    Raises:
        ModelError: with the cause, which is the last of the chain.
    """
    try:
        yield
    except torch.onnx.OnnxExporterError as error:
        cause = error.__cause__ or error
        if isinstance(cause, ToolkitError):
            raise cause from error
        raise _refusal(cause, graph) from error


def refuse_operators(proto: onnx.ModelProto, places: Mapping[str, Place]) -> None:
    """Refuses a graph with an operator that no forecaster is made of: control flow, chance, sizes that data decide.

    Args:
        proto: the graph.
        places: where each node's first output is computed, as `places_of` found it before the traces were taken out.

    Raises:
        ModelError: names the operator and the line.
    """
    node = next((n for n in proto.graph.node if n.domain not in ("", "ai.onnx") or n.op_type not in OPERATORS), None)
    if node is None:
        return
    place = places.get(node.output[0])
    raise ModelError(
        f"the module needs the operator {node.op_type}{at(place)}, which no graph may hold",
        allowed="arithmetic without control flow, chance or sizes that the numbers decide",
        fix=_instead(node.op_type, place),
    )


def places_of(proto: onnx.ModelProto) -> dict[str, Place]:
    """For each node's first output the line of somebody's code that it comes from."""
    stacks = {
        node.output[0]: entry.value for node in proto.graph.node for entry in node.metadata_props if entry.key == STACK
    }
    found = {output: place_in_stack(stack) for output, stack in stacks.items()}
    return {output: place for output, place in found.items() if place is not None}


def reason_for_baking(module: nn.Module, proto: onnx.ModelProto) -> tuple[str, str]:
    """What in a module may have written down the example's size, and what to do instead."""
    for layer in module.modules():
        name = type(layer).__name__
        if isinstance(layer, CELLS):
            return f"a Python loop over {name}", f"use nn.{name.removesuffix('Cell')}, whose operator takes any length"
        if isinstance(layer, nn.RNNBase) and type(layer).forward not in (nn.LSTM.forward, nn.GRU.forward):
            fix = "call super().forward in it, or hold an nn.LSTM in place of deriving from it"
            return f"{name} has a forward of its own", fix
    places = places_of(proto)
    pools = (node for node in proto.graph.node if node.op_type == "MaxPool" and _dimensions(node) == 1)
    pool = next(pools, None)
    if pool is not None:
        return f"F.max_pool1d{at(places.get(pool.output[0]))}", f"use {MAX_POOL}"
    reason = "a Python loop, or a number computed from its size by math.sqrt, torch.linspace, int() or the like"
    return reason, "use operations on the whole tensor: torch.arange(n) / (n - 1), x.new_ones(n).sum().sqrt()"


def _dimensions(node: onnx.NodeProto) -> int:
    return next((len(each.ints) for each in node.attribute if each.name == "kernel_shape"), 0)


def _refusal(cause: BaseException, graph: TorchGraph) -> ModelError:
    text = " ".join(str(cause).split())
    node = _untranslated(cause)
    if node is not None:
        place = place_in_stack(node.stack_trace or "")
        operator = _torchs_name(node)
        return ModelError(f"torch cannot export {operator}{at(place)}", fix=_instead(operator, place))
    place = place_of_error(cause)
    if "data-dependent" in text or "data dependent" in text:
        return ModelError(
            f"the module's way depends on the numbers that are fed{at(place)}, which no graph can hold",
            got=text[:120],
            fix="replace the branch or the loop by arithmetic, such as torch.where",
        )
    if "Constraints violated" in text or "specialized" in text:
        return ModelError(
            f"the module does not take every size of {', '.join(graph.tensors.symbolic_axes)}",
            got=text[:200],
            fix="write the size as a number in --input where it is one",
        )
    if "inconsistent min=" in text or (place is not None and "sympy" in place.file):
        return ModelError(
            f"torch cannot follow what the module computes from the sizes of {', '.join(graph.tensors.symbolic_axes)}",
            fix="whole numbers and n // k with n >= 0 are followed, -n // k and divisions by / are not; or write the "
            "size as a number in --input",
        )
    return ModelError(
        f"torch cannot export the module{at(place)}",
        got=f"{type(cause).__name__}: {text[:160]}",
        fix="write it in other operations, or leave that part out of the module",
    )


def _untranslated(cause: BaseException) -> torch.fx.Node | None:
    """The operation that torch has no ONNX for: its error names it in words alone, and its frames hold it."""
    frames = traceback.walk_tb(cause.__traceback__)
    held = (frame.f_locals.get("node") for frame, _ in frames if type(cause).__name__ == "ConversionError")
    return next((node for node in held if isinstance(node, torch.fx.Node)), None)


def _torchs_name(node: torch.fx.Node) -> str:
    """`torch.ops.aten.median.dim` is `torch.median` to who wrote it."""
    name = str(node.target)
    parts = name.split(".")
    return f"torch.{parts[1]}" if len(parts) > 1 and parts[0] in ("aten", "prims") else name


def _instead(operator: str, place: Place | None) -> str:
    """The line is asked too: torch may have split what stands there into others."""
    for text in (operator, place.code if place is not None else ""):
        found = next((fix for pattern, fix in INSTEAD.items() if re.search(pattern, text)), None)
        if found is not None:
            return found
    return "write it in other operations, or do it before the module is fed"
