"""What torch's own exporters make of recurrent modules, both axes declared dynamic as its documentation says."""

import contextlib
import io
import logging
import warnings

import onnx
import torch
from torch import nn
from verdicts import tensor

from toolkit.contract.graph_io import GraphSignature
from toolkit.model.torch_graph import TorchGraph

CHANNELS, HIDDEN = 3, 6


class LastStep(nn.Module):
    """A layer's last step, with dropout before the head."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.dropout = layer, nn.Dropout(0.5)
        self.head = nn.Linear(layer.proj_size or layer.hidden_size, 2)

    def forward(self, x):
        return self.head(self.dropout(self.layer(x)[0][:, -1]))


class CellLoop(nn.Module):
    """A Python loop over a cell."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.LSTMCell(CHANNELS, HIDDEN), nn.Linear(HIDDEN, 2)

    def forward(self, x):
        h = c = x.new_zeros(x.shape[0], HIDDEN)
        for step in range(x.shape[1]):
            h, c = self.cell(x[:, step], (h, c))
        return self.head(h)


def as_graph(module, channels=CHANNELS):
    """A module that answers once for each series, as a graph with the axes that were declared."""
    inputs, outputs = tensor(f"x: batch, sequence, {channels}"), tensor("y: batch, 2")
    return TorchGraph("windowed", module.eval(), GraphSignature((inputs,), (outputs,)))


@contextlib.contextmanager
def _silent():
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def by_dynamo(module, batch=3, sequence=7, channels=CHANNELS):
    """torch's exporter of today, asked for both axes."""
    sizes = {place: torch.export.Dim(name, min=1) for place, name in enumerate(("batch", "sequence"))}
    with _silent():
        program = torch.onnx.export(
            module,
            (torch.randn(batch, sequence, channels),),
            dynamo=True,
            dynamic_shapes=(sizes,),
            input_names=["x"],
            output_names=["y"],
            opset_version=18,
            verbose=False,
        )
    return program.model_proto


def by_tracing(module, batch=3, sequence=7, channels=CHANNELS, *, dynamic=True, **options):
    """torch's older exporter; `options` are further ones of `torch.onnx.export`."""
    content = io.BytesIO()
    with _silent():
        torch.onnx.export(
            module,
            (torch.randn(batch, sequence, channels),),
            content,
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            opset_version=18,
            dynamic_axes={"x": {0: "batch", 1: "sequence"}, "y": {0: "batch"}} if dynamic else None,
            **options,
        )
    return onnx.load_model_from_string(content.getvalue())


def forged(proto):
    """The axes as they were declared, whatever the graph computes: now nothing shows before it is run."""
    proto = onnx.ModelProto.FromString(proto.SerializeToString())
    for value, names in ((proto.graph.input[0], ("batch", "sequence")), (proto.graph.output[0], ("batch",))):
        for place, name in enumerate(names):
            value.type.tensor_type.shape.dim[place].dim_param = name
    del proto.graph.value_info[:]
    return proto
