import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from toolkit.runtime import providers as room
from toolkit.runtime.providers import (
    PROBE,
    SCALE,
    TOLERANCE,
    available_providers,
    one_line,
    probe_answer,
    probe_input,
    probe_weights,
    provider_problem,
)

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"


def made_again():
    pytest.importorskip("onnx", reason="making the probe needs the onnx package")
    return runpy.run_path(str(Path(__file__).with_name("make_probe.py")))["probe_bytes"]()


def probe_with(tmp_path, monkeypatch, change):
    """Puts a changed copy of the probe in its place."""
    onnx = pytest.importorskip("onnx", reason="changing the probe needs the onnx package")
    model = onnx.load(PROBE)
    change(onnx, model.graph)
    changed = tmp_path / "probe.onnx"
    onnx.save(model, changed)
    monkeypatch.setattr(room, "PROBE", changed)


def test_the_probe_is_what_its_script_makes():
    assert PROBE.read_bytes() == made_again()
    assert len(PROBE.read_bytes()) < 2048


def test_the_probe_takes_any_batch_and_sequence():
    session = onnxruntime.InferenceSession(PROBE, providers=[CPU])
    assert session.get_inputs()[0].shape == ["sequence", "batch", 3]
    assert session.run(None, {"x": np.zeros((7, 3, 3), np.float32)})[0].shape == (7, 1, 3, 4)


def test_the_formula_agrees_with_torch():
    torch = pytest.importorskip("torch")
    lstm = torch.nn.LSTM(3, 4).double()
    w, r, b = (torch.from_numpy(weights[0].astype(np.float64)) for weights in probe_weights())
    order = torch.tensor([0, 2, 3, 1])  # ONNX has i, o, f, c; torch i, f, g, o

    def gates(values):
        return values.reshape(4, 4, *values.shape[1:])[order].reshape(values.shape)

    with torch.no_grad():
        lstm.weight_ih_l0.copy_(gates(w))
        lstm.weight_hh_l0.copy_(gates(r))
        lstm.bias_ih_l0.copy_(gates(b[:16]))
        lstm.bias_hh_l0.copy_(gates(b[16:]))
        y, _ = lstm(torch.from_numpy(probe_input().astype(np.float64) * SCALE))
    np.testing.assert_allclose(probe_answer()[:, 0], y.numpy(), atol=1e-14, rtol=0)


def test_the_cpu_really_runs_an_lstm():
    assert provider_problem(CPU) is None
    y = onnxruntime.InferenceSession(PROBE, providers=[CPU]).run(None, {"x": probe_input()})[0]
    np.testing.assert_allclose(y, probe_answer(), atol=1e-6, rtol=0)


def test_a_provider_that_is_not_in_the_build():
    if CUDA in available_providers():
        pytest.skip("this build has CUDA")
    problem = provider_problem(CUDA)
    assert problem.startswith("not in this build of onnxruntime, which has ")
    assert CPU in problem
    assert "onnxruntime-gpu brings it" in problem


@pytest.mark.parametrize("name", ["cuda", "CUDAExecutionProvidr"])
def test_a_misspelt_provider(name):
    assert provider_problem(name).endswith("did you mean CUDAExecutionProvider?")


def test_a_session_that_falls_back_to_the_cpu(monkeypatch):
    if CUDA in available_providers():
        pytest.skip("this build has CUDA")
    monkeypatch.setattr(room, "available_providers", lambda: (CUDA, CPU))
    with pytest.warns(UserWarning, match="not in available provider names"):
        problem = provider_problem(CUDA)
    assert problem.startswith(f"the session fell back to {CPU}")


def test_a_node_that_runs_elsewhere():
    azure = "AzureExecutionProvider"
    if azure not in available_providers():
        pytest.skip("this build has no provider that takes a session and runs no LSTM")
    assert provider_problem(azure) == f"the LSTM ran on {CPU} instead"


def test_copies_between_devices_do_not_count(tmp_path):
    profile = tmp_path / "profile.json"
    events = [
        {"cat": "Session", "args": {}},
        {"cat": "Node", "args": {"provider": CPU, "op_name": "MemcpyToHost"}},
        {"cat": "Node", "args": {"provider": CUDA, "op_name": "LSTM"}},
        {"cat": "Node", "args": {"thread_scheduling_stats": ""}},
    ]
    profile.write_text(json.dumps(events))
    assert room._node_providers(profile) == {CUDA}


def test_swapped_gates_are_a_wrong_answer(tmp_path, monkeypatch):
    def swap(onnx, graph):
        weights = next(tensor for tensor in graph.initializer if tensor.name == "R")
        gates = onnx.numpy_helper.to_array(weights).reshape(4, 4, 4)
        weights.raw_data = np.ascontiguousarray(gates[[0, 2, 1, 3]]).tobytes()

    probe_with(tmp_path, monkeypatch, swap)
    problem = provider_problem(CPU)
    assert problem.startswith("wrong answer: off by ")
    assert float(problem.split("off by ")[1].split()[0]) > 10 * TOLERANCE


def test_another_shape_is_a_wrong_answer(tmp_path, monkeypatch):
    def keep_the_last_step(onnx, graph):
        graph.node[1].output[:] = ["", "y"]
        graph.output[0].type.tensor_type.shape.dim.pop(0)

    probe_with(tmp_path, monkeypatch, keep_the_last_step)
    assert provider_problem(CPU) == "wrong answer: shape (1, 2, 4) instead of (5, 1, 2, 4)"


def test_nan_is_a_wrong_answer():
    assert "wrong answer" in room._answer_problem(np.full((5, 1, 2, 4), np.nan, np.float32))


def test_an_exception_is_one_short_line(tmp_path, monkeypatch):
    broken = tmp_path / "probe.onnx"
    broken.write_bytes(b"not a graph")
    monkeypatch.setattr(room, "PROBE", broken)
    problem = provider_problem(CPU)
    assert "\n" not in problem
    assert len(problem) <= 240
    assert "InvalidProtobuf" in problem


def test_text_is_cut_to_one_line():
    assert one_line("a\n  b\tc") == "a b c"
    assert one_line("x" * 300) == "x" * 237 + "..."


def asked(*arguments):
    command = [sys.executable, "-m", "toolkit.runtime.providers", *arguments]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_the_module_answers_in_a_process_of_its_own():
    assert asked() == {"version": onnxruntime.__version__, "providers": list(available_providers())}
    assert asked(CPU) == {"problem": None}
    assert "did you mean" in asked("cuda")["problem"]
