"""What an ONNX file says, read from its bytes: a gateway has no onnx package, and onnxruntime tells little of a graph.

Field numbers are those of onnx/onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3), the wire format
is read in `protobuf_wire`, and tensors in `onnx_tensor`. Documentation strings, inner types (`value_info`), training
information and device configurations are left alone. Nothing is trusted: whatever is wrong with the bytes is one
`BundleError`, and a file that this one names (external data) is never opened.
"""

from collections.abc import Iterator

from toolkit.contract.frozen import dataclass
from toolkit.contract.graph_io import Axis
from toolkit.errors import BundleError
from toolkit.runtime.onnx_tensor import Property, Tensor, checked_dims, element_name, properties, read_tensor
from toolkit.runtime.protobuf_wire import Budget, Message, WireError, read_message

MAX_BYTES = (1 << 31) - 1
"""Protobuf's own limit for one message."""

UNKNOWN_AXIS = "?"

_FIRST_WITH_OPSETS = 3
"""The IR version from which `opset_import` must be there."""

_OTHER_FORMATS = (
    (4, b"ORTM", "onnxruntime's ORT format"),
    (0, b"PK\x03\x04", "a zip archive, such as a torch checkpoint"),
    (0, b"version https://git-lfs", "a Git LFS pointer"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"\x1f\x8b", "a gzip archive"),
)


@dataclass(frozen=True)
class Opset:
    """The version of the operators of one domain; "" is ONNX's own."""

    domain: str
    version: int


@dataclass(frozen=True)
class Value:
    """An input or output.

    Attributes:
        name: its name.
        kind: `tensor`, `sparse_tensor`, `sequence`, `map`, `optional`, `opaque`, or `?` where the file does not say.
        element: the element type of a tensor, the kind of what else holds things, or "".
        axes: for each axis of a tensor its symbolic name, its size or "?"; None where the rank is not given.
    """

    name: str
    kind: str
    element: str
    axes: tuple[Axis, ...] | None


@dataclass(frozen=True)
class SparseTensor:
    """A tensor of which only some numbers are kept: those, where they stand, and the dims of the whole."""

    values: Tensor
    indices: Tensor
    dims: tuple[int, ...]


@dataclass(frozen=True)
class Attribute:
    """One setting of a node; what it does not hold is empty. A single number or text is a tuple of one.

    Attributes:
        name: its name.
        reference: within a function, the function's attribute that gives the value, or "".
        ints: `i` or `ints`.
        floats: `f` or `floats`.
        strings: `s` or `strings`, which need not be text.
        tensors: `t` or `tensors`.
        sparse_tensors: `sparse_tensor` or `sparse_tensors`.
        graphs: `g` or `graphs`: the bodies of control flow.
    """

    name: str
    reference: str = ""
    ints: tuple[int, ...] = ()
    floats: tuple[float, ...] = ()
    strings: tuple[bytes, ...] = ()
    tensors: tuple[Tensor, ...] = ()
    sparse_tensors: tuple[SparseTensor, ...] = ()
    graphs: tuple["Graph", ...] = ()


@dataclass(frozen=True)
class Node:
    """One call of an operator; an input that is left out is named ""."""

    op_type: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    overload: str = ""

    def attribute(self, name: str) -> Attribute | None:
        """The attribute of that name, or None."""
        return next((attribute for attribute in self.attributes if attribute.name == name), None)

    def input(self, place: int) -> str:
        """The name of an input, "" where it is left out."""
        return self.inputs[place] if place < len(self.inputs) else ""


@dataclass(frozen=True)
class Graph:
    """Nodes in their order, what goes in and out, and what is stored."""

    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    initializers: tuple[Tensor, ...]
    sparse_initializers: tuple[SparseTensor, ...]


@dataclass(frozen=True)
class Function:
    """An operator that the file defines itself."""

    name: str
    domain: str
    overload: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: tuple[str, ...]
    defaults: tuple[Attribute, ...]
    opsets: tuple[Opset, ...]
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class OnnxFile:
    """A model; `size` is that of the file in bytes."""

    size: int
    ir_version: int
    producer: str
    producer_version: str
    domain: str
    model_version: int
    opsets: tuple[Opset, ...]
    metadata: tuple[Property, ...]
    graph: Graph
    functions: tuple[Function, ...]

    def roots(self) -> Iterator[Graph]:
        """The graph, and each function's nodes as a graph: names are unique within each of these."""
        yield self.graph
        for function in self.functions:
            yield Graph(function.name, (), (), function.nodes, (), ())

    def graphs(self) -> Iterator[Graph]:
        """Every graph, those of functions and the bodies of control flow included."""
        for root in self.roots():
            yield from with_bodies(root)

    def nodes(self) -> Iterator[Node]:
        """Every node of all of them."""
        for graph in self.graphs():
            yield from graph.nodes


def stored_tensors(file: OnnxFile) -> Iterator[Tensor]:
    """Initializers, sparse ones, and the tensors in attributes, of every graph and function."""
    for graph in file.graphs():
        yield from graph.initializers
        yield from (sparse.values for sparse in graph.sparse_initializers)
    for node in file.nodes():
        for attribute in node.attributes:
            yield from attribute.tensors
            yield from (sparse.values for sparse in attribute.sparse_tensors)


