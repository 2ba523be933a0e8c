"""A module of somebody else's, its graphs, and ways to break them, for tests of where a graph parts from its module."""

import contextlib
import functools
import io
import warnings

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

from toolkit.contract.graph_io import GraphSignature, TensorSpec
from toolkit.parity.parting import first_parting

BATCH, SEQUENCE, CHANNELS, HIDDEN = 7, 13, 3, 8
TOLERANCE = 1e-7
PLAIN = GraphSignature((TensorSpec("x", ("batch", "sequence", CHANNELS)),), (TensorSpec("y", ("batch", 2)),))


class Foreign(nn.Module):
    """Somebody's module: scaling in code, a recurrent layer, its last step, a norm and a head."""

    def __init__(self, kind, num_layers=1, *, bidirectional=False):
        super().__init__()
        self.layer = kind(CHANNELS, HIDDEN, num_layers, bidirectional=bidirectional, batch_first=True)
        width = HIDDEN * (2 if bidirectional else 1)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 2)

    def forward(self, x):
        hidden, _ = self.layer(x * 2.0 - 1.0)
        return self.head(torch.relu(self.norm(hidden[:, -1])))


def made(kind, *args, seed=0, **options):
    torch.manual_seed(seed)
    return kind(*args, **options).eval()


def export(module, *, dynamo, length=29, further=()):
    """What torch's exporters make of a module, the old one and the new one."""
    names = {"input_names": ["x"], "output_names": ["y"], "opset_version": 18, "verbose": False}
    file, axes = io.BytesIO(), ("batch", "sequence")
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        x = torch.ones(3, length, CHANNELS)
        if not dynamo:
            dynamic = {"x": dict(enumerate(axes)), "y": {0: "batch"}}
            names["input_names"] = ["x", *further]
            dynamic |= {name: {1: "batch"} for name in further}
            states = [torch.ones(2, 3, HIDDEN) for _ in further]
            torch.onnx.export(module, (x, *states), file, dynamic_axes=dynamic, dynamo=False, **names)
            return onnx.load_model_from_string(file.getvalue())
        shapes = ({place: torch.export.Dim(name) for place, name in enumerate(axes)},)
        return torch.onnx.export(module, (x,), dynamic_shapes=shapes, dynamo=True, **names).model_proto


def random_x(batch=BATCH, sequence=SEQUENCE):
    return {"x": np.random.default_rng(0).standard_normal((batch, sequence, CHANNELS)).astype(np.float32)}


def find(module, proto, feed=None, tensors=PLAIN):
    return first_parting(module, tensors, proto.SerializeToString(), feed or random_x(), TOLERANCE)


def copy_of(proto):
    return onnx.ModelProto.FromString(proto.SerializeToString())


def change(name, function):
    """A fault in a weight whose name ends in `name`."""

    def fault(proto):
        found = next(tensor for tensor in proto.graph.initializer if tensor.name.endswith(name))
        array = np.array(function(numpy_helper.to_array(found).copy()), np.float32)
        found.CopyFrom(numpy_helper.from_array(array, found.name))

    return fault


def nodes(proto, *operators):
    return [node for node in proto.graph.node if node.op_type in operators]


def behind(proto, node, operator, *arrays):
    """Puts a node of `operator` between `node` and whoever reads it."""
    wire, names = node.output[0], [f"given_{number}" for number in range(len(arrays))]
    node.output[0] = "loose"
    proto.graph.initializer.extend(numpy_helper.from_array(a, n) for a, n in zip(arrays, names, strict=True))
    place = list(proto.graph.node).index(node) + 1
    proto.graph.node.insert(place, helper.make_node(operator, ["loose", *names], [wire], name="put_in"))


@functools.cache
def legacy_lstm():
    """Two layers, and what torch's old exporter makes of them."""
    module = made(Foreign, nn.LSTM, 2)
    return module, export(module, dynamo=False)


def swap_gates(array):
    """i, o, f, c becomes i, f, o, c."""
    blocks = array.reshape(-1, 4, HIDDEN, *array.shape[2:])
    return blocks[:, [0, 2, 1, 3]].reshape(array.shape)
