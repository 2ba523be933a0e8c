"""Exports graphs whose named axes stay dynamic: the contract's own, and those of anyone's module."""

import contextlib
import functools
import importlib
import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping

import onnx
import torch
import torch._dynamo  # here, because an interrupt while torch imports it lazily is swallowed
from torch import Tensor, nn
from torch.distributions import Distribution

from toolkit import __version__
from toolkit.contract.graph_io import METADATA_PREFIX, UNSCALED_FROM, GraphName, GraphSignature, TensorSpec, signature
from toolkit.contract.manifest import OPSET
from toolkit.errors import ModelError
from toolkit.export.graph_view import rename
from toolkit.export.lint import axes_of
from toolkit.export.lowering import lower
from toolkit.export.opsets import check_opset, lowest_ir_version
from toolkit.export.refusals import as_model_error, places_of, reason_for_baking, refuse_operators
from toolkit.export.simplify import simplify
from toolkit.model.lstm import MultivariateLSTM
from toolkit.model.torch_graph import TorchGraph, flat, torch_graphs

BATCH_SIZES, SEQUENCE_SIZES = (3, 5), (29, 31)
"""Sizes of the example that is traced and of a second one: what is not baked comes out the same. All above 1: an
example of 1 would be baked. No verdict rests on any of them."""

OTHER_SIZES = ((11, 13), (17, 19), (23, 37))
"""The same for further axes, in their order."""


def example_sizes(graph: TorchGraph, which: int = 0) -> dict[str, int]:
    """Sizes of the first or the second example, by axis; all different, and none below what the module takes."""
    tensors = graph.tensors
    others = iter((*OTHER_SIZES, *((41 + 4 * n, 43 + 4 * n) for n in range(len(tensors.symbolic_axes)))))
    sizes: dict[str, int] = {}
    for axis in tensors.symbolic_axes:
        pair = {tensors.batch_axis: BATCH_SIZES, tensors.sequence_axis: SEQUENCE_SIZES}.get(axis) or next(others)
        least = graph.limits.at_least(axis)
        # At its smallest a convolution leaves one sample, which torch would bake.
        sizes[axis] = max(pair[which], 2 * least + 3 + 2 * which if least > 1 else 1)
    return sizes


def export_graph(
    model: MultivariateLSTM,
    graph: GraphName,
    metadata: Mapping[str, str] | None = None,
    sizes: Mapping[str, int] | None = None,
    opset: int = OPSET,
) -> onnx.ModelProto:
    """Exports one graph of a forecaster: see `export_torch_graph`.

    Args:
        model: in float32; it is copied, not changed.
        graph: `windowed` or `streaming`.
        metadata: as there, and so are the others.
        sizes: of the example.
        opset: that is written.

    Raises:
        ModelError: a layer that cannot be exported, or a graph that the model does not have.
    """
    graphs = torch_graphs(model)
    if graph not in graphs:
        signature(graph, model.shape)  # says why
    return export_torch_graph(graphs[graph], metadata, sizes, opset)


def export_torch_graph(
    graph: TorchGraph,
    metadata: Mapping[str, str] | None = None,
    sizes: Mapping[str, int] | None = None,
    opset: int = OPSET,
) -> onnx.ModelProto:
    """Exports one graph.

    Args:
        graph: its module, in float32, is copied and not changed.
        metadata: texts that go into the file, under names that begin with `lstm_edge.`.
        sizes: of the example that is traced, by axis; the graph must not depend on them.
        opset: that is written, or an error.

    Returns:
        The ONNX model, weights inside, named axes symbolic under their names.

    Raises:
        ModelError: a layer that cannot be exported, in this opset or at all, or an axis that would be baked.
        ConfigError: an opset that torch or the installed onnxruntime does not take.
    """
    check_opset(opset)
    proto = _trace(lower(AsGraph(graph.module)), graph, sizes or example_sizes(graph), opset)
    _check_written(proto, opset)
    _check_axes(proto, graph)
    places = places_of(proto)
    _tidy(proto)
    simplify(proto)
    refuse_operators(proto, places)
    for answer in graph.unscaling:
        _name_standardised(proto, answer)
    proto.ir_version = lowest_ir_version(opset)
    for key, value in (metadata or {}).items():
        proto.metadata_props.add(key=METADATA_PREFIX + key, value=value)
    return proto


@contextlib.contextmanager
def operators_read_once() -> Iterator[None]:
    """Lets torch keep the operators that it knows: it reads all of them anew at each export, half of an export's time.

    The place is private to torch; where it is not there, exports only take longer.
    """
    try:
        registry = importlib.import_module("torch.onnx._internal.exporter._registration").ONNXRegistry
        read = vars(registry)["from_torchlib"]
        registry.from_torchlib = staticmethod(functools.cache(registry.from_torchlib))
    except (ImportError, AttributeError, KeyError):
        yield
        return
    try:
        yield
    finally:
        registry.from_torchlib = read


class AsGraph(nn.Module):
    """Any module, called with a flat tuple and answering with one."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The graph's inputs in their order; its outputs in theirs."""
        return flat(self.module(*tensors))


