"""Which steps of a module a graph holds, and what it computes instead of those that it has lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from toolkit.parity.alignment import aligned, allowed, equal, is_comparable, looseness, sizes
from toolkit.parity.graph_trace import GraphTrace, NodeValue
from toolkit.parity.torch_trace import Floats, Traced

AS_EXACT = 10.0
"""A value that is known ten times less exactly, measured by its spread, does not prove what it was computed from."""

UNKNOWN = float("inf")

STEPS_WITHOUT_EFFECT = {
    **dict.fromkeys(("add", "sub"), ("Add", "Sub")),
    **dict.fromkeys(("mul", "div", "truediv"), ("Mul", "Div")),
    **dict.fromkeys(("getitem", "select"), ("Gather", "Slice")),
}
"""torch's functions whose place a node may take and do nothing, or pick what was picked before, and such nodes."""


@dataclass(frozen=True)
class Matching:
    """A module's steps and a graph's values.

    Attributes:
        steps: of the module.
        graph: with its values.
        tolerance: how far a value may be away at least.
    """

    steps: tuple[Traced, ...]
    graph: GraphTrace
    tolerance: float

    @cached_property
    def comparable(self) -> list[bool]:
        """For each step whether it has values to be found again."""
        return [is_comparable(step) for step in self.steps]

    @cached_property
    def matches(self) -> list[list[NodeValue]]:
        """For each step the values of the graph that are equal to it."""
        by_sizes: dict[tuple[int, ...], list[NodeValue]] = {}
        for value in self.graph.values:
            by_sizes.setdefault(sizes(value.values), []).append(value)
        found: list[list[NodeValue]] = []
        for step, tells in zip(self.steps, self.comparable, strict=True):
            if step.values is None or not tells:
                found.append([])
                continue
            # That a recurrent node could give it is no sign that the rest of the graph reads it.
            same = [v for v in by_sizes.get(sizes(step.values), []) if step.layer or v.tensor not in self.graph.spare]
            limits = allowed(step.values, step.rounding, self.tolerance)
            found.append([value for value in same if equal(value.values, step.values, limits)])
        return found

    @cached_property
    def known(self) -> frozenset[str]:
        """The tensors of the graph that are equal to a step."""
        return frozenset(value.tensor for found in self.matches for value in found)

    @cached_property
    def confirmed(self) -> list[bool]:
        """For each step whether the graph holds, about as exactly, something that was computed from it."""
        pairs = zip(self.steps, self.comparable, strict=True)
        loose = [looseness(step, self.tolerance) if tells else UNKNOWN for step, tells in pairs]
        tightest = [UNKNOWN] * len(self.steps)
        for place in range(len(self.steps) - 1, -1, -1):
            found = min(tightest[place], loose[place]) if self.matches[place] else tightest[place]
            for parent in self.steps[place].parents:
                tightest[parent] = min(tightest[parent], found)
        return [found <= AS_EXACT * own < UNKNOWN for found, own in zip(tightest, loose, strict=True)]

    def lost(self, answers: Sequence[int | None]) -> list[int]:
        """The steps on the way to `answers` that the graph neither holds nor has used, in the order of the calls.

        Args:
            answers: steps; None is an answer whose way could not be followed, and all steps may be on it.
        """
        waiting = [answer for answer in answers if answer is not None]
        if None in answers:
            waiting = list(range(len(self.steps)))
        reached: set[int] = set()
        while waiting:
            place = waiting.pop()
            if place not in reached:
                reached.add(place)
                waiting.extend(self.steps[place].parents)
        return [p for p in sorted(reached) if self.comparable[p] and not self.matches[p] and not self.confirmed[p]]

    def candidates(self, place: int) -> list[NodeValue]:
        """What the graph computes from the last values that both sides share, and the module does not."""
        places = self._reading(self._shared(place))
        return [value for value in self.graph.values if value.place in places and value.tensor not in self.known]

    def without_effect(self, place: int) -> NodeValue | None:
        """A node that does the work of a lost step in kind and gives what was there before: nothing new to be seen.

        An offset of 0 in the graph, a scale of 1, the first of two directions picked again. Where the module does the
        like itself, nothing is said.
        """
        step = self.steps[place]
        operators = STEPS_WITHOUT_EFFECT.get(step.what, ())
        alike = (p for p in range(place) if STEPS_WITHOUT_EFFECT.get(self.steps[p].what) == operators)
        if step.values is None or not operators or any(map(self._repeats, alike)):
            return None
        places = self._reading(self._shared(place))
        values = [value for value in self.graph.values if sizes(value.values) == sizes(step.values)]
        for number, value in enumerate(values):
            fits = value.place in places and self.graph.proto.graph.node[value.place].op_type in operators
            if fits and any(_same(value.values, earlier.values) for earlier in values[:number]):
                return value
        return None

    def _repeats(self, place: int) -> bool:
        """Whether a step of the module gives what was there before."""
        values = self.steps[place].values
        earlier = [step.values for step in self.steps[:place] if step.values is not None]
        return values is not None and any(_same(values, other) for other in earlier)

    def calls_followed(self, length: int) -> int | None:
        """How many calls of a module the graph follows, where it stops on the way.

        Args:
            length: samples of a series; the module is one that is called once for each.
        """
        for name in {step.module for step in self.steps if step.number == length}:
            pairs = zip(self.steps, self.matches, strict=True)
            numbers = {step.number for step, found in pairs if step.module == name and found}
            if numbers == set(range(1, len(numbers) + 1)) and 0 < len(numbers) < length:
                return len(numbers)
        return None

    def _shared(self, place: int) -> list[list[NodeValue]]:
        """The nearest values before a step that the graph holds, the last one in the graph first."""
        shared: dict[int, list[NodeValue]] = {}
        waiting, seen = list(self.steps[place].parents), set[int]()
        while waiting:
            parent = waiting.pop()
            if self.matches[parent]:
                shared[parent] = self.matches[parent]
            elif parent not in seen:
                waiting.extend(self.steps[parent].parents)
            seen.add(parent)
        return sorted(shared.values(), key=lambda values: -min(value.place for value in values))

    def _reading(self, shared: Sequence[Sequence[NodeValue]]) -> set[int]:
        """The nodes that depend on the last of them that is read at all."""
        places = (self.graph.downstream(value.tensor for value in values) for values in shared)
        return next((found for found in places if found), set())


def _same(values: Floats, other: Floats) -> bool:
    """Whether both hold the same numbers to the bit, in any order of the axes."""
    found = aligned(other, values)
    return found is not None and np.array_equal(found, values)
