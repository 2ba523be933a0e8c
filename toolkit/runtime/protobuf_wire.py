"""Reads protobuf messages from bytes that may be anything, without the protobuf package.

https://protobuf.dev/programming-guides/encoding/: a message is a row of fields; a field is a tag (its number and its
wire type) and a value: a varint, eight bytes, a length and so many bytes, or four bytes. There is no other structure,
so damage is found by a value that reaches past the end, by a tag that no writer makes and by a wire type other than
the one that the reader asks for; whatever is wrong is a `WireError`.

What a hostile file may cost is bounded: strings and blobs are views of the file's own bytes, declared lengths allocate
nothing, messages are nested at most `MAX_DEPTH` deep, and what is read of a file costs at most `MAX_COST`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolkit.contract.frozen import dataclass

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_NAMES = {VARINT: "a varint", FIXED64: "8 bytes", BYTES: "a length and bytes", FIXED32: "4 bytes"}

MAX_DEPTH = 100
"""Messages within messages: protobuf's own limit in C++ and Java."""
MAX_COST = 6_000_000
"""Of one file: a field or a number costs 1, a message 5, after the memory that each takes once it is read.

Large transformers cost a few hundred thousand: weights are one field however many numbers they hold.
"""
MESSAGE_COST = 5
MAX_VARINT_BYTES = 10


class WireError(ValueError):
    """The bytes are no message of the expected kind; the text says why."""


class Budget:
    """How much may still be read of one file."""

    def __init__(self, left: int = MAX_COST) -> None:
        self.left = left

    def spend(self, cost: int) -> None:
        """Takes a cost off.

        Raises:
            WireError: there is not so much left.
        """
        if cost > self.left:
            raise WireError(f"more than {MAX_COST} fields")
        self.left -= cost


class Entry(NamedTuple):
    """One field's wire type and value: an unsigned whole number for a varint, otherwise its bytes."""

    wire: int
    value: int | memoryview


