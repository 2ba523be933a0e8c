"""How many single faults parity catches, by what, and whether it names the first tensor that is wrong."""

import re
from dataclasses import dataclass

import mutations
import pytest
import verdicts
import wrong_exports as wrong
from mutations import SMALL, STRUCTURAL
from wrong_precisions import PRECISION

from toolkit.export.precision import to_fp16, to_int8
from toolkit.export.quantised_lint import fp16_problems, quantisation_problems
from toolkit.parity import ParityGrid
from toolkit.parity.weights import check_weights

GRID = ParityGrid((1, 5), (1, 2, 11), (4,))
"""No size of the modules: an axis is known by its size."""

LEAST_NAMED = 0.9
"""Of the faults of each graph."""


@dataclass(frozen=True)
class Row:
    """What became of one fault in one graph.

    Attributes:
        fault: what was done.
        subject: to which graph.
        by_weights: whether the comparison of weights shows it.
        by_numbers: whether an answer shows it, or onnxruntime does not run the graph.
        named: whether the tensor or node that was damaged is named.
        told: what was told.
    """

    fault: str
    subject: str
    by_weights: bool
    by_numbers: bool
    named: bool
    told: str


def changed_weight(subject, how, stored):
    """One stored tensor changed a little: it alone has to be named. Numbers are not asked: they miss a fifth."""
    graph, proto = wrong.clean(subject)
    mutations.in_part(stored, SMALL[how][0])(proto)
    check = check_weights(graph, proto.SerializeToString())
    told = [*(changed.tensor for changed in check.changed), *check.missing]
    return Row(f"{stored.tensor}: {how}", subject, not check.passed, False, told == [stored.tensor], str(told))


def changed_structure(subject, name):
    """A graph that computes something else: the first damaged node has to be named, or the cause."""
    mutation = STRUCTURAL[name]
    (graph, before), (_, after) = wrong.clean(subject), wrong.clean(subject)
    mutation.fault(after)
    node = mutations.damaged_node(before, after)
    result = verdicts.compared(graph, after, GRID)
    if result.report is None:  # it is not loaded at all
        named = node in result.reason or bool(mutation.cause and mutation.cause in result.reason)
        return Row(name, subject, False, result.refused_by == "parity", named, result.reason)
    weights = not all(check.passed for check in result.report.weights)
    numbers = not all(case.passed for case in result.report.cases)
    found = result.report.parting
    named = found is not None and (
        found.node == node or bool(mutation.cause and re.search(mutation.cause, found.cause))
    )
    return Row(name, subject, weights, numbers, named, f"wanted {node}, {found}, {result.report.divergence}")


def smaller(subject, precision):
    _, proto = wrong.clean(subject)
    return proto, (to_fp16(proto) if precision == "fp16" else to_int8(proto, subject))


def changed_precision(subject, name):
    """A smaller graph that is not the fp32 one, rounded: what is damaged has to be named in what is told first."""
    precision, fault, _ = PRECISION[name]
    fp32, damaged = smaller(subject, precision)
    wanted = fault(damaged)
    problems = {"fp16": fp16_problems, "int8": quantisation_problems}[precision](fp32, damaged)
    return Row(name, subject, bool(problems), False, wanted in "".join(problems[:1]), str(problems))


def small_changes(subject):
    stored = list(mutations.stored_tensors(wrong.clean(subject)[1]))
    names = [name for name, (_, subjects) in SMALL.items() if subject in subjects]
    return [changed_weight(subject, name, tensor) for name in names for tensor in stored]


def other_graphs(subject):
    return [changed_structure(subject, name) for name, fault in STRUCTURAL.items() if subject in fault.subjects]


def wrong_precisions(subject):
    return [changed_precision(subject, name) for name, (*_, subjects) in PRECISION.items() if subject in subjects]


def table(rows):
    """For the message of a test that fails."""
    marks = [
        f"{row.subject:18} {row.fault:55} weights {row.by_weights:d} numbers {row.by_numbers:d} named {row.named:d}"
        for row in rows
    ]
    return "\n".join(("", *(f"{mark}  {'' if row.named else row.told}" for mark, row in zip(marks, rows, strict=True))))


def score(rows):
    return sum(row.named for row in rows) / len(rows)


def test_there_are_enough_faults():
    names = {*STRUCTURAL, *PRECISION, *SMALL}
    assert len(STRUCTURAL) >= 60
    assert len(names) == len(STRUCTURAL) + len(PRECISION) + len(SMALL)


@pytest.mark.parametrize("subject", wrong.ALL)
def test_every_small_change_of_a_stored_tensor_is_caught_and_the_tensor_named(subject):
    rows = small_changes(subject)
    assert len({row.fault for row in rows}) == len(rows) >= 14
    assert all(row.by_weights and row.named for row in rows), table(rows)


@pytest.mark.parametrize("subject", wrong.ALL)
def test_every_graph_that_computes_something_else_is_caught_by_numbers_alone(subject):
    rows = other_graphs(subject)
    assert len(rows) >= 10
    assert all(row.by_numbers for row in rows), table(rows)
    assert score(rows) >= LEAST_NAMED, table(rows)


@pytest.mark.parametrize("subject", [name for name in wrong.ALL if name != "foreign streaming"])
def test_every_smaller_graph_that_is_not_the_fp32_one_is_caught_and_the_tensor_named(subject):
    rows = wrong_precisions(subject)
    assert len(rows) >= 3
    assert all(row.by_weights and row.named for row in rows), table(rows)
