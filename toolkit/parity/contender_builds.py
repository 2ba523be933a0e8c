"""torch's compilers as contenders: TorchScript, `torch.compile` and AOTInductor, each fixed to the request's sizes.

`torch.compile` and AOTInductor run a C++ compiler for tens of seconds. They do so in a process of its own with a time
limit (`python -m toolkit.parity.contender_builds FOLDER GRAPH KIND THREADS FEED PACKAGE`); what they leave, a package
or torch's own cache of compiled code, is then used here.
"""

import copy
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.benchmark.peers import Feed
from toolkit.benchmark.scenarios import Contender
from toolkit.benchmark.trials import SECONDS, check_answers, first_line, run_trial
from toolkit.errors import ContenderError, ToolkitError
from toolkit.model.torch_graph import TorchGraph, flat
from toolkit.parity.bundle import graphs_of_bundle
from toolkit.runtime.bundle import Bundle, load_bundle

Tensors = tuple[Tensor, ...]
Call = Callable[..., Any]

PACKAGE = "model.pt2"


def built_contender(
    bundle: Bundle, graph: TorchGraph, feed: Feed, kind: str, threads: int, *, seconds: float = SECONDS
) -> Contender:
    """A compiled form of a graph's module on the request's inputs, its answers held to the module's own.

    Args:
        bundle: that the module came from.
        graph: its module.
        feed: inputs by their names in the graph.
        kind: of `BUILDS`.
        threads: of torch, for the whole process.
        seconds: that compiling may take.

    Raises:
        ContenderError: it does not compile here, or answers otherwise.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        package = Path(folder) / PACKAGE
        if kind in COMPILED:
            arrays = Path(folder) / "feed.npz"
            np.savez(arrays, allow_pickle=False, **feed)
            place = str(bundle.folder.resolve())
            arguments = [place, graph.name, kind, str(threads), str(arrays), str(package)]
            run_trial(kind, "toolkit.parity.contender_builds", arguments, seconds)
        torch.set_num_threads(threads)
        call, options = _checked(bundle, graph, feed, kind, package)
    return Contender(kind, graph.name, "cpu", "fp32", threads, call, options)


def _checked(
    bundle: Bundle, graph: TorchGraph, feed: Feed, kind: str, package: Path
) -> tuple[Callable[[], object], dict[str, str]]:
    """What is timed, and what it was set to."""
    tensors = tuple(torch.from_numpy(feed[tensor.name]) for tensor in graph.tensors.inputs)
    module = copy.deepcopy(graph.module).eval()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated and says so; people run it all the same
            built = BUILDS[kind](module, tensors, package)
            with torch.inference_mode():
                got, wanted = (flat(each(*tensors)) for each in (built, module))
    except Exception as error:  # compilers raise whatever their parts raise
        raise ContenderError(f"{kind} not timed: {first_line(error)}") from error
    entry = bundle.manifest.graph(graph.name, "fp32")
    check_answers(kind, entry, *([tensor.numpy() for tensor in side] for side in (got, wanted)))

    def call() -> object:
        with torch.inference_mode():
            return built(*tensors)

    return call, {"torch": torch.__version__, **TOLD[kind]}


def _scripted(module: nn.Module, tensors: Tensors, _package: Path) -> Call:
    frozen: Call = torch.jit.freeze(torch.jit.trace(module, tensors, check_trace=False))  # type: ignore[no-untyped-call]
    for _ in range(2):  # it optimises at its second call
        with torch.inference_mode():
            frozen(*tensors)
    return frozen


def _compiled(module: nn.Module, _tensors: Tensors, _package: Path) -> Call:
    import torch._dynamo  # noqa: PLC0415 - half a second, for this contender alone
    import torch._inductor.config as inductor  # noqa: PLC0415

    # After some shapes of one module torch silently runs the next ones as they are: each contender begins anew.
    torch._dynamo.reset()
    inductor.compile_threads = 1  # no pool of processes that outlives the compiling and runs beside what is timed
    return torch.compile(module, dynamic=False)


def _packaged(_module: nn.Module, _tensors: Tensors, package: Path) -> Call:
    import torch._inductor  # noqa: PLC0415 - as above

    loaded: Call = torch._inductor.aoti_load_package(str(package))
    return loaded


def _package(module: nn.Module, tensors: Tensors, package: Path) -> Call:
    """Compiles what `_packaged` loads."""
    import torch._inductor  # noqa: PLC0415 - as above

    with torch.no_grad():
        program = torch.export.export(module, tensors)
        torch._inductor.aoti_compile_and_package(program, package_path=str(package))
    return _packaged(module, tensors, package)


BUILDS: dict[str, Callable[[nn.Module, Tensors, Path], Call]] = {
    "torchscript": _scripted,
    "compile": _compiled,
    "aotinductor": _packaged,
}
COMPILED: dict[str, Callable[[nn.Module, Tensors, Path], Call]] = {"compile": _compiled, "aotinductor": _package}
"""What the process of its own does."""
TOLD = {
    "torchscript": {"mode": "trace and freeze"},
    "compile": {"mode": "inductor, static shapes"},
    "aotinductor": {"mode": "export and package, static shapes"},
}


def main(arguments: Sequence[str]) -> None:
    """Compiles, and calls the result once."""
    folder, name, kind, threads, file, package = arguments
    torch.set_num_threads(int(threads))
    try:
        graph = next(each for key, each in graphs_of_bundle(load_bundle(Path(folder))).items() if key == name)
        with np.load(file, allow_pickle=False) as arrays:
            tensors = tuple(torch.from_numpy(arrays[tensor.name]) for tensor in graph.tensors.inputs)
        built = COMPILED[kind](copy.deepcopy(graph.module).eval(), tensors, Path(package))
        with torch.inference_mode():
            built(*tensors)
    except ToolkitError as error:
        sys.exit(str(error))
    except Exception as error:  # compilers raise whatever their parts raise
        sys.exit(first_line(error))


if __name__ == "__main__":
    main(sys.argv[1:])
