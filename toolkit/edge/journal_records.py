"""What the journal's tables hold, as bytes: little endian, each record under a checksum of itself and its key.

SQLite checks its own structure and the frames of its log, but not what lies in a page. A bit that a worn memory card
turned in a state would give other forecasts and no error; here it breaks a seal.
"""

import struct
import zlib
from collections.abc import Sequence

from toolkit.edge.changes import AssetRecord, Row, Sample

_SEAL = struct.Struct("<I")
SEAL_BYTES = _SEAL.size
_NOTHING = -(1 << 63)
"""Stands for None: a time, a place or a sequence number never is that."""
_RECORD = struct.Struct("<6q5HI")
_NO_STATE = (1 << 32) - 1
_ROW = struct.Struct("<qqI")
_ASSET_BITS = 32


class SealError(ValueError):
    """A record does not carry the checksum of its bytes."""


def seal(key: int, body: bytes) -> bytes:
    """The bytes of a record that is kept under `key`."""
    return _SEAL.pack(_checksum(key, body)) + body


def unseal(key: object, content: object) -> bytes:
    """What was sealed.

    Raises:
        SealError: it is not that any more.
    """
    if not isinstance(key, int) or not isinstance(content, bytes) or len(content) < _SEAL.size:
        raise SealError("a record is none")
    body = content[_SEAL.size :]
    if _SEAL.unpack_from(content)[0] != _checksum(key, body):
        raise SealError(f"the checksum of record {key} is wrong")
    return body


def _checksum(key: int, body: bytes) -> int:
    return zlib.crc32(body, (key ^ key >> 32) & 0xFFFFFFFF)  # another key is another beginning


def pack_samples(samples: Sequence[Sample]) -> bytes:
    """All samples of one commit, column by column: 30 bytes each."""
    assets, columns, times, values, sequences = zip(*samples, strict=True)
    count = len(samples)
    numbers = [_NOTHING if sequence is None else sequence for sequence in sequences]
    return b"".join(
        (
            struct.pack(f"<{count}I", *assets),
            struct.pack(f"<{count}H", *columns),
            struct.pack(f"<{count}q", *times),
            struct.pack(f"<{count}d", *values),
            struct.pack(f"<{count}q", *numbers),
        )
    )


def unpack_samples(body: bytes) -> list[Sample]:
    """The samples of one commit in the order in which they were accepted."""
    count = len(body) // 30
    parts = struct.unpack(f"<{count}I{count}H{count}q{count}d{count}q", body)
    assets, columns, times, values, numbers = (parts[n * count : (n + 1) * count] for n in range(5))
    sequences = [_maybe(number) for number in numbers]
    return [Sample(*fields) for fields in zip(assets, columns, times, values, sequences, strict=True)]


def pack_record(record: AssetRecord) -> bytes:
    """A record without its number, which is its key."""
    name, bundle = record.name.encode(), record.state_bundle.encode()
    newest, sequences, held = record.newest_us, record.sequences, record.held
    open_place, last_place, suspect_us, *lists = (
        _NOTHING if number is None else number
        for number in (record.open_place, record.last_place, record.suspect_us, *newest, *sequences, *held)
    )
    head = _RECORD.pack(
        record.origin_us,
        open_place,
        record.series,
        last_place,
        suspect_us,
        record.age,
        len(name),
        len(bundle),
        len(newest),
        len(sequences),
        len(held),
        _NO_STATE if record.state is None else len(record.state),
    )
    return b"".join((head, struct.pack(f"<{len(lists)}q", *lists), name, bundle, record.state or b""))


def unpack_record(number: int, body: bytes) -> AssetRecord:
    """The record of that number."""
    origin, open_place, series, last_place, suspect, age, *lengths, state_bytes = _RECORD.unpack_from(body)
    name_bytes, bundle_bytes, newest, sequences, held = lengths
    count = newest + sequences + held
    lists = [_maybe(value) for value in struct.unpack_from(f"<{count}q", body, _RECORD.size)]
    texts = _RECORD.size + 8 * count
    end = texts + name_bytes + bundle_bytes
    return AssetRecord(
        number,
        body[texts : texts + name_bytes].decode(),
        origin_us=origin,
        open_place=_maybe(open_place),
        newest_us=lists[:newest],
        sequences=lists[newest : newest + sequences],
        series=series,
        last_place=_maybe(last_place),
        held=[value for value in lists[newest + sequences :] if value is not None],
        suspect_us=_maybe(suspect),
        state=None if state_bytes == _NO_STATE else body[end:],
        state_bundle=body[texts + name_bytes : end].decode(),
        age=age,
    )


def row_key(asset: int, place: int, kept_rows: int) -> int:
    """Where a row stands in the ring of its asset.

    The place comes first: rows of one interval of many assets, which close together, lie in neighbouring pages, so
    that one commit writes few of them.
    """
    return (place % kept_rows) << _ASSET_BITS | asset


def asset_of(key: int) -> int:
    """The asset whose row stands under that key."""
    return key & (1 << _ASSET_BITS) - 1


def pack_row(row: Row) -> bytes:
    """A row without its asset, which its key tells."""
    return _ROW.pack(row.place, row.series, row.flags) + row.values


def unpack_row(key: int, body: bytes) -> Row:
    """The row under that key."""
    place, series, flags = _ROW.unpack_from(body)
    return Row(asset_of(key), place, body[_ROW.size :], flags, series)


def _maybe(number: int) -> int | None:
    return None if number == _NOTHING else number
