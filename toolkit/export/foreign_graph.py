"""Somebody else's module as a graph: how it is called, what it gives, and which sizes it takes, found by running it."""

import contextlib
import dataclasses
import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo import OptimizedModule

from toolkit.contract.graph_io import Axis, GraphSignature, SizeLimits, TensorSpec
from toolkit.errors import ConfigError, ModelError, ToolkitError
from toolkit.export.foreign import refuse_unstorable
from toolkit.export.graphs import example_sizes
from toolkit.export.lowering import refuse_projections
from toolkit.export.refusals import CELLS
from toolkit.export.repeatability import refuse_unrepeatable
from toolkit.export.run_failures import run_failure
from toolkit.model.torch_graph import TorchGraph

LONGER = (61, 127, 251, 509, 1021)
"""Samples that a module is tried on where the example's are too few for it; primes, so that one that takes the
multiples of some number alone is told so."""

GROWTH = (2, 3, 5, 7, 11, 13, 17, 19, 23)

Sizes = Mapping[str, int]


def foreign_graph(
    module: nn.Module,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[str] = (),
    states: Mapping[str, str] | None = None,
    *,
    window_length: int = 60,
) -> TorchGraph:
    """Describes a module so that it can be exported and checked.

    Args:
        module: in float32 on the CPU; called with the inputs in their order, or with the states among them in one
            tuple at the end, as `nn.LSTM` is; gives a tensor, or tensors in tuples, lists, dictionaries or
            dataclasses. It is put into evaluation mode and used, not copied.
        inputs: names and axes; an axis with a name may have any size.
        outputs: names, in the order in which the module gives them; default `y`, or `y0`, `y1`, ...
        states: for each input that is a state, the output to be fed back into it.
        window_length: samples of an ordinary input.

    Returns:
        A streaming graph where there are states, else a windowed one.

    Raises:
        ModelError: the module cannot be stored, does not run on such inputs, or gives something else than float32
            tensors.
        ConfigError: names that do not fit.
    """
    states = dict(states or {})
    _check_names([tensor.name for tensor in inputs], "--input")
    data = [tensor for tensor in inputs if tensor.name not in states]
    if not data:
        raise ConfigError("--state", got="every input", allowed="at least one input that is no state")
    bare = GraphSignature(tuple(inputs), (), states)
    module = module._orig_mod if isinstance(module, OptimizedModule) else module  # what torch.compile was given
    refuse_unstorable(module)
    refuse_projections(module)
    _check_weights(module)
    called, sizes = _callable(module.eval(), bare)
    refuse_unrepeatable(module, lambda: run_once(called, bare, sizes))
    graph = TorchGraph("streaming" if states else "windowed", called, bare, window_length=window_length)
    limits = SizeLimits(_smallest(graph, sizes))
    graph = TorchGraph(graph.name, called, bare, limits=limits, window_length=window_length)
    specs = _outputs(graph, outputs)
    _check_states(states, bare, specs)
    tensors = GraphSignature(tuple(inputs), specs, states)
    return TorchGraph(graph.name, called, tensors, limits=limits, window_length=window_length)


def refuse_loops(graph: TorchGraph) -> None:
    """Refuses a module with a layer that is called as often as an axis is long: a trace holds the example's steps.

    The export refuses it too, but only once each of the steps is traced, which takes ten seconds.

    Raises:
        ModelError: names the layer.
    """
    layers = {name: layer for name, layer in graph.module.named_modules() if not list(layer.children())}
    counts = [_calls(graph, layers, example_sizes(graph, which)) for which in (0, 1)]
    # Of one call and none a branch may be the reason.
    found = next((name for name in layers if 1 < counts[0][name] != counts[1][name] > 1), None)
    if found is not None:
        layer = type(layers[found]).__name__
        whole = f"use nn.{layer.removesuffix('Cell')}, whose operator takes any length"
        raise ModelError(
            f"a Python loop over {layer} runs as often as an axis of the inputs is long, which no graph can",
            got=f"{counts[0][found]} and {counts[1][found]} calls of {found.removeprefix('module.')}",
            fix=f"{whole if isinstance(layers[found], CELLS) else 'call it once on the whole'}, or write the size of "
            "that axis in --input",
        )


def _calls(graph: TorchGraph, layers: Mapping[str, nn.Module], sizes: Sizes) -> Counter[str]:
    count: Counter[str] = Counter()
    hooks = [
        layer.register_forward_pre_hook(lambda *_, name=name: count.update([name])) for name, layer in layers.items()
    ]
    try:
        run_once(graph.module, graph.tensors, sizes)
    finally:
        for hook in hooks:
            hook.remove()
    return count


class CalledWithStates(nn.Module):
    """A module that takes its states in one tuple: `module(x, (h0, c0))`."""

    def __init__(self, module: nn.Module, states: Sequence[int]) -> None:
        super().__init__()
        self.module, self.states = module, tuple(states)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The graph's inputs in their order."""
        given = tuple(tensors[place] for place in self.states)
        rest = [tensor for place, tensor in enumerate(tensors) if place not in self.states]
        return tuple(_leaves(self.module(*rest, given)))


