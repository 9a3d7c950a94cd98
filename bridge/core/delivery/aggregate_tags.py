"""What travels in the tag of an aggregate: where its records come from, and what of them Kinesis has no place for.

Text: the version, then base64 (with padding) of these fields. A number is a varint (see `varints`), `z` a zigzag one, a
text is the number of its UTF-8 bytes and those bytes.

    bridge text, topic text, partition number, rows number (1 or more), flags byte (1: nulls follow, 2: headers follow)
    offsets column, Kafka timestamps column (ms)
    nulls     (rows + 7) // 8 bytes: bit 0 of the first byte is row 0; set where the value was null
    headers   per row: count number; per header: name text, then 0 for null, or length + 1 as number and the bytes

A column is its first value (z), a kind byte, and the differences from each value to the next:

    0   all differences are this one (z): offsets without holes, one timestamp
    1   a byte each: 0 to 255
    2   a byte each: zigzag, 255 for one that takes more; behind the bytes those, in order (z)
"""

from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, repeat
from operator import sub
from typing import NamedTuple

from bridge.core.delivery.aggregation import SUB_RECORDS_MAX
from bridge.core.delivery.varints import VARINT_BYTES_MAX, read_varint, unzigzag, varint, varint_bytes, zigzag
from bridge.core.records import Headers, Partition

VERSION = "1"


_NULLS, _HEADERS = 1, 2
_CONSTANT, _BYTES, _ZIGZAG = range(3)
_ESCAPE = 255
_ZIGZAG_BYTES = {unzigzag(byte): byte for byte in range(_ESCAPE)}
_INT64 = range(-(2**63), 2**63)


class Origin(NamedTuple):
    """The bridge that wrote an aggregate, and the Kafka partition of all its records."""

    bridge: str
    partition: Partition


@dataclass(slots=True, frozen=True)
class TagColumns:
    """One row a sub-record. Offsets and timestamps are signed 64-bit numbers in any order."""

    offsets: Sequence[int]
    timestamps_ms: Sequence[int]
    null_rows: Sequence[int] = ()
    """Rows whose Kafka value was null (not empty), ascending."""
    headers: Sequence[Headers | None] | None = None
    """None: no record has any. None in a row means the same as an empty sequence."""


def encode_tag(origin: Origin, columns: TagColumns) -> str:
    """The tag's text.

    Raises:
        ValueError: no rows, too many, or columns of different length.
    """
    rows = len(columns.offsets)
    if not 1 <= rows <= SUB_RECORDS_MAX or len(columns.timestamps_ms) != rows:
        raise ValueError(f"a tag has 1 to {SUB_RECORDS_MAX} rows and columns of one length")
    if columns.null_rows and not 0 <= min(columns.null_rows) <= max(columns.null_rows) < rows:
        raise ValueError("a null in a row that is not there")
    headers = columns.headers if columns.headers is not None and any(columns.headers) else None
    if headers is not None and len(headers) != rows:
        raise ValueError("a row of headers for each record")
    parts = [
        _prefix(origin),
        varint(rows),
        bytes((_NULLS * bool(columns.null_rows) | _HEADERS * (headers is not None),)),
        *_column(columns.offsets),
        *_column(columns.timestamps_ms),
    ]
    if columns.null_rows:
        parts.append(_bitmap(columns.null_rows, rows))
    if headers is not None:
        parts.extend(map(_headers, headers))
    return VERSION + b2a_base64(b"".join(parts), newline=False).decode("ascii")


