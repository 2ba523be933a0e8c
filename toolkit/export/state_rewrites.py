"""Rewrites around the states of recurrent nodes: the last step, states that are zero, states that are stacked.

Each one looks at a node and answers with the nodes that take its place, or with None. All of them are exact: the
same numbers, bit for bit, at every batch size and at every sequence length from 1. At length 0 there is no last step
to pick; a graph that picks one fails, whereas ONNX's last state is then the initial one. The guards in front of a
session refuse a length of 0 in either case.
"""

from collections.abc import Sequence

import numpy as np
import onnx

from toolkit.export.graph_view import RECURRENT, Y_H, GraphView, Y, attribute, directions, make_node

Nodes = list[onnx.NodeProto]
_Hoisted = tuple[int, list[str], dict[str, list[int]]]
"""Axis of the mover's input along which to pick first; further inputs and attributes of the mover behind the pick."""

SEQUENCE_LENS, INITIAL_STATES = 4, (5, 6)
"""Places of a recurrent node's inputs."""

Y_AXES = ("sequence", "direction", "batch", "hidden")
SLICE_END = 2**31 - 1
"""What exporters write for an open end of a slice is this or more."""


def drop_zero_states(view: GraphView, node: onnx.NodeProto) -> Nodes | None:
    """A recurrent node without initial states that are zero: that is ONNX's default.

    Modules make them by hand (`torch.zeros(layers, x.size(0), hidden)`), which is traced as a chain of Shape, Concat
    and Expand that runs at every call.
    """
    if node.op_type not in RECURRENT:
        return None
    zero = [place for place in INITIAL_STATES if place < len(node.input) and is_zero(view, node.input[place])]
    if not zero:
        return None
    names = ["" if place in zero else name for place, name in enumerate(node.input)]
    while not names[-1]:
        names.pop()
    changed = onnx.NodeProto()
    changed.CopyFrom(node)
    del changed.input[:]
    changed.input.extend(names)
    return [changed]


def is_zero(view: GraphView, name: str) -> bool:
    """Whether a tensor is made of zeros, however it was stretched, cut and shaped."""
    if not name:
        return False
    value = view.constant(name)
    if value is not None:
        return value.size > 0 and not value.any()
    if node := view.producer(name, "ConstantOfShape"):
        filled = attribute(node, "value")
        return not isinstance(filled, onnx.TensorProto) or not onnx.numpy_helper.to_array(filled).any()
    if node := view.producer(name, "Concat"):
        return all(is_zero(view, piece) for piece in node.input)
    node = view.producer(name, *ZERO_KEEPING)
    return node is not None and is_zero(view, node.input[0])


ZERO_KEEPING = (
    "Cast", "Expand", "Flatten", "Gather", "Identity", "Reshape",
    "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
)  # fmt: skip
"""Operators that only move the numbers of their first input."""


def take_last_state(view: GraphView, node: onnx.NodeProto) -> Nodes | None:
    """The last state in place of the last of all steps.

    Only for a forward node that reads whole sequences: the reverse direction ends at step 0, and with lengths of its
    own a series ends before the last step. An index that is a number from the front stays, whatever the example's
    length was: it is a wrong export or a wish, and not this rewrite's to mend.
    """
    if not _picks_last(view, node) or _axis(node, len(Y_AXES)) != 0:
        return None
    recurrent = view.producer(node.input[0], *RECURRENT)
    if recurrent is None or recurrent.output[Y] != node.input[0] or not _ends_at_the_last_step(recurrent):
        return None
    return [make_node("Identity", [recurrent.output[Y_H]], node.output)]


def pick_step_first(view: GraphView, node: onnx.NodeProto) -> Nodes | None:
    """Picks the last step before whatever re-arranges all steps, so that one step is re-arranged and not each."""
    axes = axes_from_recurrent(view, node.input[0]) if _picks_last(view, node) else None
    if axes is None or axes[axis := _axis(node, len(axes))] != "sequence":
        return None
    mover = view.producer(node.input[0], *_HOISTS)
    if mover is None:
        return None
    source, numbers, attributes = _HOISTS[mover.op_type](view, mover, axis)
    picked = view.fresh("last")
    return [
        make_node("Gather", [mover.input[0], node.input[1]], [picked], axis=source),
        make_node(mover.op_type, [picked, *numbers], node.output, **attributes),
    ]


def slice_to_pick(view: GraphView, node: onnx.NodeProto) -> Nodes | None:
    """`[-1:]` along the sequence as a pick and an axis of 1, for the rewrites above to go on with."""
    axis = _sliced_axis(view, node)
    axes = axes_from_recurrent(view, node.input[0]) if axis is not None else None
    if axes is None or axis is None or axes[axis := axis % len(axes)] != "sequence":
        return None
    picked = view.fresh("last")
    return [
        make_node("Gather", [node.input[0], view.add_integers(-1)], [picked], axis=axis),
        make_node("Unsqueeze", [picked, view.add_integers([axis])], node.output),
    ]


