"""The torch side of a parting: every value that a module computes on its way from its inputs to its answers.

Whatever torch function is called is seen, also where a module scales or slices in its `forward`; hooks on sub-modules
would see only what goes in and out of them, and could not tell a wrong offset from a wrong scale. Recurrent modules
hide what happens between their layers, so each is run as a stack of single layers with the same weights.
"""

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from toolkit.errors import ModelError

Floats = NDArray[np.float64]

RECURRENT = (nn.LSTM, nn.GRU, nn.RNN)
RECURRENT_OUTPUTS = ("sequence", "hn", "cn")
RECURRENT_FUNCTIONS = ("lstm", "gru", "rnn_tanh", "rnn_relu")


@dataclass(frozen=True)
class RecurrentLayer:
    """One layer of a recurrent module, as it was called.

    Attributes:
        module: a module of that layer alone.
        states: what it started from, each `[directions, batch, hidden_size]`; empty for zeros.
    """

    module: nn.RNNBase
    states: tuple[Floats, ...]


@dataclass(frozen=True)
class Traced:
    """One value that a module computed.

    Attributes:
        module: who computed it: `head`, `lstm layer 1`, or `Forecaster: mul` for a function that a module calls.
        what: the function; for a recurrent layer `sequence`, `hn` or `cn`.
        values: None where they are no floats.
        parents: the steps that it was computed from, in the order of the function's arguments.
        number: which call of that module this was, from 1.
        rounding: how far the same step in float32 is away; None where that is not known.
        without_bias: of a linear layer that has a bias.
        layer: of a recurrent layer.
    """

    module: str
    what: str
    values: Floats | None
    parents: tuple[int, ...] = ()
    number: int = 1
    rounding: Floats | None = None
    without_bias: Floats | None = None
    layer: RecurrentLayer | None = None


@dataclass(frozen=True)
class ModuleTrace:
    """What a module did with its inputs.

    Attributes:
        steps: in the order of the calls, the inputs first.
        answers: what it returned, flattened.
        answered_by: for each answer the step that it is; None where its way could not be followed.
    """

    steps: tuple[Traced, ...]
    answers: tuple[Floats, ...]
    answered_by: tuple[int | None, ...]


def trace_module(module: nn.Module, inputs: Sequence[NDArray[Any]]) -> ModuleTrace:
    """Runs copies of a module in float64 and in float32 and records every step.

    The float32 run tells how much rounding each step may show. A module that fixes float32 somewhere in its code
    cannot be run in float64; then its float32 values have to do, and no rounding is known.

    Args:
        module: it is copied, not changed.
        inputs: in the order in which the module takes them.

    Raises:
        ModelError: the module itself raises on these inputs.
    """
    single = _run(module, inputs, torch.float32)
    try:
        exact = _run(module, inputs, torch.float64)
    except ModelError:
        return single
    return _with_rounding(exact, single)


def _with_rounding(exact: ModuleTrace, single: ModuleTrace) -> ModuleTrace:
    if [(step.module, step.what) for step in exact.steps] != [(step.module, step.what) for step in single.steps]:
        return exact
    pairs = zip(exact.steps, single.steps, strict=True)
    return replace(exact, steps=tuple(replace(step, rounding=_distance(step, other)) for step, other in pairs))


def _distance(exact: Traced, single: Traced) -> Floats | None:
    if exact.values is None or single.values is None or exact.values.shape != single.values.shape:
        return None
    with np.errstate(invalid="ignore"):  # infinity on both sides
        return np.abs(exact.values - single.values)


def _run(module: nn.Module, inputs: Sequence[NDArray[Any]], dtype: torch.dtype) -> ModuleTrace:
    copied = copy.deepcopy(module).cpu().to(dtype).eval()
    recorder = _Recorder()
    _observe(copied, recorder)
    tensors = [torch.tensor(array) for array in inputs]
    tensors = [tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in tensors]
    for number, tensor in enumerate(tensors):
        recorder.keep(tensor, Traced(f"input {number}", "input", _array(tensor)))
    with default_dtype(dtype), torch.no_grad(), _as_model_error(), recorder:
        returned = copied(*tensors)
    answers = list(_tensors(returned))
    found = tuple(recorder.step_of(tensor) for tensor in answers)
    return ModuleTrace(tuple(recorder.steps), tuple(tensor.double().numpy() for tensor in answers), found)


@contextlib.contextmanager
def _as_model_error() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the module's own code
        raise ModelError("the module raises on these inputs", got=f"{type(error).__name__}: {error}") from error


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Many modules make their first state with `torch.zeros(...)`, which has to have the weights' type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@dataclass
class _Place:
    """The module that is running."""

    module: str
    functions_told: bool
    number: int = 1
    layer: nn.RNNBase | None = None
    states: tuple[Tensor, ...] = ()


