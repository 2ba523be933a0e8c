"""What may be wrong with an ONNX file, as far as it can be seen without running it: one line for each thing."""

import re
from collections.abc import Iterator

from toolkit.errors import BundleError
from toolkit.runtime.graph_wiring import Wiring
from toolkit.runtime.onnx_compatibility import ONNX, RELEASES, reads
from toolkit.runtime.onnx_file import Node, OnnxFile, Value, stored_tensors, with_bodies
from toolkit.runtime.onnx_tensor import not_finite
from toolkit.runtime.onnx_text import axes_text, listed, node_label, operator_name, shown
from toolkit.runtime.recurrent_warnings import carries_state, is_recurrent, layer_warnings

MAX_WARNINGS = 50
"""A file of a million bad nodes is not told one by one."""

MAX_ERROR = 300
"""Characters of an error that is passed on as a warning: it holds names from the file."""

ONNX_DOMAINS = (*ONNX, "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "ai.onnx.preview.training")
MICROSOFT = "com.microsoft"
CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")

_QUANTISING = re.compile(r"[Qq]uantize|QLinear|Integer$|MatMulNBits|^Q(Gemm|Attention)$")
_INT8 = re.compile(r"int8", re.IGNORECASE)
_QUANTISER = "onnx.quantize"
"""The producer that onnxruntime's quantiser writes, whether it converted anything or not."""


def graph_warnings(file: OnnxFile, name: str, minimum: str | None, installed: str | None) -> tuple[str, ...]:
    """Every warning about a file, those that touch its answers first.

    Args:
        file: the model.
        name: of the file: one that says int8 is held to it.
        minimum: the oldest onnxruntime that reads the file, None where none is known.
        installed: version of the onnxruntime here, None where there is none.
    """
    found = list(_all(file, name, minimum, installed))
    more = [f"and {len(found) - MAX_WARNINGS} more warnings"] if len(found) > MAX_WARNINGS else []
    return tuple(found[:MAX_WARNINGS] + more)


def _all(file: OnnxFile, name: str, minimum: str | None, installed: str | None) -> Iterator[str]:
    floating: list[Node] = []
    for root in file.roots():
        wiring = Wiring(root)
        layers = [node for graph in with_bodies(root) for node in graph.nodes if carries_state(node)]
        yield from _baked_tensors(wiring)
        if layers:
            yield from _baked_reshapes(wiring)
        for node in layers:
            yield from layer_warnings(node, wiring)
        floating += [node for node in layers if is_recurrent(node) and not _has_quantised_weights(node, wiring)]
    yield from _number_warnings(file)
    yield from _external_warnings(file)
    yield from _quantisation_warnings(file, name, floating)
    yield from _domain_warnings(file)
    control = [node_label(node) for node in file.nodes() if node.op_type in CONTROL_FLOW and node.domain in ONNX]
    if control:
        yield f"control flow: {listed(control)}: what runs depends on the data"
    yield from _version_warnings(file, minimum, installed)


def _baked_tensors(wiring: Wiring) -> Iterator[str]:
    for kind, values in (("input", tuple(wiring.inputs.values())), ("output", wiring.root.outputs)):
        for value in values:
            if _is_baked(value):
                yield f"{kind} {shown(value.name)} {axes_text(value.axes or ())} has no symbolic axis"


def _is_baked(value: Value) -> bool:
    return bool(value.axes) and all(isinstance(axis, int) for axis in value.axes or ())


def _baked_reshapes(wiring: Wiring) -> Iterator[str]:
    """A batch or a sequence that a tracer wrote down as a number, within the graph."""
    for graph in with_bodies(wiring.root):
        for node in graph.nodes:
            if node.op_type != "Reshape" or wiring.is_constant(node.input(0)):
                continue
            shape = wiring.whole_numbers(node.input(1)) or ()
            if len(shape) > 1 and all(size > 0 for size in shape):
                yield f"{node_label(node)}: to the constant shape {axes_text(shape)}: batch and sequence are baked"


def _number_warnings(file: OnnxFile) -> Iterator[str]:
    for tensor in stored_tensors(file):
        if tensor.is_external:
            continue
        try:
            wrong = not_finite(tensor)
        except BundleError as error:
            yield shown(str(error), MAX_ERROR)
            continue
        if wrong and not (wrong == "infinity" and tensor.dims == ()):  # a mask's filling is one infinite number
            yield f"the numbers {shown(tensor.name)} {axes_text(tensor.dims)} hold {wrong}"


def _external_warnings(file: OnnxFile) -> Iterator[str]:
    outside = [tensor for tensor in stored_tensors(file) if tensor.is_external]
    if not outside:
        return
    places = [tensor.location or "no location" for tensor in outside]
    yield f"external data: {len(outside)} tensors lie in {listed(places)}, which was not opened"


def _quantisation_warnings(file: OnnxFile, name: str, floating: list[Node]) -> Iterator[str]:
    quantising = any(_QUANTISING.search(node.op_type) for node in file.nodes())
    sign = next(_signs_of_quantisation(file, quantising), None)
    if floating and sign is not None:
        yield f"quantisation did nothing for {listed(map(node_label, floating))}: floating point still, though {sign}"
    if not quantising and _INT8.search(name):
        yield f"the name {shown(name)} says int8, and no operator is quantised"
    told = [entry for entry in file.metadata if not quantising and _INT8.search(f"{entry.key} {entry.value}")]
    if told:
        yield f"the metadata {listed(entry.key for entry in told)} says int8, and no operator is quantised"


def _signs_of_quantisation(file: OnnxFile, quantising: bool) -> Iterator[str]:
    if quantising:
        yield "other operators are quantised"
    if file.producer == _QUANTISER:
        yield f"the producer is {_QUANTISER}"
    if any(opset.domain == MICROSOFT for opset in file.opsets) and _is_unused(file, MICROSOFT):
        yield f"{MICROSOFT} is imported (and none of its operators used)"


def _is_unused(file: OnnxFile, domain: str) -> bool:
    return all(node.domain != domain for node in file.nodes())


def _has_quantised_weights(node: Node, wiring: Wiring) -> bool:
    """Weights kept as integers are quantised, though the arithmetic is not."""
    makers = (wiring.producers.get(node.input(place)) for place in (1, 2))
    return any(maker is not None and maker.op_type == "DequantizeLinear" for maker in makers)


def _domain_warnings(file: OnnxFile) -> Iterator[str]:
    own = {(function.domain, function.name) for function in file.functions}
    outside: dict[str, list[str]] = {}
    for node in file.nodes():
        if node.domain not in ONNX_DOMAINS and (node.domain, node.op_type) not in own:
            outside.setdefault(node.domain, []).append(operator_name(node))
    for domain, operators in outside.items():
        where = "onnxruntime alone" if domain.startswith(MICROSOFT) else "a runtime that was given them alone"
        yield f"operators outside ONNX, which run in {where}: {listed(operators)}"


def _version_warnings(file: OnnxFile, minimum: str | None, installed: str | None) -> Iterator[str]:
    versions = ", ".join(f"opset {shown(o.domain) or 'ai.onnx'} {o.version}" for o in file.opsets[:4])
    if minimum is None:
        newest = RELEASES[-1].version
        yield f"{versions}, IR {file.ir_version}: newer than onnxruntime {newest}, the newest that is known here, reads"
    elif installed is not None and not reads(installed, minimum):
        yield f"onnxruntime {installed} is installed and reads no {versions}, IR {file.ir_version}: from {minimum} on"
