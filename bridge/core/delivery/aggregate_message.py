"""Reads the protobuf message of an aggregate, as Amazon's consumer library does. The format is described in `aggregation`.

As protobuf's Java parser: fields come in any order, unknown ones and groups are skipped, a field that comes again replaces
the one before, text that is not UTF-8 is read with U+FFFD in it. Work and memory are bounded by the length of the message.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from bridge.core.delivery.varints import read_varint

GROUPS_MAX = 100
"""So deep does protobuf's Java parser follow groups inside groups."""

Tags = tuple[tuple[str, str | None], ...]

_UINT32 = 0xFFFF_FFFF
"""Tags and lengths are cut to 32 bits when they are read."""

_VARINT, _FIXED64, _LENGTH, _GROUP, _END_GROUP, _FIXED32 = range(6)


class SubRecord(NamedTuple):
    """`Record` of the message: indices into its tables, data, tags."""

    key_index: int
    explicit_index: int | None
    data: bytes
    tags: Tags


@dataclass(slots=True, frozen=True)
class AggregatedRecord:
    """The message: its two tables, as they stand there, and its records."""

    partition_keys: list[str] = field(default_factory=list)
    explicit_hash_keys: list[str] = field(default_factory=list)
    records: list[SubRecord] = field(default_factory=list)


def parse_message(data: bytes) -> AggregatedRecord:
    """The message.

    Raises:
        ValueError: protobuf would refuse it.
    """
    message = AggregatedRecord()
    at, end = 0, len(data)
    while at < end:
        tag, at = _tag(data, at)
        if tag == 0x1A:
            start, at = _span(data, at, end)
            message.records.append(_sub_record(data, start, at))
        elif tag == 0x0A:
            start, at = _span(data, at, end)
            message.partition_keys.append(_text(data, start, at))
        elif tag == 0x12:
            start, at = _span(data, at, end)
            message.explicit_hash_keys.append(_text(data, start, at))
        else:
            at = _after(tag, data, at, end)
    return message


def _sub_record(data: bytes, at: int, end: int) -> SubRecord:
    key_index = explicit_index = payload = None
    tags: list[tuple[str, str | None]] = []
    while at < end:
        tag, at = _tag(data, at)
        if tag == 0x08:
            key_index, at = read_varint(data, at)
        elif tag == 0x10:
            explicit_index, at = read_varint(data, at)
        elif tag == 0x1A:
            start, at = _span(data, at, end)
            payload = data[start:at]
        elif tag == 0x22:
            start, at = _span(data, at, end)
            tags.append(_user_tag(data, start, at))
        else:
            at = _after(tag, data, at, end)
    if at != end or key_index is None or payload is None:
        raise ValueError("a record is truncated, or has no key or no data")
    return SubRecord(key_index, explicit_index, payload, tuple(tags))


def _user_tag(data: bytes, at: int, end: int) -> tuple[str, str | None]:
    key = value = None
    while at < end:
        tag, at = _tag(data, at)
        if tag == 0x0A:
            start, at = _span(data, at, end)
            key = _text(data, start, at)
        elif tag == 0x12:
            start, at = _span(data, at, end)
            value = _text(data, start, at)
        else:
            at = _after(tag, data, at, end)
    if key is None:
        raise ValueError("a tag has no key")
    return key, value


def _text(data: bytes, start: int, end: int) -> str:
    return data[start:end].decode("utf-8", "replace")


def _tag(data: bytes, at: int) -> tuple[int, int]:
    """A field's tag (number and kind), and where its content begins."""
    tag, at = read_varint(data, at)
    tag &= _UINT32
    if tag < 8:
        raise ValueError("a field has the number 0")
    return tag, at


def _span(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Where a text, bytes or message begins, and where it ends."""
    length, at = read_varint(data, at)
    stop = at + (length & _UINT32)
    if stop > end:
        raise ValueError("a field is longer than what holds it")
    return at, stop


def _after(tag: int, data: bytes, at: int, end: int) -> int:
    """Where an unknown field ends."""
    groups: list[int] = []
    while True:
        number, kind = divmod(tag, 8)
        if kind == _VARINT:
            _, at = read_varint(data, at)
        elif kind == _LENGTH:
            _, at = _span(data, at, end)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        elif kind == _GROUP and len(groups) < GROUPS_MAX:
            groups.append(number)
        elif kind != _END_GROUP or not groups or groups.pop() != number:
            raise ValueError("a group ends that did not begin, is too deep, or a field has an unknown kind")
        if at > end:
            raise ValueError("a field is longer than what holds it")
        if not groups:
            return at
        tag, at = _tag(data, at)
