"""Sizes at which a module's Python code goes another way than the example that is traced.

A trace holds one way through `if x.shape[1] > 300`, and a grid of ordinary shapes may lie on that side of it alone.
torch knows the condition: traced with every axis free (`Dim.AUTO`), it notes what it had to assume of the sizes. Each
assumption is turned round: sizes that break it are looked for, the module is traced there too (its other way may hold
further assumptions), and parity compares module and graph at each of them. An assumption that changes nothing, such as
that a tensor is contiguous, costs a case and no alarm.
"""

import dataclasses
import functools
import math
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from toolkit.contract.graph_io import GraphSignature, SizeLimits
from toolkit.contract.model_spec import LARGEST
from toolkit.errors import ModelError
from toolkit.export.foreign_graph import run_once
from toolkit.export.graphs import AsGraph, example_of, example_sizes, without_torch_noise, without_validation
from toolkit.export.lowering import lower
from toolkit.model.torch_graph import TorchGraph, Turn

MOST_TURNS = 16
EVERY_SIZE = 1_100
"""Up to here every size is tried against an assumption, which costs arithmetic alone."""

MOST_SIZE = 6_000
"""Of an axis that a module is run at: beyond the 5,000 positions of the usual table."""

LEAST_NUMBER, MOST_NUMBER, MOST_HINTS = 6, 3_000, 6
"""Of numbers near which sizes are tried: smaller ones are in every grid."""

MOST_NUMBERS = 1 << 20
"""In one input."""

MIXED = 1e-3
"""Of the largest answer: by how much a series' answer may change with its company before that is no rounding."""

_SIZE = re.compile(r"L\['tensors'\]\[(\d+)\]\.size\(\)\[(\d+)\]")
_FUNCTIONS = {"torch": torch, "math": math, "min": min, "max": max, "abs": abs, "int": int, "round": round}

Sizes = dict[str, int]


def probed(graph: TorchGraph) -> TorchGraph:
    """The same graph, with what its module's code makes of sizes and of series that share a call.

    Raises:
        ModelError: the module fails at some size between others that it takes.
    """
    search = _Search(graph)
    search.run()
    limits = SizeLimits(graph.limits.least, search.most)
    turns = (*search.turns, *near_numbers(graph, search.numbers))
    kept = tuple(turn for turn in turns if _within(turn.sizes, limits))
    return dataclasses.replace(graph, limits=limits, turns=kept, mixes_series=_mixes_series(graph), blind=search.blind)


def near_numbers(graph: TorchGraph, numbers: Iterable[int]) -> Iterator[Turn]:
    """Sizes at and beyond numbers that code or a graph holds: what they decide shows there, if anywhere.

    Args:
        graph: whose axes.
        numbers: found somewhere; those that an ordinary grid has passed are left out.
    """
    small = {axis: graph.limits.clipped(axis, 2) for axis in graph.tensors.symbolic_axes}
    telling = sorted({number for number in numbers if LEAST_NUMBER <= number <= MOST_NUMBER})[:MOST_HINTS]
    for number in telling:
        for axis in graph.tensors.symbolic_axes:
            for size in (number, number + 1, 2 * number):
                sizes = {**small, axis: size}
                if _numbers(graph, sizes) <= MOST_NUMBERS and _within(sizes, graph.limits):
                    yield Turn("", sizes)


@dataclass(frozen=True)
class _Assumption:
    """What torch assumed of the sizes: Python text over `axis_0`, `axis_1`, ..., the symbolic axes in their order."""

    text: str
    axes: tuple[str, ...]

    @property
    def words(self) -> str:
        """In the names of the axes."""
        return re.sub(r"\baxis_(\d+)\b", lambda match: self.axes[int(match[1])], self.text)

    @property
    def own_axes(self) -> list[str]:
        """The axes that it is about."""
        return [axis for place, axis in enumerate(self.axes) if re.search(rf"\baxis_{place}\b", self.text)]

    def holds(self, sizes: Mapping[str, int]) -> bool:
        """Whether it does at these sizes; one that cannot be computed is taken to hold."""
        values = {f"axis_{place}": sizes[axis] for place, axis in enumerate(self.axes)}
        try:
            # torch wrote the text, about a module whose own code has been run by now.
            return bool(eval(_compiled(self.text), {"__builtins__": {}, **_FUNCTIONS}, values))
        except (ArithmeticError, AttributeError, NameError, SyntaxError, TypeError, ValueError):
            return True

    def tries(self) -> list[int]:
        """Sizes to try: all ordinary ones, those around its own numbers, and larger and larger ones."""
        own = [int(number) + more for number in re.findall(r"\b\d+\b", self.text) for more in (-1, 0, 1)]
        powers = [part << power for power in range(5, 20) for part in (2, 3)]
        return sorted({size for size in (*range(1, EVERY_SIZE), *own, *powers) if 1 <= size <= LARGEST})


