"""Columns of whole numbers in few bytes, where they rise about evenly; and tables of texts.

A number from 0 up is a varint (seven bits a byte, the lowest first, the eighth says that more follow), `z` one of either sign
(0, -1, 1, -2, ... as 0, 1, 2, 3, ...). A text is the number of its UTF-8 bytes and those bytes.

A column of n numbers is written relative to a number that its reader knows, the origin:

    first   z       the first number less the origin
    and, where there are two or more:
    least   z       the least difference from one number to the next
    width   byte    0, 1, 2, 4, 8 or 64: bytes of each of the rest
    rest            n - 1 numbers of that width, the lowest byte first: each difference less the least
"""

import struct
from collections.abc import Sequence
from itertools import accumulate, repeat
from operator import add, sub

from bridge.core.delivery.varints import unzigzag, varint, zigzag

NUMBER_BITS_MAX = 512
"""A sequence number has at most 129 decimal digits, which are 429 bits (GetShardIterator, its pattern)."""
NUMBER_BYTES_MAX = NUMBER_BITS_MAX // 7 + 2

_WIDE = 64
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


def number_bytes(number: int) -> bytes:
    """A number of either sign (z)."""
    return varint(zigzag(number))


def text_bytes(text: str) -> bytes:
    """A text."""
    encoded = text.encode("utf-8")
    return varint(len(encoded)) + encoded


def fixed_bytes(values: Sequence[int]) -> bytes:
    """Numbers of 64 bits each, the lowest byte first. Raises ValueError for one that has more, or is below 0."""
    try:
        return struct.pack(f"<{len(values)}Q", *values)
    except struct.error as error:
        raise ValueError(f"not 64 bits: {error}") from error


def column_bytes(values: Sequence[int], origin: int) -> bytes:
    """A column of one number or more. No call per number where they are less than 64 bits apart."""
    first = number_bytes(values[0] - origin)
    if len(values) == 1:
        return first
    if values[0] == values[-1] and values.count(values[0]) == len(values):
        return first + b"\x00\x00"
    differences = list(map(sub, values[1:], values))
    least = min(differences)
    span = max(differences) - least
    head = first + number_bytes(least)
    if span == 0:
        return head + b"\x00"
    if least:
        differences = list(map(sub, differences, repeat(least)))
    for width, code in _CODES.items():
        if span < 1 << 8 * width:
            return head + bytes((width,)) + struct.pack(f"<{len(differences)}{code}", *differences)
    return head + bytes((_WIDE,)) + b"".join(number.to_bytes(_WIDE, "little") for number in differences)


class ColumnReader:
    """Reads what the functions above write, one after the other. Every method raises ValueError where it is not there.

    Memory is bounded by the length of the data and the `rows` that a caller asks for.
    """

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data = data
        self._at = at
        self._end = end

    @property
    def ended(self) -> bool:
        """Whether nothing is left."""
        return self._at >= self._end

    def number(self) -> int:
        """From 0 up."""
        number = shift = 0
        for byte in self._data[self._at : min(self._at + NUMBER_BYTES_MAX, self._end)]:
            self._at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7
        raise ValueError("a number is cut off, or too long")

    def signed(self) -> int:
        """Of either sign."""
        return unzigzag(self.number())

    def bytes(self, length: int) -> bytes:
        """So many bytes."""
        end = self._at + length
        if end > self._end:
            raise ValueError("it is cut off")
        taken, self._at = self._data[self._at : end], end
        return taken

    def text(self) -> str:
        """A text."""
        return self.bytes(self.number()).decode("utf-8")

    def fixed(self, rows: int) -> list[int]:
        """Numbers of 64 bits each."""
        return list(struct.unpack(f"<{rows}Q", self.bytes(8 * rows)))

    def column(self, rows: int, origin: int) -> list[int]:
        """A column of one number or more."""
        first = origin + self.signed()
        if rows == 1:
            return [first]
        least, width = self.signed(), self.bytes(1)[0]
        if width == 0:
            return list(accumulate(repeat(least, rows - 1), initial=first))
        rest = self._rest(width, rows - 1)
        return list(accumulate(map(add, rest, repeat(least)), initial=first))

    def _rest(self, width: int, rows: int) -> Sequence[int]:
        if width in _CODES:
            return struct.unpack(f"<{rows}{_CODES[width]}", self.bytes(width * rows))
        if width != _WIDE:
            raise ValueError(f"a column of width {width}")
        wide = self.bytes(_WIDE * rows)
        return [int.from_bytes(wide[at : at + _WIDE], "little") for at in range(0, len(wide), _WIDE)]
