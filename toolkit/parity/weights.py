"""Weights in a graph against the module's, number by number.

A nudge of one weight by a thousandth of its row cannot be seen in the answers for 3 to 6 % of trained weights, and for
nearly half of untrained ones. Here it can: every weight, bias and scaling constant of the module must be found in the
graph to the bit. Names differ between exporters, so tensors are known by what they hold; of recurrent layers each
direction is looked for in the gate order of ONNX's operator (torch: i, f, g, o and r, z, n; ONNX: i, o, f, c and z,
r, h).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from toolkit.contract.parity_reports import ChangedWeight, WeightCheck
from toolkit.model.torch_graph import TorchGraph
from toolkit.parity.graph_trace import RECURRENT_OPERATORS

ONNX_GATES = {4: (0, 3, 1, 2), 3: (1, 0, 2), 1: (0,)}
"""For as many gates, torch's place of each of ONNX's, in ONNX's order."""

MOSTLY = 0.5
"""The part of a tensor that must be equal for the rest of it to be called changed rather than computed otherwise."""

NEAR = 0.1
"""Of the norm: a recurrent weight this near is the module's, and changed. Nothing is folded into those."""

Array = NDArray[Any]


@dataclass(frozen=True)
class _Stored:
    """A constant of the graph; `recurrent` where it is one direction of a recurrent operator's weights."""

    name: str
    values: Array
    recurrent: bool = False


@dataclass(frozen=True)
class _Wanted:
    """A tensor of the module, in the order in which a graph holds it, and for each row torch's row."""

    name: str
    values: Array
    rows: tuple[int, ...] = ()


def check_weights(graph: TorchGraph, content: bytes) -> WeightCheck:
    """Looks for every tensor of a graph's module in an fp32 `.onnx` file.

    Where the module is the toolkit's own, every tensor has to be there; of somebody else's some may be folded into
    others or not used, and only what is plainly changed counts.

    Args:
        graph: the torch side.
        content: of the file; that it is one has been seen before.
    """
    stored = _stored(onnx.load_model_from_string(content))
    wanted = list(_wanted(graph.module))
    strict = graph.judged is not None
    exact = 0
    changed: list[ChangedWeight] = []
    missing: list[str] = []
    for tensor in wanted:
        nearest = _nearest(tensor, stored)
        if nearest is not None and nearest.differing == 0:
            exact += 1
        elif nearest is not None and (nearest.certain or (strict and nearest.differing < tensor.values.size)):
            changed.append(nearest.change)
        elif not _does_nothing(tensor.values):
            missing.append(tensor.name)
    compared = exact + len(changed) + len(missing)
    return WeightCheck(graph.name, compared, exact, tuple(changed), tuple(missing), strict)


@dataclass(frozen=True)
class _Likeness:
    """A tensor of the module beside a constant of the graph, in the layout in which they are most alike."""

    wanted: _Wanted
    stored: _Stored
    values: Array

    @property
    def differing(self) -> int:
        return int(np.count_nonzero(self.values != self.wanted.values))

    @property
    def certain(self) -> bool:
        """Whether the constant is the module's tensor beyond doubt, though not all of its numbers are."""
        size, norm = self.wanted.values.size, float(np.linalg.norm(self.wanted.values))
        near = self.stored.recurrent and float(np.linalg.norm(self.values - self.wanted.values)) <= NEAR * norm
        return near or (size > 1 and self.differing <= MOSTLY * size)

    @property
    def change(self) -> ChangedWeight:
        wanted = self.wanted
        off = np.abs(self.values.astype(np.float64) - wanted.values)
        place = [int(number) for number in np.unravel_index(int(off.argmax()), off.shape)]
        if wanted.rows:
            place[0] = wanted.rows[place[0]]
        size, worst = wanted.values.size, float(off.max())
        return ChangedWeight(wanted.name, self.stored.name, self.differing, size, worst, tuple(place))


