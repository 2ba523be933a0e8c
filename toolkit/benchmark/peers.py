"""Other runtimes for ONNX graphs beside onnxruntime: the OpenVINO and tract packages, where they are installed.

Both get the bundle's own fp32 graph, fixed to the request's sizes: that is how they are fastest. Inputs are in their
memory before a call, and answers stay there.

`python -m toolkit.benchmark.peers FOLDER GRAPH NAME THREADS FEED` builds a contender and checks its answers: see
`trials`. tract ends its process on graphs that it does not expect.
"""

import importlib.util
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.benchmark.onnx_shapes import without_inner_shapes
from toolkit.benchmark.scenarios import Contender
from toolkit.benchmark.trials import check_answers, first_line, run_trial
from toolkit.contract.graph_entry import GraphEntry
from toolkit.contract.graph_io import GraphName
from toolkit.errors import ConfigError, ContenderError, ToolkitError
from toolkit.runtime.bundle import Bundle, load_bundle
from toolkit.runtime.session import SessionPolicy, run_session

Feed = Mapping[str, NDArray[np.float32]]
Arrays = list[NDArray[np.float32]]
Built = tuple[Callable[[], object], Callable[[], Arrays], dict[str, str]]
"""What is timed, what calls it and gives its answers, and what it was set to."""


def peer_contenders(
    bundle: Bundle, names: Sequence[str], threads: int
) -> tuple[list[Callable[[GraphName, Feed], Contender]], list[str]]:
    """Builders of other runtimes for `benchmark_bundle`, and what is not measured and why.

    Args:
        bundle: whose graphs to run.
        names: of `PEERS`.
        threads: within one operator.

    Returns:
        Builders, which raise `ContenderError` where a runtime does not run a graph or answers otherwise.

    Raises:
        ConfigError: an unknown name.
    """
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise ConfigError("--contender", got=unknown[0], allowed=", ".join(PEERS))
    problems = {name: peer_problem(name) for name in dict.fromkeys(names)}
    notes = [f"{name} not measured: {problem}" for name, problem in problems.items() if problem]
    return [_builder(bundle, name, threads) for name, problem in problems.items() if not problem], notes


def peer_problem(name: str) -> str:
    """Why a runtime cannot be tried here, or ""."""
    if importlib.util.find_spec(name) is not None:
        return ""
    return "it is not installed; fix: pip install 'lstm-edge-toolkit[peers]'"


def peer_contender(bundle: Bundle, entry: GraphEntry, feed: Feed, name: str, threads: int) -> Contender:
    """Another runtime on a graph and its inputs, tried in a process of its own before.

    Args:
        bundle: whose graph to run.
        entry: the graph, in fp32.
        feed: inputs by their names.
        name: of `PEERS`.
        threads: within one operator; tract has one.

    Raises:
        ContenderError: the runtime does not run the graph, or answers otherwise than onnxruntime.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        arrays = Path(folder) / "feed.npz"
        np.savez(arrays, allow_pickle=False, **feed)
        place = str(bundle.folder.resolve())
        run_trial(name, "toolkit.benchmark.peers", [place, entry.name, name, str(threads), str(arrays)])
    return built_peer(bundle, entry, feed, name, threads)


def built_peer(bundle: Bundle, entry: GraphEntry, feed: Feed, name: str, threads: int) -> Contender:
    """The same without a trial.

    Raises:
        ContenderError: as `peer_contender`.
    """
    try:
        call, answers, options = PEERS[name](bundle.read(entry.file), entry, feed, threads)
        got = answers()
    except Exception as error:  # whatever another runtime raises
        raise ContenderError(f"{name} not timed: {first_line(error)}") from error
    names = [tensor.name for tensor in entry.outputs]
    check_answers(name, entry, got, run_session(bundle.open(entry, SessionPolicy()), dict(feed), names))
    return Contender(name, entry.name, "cpu", entry.precision, int(options.pop("threads")), call, options)


def _builder(bundle: Bundle, name: str, threads: int) -> Callable[[GraphName, Feed], Contender]:
    def build(graph: GraphName, feed: Feed) -> Contender:
        return peer_contender(bundle, bundle.manifest.graph(graph, "fp32"), feed, name, threads)

    return build


def _openvino(content: bytes, entry: GraphEntry, feed: Feed, threads: int) -> Built:
    import openvino  # noqa: PLC0415 - an extra of its own

    settings = {
        "INFERENCE_PRECISION_HINT": "f32",  # otherwise bfloat16 on processors that have it
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    core = openvino.Core()
    model = core.read_model(content)
    model.reshape({name: list(array.shape) for name, array in feed.items()})
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    for name, array in feed.items():
        request.set_tensor(name, openvino.Tensor(array.copy()))

    def answers() -> Arrays:
        request.infer()
        return [np.array(request.get_tensor(tensor.name).data) for tensor in entry.outputs]

    told = {key.lower(): str(value) for key, value in settings.items() if key != "INFERENCE_NUM_THREADS"}
    version = str(openvino.__version__).partition("-")[0]
    return request.infer, answers, {"threads": str(threads), "version": version, **told}


def _tract(content: bytes, entry: GraphEntry, feed: Feed, _threads: int) -> Built:
    import tract  # noqa: PLC0415 - an extra of its own

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file = Path(folder) / entry.file
        file.write_bytes(without_inner_shapes(content))
        inferred = tract.onnx().load(file)
    for place, tensor in enumerate(entry.inputs):
        inferred.set_input_fact(place, ",".join([*map(str, feed[tensor.name].shape), "f32"]))
    for place in range(len(entry.outputs)):
        inferred.set_output_fact(place, None)
    inferred.analyse()
    runnable = inferred.into_model().into_runnable()
    given = [tract.Tensor.from_numpy(feed[tensor.name]) for tensor in entry.inputs]

    def answers() -> Arrays:
        return [tensor.to_numpy() for tensor in runnable.run(given)]

    return lambda: runnable.run(given), answers, {"threads": "1", "version": str(tract.version())}


PEERS: dict[str, Callable[[bytes, GraphEntry, Feed, int], Built]] = {"openvino": _openvino, "tract": _tract}


def main(arguments: Sequence[str]) -> None:
    """The trial: builds the contender, checks its answers and calls it once more."""
    folder, graph, name, threads, file = arguments
    bundle = load_bundle(Path(folder))
    wanted: Any = graph
    with np.load(file, allow_pickle=False) as arrays:
        feed = {tensor: arrays[tensor] for tensor in arrays.files}
    try:
        built_peer(bundle, bundle.manifest.graph(wanted, "fp32"), feed, name, int(threads)).call()
    except ToolkitError as error:
        sys.exit(str(error).removeprefix(f"{name} not timed: "))


if __name__ == "__main__":
    main(sys.argv[1:])
