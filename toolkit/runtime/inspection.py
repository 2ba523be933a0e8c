"""What an ONNX file is, for a person who did not make it."""

import os
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from toolkit.contract.graph_io import Axis
from toolkit.errors import BundleError
from toolkit.runtime.bundle import load_bundle
from toolkit.runtime.environment import RUNTIMES, package_versions
from toolkit.runtime.graph_warnings import graph_warnings
from toolkit.runtime.onnx_compatibility import ONNX, oldest_reader
from toolkit.runtime.onnx_file import MAX_BYTES, OnnxFile, Opset, Value, read_onnx, stored_tensors, too_large
from toolkit.runtime.onnx_tensor import Property
from toolkit.runtime.onnx_text import shown


@dataclass(frozen=True)
class OperatorCount:
    """How often an operator is called; `domain` is "" for ONNX's own."""

    op_type: str
    domain: str
    count: int


@dataclass(frozen=True)
class Inspection:
    """The sheet of one file.

    Attributes:
        name: of the file.
        size_bytes: of the file.
        producer: what wrote it, with its version.
        ir_version: of the file format.
        opsets: version of the operators of each domain.
        minimum_onnxruntime: the oldest release that reads it, None where none is known.
        inputs: what has to be fed: inputs with a stored default are left out.
        outputs: what comes back.
        symbolic_axes: names of the axes that may have any size, in the order in which they appear.
        operators: calls of each operator, bodies of control flow and functions included, the commonest first.
        parameters: numbers stored as initializers or in attributes, wherever they lie.
        parameter_bytes: of those that lie in the file.
        metadata: what the file says of itself.
        warnings: one line each.
    """

    name: str
    size_bytes: int
    producer: str
    ir_version: int
    opsets: tuple[Opset, ...]
    minimum_onnxruntime: str | None
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    symbolic_axes: tuple[str, ...]
    operators: tuple[OperatorCount, ...]
    parameters: int
    parameter_bytes: int
    metadata: tuple[Property, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class InspectionReport:
    """What `inspect --json` writes: one sheet for a file, one for each graph of a bundle."""

    graphs: tuple[Inspection, ...]
    schema: str = "inspection/1"


def inspect_onnx(file: OnnxFile, name: str, installed: str | None = None) -> Inspection:
    """The sheet of a file that has been read.

    Args:
        file: the model.
        name: of the file, without its folder.
        installed: version of the onnxruntime to hold the file against, None for none.
    """
    minimum = oldest_reader(file)
    stored = {tensor.name for tensor in file.graph.initializers}
    inputs = tuple(value for value in file.graph.inputs if value.name not in stored)
    tensors = tuple(stored_tensors(file))
    return Inspection(
        name=name,
        size_bytes=file.size,
        producer=f"{file.producer} {file.producer_version}".strip(),
        ir_version=file.ir_version,
        opsets=file.opsets,
        minimum_onnxruntime=minimum,
        inputs=inputs,
        outputs=file.graph.outputs,
        symbolic_axes=_symbolic((*inputs, *file.graph.outputs)),
        operators=_operators(file),
        parameters=sum(tensor.elements for tensor in tensors),
        parameter_bytes=sum(tensor.byte_length for tensor in tensors),
        metadata=file.metadata,
        warnings=graph_warnings(file, name, minimum, installed),
    )


def inspect_path(path: Path) -> tuple[Inspection, ...]:
    """The sheet of an ONNX file, or those of the graphs of a bundle, held against the onnxruntime that is installed.

    Raises:
        BundleError: nothing is there, a folder is no bundle, or a file is empty, too large, damaged, no ONNX file, or
            names a file outside its folder.
    """
    installed = installed_onnxruntime()
    if not path.is_dir():
        file = read_onnx(_content(path), str(path))
        _refuse_leading_out(file, path)
        return (inspect_onnx(file, path.name, installed),)
    bundle = load_bundle(path)
    names = [entry.file for entry in bundle.manifest.graphs]
    return tuple(inspect_onnx(read_onnx(bundle.read(name), str(path / name)), name, installed) for name in names)


def installed_onnxruntime() -> str | None:
    """The version of the onnxruntime that is installed, without importing it; None where there is none."""
    return next(iter(package_versions(RUNTIMES).values()), None)


def _content(path: Path) -> bytes:
    """The bytes of a plain file that is no larger than an ONNX file can be: its size is asked before it is read."""
    try:
        # Non-blocking: opening a pipe must not wait for a writer.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BundleError(f"{path} is no plain file", allowed="an ONNX file or a bundle")
            if status.st_size > MAX_BYTES:
                raise too_large(str(path), status.st_size)
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BundleError(f"cannot read {path}", got=reason, fix="name an ONNX file or a bundle") from error


def _refuse_leading_out(file: OnnxFile, path: Path) -> None:
    """External data beside the file is ordinary; whoever loads a file that leads elsewhere would read what lies there.

    Whether a part of the way is a link is asked of the names alone: nothing is opened or followed.
    """
    for place in dict.fromkeys(tensor.location for tensor in stored_tensors(file) if tensor.is_external):
        way = PurePosixPath(place.replace("\\", "/"))
        steps = [path.parent / step for step in (way, *way.parents)]
        leads_out = way.is_absolute() or ".." in way.parts or bool(PureWindowsPath(place).drive)
        if leads_out or any(os.path.islink(step) for step in steps[:-1]):
            raise BundleError(
                f"{path} keeps numbers in a file outside its folder",
                got=f"external data in {shown(place)}" + ("" if leads_out else ", which is a link"),
                allowed="external data in the file's own folder",
                fix="save the file anew with its weights inside",
            )


def _operators(file: OnnxFile) -> tuple[OperatorCount, ...]:
    counts = Counter((node.op_type, "" if node.domain in ONNX else node.domain) for node in file.nodes())
    return tuple(OperatorCount(*key, count) for key, count in counts.most_common())


def _symbolic(values: tuple[Value, ...]) -> tuple[str, ...]:
    axes: list[Axis] = [axis for value in values for axis in value.axes or ()]
    return tuple(dict.fromkeys(axis for axis in axes if isinstance(axis, str)))
