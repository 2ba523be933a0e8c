"""Replaces torch's recurrent modules by ONNX's own operators, on a copy of the module.

torch 2.13's exporter bakes the example's sequence length into every `nn.LSTM` after the first one that a process
exports, in silence. ONNX's LSTM, GRU and RNN are dynamic in both axes by definition, so a graph that calls them
has nothing to bake, however many exports a process makes. A lowered module exists to be traced: its recurrent
layers compute nothing when called.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from toolkit.contract.manifest import OPSET
from toolkit.errors import InputError, ModelError

# Blocks of rows in torch's weights, in the order in which ONNX wants them:
# torch has i, f, g, o for an LSTM and r, z, n for a GRU; ONNX has i, o, f, c and z, r, h.
GATE_ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}

State = Tensor | tuple[Tensor, Tensor]
Attributes = dict[str, int | float | str | bool | Sequence[int] | Sequence[float] | Sequence[str] | Sequence[bool]]


def lower(module: nn.Module) -> nn.Module:
    """A copy of `module` in evaluation mode whose recurrent layers are ONNX operators.

    Raises:
        ModelError: a layer that ONNX has no operator for (`proj_size > 0`).
    """
    refuse_projections(module)
    lowered = copy.deepcopy(module).eval()
    lowered = _replacement(lowered) or lowered
    replacements: dict[nn.Module, nn.Module | None] = {}
    # A layer that stands under two names is replaced under both, by one module.
    for name, child in list(lowered.named_modules(remove_duplicate=False)):
        if child not in replacements:
            replacements[child] = _replacement(child)
        found = replacements[child]
        if found is not None:
            parent, _, attribute = name.rpartition(".")
            setattr(lowered.get_submodule(parent), attribute, found)
    return lowered


class OnnxRecurrent(nn.RNNBase):
    """Stands for an `nn.LSTM`, `nn.GRU` or `nn.RNN` with the same call and the same result.

    It is one of that class, with all that the layer has: a module around it may ask `isinstance(self.rnn, nn.LSTM)`, or
    make a state like `self.rnn.weight_hh_l0`.

    Args:
        layer: the module whose weights are re-ordered into ONNX's; it is not changed.
    """

    def __init__(self, layer: nn.RNNBase) -> None:
        nn.Module.__init__(self)
        own = {name: dict(getattr(layer, name)) for name in ("_parameters", "_buffers", "_modules")}
        # Weights that are computed at each call (weight_norm and its like) become plain ones.
        for name in own["_modules"].pop("parametrizations", ()):
            own["_parameters"][name] = nn.Parameter(getattr(layer, name).detach())
        self.__dict__.update({**layer.__dict__, **own})
        self.operator = "RNN" if layer.mode.startswith("RNN") else layer.mode
        self.attributes = _attributes(layer)
        self.directions = 2 if layer.bidirectional else 1
        for number in range(layer.num_layers):
            for name, tensor in _onnx_weights(layer, number, self.operator).items():
                self.register_buffer(f"{name}_l{number}", tensor)
        self.eval()

    def forward(self, input: Tensor, hx: State | None = None) -> tuple[Tensor, State]:  # noqa: A002 - torch's own name
        """As the replaced module: every step's output and the last state."""
        x = input
        if not isinstance(x, Tensor):
            raise ModelError(
                f"{self.operator}: a packed sequence cannot be exported: how long each series is depends on the data",
                got=type(x).__name__,
                allowed="a tensor of three axes",
                fix="call it on the padded tensor; where series end early, pad at their start",
            )
        if x.dim() != 3:
            raise InputError(
                f"{self.operator}: only a tensor of three axes can be exported",
                got=f"{x.dim()} axes",
                fix="give a batch axis",
            )
        x = x.transpose(0, 1) if self.batch_first else x  # [sequence, batch, input_size]
        given = self._split(hx)
        last: list[list[Tensor]] = []
        for number in range(self.num_layers):
            x, *states = self._layer(x, number, [tensors[number] for tensors in given])
            last.append(states)
        hidden = x.transpose(0, 1) if self.batch_first else x
        stacked = [_stack(tensors) for tensors in zip(*last, strict=True)]
        return hidden, (stacked[0], stacked[1]) if self.operator == "LSTM" else stacked[0]

    def flatten_parameters(self) -> None:
        """Nothing: many modules call it before their layer, for CUDA's sake."""

    def _split(self, state: State | None) -> list[Sequence[Tensor]]:
        """The given state's tensors, each cut into one `[directions, batch, hidden_size]` for each layer."""
        if state is None:
            return []
        tensors = [state] if isinstance(state, Tensor) else list(state)
        if self.num_layers == 1:
            return [[tensor] for tensor in tensors]
        return [torch.split(tensor, self.directions) for tensor in tensors]

    def _layer(self, x: Tensor, number: int, state: list[Tensor]) -> list[Tensor]:
        """One ONNX operator: its output `[sequence, batch, directions x hidden_size]` and its last state."""
        weights = [getattr(self, f"{name}_l{number}") for name in ("W", "R", "B")]
        inputs = [x, *weights, *([None, *state] if state else [])]
        sequence, batch, _ = x.shape
        last_shape = (self.directions, batch, self.hidden_size)
        states = 2 if self.operator == "LSTM" else 1
        outputs = torch.onnx.ops.symbolic_multi_out(
            self.operator,
            inputs,
            self.attributes,
            dtypes=(x.dtype,) * (states + 1),
            shapes=[(sequence, self.directions, batch, self.hidden_size), *[last_shape] * states],
            version=OPSET,
        )
        return [self._merge(outputs[0]), *outputs[1:]]

    def _merge(self, y: Tensor) -> Tensor:
        """`[sequence, directions, batch, hidden_size]` to `[sequence, batch, directions x hidden_size]`."""
        if self.directions == 1:
            return y.squeeze(1)
        y = y.transpose(1, 2)  # [sequence, batch, directions, hidden_size]
        return _reshape(y, [0, 0, -1], [*y.shape[:2], self.directions * self.hidden_size])