class CalledFlat(nn.Module):
    """A module that takes tensors one by one; what it gives is flattened."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The graph's inputs in their order."""
        return tuple(_leaves(self.module(*tensors)))


def _leaves(result: Any) -> Iterator[Tensor]:
    """The tensors of what a module gave, in the order in which it gave them."""
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, (tuple, list)) and type(result).__name__ != "PackedSequence":
        yield from itertools.chain.from_iterable(map(_leaves, result))
    elif isinstance(result, Mapping):
        yield from itertools.chain.from_iterable(map(_leaves, result.values()))
    elif dataclasses.is_dataclass(result) and not isinstance(result, type):
        yield from _leaves([getattr(result, each.name) for each in dataclasses.fields(result)])
    elif result is not None:
        allowed = "tensors, or tuples, lists, dictionaries and dataclasses of tensors"
        raise ModelError("the module gives something that no graph can", got=type(result).__name__, allowed=allowed)


def _check_weights(module: nn.Module) -> None:
    """Refuses weights that no float32 graph on a CPU can be compared with."""
    for name, tensor in itertools.chain(module.named_parameters(), module.named_buffers()):
        if tensor.is_meta:
            raise ModelError(
                f"the module's {name!r} has no numbers: it lies on the device meta", fix="give its weights"
            )
        if tensor.device.type != "cpu":
            raise ModelError(f"the module's {name!r} lies on {tensor.device}", allowed="cpu", fix="module.cpu()")
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise ModelError(
                f"the module's {name!r} is of another type",
                got=_type_name(tensor),
                allowed="float32",
                fix="module.float()",
            )


def _callable(module: nn.Module, tensors: GraphSignature) -> tuple[nn.Module, Sizes]:
    """The module in the form in which it runs on these inputs, and sizes on which it does."""
    names = [tensor.name for tensor in tensors.inputs]
    forms: list[nn.Module] = [CalledFlat(module)]
    if len(tensors.states) > 1:
        forms.append(CalledWithStates(module, [names.index(name) for name in names if name in tensors.states]))
    example = example_sizes(TorchGraph("windowed", module, tensors))
    axis = tensors.sequence_axis
    problems: list[ModelError] = []
    for sizes in (example, *({**example, axis: longer} for longer in LONGER if axis is not None)):
        for form in forms:
            try:
                results = run_once(form, tensors, sizes)
            except ModelError as error:
                problems.append(error)
                continue
            _check_results(results)
            return form, sizes
    # A form that does not fit the call ends in a TypeError, which hides what is wrong with the other.
    own = (problem for problem in problems[: len(forms)] if not isinstance(problem.__cause__, TypeError))
    raise next(own, problems[len(forms) - 1])


def run_once(
    module: nn.Module, tensors: GraphSignature, sizes: Sizes, *, only: tuple[str, int] | None = None
) -> tuple[Tensor, ...]:
    """Runs a module on standard normal inputs of these sizes; `only` one slice of an axis.

    Raises:
        ModelError: whatever it raises, in words.
    """
    generator = torch.Generator().manual_seed(0)
    shapes = [[sizes[axis] if isinstance(axis, str) else axis for axis in tensor.axes] for tensor in tensors.inputs]
    examples = [torch.randn(shape, generator=generator) for shape in shapes]
    if only is not None:
        axis, number = only
        examples = [
            example.narrow(tensor.axes.index(axis), number, 1) if axis in tensor.axes else example
            for tensor, example in zip(tensors.inputs, examples, strict=True)
        ]
    try:
        with torch.no_grad():
            results: tuple[Tensor, ...] = module(*examples)
    except ToolkitError:
        raise
    except (Exception, SystemExit) as error:  # whatever somebody else's module raises
        raise run_failure(error, tensors.inputs, shapes) from error
    return results


def _check_results(results: tuple[Tensor, ...]) -> None:
    if not results:
        raise ModelError("the module gives no tensor")
    wrong = next((tensor for tensor in results if tensor.dtype != torch.float32), None)
    if wrong is not None:
        raise ModelError("the module gives a tensor of another type", got=_type_name(wrong), allowed="float32")


def _type_name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _smallest(graph: TorchGraph, sizes: Sizes) -> dict[str, int]:
    """The smallest size of each axis on which the module runs, the others as given; 1 is left out.

    A standard deviation of one sample is no number, and what is left of a short window may be nothing: where the answer
    at the given sizes is sound, a size whose answer is not is too small.
    """
    sound = _is_sound(run_once(graph.module, graph.tensors, sizes))
    found: dict[str, int] = {}
    for axis, size in sizes.items():
        for least in range(1, size + 1):
            try:
                results = run_once(graph.module, graph.tensors, {**sizes, axis: least})
            except ModelError:
                continue
            if sound and not _is_sound(results):
                continue
            if least > 1:
                found[axis] = least
            break
    return found


