"""At which node of a graph its values first part from the module's.

Both sides are laid open: every value that torch computes, in the order of the calls, and every tensor of the graph.
A step of the module is found again in the graph by its values alone. The values part at the first step that the answer
depends on, that the graph does not hold, and from which nothing that the graph does hold was computed: what a graph
merely computes in another way (folded, fused, in another order) shows up again further down.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from toolkit.contract.graph_io import GraphSignature
from toolkit.contract.parity_reports import Parting
from toolkit.errors import ModelError
from toolkit.parity.alignment import agrees, aligned, allowed, distance, sizes
from toolkit.parity.graph_trace import GRAPH_INPUT, RECURRENT_OPERATORS, GraphTrace, NodeValue, trace_graph
from toolkit.parity.matching import Matching
from toolkit.parity.recurrent_causes import recurrent_cause
from toolkit.parity.torch_trace import Floats, ModuleTrace, Traced, trace_module

FAR_OFF = float("inf")
LINEAR = ("Gemm", "MatMul")
NOWHERE = (None, None, None)
"""No step, no series, no unit."""


def first_parting(
    module: nn.Module, tensors: GraphSignature, content: bytes, feed: Mapping[str, NDArray[Any]], tolerance: float
) -> Parting | None:
    """Compares a graph with its module from the inputs on.

    Batch, sequence and channels of the feed should have sizes that differ from each other and from the module's
    sizes: a tensor is known by its sizes and values, an axis by its size.

    Args:
        module: in evaluation mode or not, it is copied; its inputs are those of `tensors`, in that order.
        tensors: names and axes.
        content: the `.onnx` file, of whatever origin; float32, or the tolerance has to allow for its precision.
        feed: arrays by input.
        tolerance: how far any value may be away at least; where float32 itself is further off, that is allowed.

    Returns:
        None where nothing parts, or the module itself raises on these inputs. A difference is infinite where the sizes
        differ or the node does not run; the operator is empty where an answer comes straight from an input.

    Raises:
        BundleError: not an ONNX file.
    """
    try:
        torch_side = trace_module(module, [feed[tensor.name] for tensor in tensors.inputs])
    except ModelError:  # the caller has met it when it asked for the module's answer
        return None
    graph = trace_graph(content, feed)
    matching = Matching(torch_side.steps, graph, tolerance)
    comparison = _Comparison(matching, _answers(torch_side, graph, tensors), tensors, feed)
    found = comparison.first()
    if found is None and graph.refused:
        return Parting(graph.refused.split()[0], "", "the inputs", FAR_OFF, *NOWHERE, graph.refused)
    return found if found is None or found.cause else _with_loop_cause(found, comparison, module)


@dataclass(frozen=True)
class _Answer:
    """One output on both sides."""

    name: str
    exact: Floats
    got: NodeValue | None
    by: int | None
    rounding: Floats | None

    @property
    def as_step(self) -> Traced:
        """The answer as if a module had computed it."""
        return Traced(f"answer {self.name}", "answer", self.exact, rounding=self.rounding)


def _answers(module: ModuleTrace, graph: GraphTrace, tensors: GraphSignature) -> tuple[_Answer, ...]:
    """The outputs by their names; by their order where the graph calls them otherwise."""
    given = [output.name for output in graph.proto.graph.output]
    wanted = [tensor.name for tensor in tensors.outputs]
    names = wanted if set(wanted) <= set(given) else given
    roundings = [None if by is None else module.steps[by].rounding for by in module.answered_by]
    rows = zip(names, module.answers, module.answered_by, roundings, strict=False)
    return tuple(_Answer(name, exact, graph.value(name), by, rounding) for name, exact, by, rounding in rows)


@dataclass(frozen=True)
class _Comparison:
    """A module and a graph on one feed."""

    matching: Matching
    answers: tuple[_Answer, ...]
    tensors: GraphSignature
    feed: Mapping[str, NDArray[Any]]

    @property
    def graph(self) -> GraphTrace:
        return self.matching.graph

    @property
    def steps(self) -> tuple[Traced, ...]:
        return self.matching.steps

    def size(self, axis: str | None) -> int | None:
        """The size that the feed gives to a symbolic axis."""
        for tensor in self.tensors.inputs:
            if axis in tensor.axes:
                return int(self.feed[tensor.name].shape[tensor.axes.index(axis)])
        return None

    def first(self) -> Parting | None:
        """Where the graph stops or parts."""
        wrong = [answer for answer in self.answers if not self.right(answer)]
        parted = self.matching.lost([answer.by for answer in wrong])
        if self.graph.failed is not None:
            return self._failure(parted)
        if not wrong:  # un-scaling hides what is wrong in its rounding; it may show further inside
            return self._inside(self.matching.lost([answer.by for answer in self.answers]))
        return self._inside(parted) or self._crossed(wrong) or self._elsewhere(parted) or self._at(wrong[0], "")

    def right(self, answer: _Answer, exact: Floats | None = None) -> bool:
        """Whether an output agrees with the module, in shape and axes as well."""
        exact = answer.exact if exact is None else exact
        if answer.got is None or answer.got.values.shape != exact.shape:
            return False
        rounding = answer.rounding if answer.rounding is not None and answer.rounding.shape == exact.shape else None
        limits = allowed(exact, rounding, self.matching.tolerance)
        return bool((distance(answer.got.values, exact) <= limits).all())

    def _inside(self, parted: Sequence[int]) -> Parting | None:
        """The first lost step that a node should have given."""
        for place in parted:
            step = self.steps[place]
            if step.without_bias is not None and (found := self._bias(step)) is not None:
                return found
            assert step.values is not None  # it is comparable
            if (value := self.matching.without_effect(place)) is not None:
                return self._parting(step, value)
            candidates = self.matching.candidates(place)
            candidates = [v for v in candidates if sizes(v.values) == sizes(step.values)]
            if step.layer is not None and (found := self._recurrent(place, candidates)) is not None:
                return found
            if candidates:
                before = self._before_linear(place, candidates[0])
                return before or self._parting(step, candidates[0])
        return None

    def _before_linear(self, place: int, value: NodeValue) -> Parting | None:
        """Where a matrix product is given, in the right sizes, what the module never computes."""
        step = self.steps[place]
        if step.what != "linear" or self._operator(value.place) not in LINEAR:
            return None
        given = self.graph.value(self.graph.proto.graph.node[value.place].input[0])
        read = self.steps[step.parents[0]].values
        fits = given is not None and read is not None and sizes(given.values) == sizes(read)
        return self._before(place, value) if fits else None

    def _recurrent(self, place: int, fitting: Sequence[NodeValue]) -> Parting | None:
        """Of a recurrent layer: the operator of its kind, or what feeds it."""
        step = self.steps[place]
        assert step.layer is not None  # asked by the caller
        kind = step.layer.module.mode[:3]  # LSTM, GRU or RNN in the names of ONNX's operators and of quantised ones
        for value in self.matching.candidates(place):
            if kind in self._operator(value.place):
                before = self._before(place, value)
                same = [v for v in fitting if kind in self._operator(v.place)]
                return before or (self._parting(step, same[0]) if same else None)
        return None

    def _bias(self, step: Traced) -> Parting | None:
        """Of a linear layer whose product is right: the node that adds the bias, or should."""
        product = Traced(step.module, step.what, step.without_bias, rounding=step.rounding)
        found = next((v for v in self.graph.values if agrees(v.values, product, self.matching.tolerance)), None)
        if found is None or found.place == GRAPH_INPUT:
            return None
        nodes = self.graph.proto.graph.node
        added = [v for v in self.graph.values if v.place != GRAPH_INPUT and found.tensor in nodes[v.place].input]
        added = [v for v in added if nodes[v.place].op_type == "Add" and aligned(v.values, found.values) is not None]
        if added and added[0].tensor not in self.matching.known and nodes[found.place].op_type != "Gemm":
            return self._parting(step, added[0])
        return self._parting(step, found, "its bias is missing")

    def _before(self, place: int, value: NodeValue) -> Parting | None:
        """Where a recurrent node is given what the module never computes: the node that this comes from."""
        read = self.steps[self.steps[place].parents[0]]
        last, wire = None, self.graph.proto.graph.node[value.place].input[0]
        given = self.graph.value(wire)
        if given is not None and agrees(given.values, read, self.matching.tolerance):
            return None
        while wire not in self.matching.known and (found := self.graph.value(wire)) and found.place != GRAPH_INPUT:
            last = found
            wires = [name for name in self.graph.proto.graph.node[found.place].input if self.graph.value(name)]
            wire = next((name for name in wires if name not in self.matching.known), wires[0] if wires else "")
        return None if last is None else self._parting(read, last)

    def _crossed(self, wrong: Sequence[_Answer]) -> Parting | None:
        """An output that holds another one's values, or its own in another order of axes."""
        for answer in wrong:
            other = next((o.name for o in self.answers if o is not answer and self.right(answer, o.exact)), None)
            if other is not None:
                return self._at(answer, f"{answer.name} holds what the module gives as {other}")
            if answer.got is not None and agrees(answer.got.values, answer.as_step, self.matching.tolerance):
                shapes = f"{list(answer.got.values.shape)} instead of {list(answer.exact.shape)}"
                return self._at(answer, f"the values are right, their axes are not: {shapes}")
        return None

    def _elsewhere(self, parted: Sequence[int]) -> Parting | None:
        """No node gives the sizes of what was lost: the first node whose values are not the module's."""
        for place in parted:
            candidates = self.matching.candidates(place)
            if candidates:
                return self._parting(self.steps[place], candidates[0])
        return None

    def _at(self, answer: _Answer, cause: str) -> Parting:
        """The node that gives an output."""
        step = answer.as_step
        if answer.got is None or answer.got.place == GRAPH_INPUT:
            return Parting(answer.name, "", step.module, FAR_OFF, *NOWHERE, cause)
        return self._parting(step, answer.got, cause)

    def _failure(self, parted: Sequence[int]) -> Parting:
        assert self.graph.failed is not None  # asked by the caller
        module = self._name(self.steps[parted[0]]) if parted else "the answer"
        place = self.graph.failed
        cause = "; ".join(filter(None, (self._failure_cause(place, parted), self.graph.problem)))
        return Parting(self.graph.label(place), self._operator(place), module, FAR_OFF, *NOWHERE, cause)

    def _failure_cause(self, place: int, parted: Sequence[int]) -> str:
        """What lets a recurrent node that fails run, and give what the module gives."""
        layers = (self.steps[p] for p in parted if self.steps[p].what == "sequence" and self.steps[p].layer is not None)
        step = next(layers, None)
        if step is None or self._operator(place) not in RECURRENT_OPERATORS:
            return ""
        return recurrent_cause(self.graph, place, step, self.matching.tolerance)

    def _parting(self, step: Traced, value: NodeValue, cause: str = "") -> Parting:
        """The parting of a step at the node that gives `value`."""
        assert step.values is not None  # only steps with values are compared
        node = (self.graph.label(value.place), self._operator(value.place), self._name(step))
        got = aligned(value.values, step.values)
        if got is None:
            shapes = f"it gives {list(value.values.shape)} where the module gives {list(step.values.shape)}"
            return Parting(*node, FAR_OFF, *NOWHERE, cause or shapes)
        if step.layer is not None and node[1] in RECURRENT_OPERATORS:
            cause = cause or recurrent_cause(self.graph, value.place, step, self.matching.tolerance)
        differing = distance(got, step.values)
        limits = allowed(step.values, step.rounding, self.matching.tolerance)
        places = self._places(differing > limits, step)
        return Parting(*node, float(differing.max(initial=0.0)), *places, cause)

    def _places(self, wrong: NDArray[np.bool_], step: Traced) -> tuple[int | None, int | None, str | None]:
        """The earliest sample, then the lowest series, then the lowest unit that is wrong."""
        batch, sequence = self.size(self.tensors.batch_axis), self.size(self.tensors.sequence_axis)
        leading = list(wrong.shape[:-1])
        if batch == sequence:
            batch = sequence = None
        by_step = leading.index(sequence) if sequence in leading and step.what not in ("hn", "cn") else None
        by_series = leading.index(batch) if batch in leading else None
        known = [axis for axis in (by_step, by_series) if axis is not None]
        rest = [axis for axis in range(wrong.ndim) if axis not in known]
        found = np.argwhere(wrong.transpose([*known, *rest]))  # in the order of the axes, the first is the first
        if not found.size:
            return None, None, None
        first = dict(zip([*known, *rest], map(int, found[0]), strict=True))
        entry = [first[axis] for axis in rest if wrong.shape[axis] > 1]
        unit = f"unit {entry[0] if len(entry) == 1 else entry}" if entry else None
        return None if by_step is None else first[by_step], None if by_series is None else first[by_series], unit

    def _operator(self, place: int) -> str:
        return str(self.graph.proto.graph.node[place].op_type)

    def _name(self, step: Traced) -> str:
        """The module, and which of its calls where it is called more than once."""
        more = any(other.number > 1 for other in self.steps if other.module == step.module)
        return f"{step.module}, call {step.number}" if more else step.module


def _with_loop_cause(found: Parting, comparison: _Comparison, module: nn.Module) -> Parting:
    """Whether the graph answers as if the series ended earlier: a loop that was unrolled over a shorter example."""
    axis = comparison.tensors.sequence_axis
    steps = comparison.matching.calls_followed(comparison.size(axis) or 0)
    if steps is None or axis is None:
        return found
    inputs = []
    for tensor in comparison.tensors.inputs:
        array = comparison.feed[tensor.name]
        inputs.append(array.take(range(steps), tensor.axes.index(axis)) if axis in tensor.axes else array)
    answers = trace_module(module, inputs).answers
    if all(comparison.right(answer, exact) for answer, exact in zip(comparison.answers, answers, strict=True)):
        return replace(found, cause=f"the graph stops after {steps} samples: its loop is unrolled")
    return found
