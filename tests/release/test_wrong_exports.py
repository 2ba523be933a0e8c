"""The corpus of exports known to be wrong: every one is flagged, by the check that it falls to, with the reason."""

import re

import numpy as np
import pytest
import verdicts
import wrong_exports as wrong
from wrong_exports import (
    ALL,
    BOTH,
    GRUS,
    LSTMS,
    STREAMING,
    WINDOWED,
    attribute,
    change_recurrent,
    swapped_gates,
    weights,
)

GATE = {
    "sequence baked, as declared": (wrong.axis("input", 1, dim_value=29), ALL, r"\(baked: sequence\)"),
    "batch baked, as declared": (wrong.axis("input", 0, dim_value=3), ALL, r"\(baked: batch\)"),
    "axis misspelt": (wrong.axis("input", 1, dim_param="sequnce"), ALL, r"\[batch, sequnce, 3\] instead of"),
    "axis in capitals": (wrong.axis("input", 0, dim_param="Batch"), BOTH, r"\[Batch, sequence, 3\] instead of"),
    "axes under each other's name": (
        lambda proto: [wrong.axis("input", place, dim_param=("sequence", "batch")[place])(proto) for place in (0, 1)],
        BOTH,
        r"\[sequence, batch, 3\] instead of",
    ),
    "output axis misspelt": (wrong.axis("output", 0, dim_param="bacth"), ALL, r"has the axes \[bacth, .* instead of"),
    "axis declared and not there": (wrong.axis("input", 1), ALL, r"\[batch, \?, 3\] instead of"),
    "constant state": (wrong.constant_state, WINDOWED, "starts from the constant state"),
    "constant state in place of the given one": (wrong.constant_state, STREAMING, "starts from the constant state"),
    "a weight that is no number": (wrong.no_number, ALL, "hold NaN or infinity"),
    "an infinite weight": (wrong.infinite, ALL, "hold NaN or infinity"),
    "external data": (wrong.external_data, ALL, "lie outside the file"),
    "another opset": (wrong.opset_19, ALL, "its opset is 19 instead of 18"),
    "layout 1": (wrong.layout_1, ALL, "layout=1, which onnxruntime refuses"),
    "clip": (attribute("clip", 3.0), BOTH, "with clip, which no CUDA provider runs"),
    "dropout left active": (wrong.dropout_active, ALL, "the operator Dropout is not on the allow-list"),
    "a size that depends on the data": (wrong.extra("NonZero", ["spare"]), BOTH, "NonZero is not on the allow-list"),
    "random numbers": (wrong.extra("RandomNormalLike", ["spare"]), BOTH, "RandomNormalLike is not on the allow-list"),
    "an operator of onnxruntime alone": (wrong.other_domain, BOTH, "it needs the operator domain com.microsoft"),
    "a branch": (wrong.with_if, BOTH, "the operator If is not on the allow-list"),
    "a loop": (wrong.with_loop, BOTH, "the operator Loop is not on the allow-list"),
    "an output too many": (wrong.another_output, BOTH, "outputs are .*, forecast_standardised instead of"),
}
"""Seen without running anything: the fault, the graphs that have it, and the reason."""

LAST_STEP = ("own lstm", "own gru", "foreign lstm", "foreign gru")
REFUSED = "onnxruntime cannot run the graph"


def moved(array):
    return np.roll(array, 1)


def one_series(proto):
    wrong.constant_state(proto, 1, hidden=True)


def any_series(proto):
    wrong.constant_state(proto, hidden=True)


def torch_order(array):
    return swapped_gates(2, 3)(swapped_gates(1, 2)(array))


