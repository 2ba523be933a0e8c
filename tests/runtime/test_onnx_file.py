"""The reader against the onnx package, field by field."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_corpus import (
    FLOAT8,
    MODELS,
    control_flow,
    every_attribute,
    every_initializer,
    external,
    functions,
    small_model,
)

from toolkit.runtime import onnx_file, onnx_tensor
from toolkit.runtime.onnx_file import Attribute, Graph, Node, OnnxFile, Opset, SparseTensor, Value, read_onnx
from toolkit.runtime.onnx_tensor import ELEMENT_NAMES, Property, Tensor, not_finite, values

DTYPES = {code: name for name, code in TensorProto.DataType.items()}
# what the onnx package makes of the same bytes, in the reader's own classes


def expected_file(content: bytes) -> OnnxFile:
    proto = onnx.load_model_from_string(content)
    return OnnxFile(
        len(content),
        proto.ir_version,
        proto.producer_name,
        proto.producer_version,
        proto.domain,
        proto.model_version,
        opsets(proto.opset_import),
        props(proto.metadata_props),
        graph(proto.graph),
        tuple(
            onnx_file.Function(
                f.name,
                f.domain,
                f.overload,
                tuple(f.input),
                tuple(f.output),
                tuple(f.attribute),
                tuple(map(attribute, f.attribute_proto)),
                opsets(f.opset_import),
                tuple(map(node, f.node)),
            )
            for f in proto.functions
        ),
    )


def opsets(imports) -> tuple[Opset, ...]:
    return tuple(Opset(entry.domain, entry.version) for entry in imports)


def props(entries) -> tuple[Property, ...]:
    return tuple(Property(entry.key, entry.value) for entry in entries)


def graph(proto) -> Graph:
    return Graph(
        proto.name,
        tuple(map(value, proto.input)),
        tuple(map(value, proto.output)),
        tuple(map(node, proto.node)),
        tuple(map(tensor, proto.initializer)),
        tuple(map(sparse, proto.sparse_initializer)),
    )


def node(proto) -> Node:
    attributes = tuple(map(attribute, proto.attribute))
    return Node(
        proto.op_type, proto.domain, proto.name, tuple(proto.input), tuple(proto.output), attributes, proto.overload
    )


def attribute(proto) -> Attribute:
    def one_or_many(single: str, many: str) -> tuple:
        return (getattr(proto, single),) if proto.HasField(single) else tuple(getattr(proto, many))

    return Attribute(
        proto.name,
        proto.ref_attr_name,
        one_or_many("i", "ints"),
        one_or_many("f", "floats"),
        one_or_many("s", "strings"),
        tuple(map(tensor, one_or_many("t", "tensors"))),
        tuple(map(sparse, one_or_many("sparse_tensor", "sparse_tensors"))),
        tuple(map(graph, one_or_many("g", "graphs"))),
    )


def sparse(proto) -> SparseTensor:
    return SparseTensor(tensor(proto.values), tensor(proto.indices), tuple(proto.dims))


def value(proto) -> Value:
    kind = proto.type.WhichOneof("value") if proto.HasField("type") else None
    if kind is None:
        return Value(proto.name, "?", "", None)
    part, name = getattr(proto.type, kind), kind.removesuffix("_type")
    if kind in ("tensor_type", "sparse_tensor_type"):
        axes = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in part.shape.dim)
        return Value(proto.name, name, element(part.elem_type), axes if part.HasField("shape") else None)
    if kind == "opaque_type":
        return Value(proto.name, name, f"{part.domain}.{part.name}", None)
    inner = part.value_type if kind == "map_type" else part.elem_type
    return Value(proto.name, name, inner.WhichOneof("value").removesuffix("_type"), None)


def element(code: int) -> str:
    known = {"FLOAT": "float32", "DOUBLE": "float64"}
    return known.get(DTYPES[code], DTYPES[code].lower())


def tensor(proto) -> Tensor:
    return Tensor(
        proto.name,
        element(proto.data_type),
        tuple(proto.dims),
        props(proto.external_data),
        proto.data_location == TensorProto.EXTERNAL,
        raw=proto.raw_data if proto.HasField("raw_data") else None,
        packed=numbers_of(proto),
        strings=tuple(proto.string_data),
    )


def numbers_of(proto) -> tuple:
    fields = (proto.float_data, proto.double_data, proto.int32_data, proto.int64_data, proto.uint64_data)
    return tuple(number for field in fields for number in field)


def plain(item):
    """The reader's classes with every tensor's numbers decoded, so that they compare with the onnx package's."""
    if isinstance(item, Tensor):
        wide = {"float32": "<f4", "complex64": "<f4", "float64": "<f8", "complex128": "<f8"}.get(item.dtype)
        if wide:
            numbers = [n for part in item.packed for n in np.frombuffer(part, wide).tolist()]
        else:
            signed = "uint64" if item.dtype in ("uint32", "uint64") else "int64"
            numbers = [n for part in item.packed for n in onnx_tensor.varints(part).view(signed).tolist()]
        raw = None if item.raw is None else bytes(item.raw)
        return (item.name, item.dtype, item.dims, item.external, item.is_external, raw, tuple(numbers), item.strings)
    if isinstance(item, tuple):
        return tuple(map(plain, item))
    if hasattr(item, "__dataclass_fields__"):
        return type(item).__name__, tuple(plain(getattr(item, name)) for name in item.__dataclass_fields__)
    return item


def plain_expected(item):
    if isinstance(item, Tensor):
        parts = (item.name, item.dtype, item.dims, item.external, item.is_external, item.raw)
        return (*parts, item.packed, item.strings)
    if isinstance(item, tuple):
        return tuple(map(plain_expected, item))
    if hasattr(item, "__dataclass_fields__"):
        return type(item).__name__, tuple(plain_expected(getattr(item, name)) for name in item.__dataclass_fields__)
    return item


