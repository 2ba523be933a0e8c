"""Whether one graph's line in `manifest.json` makes sense by itself."""

from toolkit.contract.graph_entry import GraphEntry
from toolkit.contract.graph_io import figure_axis
from toolkit.contract.model_spec import LARGEST
from toolkit.errors import BundleError

LONGEST_NAME = 200
"""Characters; file systems take 255 bytes."""


def check_entry(entry: GraphEntry) -> None:
    """What the guards rely on: unique names, states that are an input and an output of the same axes, sane sizes.

    Raises:
        BundleError: names the graph and what is wrong.
    """
    tensors = entry.signature
    where = f"manifest.json: the {entry.name} graph"
    if not entry.file.endswith(".onnx") or len(entry.file) > LONGEST_NAME:
        allowed = f"a name with .onnx at its end, of at most {LONGEST_NAME} characters"
        raise BundleError(f"{where}: file", got=repr(entry.file[:LONGEST_NAME]), allowed=allowed)
    for side in (tensors.inputs, tensors.outputs):
        names = [tensor.name for tensor in side]
        if not names or len(names) != len(set(names)):
            raise BundleError(f"{where}: tensors", got=names, allowed="at least one, each name once")
        wrong = [n for tensor in side for n in tensor.axes if isinstance(n, int) and not 1 <= n <= LARGEST]
        if wrong:
            raise BundleError(f"{where}: size of an axis", got=wrong[0], allowed=f"1 or more, at most {LARGEST}")
    inputs, outputs = ({tensor.name: tensor.axes for tensor in side} for side in (tensors.inputs, tensors.outputs))
    for given, new in tensors.states.items():
        if given not in inputs or inputs[given] != outputs.get(new):
            raise BundleError(f"{where}: state {given}={new}", allowed="an input and an output of the same axes")
    if entry.one_series != (entry.precision == "int8"):
        raise BundleError(
            f"{where} in {entry.precision}: one_series",
            got=str(entry.one_series).lower(),
            allowed="true in int8, where one scale serves a whole batch, and false otherwise",
        )
    if bool(tensors.states) != (entry.name == "streaming"):
        raise BundleError(
            f"manifest.json: states of the {entry.name} graph",
            got=tensors.states,
            allowed="at least one of a streaming graph, none of a windowed one",
        )
    if not tensors.data or not tensors.answers:
        raise BundleError(f"{where} has nothing but states")
    _check_limits(entry, where)
    _check_tolerances(entry, where)


def _check_tolerances(entry: GraphEntry, where: str) -> None:
    """How large they may be is for the golden vectors to say."""
    outputs = {tensor.name for tensor in entry.outputs}
    if set(entry.golden_atol) != outputs:
        raise BundleError(f"{where}: golden_atol", got=list(entry.golden_atol), allowed=f"each of {sorted(outputs)}")
    for tensor in entry.outputs:
        figures, targets = entry.golden_atol[tensor.name], tensor.axes[figure_axis(tensor)] if tensor.axes else 1
        per_target = tensor in entry.signature.answers and (isinstance(targets, str) or len(figures) == targets)
        if not figures or not all(figure > 0 for figure in figures) or not (per_target or len(figures) == 1):
            raise BundleError(
                f"{where}: golden_atol of {tensor.name}",
                got=list(figures),
                allowed="one positive figure, or one for each target",
            )


def _check_limits(entry: GraphEntry, where: str) -> None:
    axes = set(entry.signature.symbolic_axes)
    for key, sizes in (("min_sizes", entry.min_sizes), ("max_sizes", entry.max_sizes)):
        if not set(sizes) <= axes or not all(1 <= size <= LARGEST for size in sizes.values()):
            raise BundleError(f"{where}: {key}", got=sizes, allowed="sizes of its symbolic axes")
    for axis, most in entry.max_sizes.items():
        if most < entry.limits.at_least(axis):
            allowed = f"no less than its min_sizes, {entry.limits.at_least(axis)}"
            raise BundleError(f"{where}: max_sizes of {axis}", got=most, allowed=allowed)
