"""Exports the graphs of the contract: windowed and streaming."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping

import onnx
import torch
import torch._dynamo  # here, because an interrupt while torch imports it lazily is swallowed
from torch import Tensor, nn

from toolkit import __version__
from toolkit.contract.graph_io import (
    BATCH,
    METADATA_PREFIX,
    SEQUENCE,
    STANDARDISED,
    GraphName,
    GraphSignature,
    TensorSpec,
    signature,
)
from toolkit.contract.manifest import IR_VERSION, OPSET
from toolkit.errors import ModelError, ToolkitError
from toolkit.export.lowering import lower
from toolkit.model.lstm import MultivariateLSTM, StreamingForecaster

EXAMPLE_SIZES = {BATCH: 3, SEQUENCE: 29}
"""Sizes of the example that is traced. Both above 1: an example of 1 would be baked. No verdict rests on them."""

SECOND_SIZES = {BATCH: 5, SEQUENCE: 31}
"""Sizes of a second example: what is not baked comes out the same."""


def export_graph(
    model: MultivariateLSTM,
    graph: GraphName,
    metadata: Mapping[str, str] | None = None,
    sizes: Mapping[str, int] = EXAMPLE_SIZES,
) -> onnx.ModelProto:
    """Exports one graph of a forecaster.

    Args:
        model: in float32; it is copied, not changed.
        graph: `windowed` or `streaming`.
        metadata: texts that go into the file, under names that begin with `lstm_edge.`.
        sizes: of the example that is traced, by axis; the graph must not depend on them.

    Returns:
        The ONNX model, weights inside, axes named `batch` and `sequence`.

    Raises:
        ModelError: a layer that cannot be exported.
    """
    module: nn.Module = model if graph == "windowed" else StreamingForecaster(model)
    tensors = signature(graph, model.shape)
    proto = _trace(lower(module), tensors, sizes)
    _tidy(proto)
    _name_standardised(proto)
    for key, value in (metadata or {}).items():
        proto.metadata_props.add(key=METADATA_PREFIX + key, value=value)
    return proto


def _trace(module: nn.Module, tensors: GraphSignature, sizes: Mapping[str, int]) -> onnx.ModelProto:
    dims = {name: torch.export.Dim(name, min=1) for name in sizes}
    with _without_torch_noise(), torch.no_grad(), _as_model_error():
        program = torch.onnx.export(
            module,
            tuple(_example(tensor, sizes) for tensor in tensors.inputs),
            dynamo=True,
            dynamic_shapes=tuple(
                {place: dims[axis] for place, axis in enumerate(tensor.axes) if isinstance(axis, str)}
                for tensor in tensors.inputs
            ),
            input_names=[tensor.name for tensor in tensors.inputs],
            output_names=[tensor.name for tensor in tensors.outputs],
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    assert program is not None  # torch gives None only for its older exporter
    return program.model_proto


@contextlib.contextmanager
def _as_model_error() -> Iterator[None]:
    """torch wraps whatever went wrong in pages of advice; the cause is the last line of the chain."""
    try:
        yield
    except torch.onnx.OnnxExporterError as error:
        cause = error.__cause__ or error
        if isinstance(cause, ToolkitError):
            raise cause from error
        text = " ".join(str(cause).split())[:300]
        raise ModelError("torch cannot export the module", got=f"{type(cause).__name__}: {text}") from error


def _example(tensor: TensorSpec, sizes: Mapping[str, int]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = [sizes[axis] if isinstance(axis, str) else axis for axis in tensor.axes]
    return torch.randn(shape, generator=generator)


@contextlib.contextmanager
def _without_torch_noise() -> Iterator[None]:
    """torch's exporter logs packages it does not find and warns of its own deprecations: no news to a user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _tidy(proto: onnx.ModelProto) -> None:
    """Removes what torch leaves of the machine it ran on (stack traces with paths), and lowers the file format."""
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    proto.ir_version = IR_VERSION
    proto.producer_name, proto.producer_version = "lstm-edge-toolkit", __version__


def _name_standardised(proto: onnx.ModelProto) -> None:
    """Names the tensor before un-scaling, which parity is judged on.

    The forecast is `Add(Mul(standardised, scale), offset)`; torch's optimiser drops what multiplies by 1 or adds 0.
    """
    producers = {output: node for node in proto.graph.node for output in node.output}
    constants = {initializer.name for initializer in proto.graph.initializer}
    name = proto.graph.output[0].name
    for operator in ("Add", "Mul"):
        node = producers.get(name)
        if node is not None and node.op_type == operator and any(i in constants for i in node.input):
            name = next(i for i in node.input if i not in constants)
    if name != proto.graph.output[0].name:
        _rename(proto, name, STANDARDISED)


def _rename(proto: onnx.ModelProto, old: str, new: str) -> None:
    for node in proto.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = new
    for value in proto.graph.value_info:
        if value.name == old:
            value.name = new