@functools.cache
def _compiled(text: str) -> types.CodeType:
    return compile(text, "<torch's assumption>", "eval")


@dataclass
class _Search:
    """Looks for sizes on the other side of every assumption, and of those that are met there.

    Assumptions come in the order of the code. What breaks one is looked for where all before it hold, so that in
    `n > 250 and n % 50 == 0` the second is tried where the first is true.

    Attributes:
        graph: of the module.
        turns: found so far.
        most: the largest size of an axis that the module takes, or on which its way could be tried.
        numbers: that the code computes with sizes.
        blind: why branches may have been missed, or "".
    """

    graph: TorchGraph
    turns: list[Turn] = field(default_factory=list)
    most: Sizes = field(default_factory=dict)
    numbers: tuple[int, ...] = ()
    blind: str = ""

    def run(self) -> None:
        lowered = lower(AsGraph(self.graph.module))
        looked_at = [example_sizes(self.graph)]
        for sizes in looked_at:  # it grows on the way
            trace = _traced(lowered, self.graph.tensors, sizes)
            self.numbers, self.blind = self.numbers or trace.numbers, self.blind or trace.blind
            if trace.blind:
                continue
            for place, assumption in enumerate(trace.assumptions):
                before = trace.assumptions[:place]
                if len(self.turns) == MOST_TURNS or any(_breaks(assumption, before, each) for each in looked_at):
                    continue
                other = self._beyond(assumption, before, sizes)
                if other is not None and self._runs(assumption, sizes, other):
                    self.turns.append(Turn(assumption.words, other))
                    looked_at.append(other)

    def _beyond(self, assumption: _Assumption, before: Sequence[_Assumption], sizes: Sizes) -> Sizes | None:
        """The smallest input that breaks it; where that is too large to run, the axis gets a largest size."""
        found = [one for one in self._candidates(assumption, sizes) if _breaks(assumption, before, one)]
        small = [one for one in found if self._fits(one)]
        if small:
            return min(small, key=functools.partial(_numbers, self.graph))
        for axis in assumption.own_axes:
            broken = [one[axis] for one in found if _differs_in(one, sizes) == {axis} and one[axis] > sizes[axis]]
            if broken:
                holding = self._last_holding(assumption, sizes, axis, min(broken))
                self.most[axis] = min(holding, self.most.get(axis, holding))
                break
        return None

    def _candidates(self, assumption: _Assumption, sizes: Sizes) -> Iterator[Sizes]:
        """Each of its axes at every size to try, the others as they are, and at their smallest two."""
        limits = self.graph.limits
        for axis in assumption.own_axes:
            others = [other for other in assumption.own_axes if other != axis]
            settings = [{}, *({other: limits.at_least(other) + n for other in others} for n in (0, 1) if others)]
            for size in assumption.tries():
                if limits.at_least(axis) <= size <= self.most.get(axis, LARGEST):
                    yield from ({**sizes, **setting, axis: size} for setting in settings)

    def _last_holding(self, assumption: _Assumption, sizes: Sizes, axis: str, broken: int) -> int:
        return _last(lambda size: assumption.holds({**sizes, axis: size}), sizes[axis], broken)

    def _fits(self, sizes: Sizes) -> bool:
        return max(sizes.values()) <= MOST_SIZE and _numbers(self.graph, sizes) <= MOST_NUMBERS

    def _runs(self, assumption: _Assumption, sizes: Sizes, other: Sizes) -> bool:
        """Whether the module takes these sizes; where it does not, they are beyond the largest of that axis."""
        if _takes(self.graph, other):
            return True
        larger = [axis for axis in other if other[axis] > sizes[axis]]
        if not larger or _differs_in(other, sizes) != {larger[0]}:
            raise ModelError(
                f"the module fails at {_shown(other)}, and takes smaller and larger ones",
                got=f"an assumption of its code: {assumption.words}",
                fix="write a size as a number in --input where it is one, or let the module take any",
            )
        axis = larger[0]
        most = _last(lambda size: _takes(self.graph, {**sizes, axis: size}), sizes[axis], other[axis])
        self.most[axis] = most
        self.turns.append(Turn(f"{axis} up to {most}", {**sizes, axis: most}))
        return False