@dataclass(frozen=True)
class Message:
    """The fields of one message by number; each method reads one field of the schema.

    A field that is absent has the default of protobuf: 0, "", no bytes, nothing.
    """

    entries: dict[int, list[Entry]]
    depth: int
    budget: Budget = field(repr=False)

    def has(self, number: int) -> bool:
        """Whether the field is there."""
        return number in self.entries

    def integer(self, number: int, default: int = 0) -> int:
        """A signed whole number of 64 bits; the last one where there are several, as protobuf has it."""
        values = self.integers(number)
        return values[-1] if values else default

    def integers(self, number: int) -> tuple[int, ...]:
        """Signed whole numbers of 64 bits, packed, one by one or mixed."""
        return tuple(value for entry in self._all(number) for value in self._integers(entry, number))

    def packed_integers(self, number: int) -> tuple[tuple[memoryview, ...], tuple[int, ...]]:
        """Whole numbers not yet decoded: the packed parts (for `varints`), and those that came one by one."""
        entries = self._all(number)
        wrong = next((entry for entry in entries if entry.wire not in (VARINT, BYTES)), None)
        if wrong is not None:
            raise _wrong_wire(number, wrong.wire, VARINT)
        packed = tuple(entry.value for entry in entries if isinstance(entry.value, memoryview))
        return packed, tuple(_signed(entry.value) for entry in entries if isinstance(entry.value, int))

    def floats(self, number: int) -> tuple[float, ...]:
        """Floats of 32 bits, packed, one by one or mixed."""
        parts = tuple(self.fixed(number, FIXED32))
        self.budget.spend(sum(map(len, parts)) // 4)
        return tuple(float(value) for part in parts for value in np.frombuffer(part, "<f4"))

    def fixed(self, number: int, wire: int) -> Iterator[memoryview]:
        """The bytes of numbers of a fixed size, packed, one by one or mixed.

        Args:
            number: the field's.
            wire: `FIXED32` or `FIXED64`.
        """
        size = 4 if wire == FIXED32 else 8
        for entry in self._all(number):
            part = entry.value
            if isinstance(part, int) or entry.wire not in (wire, BYTES):
                raise _wrong_wire(number, entry.wire, wire)
            if len(part) % size:
                raise WireError(f"{len(part)} bytes of {size}-byte numbers")
            yield part

    def blobs(self, number: int) -> tuple[memoryview, ...]:
        """Byte strings, as views of the file."""
        return tuple(_bytes(entry, number) for entry in self._all(number))

    def blob(self, number: int) -> memoryview | None:
        """One byte string, the last where there are several; None where there is none."""
        blobs = self.blobs(number)
        return blobs[-1] if blobs else None

    def text(self, number: int) -> str:
        """One text."""
        blob = self.blob(number)
        return "" if blob is None else _text(blob)

    def texts(self, number: int) -> tuple[str, ...]:
        """Texts in their order."""
        return tuple(_text(blob) for blob in self.blobs(number))

    def messages(self, number: int) -> Iterator["Message"]:
        """Messages within this one, each read when it is asked for."""
        return (read_message(blob, self.budget, self.depth + 1) for blob in self.blobs(number))

    def message(self, number: int) -> "Message | None":
        """One message within this one, or None.

        Raises:
            WireError: there are two: protobuf would merge them, which no writer of ONNX needs.
        """
        found = list(self.messages(number))
        if len(found) > 1:
            raise WireError(f"field {number} is there {len(found)} times")
        return found[0] if found else None

    def _all(self, number: int) -> list[Entry]:
        return self.entries.get(number, [])

    def _integers(self, entry: Entry, number: int) -> list[int]:
        if isinstance(entry.value, int):
            return [_signed(entry.value)]
        if entry.wire != BYTES:
            raise _wrong_wire(number, entry.wire, VARINT)
        self.budget.spend(len(entry.value))  # as many numbers as that at most
        return [int(value) for value in varints(entry.value).view(np.int64)]


def read_message(content: memoryview, budget: Budget, depth: int = 1) -> Message:
    """The fields of a message, not yet those of the messages within it.

    Args:
        content: the message's bytes; what is read refers to them.
        budget: of the whole file.
        depth: of this message, the outermost counting 1.

    Raises:
        WireError: the bytes are no message, or one too large.
    """
    if depth > MAX_DEPTH:
        raise WireError(f"messages nested more than {MAX_DEPTH} deep")
    budget.spend(MESSAGE_COST)
    entries: dict[int, list[Entry]] = {}
    place, count = 0, 0
    while place < len(content):
        count += 1
        if count > budget.left:
            break
        tag, place = _varint(content, place)
        number = tag >> 3
        if not 0 < number < 1 << 29:
            raise WireError(f"a field of number {number}")
        entry, place = _entry(content, place, tag & 7)
        entries.setdefault(number, []).append(entry)
    budget.spend(count)
    return Message(entries, depth, budget)


def varints(packed: memoryview) -> NDArray[np.uint64]:
    """Packed varints, all at once: weights may come as millions of them.

    Returns:
        uint64 `[count]`; bits above the 64th are dropped, as protobuf does.

    Raises:
        WireError: the last one is cut short, or one is longer than ten bytes.
    """
    octets = np.frombuffer(packed, np.uint8)
    ends = np.flatnonzero(octets < 0x80)
    if len(octets) and (not len(ends) or ends[-1] != len(octets) - 1):
        raise WireError("a number is cut short")
    starts = np.concatenate([np.zeros(1, np.int64), ends + 1])[:-1]
    lengths = ends - starts + 1
    if len(lengths) and lengths.max() > MAX_VARINT_BYTES:
        raise WireError(f"a number of more than {MAX_VARINT_BYTES} bytes")
    values = np.zeros(len(ends), np.uint64)
    for place in range(int(lengths.max(initial=0))):
        longer = np.flatnonzero(lengths > place)
        part = (octets[starts[longer] + place] & 0x7F).astype(np.uint64)
        values[longer] |= part << np.uint64(7 * place)
    return values


def _entry(content: memoryview, place: int, wire: int) -> tuple[Entry, int]:
    if wire == VARINT:
        value, end = _varint(content, place)
        return Entry(wire, value), end
    if wire == BYTES:
        size, place = _varint(content, place)
    elif wire in (FIXED32, FIXED64):
        size = 4 if wire == FIXED32 else 8
    else:
        raise WireError(f"a field of wire type {wire}")
    if size > len(content) - place:
        raise WireError(f"a field of {size} bytes where {len(content) - place} are left")
    return Entry(wire, content[place : place + size]), place + size


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    """The unsigned number at `place`, and the place after it."""
    if place < len(content) and content[place] < 0x80:  # by far the most have one byte
        return content[place], place + 1
    value = 0
    for count, octet in enumerate(content[place : place + MAX_VARINT_BYTES]):
        value |= (octet & 0x7F) << 7 * count
        if octet < 0x80:
            return value & (1 << 64) - 1, place + count + 1
    if place + MAX_VARINT_BYTES <= len(content):
        raise WireError(f"a number of more than {MAX_VARINT_BYTES} bytes")
    raise WireError("a number is cut short")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _bytes(entry: Entry, number: int) -> memoryview:
    if isinstance(entry.value, int) or entry.wire != BYTES:
        raise _wrong_wire(number, entry.wire, BYTES)
    return entry.value


def _text(blob: memoryview) -> str:
    try:
        return str(blob, "utf-8")
    except UnicodeDecodeError as error:
        raise WireError("a name that is not UTF-8") from error


def _wrong_wire(number: int, got: int, wanted: int) -> WireError:
    return WireError(f"field {number} is {_NAMES[got]} instead of {_NAMES[wanted]}")


def write_message(entries: Mapping[int, Sequence[Entry]]) -> bytes:
    """A message of these fields, each number's in their order."""
    parts: list[bytes | memoryview] = []
    for number, values in entries.items():
        for entry in values:
            parts.append(_written_varint(number << 3 | entry.wire))
            if isinstance(entry.value, int):
                parts.append(_written_varint(entry.value))
            else:
                parts += [_written_varint(len(entry.value)), entry.value] if entry.wire == BYTES else [entry.value]
    return b"".join(parts)


def _written_varint(value: int) -> bytes:
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*octets, value])