def _is_sound(results: Iterable[Tensor]) -> bool:
    return all(tensor.numel() > 0 and bool(torch.isfinite(tensor).all()) for tensor in results)


def _outputs(graph: TorchGraph, outputs: Sequence[str]) -> tuple[TensorSpec, ...]:
    """Names and axes of what the module gives, seen in runs of three sizes, and of a fourth where it takes that."""
    first = example_sizes(graph)
    # Each axis grows by another amount, so that an output's axis tells which one it follows.
    growth = itertools.chain(GROWTH, itertools.count(GROWTH[-1] + 2, 2))
    second = {axis: size + more for (axis, size), more in zip(first.items(), growth, strict=False)}
    smallest = {axis: graph.limits.at_least(axis) for axis in first}
    sizes = [first, second, smallest]
    runs = [_shapes(graph, each) for each in sizes]
    if graph.tensors.sequence_axis is not None:
        far = {**first, graph.tensors.sequence_axis: max(LONGER)}
        with contextlib.suppress(ModelError):  # of an axis that has a largest size
            runs.append(_shapes(graph, far))
            sizes.append(far)  # `x[:, -300:]` is as long as the shorter ones
    if len({len(shapes) for shapes in runs}) > 1:
        raise ModelError("how many tensors the module gives depends on the sizes of the inputs")
    names = _output_names(outputs, len(runs[0]), graph.tensors.input_names)
    shapes = zip(*runs, strict=True)
    return tuple(TensorSpec(name, _axes(name, own, sizes)) for name, own in zip(names, shapes, strict=True))


def _shapes(graph: TorchGraph, sizes: Sizes) -> list[list[int]]:
    return [list(tensor.shape) for tensor in run_once(graph.module, graph.tensors, sizes)]


def _axes(name: str, shapes: Sequence[list[int]], sizes: Sequence[Sizes]) -> tuple[Axis, ...]:
    """What runs at different sizes show: a fixed size, an axis of the inputs, or one that follows from them."""
    if len({len(shape) for shape in shapes}) > 1:
        shown = " and ".join(f"{shape} at {dict(each)}" for shape, each in zip(shapes[1:], sizes[1:], strict=True))
        raise ModelError(
            f"the output {name} changes its number of axes with the sizes of the inputs",
            got=shown,
            fix="name the axis that is to go: squeeze(-1) in place of squeeze()",
        )
    return tuple(_axis(f"{name}_axis_{place}", found, sizes) for place, found in enumerate(zip(*shapes, strict=True)))


def _axis(otherwise: str, found: Sequence[int], sizes: Sequence[Sizes]) -> Axis:
    if len(set(found)) == 1:
        return found[0]
    for axis in sizes[0]:
        more = {size - each[axis] for size, each in zip(found, sizes, strict=True)}
        if len(more) == 1:
            (offset,) = more
            return f"{axis} {'+' if offset > 0 else '-'} {abs(offset)}" if offset else axis
    return otherwise


def _output_names(outputs: Sequence[str], count: int, taken: Collection[str]) -> list[str]:
    if not outputs:
        stem = next(stem for stem in ("y", "answer", "output_of_module") if not any(n.startswith(stem) for n in taken))
        return [stem] if count == 1 else [f"{stem}{number}" for number in range(count)]
    if len(outputs) != count:
        raise ConfigError(
            "--output", got=", ".join(outputs), allowed=f"{count} names: so many tensors the module gives"
        )
    _check_names(list(outputs), "--output")
    return list(outputs)


def _check_names(names: list[str], option: str) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if not names or twice:
        raise ConfigError(option, got=twice[0] if twice else "none", allowed="at least one, each name once")
    wrong = next((name for name in names if not name.isidentifier()), None)
    if wrong is not None:
        raise ConfigError(option, got=repr(wrong), allowed="a name of letters, digits and underscores")


def _check_states(states: Mapping[str, str], bare: GraphSignature, outputs: tuple[TensorSpec, ...]) -> None:
    """A state that is fed back must have the axes of the input that it is fed into."""
    found = {tensor.name: tensor.axes for tensor in outputs}
    for given, new in states.items():
        if new not in found:
            raise ConfigError("--state", got=f"{given}={new}", allowed=f"one of the outputs {', '.join(found)}")
        axes = bare.input(given).axes
        if found[new] != axes:
            raise ModelError(
                f"the state {given}={new} cannot be fed back", got=_shown(found[new]), allowed=_shown(axes)
            )
    if len(found) == len(states):
        raise ConfigError("--state", got="every output", allowed="at least one output that is no state")
    clash = next((name for name in found if name in {tensor.name for tensor in bare.inputs}), None)
    if clash is not None:
        raise ConfigError("--output", got=clash, allowed="another name than the inputs have")


def _shown(axes: Sequence[Axis]) -> str:
    return f"[{', '.join(map(str, axes))}]"
