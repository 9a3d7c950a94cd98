"""Shard iterators and paging tokens: opaque to callers, complete in themselves, so the model remembers none.

Base64url of a packed struct and a checksum. Moments are in milliseconds since the epoch.
"""

import binascii
import struct
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

from bridge.embedded.kinesis_errors import InvalidArgumentException

_ITERATOR = struct.Struct(">cqqIQ")
_PAGE = struct.Struct(">cqqIBq")
_CHECKSUM = struct.Struct(">I")


class ShardPosition(NamedTuple):
    """Where an iterator stands: a place in a shard of one incarnation of a stream."""

    stream: str
    created_ms: int
    issued_ms: int
    shard_index: int
    place: int

    def token(self) -> str:
        return _seal(_ITERATOR.pack(b"i", *self[1:]), self.stream)


class ShardPage(NamedTuple):
    """Where ListShards goes on: from a shard index on, under a filter (type as its place in the list, its value)."""

    stream: str
    created_ms: int
    issued_ms: int
    next_index: int
    filter_type: int
    filter_value: int

    def token(self) -> str:
        return _seal(_PAGE.pack(b"p", *self[1:]), self.stream)


def read_iterator(token: str) -> ShardPosition:
    """Raises InvalidArgumentException for anything that was not issued as an iterator."""
    fields = _open(token, _ITERATOR, b"i")
    if fields is None:
        raise InvalidArgumentException("Invalid ShardIterator.")
    (created_ms, issued_ms, shard_index, place), name = fields
    return ShardPosition(name, created_ms, issued_ms, shard_index, place)


def read_page(token: str) -> ShardPage:
    """Raises InvalidArgumentException for anything that was not issued as a paging token of ListShards."""
    fields = _open(token, _PAGE, b"p")
    if fields is None:
        raise InvalidArgumentException("NextToken is invalid.")
    (created_ms, issued_ms, next_index, filter_type, filter_value), name = fields
    return ShardPage(name, created_ms, issued_ms, next_index, filter_type, filter_value)


def _seal(packed: bytes, name: str) -> str:
    body = packed + name.encode()
    return urlsafe_b64encode(_CHECKSUM.pack(zlib.crc32(body)) + body).decode()


def _open(token: str, layout: struct.Struct, kind: bytes) -> tuple[tuple[int, ...], str] | None:
    try:
        sealed = urlsafe_b64decode(token.encode())
    except (binascii.Error, ValueError):
        return None
    body = sealed[_CHECKSUM.size :]
    if len(body) < layout.size or _CHECKSUM.pack(zlib.crc32(body)) != sealed[: _CHECKSUM.size]:
        return None
    found, *fields = layout.unpack(body[: layout.size])
    return (tuple(fields), body[layout.size :].decode()) if found == kind else None