def _breaks(assumption: _Assumption, before: Sequence[_Assumption], sizes: Sizes) -> bool:
    return not assumption.holds(sizes) and all(each.holds(sizes) for each in before)


def _differs_in(one: Sizes, other: Sizes) -> set[str]:
    return {axis for axis, size in one.items() if other[axis] != size}


def _shown(sizes: Sizes) -> str:
    return ", ".join(f"{axis} {size}" for axis, size in sizes.items())


def _numbers(graph: TorchGraph, sizes: Sizes) -> int:
    """How many numbers the largest input holds."""
    inputs = graph.tensors.inputs
    return max(math.prod(sizes[axis] if isinstance(axis, str) else axis for axis in t.axes) for t in inputs)


@dataclass(frozen=True)
class _Trace:
    """What torch assumed of the sizes, the numbers that code computes with them, and why some may be missed."""

    assumptions: list[_Assumption]
    numbers: tuple[int, ...] = ()
    blind: str = ""


def _traced(lowered: nn.Module, tensors: GraphSignature, sizes: Sizes) -> _Trace:
    """Traces an example of these sizes with every axis free."""
    free = tuple(
        {place: torch.export.Dim.AUTO for place, axis in enumerate(tensor.axes) if isinstance(axis, str)}
        for tensor in tensors.inputs
    )
    example = tuple(example_of(tensor, sizes) for tensor in tensors.inputs)
    with without_torch_noise(), without_validation(), torch.no_grad():
        try:
            program = torch.export.export(lowered, example, dynamic_shapes=(free,))
        except Exception:  # the export itself will say why
            return _Trace([], blind="torch cannot trace the module: its branches, on sizes or on numbers, are not seen")
    # A private name: torch turns the list into checks of its own, which an ONNX graph has no place for.
    texts: list[str] = getattr(program, "_guards_code", [])
    axes = tensors.symbolic_axes

    def numbered(match: re.Match[str]) -> str:
        axis = tensors.inputs[int(match[1])].axes[int(match[2])]
        return f"axis_{axes.index(axis)}" if isinstance(axis, str) else str(axis)

    found = [_Assumption(_SIZE.sub(numbered, text), axes) for text in dict.fromkeys(texts)]
    fixed = next(
        (axis for each in found for axis in axes if each.text == f"axis_{axes.index(axis)} == {sizes[axis]}"), ""
    )
    blind = (
        f"the module's code turns the size of {fixed} into a plain number: branches on it are not seen" if fixed else ""
    )
    return _Trace(found, _numbers_of_sizes(program), blind)


def _numbers_of_sizes(program: torch.export.ExportedProgram) -> tuple[int, ...]:
    """Whole numbers that meet a size: in arithmetic on it, or as the ends of a slice."""
    return tuple(
        abs(number)
        for node in program.graph.nodes
        if node.op == "call_function"
        and (
            isinstance(node.meta.get("val"), (torch.SymInt, torch.SymBool, torch.SymFloat))
            or "slice" in str(node.target)
        )
        for number in node.args
        if isinstance(number, int)
    )


def _takes(graph: TorchGraph, sizes: Sizes) -> bool:
    try:
        run_once(graph.module, graph.tensors, sizes)
    except ModelError:
        return False
    return True


def _last(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The largest size that holds, where `low` does and `high` does not."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _within(sizes: Sizes, limits: SizeLimits) -> bool:
    return all(limits.clipped(axis, size) == size for axis, size in sizes.items())


def _mixes_series(graph: TorchGraph) -> bool:
    """Whether the answer for one series depends on the others in its call: such a graph must not be given strangers."""
    batch = graph.tensors.batch_axis
    if batch is None or graph.limits.at_least(batch) > 1:
        return False
    sizes = example_sizes(graph)
    together = run_once(graph.module, graph.tensors, sizes)
    return any(_differs_alone(graph, batch, number, sizes, together) for number in (0, sizes[batch] - 1))


def _differs_alone(graph: TorchGraph, batch: str, number: int, sizes: Sizes, together: tuple[Tensor, ...]) -> bool:
    alone = run_once(graph.module, graph.tensors, sizes, only=(batch, number))
    for tensor, all_of_them, one in zip(graph.tensors.outputs, together, alone, strict=True):
        if batch in tensor.axes:
            own = all_of_them.narrow(tensor.axes.index(batch), number, 1)
            if own.shape != one.shape or not (own - one).abs().max() <= MIXED * all_of_them.abs().max():
                return True
    return False