def pick_from_pieces(view: GraphView, node: onnx.NodeProto) -> Nodes | None:
    """One layer's state in place of a pick from all layers' states."""
    stacked = view.producer(node.input[0], "Concat")
    index = view.constant(node.input[1]) if node.op_type == "Gather" else None
    if stacked is None or index is None or index.ndim or attribute(stacked, "axis") or attribute(node, "axis", 0):
        return None
    sizes = [_first_axis(view, name) for name in stacked.input]
    number, total = int(index), sum(sizes)
    if not all(sizes) or not -total <= number < total:
        return None
    number %= total
    for name, size in zip(stacked.input, sizes, strict=True):
        if number < size:
            return [_pick(view, name, size, number, node.output)]
        number -= size
    return None


def pick_from_viewed_pieces(view: GraphView, node: onnx.NodeProto) -> Nodes | None:
    """One layer's state in place of a pick from `hn.view(num_layers, num_directions, -1, hidden_size)`."""
    viewed = view.producer(node.input[0], "Reshape")
    index = view.constant(node.input[1])
    stacked = view.producer(viewed.input[0], "Concat") if viewed is not None else None
    if viewed is None or stacked is None or index is None or index.ndim or attribute(node, "axis", 0):
        return None
    layers = [view.producer(name, *RECURRENT) for name in stacked.input]
    shapes = [
        [len(layers), _first_axis(view, name), -1, attribute(layer, "hidden_size") if layer else 0]
        for name, layer in zip(stacked.input, layers, strict=True)
    ]
    whole = all(shape == view.integers(viewed.input[1]) and shape[1] for shape in shapes)
    if attribute(stacked, "axis") or not whole or not -len(layers) <= int(index) < len(layers):
        return None
    return [make_node("Identity", [stacked.input[int(index)]], node.output)]


def slice_from_pieces(view: GraphView, node: onnx.NodeProto) -> Nodes | None:
    """Some layers' states in place of a slice of all layers' states, where the slice cuts none of them."""
    stacked = view.producer(node.input[0], "Concat")
    bounds = _slice_of_first_axis(view, node) if stacked is not None else None
    if stacked is None or bounds is None or attribute(stacked, "axis"):
        return None
    sizes = [_first_axis(view, name) for name in stacked.input]
    if not all(sizes):
        return None
    start, end, _ = slice(*bounds).indices(sum(sizes))
    edges = np.cumsum([0, *sizes]).tolist()
    if start not in edges or end not in edges or start >= end:
        return None
    pieces = stacked.input[edges.index(start) : edges.index(end)]
    if len(pieces) == 1:
        return [make_node("Identity", pieces, node.output)]
    return None if len(pieces) == len(sizes) else [make_node("Concat", pieces, node.output, axis=0)]


def axes_from_recurrent(view: GraphView, name: str) -> tuple[str, ...] | None:
    """What each axis of a tensor is, if the tensor is all steps of a recurrent node, re-arranged.

    Returns:
        For each axis one of `sequence`, `direction`, `batch`, `hidden`, `merged` or `one`; None for another tensor.
    """
    recurrent = view.producer(name, *RECURRENT)
    if recurrent is not None:
        plain = recurrent.output[Y] == name and not attribute(recurrent, "layout", 0)
        return Y_AXES if plain else None
    mover = view.producer(name, *_HOISTS)
    axes = axes_from_recurrent(view, mover.input[0]) if mover is not None else None
    return _moved(view, mover, axes) if mover is not None and axes is not None else None


def _moved(view: GraphView, mover: onnx.NodeProto, axes: tuple[str, ...]) -> tuple[str, ...] | None:
    if mover.op_type == "Transpose":
        return tuple(axes[place] for place in permutation(mover, len(axes)))
    numbers = view.integers(mover.input[1]) if len(mover.input) > 1 else None
    if numbers is None:
        return None
    if mover.op_type == "Reshape":
        return _reshaped(mover, numbers, axes)
    if mover.op_type == "Squeeze":
        dropped = {number % len(axes) for number in numbers}
        return tuple(axis for place, axis in enumerate(axes) if place not in dropped)
    rank = len(axes) + len(numbers)
    added = {number % rank for number in numbers}
    rest = iter(axes)
    return tuple("one" if place in added else next(rest) for place in range(rank))