def _trace(module: nn.Module, graph: TorchGraph, sizes: Mapping[str, int], opset: int) -> onnx.ModelProto:
    tensors = graph.tensors
    # Under names of our own: a user's may be a Python keyword, or mean something to sympy (E, I, N, S).
    axes = {axis: f"axis_{place}" for place, axis in enumerate(tensors.symbolic_axes)}
    dims = {axis: torch.export.Dim(name, min=graph.limits.at_least(axis)) for axis, name in axes.items()}
    shapes = tuple(
        {place: dims[axis] for place, axis in enumerate(tensor.axes) if isinstance(axis, str)}
        for tensor in tensors.inputs
    )
    with without_torch_noise(), without_validation(), torch.no_grad(), as_model_error(graph):
        program = torch.onnx.export(
            module,
            tuple(example_of(tensor, sizes) for tensor in tensors.inputs),
            dynamo=True,
            dynamic_shapes=(shapes,),
            input_names=[tensor.name for tensor in tensors.inputs],
            output_names=[tensor.name for tensor in tensors.outputs],
            opset_version=opset,
            external_data=False,
            verbose=False,
        )
    assert program is not None  # torch gives None only for its older exporter
    proto = program.model_proto
    _rename_axes(proto, {name: axis for axis, name in axes.items()}, tensors)
    return proto


def example_of(tensor: TensorSpec, sizes: Mapping[str, int]) -> Tensor:
    """Standard normal numbers, the same every time."""
    generator = torch.Generator().manual_seed(0)
    shape = [sizes[axis] if isinstance(axis, str) else axis for axis in tensor.axes]
    return torch.randn(shape, generator=generator)


@contextlib.contextmanager
def without_torch_noise() -> Iterator[None]:
    """torch's exporter logs packages it does not find, prints graphs and warns of itself: no news to a user."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        # A failed trace is printed to standard error.
        hidden = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(hidden), contextlib.redirect_stderr(hidden):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextlib.contextmanager
def without_validation() -> Iterator[None]:
    """A probabilistic head holds a distribution of torch's, which looks at the numbers it is given: no graph can."""
    validated = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(validated)


def _rename_axes(proto: onnx.ModelProto, names: Mapping[str, str], tensors: GraphSignature) -> None:
    """Gives symbolic axes the names they were asked for, in expressions such as `sequence - 2` too."""
    values = (*proto.graph.input, *proto.graph.output, *proto.graph.value_info)
    for dim in (dim for value in values for dim in value.type.tensor_type.shape.dim):
        if dim.dim_param:
            dim.dim_param = re.sub(r"\baxis_\d+\b", lambda match: names.get(match[0], match[0]), dim.dim_param)
    for value, tensor in zip(proto.graph.output, tensors.outputs, strict=False):
        for dim, axis in zip(value.type.tensor_type.shape.dim, tensor.axes, strict=False):
            # An axis that is computed from others is called what a run of the module showed it to be.
            if dim.dim_param and isinstance(axis, str) and axis not in tensors.symbolic_axes:
                dim.dim_param = axis


def _check_written(proto: onnx.ModelProto, opset: int) -> None:
    """Refuses a graph in another opset: torch 2.13 writes 18 for a GELU in 26 or later, and only logs it."""
    written = next(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))
    if written != opset:
        raise ModelError(
            f"torch cannot write this module in opset {opset}", got=f"opset {written}", fix="a lower --opset"
        )


def _check_axes(proto: onnx.ModelProto, graph: TorchGraph) -> None:
    """Refuses a trace that baked an axis, with the reason where it is known.

    torch 2.13 does so in silence for a Python loop, which it unrolls to the example's length.
    """
    for value, tensor in zip(proto.graph.input, graph.tensors.inputs, strict=False):
        for got, wanted in zip(axes_of(value), tensor.axes, strict=False):
            if isinstance(wanted, str) and isinstance(got, int):
                reason, fix = reason_for_baking(graph.module, proto)
                raise ModelError(
                    f"the axis {wanted} of {tensor.name} would be baked at the example's {got}: {reason}",
                    allowed="modules that take any size of it",
                    fix=f"{fix}, or write the size in --input",
                )
    for value, tensor in zip(proto.graph.output, graph.tensors.outputs, strict=False):
        for got, wanted in zip(axes_of(value), tensor.axes, strict=False):
            numbers = [int(number) for number in re.findall(r"\b\d+\b", str(got))]
            if "Max(" in str(got) and got != wanted:
                raise ModelError(
                    f"an axis of {tensor.name} is as long as {wanted} in every run, and otherwise from "
                    f"{max(numbers, default=0)} samples on, which were not tried",
                    got=got,
                    fix=f"cut what is longer before the module is fed, or write the size of {wanted} in --input",
                )


def _tidy(proto: onnx.ModelProto) -> None:
    """Removes what torch leaves of the machine it ran on (stack traces with paths) and of the wrapper around it."""
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    proto.producer_name, proto.producer_version = "lstm-edge-toolkit", __version__
    names = {tensor.name: re.sub(r"^(module\.)+", "", tensor.name) for tensor in proto.graph.initializer}
    taken = {name for node in proto.graph.node for name in (*node.input, *node.output)} - names.keys()
    taken |= {value.name for value in (*proto.graph.input, *proto.graph.output)}
    for old, new in names.items():
        if old != new and new not in taken:
            _rename(proto, old, new)
            taken.add(new)


def _name_standardised(proto: onnx.ModelProto, answer: str) -> None:
    """Names the tensor before un-scaling, which parity is judged on.

    A raw answer is `Add(Mul(standardised, scale), offset)`; torch's optimiser drops what multiplies by 1 or adds 0.
    """
    producers = {output: node for node in proto.graph.node for output in node.output}
    constants = {initializer.name for initializer in proto.graph.initializer}
    name = answer
    for operator in ("Add", "Mul"):
        node = producers.get(name)
        if node is not None and node.op_type == operator and any(i in constants for i in node.input):
            name = next(i for i in node.input if i not in constants)
    if name != answer:
        _rename(proto, name, UNSCALED_FROM[answer])


def _rename(proto: onnx.ModelProto, old: str, new: str) -> None:
    """Gives a tensor within the graph another name, in what describes it too."""
    rename(proto.graph, old, new)
    for value in (*proto.graph.value_info, *proto.graph.initializer):
        if value.name == old:
            value.name = new
