"""An ONNX file without the shapes that its exporter noted between nodes.

tract holds those notes, symbols and all, against the sizes that it is given, and refuses both. Nothing needs them: each
runtime infers shapes anew. All else stays as it is, byte for byte.
"""

from collections.abc import Iterator

GRAPH = 7
"""Field of `ModelProto`."""
VALUE_INFO = 13
"""Field of `GraphProto`."""
BYTES = 2
FIXED = {1: 8, 5: 4}
"""Bytes of the wire types of fixed size."""


def without_inner_shapes(content: bytes) -> bytes:
    """The same model; `content` is a whole `.onnx` file that was read and checked before."""
    parts: list[bytes] = []
    for number, start, inner, end in _fields(content):
        if number == GRAPH:
            graph = content[inner:end]
            kept = b"".join(graph[begin:stop] for field, begin, _, stop in _fields(graph) if field != VALUE_INFO)
            parts += [bytes([GRAPH << 3 | BYTES]), _varint(len(kept)), kept]
        else:
            parts.append(content[start:end])
    return b"".join(parts)


def _fields(content: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Number of each field, where it starts, where its value starts, and where it ends."""
    place = 0
    while place < len(content):
        start = place
        tag, place = _read_varint(content, place)
        wire, inner = tag & 7, place
        if wire == BYTES:
            length, inner = _read_varint(content, place)
            place = inner + length
        elif wire in FIXED:
            place += FIXED[wire]
        else:
            _, place = _read_varint(content, place)
        yield tag >> 3, start, inner, place


def _read_varint(content: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, place


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
