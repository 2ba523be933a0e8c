"""torch as a contender in a process of its own, the same bundle's weights in it: see `toolkit.benchmark.worker`.

It does what somebody does who has torch alone: import torch, build the module, load the weights, evaluation mode,
inference mode. It must not pay for what that person needs not, so it is run as a file, past this package's own
imports (onnx among them), and reads the bundle's manifest as the JSON that it is, without a check or a hash.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.benchmark.worker import Bind, Call, Opening, Request, run

if TYPE_CHECKING:
    from toolkit.benchmark.worker_protocol import Worker


def torch_worker_spec(folder: Path, threads: int = 1) -> "Worker | None":
    """How to start torch on a bundle's graph, or None where the bundle holds no module or no weights.

    Args:
        folder: of the bundle.
        threads: of torch.

    Raises:
        BundleError: no bundle, or a damaged one.
    """
    # Of the parent alone: the process that this file becomes must not import them.
    from toolkit.benchmark.scenarios import TORCH  # noqa: PLC0415
    from toolkit.benchmark.worker_protocol import Worker  # noqa: PLC0415
    from toolkit.benchmark.workers import asked_graph, request_line  # noqa: PLC0415
    from toolkit.contract.manifest import WEIGHTS  # noqa: PLC0415
    from toolkit.runtime.bundle import load_bundle  # noqa: PLC0415

    bundle = load_bundle(folder)
    if bundle.manifest.model is None or WEIGHTS not in bundle.manifest.files:
        return None
    graph, place = asked_graph(bundle).name, str(folder.resolve())
    # -P: this folder's modules must not stand before the standard library's of the same name.
    argv = (sys.executable, "-P", str(Path(__file__).resolve()), place, graph, str(threads))
    return Worker(TORCH, argv, graph, "cpu", "fp32", threads, request_line(bundle))


def torch_process(folder: str, graph: str, threads: str) -> Opening:
    """The module of a bundle that holds its weights.

    Args:
        folder: of the bundle.
        graph: `windowed` or `streaming`.
        threads: of torch.
    """
    import json  # noqa: PLC0415 - in the time that is measured, as are the next ones

    import torch  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    from toolkit.contract.model_spec import ModelSpec  # noqa: PLC0415
    from toolkit.model.lstm import StreamingForecaster, model_from_spec  # noqa: PLC0415

    def opening() -> Bind:
        torch.set_num_threads(int(threads))
        shape = json.loads(Path(folder, "manifest.json").read_bytes())["model"]
        lists = {name: tuple(value) for name, value in shape.items() if isinstance(value, list)}
        model = model_from_spec(ModelSpec(**{**shape, **lists}))
        model.load_state_dict(load_file(Path(folder, "weights.safetensors")))
        model.eval()
        return lambda request: _call(model if graph == "windowed" else StreamingForecaster(model), request)

    return opening


def _call(module: Any, request: Request) -> Call:
    """One window, or one step from the state that the last one left."""
    import torch  # noqa: PLC0415 - in the time that is measured

    x, *state = (torch.tensor(numbers, dtype=torch.float32).reshape(shape) for _, shape, numbers in request)

    def call() -> object:
        nonlocal state
        with torch.inference_mode():
            answer = module(x, *state)
        if state:
            state = list(answer[-len(state) :])
        return answer

    return call


if __name__ == "__main__":
    run(lambda: torch_process(*sys.argv[1:]))
