"""The reader against bytes that nobody wrote: one line, or a result; never another error, never a file opened."""

import ast
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper, parser
from onnx_corpus import external, small_model

from toolkit.errors import BundleError
from toolkit.runtime import onnx_file
from toolkit.runtime.inspection import inspect_onnx
from toolkit.runtime.onnx_file import read_onnx
from toolkit.runtime.onnx_tensor import values


@pytest.fixture(scope="module")
def content() -> bytes:
    """One small real file of everything that is read: to be damaged."""
    step = parser.parse_graph("agraph (float[N] x) => (float[N] y) <float[2] w = {1, 2}> { y = Add (x, w) }")
    nodes = [
        helper.make_node("LSTM", ["x", "w", "w"], ["y"], name="l", hidden_size=4, activations=["Tanh"], clip=0.5),
        helper.make_node("If", ["c"], ["y"], then_branch=step),
    ]
    weights = [numpy_helper.from_array(np.ones((1, 3), "f4"), "w"), helper.make_tensor("i", 7, [2], [1, 300])]
    return small_model(nodes, weights)


def refused(content: bytes) -> str:
    with pytest.raises(BundleError) as caught:
        read_onnx(content, "m.onnx")
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("m.onnx ")
    return text


def survives(content: bytes) -> None:
    """Either it is refused in one line, or it is read and a sheet of it made, numbers and all."""
    try:
        file = read_onnx(content, "m.onnx")
    except BundleError as error:
        assert "\n" not in error.args[0]
        return
    assert all(warning.isprintable() for warning in inspect_onnx(file, "m.onnx", "1.32.0").warnings)


def test_cut_short_at_every_length(content: bytes) -> None:
    read = []
    for length in range(len(content)):
        try:
            read_onnx(content[:length], "m")
        except BundleError:
            continue
        read.append(length)
    proto = onnx.load_model_from_string(content)
    tail = sum(entry.ByteSize() + 2 for entry in proto.metadata_props)
    # a cut between two entries after the opset is a whole file to every protobuf reader
    assert read == sorted({len(content) - tail, len(content) - tail + proto.metadata_props[0].ByteSize() + 2, *read})
    assert len(read) == 3


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes(content: bytes) -> None:
    survives(content)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_where_a_graph_belongs(content: bytes) -> None:
    size = bytes([len(content)]) if len(content) < 128 else bytes([len(content) & 127 | 128, len(content) >> 7])
    survives(b"\x08\x08\x42\x02\x10\x12\x3a" + size + content)


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, 1 << 20), octets=st.binary(min_size=1, max_size=4))
def test_octets_overwritten(content: bytes, place: int, octets: bytes) -> None:
    place %= len(content)
    survives(content[:place] + octets + content[place + len(octets) :])


def test_every_bit_flipped(content: bytes) -> None:
    for place in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            survives(bytes(damaged))


def nested(levels: int) -> bytes:
    """Bodies of control flow within one another, written by hand: the onnx package would not."""

    def part(number: int, content: bytes) -> bytes:
        size, octets = len(content), []
        while size > 0x7F:
            octets.append(size & 0x7F | 0x80)
            size >>= 7
        return bytes([number << 3 | 2, *octets, size]) + content

    made = b""
    for _ in range(levels):
        made = part(1, part(5, part(6, made)))  # graph < attribute < node
    return b"\x08\x08\x42\x02\x10\x12" + part(7, made)


def test_bodies_nested_without_end() -> None:
    assert len(list(read_onnx(nested(32), "m").graphs())) == 33
    assert "messages nested more than 100 deep" in refused(nested(34))
    assert "messages nested more than 100 deep" in refused(nested(5000))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\x08\x08", "no graph"),
        (b"\x08\x08\x3a\x00", "no opset"),
        (b"\x3a\x00\x42\x02\x10\x12", "IR version 0"),
        (b"\x08\x08\x3a\x00\x3a\x00\x42\x02\x10\x12", "field 7 is there 2 times"),
        (b"\x08\x08\x3a\x02\x7a\x00\x42\x02\x10\x12", "a sparse tensor without values or indices"),
        (b"PK\x03\x04....", "a zip archive, such as a torch checkpoint"),
        (b"\x18\x00\x00\x00ORTM", "onnxruntime's ORT format"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"timestamp,temperature\n2024-01-01,3\n", "is no ONNX file, or damaged or cut short"),
        (b"\x08\x08\x12\x02\xff\xfe\x3a\x00\x42\x02\x10\x12", "a name that is not UTF-8"),
        (b"\x08\x08\x3a\x80\x80\x80\x80\x80\x80\x80\x80\x40", "a field of 4611686018427387904 bytes where 0 are left"),
    ],
)
def test_what_is_no_onnx_file(content: bytes, reason: str) -> None:
    assert reason in refused(content)


@pytest.mark.parametrize(
    ("dims", "reason"),
    [([-1, 4], "an axis of -1"), ([1 << 40] * 3, "more elements than can be counted"), ([1] * 65, "65 axes")],
)
def test_dims_that_are_no_shape(dims: list[int], reason: str) -> None:
    made = TensorProto(name="w", data_type=1, dims=dims, raw_data=b"\x00" * 16)
    assert reason in refused(small_model(initializers=[made]))


@pytest.mark.parametrize(
    ("tensor_", "reason"),
    [
        (TensorProto(name="w", data_type=1, dims=[1 << 31, 1 << 30], raw_data=b"\x00" * 16), "not as many"),
        (TensorProto(name="w", data_type=1, dims=[2], raw_data=b"\x00" * 7), "cannot be read"),
        (TensorProto(name="w", data_type=99, dims=[2], raw_data=b"\x00" * 8), "numbers of type 99"),
        (TensorProto(name="w", data_type=7, dims=[3], int64_data=[1]), "got 1 for [3]"),
        (TensorProto(name="w", data_type=1, dims=[3]), "got 0 for [3]"),
    ],
)
def test_numbers_that_contradict_their_dims(tensor_: TensorProto, reason: str) -> None:
    made = read_onnx(small_model(initializers=[tensor_]), "m").graph.initializers[0]
    with pytest.raises(BundleError) as caught:
        values(made)
    assert reason in str(caught.value)


def test_a_size_above_protobufs_limit_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(onnx_file, "MAX_BYTES", 10)
    assert "is too large for ONNX; got 11 bytes; allowed: 10 bytes" in refused(b"\x08" * 11)


def test_the_reader_opens_nothing() -> None:
    """Neither `open` nor a path occurs in it: external data cannot be followed."""
    for module in ("onnx_file", "onnx_tensor", "protobuf_wire", "graph_wiring", "graph_warnings", "recurrent_warnings"):
        tree = ast.parse((Path(onnx_file.__file__).parent / f"{module}.py").read_text())
        names = {part.id for part in ast.walk(tree) if isinstance(part, ast.Name)}
        imported = {name.name for part in ast.walk(tree) if isinstance(part, ast.Import) for name in part.names}
        assert not {"open", "Path", "os"} & (names | imported), module


def test_external_data_is_not_opened(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "weights.bin")  # whoever opened it would wait for ever
    file = read_onnx(external("weights.bin"), "m")
    with pytest.raises(BundleError, match="lie outside the file"):
        values(file.graph.initializers[0])
