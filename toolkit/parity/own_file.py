"""Parity of an ONNX file that somebody else made, with the module that it is said to be."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from torch import nn

from toolkit.contract.graph_io import BATCH, SEQUENCE, Axis, TensorSpec
from toolkit.contract.parity_reports import ParityReport
from toolkit.errors import BundleError, ConfigError, ModelError
from toolkit.export.foreign_graph import foreign_graph
from toolkit.export.turns import probed
from toolkit.parity.check import check_parity
from toolkit.parity.grid import ParityGrid, standard_grid
from toolkit.parity.verdict import Allowed
from toolkit.runtime.inspection import inspect_path
from toolkit.runtime.session import SessionPolicy

UNNAMED = (BATCH, SEQUENCE)
"""What the first two axes are called where a file does not name them."""


@dataclass(frozen=True)
class OwnFile:
    """An `.onnx` file and what is known of it.

    Attributes:
        path: of the file; its external data, if any, lies beside it.
        inputs: names and axes that the file is said to have; none means that the file itself is asked.
        states: for each input that is a state, the output to be fed back into it.
        window_length: samples of an ordinary input.
    """

    path: Path
    inputs: tuple[TensorSpec, ...] = ()
    states: Mapping[str, str] = dataclasses.field(default_factory=dict)
    window_length: int = 60


def check_file(
    module: nn.Module,
    file: OwnFile,
    grid: ParityGrid | None = None,
    policies: Sequence[SessionPolicy] = (SessionPolicy(),),
    *,
    allowed: Allowed | None = None,
    on_case: Callable[[int], None] = lambda done: None,
) -> ParityReport:
    """Compares an ONNX file with a module, whoever exported it and however.

    Args:
        module: called with the file's inputs in their order, or with the states among them in one tuple at the end.
        file: the file.
        grid: shapes and inputs; None means the standard ones around the window's length.
        policies: sessions to run the file in.
        allowed: see `check_parity`.
        on_case: told how many comparisons are done.

    Raises:
        BundleError: no ONNX file, or one that onnxruntime does not load.
        ModelError: a module that does not take what the file takes, or gives another number of tensors.
        ConfigError: names that do not fit the file.
    """
    content, inputs, outputs = _read(file.path)
    specs = _said(file, inputs)
    name_of = [tensor.name for tensor in outputs]
    try:
        graph = foreign_graph(module, specs, name_of, file.states, window_length=file.window_length)
    except ConfigError as error:
        own = f"the {len(name_of)} outputs of the file, {', '.join(name_of)}, and its {len(specs)} inputs"
        raise ModelError(f"the module does not fit {file.path}", got=str(error), allowed=own) from error
    report = check_parity(
        {graph.name: probed(graph)},
        {graph.name: content},
        grid or standard_grid(file.window_length),
        policies=policies,
        allowed=allowed,
        on_case=on_case,
    )
    return dataclasses.replace(report, notes=(*report.notes, *_fixed(file.path, specs)))


def _fixed(path: Path, inputs: Sequence[TensorSpec]) -> Iterator[str]:
    """Axes that may have been meant to take any size: torch 2.13 bakes the example's from its second export on."""
    readings = inputs[0]
    for place, axis in enumerate(readings.axes[: len(UNNAMED)]):
        if isinstance(axis, int) and len(readings.axes) > len(UNNAMED):
            yield f"{path.name}: axis {place} of {readings.name} is fixed at {axis}, so that no other size was compared"


def file_inputs(path: Path) -> tuple[TensorSpec, ...]:
    """What an ONNX file says that it takes.

    Raises:
        BundleError: as `check_file`.
    """
    return _read(path)[1]


def _read(path: Path) -> tuple[bytes, tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The file with its external data inside, and what it says of its inputs and outputs."""
    if path.is_dir():
        raise BundleError(f"{path} is a folder", fix=f"for a bundle: lstm-edge parity {path}")
    (sheet,) = inspect_path(path)  # refuses what is no ONNX file, and what would be read from elsewhere
    for value in (*sheet.inputs, *sheet.outputs):
        if value.element != "float32" or value.axes is None:
            got = f"{value.element or value.kind} of unknown rank" if value.axes is None else value.element
            raise BundleError(f"{path}: {value.name} cannot be compared", got=got, allowed="float32 tensors")
    try:
        content = onnx.load(path).SerializeToString()
    except Exception as error:  # protobuf's, onnx's and the file system's own types
        raise BundleError(f"cannot read {path}", got=" ".join(str(error).split())[:150]) from error
    inputs, outputs = (
        tuple(TensorSpec(value.name, _axes(value.name, value.axes or ())) for value in values)
        for values in (sheet.inputs, sheet.outputs)
    )
    return content, inputs, outputs


def _axes(name: str, axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """A size, a name, or a made-up name where the file has none, or one that is no identifier."""

    def named(place: int, axis: Axis) -> Axis:
        if isinstance(axis, int) or axis.isidentifier():
            return axis
        return UNNAMED[place] if place < len(UNNAMED) else f"{name}_axis_{place}"

    found = [named(place, axis) for place, axis in enumerate(axes)]
    for place, axis in enumerate(found):
        if isinstance(axis, str) and axis in found[:place]:  # one name for two axes: they are free to differ
            found[place] = f"{name}_axis_{place}"
    return tuple(found)


def _said(file: OwnFile, found: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    """The inputs as they are said to be, in the file's order; by default as the file says."""
    if not file.inputs:
        return found
    said = {tensor.name: tensor for tensor in file.inputs}
    names = [tensor.name for tensor in found]
    if set(said) != set(names):
        raise ConfigError("--input", got=", ".join(said), allowed=f"those of {file.path}: {', '.join(names)}")
    wrong = next((tensor for tensor in found if len(said[tensor.name].axes) != len(tensor.axes)), None)
    if wrong is not None:
        got, allowed = list(said[wrong.name].axes), list(wrong.axes)
        raise ConfigError(f"--input {wrong.name} has another number of axes than {file.path}", got=got, allowed=allowed)
    return tuple(said[name] for name in names)