class OnnxLSTM(OnnxRecurrent, nn.LSTM):  # type: ignore[misc] # torch's own forward has overloads
    """An `nn.LSTM` as ONNX's operator."""


class OnnxGRU(OnnxRecurrent, nn.GRU):  # type: ignore[misc] # as above
    """An `nn.GRU` as ONNX's operator."""


class OnnxRNN(OnnxRecurrent, nn.RNN):  # type: ignore[misc] # as above
    """An `nn.RNN` as ONNX's operator."""


KINDS: dict[type[nn.RNNBase], type[OnnxRecurrent]] = {nn.LSTM: OnnxLSTM, nn.GRU: OnnxGRU, nn.RNN: OnnxRNN}


class OnnxUnflatten(nn.Module):
    """Stands for an `nn.Unflatten` of the last axis.

    ONNX's Reshape copies an axis where it finds a 0, so that no chain of Shape, Gather and Concat is needed.
    """

    def __init__(self, layer: nn.Unflatten) -> None:
        super().__init__()
        self.sizes = [int(size) for size in layer.unflattened_size]

    def forward(self, x: Tensor) -> Tensor:
        """`[..., n]` to `[..., *sizes]`."""
        return _reshape(x, [0] * (x.dim() - 1) + self.sizes, [*x.shape[:-1], *self.sizes])


