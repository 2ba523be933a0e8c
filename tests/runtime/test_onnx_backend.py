"""ONNX's own conformance tests of LSTM, GRU and RNN, run through the session layer.

They need no network: each case holds its graph, its inputs and the outputs of ONNX's own numpy reference. The modules
of the three operators alone are imported; `onnx.backend.test.loader` would make 1,900 cases of all operators, in 14 s.
"""

import numpy as np
import pytest
from onnx.backend.test.case import node
from onnx.backend.test.case.node import gru, lstm, rnn  # noqa: F401 - to import a module is to collect its cases

from toolkit.errors import BundleError
from toolkit.runtime.session import SessionPolicy, create_session, run_session

OPERATORS = ("LSTM", "GRU", "RNN")

NO_BATCH_FIRST = "layout=1, the batch as first axis, is not in onnxruntime's CPU provider; the toolkit exports layout=0"

REFUSED = {
    "test_lstm_batchwise": NO_BATCH_FIRST,
    "test_gru_batchwise": NO_BATCH_FIRST,
    "test_simple_rnn_batchwise": NO_BATCH_FIRST,
}

# What onnx 1.22 holds. 1.23 has both other directions of each operator as well, six more; all that are there are run.
KNOWN = {
    *(f"test_lstm_{name}" for name in ("defaults", "with_initial_bias", "with_peepholes")),
    *(f"test_gru_{name}" for name in ("defaults", "with_initial_bias", "seq_length")),
    *(f"test_{name}" for name in ("simple_rnn_defaults", "simple_rnn_with_initial_bias", "rnn_seq_length")),
    *REFUSED,
}

CASES = {case.name: case for case in node._NodeTestCases if case.model.graph.node[0].op_type in OPERATORS}

POLICIES = {"the default policy": None, "no optimisation": SessionPolicy(optimisation="none")}


def session_of(case, policy):
    return create_session(case.model.SerializeToString(), POLICIES[policy], case.name)


def test_no_case_is_lost():
    """Three are refused, each with its reason; nine or more run, fifteen with onnx 1.23."""
    assert CASES.keys() >= KNOWN


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", [name for name in CASES if name not in REFUSED])
def test_a_case_of_onnx_passes(name, policy):
    case = CASES[name]
    session = session_of(case, policy)
    names = [value.name for value in session.get_inputs()]
    assert case.data_sets
    for inputs, wanted in case.data_sets:
        outputs = run_session(session, dict(zip(names, inputs, strict=True)))
        for output, reference in zip(outputs, wanted, strict=True):
            assert output.dtype == reference.dtype
            assert output.shape == reference.shape
            np.testing.assert_allclose(output, reference, rtol=case.rtol, atol=case.atol)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", REFUSED)
def test_a_case_that_onnxruntime_does_not_take_is_refused_on_one_line(name, policy):
    """Not skipped: once onnxruntime takes it, this fails, and the case moves to those that pass."""
    case = CASES[name]
    assert [each.i for each in case.model.graph.node[0].attribute if each.name == "layout"] == [1], REFUSED[name]
    with pytest.raises(BundleError, match=rf"onnxruntime refuses {name}; got .*layout_ == 0 was false") as refused:
        session_of(case, policy)
    assert "\n" not in str(refused.value)
    assert refused.value.exit_status == 2