def _reshaped(mover: onnx.NodeProto, sizes: list[int], axes: tuple[str, ...]) -> tuple[str, ...] | None:
    """A 0 copies an axis; behind the copied ones anything may have been merged or parted."""
    if attribute(mover, "allowzero", 0) or not sizes:
        return None
    copied = next((place for place, size in enumerate(sizes) if size), len(sizes))
    return (*axes[:copied], *["merged"] * (len(sizes) - copied))


def permutation(node: onnx.NodeProto, rank: int) -> list[int]:
    """The `perm` of a Transpose; without one it reverses the axes."""
    given = attribute(node, "perm")
    return [int(place) for place in given] if isinstance(given, Sequence) else list(range(rank))[::-1]


def _before_transpose(view: GraphView, mover: onnx.NodeProto, axis: int) -> _Hoisted:
    perm = permutation(mover, len(axes_from_recurrent(view, mover.output[0]) or ()))
    source = perm[axis]
    rest = [place - (place > source) for place in perm if place != source]
    return source, [], {"perm": rest}


def _before_squeeze(view: GraphView, mover: onnx.NodeProto, axis: int) -> _Hoisted:
    rank = len(axes_from_recurrent(view, mover.input[0]) or ())
    dropped = sorted(number % rank for number in view.integers(mover.input[1]) or ())
    source = [place for place in range(rank) if place not in dropped][axis]
    rest = [place - (place > source) for place in dropped]
    return source, [view.add_integers(rest)], {}


def _before_unsqueeze(view: GraphView, mover: onnx.NodeProto, axis: int) -> _Hoisted:
    rank = len(axes_from_recurrent(view, mover.output[0]) or ())
    added = sorted(number % rank for number in view.integers(mover.input[1]) or ())
    rest = [place - (place > axis) for place in added]
    return axis - sum(place < axis for place in added), [view.add_integers(rest)], {}


def _before_reshape(view: GraphView, mover: onnx.NodeProto, axis: int) -> _Hoisted:
    # The axis is one that is copied (its name is known), so that those before it are copied as well.
    sizes = view.integers(mover.input[1]) or []
    return axis, [view.add_integers(sizes[:axis] + sizes[axis + 1 :])], {}


_HOISTS = {
    "Transpose": _before_transpose,
    "Squeeze": _before_squeeze,
    "Unsqueeze": _before_unsqueeze,
    "Reshape": _before_reshape,
}


def _picks_last(view: GraphView, node: onnx.NodeProto) -> bool:
    if node.op_type != "Gather":
        return False
    index = view.constant(node.input[1])
    return index is not None and index.ndim == 0 and int(index) == -1


def _axis(node: onnx.NodeProto, rank: int) -> int:
    number = attribute(node, "axis", 0)
    assert isinstance(number, int)  # for the type checker
    return number % rank


def _ends_at_the_last_step(recurrent: onnx.NodeProto) -> bool:
    has_lengths = len(recurrent.input) > SEQUENCE_LENS and recurrent.input[SEQUENCE_LENS] != ""
    forward = attribute(recurrent, "direction", "forward") == "forward"
    return forward and not has_lengths and not attribute(recurrent, "layout", 0)


def _sliced_axis(view: GraphView, node: onnx.NodeProto) -> int | None:
    """The axis along which a Slice leaves the last entry alone."""
    bounds = _bounds(view, node)
    if bounds is None or bounds[0] != -1 or bounds[1] < SLICE_END:
        return None
    return bounds[2]


def _slice_of_first_axis(view: GraphView, node: onnx.NodeProto) -> tuple[int, int] | None:
    bounds = _bounds(view, node)
    return bounds[:2] if bounds is not None and bounds[2] == 0 else None


def _bounds(view: GraphView, node: onnx.NodeProto) -> tuple[int, int, int] | None:
    """Start, end and axis of a Slice of one axis in steps of 1."""
    if node.op_type != "Slice" or len(node.input) < 4:
        return None
    numbers = [view.integers(name) for name in node.input[1:]]
    values = [number[0] for number in numbers if number is not None and len(number) == 1]
    if len(values) != len(numbers) or values[3:] not in ([], [1]):
        return None
    return values[0], values[1], values[2]


def _first_axis(view: GraphView, name: str) -> int:
    """The size of the first axis where the graph itself says it, without anyone's word for a shape; else 0."""
    if recurrent := view.producer(name, *RECURRENT):
        is_state = name in recurrent.output[Y_H:] and not attribute(recurrent, "layout", 0)
        return directions(recurrent) if is_state else 0
    if node := view.producer(name, "Unsqueeze"):
        return int(view.integers(node.input[1]) == [0])
    return 0


def _pick(view: GraphView, name: str, size: int, number: int, output: Sequence[str]) -> onnx.NodeProto:
    if size == 1:
        return make_node("Squeeze", [name, view.add_integers([0])], output)
    return make_node("Gather", [name, view.add_integers(number)], output, axis=0)
