"""The wire format, against hand-written bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.runtime import protobuf_wire
from toolkit.runtime.protobuf_wire import FIXED32, Budget, Message, WireError, read_message, varints


def read(content: bytes) -> Message:
    return read_message(memoryview(content), Budget())


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    octets = []
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*octets, value])


def test_every_wire_type() -> None:
    message = read(b"\x08\x96\x01" + b"\x12\x07testing" + b"\x1d\x00\x00\x80\x3f" + b"\x21" + b"\x00" * 8)
    assert message.integer(1) == 150  # the example of the encoding's documentation
    assert message.text(2) == "testing"
    assert message.floats(3) == (1.0,)
    assert [len(part) for part in message.fixed(4, 1)] == [8]
    assert message.has(4)
    assert not message.has(5)


def test_what_is_absent_has_its_default() -> None:
    message = read(b"")
    assert (message.integer(1), message.integer(1, 7), message.text(1), message.blob(1)) == (0, 7, "", None)
    assert (message.integers(1), message.floats(1), message.texts(1), message.message(1)) == ((), (), (), None)


def test_packed_and_single_numbers_mix() -> None:
    message = read(b"\x08\x01" + b"\x0a\x03\x02\x96\x01" + b"\x08\x03")
    assert message.integers(1) == (1, 2, 150, 3)
    assert read(b"\x0d\x00\x00\x80\x3f\x0a\x08\x00\x00\x00\x40\x00\x00\x40\x40").floats(1) == (1.0, 2.0, 3.0)


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1)))
def test_numbers_one_by_one_and_at_once_agree(numbers: list[int]) -> None:
    singles = b"".join(b"\x08" + varint(number) for number in numbers)
    packed = b"".join(map(varint, numbers))
    assert read(singles).integers(1) == tuple(numbers)
    assert read(b"\x0a" + varint(len(packed)) + packed).integers(1) == tuple(numbers)
    assert varints(memoryview(packed)).view(np.int64).tolist() == numbers


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x08", "a number is cut short"),
        (b"\x08\x80", "a number is cut short"),
        (b"\x08" + b"\x80" * 10 + b"\x01", "a number of more than 10 bytes"),
        (b"\x12\x05abcd", "a field of 5 bytes where 4 are left"),
        (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "a field of 9223372036854775807 bytes where 0 are left"),
        (b"\x1d\x00\x00", "a field of 4 bytes where 2 are left"),
        (b"\x21\x00", "a field of 8 bytes where 1 are left"),
        (b"\x00\x00", "a field of number 0"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", "a field of number 2305843009213693951"),
        (b"\x0b\x0c", "a field of wire type 3"),
        (b"\x0e", "a field of wire type 6"),
    ],
)
def test_bytes_that_are_no_message(content: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=f"^{reason}$"):
        read(content)


@pytest.mark.parametrize(
    ("ask", "content", "reason"),
    [
        (lambda m: m.integers(1), b"\x0d\x00\x00\x00\x00", "field 1 is 4 bytes instead of a varint"),
        (lambda m: m.packed_integers(1), b"\x0d\x00\x00\x00\x00", "field 1 is 4 bytes instead of a varint"),
        (lambda m: m.text(1), b"\x08\x01", "field 1 is a varint instead of a length and bytes"),
        (lambda m: m.text(1), b"\x0d\x41\x42\x43\x44", "field 1 is 4 bytes instead of a length and bytes"),
        (lambda m: m.floats(1), b"\x08\x01", "field 1 is a varint instead of 4 bytes"),
        (lambda m: m.floats(1), b"\x09" + b"\x00" * 8, "field 1 is 8 bytes instead of 4 bytes"),
        (lambda m: m.floats(1), b"\x0a\x03\x00\x00\x00", "3 bytes of 4-byte numbers"),
        (lambda m: m.integers(1), b"\x0a\x01\x80", "a number is cut short"),
        (lambda m: m.integers(1), b"\x0a\x0b" + b"\x80" * 10 + b"\x01", "a number of more than 10 bytes"),
        (lambda m: m.text(1), b"\x0a\x02\xff\xfe", "a name that is not UTF-8"),
        (lambda m: m.message(1), b"\x0a\x00\x0a\x00", "field 1 is there 2 times"),
    ],
)
def test_a_field_of_another_kind_than_asked_for(ask, content: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=f"^{reason}$"):
        ask(read(content))


def test_messages_are_nested_to_a_depth() -> None:
    content = b""
    for _ in range(protobuf_wire.MAX_DEPTH):
        content = b"\x0a" + varint(len(content)) + content
    message = read(content)
    for _ in range(protobuf_wire.MAX_DEPTH - 1):
        inner = message.message(1)
        assert inner is not None
        message = inner
    with pytest.raises(WireError, match="nested more than 100 deep"):
        message.message(1)


@pytest.mark.parametrize("content", [b"\x08\x01" * 100, b"\x0a\x00" * 50, b"\x0a\x64" + b"\x01" * 100])
def test_what_is_read_has_a_cost(content: bytes) -> None:
    def spent(budget: Budget) -> None:
        message = read_message(memoryview(content), budget)
        if content.startswith(b"\x0a\x00"):
            list(message.messages(1))
        else:
            message.integers(1)

    spent(Budget(400))
    with pytest.raises(WireError, match="more than 6000000 fields"):
        spent(Budget(100))


def test_packed_floats_have_a_cost() -> None:
    content = b"\x0a\xc8\x01" + b"\x00" * 200
    with pytest.raises(WireError, match="more than"):
        read_message(memoryview(content), Budget(50)).floats(1)


def test_nothing_is_copied() -> None:
    content = b"\x0a\x04abcd"
    blob = read(content).blob(1)
    assert blob is not None
    assert blob.obj is content
    assert [part.obj for part in read(b"\x0d\x00\x00\x00\x00").fixed(1, FIXED32)] == [b"\x0d\x00\x00\x00\x00"]
