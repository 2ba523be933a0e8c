"""Writes `toolkit/runtime/probe.onnx`, the small LSTM that `doctor` runs on every provider.

    python tests/runtime/make_probe.py

Needs the onnx package. `test_providers.py` makes the bytes again and compares.
"""

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

from toolkit.contract.manifest import OPSET
from toolkit.export.opsets import lowest_ir_version
from toolkit.runtime.providers import HIDDEN_SIZE, INPUT_SIZE, PROBE, SCALE, probe_weights


def probe_bytes() -> bytes:
    """The graph, with both axes symbolic."""
    scaled = helper.make_node("Mul", ["x", "scale"], ["scaled"], name="scale")
    lstm = helper.make_node("LSTM", ["scaled", "W", "R", "B"], ["y"], name="lstm", hidden_size=HIDDEN_SIZE)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["sequence", "batch", INPUT_SIZE])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["sequence", 1, "batch", HIDDEN_SIZE])
    weights = [numpy_helper.from_array(array, name) for name, array in zip("WRB", probe_weights(), strict=True)]
    weights.append(numpy_helper.from_array(np.array([SCALE], np.float32), "scale"))
    graph = helper.make_graph([scaled, lstm], "probe", [x], [y], weights)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=lowest_ir_version(OPSET),
        producer_name="lstm-edge-toolkit",
        doc_string="A small LSTM with known answers: does a provider really run it?",
    )
    checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


if __name__ == "__main__":
    PROBE.write_bytes(probe_bytes())
