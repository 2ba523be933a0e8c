"""onnxruntime's own file format, for minimal builds: they read `.ort` alone, with the operators they were built for.

What such a build cannot do at run time is done here: the graph is optimised before it is saved. The level is
`ORT_ENABLE_EXTENDED`, the highest that does not depend on this machine's CPU: onnxruntime warns that what it saves
above that level may hold hardware-specific layouts, for the same environment only.
"""

import importlib
import logging
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnxruntime

from toolkit.errors import ModelError
from toolkit.runtime.providers import one_line
from toolkit.runtime.session import CPU

DEFAULT_DOMAIN = "ai.onnx"

_HEADER = "# Operators of the .ort file beside this one, for --include_ops_by_config of onnxruntime's build.\n"
_ALIGNMENT = 16


def ort_files(graph: bytes, name: str) -> dict[str, bytes]:
    """The graph in onnxruntime's format, and the list of operators that a minimal build needs for it.

    Both are the same bytes for the same graph and the same onnxruntime, and say nothing of this machine.

    Args:
        graph: the contents of an `.onnx` file with its weights inside.
        name: what the files are called, and the graph in messages.

    Returns:
        The contents of `name.ort` and of `name.required_operators.config`: a comment, then one line
        `domain;opset;operator,operator` for each opset in which an operator was last changed.

    Raises:
        ModelError: onnxruntime cannot save the graph.
    """
    fbs = _bindings()
    content = _settled(_saved(graph, name), fbs)
    operators: dict[tuple[str, int], set[str]] = {}
    _collect(_read(content, fbs).Model().Graph(), fbs, operators)
    lines = [f"{domain};{opset};{','.join(sorted(names))}\n" for (domain, opset), names in sorted(operators.items())]
    return {f"{name}.ort": content, f"{name}.required_operators.config": "".join([_HEADER, *lines]).encode()}


def _saved(graph: bytes, name: str) -> bytes:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, and told once
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.add_session_config_entry("session.save_model_format", "ORT")
    # Unset, this follows the CPU of this machine; 0 runs on all.
    options.add_session_config_entry("session.qdqisint8allowed", "0")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "graph.ort"
        options.optimized_model_filepath = str(target)
        try:
            onnxruntime.InferenceSession(graph, options, providers=[CPU])
        except Exception as error:  # onnxruntime raises several unrelated types
            told = one_line(str(error) or type(error).__name__)
            raise ModelError(f"onnxruntime cannot save {name} in its own format", got=told) from error
        return target.read_bytes()


def _bindings() -> Any:
    """The readers and writers of the format's tables that onnxruntime brings along."""
    handlers = list(logging.root.handlers)
    importlib.import_module("onnxruntime.tools.ort_format_model")  # makes the next line possible
    logging.root.handlers[:] = handlers  # it configures logging for the whole process
    return importlib.import_module("ort_flatbuffers_py.fbs")


def _read(content: bytes, fbs: Any) -> Any:
    return fbs.InferenceSession.InferenceSession.GetRootAs(content, 0)


def _vector(item: Callable[[int], Any], length: Callable[[], int]) -> Iterator[Any]:
    return (item(place) for place in range(length()))


def _collect(graph: Any, fbs: Any, found: dict[tuple[str, int], set[str]]) -> None:
    """Adds the operators of a graph, and of the bodies of its loops and branches."""
    for node in _vector(graph.Nodes, graph.NodesLength):
        key = (node.Domain().decode() or DEFAULT_DOMAIN, node.SinceVersion())
        found.setdefault(key, set()).add(node.OpType().decode())
        for attribute in _vector(node.Attributes, node.AttributesLength):
            if attribute.Type() == fbs.AttributeType.AttributeType.GRAPH:
                _collect(attribute.G(), fbs, found)


def _settled(content: bytes, fbs: Any) -> bytes:
    """The same file with its table of kernel types written anew, in one order.

    onnxruntime writes that table in the order of a hash map that is seeded by addresses, so that every saving gives
    another file. A flatbuffer grows from its end: the model, written before that table, lies behind it and refers to
    nothing in front of itself, and so it is taken over as it stands, at the same distance from the end.
    """
    session = _read(content, fbs)
    place = session.Model()._tab.Pos
    (layout,) = struct.unpack_from("<i", content, place)  # how far in front of the table its list of fields lies
    model = content[min(place, place - layout) :]
    builder = importlib.import_module("flatbuffers").Builder(len(content) + _ALIGNMENT)
    builder.Prep(_ALIGNMENT, 0)
    builder.CreateByteVector(bytes(-len(model) % _ALIGNMENT) + model)
    version = builder.CreateString(session.OrtVersion())
    kernels = _kernel_types(builder, session.KernelTypeStrResolver(), fbs)
    fbs.InferenceSession.Start(builder)
    fbs.InferenceSession.AddOrtVersion(builder, version)
    fbs.InferenceSession.AddModel(builder, len(content) - place)
    fbs.InferenceSession.AddKernelTypeStrResolver(builder, kernels)
    builder.Finish(fbs.InferenceSession.End(builder), file_identifier=b"ORTM")
    return bytes(builder.Output())


def _kernel_types(builder: Any, table: Any, fbs: Any) -> int:
    """Writes which inputs and outputs settle each type of each operator; minimal builds find their kernels by it."""
    operators = []
    for operator in _vector(table.OpKernelTypeStrArgs, table.OpKernelTypeStrArgsLength):
        types = [
            _kernel_type(builder, kind, fbs)
            for kind in _vector(operator.KernelTypeStrArgs, operator.KernelTypeStrArgsLength)
        ]
        entry = {"AddOpId": builder.CreateString(operator.OpId()), "AddKernelTypeStrArgs": _written(builder, types)}
        operators.append(_table(builder, fbs.OpIdKernelTypeStrArgsEntry, entry))
    return _table(builder, fbs.KernelTypeStrResolver, {"AddOpKernelTypeStrArgs": _written(builder, operators)})


def _kernel_type(builder: Any, kind: Any, fbs: Any) -> int:
    places = [
        _table(builder, fbs.ArgTypeAndIndex, {"AddArgType": place.ArgType(), "AddIndex": place.Index()})
        for place in _vector(kind.Args, kind.ArgsLength)
    ]
    entry = {"AddKernelTypeStr": builder.CreateString(kind.KernelTypeStr()), "AddArgs": _written(builder, places)}
    return _table(builder, fbs.KernelTypeStrArgsEntry, entry)


def _table(builder: Any, kind: Any, fields: dict[str, int]) -> int:
    kind.Start(builder)
    for add, value in fields.items():
        getattr(kind, add)(builder, value)
    place: int = kind.End(builder)
    return place


def _written(builder: Any, places: list[int]) -> int:
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    end: int = builder.EndVector()
    return end