def read_onnx(content: bytes, where: str) -> OnnxFile:
    """Reads a model.

    Args:
        content: the bytes of the file.
        where: what to call it in messages.

    Raises:
        BundleError: the bytes are no ONNX model, or are damaged.
    """
    if not content:
        raise BundleError(f"{where} is empty", allowed="an ONNX file")
    if len(content) > MAX_BYTES:
        raise too_large(where, len(content))
    for place, magic, name in _OTHER_FORMATS:
        if content.startswith(magic, place):
            raise BundleError(f"{where} is no ONNX file", got=name)
    try:
        return _model(read_message(memoryview(content), Budget()), len(content))
    except WireError as error:
        raise BundleError(
            f"{where} is no ONNX file, or damaged or cut short", got=str(error), fix="copy it or export it again"
        ) from error


def with_bodies(graph: Graph) -> Iterator[Graph]:
    """The graph, and every body of control flow within it."""
    yield graph
    for node in graph.nodes:
        for attribute in node.attributes:
            for body in attribute.graphs:
                yield from with_bodies(body)


def too_large(where: str, size: int) -> BundleError:
    """The error for a file above protobuf's limit."""
    return BundleError(f"{where} is too large for ONNX", got=f"{size} bytes", allowed=f"{MAX_BYTES} bytes")


def _model(message: Message, size: int) -> OnnxFile:
    graph = message.message(7)
    if graph is None:
        raise WireError("no graph")
    ir_version, opsets = message.integer(1), _opsets(message, 8)
    if ir_version < 1:
        raise WireError(f"IR version {ir_version}")
    if ir_version >= _FIRST_WITH_OPSETS and not opsets:
        raise WireError("no opset")
    return OnnxFile(
        size=size,
        ir_version=ir_version,
        producer=message.text(2),
        producer_version=message.text(3),
        domain=message.text(4),
        model_version=message.integer(5),
        opsets=opsets,
        metadata=properties(message, 14),
        graph=_graph(graph),
        functions=tuple(map(_function, message.messages(25))),
    )


def _opsets(message: Message, number: int) -> tuple[Opset, ...]:
    return tuple(Opset(entry.text(1), entry.integer(2)) for entry in message.messages(number))


def _graph(message: Message) -> Graph:
    return Graph(
        name=message.text(2),
        inputs=tuple(map(_value, message.messages(11))),
        outputs=tuple(map(_value, message.messages(12))),
        nodes=tuple(map(_node, message.messages(1))),
        initializers=tuple(map(read_tensor, message.messages(5))),
        sparse_initializers=tuple(map(_sparse_tensor, message.messages(15))),
    )


def _function(message: Message) -> Function:
    return Function(
        name=message.text(1),
        domain=message.text(10),
        overload=message.text(13),
        inputs=message.texts(4),
        outputs=message.texts(5),
        attributes=message.texts(6),
        defaults=tuple(map(_attribute, message.messages(11))),
        opsets=_opsets(message, 9),
        nodes=tuple(map(_node, message.messages(7))),
    )


def _node(message: Message) -> Node:
    return Node(
        op_type=message.text(4),
        domain=message.text(7),
        name=message.text(3),
        inputs=message.texts(1),
        outputs=message.texts(2),
        attributes=tuple(map(_attribute, message.messages(5))),
        overload=message.text(8),
    )


def _attribute(message: Message) -> Attribute:
    """A single number of 0 or an empty text is left out by writers of proto3: the type alone then says that it is."""
    kind, reference = message.integer(20), message.text(21)
    absent = not reference
    return Attribute(
        name=message.text(1),
        reference=reference,
        ints=message.integers(3)[-1:] or message.integers(8) or ((0,) if absent and kind == 2 else ()),
        floats=message.floats(2)[-1:] or message.floats(7) or ((0.0,) if absent and kind == 1 else ()),
        strings=_strings(message) or ((b"",) if absent and kind == 3 else ()),
        tensors=tuple(read_tensor(part) for number in (5, 10) for part in message.messages(number)),
        sparse_tensors=tuple(_sparse_tensor(part) for number in (22, 23) for part in message.messages(number)),
        graphs=tuple(_graph(part) for number in (6, 11) for part in message.messages(number)),
    )


def _strings(message: Message) -> tuple[bytes, ...]:
    return tuple(map(bytes, message.blobs(4)[-1:] or message.blobs(9)))


def _sparse_tensor(message: Message) -> SparseTensor:
    parts = (message.message(1), message.message(2))
    if parts[0] is None or parts[1] is None:
        raise WireError("a sparse tensor without values or indices")
    return SparseTensor(read_tensor(parts[0]), read_tensor(parts[1]), checked_dims(message.integers(3)))


_KINDS = {1: "tensor", 4: "sequence", 5: "map", 7: "opaque", 8: "sparse_tensor", 9: "optional"}
"""The fields of `TypeProto`."""


def _value(message: Message) -> Value:
    name, kind, element, axes = message.text(1), UNKNOWN_AXIS, "", None
    declared = message.message(2)
    for number, found in _KINDS.items():
        part = declared.message(number) if declared is not None else None
        if part is not None:
            kind = found
            element, axes = _tensor_type(part) if found.endswith("tensor") else (_held(part, found), None)
    return Value(name, kind, element, axes)


def _tensor_type(message: Message) -> tuple[str, tuple[Axis, ...] | None]:
    shape = message.message(2)
    return element_name(message.integer(1)), None if shape is None else tuple(map(_axis, shape.messages(1)))


def _held(message: Message, kind: str) -> str:
    """The kind of what a sequence, a map or an optional holds, or the name of an opaque type."""
    if kind == "opaque":
        return ".".join(filter(None, message.texts(1) + message.texts(2)))
    inner = message.message(2 if kind == "map" else 1)
    kinds = [name for number, name in _KINDS.items() if inner is not None and inner.has(number)]
    return kinds[0] if kinds else ""


def _axis(message: Message) -> Axis:
    if message.has(1):
        return message.integer(1)
    return message.text(2) or UNKNOWN_AXIS
