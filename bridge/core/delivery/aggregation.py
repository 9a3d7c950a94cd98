"""Many records in one Kinesis record: the format of Amazon's producer library (KPL), which its consumer library (KCL) opens.

`MAGIC`, a protobuf message, the MD5 of that message. The message, with its field numbers (proto2):

    AggregatedRecord  1 repeated string partition_key_table, 2 repeated string explicit_hash_key_table, 3 repeated Record
    Record            1 required uint64 partition_key_index, 2 optional uint64 explicit_hash_key_index, 3 required bytes data,
                      4 repeated Tag
    Tag               1 required string key, 2 optional string value

It is laid out as the KPL does it: fields in ascending order, tables holding each value once in order of first use. So the
same records give the same bytes. Consumers do not see tags: one tag of ours on the first sub-record marks the whole.
Source: aggregation-format.md of amazon-kinesis-producer, and bytes of KPL 1.1.1 (tests/vectors/kpl).
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import md5
from operator import add

from bridge.core.delivery.varints import varint, varint_bytes

MAGIC = b"\xf3\x89\x9a\xc2"
DIGEST_BYTES = 16
TAG_KEY = "bridge"
"""The tag of ours; other programs' tags have other keys."""

SUB_RECORDS_MAX = 16_384
"""Two bytes hold an index into a table. KCL itself has no limit."""

FRAME_BYTES = len(MAGIC) + DIGEST_BYTES

_ONE_BYTE_INDICES = 128

_REMEMBERED_LENGTHS_MAX = 4096
"""The bytes in front of longer data are made anew: they cost little beside its MD5."""


class _ByLength(dict[int, bytes]):
    """Bytes that depend on a length alone, remembered for the common lengths."""

    def __init__(self, make: Callable[[int], bytes]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, length: int) -> bytes:
        made = self._make(length)
        if length <= _REMEMBERED_LENGTHS_MAX:
            self[length] = made
        return made


def _record_head(length: int) -> bytes:
    """Field 3 of the message, and the length of a Record with `length` bytes."""
    return b"\x1a" + varint(length)


def _heads_before_index(index_bytes: int) -> _ByLength:
    """What stands before the indices of a Record that are `index_bytes` long, by the length of its data."""
    return _ByLength(lambda length: _record_head(index_bytes + 1 + varint_bytes(length) + length))


_INDEX_FIELDS = [b"\x08" + varint(index) for index in range(SUB_RECORDS_MAX)]
_EXPLICIT_INDEX_FIELDS = [b"\x10" + varint(index) for index in range(SUB_RECORDS_MAX)]
_RECORD_HEADS = {size: _heads_before_index(size) for size in range(7)}
_DATA_HEADS = _ByLength(lambda length: b"\x1a" + varint(length))
_KEY_HEADS = _ByLength(lambda length: b"\x0a" + varint(length))
_EXPLICIT_KEY_HEADS = _ByLength(lambda length: b"\x12" + varint(length))


def encode_aggregate(
    partition_keys: Sequence[str],
    explicit_hash_keys: Sequence[str | None] | None,
    datas: Sequence[bytes],
    first_tag: str | None = None,
) -> bytes:
    """The data of one Kinesis record that holds all rows, in their order.

    An explicit hash key is a decimal number below 2**128; None: the partition key decides. KCL drops the whole where one
    row hashes outside the shard, so all must hash into the shard that the record goes to. `first_tag` is the value of our
    tag, on the first row.

    Raises:
        ValueError: no rows (KCL would drop them silently), too many, or columns of different length.
    """
    rows = len(datas)
    if not 1 <= rows <= SUB_RECORDS_MAX:
        raise ValueError(f"an aggregate holds 1 to {SUB_RECORDS_MAX} records, not {rows}")
    if len(partition_keys) != rows or (explicit_hash_keys is not None and len(explicit_hash_keys) != rows):
        raise ValueError("columns of different length")
    keys = dict.fromkeys(partition_keys)
    parts = _table(keys, _KEY_HEADS)
    if len(keys) == rows:
        index_fields = _INDEX_FIELDS[:rows]
    else:
        index_fields = list(map(dict(zip(keys, _INDEX_FIELDS, strict=False)).__getitem__, partition_keys))
    if explicit_hash_keys is not None:
        places = dict.fromkeys(place for place in explicit_hash_keys if place is not None)
        parts += _table(places, _EXPLICIT_KEY_HEADS)
        of_place: dict[str | None, bytes] = {None: b"", **dict(zip(places, _EXPLICIT_INDEX_FIELDS, strict=False))}
        index_fields = list(map(add, index_fields, map(of_place.__getitem__, explicit_hash_keys)))
    alike = explicit_hash_keys is None and len(keys) <= _ONE_BYTE_INDICES
    parts += _records(index_fields, datas, alike, first_tag)
    message = b"".join(parts)
    return b"".join((MAGIC, message, md5(message, usedforsecurity=False).digest()))


def _table(texts: Iterable[str], heads: _ByLength) -> list[bytes]:
    encoded = [text.encode("utf-8") for text in texts]
    parts = [b""] * (2 * len(encoded))
    parts[0::2] = map(heads.__getitem__, map(len, encoded))
    parts[1::2] = encoded
    return parts


def _records(index_fields: list[bytes], datas: Sequence[bytes], alike: bool, first_tag: str | None) -> list[bytes]:
    """The Records in pieces, four each: up to the indices, indices, up to the data, data. The hot path: no call per row.

    `alike`: every record has one index of one byte.
    """
    lengths = list(map(len, datas))
    parts = [b""] * (4 * len(lengths))
    if alike:
        parts[0::4] = map(_RECORD_HEADS[2].__getitem__, lengths)
    else:
        parts[0::4] = [_RECORD_HEADS[len(field)][length] for field, length in zip(index_fields, lengths, strict=True)]
    parts[1::4] = index_fields
    parts[2::4] = map(_DATA_HEADS.__getitem__, lengths)
    parts[3::4] = datas
    if first_tag is not None:
        tag = _tag_field(first_tag)
        parts[0] = _record_head(sum(map(len, parts[1:4])) + len(tag))
        parts.insert(4, tag)
    return parts


def _tag_field(value: str) -> bytes:
    """Field 4 of a Record: our tag with this value."""
    tag = b"".join(_table([TAG_KEY], _KEY_HEADS) + _table([value], _EXPLICIT_KEY_HEADS))
    return b"\x22" + varint(len(tag)) + tag


def sub_record_bytes_max(data_bytes: int, explicit: bool) -> int:
    """What a row adds to an aggregate beside its entries in the tables: its data, and at most this around it.

    Together with `FRAME_BYTES`, `table_entry_bytes` of each different key and `tag_bytes_max` this bounds the size: at most
    one byte too much for a row and for each of its indices below 128, and one for the tag.
    """
    record = data_bytes + 1 + varint_bytes(data_bytes) + (6 if explicit else 3)
    return 1 + varint_bytes(record) + record


def table_entry_bytes(key_bytes: int) -> int:
    """What a partition key or explicit hash key adds when it is first used."""
    return 1 + varint_bytes(key_bytes) + key_bytes


def tag_bytes_max(value_bytes: int) -> int:
    """What our tag adds at most: it may also make the first row's length a few bytes longer."""
    tag = table_entry_bytes(len(TAG_KEY)) + table_entry_bytes(value_bytes)
    return 2 * varint_bytes(tag) + 1 + tag