def _nearest(tensor: _Wanted, stored: list[_Stored]) -> _Likeness | None:
    found = [_Likeness(tensor, one, values) for one in stored for values in _layouts(one.values, tensor.values.shape)]
    return min(found, key=lambda likeness: likeness.differing, default=None)


def _layouts(values: Array, shape: tuple[int, ...]) -> list[Array]:
    """The numbers in that shape: with further axes of 1, and transposed as MatMul wants it."""
    own, wanted = (tuple(size for size in each if size != 1) for each in (values.shape, shape))
    straight = [values.reshape(shape)] if own == wanted else []
    turned = [values.squeeze().T.reshape(shape)] if len(own) > 1 and own == wanted[::-1] else []
    return straight + turned


def _does_nothing(values: Array) -> bool:
    """An offset of 0 or a scale of 1, which an optimiser drops."""
    return bool((values == 0).all() or (values == 1).all())


def _stored(proto: onnx.ModelProto) -> list[_Stored]:
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type == "Constant":
            constants.update((node.output[0], each.t) for each in node.attribute if each.name == "value")
    floats = {name: numpy_helper.to_array(t) for name, t in constants.items() if t.data_type == onnx.TensorProto.FLOAT}
    used = _read_by_outputs(proto)
    recurrent: dict[str, list[_Stored]] = {}
    for node in proto.graph.node:
        if node.op_type in RECURRENT_OPERATORS and used & set(node.output):
            for place, name in enumerate(node.input):
                if place in (1, 2, 3) and name in floats:
                    recurrent[name] = list(_directions(name, floats[name], bias=place == 3))
    # What no node reads is no weight of the graph, whatever it holds.
    others = [_Stored(name, values) for name, values in floats.items() if name in used - recurrent.keys()]
    return [*(one for found in recurrent.values() for one in found), *others]


def _read_by_outputs(proto: onnx.ModelProto) -> set[str]:
    """Names of the tensors on which an output depends: a copy that nothing comes of proves nothing."""
    wanted = {value.name for value in proto.graph.output}
    for node in reversed(proto.graph.node):  # a graph's nodes stand in the order of computation
        if wanted & set(node.output):
            wanted |= set(node.input)
    return wanted


def _directions(name: str, values: Array, *, bias: bool) -> Iterator[_Stored]:
    """W or R of each direction; of a bias what is added beside the input and beside the state."""
    for direction in values:
        halves = np.split(direction, 2) if bias else [direction]
        yield from (_Stored(name, half, recurrent=True) for half in halves)


def _wanted(module: nn.Module) -> Iterator[_Wanted]:
    recurrent: set[str] = set()
    for path, layer in module.named_modules(remove_duplicate=True):
        if isinstance(layer, nn.RNNBase):
            recurrent |= {f"{path}.{name}" if path else name for name, _ in layer.named_parameters(recurse=False)}
            yield from (_in_gate_order(path, name, weight, layer) for name, weight in layer.named_parameters())
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if name not in recurrent and tensor.is_floating_point() and tensor.numel():
            yield _Wanted(_short(name), tensor.detach().numpy())


def _in_gate_order(path: str, name: str, weight: Tensor, layer: nn.RNNBase) -> _Wanted:
    gates = weight.shape[0] // layer.hidden_size
    if gates not in ONNX_GATES:  # a projection of the state, which ONNX's operators do not have
        return _Wanted(_short(f"{path}.{name}"), weight.detach().numpy())
    rows = np.concatenate([np.arange(layer.hidden_size) + gate * layer.hidden_size for gate in ONNX_GATES[gates]])
    return _Wanted(_short(f"{path}.{name}"), weight.detach().numpy()[rows], tuple(map(int, rows)))


def _short(name: str) -> str:
    """Without the wrappers through which a graph's module is called."""
    while name.startswith(("module.", "model.")):
        name = name.split(".", 1)[1]
    return name