PARITY = {
    "sequence baked by a Reshape": (wrong.sequence_baked, ALL, f"{REFUSED} on .*Reshape"),
    "batch baked by a Reshape": (wrong.batch_baked, ALL, f"{REFUSED} on .*Reshape"),
    "sequence cut at 7": (wrong.sequence_cut, ALL, "sequence 11: .*Slice.*gives .7, .* where the module gives"),
    "the example's sequence lengths": (wrong.lengths_of_the_example, ALL, f"{REFUSED} on .*sequence_lens"),
    "constant state behind a node": (any_series, WINDOWED, f"batch 1, .*{REFUSED} on .*initial_h"),
    "constant state of one series": (one_series, WINDOWED, f"batch 2, .*{REFUSED} on .*initial_h"),
    "a given state that is not used": (
        one_series,
        STREAMING,
        "layer 0.*(the initial state that is given does not reach it|initial_h)",
    ),
    "batch and sequence mixed up": (
        wrong.batch_and_sequence_mixed_up,
        ALL,
        f"batch and sequence axes of its input are mixed up|{REFUSED} on .*initial_h",
    ),
    "last step but one": (wrong.last_step_but_one, LAST_STEP, f"sequence 1: {REFUSED} on .*Gather"),
    "first step": (wrong.first_step, LAST_STEP, "sequence 2: "),
    "GRU resets before the product": (attribute("linear_before_reset", 0), GRUS, "layer 0.*linear_before_reset is 0"),
    "GRU resets before it in layer 1": (attribute("linear_before_reset", 0, 1), GRUS, "layer 1.*linear_before_reset"),
    "LSTM gates coupled": (attribute("input_forget", 1), LSTMS, "layer 0.*input_forget"),
    "another activation": (attribute("activations", ["Sigmoid", "Relu", "Tanh"]), LSTMS, "layer 0.*activations"),
    "LSTM output and forget gate swapped": (
        change_recurrent(0, swapped_gates(1, 2)),
        LSTMS,
        "layer 0.*gates are swapped",
    ),
    "LSTM in torch's order of gates": (change_recurrent(1, torch_order), LSTMS, "layer 1.*gates are swapped"),
    "GRU gates swapped": (change_recurrent(0, swapped_gates(0, 1)), GRUS, "layer 0.*gates are swapped"),
    "gates of the biases alone swapped": (change_recurrent(0, swapped_gates(0, 1), (3,)), ALL, ""),
    "halves of the bias swapped": (change_recurrent(0, wrong.bias_halves_swapped, (3,)), GRUS, "layer 0.*B is not"),
    "a bias dropped": (change_recurrent(1, np.zeros_like, (3,)), ALL, "layer 1.*the bias is dropped"),
    "layers swapped": (wrong.layers_swapped, ALL, "layer 0.*R and B is not the module's weights"),
    "states of the layers swapped": (wrong.states_of_layers_swapped, STREAMING, "hn is "),
    "given states of the layers swapped": (wrong.given_states_of_layers_swapped, STREAMING, "layer 0.*another state"),
    "hn and cn crossed": (wrong.wires_swapped("hn", "cn"), STREAMING, "hn is "),
    "h0 and c0 crossed": (wrong.wires_swapped("h0", "c0"), STREAMING, "initial_h and initial_c are crossed"),
    "read from its end": (attribute("direction", "reverse"), LSTMS + GRUS, "sequence 2: .*direction is reverse"),
    "directions swapped": (change_recurrent(0, np.flipud), ("own bidirectional",), "directions are swapped"),
    "offsets of two channels swapped": (weights("input_offset", moved), ALL, "sub"),
    "scales of two channels swapped": (weights("input_scale", moved), ALL, "mul"),
    "offsets dropped": (weights("input_offset", np.zeros_like), ALL, "sub"),
    "scales dropped": (weights("input_scale", np.ones_like), ALL, ""),
    "un-scaled twice": (wrong.unscaled_twice, ALL, "add"),
    "un-scaling dropped": (weights("output_scale", np.ones_like), ALL, ""),
    "offsets of two targets swapped": (weights("output_offset", moved), ALL, "add"),
    "dropout's mask as a constant": (wrong.dropout_frozen, LAST_STEP, "node='changed'"),
    "dropout's scale left": (wrong.dropout_scale_left, ALL, "node='changed'"),
    "the head's bias dropped": (weights("head.bias", np.zeros_like), ALL, "head"),
    "recurrent weights in half precision": (change_recurrent(0, wrong.half_precision, (2,)), wrong.OWN, "R is not"),
    "the head in half precision": (weights("head.bias", wrong.half_precision), ALL, ""),
}
"""Seen by running: the fault, the graphs that have it, and what must be told of the first failing case."""


def cases(table):
    return [pytest.param(name, kind, id=f"{name}: {kind}") for name, (_, kinds, _) in table.items() for kind in kinds]


@pytest.mark.parametrize("kind", ALL)
def test_a_clean_graph_passes(kind):
    graph, proto = wrong.clean(kind)
    result = verdicts.judged(graph, proto)
    assert result.passed, result.reason


@pytest.mark.parametrize(("name", "kind"), cases(GATE))
def test_what_shows_without_running_is_refused_by_the_gate(name, kind):
    fault, _, reason = GATE[name]
    graph, proto = wrong.clean(kind)
    fault(proto)
    result = verdicts.judged(graph, proto)
    assert result.refused_by == "gate"
    assert re.search(reason, result.reason)


@pytest.mark.parametrize(("name", "kind"), cases(PARITY))
def test_what_computes_something_else_is_refused_by_parity(name, kind):
    fault, _, reason = PARITY[name]
    graph, proto = wrong.clean(kind)
    fault(proto)
    result = verdicts.compared(graph, proto)
    assert result.refused_by == "parity"
    assert re.search(reason, result.reason), result.reason


@pytest.mark.parametrize("kind", ALL)
def test_what_is_baked_into_each_of_two_exports_is_refused_by_the_gate(kind):
    graph, first = wrong.clean(kind)
    _, second = wrong.clean(kind)
    for proto, sequence in ((first, 29), (second, 31)):
        wrong.sequence_baked(proto, sequence)
    assert verdicts.judged(graph, first).refused_by == "parity"
    result = verdicts.judged(graph, first, second)
    assert result.refused_by == "gate"
    assert "depends on the sizes of the example it was exported from, first at made_up" in result.reason