class FlatMaxPool(nn.Module):
    """Stands for an `nn.MaxPool1d`: the same over an image of one row.

    torch 2.13's exporter bakes the length of what a one-dimensional maximum takes, and leaves this one's free.
    """

    def __init__(self, layer: nn.MaxPool1d) -> None:
        super().__init__()
        sizes = zip((1, 1, 0, 1), (layer.kernel_size, layer.stride, layer.padding, layer.dilation), strict=True)
        kernel, stride, padding, dilation = (
            (row, int(size[0] if isinstance(size, Sequence) else size)) for row, size in sizes
        )
        self.pool = nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=layer.ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., channels, n]` to `[..., channels, fewer]`."""
        pooled: Tensor = self.pool(x.unsqueeze(-2)).squeeze(-2)  # [..., channels, 1, n]
        return pooled


def _replacement(layer: nn.Module) -> nn.Module | None:
    kind = _kind(layer)
    if kind is not None:
        assert isinstance(layer, nn.RNNBase)  # for the type checker
        return _class_for(layer, kind)(layer)
    if type(layer) is nn.Unflatten and layer.dim == -1 and all(isinstance(n, int) for n in layer.unflattened_size):
        return OnnxUnflatten(layer)
    if type(layer) is nn.MaxPool1d and not layer.return_indices:
        return FlatMaxPool(layer)
    return None


def is_lowered(layer: nn.Module) -> bool:
    """Whether `lower` makes an ONNX operator of it: a subclass too, and a layer with parametrised weights.

    A subclass whose own forward does not call `super().forward` goes through torch's exporter in spite of it.
    """
    return _kind(layer) is not None


def _kind(layer: nn.Module) -> type[nn.RNNBase] | None:
    own = isinstance(layer, OnnxRecurrent)  # it is one already
    return None if own else next((kind for kind in KINDS if isinstance(layer, kind)), None)


def _class_for(layer: nn.RNNBase, kind: type[nn.RNNBase]) -> type[OnnxRecurrent]:
    """The operator; for a subclass with a forward of its own that class, to whose `super()` the operator is next."""
    base = KINDS[kind]
    if type(layer).forward is kind.forward:
        return base
    # Its own __init__ wants arguments that nobody knows any more.
    own = type_before_parametrizations(layer)
    return type(own.__name__, (own, base), {"__init__": base.__init__})


def refuse_projections(module: nn.Module) -> None:
    """Refuses a module with a layer that ONNX has no operator for.

    Raises:
        ModelError: names the layer.
    """
    for name, layer in module.named_modules():
        if isinstance(layer, nn.RNNBase) and layer.proj_size:
            raise ModelError(
                f"an LSTM with a projection cannot be exported{f': {name}' if name else ''}",
                got=f"proj_size={layer.proj_size}",
                allowed="proj_size=0: ONNX's LSTM has no projection",
                fix="put an nn.Linear behind the LSTM",
            )


def _attributes(layer: nn.RNNBase) -> Attributes:
    directions = 2 if layer.bidirectional else 1
    attributes: Attributes = {"hidden_size": layer.hidden_size}
    if directions == 2:
        attributes["direction"] = "bidirectional"
    if layer.mode == "GRU":
        attributes["linear_before_reset"] = 1  # torch multiplies by the reset gate after the matrix product
    if layer.mode == "RNN_RELU":
        attributes["activations"] = ["Relu"] * directions
    return attributes


def _onnx_weights(layer: nn.RNNBase, number: int, operator: str) -> dict[str, Tensor]:
    """W, R and B of one layer, both directions stacked, gates in ONNX's order."""
    suffixes = [f"_l{number}", f"_l{number}_reverse"][: 2 if layer.bidirectional else 1]
    reordered = _reordering(operator)
    return {
        "W": torch.stack([reordered(getattr(layer, f"weight_ih{suffix}")) for suffix in suffixes]),
        "R": torch.stack([reordered(getattr(layer, f"weight_hh{suffix}")) for suffix in suffixes]),
        "B": torch.stack([_biases(layer, suffix, reordered) for suffix in suffixes]),
    }


def _reordering(operator: str) -> Callable[[Tensor], Tensor]:
    def reordered(tensor: Tensor) -> Tensor:
        blocks = tensor.detach().chunk(len(GATE_ORDER[operator]))
        return torch.cat([blocks[place] for place in GATE_ORDER[operator]])

    return reordered


def _biases(layer: nn.RNNBase, suffix: str, reordered: Callable[[Tensor], Tensor]) -> Tensor:
    """Input biases, then recurrent ones; zeros where the layer has none."""
    if not layer.bias:
        weight: Tensor = getattr(layer, f"weight_hh{suffix}")
        return weight.new_zeros(2 * weight.shape[0])
    return torch.cat([reordered(getattr(layer, f"{name}{suffix}")) for name in ("bias_ih", "bias_hh")])


def _stack(tensors: tuple[Tensor, ...]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def _reshape(x: Tensor, sizes: list[int], shape: Sequence[int | torch.SymInt]) -> Tensor:
    return torch.onnx.ops.symbolic("Reshape", [x, torch.tensor(sizes)], dtype=x.dtype, shape=shape, version=OPSET)
