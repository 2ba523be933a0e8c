from dataclasses import dataclass

import numpy as np
import pytest

from toolkit.contract.graph_entry import GraphEntry
from toolkit.contract.graph_io import GraphSignature, TensorSpec
from toolkit.release.variant_golden import golden_error, tolerances_of
from toolkit.runtime.golden_case import GoldenCase


class Answering:
    """A graph that answers `answer` whatever it is fed."""

    def __init__(self, *axes, answer):
        self.tensors = GraphSignature((TensorSpec("x", ("batch", 2)),), (TensorSpec("y", axes),))
        self.answer = answer

    def run(self, feed):
        return {"y": np.float32(self.answer)[: len(feed["x"])]}


def golden(*answers):
    """Cases of a graph, and its line in the manifest."""
    return [
        GoldenCase("windowed", str(n), {"x": np.zeros((len(y), 2), np.float32)}, {"y": np.float32(y)})
        for n, y in enumerate(answers)
    ]


def line(graph, *figures):
    return GraphEntry("windowed", "windowed.onnx", "fp32", {"y": figures}, *vars(graph.tensors).values())


def test_a_variant_is_held_to_its_own_error_and_to_nothing_tighter_than_fp32():
    graph, cases = Answering("batch", 2, answer=[[1.5, 2.0]] * 3), golden([[1.0, 2.0]] * 3, [[1.25, 2.0]])
    assert tolerances_of(line(graph, 1e-3), graph, cases)["y"] == (2.0, 1e-3)  # four times the larger error
    assert tolerances_of(line(graph, 1e-3, 5.0), graph, cases)["y"] == (2.0, 5.0)


def test_an_answer_of_any_size_has_one_tolerance():
    graph, cases = Answering("batch", answer=[1.0, 2.5, 3.0]), golden([1.0, 2.0, 3.0], [1.0, 2.0])
    assert tolerances_of(line(graph, 1e-3), graph, cases)["y"] == (2.0,)


def test_an_error_on_golden_vectors_is_held_against_what_the_answers_vary_by():
    graph = Answering("batch", 2, answer=[[1.0, 50.0], [3.0, 150.0]])
    cases = golden([[1.0, 0.0], [3.0, 200.0]])
    assert golden_error(graph, cases) == pytest.approx(0.5)
    assert golden_error(graph, golden([[1.0, 50.0]])) is None  # nothing varies
    assert golden_error(graph, []) is None


def test_quantiles_have_one_tolerance_for_each_target():
    tensors = GraphSignature((TensorSpec("x", ("batch", 2)),), (TensorSpec("quantiles", ("batch", 2, 3)),))
    wanted = np.float32([[[0, 1, 2], [0, 100, 200]]])
    graph = Fixed(tensors, {"quantiles": wanted + np.float32([[[0, 0, 0.5], [50, 0, 0]]])})
    cases = [GoldenCase("windowed", "one", {"x": np.zeros((1, 2), np.float32)}, {"quantiles": wanted})]
    entry = GraphEntry("windowed", "windowed.onnx", "fp32", {"quantiles": (1e-3, 1e-3)}, *vars(tensors).values())
    assert tolerances_of(entry, graph, cases)["quantiles"] == (2.0, 200.0)
    assert golden_error(graph, cases) == pytest.approx(0.5 / np.std([0, 1, 2]))


@dataclass
class Fixed:
    """A graph that gives the same outputs to everything."""

    tensors: GraphSignature
    outputs: dict

    def run(self, feed):
        return self.outputs
