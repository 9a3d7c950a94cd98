"""Numbers as protobuf writes them: seven bits a byte, the lowest first; the eighth says that more follow.

https://protobuf.dev/programming-guides/encoding/#varints
"""

VARINT_BYTES_MAX = 10
"""What 64 bits need; a reader stops here, whatever follows."""


def varint(number: int) -> bytes:
    """A number from 0 up."""
    if number < 0x80:
        return bytes((number,))
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def varint_bytes(number: int) -> int:
    """How long `varint(number)` is."""
    return (number.bit_length() + 6) // 7 or 1


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins at `at`, and where it ends.

    Raises:
        ValueError: the data ends inside it, or it has more than ten bytes.
    """
    try:
        byte = data[at]
        if byte < 0x80:
            return byte, at + 1
        number = byte & 0x7F
        for shift in range(7, 7 * VARINT_BYTES_MAX, 7):
            at += 1
            byte = data[at]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number, at + 1
    except IndexError:
        raise ValueError("the data ends inside a number") from None
    raise ValueError(f"a number has more than {VARINT_BYTES_MAX} bytes")


def zigzag(number: int) -> int:
    """0, -1, 1, -2, ... as 0, 1, 2, 3, ...: small whatever the sign."""
    return number << 1 if number >= 0 else (-number << 1) - 1


def unzigzag(number: int) -> int:
    """The inverse of `zigzag`."""
    return (number >> 1) ^ -(number & 1)