@dataclass
class _Recorder(TorchFunctionMode):
    """Sees every torch function that is called while it is entered.

    Values that do not come from the inputs (weights, zeros, masks) are not steps.
    """

    steps: list[Traced] = field(default_factory=list)
    places: list[_Place] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    _owners: dict[int, int] = field(default_factory=dict)
    _alive: list[Tensor] = field(default_factory=list)  # an id is somebody else's once its tensor is gone

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Calls `func` and keeps the tensors that it gives."""
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "function").strip("_")
        given = [*_tensors(args), *_tensors(kwargs or {})]
        parents = tuple(dict.fromkeys(step for tensor in given if (step := self.step_of(tensor)) is not None))
        made = list(_tensors(args[0] if name == "setitem" else result))
        if parents and made:
            self._record(name, made, parents, args)
        return result

    def step_of(self, tensor: Tensor) -> int | None:
        """The step that a tensor is."""
        return self._owners.get(id(tensor))

    def keep(self, tensor: Tensor, step: Traced) -> None:
        """Adds a step and remembers its tensor."""
        self._owners[id(tensor)] = len(self.steps)
        self._alive.append(tensor)
        self.steps.append(step)

    def enter(self, module: str, functions_told: bool) -> None:
        """A module begins."""
        self.calls[module] = self.calls.get(module, 0) + 1
        self.places.append(_Place(module, functions_told, self.calls[module]))

    def _record(self, name: str, made: list[Tensor], parents: tuple[int, ...], args: tuple[Any, ...]) -> None:
        place = self.places[-1]
        layer = _as_called(place) if name in RECURRENT_FUNCTIONS else None
        for number, tensor in enumerate(made):
            what = RECURRENT_OUTPUTS[number] if layer else name
            module = f"{place.module}: {name}" if place.functions_told else place.module
            step = Traced(module, what, _array(tensor), parents, place.number, layer=layer)
            if layer and what == "sequence" and layer.module.bidirectional and step.values is not None:
                # [..., 2 x hidden_size] as ONNX's operators give it, the directions apart
                split = step.values.reshape(*step.values.shape[:-1], 2, -1)
                self.keep(tensor, replace(step, values=split))
                step = replace(step, parents=(len(self.steps) - 1,), layer=None)
            if name == "linear":
                step = replace(step, without_bias=_without_bias(*args))
            self.keep(tensor, step)


def _as_called(place: _Place) -> RecurrentLayer | None:
    if place.layer is None:
        return None
    return RecurrentLayer(place.layer, tuple(array for state in place.states if (array := _array(state)) is not None))


def _without_bias(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Floats | None:
    return None if bias is None else _array(nn.functional.linear(x, weight))


def _array(tensor: Tensor) -> Floats | None:
    if not tensor.is_floating_point() or tensor.layout is not torch.strided:
        return None
    return np.array(tensor.detach().double().numpy())  # a copy: the tensor may be changed in place later


def _tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor within tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)


def _observe(module: nn.Module, recorder: _Recorder) -> None:
    """Lets every sub-module say when it runs, and replaces the recurrent ones by stacks."""
    for path, child in list(module.named_modules()):
        name = path or type(child).__name__
        if type(child) in RECURRENT and not getattr(child, "proj_size", 0):
            assert isinstance(child, nn.RNNBase)  # for the type checker
            child.__dict__["forward"] = _Stack(child, name, recorder)  # what others read of the module stays
        # A layer of torch's is told by its name alone; in code of the user's own the function says where.
        plain = type(child).__module__.startswith("torch.nn") and not any(child.children())
        child.register_forward_pre_hook(_entering(recorder, name, functions_told=not plain))
        child.register_forward_hook(_leaving(recorder))


def _entering(recorder: _Recorder, name: str, functions_told: bool) -> Any:
    return lambda module, args: recorder.enter(name, functions_told)


def _leaving(recorder: _Recorder) -> Any:
    def leave(module: nn.Module, args: Any, result: Any) -> None:
        recorder.places.pop()

    return leave


class _Stack:
    """The `forward` of a recurrent module, layer by layer."""

    def __init__(self, layer: nn.RNNBase, name: str, recorder: _Recorder) -> None:
        self._name, self._recorder = name, recorder
        self._layers = [_single_layer(layer, number) for number in range(layer.num_layers)]
        self._directions = 2 if layer.bidirectional else 1
        self._is_lstm = layer.mode == "LSTM"

    def __call__(self, input: Any, hx: Any = None) -> Any:  # noqa: A002  (torch's own name of the argument)
        x, given, lasts = input, list(_tensors(hx)), []
        for number, layer in enumerate(self._layers):
            x, last = self._run(number, layer, x, [self._part(tensor, number) for tensor in given])
            lasts.append(list(_tensors(last)))
        joined = [tensors[0] if len(tensors) == 1 else torch.cat(tensors) for tensors in zip(*lasts, strict=True)]
        return x, tuple(joined) if self._is_lstm else joined[0]

    def _part(self, state: Tensor, number: int) -> Tensor:
        """A layer's share of a state: `[directions, batch, hidden_size]`."""
        if len(self._layers) == 1:
            return state
        return state[number * self._directions : (number + 1) * self._directions]

    def _run(self, number: int, layer: nn.RNNBase, x: Any, states: list[Tensor]) -> Any:
        recorder = self._recorder
        recorder.enter(f"{self._name} layer {number}", functions_told=False)
        recorder.places[-1].layer, recorder.places[-1].states = layer, tuple(states)
        result = layer(x, (tuple(states) if self._is_lstm else states[0]) if states else None)
        recorder.places.pop()
        return result


def _single_layer(layer: nn.RNNBase, number: int) -> nn.RNNBase:
    """A module of one layer with the weights of layer `number`."""
    directions = 2 if layer.bidirectional else 1
    options: dict[str, Any] = {"bias": layer.bias, "batch_first": layer.batch_first}
    options |= {"bidirectional": layer.bidirectional, "dtype": layer.weight_ih_l0.dtype}
    if layer.mode.startswith("RNN"):
        options["nonlinearity"] = layer.mode.removeprefix("RNN_").lower()
    width = layer.input_size if number == 0 else directions * layer.hidden_size
    kind: Any = type(layer)
    single: nn.RNNBase = kind(width, layer.hidden_size, device="meta", **options)  # there no random number is drawn
    single.to_empty(device="cpu")
    with torch.no_grad():
        for name, weight in single.named_parameters():
            weight.copy_(getattr(layer, name.replace("_l0", f"_l{number}")))
    return single.eval()