def tag_text_bytes_max(origin: Origin, rows: int, headers_bytes: int = 0) -> int:
    """How long the text can be at most. `headers_bytes` is the sum of `headers_bytes` over the rows, or 0 without headers.

    The worst case is 30 bytes a row, for numbers without any order; usual are 1 to 3.
    """
    column = VARINT_BYTES_MAX + 1 + max(VARINT_BYTES_MAX, (rows - 1) * (1 + VARINT_BYTES_MAX))
    fields = len(_prefix(origin)) + varint_bytes(rows) + 1 + 2 * column + (rows + 7) // 8 + headers_bytes
    return len(VERSION) + 4 * ((fields + 2) // 3)


def headers_bytes(headers: Headers | None) -> int:
    """What one record's headers add to a tag, before base64."""
    return len(_headers(headers))


def decode_tag(text: str) -> tuple[Origin, TagColumns]:
    """The inverse of `encode_tag`.

    Raises:
        ValueError: the text was not made by it.
    """
    if text[:1] != VERSION:
        raise ValueError(f"the tag has version {text[:1]!r}, this program knows {VERSION!r}")
    try:
        reader = _Reader(a2b_base64(text[1:].encode("ascii"), strict_mode=True))
        origin, columns = reader.tag()
    except ValueError as error:
        raise ValueError(f"the tag is not readable: {error}") from error
    if encode_tag(origin, columns) != text:
        raise ValueError("the tag is not written as this program writes it")
    return origin, columns


def _prefix(origin: Origin) -> bytes:
    partition = origin.partition
    return _text(origin.bridge) + _text(partition.topic) + varint(partition.number)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8")
    return varint(len(encoded)) + encoded


def _column(values: Sequence[int]) -> tuple[bytes, bytes]:
    """Its head, and its differences. The hot path: no call per row."""
    first = varint(zigzag(values[0]))
    differences = list(map(sub, values[1:], values))
    step = differences[0] if differences else 0
    if differences.count(step) == len(differences):
        return first + bytes((_CONSTANT,)), varint(zigzag(step))
    try:
        return first + bytes((_BYTES,)), bytes(differences)
    except ValueError:  # one is below 0 or above 255
        column = bytes(map(_ZIGZAG_BYTES.get, differences, repeat(_ESCAPE)))
    if _ESCAPE not in column:
        return first + bytes((_ZIGZAG,)), column
    escaped = [varint(zigzag(d)) for d, byte in zip(differences, column, strict=True) if byte == _ESCAPE]
    return first + bytes((_ZIGZAG,)), column + b"".join(escaped)


def _bitmap(set_rows: Sequence[int], rows: int) -> bytes:
    bits = bytearray((rows + 7) // 8)
    for row in set_rows:
        bits[row // 8] |= 1 << row % 8
    return bytes(bits)


def _headers(headers: Headers | None) -> bytes:
    parts = [varint(len(headers or ()))]
    for name, value in headers or ():
        parts.append(_text(name))
        parts.append(b"\x00" if value is None else varint(len(value) + 1) + value)
    return b"".join(parts)


class _Reader:
    """Reads the fields of a tag one after the other. Every method raises ValueError where they are not there."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def tag(self) -> tuple[Origin, TagColumns]:
        origin = Origin(self._text(), Partition(self._text(), self._number()))
        rows = self._number()
        if not 1 <= rows <= SUB_RECORDS_MAX:
            raise ValueError(f"{rows} rows")
        flags = self._bytes(1)[0]
        offsets, timestamps_ms = self._column(rows), self._column(rows)
        bits = self._bytes((rows + 7) // 8) if flags & _NULLS else b""
        null_rows = [row for row in range(rows) if bits[row // 8] >> row % 8 & 1] if bits else []
        headers = [self._headers() for _ in range(rows)] if flags & _HEADERS else None
        return origin, TagColumns(offsets, timestamps_ms, null_rows, headers)

    def _number(self) -> int:
        number, self._at = read_varint(self._data, self._at)
        return number

    def _bytes(self, length: int) -> bytes:
        end = self._at + length
        if end > len(self._data):
            raise ValueError("it is cut off")
        taken, self._at = self._data[self._at : end], end
        return taken

    def _text(self) -> str:
        return self._bytes(self._number()).decode("utf-8")

    def _column(self, rows: int) -> list[int]:
        first, kind = unzigzag(self._number()), self._bytes(1)[0]
        differences: Sequence[int]
        if kind == _CONSTANT:
            differences = [unzigzag(self._number())] * (rows - 1)
        elif kind == _BYTES:
            differences = self._bytes(rows - 1)
        elif kind == _ZIGZAG:
            column = self._bytes(rows - 1)
            differences = [unzigzag(self._number() if byte == _ESCAPE else byte) for byte in column]
        else:
            raise ValueError(f"a column of kind {kind}")
        values = list(accumulate(chain((first,), differences)))
        if min(values) not in _INT64 or max(values) not in _INT64:
            raise ValueError("a number has more than 64 bits")
        return values

    def _headers(self) -> tuple[tuple[str, bytes | None], ...]:
        return tuple([self._header() for _ in range(self._number())])

    def _header(self) -> tuple[str, bytes | None]:
        name, length = self._text(), self._number()
        return name, None if length == 0 else self._bytes(length - 1)