# against the onnx package


@pytest.mark.parametrize("name", MODELS)
def test_every_field_is_what_the_onnx_package_reads(name: str, root: Path, monkeypatch) -> None:
    monkeypatch.chdir(root)
    model = MODELS[name]()
    assert plain(read_onnx(model, name)) == plain_expected(expected_file(model))


def test_the_comparison_can_fail() -> None:
    model = every_attribute()
    other = model.replace(b"Sigmoid", b"Sigmoyd")
    assert plain(read_onnx(other, "m")) != plain_expected(expected_file(model))


def test_element_types_are_those_of_the_onnx_package() -> None:
    assert {code: element(code) for code in DTYPES} == ELEMENT_NAMES
    for code, name in ELEMENT_NAMES.items():
        if name not in ("undefined", "string"):
            narrow = {TensorProto.FLOAT6E2M3: 6, TensorProto.FLOAT6E3M2: 6}
            assert onnx_tensor.BITS[name] == narrow.get(code) or helper.tensor_dtype_to_np_dtype(code) is not None


def test_numbers_are_those_of_the_onnx_package() -> None:
    model = every_initializer()
    found = {t.name: t for t in read_onnx(model, "m").graph.initializers}
    for proto in onnx.load_model_from_string(model).graph.initializer:
        if proto.name == "text" or "INT4" in DTYPES[proto.data_type] or "FLOAT4" in DTYPES[proto.data_type]:
            continue
        wanted = numpy_helper.to_array(proto)
        got = values(found[proto.name])
        if proto.data_type in FLOAT8:
            wanted = wanted.view(np.uint8)
        elif proto.data_type == TensorProto.BFLOAT16:
            wanted = wanted.astype(np.float32)
        assert got.dtype == wanted.dtype, proto.name
        np.testing.assert_array_equal(got, wanted, strict=True)
    assert values(found["text"]).tolist() == [b"\xff\x00", b"ok"]


def test_sizes_of_a_tensor() -> None:
    found = {t.name: t for t in read_onnx(every_initializer(), "m").graph.initializers}
    assert (found["raw_11"].elements, found["raw_11"].byte_length) == (6, 48)
    assert (found["typed_11"].byte_length, found["typed_7"].byte_length, found["text"].byte_length) == (48, 15, 4)
    assert (found["scalar"].elements, found["none"].elements) == (1, 0)
    outside = read_onnx(external(), "m").graph.initializers[0]
    assert (outside.location, outside.byte_length, outside.elements) == ("../../etc/passwd", 0, 4)


def test_numbers_written_one_by_one_are_read_too() -> None:
    single = b"\x08\x02\x10\x07\x38\x05\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x42\x01w"
    floats = b"\x08\x02\x10\x01\x25\x00\x00\x80\x3f\x25\x00\x00\x00\x40\x42\x01f"
    for part in (single, floats):
        assert len(TensorProto.FromString(part).dims) == 1
    graph_ = b"".join(b"\x2a" + bytes([len(part)]) + part for part in (single, floats))
    file = read_onnx(b"\x08\x08\x3a" + bytes([len(graph_)]) + graph_ + b"\x42\x02\x10\x12", "m")
    assert [values(t).tolist() for t in file.graph.initializers] == [[5, -1], [1.0, 2.0]]


def test_a_zero_that_its_writer_left_out_is_there() -> None:
    """Writers of proto3 (onnxruntime's JavaScript, Rust) leave defaults out; the type says what is meant."""
    for kind, wanted in ((2, ((0,), (), ())), (1, ((), (0.0,), ())), (3, ((), (), (b"",)))):
        made = helper.make_node("LSTM", [], [])
        made.attribute.add(name="a", type=kind)
        read = read_onnx(small_model([made]), "m").graph.nodes[0].attributes[0]
        assert (read.ints, read.floats, read.strings) == wanted


def test_every_graph_and_node_is_walked() -> None:
    file = read_onnx(control_flow(), "m")
    assert {part.name for part in file.graphs()} == {"agraph", "yes", "no", "inner", "other", "step"}
    assert sorted(n.op_type for n in file.nodes()) == ["Abs", "Add", "Identity", "If", "If", "Loop", "Mul", "Neg"]
    assert [n.op_type for n in read_onnx(functions(), "m").nodes()] == ["scaled", "Constant", "Mul", "Identity"]


@pytest.mark.parametrize("code", [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16])
@pytest.mark.parametrize(("number", "word"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity"), (1.0, "")])
@pytest.mark.parametrize("raw", [True, False])
def test_what_is_not_finite_is_found(code: int, number: float, word: str, raw: bool) -> None:
    array = np.array([0.0, number]).astype(helper.tensor_dtype_to_np_dtype(code))
    proto = numpy_helper.from_array(array, "w") if raw else helper.make_tensor("w", code, [2], array)
    made = read_onnx(small_model(initializers=[proto]), "m").graph.initializers[0]
    assert not_finite(made) == word


@pytest.mark.parametrize("code", [*FLOAT8, TensorProto.FLOAT8E8M0])
def test_codes_of_8_bit_floats_that_are_not_finite(code: int) -> None:
    dtype = helper.tensor_dtype_to_np_dtype(code)
    for octet in range(256):
        array = np.array([octet], np.uint8).view(dtype)
        made = read_onnx(small_model(initializers=[numpy_helper.from_array(array, "w")]), "m").graph.initializers[0]
        assert bool(not_finite(made)) == (not np.isfinite(array.astype(np.float32))[0]), octet
