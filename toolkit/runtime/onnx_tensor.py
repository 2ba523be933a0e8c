"""The tensors of an ONNX file: what they are without a look at their numbers, and the numbers where they are asked for.

Field numbers and encodings are those of `TensorProto` in onnx/onnx.proto3 (https://github.com/onnx/onnx). Numbers
that lie outside the file are never looked for.
"""

import math
from dataclasses import field

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.frozen import dataclass
from toolkit.errors import BundleError
from toolkit.runtime.protobuf_wire import FIXED32, FIXED64, Message, WireError, varints

FLOAT, STRING, BOOL, FLOAT16, BFLOAT16 = 1, 8, 9, 10, 16

ELEMENT_NAMES = {
    0: "undefined",
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8e4m3fn",
    18: "float8e4m3fnuz",
    19: "float8e5m2",
    20: "float8e5m2fnuz",
    21: "uint4",
    22: "int4",
    23: "float4e2m1",
    24: "float8e8m0",
    25: "uint2",
    26: "int2",
    27: "float6e2m3",
    28: "float6e3m2",
}
"""`TensorProto.DataType`, with numpy's names where numpy has the type."""

_BITS = {"complex64": 64, "complex128": 128, "bool": 8, "float4e2m1": 4, "float6e2m3": 6, "float6e3m2": 6}
_NARROW = {name: bits for bits in (2, 4, 8, 16, 32, 64) for name in (f"uint{bits}", f"int{bits}", f"float{bits}")}
_EIGHT = ("float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "float8e8m0")
BITS = {**_NARROW, **_BITS, "bfloat16": 16, **dict.fromkeys(_EIGHT, 8)}
"""Bits of one element as `raw_data` packs them."""

_NOT_FINITE = {
    "float8e4m3fn": frozenset([0x7F, 0xFF]),
    "float8e4m3fnuz": frozenset([0x80]),
    "float8e5m2": frozenset([*range(0x7C, 0x80), *range(0xFC, 0x100)]),
    "float8e5m2fnuz": frozenset([0x80]),
    "float8e8m0": frozenset([0xFF]),
}
"""Codes of NaN and infinity: https://onnx.ai/onnx/technical/float8.html."""

MAX_RANK = 64
"""numpy's limit."""
_MAX_ELEMENTS = 1 << 62


@dataclass(frozen=True)
class Property:
    """A key and its value."""

    key: str
    value: str


@dataclass(frozen=True)
class Tensor:
    """Named numbers.

    Attributes:
        name: "" where it has none.
        dtype: numpy's name of the element type, `string`, one of ONNX's narrow types, or `type N`.
        dims: the size of each axis.
        external: keys and values that say where the numbers lie outside the file: `location`, `offset`, `length`.
        is_external: the numbers lie outside the file.
        raw: `raw_data`, None where the numbers are in another field or nowhere.
        packed: the parts of `float_data`, `double_data`, `int32_data`, `int64_data` or `uint64_data` that are packed.
        singles: numbers of the integer fields that came one by one.
        strings: `string_data`.
    """

    name: str
    dtype: str
    dims: tuple[int, ...]
    external: tuple[Property, ...] = ()
    is_external: bool = False
    raw: memoryview | None = field(default=None, repr=False)
    packed: tuple[memoryview, ...] = field(default=(), repr=False)
    singles: tuple[int, ...] = field(default=(), repr=False)
    strings: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def elements(self) -> int:
        """How many numbers the dims ask for."""
        return math.prod(self.dims)

    @property
    def byte_length(self) -> int:
        """Bytes of the numbers as the file holds them; 0 where they lie outside."""
        raw = 0 if self.raw is None else len(self.raw)
        return raw + sum(map(len, self.packed)) + sum(map(len, self.strings)) + 8 * len(self.singles)

    @property
    def location(self) -> str:
        """The file that an external tensor names, or ""."""
        return next((entry.value for entry in self.external if entry.key == "location"), "")


def read_tensor(message: Message) -> Tensor:
    """A `TensorProto` without its numbers being decoded.

    Raises:
        WireError: the message is none, or its dims are no shape.
    """
    code = message.integer(2)
    dims = checked_dims(message.integers(1))
    packed, singles = _typed_data(message, code)
    return Tensor(
        name=message.text(8),
        dtype=element_name(code),
        dims=dims,
        external=properties(message, 13),
        is_external=message.integer(14) == 1,
        raw=message.blob(9),
        packed=packed,
        singles=singles,
        strings=tuple(map(bytes, message.blobs(6))),
    )


def element_name(code: int) -> str:
    """The name of an element type."""
    return ELEMENT_NAMES.get(code, f"type {code}")


def properties(message: Message, number: int) -> tuple[Property, ...]:
    """A field of `StringStringEntryProto`."""
    return tuple(Property(entry.text(1), entry.text(2)) for entry in message.messages(number))


def checked_dims(dims: tuple[int, ...]) -> tuple[int, ...]:
    """Dims that a tensor can have.

    Raises:
        WireError: too many, a negative one, or more elements than can be counted.
    """
    if len(dims) > MAX_RANK:
        raise WireError(f"a tensor of {len(dims)} axes")
    if any(size < 0 for size in dims):
        raise WireError(f"a tensor with an axis of {min(dims)}")
    if math.prod(max(size, 1) for size in dims) > _MAX_ELEMENTS:
        raise WireError("a tensor of more elements than can be counted")
    return dims


def values(tensor: Tensor) -> NDArray[np.generic]:
    """The numbers, in the shape of the dims.

    Returns:
        An array of the tensor's own type; float32 for `bfloat16`, which numpy lacks; the codes (uint8) for the 8-bit
        floats; bytes (object) for strings.

    Raises:
        BundleError: they lie outside the file, are not as many as the dims ask for, or are of another type.
    """
    if tensor.is_external:
        raise BundleError(f"the numbers of {tensor.name} lie outside the file", got=tensor.location)
    try:
        flat = _flat(tensor)
    except (WireError, ValueError) as error:
        raise BundleError(f"the numbers of {tensor.name} cannot be read", got=str(error)) from error
    if flat.size != tensor.elements:
        raise BundleError(
            f"the numbers of {tensor.name} are not as many as its dims ask for",
            got=f"{flat.size} for {list(tensor.dims)}",
        )
    return flat.reshape(tensor.dims)


def not_finite(tensor: Tensor) -> str:
    """`NaN` or `infinity` where a number is that (`NaN or infinity` of 8-bit floats), otherwise "".

    Raises:
        BundleError: as `values`; never of an element type that has neither.
    """
    codes = _NOT_FINITE.get(tensor.dtype)
    if codes is not None:
        return "NaN or infinity" if np.isin(values(tensor), list(codes)).any() else ""
    if not tensor.dtype.startswith(("float", "bfloat", "complex")) or BITS[tensor.dtype] < 8:
        return ""
    numbers = values(tensor)
    if np.isfinite(numbers).all():
        return ""
    return "NaN" if np.isnan(numbers).any() else "infinity"


def _typed_data(message: Message, code: int) -> tuple[tuple[memoryview, ...], tuple[int, ...]]:
    """The parts of the one typed field that the element type uses."""
    name = element_name(code)
    if name in ("float32", "complex64"):
        return tuple(message.fixed(4, FIXED32)), ()
    if name in ("float64", "complex128"):
        return tuple(message.fixed(10, FIXED64)), ()
    number = {"int64": 7, "uint32": 11, "uint64": 11}.get(name, 5)
    return message.packed_integers(number)


def _flat(tensor: Tensor) -> NDArray[np.generic]:
    if tensor.dtype == "string":
        strings = np.empty(len(tensor.strings), object)
        strings[:] = tensor.strings
        return strings
    bits = BITS.get(tensor.dtype, 0)
    if bits < 8:
        raise WireError(f"numbers of {tensor.dtype} are not unpacked")
    if tensor.raw is not None:
        return _widened(np.frombuffer(tensor.raw, _stored(tensor.dtype)), tensor.dtype)
    if tensor.dtype in ("float32", "float64", "complex64", "complex128"):
        return np.frombuffer(b"".join(tensor.packed), _stored(tensor.dtype))
    return _widened(_from_integers(tensor), tensor.dtype)


def _from_integers(tensor: Tensor) -> NDArray[np.generic]:
    """16-bit floats are kept as the integers that have their bits."""
    parts = [varints(part) for part in tensor.packed]
    numbers = np.concatenate([*parts, np.array(tensor.singles, np.int64).view(np.uint64)])
    if tensor.dtype == "bool":
        return numbers.astype(bool)
    stored = np.dtype(_stored(tensor.dtype))
    return numbers.astype(f"u{stored.itemsize}").view(stored)


def _stored(dtype: str) -> str:
    """numpy's code for an element as it lies in the file, little-endian."""
    if dtype in _EIGHT:
        return "u1"
    return "<u2" if dtype == "bfloat16" else np.dtype(dtype).newbyteorder("<").str


def _widened(numbers: NDArray[np.generic], dtype: str) -> NDArray[np.generic]:
    """A bfloat16 is the upper half of a float32."""
    if dtype != "bfloat16":
        return numbers
    return (numbers.astype(np.uint32) << np.uint32(16)).view(np.float32)
