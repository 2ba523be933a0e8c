"""Execution providers that really run an LSTM, as against those that onnxruntime lists.

onnxruntime lists what was compiled in, not what works: CUDA is listed without its libraries and then falls back to
the CPU with a line on standard error, and Azure is listed everywhere and runs nothing here. So a small LSTM is run
on the provider that is asked about, its answer is compared with the LSTM's formula in numpy, and onnxruntime's own
profile must say that the node ran there.

`python -m toolkit.runtime.providers [NAME]` does the same in a process of its own and prints one line of JSON,
because a provider can kill its process (an illegal instruction, a fault in a driver); `doctor` asks this way.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from toolkit.contract.records import nearest
from toolkit.runtime.provider_setup import load_libraries, provider_options

PROBE = Path(__file__).with_name("probe.onnx")
"""LSTM of 3 inputs and 4 units: `x` [sequence, batch, 3] -> `y` [sequence, 1, batch, 4]; opset 18, IR 8.

Before it `x` is multiplied by `SCALE`: OpenVINO's provider leaves a graph of one node to the CPU.
"""

INPUT_SIZE, HIDDEN_SIZE = 3, 4
SCALE = 2.0
TOLERANCE = 1e-3
"""Above the rounding of providers that multiply in TF32 (10 bits of mantissa), far below two swapped gates."""

BRING = {
    "CUDAExecutionProvider": "onnxruntime-gpu",
    "TensorrtExecutionProvider": "onnxruntime-gpu",
    "OpenVINOExecutionProvider": "onnxruntime-openvino",
    "DmlExecutionProvider": "onnxruntime-directml",
    "QNNExecutionProvider": "onnxruntime-qnn",
    "MIGraphXExecutionProvider": "onnxruntime-migraphx",
    "CoreMLExecutionProvider": "onnxruntime on macOS",
}
"""The distribution that brings each provider, in place of plain `onnxruntime`."""


def available_providers() -> tuple[str, ...]:
    """Names of the providers that this build of onnxruntime was compiled with, in its order of preference."""
    return tuple(onnxruntime.get_available_providers())


def provider_problem(name: str) -> str | None:
    """Why an LSTM does not run on the provider, or None where it does.

    Args:
        name: onnxruntime's name, such as `CPUExecutionProvider`.

    Returns:
        None where the small LSTM ran on that provider, by node, with the right answer; otherwise one line. A
        provider that kills the process is beyond this function: see the module's docstring.
    """
    if name not in available_providers():
        return _absence(name)
    try:
        return _run_problem(name)
    except Exception as error:  # whatever a provider raises is the answer here
        return one_line(f"{type(error).__name__}: {error}")


def one_line(text: str, limit: int = 240) -> str:
    """The text without line breaks, cut to `limit` characters."""
    joined = " ".join(text.split())
    return joined if len(joined) <= limit else joined[: limit - 3] + "..."


def probe_weights() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """`W` [1, 16, 3], `R` [1, 16, 4] and `B` [1, 32] of the probe, in the layout of ONNX's LSTM operator.

    Multiples of 1/64, made without a random generator or a transcendental function: the same bits everywhere.
    """
    gates = 4 * HIDDEN_SIZE
    shapes = ((1, gates, INPUT_SIZE), (1, gates, HIDDEN_SIZE), (1, 2 * gates))
    w, r, b = (_ramp(shape, step) for shape, step in zip(shapes, (37, 41, 43), strict=True))
    return w, r, b


def probe_input() -> NDArray[np.float32]:
    """The probe's `x` [5, 2, 3]: more than one step and one series, so that both axes are tried."""
    return _ramp((5, 2, INPUT_SIZE), 29)


def probe_answer() -> NDArray[np.float64]:
    """The probe's `y` [5, 1, 2, 4] by the formula of ONNX's LSTM operator, in float64.

    https://onnx.ai/onnx/operators/onnx__LSTM.html: gates in the order i, o, f, c; `B` is `Wb` and `Rb` in a row.
    """
    w, r, b = (weights[0].astype(np.float64) for weights in probe_weights())
    bias = b.reshape(2, -1).sum(axis=0)
    x = probe_input().astype(np.float64) * SCALE
    h = c = np.zeros((x.shape[1], HIDDEN_SIZE))
    steps = []
    for sample in x:
        i, o, f, g = np.split(sample @ w.T + h @ r.T + bias, 4, axis=1)  # each [batch, hidden]
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        steps.append(h)
    return np.stack(steps)[:, np.newaxis]  # [sequence, 1 direction, batch, hidden]


def main(arguments: Sequence[str]) -> None:
    """Prints what onnxruntime offers, or the named provider's problem, as one line of JSON."""
    if arguments:
        answer: dict[str, Any] = {"problem": provider_problem(arguments[0])}
    else:
        answer = {"version": onnxruntime.__version__, "providers": available_providers()}
    sys.stdout.write(json.dumps(answer) + "\n")


def _absence(name: str) -> str:
    present = ", ".join(available_providers())
    if name in BRING:
        fix = f"{BRING[name]} brings it, after 'pip uninstall onnxruntime'"
    else:
        known = {*onnxruntime.get_all_providers(), *BRING}
        near = nearest(name, known) or nearest(f"{name}ExecutionProvider", known)
        fix = f"did you mean {near}?" if near and near != name else "onnxruntime has to be built with it"
    return f"not in this build of onnxruntime, which has {present}; {fix}"


def _run_problem(name: str) -> str | None:
    load_libraries(name)
    import tempfile  # noqa: PLC0415 - only here: every session imports this module, and few probe

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        session = onnxruntime.InferenceSession(
            PROBE.read_bytes(),
            _options(Path(folder)),
            providers=[(name, provider_options(name))],
            enable_fallback=0,  # otherwise the Python wrapper retries on the CPU and prints so to standard output
        )
        if name not in session.get_providers():
            return (
                f"the session fell back to {', '.join(session.get_providers())}; its libraries are missing or too old"
            )
        y = session.run(None, {"x": probe_input()})[0]
        ran_on = _node_providers(Path(session.end_profiling()))
    if ran_on != {name}:
        return f"the LSTM ran on {', '.join(sorted(ran_on - {name})) or 'no provider'} instead"
    return _answer_problem(y)


def _options(folder: Path) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "probe")
    return options


def _node_providers(profile: Path) -> set[str]:
    """Providers that ran a node; copies between devices are of no account."""
    events = json.loads(profile.read_bytes())
    nodes = (event["args"] for event in events if event.get("cat") == "Node")
    return {node["provider"] for node in nodes if "provider" in node and "Memcpy" not in node.get("op_name", "")}


def _answer_problem(y: NDArray[np.float32]) -> str | None:
    expected = probe_answer()
    if y.shape != expected.shape:
        return f"wrong answer: shape {y.shape} instead of {expected.shape}"
    worst = float(np.max(np.abs(y - expected)))
    if not worst <= TOLERANCE:  # NaN is a wrong answer too
        return f"wrong answer: off by {worst:.3g} (allowed: {TOLERANCE:g})"
    return None


def _ramp(shape: tuple[int, ...], step: int) -> NDArray[np.float32]:
    """Whole numbers that jump about between -50 and 50, over 64."""
    places = np.arange(int(np.prod(shape)))
    return ((places * step % 101 - 50) / 64).astype(np.float32).reshape(shape)


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


if __name__ == "__main__":
    main(sys.argv[1:])
