"""From a Kafka key to a Kinesis partition key, and from a partition key to its place in the hash-key space.

The codec: a Kafka key that is valid UTF-8, 1 to 256 characters long, and does not begin with the marker stands as it is.
Any other key becomes `~k:b` + unpadded base64url of its bytes, or, where that is too long and the route says so, `~k:h` + its
SHA-256 in hexadecimal, which cannot be turned back. So no two Kafka keys share a partition key, and a partition key without the
marker is the key's UTF-8 bytes.
"""

import base64
from hashlib import md5, sha256

from bridge.core.quotas import HASH_KEY_BITS, PARTITION_KEY_CHARACTERS_MAX

MARKER = "~k:"
BASE64_MARKER = MARKER + "b"
HASH_MARKER = MARKER + "h"

_HASH_KEY_SPACE: int = 2**HASH_KEY_BITS


class KeyTooLongError(ValueError):
    """The partition key of this Kafka key would have more than 256 characters."""


def encode_key(key: bytes) -> str:
    """Partition key of a Kafka key.

    Raises:
        KeyTooLongError: it has more than 256 characters, also when encoded.
    """
    try:
        text = key.decode("utf-8")
    except UnicodeDecodeError:
        return _in_base64(key)
    if not text or text.startswith(MARKER):
        return _in_base64(key)
    return fitting(text)


def hashed_key(key: bytes) -> str:
    """Partition key of a Kafka key for which `encode_key` has none."""
    return HASH_MARKER + sha256(key).hexdigest()


def decode_key(partition_key: str) -> bytes:
    """Kafka key of a partition key: the inverse of `encode_key`.

    Raises:
        ValueError: it begins with the marker, but was not made by this codec, or is the hash of a key.
    """
    if not partition_key.startswith(MARKER):
        return partition_key.encode("utf-8")
    if not partition_key.startswith(BASE64_MARKER):
        raise ValueError(f"unknown key encoding: {partition_key[:16]!r}")
    text = partition_key[len(BASE64_MARKER) :]
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def fitting(text: str) -> str:
    """`text` itself, if it can be a partition key.

    Raises:
        KeyTooLongError: it has more than 256 characters (UTF-16 code units, the stricter count).
    """
    if len(text) > PARTITION_KEY_CHARACTERS_MAX or (
        2 * len(text) > PARTITION_KEY_CHARACTERS_MAX and len(text.encode("utf-16-le")) > 2 * PARTITION_KEY_CHARACTERS_MAX
    ):
        raise KeyTooLongError(f"{len(text)} characters, at most {PARTITION_KEY_CHARACTERS_MAX} are allowed")
    return text


def hash_key(partition_key: str) -> int:
    """Place of a partition key in the 128-bit space: its MD5 (Kinesis API reference, PutRecord)."""
    return int.from_bytes(md5(partition_key.encode("utf-8"), usedforsecurity=False).digest(), "big")


def slice_hash_key(partition: int, slices: int) -> int:
    """Middle of the (partition mod slices)-th of `slices` equal slices of the hash-key space (`partition_key: partition`)."""
    return ((2 * (partition % slices) + 1) * _HASH_KEY_SPACE) // (2 * slices)


def _in_base64(key: bytes) -> str:
    return fitting(BASE64_MARKER + base64.urlsafe_b64encode(key).decode("ascii").rstrip("="))
